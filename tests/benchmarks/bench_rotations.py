"""Many credentials rotated at once, against OpenBao and a sandbox in processes of their own.

The other side is the HTTP calls that such a rotation cannot do without, by bare clients: no state
database, no lease, no audit chain.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import hvac
import requests
import urllib3

from credmgr.bootstrap import build
from credmgr.cli import home as homes
from credmgr.logs import configure
from credmgr.manifest import load
from credmgr.model.names import Name
from credmgr.model.rotation import State, Trigger
from credmgr.rotation.runbook import Runbook
from tests.benchmarks.bench_backends import BareVault
from tests.benchmarks.run import Benchmark
from tests.benchmarks.servers import server
from tests.integration.openbao import ROOT, dev_server

CREDENTIALS: Final = int(os.environ.get("CREDMGR_BENCH_CREDENTIALS", "32"))
"""The issue's size is 1,000."""
THREADS: Final = 32
MANIFEST: Final = """\
version: 1
state: {{master_key: file:master.key}}
daemon: {{workers: {threads}}}
api: {{enabled: false}}
backends:
  vault: {{plugin: vault, address: "{vault}", token: {{token: file:vault.token}}}}
issuers:
  caseforge: {{plugin: caseforge, url: "{sandbox}", admin_token: file:sandbox.token}}
notifiers: {{log: {{plugin: log}}}}
defaults:
  environment: development
  store: vault
  rotation: {{manual: true, overlap: {{minimum: 1s, maximum: 1s}}}}
credentials:
"""
ENTRY: Final = '{kind: api-key, issuer: caseforge, owner: bench, scopes: ["cases:read"]}'


@dataclass
class Bare:
    """The calls of a rotation, by urllib3 and hvac."""

    kv: BareVault
    pool: urllib3.PoolManager
    url: str
    token: str
    old: dict[str, str] = field(default_factory=dict)

    def rotate(self, name: str) -> None:
        """Issue, stage, read back, prove, promote, disable, revoke, prove refused."""
        order = {"name": name.replace("/", "-"), "environment": "sandbox"}
        made = self._manage("POST", "", json=order).json()
        self.kv.rotate(name)  # stages and promotes
        self.kv.read(name)
        assert self._serves(made["value"]) == 200
        self._manage("GET", "?limit=100")
        if name in self.old:
            self._manage("POST", f"/{self.old[name]}/disable")
            self._manage("DELETE", f"/{self.old[name]}")
            self._serves(made["value"])
        self.old[name] = made["id"]

    def _manage(self, method: str, path: str, **more: Any) -> urllib3.BaseHTTPResponse:
        headers = {"Authorization": f"Bearer {self.token}"}
        url = f"{self.url}/manage/v1/keys{path}"
        answer = self.pool.request(method, url, headers=headers, **more)
        assert answer.status < 300, answer.data
        return answer

    def _serves(self, key: str) -> int:
        headers = {"Authorization": f"Bearer {key}"}
        return self.pool.request("GET", f"{self.url}/v2/cases?limit=1", headers=headers).status


@contextmanager
def benchmarks(folder: Path) -> Iterator[Sequence[Benchmark]]:
    """All of them once: the bare calls, then ours."""
    configure("ERROR", "console")
    names = [f"load/key-{number}" for number in range(CREDENTIALS)]
    with (
        dev_server() as bao,
        server("sandbox") as box,
        requests.Session() as http,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        http.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=THREADS))
        app = _installed(folder / "home", bao.address, box, names)
        runbook = Runbook(app.engine)
        client = hvac.Client(url=bao.address, token=ROOT, session=http)
        direct = urllib3.PoolManager(maxsize=THREADS, block=True, retries=False)
        bare = Bare(BareVault(client.secrets.kv.v2), direct, box["url"], box["token"])

        def ours(trigger: Trigger = Trigger.LEAKED) -> None:  # which has no overlap to wait for
            ended = pool.map(lambda name: runbook.rotate(Name(name), trigger).state, names)
            assert set(ended) == {State.DONE}

        ours(Trigger.FIRST)
        ours()
        others = [f"bare/{name}" for name in names]
        for name in others:
            _begin(client.secrets.kv.v2, name)
        title = f"{CREDENTIALS:,} rotations, {THREADS} at once"
        yield (
            Benchmark(f"{title}, bare calls", lambda: list(pool.map(bare.rotate, others))),
            Benchmark(f"{title}, ours", ours, f"{title}, bare calls"),
        )
        app.close()
        direct.clear()


def _installed(folder: Path, vault: str, box: dict[str, Any], names: Sequence[str]) -> Any:
    homes.make(folder, homes.starter(homes.MANIFEST))
    for file, text in (("vault.token", ROOT), ("sandbox.token", box["token"])):
        (folder / file).write_text(text)
        (folder / file).chmod(0o600)
    declared = [f"  {name}: {ENTRY}\n" for name in names]
    text = MANIFEST.format(vault=vault, sandbox=box["url"], threads=THREADS) + "".join(declared)
    (folder / "credmgr.yaml").write_text(text)
    app = build(load(folder / "credmgr.yaml"))
    app.apply(app.plan())
    return app


def _begin(kv: Any, name: str) -> None:
    """Two versions of each entry, which a rotation finds."""
    for path in (f"credmgr/{name}", f"credmgr/{name}.next"):
        for _ in range(2):
            kv.create_or_update_secret(path, secret={"value": "none"})
