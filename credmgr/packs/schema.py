"""The shape of a rule pack, and of the fixtures that try it."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool

from credmgr.manifest.entry import Entry
from credmgr.manifest.forms import Duration, NameText, ScopeText, Span, Text, refuse
from credmgr.model.credential import Environment, Kind
from credmgr.model.finding import Severity
from credmgr.model.rotation import State
from credmgr.model.version import KeyType


def _flat(text: str) -> str:
    if "/" in text:
        raise refuse("a pack's or rule's name has no `/`")
    return text


def _moment(value: Any) -> Any:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise refuse("not a moment with a zone", 'write "2026-11-25T12:00:00+00:00", quoted')
    return moment


Word = Annotated[NameText, AfterValidator(_flat)]
MomentText = Annotated[datetime, BeforeValidator(_moment)]


class OnlyEntry(Entry):
    """Which credentials a rule is for; what is left out leaves nobody out."""

    environments: tuple[Environment, ...] = ()
    """Where they are used."""
    kinds: tuple[Kind, ...] = ()
    """Of which kind they are."""
    issuers: tuple[Text, ...] = ()
    """Who makes their secrets; `*` stands for any text."""
    owners: tuple[Text, ...] = ()
    """Who answers for them, likewise."""
    names: tuple[Text, ...] = ()
    """What they are called, likewise."""


class RuleEntry(Entry):
    """A rule in use: one that comes with credmgr, or one of the pack's own with `when`."""

    rule: Word = Field(examples=["max-age"])
    """The code of a rule that comes with credmgr, or a new one."""
    id: Word | None = None
    """Its name in this pack, when the same rule stands there twice."""
    severity: Severity | None = None
    """`info`, `warning` or `critical`."""
    source: Text | None = None
    """Where it comes from."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """What the rule wants to know; `$name` stands for an input of the pack."""
    only: OnlyEntry | None = None
    """Which credentials it is for; instead of the pack's."""
    when: Text | None = None
    """An expression in CEL that holds where the rule is broken: makes a rule of the pack's own."""
    title: Text | None = None
    """What a rule of the pack's own holds, one sentence."""
    text: Text | None = None
    """What is told where it is broken, one clause; the title unless given."""
    remedy: Text | None = None
    """What to do about it; `{name}` stands for the credential."""


class PackEntry(Entry):
    """A rule pack."""

    pack: Word = Field(examples=["mine"])
    """Its name; findings begin with it."""
    title: Text = Field(examples=["What our own team asks for"])
    """What it is for, one sentence."""
    inputs: dict[str, Text] = Field(default_factory=dict)
    """What a manifest has to say to use it, each with its meaning."""
    only: OnlyEntry = Field(default_factory=OnlyEntry)
    """Which credentials its rules are for."""
    rules: tuple[dict[str, Any], ...] = ()
    """The rules."""


class CredentialCase(Entry):
    """A made-up credential; ages are lengths of time before the case's moment."""

    name: NameText = "a/credential"
    """Its name."""
    kind: Kind = Kind.API_KEY
    """`api-key` or `oauth-client`."""
    environment: Environment = Environment.DEVELOPMENT
    """Where it is used."""
    issuer: Text = "caseforge"
    """Who makes its secrets."""
    owner: str = "a-team"
    """Who answers for it."""
    scopes: tuple[ScopeText, ...] = ()
    """What is declared that it may do."""
    declared: Span = Field(default="365d", validate_default=True)
    """How long it has been declared."""
    age: Span | None = None
    """How old its secret is; left out, it has none."""
    expires_in: Span | None = None
    """What is left until its secret dies; left out, it lives."""
    every: Duration | None = None
    """The age at which its secret is replaced."""
    manual: StrictBool = False
    """Whether only a person replaces it."""
    key_type: KeyType | None = None
    """`live` or `sandbox`."""
    rotation: State | None = None
    """The state of the rotation in flight."""
    rotation_age: Span = Field(default="0s", validate_default=True)
    """How long it has been in it."""
    used: Span | None = None
    """How long ago it was last used."""
    asked: dict[str, Span] = Field(default_factory=dict)
    """How long ago each scope was last asked for."""
    asking_since: Span | None = None
    """How long ago scopes were first asked for."""
    twins: tuple[Text, ...] = ()
    """Other credentials with the same secret."""
    strays: tuple[Text, ...] = ()
    """Secrets at the issuer that nobody manages."""
    drifted: tuple[Text, ...] = ()
    """Places whose copy was changed."""
    unasked: tuple[ScopeText, ...] = ()
    """Scopes that a token came with, unasked."""
    missing: tuple[ScopeText, ...] = ()
    """Scopes that a token came without."""
    token_life: Duration | None = None
    """How long its tokens live."""


class CaseEntry(Entry):
    """One case: a credential, and which rules find something."""

    case: Text = Field(examples=["a key of a hundred days is too old"])
    """What it shows."""
    now: MomentText | None = None
    """The moment; some day in 2026 unless given."""
    credential: CredentialCase = Field(default_factory=CredentialCase)
    """The credential."""
    finds: dict[Text, Severity | None] | tuple[Text, ...] = Field(examples=["[max-age]"])
    """The rules of the pack that find something, each with its severity if that matters."""


class FixtureEntry(Entry):
    """Fixtures of a pack."""

    pack: Text = Field(examples=["./mine.yaml"])
    """The pack's file beside this one, or the name of one that comes with credmgr."""
    inputs: dict[str, Text] = Field(default_factory=dict)
    """Its inputs."""
    cases: tuple[dict[str, Any], ...] = ()
    """The cases."""
