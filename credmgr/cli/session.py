"""What the commands share: the options before the command, and the App that it works with."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from credmgr.errors import SecretInArguments
from credmgr.settings import LogFormat, LogLevel, Settings

if TYPE_CHECKING:
    from credmgr.bootstrap import App
    from credmgr.manifest.manifest import Manifest
    from credmgr.outside import Watch


SHORTEST_SECRET: Final = 12
"""Below this length no argument has the shape of a secret."""
HOW_TO_GIVE_IT: Final = (
    "give it at the prompt, by `--file PATH`, or on standard input;"
    " and since it may stand in your shell's history, rotate it"
)


@dataclass(slots=True)
class Invocation:
    """One call of the command line.

    Attributes:
        settings: The environment, overridden by the options before the command.
        begun: Whether the options before the command were taken; not so while completing.
        watch: What wraps the App's surroundings; set by the crash tests only.
    """

    settings: Settings
    begun: bool = False
    watch: "Watch | None" = None


current = Invocation(Settings())


def begin(manifest: Path | None, level: LogLevel | None, form: LogFormat | None) -> None:
    """Take the environment and the options before the command."""
    settings = Settings.read()
    settings = replace(
        settings,
        manifest=manifest or settings.manifest,
        log_level=level or settings.log_level,
        log_format=form or settings.log_format,
    )
    current.settings, current.begun = settings, True


def refuse_secrets(arguments: Sequence[str]) -> None:
    """Refuse a secret on the command line, where every process on the machine can read it.

    Raises:
        SecretInArguments: An argument has the shape of one.
    """
    long = [argument for argument in arguments if len(argument) >= SHORTEST_SECRET]
    if not long:
        return  # `credmgr --help` need not load the logs' machinery
    from credmgr.logs import looks_secret

    if any(looks_secret(argument) for argument in long):
        raise SecretInArguments(hint=HOW_TO_GIVE_IT)


def log_quietly() -> None:
    """Log warnings and worse, since a command speaks through its output; all of it at DEBUG."""
    chosen = current.settings.log_level
    log(chosen if chosen is LogLevel.DEBUG else LogLevel.WARNING)


def log(level: LogLevel) -> None:
    """Log from this level on, to standard error."""
    from credmgr.logs import configure

    configure(level.value.upper(), current.settings.log_format.value)


def manifest() -> "Manifest":
    """The manifest, checked whole.

    Raises:
        ManifestError: It is wrong.
    """
    from credmgr.manifest.loading import load

    return load(current.settings.manifest)


@contextmanager
def session(*, migrate: bool = False, actor: str | None = None) -> Iterator["App"]:
    """An App for the length of one command.

    Args:
        migrate: Whether to bring the state database's schema up to date.
        actor: Who acts, for the audit log, unless the environment says; the login name by default.

    Raises:
        CredmgrError: The manifest is wrong, the keyring does not open, or the state database
            cannot be used.
    """
    from credmgr.bootstrap import build

    who = current.settings.actor or actor
    app = build(manifest(), actor=who, migrate=migrate, watch=current.watch)
    try:
        yield app
    finally:
        app.close()
