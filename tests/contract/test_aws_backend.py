"""The AWS backend against the one contract: with AWS's strictness, and with moto's laxness.

With the strictness goes our own policy, on every call but those of the others that are played.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import pytest

from credmgr.backends.aws_secrets_manager import AwsBackendFactory
from credmgr.model.names import Name
from credmgr.testing import BackendContract
from credmgr.testing.backend_faults import Faulty
from credmgr.testing.backend_moves import Plant, Reopen
from credmgr.testing.fault_proxy import FaultProxy
from tests.integration.aws import ADMINISTRATOR, AwsServer, a_session, running
from tests.integration.aws_iam import KEY_ARN, PREFIX, Iam, shipped_policy

if TYPE_CHECKING:
    from credmgr.backends.aws_secrets_manager.session import AwsBackend

OURS: Final[dict[str, Any]] = {"prefix": PREFIX, "kms_key_id": KEY_ARN}


def allowed() -> set[str]:
    statements = shipped_policy()["Statement"]
    return {action.partition(":")[2] for it in statements for action in it["Action"]}


@pytest.fixture(scope="module")
def aws() -> Iterator[AwsServer]:
    with running() as server:
        server.iam = Iam(shipped_policy())
        yield server
        assert set(server.calls) <= {*allowed(), "GetCallerIdentity"}


@pytest.fixture(scope="module")
def proxy(aws: AwsServer) -> Iterator[FaultProxy]:
    with FaultProxy(aws.url) as started:
        yield started


@pytest.fixture(scope="module")
def session(aws: AwsServer) -> Iterator["AwsBackend"]:
    opened = a_session(aws, **OURS)
    yield opened
    opened.close()


class TestAwsBackend(BackendContract):
    factory = AwsBackendFactory()

    @pytest.fixture
    def backend(self, session: "AwsBackend") -> "AwsBackend":
        return session

    @pytest.fixture
    def reopen(self, aws: AwsServer) -> Reopen:
        return lambda: a_session(aws, **OURS)

    @pytest.fixture
    def faulty(self, proxy: FaultProxy) -> Faulty:
        there = AwsServer(url=proxy.url)
        return Faulty(proxy, lambda deadline: a_session(there, deadline=deadline, **OURS))

    @pytest.fixture
    def foreign(self, aws: AwsServer) -> Iterator[Plant]:
        administrator = a_session(aws, access_key_id=ADMINISTRATOR)

        def plant(name: Name) -> Callable[[], object]:
            where = f"{PREFIX}{name}"
            administrator._aws.create_secret(Name=where, SecretString="of somebody else")
            return lambda: (dict(vars(aws.secrets()[where])), aws.labels(where))

        yield plant
        administrator.close()


class TestAwsBackendWhereOnlyOurChecksHold(TestAwsBackend):
    """moto as it is: it takes what AWS refuses."""

    @pytest.fixture(autouse=True)
    def _lax(self, aws: AwsServer) -> Iterator[None]:
        policy = aws.iam
        aws.strict, aws.iam = False, None
        yield
        aws.strict, aws.iam = True, policy

    @pytest.fixture
    def faulty(self) -> None:
        """What a network does is the same."""
