"""What is known of a credential when a rule looks at it."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from credmgr.model.credential import Environment, Kind
from credmgr.model.names import Name
from credmgr.model.rotation import State
from credmgr.model.version import KeyType


class Topic(StrEnum):
    """What was seen of a credential outside the state database, and is kept there."""

    STRAYS = "strays"
    DRIFTED = "drifted"
    UNASKED = "unasked"
    MISSING = "missing"
    TOKEN_LIFE = "token-life"  # noqa: S105 (a word)


NOTHING: Final[Mapping[str, datetime]] = MappingProxyType({})


class Subject(NamedTuple):
    """A credential with its surroundings; a tuple, since a sweep makes a million of them.

    Attributes:
        name: Its name.
        kind: API key or OAuth client.
        environment: Where it is used.
        issuer: Who makes its secrets.
        owner: Who answers for it.
        scopes: What is declared that it may do.
        applied_at: When its declaration was last applied.
        active: Whether the manifest still declares it; no rule is put to one that it does not.
        every: The age at which its secret is replaced; None where its schedule says none.
        scheduled: Whether it is ever replaced without a person.
        due_at: When the daemon looks at it next; None means never by itself.
        looks_at: When a rule looks at it next; None means at a change only.
        issued_at: When its current secret was made; None while it has none.
        expires_at: When that dies by itself.
        key_type: Of what type the current secret was seen to be, or is declared.
        rotation: The state of the rotation in flight.
        rotation_since: When that was entered.
        rotation_reason: Why it is parked or aborted.
        first_asked: When scopes were first asked for.
        last_used: When anybody was last seen using it.
        asked: When each scope was last asked for.
        twins: Other credentials with the same secret.
        strays: Ids of secrets that the issuer has for it and credmgr does not know.
        drifted: Places where a copy is not what it should be.
        unasked: Scopes that a token came with and nobody had asked for.
        missing: Scopes that were asked for and a token came without.
        token_life: The longest life that a token of it had.
    """

    name: Name
    kind: Kind
    environment: Environment
    issuer: str
    owner: str
    scopes: frozenset[str]
    applied_at: datetime
    active: bool = True
    every: timedelta | None = None
    scheduled: bool = True
    due_at: datetime | None = None
    looks_at: datetime | None = None
    issued_at: datetime | None = None
    expires_at: datetime | None = None
    key_type: KeyType | None = None
    rotation: State | None = None
    rotation_since: datetime | None = None
    rotation_reason: str = ""
    first_asked: datetime | None = None
    last_used: datetime | None = None
    asked: Mapping[str, datetime] = NOTHING
    twins: tuple[str, ...] = ()
    strays: tuple[str, ...] = ()
    drifted: tuple[str, ...] = ()
    unasked: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    token_life: timedelta | None = None
