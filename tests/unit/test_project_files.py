"""The files around the code agree with one another."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest

import credmgr

ROOT: Final = Path(__file__).parents[2]
PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS: Final = ("run.txt", "dev.txt", "lowest.txt")
TARGETS: Final = (
    "help",
    "run",
    "demo",
    "test",
    "check",
    "bench",
    "format",
    "lock",
    "clean",
)


def pinned(lock: str) -> dict[str, str]:
    text = (ROOT / "requirements" / lock).read_text()
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^ \\]+)", text, re.MULTILINE))


def names(requirements: list[Any]) -> set[str]:
    found = (re.match(r"[A-Za-z0-9._-]+", one) for one in requirements if isinstance(one, str))
    return {name[0].lower() for name in found if name}


DIRECT: Final = names(PROJECT["project"]["dependencies"])
TOOLS: Final = {
    name for group in PROJECT["dependency-groups"].values() for name in names(group)
} - DIRECT
EXTRAS: Final = {
    name for extra in PROJECT["project"]["optional-dependencies"].values() for name in names(extra)
} - {"credmgr"}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_a_hash_for_each_package(lock: str) -> None:
    blocks = re.split(r"\n(?=[a-z0-9])", (ROOT / "requirements" / lock).read_text())
    assert len(blocks) == len(pinned(lock))
    assert [block.split("==")[0] for block in blocks if "--hash=sha256:" not in block] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_address(lock: str) -> None:
    text = (ROOT / "requirements" / lock).read_text()
    assert not re.search(r"://|--(extra-)?index|--find-links|--trusted-host| @ ", text)


def test_what_runs_is_what_is_tested() -> None:
    assert pinned("run.txt").items() <= pinned("dev.txt").items()


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_everything_that_the_code_needs(lock: str) -> None:
    assert pinned(lock).keys() >= DIRECT | {"hatchling", "editables"}


def test_the_lowest_versions_are_those_of_the_project_file() -> None:
    lowest = pinned("lowest.txt")
    for requirement in PROJECT["project"]["dependencies"]:
        name, bound = re.fullmatch(r"([a-z0-9._-]+)>=([0-9.]+)(?:,.*)?", requirement).groups()  # type: ignore[union-attr]
        assert lowest[name].startswith(bound), requirement


def test_each_dependency_has_its_reason() -> None:
    page = (ROOT / "docs/adr/0001-dependencies.md").read_text().lower()
    told = set(re.findall(r"^\| `([a-z0-9._-]+)`", page, re.MULTILINE))
    assert told == DIRECT | TOOLS | EXTRAS


def test_the_makefile_tells_of_each_target() -> None:
    done = subprocess.run(
        ["make", "--no-print-directory"],  # noqa: S607 (whichever make there is)
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    told = re.findall(r"^  make ([a-z-]+) ", done.stdout, re.MULTILINE)
    text = (ROOT / "Makefile").read_text()
    phony = re.findall(r"^\.PHONY: ([a-z-]+)$", text, re.MULTILINE)
    assert told == phony
    assert set(TARGETS) <= set(told)


def test_versions_agree() -> None:
    assert credmgr.__version__ == PROJECT["project"]["version"]


def test_the_changelog_has_a_place_for_what_comes() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert "\n## [Unreleased]\n" in text
    assert re.findall(r"^### (\w+)$", text, re.MULTILINE)
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (\w+)$", text, re.MULTILINE)) <= kinds


def test_ci_does_what_a_developer_does() -> None:
    text = (ROOT / ".ci/run").read_text()
    assert "step make check" in text
    assert "step make test" in text
