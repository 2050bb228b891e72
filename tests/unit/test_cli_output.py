"""How the command line shows things: times, foreign text, JSON, and tables that fit."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer

from credmgr.cli import output
from credmgr.cli.table import table
from credmgr.errors import UsageError

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0s"),
        (59, "59s"),
        (60, "1m"),
        (61, "1m 1s"),
        (3600, "1h"),
        (90_061, "1d 1h"),
        (86_400 * 400, "400d"),
    ],
)
def test_a_length_of_time_is_told_in_its_two_largest_units(seconds: int, shown: str) -> None:
    assert output.length(timedelta(seconds=seconds)) == shown


def test_a_short_length_of_time_is_told_to_the_tenth() -> None:
    assert output.moments(timedelta(milliseconds=340)) == "0.3s"
    assert output.moments(timedelta(seconds=62)) == "1m 2s"


def test_a_moment_is_told_from_now() -> None:
    assert output.ago(None, NOW) == "-"
    assert output.ago(NOW, NOW) == "now"
    assert output.ago(NOW - timedelta(hours=2), NOW) == "2h ago"
    assert output.ago(NOW + timedelta(seconds=20), NOW) == "in 20s"


def test_foreign_text_has_no_markup_and_no_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output.say(output.plain("[bold]x[/bold]\x1b[31m\u202e\n"))

    assert capsys.readouterr().out == "[bold]x[/bold]\ufffd[31m\ufffd\ufffd\n"


def test_foreign_text_with_colons_stays_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    output.say(output.plain("env:X: is not set"))
    output.paragraph("env:X: is not set")
    output.lines([("env:X:", "systemd-credential:key:")])
    table(("PLACE",), [("env:X:",)])

    said = capsys.readouterr().out
    assert said.count("env:X:") == 4
    assert "systemd-credential:key:" in said


def test_json_is_ascii_with_times_as_texts(capsys: pytest.CaptureFixture[str]) -> None:
    span = timedelta(minutes=1)
    output.json_out({"at": NOW, "for": span, "set": {"b", "a"}, "path": Path("ü\u009b")})

    said = capsys.readouterr().out
    assert said.isascii()
    assert json.loads(said) == {
        "at": "2026-11-24T12:00:00+00:00",
        "for": 60.0,
        "set": ["a", "b"],
        "path": "ü\u009b",
    }


def test_an_unknown_state_is_shown_too() -> None:
    assert output.state("NEW", 5) == "[dim]· NEW  [/]"


def test_a_question_is_asked_only_where_somebody_can_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output.confirm("Really?", yes=True)
    with pytest.raises(UsageError, match="nobody to ask"):
        output.confirm("Really?", yes=False)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(typer, "confirm", lambda question, **_: question)
    output.confirm("Really?", yes=False)


ROWS = [("caseforge/api-key", "api-key", "-", "a note that is rather long"), ("b", "oauth", "", "")]
COLUMNS = ("NAME", "KIND", "NEVER", "NOTE")


def shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> list[str]:
    monkeypatch.setattr(output, "PIPED_WIDTH", width)
    table(COLUMNS, ROWS, expendable=("KIND", "NEVER"))
    return capsys.readouterr().out.splitlines()


def test_a_table_leaves_out_what_is_empty(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shown(capsys, monkeypatch, 80) == [
        "NAME               KIND     NOTE",
        "caseforge/api-key  api-key  a note that is rather long",
        "b                  oauth",
    ]


def test_a_narrow_table_leaves_out_the_expendable_and_cuts_the_last(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shown(capsys, monkeypatch, 36) == [
        "NAME               NOTE",
        "caseforge/api-key  a note that is r…",
        "b",
    ]


def test_a_table_without_rows_has_its_titles(capsys: pytest.CaptureFixture[str]) -> None:
    table(COLUMNS, [], expendable=())

    assert capsys.readouterr().out.split() == [*COLUMNS]


def test_nothing_is_shown_of_no_lines(capsys: pytest.CaptureFixture[str]) -> None:
    output.lines([])

    assert capsys.readouterr().out.strip() == ""
