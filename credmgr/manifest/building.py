"""Checked entries → the model."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from credmgr.manifest import alerting, schema
from credmgr.manifest.entry import DAYS
from credmgr.manifest.manifest import ApiSettings, DaemonSettings, PackUse, StateSettings
from credmgr.manifest.tree import Tree
from credmgr.model.consumer import Consumer, Grant
from credmgr.model.credential import (
    Credential,
    Overlap,
    Place,
    Retry,
    RotationPolicy,
    Schedule,
    Target,
    Window,
)
from credmgr.model.names import Name
from credmgr.model.routing import Match, Pace, QuietHours, Route, Routing
from credmgr.model.token import TokenPlace


def state(entry: schema.StateEntry, home: Path) -> StateSettings:
    """Where credmgr keeps what it knows, relative paths made absolute."""
    database = entry.database
    url = urlsplit(database)
    if url.scheme == "sqlite":
        database = f"sqlite:///{home / url.path[1:]}"
    return StateSettings(
        database=database,
        database_password=entry.database_password,
        master_key=entry.master_key,
        keyring=home / entry.keyring,
        checkpoint=home / entry.checkpoint,
    )


def daemon(entry: schema.DaemonEntry) -> DaemonSettings:
    """How the daemon works."""
    return DaemonSettings(**dict(entry))


def api(entry: schema.ApiEntry, home: Path) -> ApiSettings:
    """How the API is served, the socket's path made absolute."""
    listen = None
    if entry.listen is not None:
        host, _, port = entry.listen.rpartition(":")
        listen = (host.strip("[]"), int(port))
    return ApiSettings(home / entry.socket, listen, entry.hosts, entry.enabled)


def routing(entry: alerting.AlertsEntry, channels: Iterable[str]) -> Routing:
    """Where alerts go.

    Args:
        entry: What the manifest says.
        channels: The notifiers that there are.

    Raises:
        InvalidName: A channel is outside the grammar.
    """
    known, pace = _names(channels), _pace(entry, Pace())
    default = known if entry.default is None else _names(entry.default)
    routes = (Route(_match(one.match), _names(one.to), _pace(one, pace)) for one in entry.routes)
    return Routing(known, tuple(routes), Route(Match(), default, pace))


def _names(texts: Iterable[str]) -> tuple[Name, ...]:
    return tuple(Name(text) for text in texts)


def _match(entry: alerting.MatchEntry) -> Match:
    environments = frozenset(entry.environment or ())
    return Match(entry.owner or (), environments, entry.severity, entry.rule or ())


def _pace(entry: alerting.PaceEntry, before: Pace) -> Pace:
    """What an entry says of itself, the rest as `before`."""
    said: dict[str, Any] = {
        name: getattr(entry, name)
        for name in ("group_by", "group_wait", "group_interval", "remind_every")
        if name in entry.model_fields_set
    }
    if entry.quiet_hours is not None:
        quiet = entry.quiet_hours
        said["quiet"] = QuietHours(_span(quiet.days, quiet.start, quiet.end), quiet.zone)
    return replace(before, **said)


def consumer(name: str, entry: schema.ConsumerEntry) -> Consumer:
    """A consumer with its grants.

    Raises:
        InvalidName: It, or a credential that it names, is outside the grammar.
    """
    grants = (
        Grant(Name(grant.credential), frozenset(grant.read), frozenset(grant.scopes))
        for grant in entry.grants
    )
    return Consumer(
        name=Name(name),
        owner=entry.owner,
        grants=tuple(grants),
        description=entry.description,
        uid=entry.uid,
        user=entry.user,
        operator=entry.operator,
    )


def credential(name: str, entry: schema.CredentialEntry, options: dict[str, Any]) -> Credential:
    """A credential; its store is called as itself unless the manifest says otherwise.

    Raises:
        InvalidName: It, its issuer, a backend or a sink is outside the grammar.
    """
    return Credential(
        name=Name(name),
        kind=entry.kind,
        issuer=Name(entry.issuer),
        owner=entry.owner,
        environment=entry.environment,
        store=_place(entry.store, name),
        targets=tuple(_target(target, name) for target in entry.targets),
        scopes=frozenset(entry.scopes),
        client_id=entry.client_id,
        policy=policy(entry.rotation),
        options=options,
        description=entry.description,
    )


def policy(entry: schema.RotationEntry) -> RotationPolicy:
    """How a credential is rotated."""
    return RotationPolicy(
        schedule=Schedule(
            every=entry.every,
            cron=entry.cron,
            zone=entry.zone,
            windows=tuple(_window(window) for window in entry.windows),
            jitter=entry.jitter,
        ),
        overlap=Overlap(entry.overlap.minimum, entry.overlap.maximum),
        retry=Retry(**dict(entry.retry)),
    )


def policies(entries: tuple[schema.PolicyEntry, ...], tree: Tree) -> tuple[PackUse, ...]:
    """The rule packs in use, with where the manifest names them."""
    return tuple(
        PackUse(entry.pack, entry.inputs, tree.at(("policies", number)))
        for number, entry in enumerate(entries)
    )


def _place(entry: schema.PlaceEntry, name: str) -> Place:
    return Place(Name(entry.backend), Name(entry.name or name))


def _target(entry: schema.TargetEntry, name: str) -> Target:
    place = Place(Name(entry.backend or entry.sink or ""), Name(entry.name or name))
    return Target(place, entry.required, entry.drift)


def token_place(entry: schema.TokenEntry, name: str) -> TokenPlace:
    """Where a token of a credential is kept."""
    place = Place(Name(entry.backend or entry.sink or ""), Name(entry.name or f"{name}/token"))
    return TokenPlace(Name(name), place, frozenset(entry.scopes), entry.audience, entry.form)


def _window(entry: schema.WindowEntry) -> Window:
    return _span(entry.days, entry.start, entry.end)


def _span(days: Iterable[str], start: time, end: time) -> Window:
    return Window(frozenset(DAYS.index(day) + 1 for day in days), start, end)
