"""The shape of `credmgr.yaml`: what each section and entry may say, and of which type.

From these definitions come the checks at load, the JSON Schema for editors, and the plan's words.
What one value cannot say by itself is in `checks.py`.
"""

from pathlib import PurePosixPath
from typing import Annotated, Any, Final, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
)
from pydantic_core import PydanticKnownError

from credmgr.manifest.alerting import AlertsEntry
from credmgr.manifest.entry import DAYS, Day, Entry, distinct, some
from credmgr.manifest.forms import (
    ClockTime,
    CronText,
    DatabaseText,
    Duration,
    HostText,
    ListenText,
    NameText,
    PackText,
    ReferenceText,
    ScopeText,
    Text,
    VariableText,
    Zone,
    refuse,
)
from credmgr.model.consumer import Readable
from credmgr.model.credential import Drift, Environment, Kind
from credmgr.model.token import TokenForm

VERSION: Final = 1


def _version(value: int) -> int:
    if value != VERSION:
        fix = "update credmgr for a newer one" if value > VERSION else f"write `version: {VERSION}`"
        raise refuse(f"this credmgr reads version {VERSION} of the manifest", fix)
    return value


def _inside(text: str) -> str:
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts:
        raise refuse("an included file lies beside the manifest or below it")
    return text


def _packs_once(items: tuple["PolicyEntry", ...]) -> tuple["PolicyEntry", ...]:
    distinct(tuple(item.pack for item in items))
    return items


def _short_place(value: Any) -> Any:
    if isinstance(value, str):
        return {"backend": value}
    if isinstance(value, list):
        raise refuse("expected the name of a backend, or a mapping of `backend` and `name`")
    if not isinstance(value, dict):
        raise PydanticKnownError("string_type")
    return value


Scopes = Annotated[tuple[ScopeText, ...], AfterValidator(distinct)]
Fraction = Annotated[float, Field(ge=0, le=0.5, strict=True)]
Count = Annotated[StrictInt, Field(ge=1, le=1000)]


class StateEntry(Entry):
    """Where credmgr keeps what it knows. Relative paths start from the manifest's folder."""

    database: DatabaseText = "sqlite:///state.db"
    """The state database; it never holds a secret."""
    database_password: ReferenceText | None = None
    """PostgreSQL's password."""
    master_key: ReferenceText = Field(examples=["file:master.key"])
    """The key that wraps the data keys."""
    keyring: Text = "keyring.json"
    """The file of wrapped data keys."""
    checkpoint: Text = "audit.checkpoint"
    """The file in which the head of the audit chain is kept outside the database."""


class DaemonEntry(Entry):
    """How `credmgr run` works."""

    tick: Duration = Field(default="10s", validate_default=True)
    """How often it asks what is due."""
    workers: Annotated[StrictInt, Field(ge=1, le=256)] = 8
    """How many rotations move at once."""
    drain: Duration = Field(default="30s", validate_default=True)
    """How long it finishes what it began after it was told to stop."""
    lease: Duration = Field(default="60s", validate_default=True)
    """How long a process owns a rotation before another may take it over."""
    copies: Duration = Field(default="15m", validate_default=True)
    """How often each copy is looked at, to find one that was changed."""


class ApiEntry(Entry):
    """The HTTP API that `credmgr run` serves to consumers."""

    enabled: StrictBool = True
    """Whether it is served at all."""
    socket: Text = "run/credmgr.sock"
    """The Unix socket; whoever may enter its folder is known by its user id."""
    listen: ListenText | None = None
    """An address and port to serve it on as well, to bearers only."""
    beyond_loopback: StrictBool = False
    """Whether `listen` may be reached from other machines: it is HTTP without TLS."""
    hosts: Annotated[tuple[HostText, ...], AfterValidator(distinct)] = ()
    """Further values of the Host header that are taken, of a proxy of yours for example."""


class PluginEntry(Entry):
    """A plugin and its options."""

    model_config = ConfigDict(extra="allow")

    plugin: Text = Field(examples=["local"])
    """The plugin's name; what else may stand here are its options."""

    @property
    def options(self) -> dict[str, Any]:
        """Everything but the plugin's name."""
        return dict(self.__pydantic_extra__ or {})


class PlaceEntry(Entry):
    """A place for a copy of the secret."""

    backend: Text = Field(examples=["local"])
    """A name under `backends`."""
    name: NameText | None = None
    """The name under which readers look there; that of the credential unless given."""


PlaceText = Annotated[
    PlaceEntry, BeforeValidator(_short_place, json_schema_input_type=Text | PlaceEntry)
]


def _short_target(value: Any) -> Any:
    if isinstance(value, list):
        raise refuse("expected the name of a backend or sink, or a mapping with one of them")
    return _short_place(value)


class PlacedEntry(Entry):
    """Something that stands in a backend or a sink."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["backend"]}, {"required": ["sink"]}]}
    )

    backend: Text | None = Field(default=None, examples=["local"])
    """A name under `backends`."""
    sink: Text | None = None
    """Instead of `backend`: a name under `sinks`."""
    name: NameText | None = None
    """The name under which readers look there; that of the credential unless given."""


class TargetEntry(PlacedEntry):
    """A further copy of the secret, in a backend or a sink."""

    required: StrictBool = True
    """Whether a rotation stops, with nothing changed, when it cannot be written."""
    drift: Drift = Drift.REPORT
    """When it was changed behind credmgr's back: `report`, `repair` or `import`."""


P = TypeVar("P", bound=PlacedEntry)


def _one_place(entry: P) -> P:
    if entry.backend is None and entry.sink is None:
        raise refuse("missing key `backend`", "add `backend: …` or `sink: …`")
    if entry.backend is not None and entry.sink is not None:
        raise refuse("`backend` and `sink` stand side by side", "take one of them out")
    return entry


TargetText = Annotated[
    TargetEntry,
    BeforeValidator(_short_target, json_schema_input_type=Text | TargetEntry),
    AfterValidator(_one_place),
]


class TokenEntry(PlacedEntry):
    """Where a fresh access token is kept for consumers that can only read there."""

    name: NameText | None = None
    """The name under which readers look there; that of the credential and `/token` unless given."""
    scopes: Scopes = ()
    """The scopes that it has; those of the credential unless given."""
    audience: Text | None = None
    """For whom it is meant, where the issuer knows audiences."""
    form: TokenForm = TokenForm.RAW
    """`raw`, the token itself, or `json`, with `access_token`, `expires_at` and `scope`."""


TokenText = Annotated[TokenEntry, AfterValidator(_one_place)]


class WindowEntry(Entry):
    """A part of the week in which a scheduled rotation may start."""

    days: Annotated[tuple[Day, ...], AfterValidator(some)] = DAYS
    """On which days it opens; every day unless given."""
    start: ClockTime = Field(examples=['"01:00"'])
    """When it opens, local time of `zone`."""
    end: ClockTime = Field(examples=['"05:00"'])
    """When it closes; before `start` means on the next day."""


class OverlapEntry(Entry):
    """How long the old secret goes on working beside the new one."""

    minimum: Duration = Field(default="24h", validate_default=True)
    """At least this long: the issuer's propagation plus twice the slowest consumer's refresh."""
    maximum: Duration = Field(default="7d", validate_default=True)
    """At most this long, even when a consumer was still seen on the old secret."""


class RetryEntry(Entry):
    """How failures within a rotation are answered."""

    first: Duration = Field(default="1s", validate_default=True)
    """The longest delay after the first failure; doubles with each."""
    ceiling: Duration = Field(default="10m", validate_default=True)
    """No delay is longer, unless the issuer asks for it."""
    attempts: Count = 12
    """Failures in a row before the rotation waits for an operator."""
    verify_for: Duration = Field(default="2m", validate_default=True)
    """How long a new secret may take to be accepted before the rotation is aborted."""


class RotationEntry(Entry):
    """When a credential's secret is replaced, and how."""

    every: Duration | None = Field(default=None, examples=["90d"])
    """The age at which a secret is replaced."""
    cron: CronText | None = None
    """Moments at which it is replaced, in five fields; with `every`, the earlier one wins."""
    zone: Zone = Field(default="UTC", validate_default=True)
    """The time zone of `cron` and `windows`."""
    windows: tuple[WindowEntry, ...] = ()
    """When a scheduled rotation may start; always unless given."""
    jitter: Fraction = 0.0
    """The fraction of `every` by which it may be due earlier, 0 to 0.5."""
    overlap: OverlapEntry = Field(default_factory=OverlapEntry)
    """How long both secrets work."""
    retry: RetryEntry = Field(default_factory=RetryEntry)
    """How failures are answered."""
    manual: StrictBool = False
    """Only an operator rotates it; neither `every` nor `cron` may stand beside it."""


class CredentialEntry(Entry):
    """A machine identity whose secrets credmgr manages."""

    kind: Kind = Field(examples=["api-key"])
    """`api-key` or `oauth-client`."""
    issuer: Text = Field(examples=["caseforge"])
    """A name under `issuers`: who makes and revokes its secrets."""
    owner: Text = Field(examples=["payments-team"])
    """Who answers for it: a team or a person."""
    environment: Environment = Field(examples=["development"])
    """`development`, `test`, `staging` or `production`."""
    store: PlaceText = Field(examples=["local"])
    """The primary copy: a name under `backends`, or a mapping of `backend` and `name`."""
    targets: tuple[TargetText, ...] = ()
    """Further copies: names under `backends` or `sinks`, or mappings with one of them."""
    tokens: tuple[TokenText, ...] = ()
    """Where a fresh access token is kept, for consumers that can only read there."""
    description: str = Field(default="", max_length=4096)
    """Free text for people."""
    scopes: Scopes = ()
    """What its keys and tokens may do; none leaves it to the issuer."""
    client_id: Text | None = Field(default=None, examples=["app_8v3k9m"])
    """The OAuth client's id at the issuer; for `oauth-client` only, and required there."""
    rotation: RotationEntry = Field(default_factory=RotationEntry)
    """When its secret is replaced, and how."""
    env: VariableText | None = None
    """The variable in which `credmgr exec` hands it on; made from its name unless given."""
    options: dict[str, Any] = Field(default_factory=dict)
    """What the issuer's plugin wants to know of it."""


class GrantEntry(Entry):
    """What a consumer may read of one credential."""

    credential: Text = Field(examples=["caseforge/api-key"])
    """A name under `credentials`."""
    read: Annotated[tuple[Readable, ...], AfterValidator(some)] = Field(examples=["[secret]"])
    """`secret`, `token`, or both."""
    scopes: Scopes = ()
    """The scopes its tokens may have at most; those of the credential unless given."""


class ConsumerEntry(Entry):
    """A workload that reads secrets or tokens."""

    description: str = Field(default="", max_length=4096)
    """Free text for people."""
    owner: Text = Field(examples=["payments-team"])
    """Who answers for it: a team or a person."""
    grants: tuple[GrantEntry, ...] = ()
    """What it may read."""
    uid: Annotated[StrictInt, Field(ge=0, le=2**32 - 2)] | None = None
    """The user id by which the Unix socket knows it."""
    user: Text | None = Field(default=None, examples=["billing"])
    """The same by the user's name on this machine; not beside `uid`."""
    operator: StrictBool = False
    """Whether it also sees all credentials, rotations, findings and metrics; never a value."""


class DefaultsEntry(Entry):
    """What credentials say unless they say otherwise; `rotation` is merged key by key."""

    owner: Text | None = None
    """As in a credential."""
    environment: Environment | None = None
    """As in a credential."""
    store: PlaceText | None = None
    """As in a credential."""
    rotation: RotationEntry | None = None
    """As in a credential."""


class PolicyEntry(Entry):
    """A rule pack in use."""

    pack: PackText = Field(examples=["default"])
    """The name of one that comes with credmgr, or a file such as `./mine.yaml`."""
    inputs: dict[str, Text] = Field(default_factory=dict)
    """What the pack wants to know, by name; `credmgr policy list` tells."""


def _short_policy(value: Any) -> Any:
    return {"pack": value} if isinstance(value, str) else value


PolicyText = Annotated[
    PolicyEntry, BeforeValidator(_short_policy, json_schema_input_type=PackText | PolicyEntry)
]


class Part(Entry):
    """An included file."""

    backends: dict[str, PluginEntry] = Field(default_factory=dict)
    """Stores of secrets, by name."""
    sinks: dict[str, PluginEntry] = Field(default_factory=dict)
    """Places that copies are written to and never read from, by name; no backend has the same."""
    issuers: dict[str, PluginEntry] = Field(default_factory=dict)
    """Authorities that make and revoke secrets, by name."""
    notifiers: dict[str, PluginEntry] = Field(default_factory=dict)
    """Channels by which people hear of alerts, by name."""
    consumers: dict[str, ConsumerEntry] = Field(default_factory=dict)
    """Workloads that read secrets or tokens, by name."""
    credentials: dict[str, CredentialEntry] = Field(default_factory=dict)
    """What credmgr manages, by name."""
    policies: Annotated[tuple[PolicyText, ...], AfterValidator(_packs_once)] = ()
    """Rule packs, by name or file: what is checked of every credential."""


class Root(Part):
    """The manifest of a credmgr installation."""

    version: Annotated[StrictInt, AfterValidator(_version)] = Field(examples=["1"])
    """Of the format: 1."""
    state: StateEntry = Field(examples=["{master_key: file:master.key}"])
    """Where credmgr keeps what it knows."""
    include: tuple[Annotated[Text, AfterValidator(_inside)], ...] = ()
    """Further files by pattern, relative to the manifest's folder."""
    daemon: DaemonEntry = Field(default_factory=DaemonEntry)
    """How `credmgr run` works."""
    api: ApiEntry = Field(default_factory=ApiEntry)
    """The HTTP API that `credmgr run` serves."""
    alerts: AlertsEntry = Field(default_factory=AlertsEntry)
    """Who is told of what, and when."""
    defaults: DefaultsEntry = Field(default_factory=DefaultsEntry)
    """What credentials say unless they say otherwise."""


NAMED: Final = ("backends", "sinks", "issuers", "notifiers", "consumers", "credentials")
