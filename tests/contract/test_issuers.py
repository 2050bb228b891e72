"""Every issuer passes the contract of its class; CaseForge does against the real sandbox."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count

import pytest

from credmgr.errors import OutcomeUnknown
from credmgr.issuers.caseforge import CaseForgeIssuerFactory, CaseForgeOptions
from credmgr.issuers.client_auth import ClientAuth
from credmgr.issuers.manual import ManualIssuerFactory, ManualOptions
from credmgr.model.credential import Credential, Kind
from credmgr.model.secret import Secret
from credmgr.plugins.issuer import Issuer
from credmgr.sandbox import CredentialKind, Effect, Environment, Fault, RunningSandbox, When
from credmgr.sandbox.accounts import Declaration
from credmgr.sandbox.issued import Order
from credmgr.testing import FakeClock, IssuerContract, ManualIssuerContract
from credmgr.testing.memory_issuer import MANUAL_TRAITS, MANY_TRAITS, MemoryIssuer
from tests.issuer_world import SCOPES, a_context, a_credential

NUMBERS = count(1)
PROPAGATION = timedelta(seconds=30)


@pytest.fixture(params=list(Kind))
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with RunningSandbox() as running:
        yield running


@pytest.fixture
def fresh(kind: Kind, sandbox: RunningSandbox) -> Iterator[Credential]:
    """A credential that the sandbox has not seen before, and no faults."""
    number = next(NUMBERS)
    options = {"key_name": f"reporting {number}/ü"} if kind is Kind.API_KEY else {}
    client_id = f"app_t{number}" if kind is Kind.OAUTH_CLIENT else None
    if client_id:
        sandbox.applications.declare(client_id, Declaration(name="Test", scopes=sorted(SCOPES)))
    yield a_credential(kind, client_id=client_id, options=options)
    sandbox.faults.clear()


class TestMemoryIssuer(IssuerContract):
    @pytest.fixture
    def issuer(self) -> Issuer:
        traits = replace(MANY_TRAITS, propagation=PROPAGATION)
        self.clock = FakeClock()
        return MemoryIssuer(self.clock, traits=traits)

    @pytest.fixture
    def credential(self, kind: Kind) -> Credential:
        return a_credential(kind, scopes=frozenset({"cases:read"}))

    def settle(self, issuer: Issuer) -> None:
        self.clock.advance(issuer.traits.propagation)

    def lose_next_answer(self, issuer: Issuer) -> None:
        assert isinstance(issuer, MemoryIssuer)
        issuer.fail_next("create", OutcomeUnknown(), when="after")


class TestMemoryIssuerOfPersons(ManualIssuerContract):
    @pytest.fixture
    def issuer(self) -> Issuer:
        return MemoryIssuer(FakeClock(), traits=MANUAL_TRAITS)

    @pytest.fixture
    def credential(self, kind: Kind) -> Credential:
        return a_credential(kind, scopes=frozenset({"cases:read"}))

    def supply(self, issuer: Issuer, credential: Credential) -> Secret:
        assert isinstance(issuer, MemoryIssuer)
        return issuer.supply(credential).secret


class TestCaseForge(IssuerContract):
    @pytest.fixture
    def issuer(self, sandbox: RunningSandbox) -> Iterator[Issuer]:
        self.sandbox = sandbox
        options = CaseForgeOptions(sandbox.url, "env:ADMIN")
        session = CaseForgeIssuerFactory().open(options, a_context(admin=sandbox.admin_token))
        yield session
        session.close()

    @pytest.fixture
    def credential(self, fresh: Credential) -> Credential:
        return fresh

    def lose_next_answer(self, issuer: Issuer) -> None:
        del issuer
        lost = Fault(effect=Effect.DROP, method="POST", when=When.AFTER, count=1)
        self.sandbox.faults.replace(lost)


@dataclass
class Person:
    """Makes secrets in the sandbox as a person does in the dashboard."""

    sandbox: RunningSandbox

    def makes(self, credential: Credential) -> Secret:
        oauth = credential.kind is Kind.OAUTH_CLIENT
        order = Order(
            kind=CredentialKind(credential.kind.value),
            credential=credential.client_id or credential.name,
            environment=None if oauth else Environment.SANDBOX,
            scopes=() if oauth else sorted(credential.scopes),
        )
        return self.sandbox.secrets.create(order)[1]


class TestManual(ManualIssuerContract):
    @pytest.fixture(params=[ClientAuth.BASIC, ClientAuth.POST])
    def issuer(self, sandbox: RunningSandbox, request: pytest.FixtureRequest) -> Iterator[Issuer]:
        self.person = Person(sandbox)
        options = ManualOptions(
            token_url=f"{sandbox.url}/oauth/token",
            client_auth=request.param,
            probe_url=f"{sandbox.url}/v2/cases?status=open",
        )
        session = ManualIssuerFactory().open(options, a_context())
        yield session
        session.close()

    @pytest.fixture
    def credential(self, fresh: Credential) -> Credential:
        return replace(fresh, name=type(fresh.name)(f"reporting-{next(NUMBERS)}"))

    def supply(self, issuer: Issuer, credential: Credential) -> Secret:
        del issuer
        return self.person.makes(credential)
