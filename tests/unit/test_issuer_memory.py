"""The in-memory issuer's knobs, beyond the contract that it passes."""

from dataclasses import replace
from datetime import timedelta

import pytest

from credmgr.errors import (
    IssuerRefused,
    IssuerUnavailable,
    NoFreeSlot,
    OperatorNeeded,
    OutcomeUnknown,
    ScopeRefused,
    SecretRejected,
)
from credmgr.model.credential import Kind
from credmgr.model.names import Name
from credmgr.model.token import TokenRequest
from credmgr.testing import FakeClock
from credmgr.testing.memory_issuer import MANUAL_TRAITS, MANY_TRAITS, MemoryIssuer
from tests.issuer_world import a_credential

OAUTH = a_credential(Kind.OAUTH_CLIENT)
KEY = a_credential(Kind.API_KEY)
DELAY = timedelta(seconds=30)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def issuer(clock: FakeClock) -> MemoryIssuer:
    return MemoryIssuer(clock)


def test_a_failure_before_leaves_nothing_behind(issuer: MemoryIssuer) -> None:
    issuer.fail_next("create", IssuerUnavailable())
    with pytest.raises(IssuerUnavailable):
        issuer.create(OAUTH, "one")
    assert not issuer.live()
    assert not issuer.calls


def test_a_failure_after_leaves_the_secret_behind(issuer: MemoryIssuer) -> None:
    issuer.fail_next("create", OutcomeUnknown(), when="after")
    with pytest.raises(OutcomeUnknown):
        issuer.create(OAUTH, "one")
    assert [listed.label for listed in issuer.live()] == ["one"]
    assert [call.method for call in issuer.calls] == ["create"]


def test_failures_queue_up_and_end(issuer: MemoryIssuer) -> None:
    for _ in range(2):
        issuer.fail_next("check", IssuerUnavailable())
    for _ in range(2):
        with pytest.raises(IssuerUnavailable):
            issuer.check()
    issuer.check()


def test_the_log_names_credential_secret_and_time(issuer: MemoryIssuer, clock: FakeClock) -> None:
    made = issuer.create(OAUTH, "one")
    clock.advance(DELAY)
    issuer.verify(OAUTH, made.secret)
    create, verify = issuer.calls
    assert (create.method, create.secret_id, create.credential) == (
        "create",
        made.secret_id,
        OAUTH.name,
    )
    assert verify.at - create.at == DELAY


def test_a_refused_login_is_not_in_the_log(issuer: MemoryIssuer) -> None:
    made = issuer.create(OAUTH, "one")
    with pytest.raises(SecretRejected):
        issuer.verify(KEY, made.secret)
    assert [call.method for call in issuer.calls] == ["create"]


def test_every_change_takes_its_time_to_be_known(clock: FakeClock) -> None:
    issuer = MemoryIssuer(clock, traits=replace(MANY_TRAITS, propagation=DELAY))
    made = issuer.create(OAUTH, "one")
    assert not issuer.accepts(made.secret)
    clock.advance(DELAY)
    assert issuer.accepts(made.secret)
    issuer.disable(OAUTH, made.secret_id)
    assert not issuer.live()
    assert issuer.accepts(made.secret)
    clock.advance(DELAY - timedelta(seconds=1))
    issuer.revoke(OAUTH, made.secret_id)
    clock.advance(timedelta(seconds=1))
    assert not issuer.accepts(made.secret)


def test_credentials_are_told_apart_by_their_client_id(issuer: MemoryIssuer) -> None:
    twin = a_credential(Kind.OAUTH_CLIENT, name=Name("twin"))
    issuer.create(OAUTH, "one")
    issuer.create(KEY, "two")
    assert [listed.label for listed in issuer.live(twin)] == ["one"]
    assert [listed.label for listed in issuer.live(KEY)] == ["two"]
    assert len(issuer.live()) == 2


def test_a_person_works_behind_our_back(clock: FakeClock) -> None:
    issuer = MemoryIssuer(clock, traits=replace(MANUAL_TRAITS, max_active=1))
    made = issuer.supply(OAUTH, "by hand")
    with pytest.raises(NoFreeSlot):
        issuer.supply(OAUTH)
    with pytest.raises(OperatorNeeded):
        issuer.revoke(OAUTH, made.secret_id)
    issuer.withdraw(made.secret_id)
    assert not issuer.accepts(made.secret)
    assert not issuer.calls


def test_disabling_is_refused_where_the_traits_deny_it(clock: FakeClock) -> None:
    issuer = MemoryIssuer(clock, traits=MANUAL_TRAITS)
    with pytest.raises(IssuerRefused):
        issuer.disable(OAUTH, "mem-1")


def test_more_scopes_than_declared_are_refused(issuer: MemoryIssuer) -> None:
    made = issuer.create(OAUTH, "one")
    with pytest.raises(ScopeRefused):
        issuer.mint(OAUTH, made.secret, TokenRequest(frozenset({"sar:write"})))
    assert issuer.mint(OAUTH, made.secret, TokenRequest()).scopes == OAUTH.scopes
