"""The managed identity and what is declared of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from credmgr.model.names import Name


class Kind(StrEnum):
    """What sort of secret the credential has."""

    API_KEY = "api-key"
    OAUTH_CLIENT = "oauth-client"


class Environment(StrEnum):
    """Where the credential is used."""

    DEVELOPMENT = "development"
    TEST = "test"
    STAGING = "staging"
    PRODUCTION = "production"


class CredentialStatus(StrEnum):
    """Whether the manifest still declares the credential.

    A retired one is no longer rotated; its secrets stay as they are until `credmgr revoke`.
    """

    ACTIVE = "active"
    RETIRED = "retired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Window:
    """A part of the week in which a rotation may start.

    Attributes:
        days: ISO weekdays, Monday is 1.
        start: Local time at which the window opens, included.
        end: Local time at which it closes, excluded; before `start` it closes on the next day.
    """

    days: frozenset[int]
    start: time
    end: time


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a credential is due.

    `every` counts from the day the current secret was issued; `cron` names moments; both may be
    given, the earlier one wins; neither means that only an operator rotates it.

    Attributes:
        every: Age at which a secret is replaced.
        cron: Five fields, read in `zone`.
        zone: IANA zone of `cron` and `windows`.
        windows: When a scheduled rotation may start; empty means always.
        jitter: Fraction of `every`, 0 to 0.5, by which a credential is due earlier, so that many
            credentials applied at once do not rotate at once. Fixed per credential.
    """

    every: timedelta | None = None
    cron: str | None = None
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    windows: tuple[Window, ...] = ()
    jitter: float = 0.0

    @property
    def manual_only(self) -> bool:
        """Whether only an operator rotates it."""
        return self.every is None and self.cron is None


@dataclass(frozen=True, slots=True)
class Overlap:
    """How long both secrets work.

    Attributes:
        minimum: At least this long, whatever the consumers have done. Should be the issuer's
            propagation delay plus twice the slowest consumer's refresh.
        maximum: At most this long, even when a consumer was still seen on the old version.
    """

    minimum: timedelta
    maximum: timedelta


@dataclass(frozen=True, slots=True)
class Retry:
    """How failures within a rotation are answered.

    Attributes:
        first: Delay ceiling after the first transport failure; doubles each time, full jitter.
        ceiling: Never waits longer than this, unless the issuer asked for it (then 1 h at most).
        attempts: Failures in a row in one state before the rotation parks in OPERATOR.
        verify_for: How long a new secret may take to be accepted before the rotation is aborted.
    """

    first: timedelta = timedelta(seconds=1)
    ceiling: timedelta = timedelta(minutes=10)
    attempts: int = 12
    verify_for: timedelta = timedelta(minutes=2)


DEFAULT_OVERLAP: Final = Overlap(minimum=timedelta(hours=24), maximum=timedelta(days=7))


@dataclass(frozen=True, slots=True)
class RotationPolicy:
    """How a credential is rotated."""

    schedule: Schedule = field(default_factory=Schedule)
    overlap: Overlap = DEFAULT_OVERLAP
    retry: Retry = field(default_factory=Retry)


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a copy of the secret is kept, and the name under which readers look there.

    Attributes:
        backend: The backend's name, or that of a sink; no two have the same one.
        name: What the copy is called there.
    """

    backend: Name
    name: Name

    def __str__(self) -> str:
        return f"{self.backend}:{self.name}"


class Drift(StrEnum):
    """What is done when a copy is found changed behind credmgr's back."""

    REPORT = "report"
    """Tell a person."""
    REPAIR = "repair"
    """Write ours again, and tell a person when it changes a second time."""
    IMPORT = "import"
    """Take what is found there for the new secret."""


@dataclass(frozen=True, slots=True)
class Target:
    """A further copy, and what it means to the credential.

    Attributes:
        place: Where it is.
        required: Whether a rotation stops when it cannot be written; otherwise it is best-effort.
        drift: What is done when it was changed behind credmgr's back.
    """

    place: Place
    required: bool = True
    drift: Drift = Drift.REPORT


@dataclass(frozen=True, slots=True)
class Credential:
    """A machine identity whose secrets credmgr manages.

    Attributes:
        name: Its name, unique in the manifest.
        kind: API key or OAuth client.
        issuer: Name of the issuer that makes and revokes its secrets.
        owner: Who answers for it: a team or person, free text.
        environment: Where it is used.
        store: The primary copy.
        targets: Further copies; all are written before any is promoted.
        scopes: What its tokens and keys may do; empty leaves it to the issuer.
        client_id: OAuth client id at the issuer; None for API keys.
        policy: How it is rotated.
        options: What the issuer's plugin wants to know of it; validated by the plugin.
        description: Free text for people.
    """

    name: Name
    kind: Kind
    issuer: Name
    owner: str
    environment: Environment
    store: Place
    targets: tuple[Target, ...] = ()
    scopes: frozenset[str] = frozenset()
    client_id: str | None = None
    policy: RotationPolicy = field(default_factory=RotationPolicy)
    options: Mapping[str, object] = field(default_factory=dict)
    description: str = ""

    @property
    def places(self) -> tuple[Place, ...]:
        """Every copy, the store first."""
        return (self.store, *(target.place for target in self.targets))

    def target(self, place: Place) -> Target | None:
        """What a place means to the credential; None for its store, and for no place of its own."""
        return next((target for target in self.targets if target.place == place), None)


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A credential as the state database knows it.

    Attributes:
        credential: As last applied.
        status: Active, retired or revoked.
        applied_at: When this declaration was applied.
        next_due_at: When to look at it next; None means never by itself.
    """

    credential: Credential
    status: CredentialStatus
    applied_at: datetime
    next_due_at: datetime | None
