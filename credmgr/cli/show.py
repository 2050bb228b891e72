"""`credmgr show NAME`: everything about one credential."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from credmgr.cli.inventory import Item, inventory
from credmgr.cli.names import Named
from credmgr.cli.output import (
    Json,
    ago,
    fields,
    heading,
    json_out,
    lines,
    plain,
    say,
    state,
    steps,
)
from credmgr.cli.session import log_quietly, session
from credmgr.cli.table import table
from credmgr.cli.usage import seen

if TYPE_CHECKING:
    from uuid import UUID

    from credmgr.bootstrap import App
    from credmgr.model.consumer import Consumer
    from credmgr.model.copy import Copy
    from credmgr.model.credential import Place
    from credmgr.model.version import Version

VERSIONS: Final = ("STATUS", "SECRET ID", "FINGERPRINT", "ISSUED", "ENDED", "VERSION")


def show(name: Named, *, as_json: Json = False) -> None:
    """Show everything about a credential.

    Its copies are looked at where they are.

    [dim]Example:[/] credmgr show caseforge/api-key
    """
    from dataclasses import asdict

    from credmgr.model.names import Name

    log_quietly()
    with session() as app:
        app.store.ledger.enrolled(Name(name))
        item = next(one for one in inventory(app) if one.name == name)
        versions = app.store.ledger.versions(Name(name))
        known = {copy.place: copy for copy in app.store.copies.of(Name(name))}
        copies = [
            {**_copy(app, place, item), **_kept(known.get(place))}
            for place in item.enrolled.credential.places
        ]
        consumers = [one for one in app.manifest.consumers.values() if one.grant(Name(name))]
        usage = app.store.ledger.usage(Name(name))
        now = app.clock.now()
    if as_json:
        json_out({**_facts(item, versions, copies, consumers), "usage": [asdict(u) for u in usage]})
        return
    say(f"{item.title()}  {item.state()}")
    _declaration(item)
    _now(item, now)
    _versions(versions, now)
    heading("Copies")
    lines([(state(one["condition"], 11), plain(one["place"]), _beside(one)) for one in copies])
    _consumers(item, consumers)
    seen(usage, item.current.id if item.current else None, now)


def _facts(
    item: Item,
    versions: "Sequence[Version]",
    copies: list[dict[str, str]],
    consumers: "Sequence[Consumer]",
) -> dict[str, object]:
    from dataclasses import asdict

    from credmgr.manifest.plan import in_words

    return {
        **item.facts(),
        "declaration": in_words(item.enrolled.credential),
        "applied_at": item.enrolled.applied_at,
        "versions": [asdict(one) for one in versions],
        "copies": copies,
        "consumers": [asdict(one) for one in consumers],
    }


def _copy(app: "App", place: "Place", item: Item) -> dict[str, str]:
    """What readers of one place see, in words."""
    from credmgr.errors import CredmgrError
    from credmgr.model.version import Stage

    try:
        if place.backend in app.manifest.sinks:
            holds = _written(app, place, item)
        else:
            held = app.outside.backends[place.backend].versions(place.name)
            seen = next((one.version for one in held if one.stage is Stage.CURRENT), None)
            holds = _version(seen, item)
    except CredmgrError as error:
        holds = f"cannot be read: {error.message}"
    return {"place": str(place), "holds": holds}


def _kept(copy: "Copy | None") -> dict[str, str]:
    """How it was when somebody last looked."""
    if copy is None:
        return {"condition": "unseen", "reason": ""}
    return {"condition": copy.condition.value, "reason": copy.reason}


def _written(app: "App", place: "Place", item: Item) -> str:
    """What a sink knows of its copy, in words."""
    known = app.outside.sinks[place.backend].inspect(place.name)
    if known is None:
        return "what the sink does not tell"
    if known.version is not None and not known.intact:
        return "something else than was written: it was changed or deleted"
    return _version(known.version, item)


def _beside(copy: dict[str, str]) -> str:
    return plain(f"{copy['holds']}; {copy['reason']}" if copy["reason"] else copy["holds"])


def _version(seen: "UUID | None", item: Item) -> str:
    if seen is None:
        return "nothing yet"
    current = item.current.id if item.current else None
    return "the current secret" if seen == current else f"another version: {seen}"


def _declaration(item: Item) -> None:
    from credmgr.manifest.plan import in_words

    words = in_words(item.enrolled.credential)
    heading("Declared")
    fields({key: plain(value) for key, value in words.items() if value != "(none)"})


def _now(item: Item, now: datetime) -> None:
    heading("Now")
    shown = {
        "age": item.age(now),
        "next due": item.next(now),
        "applied": ago(item.enrolled.applied_at, now),
    }
    if item.rotation:
        row = item.rotation
        shown["rotation"] = f"{state(row.state)} since {ago(row.entered_at, now)}, {row.trigger}"
        shown["waits"] = plain(item.note or "for nothing")
    fields(shown)
    steps(item.rotation.steps if item.rotation else ())


def _versions(versions: "Sequence[Version]", now: datetime) -> None:
    heading("Versions")
    rows = [
        (
            str(one.status),
            plain(one.secret_id),
            one.fingerprint or "-",
            ago(one.issued_at, now),
            ago(one.ended_at, now),
            str(one.id),
        )
        for one in versions
    ]
    if rows:
        table(VERSIONS, rows, expendable=("VERSION", "FINGERPRINT"))
    else:
        say("  none yet")


def _consumers(item: Item, consumers: "Sequence[Consumer]") -> None:
    from credmgr.model.names import Name

    heading("Consumers")
    if not consumers:
        say("  none is declared")
    for one in consumers:
        grant = one.grant(Name(item.name))
        reads = ", ".join(sorted(grant.read)) if grant else ""
        scopes = f" for {' '.join(sorted(grant.scopes))}" if grant and grant.scopes else ""
        say(f"  [bold]{one.name}[/] of {plain(one.owner)} reads {reads}{plain(scopes)}")
