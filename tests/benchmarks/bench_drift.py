"""A drift check of many unchanged copies on OpenBao: metadata of each, 32 at a time, no values."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import hvac
import requests

from credmgr.backends.vault import VaultBackendFactory, VaultOptions
from credmgr.backends.vault.options import TokenSignIn
from credmgr.distribution.looking import Eyes
from credmgr.model.copy import Copy
from credmgr.model.credential import Place
from credmgr.model.names import Name
from credmgr.model.secret import Fingerprinter
from tests.benchmarks.bench_backends import Ours
from tests.benchmarks.run import Benchmark
from tests.integration.openbao import ROOT, context_of, dev_server

COPIES: Final = int(os.environ.get("CREDMGR_BENCH_COPIES", "500"))
"""The issue's size is 10,000."""
THREADS: Final = 32
STORE: Final = Name("vault")


@contextmanager
def benchmarks(folder: Path) -> Iterator[Sequence[Benchmark]]:
    """Every copy: the bare metadata calls, ours, and ours reading each value."""
    names = [f"drift/key-{number}" for number in range(COPIES)]
    with (
        dev_server() as bao,
        requests.Session() as http,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        http.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=THREADS))
        kv: Any = hvac.Client(url=bao.address, token=ROOT, session=http).secrets.kv.v2
        options = VaultOptions(bao.address, token=TokenSignIn("env:token"))
        session = VaultBackendFactory().open(options, context_of(folder, token=ROOT))
        list(pool.map(Ours(session).rotate, names))
        eyes = Eyes({STORE: session}, {}, Fingerprinter(bytes(32)))
        copies = [Copy(Name(name), Place(STORE, Name(name))) for name in names]
        known = [_seen(eyes, copy) for copy in copies]

        def bare() -> None:
            list(pool.map(lambda name: kv.read_secret_metadata(f"credmgr/{name}"), names))

        def looked(*, deep: bool = False) -> None:
            seen = pool.map(lambda copy: eyes.look(copy, {}, deep=deep), known)
            assert all(one.version == copy.version for one, copy in zip(seen, known, strict=True))

        title = f"drift of {COPIES:,} copies on OpenBao"
        yield (
            Benchmark(f"{title}, bare metadata", bare),
            Benchmark(f"{title}, ours", looked, f"{title}, bare metadata"),
            Benchmark(f"{title}, every value read", lambda: looked(deep=True), f"{title}, ours"),
        )
        session.close()


def _seen(eyes: Eyes, copy: Copy) -> Copy:
    """The copy as it is after a first look, with the token that spares reading it again."""
    found = eyes.look(copy, {})
    return Copy(copy.credential, copy.place, version=found.version, token=found.token)
