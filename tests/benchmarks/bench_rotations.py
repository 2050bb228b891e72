"""Many credentials rotated at once, against OpenBao and a sandbox in processes of their own.

The other side is the HTTP calls of such a rotation by themselves.
"""

import os
import resource
import statistics
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final, Protocol
from unittest import mock
from uuid import uuid4

import hvac
import requests
import urllib3
from hvac.exceptions import InvalidPath
from urllib3 import HTTPConnectionPool

from credmgr.logs import configure
from credmgr.model.rotation import Trigger
from tests.benchmarks.installed import TARGETS, installed, servers
from tests.benchmarks.run import Told, timed
from tests.integration.openbao import ROOT

CREDENTIALS: Final = int(os.environ.get("CREDMGR_BENCH_CREDENTIALS", "32"))
"""The issue's size is 1,000."""
THREADS: Final = 32
BARE: Final = ("urllib3", "hvac")
OURS: Final = "credmgr"
WITH_TARGETS: Final = "credmgr, with copies in AWS and Key Vault"
"""Besides, when `CREDMGR_BENCH_TARGETS` is set; both servers share the machine."""


class Bao(Protocol):
    """OpenBao's entries by a bare client."""

    def read(self, path: str, number: int | None = None) -> int:
        """Which version is there."""
        ...

    def write(self, path: str, value: str, over: int) -> int:
        """By compare-and-set; the new version."""
        ...

    def destroy(self, path: str, last: int) -> None:
        """Everything up to a version."""
        ...


@dataclass
class ByUrllib3:
    """As few lines of Python around a call as there can be."""

    pool: urllib3.PoolManager
    url: str

    def read(self, path: str, number: int | None = None) -> int:
        query = "" if number is None else f"?version={number}"
        found = self._ask("GET", f"data/credmgr/{path}{query}")
        return int(found["data"]["metadata"]["version"])

    def write(self, path: str, value: str, over: int) -> int:
        sent = {"data": _fields(value), "options": {"cas": over}}
        return int(self._ask("POST", f"data/credmgr/{path}", json=sent)["data"]["version"])

    def destroy(self, path: str, last: int) -> None:
        self._ask("POST", f"destroy/credmgr/{path}", json={"versions": _up_to(last)})

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        headers, url = {"X-Vault-Token": ROOT}, f"{self.url}/v1/secret/{path}"
        answer = self.pool.request(method, url, headers=headers, **more)
        assert answer.status in (200, 204, 404), answer.data  # 404: its value was destroyed
        return answer.json() if answer.data else {}


@dataclass
class ByHvac:
    """As the library for it does, which credmgr is built on."""

    kv: Any

    def read(self, path: str, number: int | None = None) -> int:
        try:
            answer = self.kv.read_secret_version(
                f"credmgr/{path}", version=number, raise_on_deleted_version=True
            )
        except InvalidPath as error:  # its value was destroyed
            answer = error.json
        return int(answer["data"]["metadata"]["version"])

    def write(self, path: str, value: str, over: int) -> int:
        answer = self.kv.create_or_update_secret(f"credmgr/{path}", _fields(value), cas=over)
        return int(answer["data"]["version"])

    def destroy(self, path: str, last: int) -> None:
        self.kv.destroy_secret_versions(f"credmgr/{path}", _up_to(last))


def _fields(value: str) -> dict[str, str]:
    return {"value": value, "credmgr_version": str(uuid4())}


def _up_to(last: int) -> list[int]:
    return list(range(max(1, last - 10), last + 1))


@dataclass
class Bare:
    """The calls that a proven rotation makes, the same ones in the same order.

    Nothing else is done: no state database, no lease, no audit chain, no check of an answer beyond
    its status.
    """

    vault: Bao
    pool: urllib3.PoolManager
    sandbox: str
    token: str
    made: dict[str, list[dict[str, str]]] = field(default_factory=dict)

    def rotate(self, name: str) -> None:
        """Issue, stage, prove, promote, look that readers see it, disable, revoke, tidy."""
        own = name.replace("/", "-")
        keys = self.made.setdefault(name, [])
        self.vault.read(name)
        self._manage("GET", f"?name={own}&limit=200")
        keys.append(self._manage("POST", "", json={"name": own, "environment": "sandbox"}))
        newest = self.vault.read(name)
        staged = self._look(name, newest)
        self.vault.write(f"{name}.next", keys[-1]["value"], staged)
        self.vault.read(name)
        self.vault.read(f"{name}.next")
        assert self._serves(keys[-1]["value"]) == 200
        self.vault.read(name)
        self.vault.read(f"{name}.next")
        newest = self.vault.write(name, keys[-1]["value"], newest)
        self.vault.destroy(name, newest - 2)
        self.vault.destroy(f"{name}.next", staged + 1)
        if len(keys) > 1:
            self._end(name, newest, keys.pop(0))
        self._manage("GET", f"?name={own}&limit=200")

    def begin(self, name: str) -> None:
        """Two versions of each entry, which a rotation finds."""
        for path in (name, f"{name}.next"):
            for number in range(2):
                self.vault.write(path, "none", number)

    def _end(self, name: str, newest: int, old: dict[str, str]) -> None:
        for _ in range(3):  # at the end of the overlap, before the revocation, for the old value
            self.vault.read(name)
        self.vault.read(name, newest - 1)
        for method, suffix in (("POST", "/disable"), ("DELETE", "")):
            self._manage("GET", f"/{old['id']}")
            self._manage(method, f"/{old['id']}{suffix}")
        assert self._serves(old["value"]) == 401
        for _ in range(2):  # what is held, and what of it is to be destroyed
            self.vault.read(name)
            self._look(name, newest)
        self.vault.destroy(name, newest - 1)

    def _look(self, name: str, newest: int) -> int:
        """Beside the newest version: what is staged, whose number it returns, and what was."""
        staged = self.vault.read(f"{name}.next")
        self.vault.read(name, newest - 1)
        return staged

    def _manage(self, method: str, path: str, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"}
        url = f"{self.sandbox}/manage/v1/keys{path}"
        answer = self.pool.request(method, url, headers=headers, **more)
        assert answer.status < 300, answer.data
        return answer.json() if answer.data else {}

    def _serves(self, key: str) -> int:
        headers = {"Authorization": f"Bearer {key}"}
        return self.pool.request("GET", f"{self.sandbox}/v2/cases?limit=1", headers=headers).status


@dataclass(frozen=True, slots=True)
class Rotated:
    """How fast credentials were rotated, all sides in turn in each run.

    Attributes:
        credentials: How many, all of them in each run.
        threads: How many at once.
        calls: HTTP calls of one rotation, on every side.
        seconds: What each run took, by side.
        megabytes: Memory of the process that all run in, after each run.
    """

    credentials: int
    threads: int
    calls: float
    seconds: dict[str, list[float]]
    megabytes: list[float]


def compared(folder: Path, runs: int) -> Iterator[Told]:
    """All of them by bare calls, then by credmgr, and so on in turn."""
    with sides(folder) as side:
        for name in (*side, *BARE):  # so that there is an old secret to end
            side[name]()
        calls = {name: counted(side[name]) for name in (*BARE, OURS)}
        if len(set(calls.values())) > 1:
            raise ValueError(f"it is not the same work: {calls}")
        found = Rotated(CREDENTIALS, THREADS, calls[OURS] / CREDENTIALS, {n: [] for n in side}, [])
        for _ in range(runs):
            for name, rotate in side.items():
                found.seconds[name].append(timed(rotate, 1))
            found.megabytes.append(megabytes())
    yield Told("\n".join(told(found)), found)


def told(found: Rotated) -> Iterator[str]:
    """The lines of the table."""
    yield f"{found.credentials:,} rotations, {found.threads} at once, {found.calls:.0f} calls each"
    own = found.seconds[OURS]
    for name, spent in found.seconds.items():
        shares = [bare / mine for bare, mine in zip(spent, own, strict=True)]
        share = f"; credmgr is {statistics.median(shares):.2f} of it"
        spread = f" ({min(shares):.2f} to {max(shares):.2f})"
        rate = f"  {name}: {found.credentials / statistics.median(spent):.1f} a second"
        yield rate + (share + spread if name in BARE else "")
    first, last = found.megabytes[0], found.megabytes[-1]
    yield f"  memory: {first:.0f} MB after the first run, {last:.0f} MB after the last"


def counted(side: Callable[[], object]) -> int:
    """How many HTTP calls it makes."""
    sent = count()
    send = HTTPConnectionPool.urlopen

    def counting(*args: Any, **more: Any) -> Any:
        next(sent)
        return send(*args, **more)

    with mock.patch.object(HTTPConnectionPool, "urlopen", counting):
        side()
    return next(sent)


def megabytes() -> float:
    """What this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


@contextmanager
def sides(folder: Path) -> Iterator[dict[str, Callable[[], object]]]:
    """What rotates all of them once: by bare calls, and by credmgr."""
    configure("CRITICAL", "console")  # AWS wants fewer writes than a benchmark makes
    targets = bool(os.environ.get("CREDMGR_BENCH_TARGETS"))
    numbers = range(CREDENTIALS)
    ours = {OURS: [f"load/key-{number}" for number in numbers]}
    if targets:
        ours[WITH_TARGETS] = [f"spread/key-{number}" for number in numbers]
    declared = {
        name: TARGETS if title == WITH_TARGETS else ()
        for title, names in ours.items()
        for name in names
    }
    with (
        servers(targets=targets) as on,
        installed(folder / "home", on, declared, THREADS) as rotating,
        requests.Session() as http,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        http.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=THREADS))
        direct = urllib3.PoolManager(maxsize=THREADS, block=True, retries=False)
        kv = hvac.Client(url=on.vault, token=ROOT, session=http).secrets.kv.v2
        clients: list[Bao] = [ByUrllib3(direct, on.vault), ByHvac(kv)]

        def all_of(names: Sequence[str], trigger: Trigger = Trigger.LEAKED) -> None:
            _all(pool, partial(rotating.begin, trigger=trigger), names)
            rotating.later()
            _all(pool, rotating.end, names)

        found: dict[str, Callable[[], object]] = {}
        for title, client in zip(BARE, clients, strict=True):
            bare = Bare(client, direct, on.sandbox["url"], on.sandbox["token"])
            others = [f"{title}/key-{number}" for number in numbers]
            for name in others:
                bare.begin(name)
            found[title] = partial(_all, pool, bare.rotate, others)
        for title, names in ours.items():
            all_of(names, Trigger.FIRST)
            found[title] = partial(all_of, names)
        yield found
        direct.clear()


def _all(pool: Executor, rotate: Callable[[str], object], names: Sequence[str]) -> None:
    list(pool.map(rotate, names))
