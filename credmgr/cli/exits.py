"""What each kind of error means to whoever called the command: an exit code and a message."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING, NoReturn

from credmgr.errors import (
    AccessDenied,
    AuditBroken,
    ConfigError,
    CorruptSecret,
    CredmgrError,
    KeyringError,
    ManifestError,
    OperatorNeeded,
    SchemaTooNew,
    UsageError,
)

if TYPE_CHECKING:
    from rich.console import Console


class Exit(IntEnum):
    """The exit codes, documented in docs/cli.md."""

    OK = 0
    FAILED = 1
    """It was tried and did not succeed: an issuer or backend said no, a rotation was aborted."""
    USAGE = 2
    """The command, the manifest or the settings are wrong; nothing was done."""
    UNAVAILABLE = 3
    """Something does not answer or is held by another process; the same command may work later."""
    OPERATOR = 4
    """A person has to act: a rotation is parked, or waits for an import or a revocation."""
    UNTRUSTED = 5
    """Something stored does not verify: the audit chain, the keyring, a sealed value."""
    CHANGES = 10
    """With `--exit-code` only: `plan`, applying would change something; `drift`, a copy differs."""


_CODES: tuple[tuple[tuple[type[CredmgrError], ...], Exit], ...] = (
    ((UsageError, ConfigError, SchemaTooNew), Exit.USAGE),
    ((OperatorNeeded,), Exit.OPERATOR),
    ((AuditBroken, KeyringError, CorruptSecret), Exit.UNTRUSTED),
    ((AccessDenied,), Exit.FAILED),
)


def code_of(error: CredmgrError) -> Exit:
    """The exit code of an error."""
    for kinds, code in _CODES:
        if isinstance(error, kinds):
            return code
    return Exit.UNAVAILABLE if error.retryable else Exit.FAILED


@contextmanager
def reporting() -> Iterator[None]:
    """Turn what is raised into a message on standard error and an exit code; never a traceback."""
    try:
        with _flushed():
            yield
    except CredmgrError as error:
        _say(error)
        sys.exit(code_of(error))
    except OSError as error:
        if error.filename is not None:  # a file's trouble, not that of standard output
            _say(CredmgrError(f"{error.filename}: {error.strerror}"))
            sys.exit(Exit.FAILED)
        _say(CredmgrError(f"the output cannot be written: {error.strerror}"))
        _leave(Exit.FAILED)
    except Exception as error:  # noqa: BLE001 (a bug: its type is told, its text may hold anything)
        _say(_unexpected(error))
        sys.exit(Exit.FAILED)
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        sys.exit(130)  # 128 + SIGINT, as shells have it


@contextmanager
def _flushed() -> Iterator[None]:
    """What cannot be written comes to light here, not when the interpreter ends."""
    try:
        yield
    finally:
        sys.stdout.flush()


def _leave(code: Exit) -> NoReturn:
    """Exit without flushing what cannot be written."""
    os._exit(code)


def _unexpected(error: Exception) -> CredmgrError:
    import structlog

    structlog.get_logger("credmgr.cli").debug("unexpected error", exc_info=error)
    return CredmgrError(
        f"unexpected error ({type(error).__name__}); this is a bug in credmgr",
        hint="`credmgr --log-level debug …` shows where; please report it",
    )


def _say(error: CredmgrError) -> None:
    from rich.console import Console

    from credmgr.cli.output import PIPED_WIDTH, plain

    width = None if sys.stderr.isatty() else PIPED_WIDTH
    screen = Console(stderr=True, highlight=False, emoji=False, soft_wrap=True, width=width)
    if isinstance(error, ManifestError):
        _say_problems(error, screen)
        return
    screen.print(f"[bold red]error[/] {plain(error.message)}")
    if error.hint:
        screen.print(f"[dim] hint[/] {plain(error.hint)}")
    for number, step in enumerate(getattr(error, "steps", ()), 1):
        screen.print(f"  {number}. {plain(step)}")


def _say_problems(error: ManifestError, screen: "Console") -> None:
    from credmgr.cli.output import plain

    for problem in error.problems:
        place = f"{problem.file}:{problem.line}:{problem.column}" if problem.line else problem.file
        screen.print(f"[bold]{plain(place)}[/] {plain(problem.what)}")
        if problem.fix:
            screen.print(f"    [dim]{plain(problem.fix)}[/]")
    count = len(error.problems)
    screen.print(f"[bold red]error[/] {count} {'mistake' if count == 1 else 'mistakes'}")
