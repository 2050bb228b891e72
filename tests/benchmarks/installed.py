"""An installation of credmgr on servers of their own, as benchmarks need one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from credmgr.backends.azure_key_vault import AzureBackendFactory
from credmgr.bootstrap import App, build
from credmgr.cli import home as homes
from credmgr.manifest import load
from credmgr.model.clock import SystemClock
from credmgr.model.names import Name
from credmgr.model.rotation import State, Trigger
from credmgr.plugins.backend import BackendFactory
from credmgr.rotation.runbook import Runbook
from credmgr.testing.key_vault import StaticToken
from tests.benchmarks.servers import server
from tests.integration.aws import REGION
from tests.integration.aws import SECRET_KEY as AWS_KEY
from tests.integration.openbao import ROOT, dev_server

AWS: Final = Name("aws")
AZURE: Final = Name("azure")
TARGETS: Final = (AWS, AZURE)
MANIFEST: Final = """\
version: 1
state: {{master_key: file:master.key}}
daemon: {{workers: {threads}}}
api: {{enabled: false}}
backends:
  vault: {{plugin: vault, address: "{vault}", token: {{token: file:vault.token}}}}
{more}
issuers:
  caseforge: {{plugin: caseforge, url: "{sandbox}", admin_token: file:sandbox.token}}
notifiers: {{log: {{plugin: log}}}}
defaults:
  environment: development
  store: vault
  rotation: {{manual: true, overlap: {{minimum: 1s, maximum: 1s}}}}
credentials:
"""
MORE: Final = """\
  aws: {{plugin: aws, region: {region}, endpoint_url: "{aws}", sts_endpoint_url: "{aws}",
         access_key_id: testing, secret_access_key: file:aws.key}}
  azure: {{plugin: azure, vault_url: "{azure}", ca_bundle: "{ca}",
           verify_challenge_resource: false}}
"""
ENTRY: Final = (
    '  {name}: {{kind: api-key, issuer: caseforge, owner: bench, scopes: ["cases:read"],'
    " targets: [{targets}]}}\n"
)

Wrap = Callable[[BackendFactory], BackendFactory]


@dataclass(frozen=True, slots=True)
class Servers:
    """What runs.

    Attributes:
        vault: Address of OpenBao.
        sandbox: What the sandbox says of itself.
        aws: What moto says; empty when it does not run.
        azure: What the fake Key Vault says; likewise.
    """

    vault: str
    sandbox: Mapping[str, Any]
    aws: Mapping[str, Any]
    azure: Mapping[str, Any]


class Leaping(SystemClock):
    """The machine's clock, and a way to be later at once."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead

    def monotonic(self) -> timedelta:
        return super().monotonic() + self.ahead


class Rotating:
    """Rotations of an application, each from its beginning to its end."""

    def __init__(self, app: App, clock: Leaping) -> None:
        self._app, self._clock = app, clock
        self._runbook = Runbook(app.engine)

    def begin(self, name: str, trigger: Trigger = Trigger.LEAKED) -> None:
        """As far as it goes: a leaked one has no overlap, though Key Vault its quarantine."""
        assert self._runbook.rotate(Name(name), trigger).state in {State.DONE, State.OVERLAP}

    def later(self) -> None:
        """An hour passes, and with it every quarantine."""
        self._clock.ahead += timedelta(hours=1)

    def end(self, name: str) -> None:
        """The rest."""
        row = self._app.engine.tend(Name(name))
        assert row is None or row.state is State.DONE


@contextmanager
def servers(*, targets: bool) -> Iterator[Servers]:
    """OpenBao and the sandbox; with targets, moto and the fake Key Vault as well."""
    with ExitStack() as stack:
        bao = stack.enter_context(dev_server())
        kinds = ("sandbox", "aws", "azure") if targets else ("sandbox",)
        said = {kind: stack.enter_context(server(kind)) for kind in kinds}
        yield Servers(bao.address, said["sandbox"], said.get("aws", {}), said.get("azure", {}))


@contextmanager
def installed(
    folder: Path,
    on: Servers,
    credentials: Mapping[str, Sequence[Name]],
    threads: int,
    wrap: Wrap = lambda factory: factory,
) -> Iterator[Rotating]:
    """An application in which credentials are declared, by name, with their targets."""
    homes.make(folder, homes.starter(homes.MANIFEST))
    tokens = (("vault.token", ROOT), ("sandbox.token", on.sandbox["token"]), ("aws.key", AWS_KEY))
    for file, text in tokens:
        (folder / file).touch(0o600)
        (folder / file).write_text(text)
    more = ""
    if on.aws:
        azure = {"azure": on.azure["url"], "ca": on.azure["ca_file"]}
        more = MORE.format(region=REGION, aws=on.aws["url"], **azure)
    text = MANIFEST.format(vault=on.vault, sandbox=on.sandbox["url"], threads=threads, more=more)
    for name, targets in credentials.items():
        text += ENTRY.format(name=name, targets=", ".join(f"{{backend: {t}}}" for t in targets))
    (folder / "credmgr.yaml").write_text(text)
    manifest = load(folder / "credmgr.yaml")
    backends = dict(manifest.backends)
    if on.aws:
        token = StaticToken(on.azure["token"])
        keys = AzureBackendFactory(lambda _auth, _context, _settings: token)
        backends[AWS] = replace(backends[AWS], factory=wrap(backends[AWS].factory))
        backends[AZURE] = replace(backends[AZURE], factory=wrap(keys))
    clock = Leaping()
    app = build(replace(manifest, backends=backends), clock=clock)
    app.apply(app.plan())
    yield Rotating(app, clock)
    app.close()
