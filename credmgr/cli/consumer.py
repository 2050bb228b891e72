"""`credmgr consumer`: by what consumers prove who they are."""

import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer

from credmgr.cli.output import Json, ago, json_out, plain, say
from credmgr.cli.session import log_quietly, session
from credmgr.cli.table import table
from credmgr.errors import NotAllowedNow, UnknownConsumer, UsageError

if TYPE_CHECKING:
    from credmgr.bootstrap import App
    from credmgr.model.consumer import Bearer, Consumer
    from credmgr.model.names import Name

COLUMNS: Final = ("CONSUMER", "OWNER", "USER", "BEARER", "MAY READ")
EXPENDABLE: Final = ("OWNER", "USER")

app = typer.Typer(help="Consumers: by what a service proves who it is.")
Named = Annotated[str, typer.Argument(metavar="NAME", help="A consumer of the manifest.")]


@app.command("add")
def add(name: Named, *, as_json: Json = False) -> None:
    """Make a consumer's bearer and print it, this once.

    credmgr keeps a hash of it alone. One that has a bearer gets another by `rotate`.

    [dim]Example:[/] credmgr consumer add billing > /etc/billing/credmgr.token
    """
    from credmgr.model.names import Name

    log_quietly()
    with session(migrate=True) as state:
        known = Name(name)
        if _bearers(state, known):
            raise NotAllowedNow(
                f"{known} has a bearer already", hint=f"credmgr consumer rotate {known}"
            )
        _give(state, known, timedelta(), as_json=as_json)


@app.command("rotate")
def rotate(
    name: Named,
    *,
    overlap: Annotated[str, typer.Option(help="How long the old one goes on working.")] = "1h",
    as_json: Json = False,
) -> None:
    """Make a new bearer for a consumer and print it, this once; the old one ends soon.

    [dim]Example:[/] credmgr consumer rotate billing --overlap 30m
    """
    from credmgr.manifest.durations import parse_duration
    from credmgr.model.names import Name

    log_quietly()
    try:
        length = parse_duration(overlap)
    except ValueError as error:
        raise UsageError(f"--overlap: {error}") from error
    with session(migrate=True) as state:
        _give(state, Name(name), length, as_json=as_json)


@app.command("remove")
def remove(name: Named, *, as_json: Json = False) -> None:
    """End every bearer of a consumer; a daemon that runs refuses them within two seconds.

    [dim]Example:[/] credmgr consumer remove billing
    """
    from credmgr.model.names import Name

    log_quietly()
    with session() as state:
        known = Name(name)
        count = state.store.ledger.take_bearers(known, state.actor)
        if not count:
            _declared(state, known)
    if as_json:
        json_out({"consumer": known, "ended": count})
    else:
        say(f"{plain(known)}: {count or 'no'} bearer{'' if count == 1 else 's'} ended")


@app.command("list")
def list_consumers(*, as_json: Json = False) -> None:
    """Show who may read what, and by which way each is let in.

    [dim]Example:[/] credmgr consumer list
    """
    log_quietly()
    with session() as state:
        now = state.clock.now()
        found = [(one, _bearers(state, one.name)) for one in state.manifest.consumers.values()]
        strays = _undeclared(state)
    if as_json:
        json_out({"consumers": [_facts(one, bearers) for one, bearers in found]})
    else:
        table(COLUMNS, [_row(one, held, now) for one, held in found], expendable=EXPENDABLE)
    for name in strays:
        text = f"{name} has a bearer and is in the manifest no more: `credmgr consumer remove`"
        sys.stderr.write(f"{text}\n")


def _give(state: "App", name: "Name", overlap: timedelta, *, as_json: bool) -> None:
    from credmgr.model.bearers import digest, new_bearer
    from credmgr.model.consumer import Bearer

    _declared(state, name)
    value = new_bearer()
    hashed = digest(value.reveal().encode())
    bearer = Bearer(name, hashed, state.clock.now())
    state.store.ledger.give_bearer(bearer, overlap, state.actor)
    if as_json:
        json_out({"consumer": name, "bearer": value.reveal()})
        return
    sys.stdout.write(f"{value.reveal()}\n")
    sys.stderr.write("This is shown once; keep it in a file that only the consumer can read.\n")


def _declared(state: "App", name: "Name") -> "Consumer":
    found = state.manifest.consumers.get(name)
    if found is None:
        hint = "declare it under `consumers`, with what it may read"
        raise UnknownConsumer(f"the manifest has no consumer {name}", hint=hint)
    return found


def _bearers(state: "App", name: "Name") -> "Sequence[Bearer]":
    every = state.store.ledger.bearers(state.clock.now())
    return [bearer for bearer in every if bearer.consumer == name]


def _undeclared(state: "App") -> "Sequence[Name]":
    holders = {bearer.consumer for bearer in state.store.ledger.bearers(state.clock.now())}
    return sorted(holders - state.manifest.consumers.keys())


def _facts(consumer: "Consumer", bearers: "Sequence[Bearer]") -> dict[str, object]:
    return {
        "name": consumer.name,
        "owner": consumer.owner,
        "uid": consumer.uid,
        "user": consumer.user,
        "operator": consumer.operator,
        "bearers": [{"issued_at": one.issued_at, "expires_at": one.expires_at} for one in bearers],
        "grants": [
            {"credential": one.credential, "read": one.read, "scopes": one.scopes}
            for one in consumer.grants
        ],
    }


def _row(consumer: "Consumer", bearers: "Sequence[Bearer]", now: datetime) -> Sequence[str]:
    user = consumer.user or ("" if consumer.uid is None else f"uid {consumer.uid}")
    reads = ", ".join(f"{one.credential} ({'/'.join(sorted(one.read))})" for one in consumer.grants)
    if consumer.operator:
        reads = ", ".join(filter(None, ("operator", reads)))
    held = "; ".join(
        f"since {ago(one.issued_at, now)}"
        + (f", ends {ago(one.expires_at, now)}" if one.expires_at else "")
        for one in bearers
    )
    name, owner = f"[bold]{plain(consumer.name)}[/]", plain(consumer.owner)
    return name, owner, plain(user or "-"), held or "-", plain(reads or "-")
