"""What rules look at: credentials with their surroundings, many at once, and which are due."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    String,
    and_,
    bindparam,
    func,
    insert,
    select,
    type_coerce,
    update,
)

from credmgr.model.credential import CredentialStatus, Environment, Kind
from credmgr.model.names import Name
from credmgr.model.rotation import State
from credmgr.model.subject import NOTHING, Subject, Topic
from credmgr.model.version import KeyType, Version, VersionStatus
from credmgr.store.bynames import ByNames
from credmgr.store.database import Transaction
from credmgr.store.tables import (
    credentials,
    findings,
    meta,
    observations,
    open_only,
    rotations,
    usage,
    versions,
)
from credmgr.store.types import Moment
from credmgr.store.upserts import Upsert, replacing

RULES: Final = "rules"
"""The row of `meta` that says by which rules credentials were last looked at."""
LIVE: Final = (VersionStatus.CURRENT, VersionStatus.PREVIOUS, VersionStatus.STAGED)

_TICK: Final = timedelta(microseconds=1)
_KEY_TYPES: Final = {each.value: each for each in KeyType}
_STATES: Final = {state.value: state for state in State}
_KINDS: Final = {kind.value: kind for kind in Kind}
_ENVIRONMENTS: Final = {each.value: each for each in Environment}


def _plain(column: Column[Any]) -> ColumnElement[str]:
    """A column as it is kept: a sweep reads a million of them, and made no check twice."""
    return type_coerce(column, String)


_TO_LOOK_AT: Final = (
    select(credentials.c.name)
    .where(credentials.c.next_look_at <= bindparam("b_now", type_=Moment))
    .order_by(credentials.c.next_look_at, credentials.c.name)
    .limit(bindparam("b_limit"))
)
_AFTER: Final = (
    select(_plain(credentials.c.name))
    .where(credentials.c.name > bindparam("b_name"))
    .order_by(credentials.c.name)
    .limit(bindparam("b_limit"))
)
_FACTS: Final = ByNames(
    lambda among: (
        select(
            _plain(credentials.c.name),
            credentials.c.declaration,
            _plain(credentials.c.status),
            credentials.c.applied_at,
            credentials.c.next_due_at,
            credentials.c.next_look_at,
            versions.c.issued_at,
            versions.c.expires_at,
            _plain(versions.c.key_type),
            _plain(rotations.c.state),
            rotations.c.entered_at,
            rotations.c.reason,
        )
        .outerjoin(
            versions,
            and_(
                versions.c.credential == credentials.c.name,
                versions.c.status == VersionStatus.CURRENT,
            ),
        )
        .outerjoin(rotations, and_(rotations.c.credential == credentials.c.name, open_only))
        .where(among(credentials.c.name))
    )
)
_USES: Final = ByNames(
    lambda among: (
        select(
            _plain(usage.c.credential),
            usage.c.scopes,
            func.min(usage.c.first_seen, type_=Moment),
            func.max(usage.c.last_seen, type_=Moment),
        )
        .where(among(usage.c.credential))
        .group_by(usage.c.credential, usage.c.scopes)
    )
)
_twin: Final = versions.alias("twin")
_TWINS: Final = ByNames(
    lambda among: (
        select(_plain(versions.c.credential), _plain(_twin.c.credential))
        .join(
            _twin,
            and_(
                _twin.c.fingerprint == versions.c.fingerprint,
                _twin.c.credential != versions.c.credential,
            ),
        )
        .where(
            among(versions.c.credential),
            versions.c.fingerprint != "",
            versions.c.status.in_(LIVE),
            _twin.c.status.in_(LIVE),
        )
        .distinct()
    )
)
_SEEN: Final = ByNames(
    lambda among: select(
        _plain(observations.c.credential), observations.c.topic, observations.c.details
    ).where(among(observations.c.credential))
)
_DETAILS: Final = select(observations.c.details).where(
    observations.c.credential == bindparam("b_name"), observations.c.topic == bindparam("b_topic")
)
_OBSERVE: Final = Upsert(observations, ["credential", "topic"], replacing("details", "at"))
_LOOK_NOW: Final = update(credentials).where(credentials.c.name == bindparam("b_name"))
_LOOK_AT_ALL: Final = update(credentials).where(credentials.c.status == CredentialStatus.ACTIVE)
_SHARING: Final = select(versions.c.credential).where(
    versions.c.fingerprint.in_(bindparam("b_prints", expanding=True)),
    versions.c.credential != bindparam("b_name"),
)
_TROUBLED: Final = ByNames(
    lambda among: select(findings.c.credential).where(
        among(findings.c.credential), findings.c.resolved_at.is_(None)
    )
)
_ASKED: Final = ByNames(
    lambda among: (
        select(usage.c.credential)
        .where(among(usage.c.credential), usage.c.scopes != frozenset())
        .distinct()
    )
)
_RULES: Final = select(meta.c.value).where(meta.c.key == RULES)


def to_look_at(connection: Connection, now: datetime, limit: int) -> Sequence[Name]:
    """Credentials whose time has come, longest waiting first."""
    return connection.execute(_TO_LOOK_AT, {"b_now": now, "b_limit": limit}).scalars().all()


def names_after(connection: Connection, name: str, limit: int) -> Sequence[Name]:
    """Credentials behind a name in their order."""
    found = connection.execute(_AFTER, {"b_name": name, "b_limit": limit}).scalars()
    return [str.__new__(Name, one) for one in found]  # checked when it came in


def look_now(tx: Transaction, names: Iterable[str], now: datetime) -> None:
    """Have rules look at credentials at once: something has changed."""
    rows = [{"b_name": name, "next_look_at": now} for name in sorted(set(names))]
    if rows:  # one by one in one order, or two writers wait in a circle
        tx.connection.execute(_LOOK_NOW, rows)


def look_at_sharers(tx: Transaction, name: Name, changed: Iterable[Version]) -> None:
    """The same for whoever else has a secret with the fingerprint of one of these."""
    prints = sorted({one.fingerprint for one in changed if one.fingerprint})
    if prints:
        found = tx.connection.execute(_SHARING, {"b_name": name, "b_prints": prints}).scalars()
        look_now(tx, found, tx.now)


def look_at_used(tx: Transaction, names: Iterable[Name], asking: Iterable[Name]) -> None:
    """The same for those whose use may resolve a finding, or is the first with scopes.

    Any other use only moves the time at which a rule is broken further away.

    Args:
        tx: Before the use is written.
        names: Credentials that were used.
        asking: Those of them of which scopes were asked for.
    """
    used, scoped = sorted(set(names)), set(asking)
    troubled = _TROUBLED.run(tx.connection, used).scalars()
    known = _ASKED.run(tx.connection, sorted(scoped)).scalars()
    look_now(tx, {*troubled, *(scoped - set(known))}, tx.now)


def rules(connection: Connection) -> str | None:
    """By which rules credentials were last looked at."""
    found: str | None = connection.execute(_RULES).scalar_one_or_none()
    return found


def adopt_rules(tx: Transaction, digest: str, now: datetime) -> bool:
    """Look at everything when other rules hold than before; whether so."""
    known = tx.connection.execute(_RULES.with_for_update()).scalar_one_or_none()
    if known == digest:
        return False
    if known is None:
        tx.connection.execute(insert(meta), {"key": RULES, "value": digest})
    else:
        change = update(meta).where(meta.c.key == RULES)
        tx.connection.execute(change, {"value": digest})
    tx.connection.execute(_LOOK_AT_ALL, {"next_look_at": now})
    return True


def observe(tx: Transaction, name: Name, topic: Topic, details: Sequence[str]) -> bool:
    """Keep what was seen of a credential outside; whether that was news."""
    values = {"b_name": name, "b_topic": topic}
    known = tx.connection.execute(_DETAILS, values).scalar_one_or_none()
    if tuple(known or ()) == tuple(details):
        return False
    row = {"credential": name, "topic": topic, "details": tuple(details), "at": tx.now}
    _OBSERVE.run(tx.connection, [row])
    look_now(tx, [name], tx.now)
    return True


def subjects(connection: Connection, names: Sequence[Name]) -> Sequence[Subject]:
    """What is known of credentials, in no particular order."""
    if not names:
        return []
    uses = _uses(connection, names)
    twins: dict[str, list[str]] = defaultdict(list)
    for name, other in _TWINS.run(connection, names):
        twins[name].append(other)
    seen: dict[str, dict[Topic, Sequence[str]]] = defaultdict(dict)
    for name, topic, details in _SEEN.run(connection, names):
        seen[name][topic] = details
    known = {str(name): name for name in names}
    return [
        _subject(
            known[row[0]],
            row,
            uses.get(row[0], _UNUSED),
            twins.get(row[0], ()),
            seen.get(row[0], _UNSEEN),
        )
        for row in _FACTS.run(connection, names).all()
    ]


class _Uses:
    """What is known of a credential's use."""

    __slots__ = ("asked", "first", "last")

    def __init__(self) -> None:
        self.asked: Mapping[str, datetime] = NOTHING
        self.first: datetime | None = None
        self.last: datetime | None = None

    def add(self, scopes: frozenset[str], first: datetime, last: datetime) -> None:
        """One more kind of use."""
        self.last = last if self.last is None else max(self.last, last)
        if scopes:
            self.first = first if self.first is None else min(self.first, first)
            known = self.asked
            self.asked = {**known, **{one: max(known.get(one, last), last) for one in scopes}}


_UNUSED: Final = _Uses()
_UNSEEN: Final[Mapping[Topic, Sequence[str]]] = {}


def _uses(connection: Connection, names: Sequence[Name]) -> Mapping[str, _Uses]:
    found: dict[str, _Uses] = defaultdict(_Uses)
    for name, scopes, first, last in _USES.run(connection, names):
        found[name].add(scopes, first, last)
    return found


def _subject(
    name: Name, row: Any, use: _Uses, twins: Sequence[str], seen: Mapping[Topic, Sequence[str]]
) -> Subject:
    _, text, status, applied, due, looks, issued, expires, key_type, state, entered, why = row
    said = json.loads(text)
    schedule = said["policy"]["schedule"]
    every = schedule["every_us"]
    subject = Subject(
        name=name,
        kind=_KINDS[said["kind"]],
        environment=_ENVIRONMENTS[said["environment"]],
        issuer=said["issuer"],
        owner=said["owner"],
        scopes=frozenset(said["scopes"]),
        applied_at=applied,
        active=status == CredentialStatus.ACTIVE,
        every=None if every is None else every * _TICK,
        scheduled=every is not None or schedule["cron"] is not None,
        due_at=due,
        looks_at=looks,
        issued_at=issued,
        expires_at=expires,
        key_type=_KEY_TYPES.get(key_type or str(said["options"].get("key_type"))),
        rotation=_STATES.get(state),
        rotation_since=entered,
        rotation_reason=why or "",
        first_asked=use.first,
        last_used=use.last,
        asked=use.asked,
        twins=tuple(twins),
    )
    return _observed(subject, seen) if seen else subject


def _observed(subject: Subject, seen: Mapping[Topic, Sequence[str]]) -> Subject:
    """With what was seen outside."""
    life = seen.get(Topic.TOKEN_LIFE)
    return subject._replace(
        strays=tuple(seen.get(Topic.STRAYS, ())),
        drifted=tuple(seen.get(Topic.DRIFTED, ())),
        unasked=tuple(seen.get(Topic.UNASKED, ())),
        missing=tuple(seen.get(Topic.MISSING, ())),
        token_life=timedelta(seconds=float(life[0])) if life else None,
    )
