"""`credmgr notify`: by which channels people hear of alerts, and whether they do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from credmgr.cli.exits import Exit
from credmgr.cli.output import Json, ago, fields, json_out, length, plain, say
from credmgr.cli.session import log_quietly, manifest, session
from credmgr.cli.table import table
from credmgr.errors import CredmgrError, UsageError
from credmgr.model.credential import Environment
from credmgr.model.finding import Alert, Severity

if TYPE_CHECKING:
    from datetime import datetime

    from credmgr.bootstrap import App
    from credmgr.model.names import Name
    from credmgr.model.outbox import ChannelState
    from credmgr.model.routing import Match, Pace, Route, Routing

app = typer.Typer(help="Alerts: by which channels people hear of them, and whether they do.")
Owner = Annotated[str, typer.Option(help="Of an alert to this owner.")]
Env = Annotated[Environment | None, typer.Option(help="About a credential of this environment.")]
Bad = Annotated[Severity | None, typer.Option(help="Of this severity.")]
Rule = Annotated[str, typer.Option(help="Of this rule, such as `rotation`.")]

_CHANNELS: Final = ("CHANNEL", "PLUGIN", "WAITING", "LAST DELIVERED", "NEXT TRY", "FAILURE")
_ROUTES: Final = ("ROUTE", "TAKES", "TO", "TIMES")


@app.command("list")
def list_channels(*, as_json: Json = False) -> None:
    """Show the channels, what waits for each, and where alerts go.

    [dim]Example:[/] credmgr notify list
    """
    log_quietly()
    with session() as state:
        declared, routing = state.manifest.notifiers, state.manifest.alerts
        states = state.store.outbox.states(routing.channels)
        now = state.clock.now()
    routes = list(enumerate((*routing.routes, routing.default), 1))
    if as_json:
        json_out(
            {
                "channels": [_channel_facts(one, declared[one.name].plugin) for one in states],
                "routes": [_route_facts(routing, one) for _, one in routes],
            }
        )
        return
    if not states:
        say("nobody hears of alerts: the manifest declares no notifier")
        return
    rows = [_channel_row(one, declared[one.name].plugin, now) for one in states]
    table(_CHANNELS, rows, expendable=("FAILURE", "NEXT TRY", "LAST DELIVERED"))
    say()
    table(_ROUTES, [_route_row(routing, number, one) for number, one in routes])


@app.command("route")
def route(
    *,
    owner: Owner = "",
    env: Env = None,
    severity: Bad = None,
    rule: Rule = "example",
    as_json: Json = False,
) -> None:
    """Say where an alert would go, and why there.

    [dim]Example:[/] credmgr notify route --owner payments-team --env production --severity critical
    """
    log_quietly()
    routing = manifest().alerts
    alert = _example(_Wanted(owner, env, severity, rule))
    chosen = routing.route(alert)
    if as_json:
        json_out(_route_facts(routing, chosen) | {"group": chosen.pace.group(alert)})
        return
    fields(
        {
            "route": _route_name(routing, chosen),
            "takes": plain(_match_words(chosen.match)),
            "to": plain(" ".join(routing.to(alert)) or "nobody"),
            "group": plain(chosen.pace.group(alert) or "all in one"),
            "times": _pace_words(chosen.pace),
        }
    )


@app.command("test")
def send_test(
    channels: Annotated[
        list[str] | None, typer.Argument(metavar="[CHANNEL]...", help="Names under `notifiers`.")
    ] = None,
    *,
    owner: Owner = "",
    env: Env = None,
    severity: Bad = None,
    as_json: Json = False,
) -> None:
    """Send a test alert now, and say what happened.

    Through the channels that are named, or those to which an alert like this would go. Exits 1
    when one did not take it.

    [dim]Example:[/] credmgr notify test mail
    """
    log_quietly()
    wanted = _Wanted(owner, env, severity, "test")
    with session() as state:
        names = _channels(state, channels or [], wanted)
        problems = {name: _tried(state, name, wanted) for name in names}
    if as_json:
        json_out({"delivered": {name: why is None for name, why in problems.items()}})
    else:
        _say_what_happened(problems)
    if any(why is not None for why in problems.values()):
        raise typer.Exit(Exit.FAILED)


@dataclass(frozen=True, slots=True)
class _Wanted:
    owner: str
    env: Environment | None
    severity: Severity | None
    rule: str


def _example(wanted: _Wanted, at: "datetime | None" = None, identity: str = "") -> Alert:
    from credmgr.model.clock import SystemClock

    return Alert(
        key=f"{wanted.rule}/{identity or 'example'}",
        severity=wanted.severity or Severity.INFO,
        owner=wanted.owner,
        title="A test of this channel",
        body="Somebody typed `credmgr notify test`. There is nothing to do.",
        at=at or SystemClock().now(),
        environment=wanted.env,
        once=True,
        id=identity,
    )


def _channels(state: "App", given: Sequence[str], wanted: _Wanted) -> "Sequence[Name]":
    from credmgr.model.names import Name

    routing = state.manifest.alerts
    for text in given:
        if text not in routing.channels:
            known = ", ".join(routing.channels) or "none"
            raise UsageError(f"the manifest has no notifier {text}", hint=f"declared: {known}")
    if given:
        return [Name(text) for text in given]
    return routing.to(_example(wanted))


def _tried(state: "App", name: "Name", wanted: _Wanted) -> CredmgrError | None:
    from uuid import uuid4

    alert = _example(wanted, state.clock.now(), str(uuid4()))
    try:
        state.outside.notifiers[name].deliver(alert)
    except CredmgrError as error:
        return error
    return None


def _say_what_happened(problems: "dict[Name, CredmgrError | None]") -> None:
    if not problems:
        say("nobody hears of such an alert")
    for name, error in problems.items():
        if error is None:
            say(f"[green]✓[/] [bold]{plain(name)}[/] took it")
            continue
        say(f"[bold red]✗[/] [bold]{plain(name)}[/] did not take it: {plain(error.message)}")
        if error.hint:
            say(f"  [dim]→ {plain(error.hint)}[/]")


def _channel_row(one: "ChannelState", plugin: str, now: "datetime") -> Sequence[str]:
    sign = "[bold red]✗[/]" if one.attempts else "[green]✓[/]"
    return (
        f"{sign} [bold]{plain(one.name)}[/]",
        plain(plugin),
        str(one.waiting),
        ago(one.delivered_at, now),
        ago(one.retry_at, now),
        plain(one.why) or "-",
    )


def _channel_facts(one: "ChannelState", plugin: str) -> dict[str, Any]:
    return {
        "name": one.name,
        "plugin": plugin,
        "waiting": one.waiting,
        "failures": one.attempts,
        "failure": one.why or None,
        "retry_at": one.retry_at,
        "delivered_at": one.delivered_at,
    }


def _route_name(routing: "Routing", one: "Route") -> str:
    if one is routing.default:
        return "default"
    return next(str(number) for number, route in enumerate(routing.routes, 1) if route is one)


def _route_row(routing: "Routing", number: int, one: "Route") -> Sequence[str]:
    name = "default" if one is routing.default else str(number)
    to = " ".join(one.channels) or "nobody"
    return name, plain(_match_words(one.match)), plain(to), _pace_words(one.pace)


def _match_words(match: "Match") -> str:
    said = [
        f"owner {' or '.join(match.owners)}" if match.owners else "",
        f"in {' or '.join(sorted(match.environments))}" if match.environments else "",
        f"{match.severity} or worse" if match.severity is not Severity.INFO else "",
        f"rule {' or '.join(match.rules)}" if match.rules else "",
    ]
    return ", ".join(text for text in said if text) or "everything"


def _pace_words(pace: "Pace") -> str:
    reminds = f"again every {length(pace.remind_every)}" if pace.remind_every else "never again"
    said = [f"after {length(pace.group_wait)}", reminds]
    if pace.quiet is not None:
        window = pace.quiet.window
        said.append(f"quiet {window.start:%H:%M}-{window.end:%H:%M} {pace.quiet.zone.key}")
    return ", ".join(said)


def _route_facts(routing: "Routing", one: "Route") -> dict[str, Any]:
    pace = one.pace
    return {
        "route": _route_name(routing, one),
        "owners": one.match.owners,
        "environments": one.match.environments,
        "severity": one.match.severity.value,
        "rules": one.match.rules,
        "to": one.channels,
        "group_by": [each.value for each in pace.group_by],
        "group_wait": pace.group_wait,
        "group_interval": pace.group_interval,
        "remind_every": pace.remind_every,
        "quiet": pace.quiet is not None,
    }
