"""The docs lead somewhere and say nothing that they should not."""

import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = sorted(
    page
    for folder in (ROOT, ROOT / "docs", ROOT / "docs/adr", ROOT / "policies", ROOT / "deploy")
    for page in folder.glob("**/*.md" if folder.name == "deploy" else "*.md")
)
LINK: Final = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
HEADING: Final = re.compile(r"^#+ (.+)$", re.MULTILINE)


def in_words(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def prose(page: Path) -> str:
    return re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)


def anchors(page: Path) -> set[str]:
    """What a heading is called in a link, as forges make it."""
    headings = HEADING.findall(prose(page))
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=in_words)
def test_a_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(prose(page)):
        if "://" in target or target.startswith(("mailto:", "../../security/advisories")):
            continue
        file, _, anchor = target.partition("#")
        place = (page.parent / file).resolve() if file else page
        assert place.exists(), target
        assert not anchor or anchor in anchors(place), target


@pytest.mark.parametrize("page", PAGES, ids=in_words)
def test_a_page_has_one_title_at_its_top(page: Path) -> None:
    assert page.read_text().startswith("# ")
    assert len(re.findall(r"^# ", prose(page), re.MULTILINE)) == 1


@pytest.mark.parametrize("page", PAGES, ids=in_words)
def test_a_page_names_no_machine_of_ours(page: Path) -> None:
    assert not re.search(r"/roo[t]/|/wor[k]/|/home/\w+/|py[p]i\.org|hosted\.", page.read_text())


def test_each_page_is_reached_from_the_index() -> None:
    index = (ROOT / "docs/README.md").read_text()
    for page in sorted((ROOT / "docs").rglob("*.md")):
        if page.name != "README.md":
            assert page.relative_to(ROOT / "docs").as_posix() in index, page.name


SECRETS: Final = (
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----\n[A-Za-z0-9+/]{40}",
    r"\b(AKIA|ASIA)[A-Z0-9]{16}\b",
    r"\bgh[pousr]_[A-Za-z0-9]{36}\b",
    r"\bxox[abprs]-[0-9]{8}",
    r"\bhvs\.[A-Za-z0-9_-]{24,}",
    r"\bcf_live_[A-Za-z0-9]{32,}",
    r"\beyJ[A-Za-z0-9_-]{20,}\.eyJ[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{20,}",
    r"credmgr-master-key-v1:[A-Za-z0-9+/]{43}=",
)
"""Shapes of real secrets; a test's own are made so that they have none of these."""
MADE_UP: Final = {
    "tests/unit/test_logs.py": "what the log hides has such shapes",
    "tests/unit/test_manifest_leaks.py": "what a manifest refuses has such shapes",
}


def test_no_file_holds_what_looks_like_a_real_secret() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    files = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    pattern = re.compile("|".join(SECRETS))
    found = {
        in_words(file): match[0][:16]
        for file in files
        if file.is_file()
        and in_words(file) not in MADE_UP
        and (match := pattern.search(file.read_text(errors="replace")))
    }
    assert files or listed.returncode, "git listed nothing"
    assert found == {}
