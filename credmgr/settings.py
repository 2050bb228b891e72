"""Settings of the process: a few environment variables, none of which ever holds a secret.

Everything else is in the manifest, which names secrets by reference only.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Final, Self, TypeVar

from credmgr.errors import ConfigError

PREFIX: Final = "CREDMGR_"
_ALIKE: Final = 0.85

E = TypeVar("E", bound=StrEnum)


class LogLevel(StrEnum):
    """The least important log lines that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """How log lines look: for a person, for a machine, or whichever fits the output."""

    CONSOLE = "console"
    JSON = "json"
    AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says.

    Attributes:
        manifest: `CREDMGR_MANIFEST`: path of the manifest.
        log_level: `CREDMGR_LOG_LEVEL`: debug, info, warning or error.
        log_format: `CREDMGR_LOG_FORMAT`: console, json or auto.
        actor: `CREDMGR_ACTOR`: who the audit log names for commands; None is the login name.
    """

    manifest: Path = Path("credmgr.yaml")
    log_level: LogLevel = LogLevel.INFO
    log_format: LogFormat = LogFormat.AUTO
    actor: str | None = None

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None) -> Self:
        """The settings of `environ`, of the process unless given; an empty variable is unset.

        Raises:
            ConfigError: A variable has a value that it cannot have, or looks misspelled.
        """
        variables = os.environ if environ is None else environ
        given = {name: value for name, value in variables.items() if value}
        _refuse_misspelled(given)
        return cls(
            manifest=Path(given.get("CREDMGR_MANIFEST", "credmgr.yaml")),
            log_level=_choice(given, "CREDMGR_LOG_LEVEL", LogLevel.INFO),
            log_format=_choice(given, "CREDMGR_LOG_FORMAT", LogFormat.AUTO),
            actor=_actor(given),
        )


KNOWN: Final = ("CREDMGR_ACTOR", "CREDMGR_LOG_FORMAT", "CREDMGR_LOG_LEVEL", "CREDMGR_MANIFEST")


def _refuse_misspelled(given: Mapping[str, str]) -> None:
    """Variables that only resemble a known one; others may be what the manifest's `env:` names."""
    known = {name.removeprefix(PREFIX): name for name in KNOWN}
    for name in sorted(given):
        upper = name.upper()
        if upper.startswith(PREFIX) and name not in KNOWN:
            close = get_close_matches(upper.removeprefix(PREFIX), known, n=1, cutoff=_ALIKE)
            if close:
                raise ConfigError(
                    f"there is no setting {name}", hint=f"did you mean {known[close[0]]}?"
                )


def _choice(given: Mapping[str, str], name: str, default: E) -> E:
    value = given.get(name, default.value).lower()
    choices = {choice.value: choice for choice in type(default)}
    if value not in choices:
        close = get_close_matches(value, choices, n=1)
        raise ConfigError(
            f"{name} is not one of {', '.join(choices)}",
            hint=f"did you mean {close[0]}?" if close else None,
        )
    return choices[value]


def _actor(given: Mapping[str, str]) -> str | None:
    actor = given.get("CREDMGR_ACTOR")
    if actor is not None and (len(actor) > 64 or not actor.isprintable()):  # noqa: PLR2004
        raise ConfigError("CREDMGR_ACTOR is not printable text of at most 64 characters")
    return actor
