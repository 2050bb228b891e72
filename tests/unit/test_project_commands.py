"""The commands that the docs name exist, with the options that the docs give them."""

import re
import shlex
from pathlib import Path
from typing import Any, Final

import pytest
from typer.main import get_command

from credmgr.cli.commands import app

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "SECURITY.md")
FENCED: Final = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
INLINE: Final = re.compile(r"`credmgr ([^`\n]+)`")
LINE: Final = re.compile(r"^ *credmgr ([^\n|>#]+)", re.MULTILINE)
LATER: Final = {"token", "exec"}
"""Commands of which the README says that they are not there yet."""


def commands(page: Path) -> list[list[str]]:
    text = page.read_text()
    found = INLINE.findall(FENCED.sub("", text))
    for block in FENCED.findall(text):
        found += LINE.findall(block)
    return [shlex.split(re.sub(r"[][()…|]", " ", each)) for each in found]


def tree() -> Any:
    return get_command(app)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_command_in_the_docs_exists(page: Path) -> None:
    for words in commands(page):
        if not re.fullmatch(r"[a-z]+", words[0]) or words[0] in LATER:
            continue
        command, rest = tree().commands.get(words[0]), words[1:]
        assert command is not None, words
        if hasattr(command, "commands") and rest:
            assert rest[0] in command.commands, words
            command, rest = command.commands[rest[0]], rest[1:]
        named = [name for one in command.params for name in (*one.opts, *one.secondary_opts)]
        options = {*named, "--help", "-h"}
        given = {word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
        assert given <= options, words
