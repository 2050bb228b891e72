"""Our backends against the bare SDK making the same calls, with 1 and 32 threads.

Each pair does the same on the same server in the same run; the server is a process of its own.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol
from uuid import uuid4

import boto3
import hvac
import requests
from azure.core.pipeline.transport import RequestsTransport
from azure.keyvault.secrets import SecretClient
from botocore.config import Config
from hvac.exceptions import InvalidPath

from credmgr.backends.aws_secrets_manager import AwsBackendFactory, AwsOptions
from credmgr.backends.azure_key_vault import AzureBackendFactory, AzureOptions
from credmgr.backends.vault import VaultBackendFactory, VaultOptions
from credmgr.backends.vault.options import TokenSignIn
from credmgr.logs import configure
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.plugins.backend import SecretBackend
from credmgr.testing.key_vault import StaticToken
from tests.benchmarks.run import Benchmark
from tests.benchmarks.servers import server
from tests.integration.aws import REGION
from tests.integration.aws import SECRET_KEY as AWS_KEY
from tests.integration.aws import a_context as aws_context
from tests.integration.key_vaults import a_context as azure_context
from tests.integration.openbao import ROOT, context_of, dev_server

THREADS: Final = tuple(int(n) for n in os.environ.get("CREDMGR_BENCH_THREADS", "1,32").split(","))
"""A comma between them; `1` is enough to see that it works."""
WANTED: Final = os.environ.get("CREDMGR_BENCH_STORE", "")
"""Part of the name of the stores to measure; empty for all."""
VALUE: Final = "a value as long as those of most issuers are"


class Side(Protocol):
    """One of the two that are compared."""

    def read(self, name: str) -> object: ...

    def rotate(self, name: str) -> object: ...


@dataclass
class Ours:
    """Through a session of ours."""

    backend: SecretBackend
    current: dict[str, Any] = field(default_factory=dict)

    def read(self, name: str) -> object:
        return self.backend.read(Name(name))

    def rotate(self, name: str) -> object:
        version, key = uuid4(), Name(name)
        self.backend.stage(key, Secret(VALUE), version)
        self.backend.promote(key, version, self.current.get(name))
        self.current[name] = version
        return version


@dataclass
class BareVault:
    """hvac by itself: the calls that staging and promoting by `cas` come to."""

    kv: Any

    def read(self, name: str) -> Any:
        return self.kv.read_secret_version(f"credmgr/{name}", raise_on_deleted_version=True)

    def rotate(self, name: str) -> object:
        main, beside = f"credmgr/{name}", f"credmgr/{name}.next"
        now, staged = self._number(main), self._number(beside)
        self.kv.read_secret_version(main, now - 1, raise_on_deleted_version=True)
        self._write(beside, staged)
        now, staged = self._number(main), self._number(beside)
        self._write(main, now)
        self.kv.destroy_secret_versions(main, list(range(max(now - 9, 1), now)))
        return self.kv.destroy_secret_versions(beside, list(range(max(staged - 9, 1), staged + 1)))

    def _number(self, path: str) -> int:
        try:
            answer = self.kv.read_secret_version(path, raise_on_deleted_version=True)
        except InvalidPath as error:  # what was staged before is destroyed
            answer = error.json
        return int(answer["data"]["metadata"]["version"])

    def _write(self, path: str, over: int) -> None:
        document = {"value": VALUE, "credmgr_version": str(uuid4())}
        self.kv.create_or_update_secret(path, secret=document, cas=over)


@dataclass
class BareAws:
    """boto3 by itself: the calls that AWS's own rotation makes, and the looks before them."""

    client: Any
    current: dict[str, str] = field(default_factory=dict)

    def read(self, name: str) -> object:
        return self.client.get_secret_value(SecretId=name, VersionStage="AWSCURRENT")

    def rotate(self, name: str) -> object:
        token = str(uuid4())
        self.client.describe_secret(SecretId=name)
        try:
            self.client.get_secret_value(SecretId=name, VersionId=token)
        except self.client.exceptions.ResourceNotFoundException:
            self.client.put_secret_value(
                SecretId=name,
                ClientRequestToken=token,
                SecretString=VALUE,
                VersionStages=["AWSPENDING"],
            )
        told = self.client.describe_secret(SecretId=name)["VersionIdsToStages"]
        old = next(version for version, labels in told.items() if "AWSCURRENT" in labels)
        self._move(name, "AWSCURRENT", RemoveFromVersionId=old, MoveToVersionId=token)
        return self._move(name, "AWSPENDING", RemoveFromVersionId=token)

    def _move(self, name: str, label: str, **where: str) -> object:
        return self.client.update_secret_version_stage(SecretId=name, VersionStage=label, **where)


@dataclass
class BareAzure:
    """The SDK of Key Vault by itself; only a read, for there is nothing of its own like a stage."""

    client: SecretClient

    def read(self, name: str) -> object:
        return self.client.get_secret(name.replace("/", "--"))

    def rotate(self, name: str) -> object:
        raise NotImplementedError(name)


@contextmanager
def vault_sides(folder: Path) -> Iterator[tuple[Side, Side]]:
    """OpenBao in memory."""
    with dev_server() as bao, requests.Session() as http:
        http.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=max(THREADS)))
        options = VaultOptions(bao.address, token=TokenSignIn("env:token"))
        session = VaultBackendFactory().open(options, context_of(folder, token=ROOT))
        client = hvac.Client(url=bao.address, token=ROOT, session=http)
        yield Ours(session), BareVault(client.secrets.kv.v2)
        session.close()


@contextmanager
def aws_sides(_: Path) -> Iterator[tuple[Side, Side]]:
    """moto behind the layer that is strict."""
    with server("aws") as said:
        options = AwsOptions(
            region=REGION,
            endpoint_url=said["url"],
            sts_endpoint_url=said["url"],
            access_key_id="testing",
            secret_access_key="env:AWS_SECRET",  # noqa: S106 (a reference)
        )
        session = AwsBackendFactory().open(options, aws_context())
        client = boto3.client(
            "secretsmanager",
            region_name=REGION,
            endpoint_url=said["url"],
            aws_access_key_id="testing",
            aws_secret_access_key=AWS_KEY,
            config=Config(max_pool_connections=max(THREADS), retries={"total_max_attempts": 1}),
        )
        yield Ours(session), BareAws(client)
        session.close()


@contextmanager
def azure_sides(_: Path) -> Iterator[tuple[Side, Side]]:
    """The fake Key Vault, with TLS."""
    with server("azure") as said, requests.Session() as http:
        http.mount("https://", requests.adapters.HTTPAdapter(pool_maxsize=max(THREADS)))
        http.trust_env = False
        credential = StaticToken(said["token"])
        options = AzureOptions(
            vault_url=said["url"], ca_bundle=said["ca_file"], verify_challenge_resource=False
        )
        factory = AzureBackendFactory(lambda _auth, _context, _settings: credential)
        session = factory.open(options, azure_context())
        client = SecretClient(
            said["url"],
            credential,
            verify_challenge_resource=False,
            transport=RequestsTransport(session=http, connection_verify=said["ca_file"]),
            retry_total=0,
        )
        yield Ours(session), BareAzure(client)
        session.close()
        client.close()


KINDS: Final[dict[str, tuple[Any, Sequence[str]]]] = {
    "OpenBao": (vault_sides, ("read", "stage and promote")),
    "moto": (aws_sides, ("read", "stage and promote")),
    "fake Key Vault": (azure_sides, ("read",)),
}


@contextmanager
def benchmarks(folder: Path) -> Iterator[Sequence[Benchmark]]:
    """Pairs: ours, and the bare SDK's."""
    configure("ERROR", "console")  # AWS wants fewer writes than a benchmark makes
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(max(THREADS)))
        found = []
        for kind, (sides, works) in KINDS.items():
            if WANTED not in kind:
                continue
            ours, bare = stack.enter_context(sides(folder))
            for threads in THREADS:
                names = [f"bench/key-{threads}-{number}" for number in range(threads)]
                for name in names:  # three, so that there is one before the one before
                    for _ in range(3):
                        ours.rotate(name)
                found += list(_pairs(pool, kind, works, names, (ours, bare)))
        yield found


def _pairs(
    pool: ThreadPoolExecutor,
    kind: str,
    works: Sequence[str],
    names: Sequence[str],
    sides: tuple[Side, Side],
) -> Iterator[Benchmark]:
    for work in works:
        title = f"{kind}: {work}, {len(names)} threads"
        for side, words in zip(sides[::-1], ("bare SDK", "ours"), strict=True):
            # A rotation of each side has names of its own: neither knows the other's versions.
            own = names if work == "read" else [f"{name}-{words[:4].strip()}" for name in names]
            act = side.read if work == "read" else side.rotate
            if work != "read":
                _prepare(sides[0], side, own)
            once = _many(pool, act, own)
            against = f"{title}, bare SDK" if side is sides[0] else ""
            yield Benchmark(f"{title}, {words}", once, against)


def _prepare(ours: Side, side: Side, names: Sequence[str]) -> None:
    for name in names:
        for _ in range(3):
            ours.rotate(name)
        side.rotate(name)


def _many(
    pool: ThreadPoolExecutor, act: Callable[[str], object], names: Sequence[str]
) -> Callable[[], object]:
    if len(names) == 1:
        return lambda: act(names[0])
    return lambda: list(pool.map(act, names))
