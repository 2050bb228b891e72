"""The record of a leak: on the terminal, and in a file that only its owner reads."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from credmgr.cli.output import ago, as_json, heading, lines, moments, paragraph, plain, steps
from credmgr.errors import CredmgrError, UsageError
from credmgr.model.version import VersionStatus

if TYPE_CHECKING:
    from credmgr.bootstrap import App
    from credmgr.broker.purging import Purged
    from credmgr.model.names import Name
    from credmgr.model.version import Version
    from credmgr.rotation.record import Record


_HAD: Final = frozenset({VersionStatus.CURRENT, VersionStatus.PREVIOUS})
"""How far a version has come that consumers have had, and that works."""


@dataclass(frozen=True, slots=True)
class Before:
    """How things were when it began.

    Attributes:
        at: When.
        lived: The versions that consumers have had, and that work.
    """

    at: datetime
    lived: "Sequence[Version]"


def before(app: "App", name: "Name") -> Before:
    """How things are now."""
    known = app.store.ledger.versions(name)
    lived = [one for one in known if one.status in _HAD]
    return Before(app.clock.now(), lived)


def record(
    app: "App",
    name: "Name",
    begun: Before,
    purged: "Purged",
    failure: CredmgrError | None,
) -> "Record":
    """What has happened since."""
    from credmgr.rotation.record import Record

    ledger = app.store.ledger
    return Record(
        credential=name,
        actor=app.actor,
        began_at=begun.at,
        ended_at=app.clock.now(),
        lived=begun.lived,
        versions=ledger.versions(name),
        rotation=next(iter(ledger.rotations(name, 1)), None),
        journal=[entry for entry in ledger.history(name) if entry.at >= begun.at],
        usage=ledger.usage(name),
        dropped=purged.done,
        silent=purged.silent,
        head=app.store.audit.checkpoint(),
        failure=failure.message if failure else "",
    )


@contextmanager
def kept_for(file: Path | None) -> "Iterator[IO[str] | None]":
    """A new file for the record, made before anything happens; None where none is wanted.

    Raises:
        UsageError: It exists already, or cannot be made; then nothing was done.
    """
    if file is None:
        yield None
        return
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError as error:
        raise UsageError(f"{file} exists already", hint="a record is never overwritten") from error
    except OSError as error:
        raise UsageError(f"{file} cannot be made: {error.strerror}") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        yield stream
        empty = stream.tell() == 0
    if empty:
        file.unlink()


def write(stream: IO[str], made: "Record") -> None:
    """The record as JSON."""
    json.dump(made.facts(), stream, indent=2, default=as_json)
    stream.write("\n")


def show(made: "Record") -> None:
    """The record for a person: what happened, who read it, what is left."""
    heading("What happened")
    lines([_moment(made, entry.at, entry.text) for entry in made.journal])
    heading("Who has used it")
    if not made.readers:
        paragraph("nobody, as far as credmgr saw: the stores and the issuer have logs too", 2)
    else:
        lines([_reader(use, made.ended_at) for use in made.readers])
    heading("What is left to do")
    steps([*made.not_done, *_next(made)])


def _moment(made: "Record", at: datetime, text: str) -> tuple[str, str]:
    return f"[dim]+{moments(at - made.began_at)}[/]", plain(text)


def _reader(use: Any, now: datetime) -> tuple[str, ...]:
    scopes = " ".join(sorted(use.scopes)) or "the secret itself"
    return plain(use.consumer), ago(use.last_seen, now), f"{use.count} times", plain(scopes)


def _next(made: "Record") -> Sequence[str]:
    if made.not_done:
        return (f"credmgr status shows when it is done; credmgr history {made.credential}, how",)
    return (
        "take it out of where it was found, and run credmgr scan there",
        "look in the issuer's log for what was done with it, up to the moment of its end",
        f"the audit chain ends at record {made.head.sequence} now: keep it with the record",
    )
