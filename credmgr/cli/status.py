"""`credmgr status`: the inventory at a glance."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from credmgr.cli.copies import facts
from credmgr.cli.inventory import Item, inventory
from credmgr.cli.output import Json, ago, heading, json_out, plain, say, steps
from credmgr.cli.session import log_quietly, session
from credmgr.cli.table import table
from credmgr.processes import is_gone

if TYPE_CHECKING:
    from credmgr.store.heartbeats import Heartbeat

COLUMNS: Final = ("CREDENTIAL", "STATE", "AGE", "NEXT", "KIND", "ENV", "OWNER", "NOTE")
EXPENDABLE: Final = ("KIND", "ENV", "OWNER", "NOTE")
SILENT: Final = timedelta(seconds=45)
"""A daemon that was not heard for so long has died or hangs: it beats every 10 s."""


def status(*, as_json: Json = False) -> None:
    """Show every credential at a glance, and what waits for a person.

    [dim]Example:[/] credmgr status --json | jq '.credentials[] | select(.state == "OPERATOR")'
    """
    log_quietly()
    with session() as app:
        items = inventory(app)
        daemons = [one for one in app.store.ledger.heartbeats() if not is_gone(one.owner)]
        unwell = app.store.copies.unwell()
        now = app.clock.now()
    if as_json:
        found = [one.facts() for one in items]
        living = [asdict(one) for one in daemons]
        json_out({"credentials": found, "daemons": living, "copies": facts(unwell)})
        return
    show(items, now)
    say()
    if unwell:
        count = f"{len(unwell)} copies are" if len(unwell) != 1 else "one copy is"
        say(f"[yellow]{count} not what readers should get[/]: `credmgr drift` shows which")
    for one in daemons:
        say(_daemon(one, now))
    if not daemons:
        say("[yellow]no daemon is running[/]: `credmgr run` starts one")


def show(items: Sequence[Item], now: datetime) -> None:
    """The table, then what people are asked to do."""
    if not items:
        say("no credential is known yet: declare some, then `credmgr apply`")
        return
    table(COLUMNS, [_row(one, now) for one in items], expendable=EXPENDABLE)
    for one in items:
        if one.rotation and (one.rotation.steps or one.word == "OPERATOR"):
            _task(one)


def _row(item: Item, now: datetime) -> tuple[str, ...]:
    credential = item.enrolled.credential
    return (
        item.title(),
        item.state(),
        item.age(now),
        item.next(now),
        str(credential.kind),
        str(credential.environment),
        plain(credential.owner),
        f"[dim]{plain(item.note)}[/]" if item.note else "",
    )


def _task(item: Item) -> None:
    heading(f"[yellow]to do[/] for {item.title()}: {plain(item.note)}")
    asked = item.rotation.steps if item.rotation else ()
    steps(asked)
    if not asked:
        name = plain(item.name)
        say(f"  `credmgr history {name}` tells how it came to this;")
        say(f"  `credmgr resolve {name} --retry | --abort | --close` decides how it goes on")


def _daemon(one: "Heartbeat", now: datetime) -> str:
    heard = f"heard {ago(one.seen_at, now)}"
    if now - one.seen_at > SILENT:
        return f"[yellow]daemon[/] {plain(one.host)} pid {one.pid} is silent, {heard}"
    up = ago(one.started_at, now).removesuffix(" ago")
    return f"[green]daemon[/] {plain(one.host)} pid {one.pid}, up {up}, {heard}"
