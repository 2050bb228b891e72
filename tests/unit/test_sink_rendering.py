"""What the sinks write: forms, templates, quoting, and what is hidden of a program's words."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credmgr.errors import LimitExceeded
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.sinks.redaction import redacted
from credmgr.sinks.rendering import Form, Rendering, quoted, variable
from credmgr.testing.canaries import leaks, new_canary, spellings

NAME = Name("caseforge/api-key")
VERSION = UUID(int=7)
SHELL = shutil.which("sh") or "/bin/sh"
values = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


def rendered(rendering: Rendering, value: str) -> str:
    return rendering(NAME, Secret(value), VERSION).decode()


@pytest.mark.parametrize(
    ("rendering", "value", "expected"),
    [
        (Rendering(), "a b\n", "a b\n"),
        (Rendering(Form.DOTENV), "abc/+=", "CASEFORGE_API_KEY=abc/+=\n"),
        (Rendering(Form.DOTENV, key="K"), "a b", "K='a b'\n"),
        (Rendering(Form.DOTENV, key="K"), '$HOME `x` \\ "', "K='$HOME `x` \\ \"'\n"),
        (Rendering(Form.DOTENV, key="K"), "it's $1", 'K="it\'s \\$1"\n'),
        (Rendering(Form.DOTENV, key="K"), "a\nb", "K='a\nb'\n"),
        (Rendering(Form.JSON), 'ä"\n', '{"value": "ä\\"\\n"}\n'),
        (Rendering(Form.JSON, key="token"), "x", '{"token": "x"}\n'),
        (
            Rendering(Form.TEMPLATE, template="db://u:{{ secret | url }}@h\n"),
            "a/b@c {{ name }}",
            "db://u:a%2Fb%40c%20%7B%7B%20name%20%7D%7D@h\n",
        ),
        (
            Rendering(Form.TEMPLATE, template="{{secret}} {{ name }} {{ version }} ${x} {y}"),
            "{{ version }}$(id)",
            f"{{{{ version }}}}$(id) caseforge/api-key {VERSION} ${{x}} {{y}}",
        ),
        (
            Rendering(Form.TEMPLATE, template="[{{ secret | json }}, {{ secret | base64 }}]"),
            'a"',
            '["a\\"", YSI=]',
        ),
        (Rendering(Form.TEMPLATE, template="K={{ secret | dotenv }}"), "a b", "K='a b'"),
    ],
)
def test_a_value_is_written_in_the_form_that_its_reader_expects(
    rendering: Rendering, value: str, expected: str
) -> None:
    assert list(rendering.mistakes()) == []
    assert rendered(rendering, value) == expected


@pytest.mark.parametrize(
    ("rendering", "said"),
    [
        (Rendering(Form.TEMPLATE), "the form is `template` where there is one"),
        (Rendering(template="{{ secret }}"), "the form is `template` where there is one"),
        (Rendering(Form.TEMPLATE, template="x"), "the secret is not in it"),
        (Rendering(Form.TEMPLATE, template="{{ secret }}{{ home }}"), "'home' is not known here"),
        (Rendering(Form.TEMPLATE, template="{{ secret | rot13 }}"), "'secret' is not known here"),
        (Rendering(Form.TEMPLATE, template="{{ secret }}{{ x.y }}"), "is not known"),
        (Rendering(Form.DOTENV, key="A-B"), "this is no name of a variable"),
        (Rendering(Form.RAW, key="A"), "the form raw has no key"),
    ],
)
def test_what_cannot_be_written_so_is_refused(rendering: Rendering, said: str) -> None:
    assert any(said in mistake.what for mistake in rendering.mistakes())


@pytest.mark.parametrize(
    ("name", "expected"),
    [("caseforge/api-key", "CASEFORGE_API_KEY"), ("a", "A"), ("9-lives", "_9_LIVES")],
)
def test_a_name_stands_for_a_variable(name: str, expected: str) -> None:
    assert variable(Name(name)) == expected


def test_no_variable_holds_a_nul() -> None:
    with pytest.raises(LimitExceeded, match="NUL"):
        rendered(Rendering(Form.DOTENV), "a\0b")


@pytest.mark.parametrize(
    "value",
    ["plain", "it's", "'", "\"'", "a\nb\n", "\r\n", "$HOME ${HOME} $(id) `id`", "\\'\\", "#"],
)
def test_a_shell_reads_back_what_was_quoted(tmp_path: Path, value: str) -> None:
    file = tmp_path / "env"
    file.write_bytes(Rendering(Form.DOTENV, key="K")(NAME, Secret(value), VERSION))
    # The dot after it keeps the line ends that `$(…)` would cut.
    script = '. "$1"; printf %s. "$K"'

    read = subprocess.run(  # noqa: S603 (the shell is what is tested against)
        [SHELL, "-c", script, "sh", str(file)], capture_output=True, check=True, env={}
    )

    assert read.stdout.decode() == f"{value}."


@given(values)
def test_a_quoted_value_is_one_word(value: str) -> None:
    text = quoted(value)
    if text[0] == "'":
        assert text == f"'{value}'"
        assert "'" not in value
    elif text[0] == '"':
        assert re.sub(r'\\([\\"$`])', r"\1", text[1:-1]) == value
    else:
        assert text == value


@given(values)
def test_json_comes_back(value: str) -> None:
    assert json.loads(rendered(Rendering(Form.JSON), value)) == {"value": value}


@pytest.mark.parametrize(
    "shown",
    [
        lambda value: value,
        lambda value: f"got {value}, which is wrong",
        lambda value: value[5:],
        lambda value: value[:9],
        lambda value: f"{value}\n" * 1000,
        lambda value: "\n".join(value[at : at + 10] for at in range(0, len(value), 10)),
    ],
)
def test_no_piece_of_a_value_shows_in_what_a_program_said(shown: Callable[[str], str]) -> None:
    canary = new_canary()
    said = redacted(f"failed: {shown(canary)}", canary)

    assert not leaks(canary, said)
    assert all(canary[at : at + 6] not in said for at in range(len(canary) - 6))
    assert len(said) <= 400


def test_no_spelling_of_a_value_shows_either() -> None:
    canary = new_canary()
    for spelling in spellings(canary):
        assert spelling not in redacted(f"x {spelling} y", canary)


def test_what_a_program_said_is_shown_on_one_line_without_what_a_terminal_obeys() -> None:
    assert redacted("no\n\x1b[31mroom\u202e left\0", "secret") == "no [31mroom left"
    assert redacted("a" * 1000, "") == "a" * 400
