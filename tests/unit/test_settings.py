"""The few environment variables."""

from pathlib import Path

import pytest

from credmgr.errors import ConfigError
from credmgr.settings import LogFormat, LogLevel, Settings


def test_an_empty_environment_gives_the_defaults() -> None:
    assert Settings.read({"CREDMGR_MANIFEST": "", "PATH": "/bin"}) == Settings(
        Path("credmgr.yaml"), LogLevel.INFO, LogFormat.AUTO, None
    )


def test_every_variable_is_read() -> None:
    settings = Settings.read(
        {
            "CREDMGR_MANIFEST": "/etc/credmgr/credmgr.yaml",
            "CREDMGR_LOG_LEVEL": "DEBUG",
            "CREDMGR_LOG_FORMAT": "json",
            "CREDMGR_ACTOR": "anna",
        }
    )

    assert settings == Settings(
        Path("/etc/credmgr/credmgr.yaml"), LogLevel.DEBUG, LogFormat.JSON, "anna"
    )


def test_the_environment_is_that_of_the_process_unless_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CREDMGR_ACTOR", "ci")

    assert Settings.read().actor == "ci"


@pytest.mark.parametrize(
    ("name", "value", "message", "hint"),
    [
        (
            "CREDMGR_LOG_LEVEL",
            "warn",
            "CREDMGR_LOG_LEVEL is not one of debug, info, warning, error",
            "did you mean warning?",
        ),
        ("CREDMGR_LOG_FORMAT", "x", "CREDMGR_LOG_FORMAT is not one of console, json, auto", None),
        (
            "CREDMGR_ACTOR",
            "a\nb",
            "CREDMGR_ACTOR is not printable text of at most 64 characters",
            None,
        ),
        (
            "CREDMGR_ACTOR",
            "a" * 65,
            "CREDMGR_ACTOR is not printable text of at most 64 characters",
            None,
        ),
        (
            "CREDMGR_LOGLEVEL",
            "debug",
            "there is no setting CREDMGR_LOGLEVEL",
            "did you mean CREDMGR_LOG_LEVEL?",
        ),
        (
            "CREDMGR_LOG_FROMAT",
            "json",
            "there is no setting CREDMGR_LOG_FROMAT",
            "did you mean CREDMGR_LOG_FORMAT?",
        ),
        (
            "credmgr_manifest",
            "x",
            "there is no setting credmgr_manifest",
            "did you mean CREDMGR_MANIFEST?",
        ),
    ],
)
def test_a_wrong_setting_is_refused(name: str, value: str, message: str, hint: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.read({name: value})

    assert (caught.value.message, caught.value.hint) == (message, hint)


@pytest.mark.parametrize("name", ["CREDMGR_MASTER_KEY", "CREDMGR_TEST_POSTGRES", "MANIFEST"])
def test_a_variable_that_resembles_no_setting_may_be_what_the_manifest_refers_to(name: str) -> None:
    assert Settings.read({name: "x"}) == Settings()
