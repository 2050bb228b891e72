"""A token that is at hand within the process: credmgr's broker, Authlib's and MSAL's caches."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msal
from authlib.integrations.requests_client import OAuth2Session

from credmgr.broker.asking import Ask
from credmgr.broker.broker import Broker
from credmgr.model.clock import SystemClock
from tests.benchmarks.run import Benchmark
from tests.broker_world import BILLING, CONSUMER, CREDENTIAL, NAME, World

LIFE = 3600


@contextmanager
def benchmarks(folder: Path) -> Iterator[Sequence[Benchmark]]:
    """Each with one token that is good for an hour."""
    del folder
    world = World()
    with closing(Broker(world, world, SystemClock(), lambda: 0.5, "bench")) as broker:
        broker.adopt({NAME: CREDENTIAL}, {BILLING: CONSUMER}, world)
        ask = Ask(BILLING, NAME)
        world.clock.advance(SystemClock().now() - world.clock.now())
        broker.token(ask)
        session = OAuth2Session("app", token_endpoint="http://127.0.0.1:9/")  # noqa: S106
        session.token = {"access_token": "x" * 40, "expires_at": time.time() + LIFE}  # noqa: TID251
        yield [
            Benchmark("hit: Broker.cached, counted by consumer", lambda: broker.cached(ask)),
            Benchmark("hit: Authlib", lambda: session.ensure_active_token(session.token)),
            Benchmark("hit: MSAL", microsoft()),
        ]


def microsoft() -> Any:
    """MSAL's client of an authority that is never asked."""
    application = msal.ConfidentialClientApplication(
        "app",
        client_credential="of-the-benchmark",
        authority="https://login.microsoftonline.com/common",
        instance_discovery=False,
        http_client=Canned(),
    )
    return lambda: application.acquire_token_for_client(["https://api.example/.default"])


class Canned:
    """Answers every request of MSAL alike, without a network."""

    def get(self, url: str, **_: object) -> "Canned":
        del url
        return self

    def post(self, url: str, **_: object) -> "Canned":
        del url
        return self

    def close(self) -> None:
        """Nothing is open."""

    def raise_for_status(self) -> None:
        """It is a good answer."""

    status_code = 200
    headers: dict[str, str] = {}  # noqa: RUF012
    text = (
        '{"token_endpoint": "https://login.microsoftonline.com/t", "access_token": "x",'
        ' "authorization_endpoint": "https://login.microsoftonline.com/a",'
        ' "issuer": "https://login.microsoftonline.com/common/v2.0",'
        ' "token_type": "Bearer", "expires_in": 3600}'
    )
