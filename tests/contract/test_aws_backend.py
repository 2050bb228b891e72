"""The AWS backend against the one contract: with AWS's strictness, and with moto's laxness."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from credmgr.backends.aws_secrets_manager import AwsBackendFactory
from credmgr.model.names import Name
from credmgr.testing import BackendContract
from credmgr.testing.backend_faults import Faulty
from credmgr.testing.backend_moves import Plant, Reopen
from credmgr.testing.fault_proxy import FaultProxy
from tests.integration.aws import AwsServer, a_session, running

if TYPE_CHECKING:
    from credmgr.backends.aws_secrets_manager.session import AwsBackend

POLICY: Final = Path(__file__).parents[2] / "policies/backends/aws-iam.json"
ALLOWED: Final = {
    action.partition(":")[2]
    for statement in json.loads(POLICY.read_text())["Statement"]
    for action in statement["Action"]
}


@pytest.fixture(scope="module")
def aws() -> Iterator[AwsServer]:
    with running() as server:
        yield server
        assert set(server.calls) <= {*ALLOWED, "GetCallerIdentity"}


@pytest.fixture(scope="module")
def proxy(aws: AwsServer) -> Iterator[FaultProxy]:
    with FaultProxy(aws.url) as started:
        yield started


@pytest.fixture(scope="module")
def session(aws: AwsServer) -> Iterator["AwsBackend"]:
    opened = a_session(aws)
    yield opened
    opened.close()


class TestAwsBackend(BackendContract):
    factory = AwsBackendFactory()

    @pytest.fixture
    def backend(self, session: "AwsBackend") -> "AwsBackend":
        return session

    @pytest.fixture
    def reopen(self, aws: AwsServer) -> Reopen:
        return lambda: a_session(aws)

    @pytest.fixture
    def faulty(self, proxy: FaultProxy) -> Faulty:
        there = AwsServer(url=proxy.url)
        return Faulty(proxy, lambda deadline: a_session(there, deadline=deadline))

    @pytest.fixture
    def foreign(self, aws: AwsServer, backend: "AwsBackend") -> Plant:
        def plant(name: Name) -> Callable[[], object]:
            backend._aws.create_secret(Name=name, SecretString="of somebody else")
            return lambda: (dict(vars(aws.secrets()[name])), aws.labels(name))

        return plant


class TestAwsBackendWhereOnlyOurChecksHold(TestAwsBackend):
    """moto as it is: it takes what AWS refuses."""

    @pytest.fixture(autouse=True)
    def _lax(self, aws: AwsServer) -> Iterator[None]:
        aws.strict = False
        yield
        aws.strict = True

    @pytest.fixture
    def faulty(self) -> None:
        """What a network does is the same."""
