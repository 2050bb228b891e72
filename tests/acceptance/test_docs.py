"""docs/cli.md: it lists exactly the commands that exist, and every example in it works."""

import re
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from credmgr.cli.exits import Exit
from tests.acceptance.installation import COMMAND, KEY, PARTNER, Installation, pause
from tests.acceptance.test_terminal import every_command

DOCS = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
POLICY = (Path(__file__).parents[2] / "docs" / "policy.md").read_text()
SECTIONS = {
    title: re.findall(r"^\$ (.+)$", text, re.MULTILINE)
    for title, text in re.findall(r"^### (.+?)\n(.*?)(?=^##|\Z)", DOCS, re.MULTILINE | re.DOTALL)
}
LASTING = {"run", "sandbox", "demo"}
"""Commands that keep running until they are told to stop."""


def waiting(home: Installation) -> None:
    home.run("rotate", PARTNER, code=4)


def made(home: Installation) -> None:
    (home.folder / "new-key.txt").write_text(home.new_key()["value"])


def rotated(home: Installation) -> None:
    home.run("rotate", KEY)


def found(home: Installation) -> None:
    home.edit("    issuer: dashboard\n", "    issuer: dashboard\n    environment: production\n")
    home.run("apply", "--yes")
    home.run("audit")


def written(home: Installation) -> None:
    for block in re.findall(r"^```yaml\n(.*?)^```", POLICY, re.MULTILINE | re.DOTALL):
        if block.startswith("pack: "):
            name = "mine-test.yaml" if "cases:" in block else "mine.yaml"
            (home.folder / name).write_text(block)


def to_move(home: Installation) -> None:
    scopes = '    scopes: ["cases:read", "cases:write"]\n'
    home.edit(scopes, f"{scopes}    store: standby\n")


BEFORE: Mapping[str, Callable[[Installation], None]] = {
    "resolve": waiting,
    "migrate": to_move,
    "import": made,
    "rollback": rotated,
    "findings show": found,
    "ack": found,
    "snooze": found,
    "exempt": found,
    "policy test": written,
}


def test_it_lists_exactly_the_commands_that_exist() -> None:
    assert set(SECTIONS) == set(every_command())


def test_every_command_has_an_example() -> None:
    assert [title for title, lines in SECTIONS.items() if not lines] == []


def test_it_lists_exactly_the_exit_codes() -> None:
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", DOCS, re.MULTILINE)}

    assert listed == {*Exit, 130}


@pytest.mark.parametrize("title", sorted(SECTIONS.keys() - LASTING))
def test_the_examples_work(grown: Installation, title: str) -> None:
    if title in BEFORE:
        BEFORE[title](grown)
    environ = {**grown.env(), "PATH": f"{COMMAND.parent}:/usr/bin:/bin"}
    for line in SECTIONS[title]:
        done = subprocess.run(  # noqa: S603 (our own examples)
            ["/bin/bash", "-o", "pipefail", "-c", line],
            env=environ,
            cwd=grown.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        assert done.stdout or ">" in line


@pytest.mark.parametrize("title", sorted(LASTING))
def test_the_examples_that_keep_running_work_until_ctrl_c(grown: Installation, title: str) -> None:
    (line,) = SECTIONS[title]
    with grown.background(*line.split()[1:]) as running:
        running.wait_for("started" if title != "sandbox" else "listening")
        pause(0.5)
        assert running.stop(signal.SIGINT) == 0
