"""Plugins without a body, and a folder to write manifests into, for the tests of the manifest."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from credmgr.errors import ManifestError, PluginError
from credmgr.manifest import Manifest, load
from credmgr.model.credential import Credential
from credmgr.model.names import Name
from credmgr.plugins.backend import Capability, Limits, Mistake
from credmgr.plugins.context import PluginContext, Reference
from credmgr.plugins.issuer import IssuerClass, Traits
from credmgr.plugins.loading import BACKENDS, ISSUERS, NOTIFIERS, SINKS

CATALOGUE = {"cases:read": "details and history", "cases:write": "create and close"}


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class Pool:
    size: int = 4
    patience: timedelta = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class BoxOptions:
    """Options of a box.

    Attributes:
        path: The folder, or a file of
            its own.
        token: Who we are: a reference.
    """

    path: str = "secrets"
    token: Annotated[str | None, Reference()] = None
    pool: Pool = field(default_factory=Pool)
    tags: tuple[str, ...] = ()
    colour: Colour | None = None
    strict: bool = False
    share: float = 0.5
    extra: dict[str, int] = field(default_factory=dict)
    level: Annotated[int, Field(multiple_of=5)] = 5
    either: int | str = 0
    derived: str = field(default="", init=False)

    def __post_init__(self) -> None:
        if self.path == "never":
            raise ValueError("this path is never one")


class BoxFactory:
    options = BoxOptions
    capabilities = frozenset({Capability.CAS, Capability.VERSIONS})

    def __init__(self, name_length: int = 120) -> None:
        self.limits = Limits(value_bytes=65_536, name_length=name_length)

    def validate(self, options: BoxOptions) -> Iterable[Mistake]:
        if options.pool.size > 100:
            yield Mistake("pool.size", "the pool is too large", "100 at most")
        if "gone" in options.tags:
            yield Mistake(f"tags.{options.tags.index('gone')}", "a tag is gone")
        if options.share > 1:
            yield Mistake("", "these options contradict each other")

    def open(self, options: Any, context: PluginContext) -> Any:
        raise NotImplementedError


class ForgetfulFactory(BoxFactory):
    """Keeps the newest value only."""

    capabilities = frozenset({Capability.CAS})


class SpellingFactory(BoxFactory):
    """Writes two dashes for a slash."""

    def spelled(self, options: BoxOptions, name: Name) -> str:  # noqa: ARG002 (protocol)
        return name.replace("/", "--")


@dataclass(frozen=True, slots=True)
class AuthorityOptions:
    url: str
    admin_token: Annotated[str, Reference()]
    client_id: str | None = None
    propagation: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class AuthorityCredentialOptions:
    key_name: str = ""
    required: int | None = None


class AuthorityFactory:
    options = AuthorityOptions
    credential_options = AuthorityCredentialOptions

    def traits(self, options: AuthorityOptions) -> Traits:
        return Traits(
            issuer_class=IssuerClass.MANY,
            max_active=2,
            propagation=options.propagation,
            lists=True,
            disables=True,
            catalogue={} if "unknown" in options.url else CATALOGUE,
        )

    def validate(self, options: AuthorityOptions) -> Iterable[Mistake]:
        if not options.url.startswith("http"):
            yield Mistake("url", "not an address", "write https://…")

    def validate_credential(
        self, options: AuthorityOptions, credential: Credential
    ) -> Iterable[Mistake]:
        if credential.options.get("key_name") == "taken":
            yield Mistake("options.key_name", f"taken at {options.url}", "choose another")

    def account(self, options: AuthorityOptions, credential: Credential) -> str | None:
        del options
        return credential.client_id or str(credential.options.get("key_name") or credential.name)

    def open(self, options: Any, context: PluginContext) -> Any:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class NeedyOptions:
    size: int


class NeedyFactory(AuthorityFactory):
    credential_options: Any = NeedyOptions


@dataclass(frozen=True, slots=True)
class BellOptions:
    loud: bool = False


class BellFactory:
    options = BellOptions

    def validate(self, options: BellOptions) -> Iterable[Mistake]:
        del options
        return ()

    def open(self, options: Any, context: PluginContext) -> Any:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class PaperOptions:
    path: str = "paper"


class PaperFactory:
    options = PaperOptions
    limits = Limits(value_bytes=1000, name_length=20)

    def validate(self, options: PaperOptions) -> Iterable[Mistake]:
        if options.path == "/":
            yield Mistake("path", "this is everything")

    def open(self, options: Any, context: PluginContext) -> Any:
        raise NotImplementedError


@dataclass
class FakePlugins:
    """A catalogue of the factories given; a factory that is an error is raised."""

    groups: Mapping[str, Mapping[str, Any]] = field(
        default_factory=lambda: {
            BACKENDS: {
                "box": BoxFactory(),
                "small": BoxFactory(name_length=12),
                "dashes": SpellingFactory(name_length=17),
                "forgetful": ForgetfulFactory(),
                "broken": PluginError("the plugin 'broken' does not load", hint="reinstall it"),
            },
            SINKS: {"paper": PaperFactory()},
            ISSUERS: {"authority": AuthorityFactory(), "needy": NeedyFactory()},
            NOTIFIERS: {"bell": BellFactory()},
        }
    )

    def names(self, group: str) -> Sequence[str]:
        return sorted(self.groups[group])

    def factory(self, group: str, name: str) -> Any:
        found = self.groups[group][name]
        if isinstance(found, PluginError):
            raise found
        return found


GOOD = """\
version: 1
state: {master_key: file:master.key}
backends:
  local: {plugin: box, path: secrets}
  other: {plugin: box, path: elsewhere}
issuers:
  caseforge: {plugin: authority, url: "http://127.0.0.1:8660", admin_token: file:admin.token}
credentials:
  caseforge/api-key:
    kind: api-key
    issuer: caseforge
    owner: payments-team
    environment: development
    store: local
"""

FULL = """\
version: 1
state:
  database: postgresql://credmgr@db/credmgr
  database_password: file:pg.password
  master_key: systemd-credential:master.key
  keyring: keys/ring.json
  checkpoint: /var/lib/credmgr/checkpoint
daemon: {tick: 1s, workers: 2, drain: 5s, lease: 15s}
backends:
  local: {plugin: box, token: env:BOX, pool: {size: 9, patience: 1m}, tags: [a], colour: red,
          strict: true, share: 1, extra: {a: 1}}
  other: {plugin: box, path: elsewhere}
sinks:
  file: {plugin: paper, path: out}
issuers:
  caseforge: {plugin: authority, url: http://localhost, admin_token: file:t, propagation: 0s}
notifiers:
  log: {plugin: bell, loud: true}
policies: [default, strict/pci]
consumers:
  billing:
    description: Bills
    owner: payments-team
    grants:
      - {credential: caseforge/app, read: [token, secret], scopes: [cases:read]}
credentials:
  caseforge/app:
    kind: oauth-client
    issuer: caseforge
    owner: payments-team
    environment: production
    description: The app
    scopes: [cases:read, cases:write]
    client_id: app_8v3k9m
    store: {backend: local, name: apps/one}
    targets:
      - other
      - {backend: other, name: two, required: false, drift: repair}
      - file
      - {sink: file, name: three, drift: repair}
    rotation:
      every: 90d
      cron: "0 3 * * 1"
      zone: Europe/Berlin
      windows: [{days: [mon, sun], start: "22:00", end: "05:00"}, {start: "12:00", end: "13:00"}]
      jitter: 0.1
      overlap: {minimum: 1h30m, maximum: 2d}
      retry: {first: 2s, ceiling: 5m, attempts: 3, verify_for: 1m}
    options: {key_name: x}
"""


def read(folder: Path, text: str | bytes, **more: str) -> Manifest:
    """Load `text` as `credmgr.yaml` in `folder`; `more` are further files, `__` for `/`."""
    for name, content in more.items():
        file = folder / f"{name.replace('__', '/')}.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(content)
    path = folder / "credmgr.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load(path, FakePlugins())


def refusals(folder: Path, text: str | bytes, **more: str) -> list[str]:
    """What loading says, one line per problem, the folder cut off; fails when it loads."""
    try:
        read(folder, text, **more)
    except ManifestError as error:
        return [str(problem).replace(f"{folder}/", "") for problem in error.problems]
    raise AssertionError("the manifest was taken")
