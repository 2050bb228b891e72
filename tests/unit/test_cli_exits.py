"""Each kind of error has an exit code and a message, never a traceback."""

from datetime import timedelta
from pathlib import Path

import pytest

from credmgr import errors
from credmgr.cli import session
from credmgr.cli.exits import Exit, code_of, reporting
from credmgr.cli.names import complete
from credmgr.errors import ManifestError, OperatorNeeded, Problem, SecretInArguments


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UnknownCredential(), Exit.USAGE),
        (errors.ManifestError([]), Exit.USAGE),
        (errors.SchemaTooNew(), Exit.USAGE),
        (errors.OperatorNeeded(), Exit.OPERATOR),
        (errors.AuditBroken(), Exit.UNTRUSTED),
        (errors.MasterKeyWrong(), Exit.UNTRUSTED),
        (errors.CorruptSecret(), Exit.UNTRUSTED),
        (errors.IssuerUnavailable(retry_after=timedelta(seconds=1)), Exit.UNAVAILABLE),
        (errors.LeaseHeld(), Exit.UNAVAILABLE),
        (errors.AccessDenied(), Exit.FAILED),
        (errors.SecretRejected(), Exit.FAILED),
    ],
)
def test_every_error_has_its_code(error: errors.CredmgrError, code: Exit) -> None:
    assert code_of(error) is code


def ended(error: BaseException) -> int | str | None:
    with pytest.raises(SystemExit) as end, reporting():
        raise error
    return end.value.code


def test_an_error_is_told_with_its_hint_and_steps(capsys: pytest.CaptureFixture[str]) -> None:
    needed = OperatorNeeded("a person [has] to act", steps=["open it", "close it"])
    needed.hint = "soon"

    assert ended(needed) == Exit.OPERATOR
    said = capsys.readouterr().err.splitlines()
    assert said == ["error a person [has] to act", " hint soon", "  1. open it", "  2. close it"]


def test_every_mistake_of_a_manifest_is_told_at_its_place(
    capsys: pytest.CaptureFixture[str],
) -> None:
    problems = [Problem("a.yaml", 3, 5, "is wrong", "mend it"), Problem("a.yaml", 0, 0, "is odd")]

    assert ended(ManifestError(problems)) == Exit.USAGE
    assert capsys.readouterr().err.splitlines() == [
        "a.yaml is odd",
        "a.yaml:3:5 is wrong",
        "    mend it",
        "error 2 mistakes",
    ]


def test_trouble_with_a_file_names_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(FileNotFoundError(2, "No such file or directory", "out/report.env")) == 1
    assert capsys.readouterr().err == "error out/report.env: No such file or directory\n"


def test_ctrl_c_ends_as_shells_have_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "\ninterrupted\n"


def test_short_words_are_no_secrets_and_long_ones_are_looked_at() -> None:
    session.refuse_secrets(["rotate", "caseforge/api-key", "--wait"])
    with pytest.raises(SecretInArguments):
        session.refuse_secrets(["rotate", "cf_live_12345678"])


def test_names_are_completed_without_reading_more_than_the_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = tmp_path / "credmgr.yaml"
    manifest.write_text(
        "credentials_of: {}\n"
        "credentials: # all\n"
        "  # comment\n"
        "\n"
        "  'a/one':\n"
        "    kind: api-key\n"
        "  a/two:\n"
        "consumers:\n"
        "  a/three: {}\n"
    )
    monkeypatch.setenv("CREDMGR_MANIFEST", str(manifest))
    monkeypatch.setattr(session.current, "begun", False)

    assert list(complete("a/")) == ["a/one", "a/two"]
    assert list(complete("b")) == []
    monkeypatch.setenv("CREDMGR_MANIFEST", f"{tmp_path}/none.yaml")
    assert list(complete("a/")) == []
