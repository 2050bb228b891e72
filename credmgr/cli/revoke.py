"""`credmgr revoke NAME`: end a secret's life before its time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Event, Timer
from typing import TYPE_CHECKING, Annotated

import typer

from credmgr.cli.exits import Exit
from credmgr.cli.names import Named
from credmgr.cli.output import Json, Yes, confirm, paragraph, plain
from credmgr.cli.rotate import finish, silent, tell
from credmgr.cli.session import log_quietly, session
from credmgr.errors import CredmgrError, UsageError

if TYPE_CHECKING:
    from credmgr.bootstrap import App
    from credmgr.broker.purging import Purged
    from credmgr.model.names import Name
    from credmgr.model.rotation import Rotation
    from credmgr.rotation.runbook import Runbook, Seen


def revoke(  # noqa: PLR0913 (one for each option)
    name: Named,
    *,
    leaked: Annotated[
        bool, typer.Option("--leaked", help="Emergency: replace the current secret, no overlap.")
    ] = False,
    previous: Annotated[
        bool, typer.Option("--previous", help="End the overlap now: the old secret dies.")
    ] = False,
    export: Annotated[
        Path | None, typer.Option(help="With --leaked: write the timed record here, mode 0600.")
    ] = None,
    wait: Annotated[
        str, typer.Option(metavar="DURATION", help="With --leaked: how long to stay at it.")
    ] = "5m",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Revoke a secret now, and return when it is dead.

    Or when a person has to act. Every running daemon drops the tokens made from it before that.
    With neither option, the last secret of a credential that the manifest no longer declares. What
    --leaked cannot do yet, because somebody does not answer, is told, and the daemon goes on.

    [dim]Example:[/] credmgr revoke caseforge/api-key --leaked --yes
    """
    from credmgr.model.names import Name
    from credmgr.rotation.runbook import Runbook

    if leaked and previous:
        raise UsageError("--leaked and --previous exclude each other")
    if export is not None and not leaked:
        raise UsageError("--export goes with --leaked")
    log_quietly()
    patience, seen = _patience(wait), silent if as_json else tell
    with session() as app:
        app.store.ledger.enrolled(Name(name))
        confirm(_question(name, leaked=leaked, previous=previous), yes=yes)
        if leaked:
            row, purged = _leaked(app, Name(name), export, patience, seen)
        else:
            row = (_previous if previous else _retire)(Runbook(app.engine), Name(name), seen)
            purged = app.purge(Name(name))
    if not as_json:
        _tell(purged)
    finish(row, as_json=as_json, told=True, tokens=purged)
    if purged.silent:
        raise typer.Exit(Exit.UNAVAILABLE)


def _tell(purged: "Purged") -> None:
    if purged.done:
        paragraph(f"The tokens are gone from the memory of {plain(', '.join(purged.done))}.")
    for owner in purged.silent:
        paragraph(f"[bold]{plain(owner)}[/] has not said that it dropped the tokens: restart it.")


def _question(name: str, *, leaked: bool, previous: bool) -> str:
    if leaked:
        return f"Replace the secret of {name} and kill it without an overlap?"
    if previous:
        return f"Kill the old secret of {name} now, whoever still uses it?"
    return f"Kill the last secret of {name}, and remove every copy?"


def _leaked(
    app: "App", name: "Name", export: Path | None, patience: timedelta, seen: "Seen"
) -> "tuple[Rotation, Purged]":
    """Do all that can be done, keep the record, and show it."""
    from credmgr.cli.leak_record import before, kept_for, record, show, write
    from credmgr.rotation.runbook import Runbook

    with kept_for(export) as stream, _ending(patience) as stop:
        begun = before(app, name)
        outcome = _attempt(lambda: Runbook(app.engine).leaked(name, seen, stop=stop))
        purged = app.purge(name)
        failure = outcome if isinstance(outcome, CredmgrError) else None
        made = record(app, name, begun, purged, failure)
        if stream is not None:
            write(stream, made)
    if seen is not silent:
        show(made)
    if isinstance(outcome, CredmgrError):
        raise outcome
    return outcome, purged


def _attempt(act: "Callable[[], Rotation]") -> "Rotation | CredmgrError":
    """What came of it; a failure does not keep the rest from being done."""
    try:
        return act()
    except CredmgrError as error:
        return error


def _patience(text: str) -> timedelta:
    from credmgr.manifest.durations import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--wait: {error}") from error


@contextmanager
def _ending(patience: timedelta) -> Iterator[Event]:
    """Is set when patience is over."""
    stop = Event()
    timer = Timer(patience.total_seconds(), stop.set)
    timer.daemon = True
    timer.start()
    try:
        yield stop
    finally:
        timer.cancel()


def _previous(runbook: "Runbook", name: "Name", seen: "Seen") -> "Rotation":
    return runbook.follow(runbook.hurry(name), seen)


def _retire(runbook: "Runbook", name: "Name", seen: "Seen") -> "Rotation":
    return runbook.follow(runbook.retire(name), seen)
