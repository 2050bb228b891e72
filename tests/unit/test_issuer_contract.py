"""The contract itself: an issuer that breaks one promise fails the check of that promise."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

import credmgr.testing
from credmgr.errors import IssuerError, OutcomeUnknown
from credmgr.model.credential import Credential, Kind
from credmgr.model.secret import Secret
from credmgr.model.token import Token, TokenRequest
from credmgr.plugins.issuer import Issued, IssuerClass, Listed, Proof, SecretStatus
from credmgr.testing import FakeClock, IssuerContract, ManualIssuerContract
from credmgr.testing.issuer_contract import EveryIssuerContract
from credmgr.testing.memory_issuer import MANUAL_TRAITS, MANY_TRAITS, MemoryIssuer
from tests.issuer_world import a_credential

CREDENTIAL = a_credential(Kind.OAUTH_CLIENT, scopes=frozenset({"cases:read", "cases:write"}))


class Broken(MemoryIssuer):
    """Passes every check until a subclass breaks something."""

    def __init__(self) -> None:
        super().__init__(FakeClock())


class ListsNothing(Broken):
    def list(self, credential: Credential) -> Sequence[Listed]:
        del credential
        return ()


class ListsTheRevoked(Broken):
    def revoke(self, credential: Credential, secret_id: str) -> None:
        self.disable(credential, secret_id)


class ShowsValuesInLists(Broken):
    shown = ""

    def create(self, credential: Credential, label: str) -> Issued:
        made = super().create(credential, label)
        self.shown = made.secret.reveal()
        return made

    def list(self, credential: Credential) -> Sequence[Listed]:
        return [replace(listed, label=self.shown) for listed in super().list(credential)]


class GivesEverySecretOneId(Broken):
    def create(self, credential: Credential, label: str) -> Issued:
        made = super().create(credential, label)
        return Issued("mem-1", made.secret, made.issued_at)


class NeverDisables(Broken):
    def disable(self, credential: Credential, secret_id: str) -> None:
        del credential, secret_id


class DisablesWithoutSayingSo(Broken):
    def list(self, credential: Credential) -> Sequence[Listed]:
        found = super().list(credential)
        return [replace(listed, status=SecretStatus.ACTIVE) for listed in found]


class RevokesOnlyOnce(Broken):
    def revoke(self, credential: Credential, secret_id: str) -> None:
        if secret_id not in [listed.secret_id for listed in self.list(credential)]:
            raise IssuerError
        super().revoke(credential, secret_id)


class RevokesEverything(Broken):
    def revoke(self, credential: Credential, secret_id: str) -> None:
        del secret_id
        for listed in self.list(credential):
            super().revoke(credential, listed.secret_id)


class AcceptsAnything(Broken):
    def verify(self, credential: Credential, secret: Secret) -> Proof:
        del secret
        return Proof(credential.scopes)


class ProvesOtherScopes(Broken):
    def verify(self, credential: Credential, secret: Secret) -> Proof:
        super().verify(credential, secret)
        return Proof(frozenset({"sar:write"}))


class MintsMoreThanAsked(Broken):
    def mint(self, credential: Credential, secret: Secret, request: TokenRequest) -> Token:
        return super().mint(credential, secret, replace(request, scopes=credential.scopes))


class MintsTheDead(Broken):
    def mint(self, credential: Credential, secret: Secret, request: TokenRequest) -> Token:
        token = super().mint(credential, secret, request)
        return replace(token, expires_at=token.issued_at)


class ForgetsLostAnswers(Broken):
    def create(self, credential: Credential, label: str) -> Issued:
        try:
            return super().create(credential, label)
        except OutcomeUnknown:
            for listed in self.list(credential):
                self.revoke(credential, listed.secret_id)
            raise


class Talks(Broken):
    def verify(self, credential: Credential, secret: Secret) -> Proof:
        logging.getLogger(__name__).debug("trying %s", secret.reveal())
        return super().verify(credential, secret)


class Complains(Broken):
    def verify(self, credential: Credential, secret: Secret) -> Proof:
        try:
            return super().verify(credential, secret)
        except IssuerError as error:
            error.__cause__ = ValueError(secret.reveal())
            raise


class ClosesOnce(Broken):
    closed = False

    def close(self) -> None:
        assert not self.closed
        self.closed = True


class ChecksOnce(ClosesOnce):
    def check(self) -> None:
        super().close()


class HasAnotherCatalogue(Broken):
    def __init__(self) -> None:
        super().__init__()
        self.traits = replace(MANY_TRAITS, catalogue={"read": "See."})


class Many(IssuerContract):
    def lose_next_answer(self, issuer: Any) -> None:
        issuer.fail_next("create", OutcomeUnknown(), when="after")


BROKEN: list[tuple[type[Broken], str]] = [
    (ListsNothing, "a_new_secret_is_listed_by_its_label"),
    (ListsNothing, "a_lost_answer_is_an_unknown_outcome_found_by_its_label"),
    (ListsTheRevoked, "a_revoked_secret_is_refused_and_not_listed"),
    (ShowsValuesInLists, "the_list_shows_no_value"),
    (GivesEverySecretOneId, "ids_are_unique_and_values_differ"),
    (NeverDisables, "a_disabled_secret_is_refused_and_still_listed"),
    (DisablesWithoutSayingSo, "a_disabled_secret_is_refused_and_still_listed"),
    (RevokesOnlyOnce, "a_revoked_secret_is_refused_and_not_listed"),
    (RevokesOnlyOnce, "an_unknown_id_is_no_error"),
    (RevokesEverything, "a_revoked_secret_is_refused_and_not_listed"),
    (RevokesEverything, "an_unknown_id_is_no_error"),
    (AcceptsAnything, "garbage_is_rejected"),
    (AcceptsAnything, "a_secret_with_one_character_changed_is_rejected"),
    (ProvesOtherScopes, "a_working_secret_logs_in"),
    (MintsMoreThanAsked, "a_token_has_at_most_the_scopes_asked_for_and_ends_later"),
    (MintsTheDead, "a_token_has_at_most_the_scopes_asked_for_and_ends_later"),
    (ForgetsLostAnswers, "a_lost_answer_is_an_unknown_outcome_found_by_its_label"),
    (Talks, "no_value_is_shown_in_logs_or_errors"),
    (Complains, "no_value_is_shown_in_logs_or_errors"),
    (ClosesOnce, "close_may_be_repeated"),
    (ChecksOnce, "check_succeeds"),
    (HasAnotherCatalogue, "the_declared_scopes_are_in_its_catalogue"),
]


def run(
    contract: EveryIssuerContract, name: str, issuer: object, caplog: pytest.LogCaptureFixture
) -> None:
    check: Callable[..., None] = getattr(contract, f"test_{name}")
    given = {"issuer": issuer, "credential": CREDENTIAL, "caplog": caplog}
    wanted = check.__code__.co_varnames[1 : check.__code__.co_argcount]
    check(**{argument: given[argument] for argument in wanted})


@pytest.mark.parametrize(("broken", "name"), BROKEN)
def test_a_broken_promise_is_noticed(
    broken: type[Broken], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    run(Many(), name, Broken(), caplog)
    with pytest.raises((AssertionError, IssuerError, ValueError, pytest.fail.Exception)):
        run(Many(), name, broken(), caplog)


class ForgetsToCount(Broken):
    def create(self, credential: Credential, label: str) -> Issued:
        with self._lock:
            return self._issue(replace(credential, client_id=label), label)


@pytest.mark.parametrize(
    "name", ["one_secret_too_many_is_refused", "creates_at_once_never_exceed_the_limit"]
)
def test_a_limit_that_is_not_kept_is_noticed(name: str, caplog: pytest.LogCaptureFixture) -> None:
    run(Many(), name, Broken(), caplog)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        run(Many(), name, ForgetsToCount(), caplog)


def test_what_an_issuer_declares_not_to_do_is_skipped_aloud(
    caplog: pytest.LogCaptureFixture,
) -> None:
    modest = MemoryIssuer(FakeClock(), traits=replace(MANY_TRAITS, disables=False, max_active=None))
    for name in (
        "a_disabled_secret_is_refused_and_still_listed",
        "one_secret_too_many_is_refused",
    ):
        with pytest.raises(pytest.skip.Exception, match="declares"):
            run(Many(), name, modest, caplog)
    run(Many(), "creates_at_once_never_exceed_the_limit", modest, caplog)
    run(Many(), "an_unknown_id_is_no_error", modest, caplog)
    with pytest.raises(pytest.skip.Exception, match="lose_next_answer"):
        IssuerContract().lose_next_answer(modest)


def test_the_wrong_contract_is_noticed(caplog: pytest.LogCaptureFixture) -> None:
    manual = MemoryIssuer(FakeClock(), traits=MANUAL_TRAITS)
    assert manual.traits.issuer_class is IssuerClass.MANUAL
    with pytest.raises(AssertionError):
        run(Many(), "its_traits_name_the_class_that_is_tested", manual, caplog)
    with pytest.raises(AssertionError):
        run(ManualIssuerContract(), "its_traits_name_the_class_that_is_tested", Broken(), caplog)


def test_a_delay_that_nobody_waits_for_is_noticed() -> None:
    slow = MemoryIssuer(FakeClock(), traits=replace(MANY_TRAITS, propagation=timedelta(seconds=1)))
    with pytest.raises(AssertionError, match="settle"):
        IssuerContract().settle(slow)


def test_what_a_subclass_owes_is_asked_for() -> None:
    manual = MemoryIssuer(FakeClock(), traits=MANUAL_TRAITS)
    with pytest.raises(NotImplementedError):
        ManualIssuerContract().supply(manual, CREDENTIAL)


def test_the_package_has_nothing_else() -> None:
    with pytest.raises(AttributeError):
        _ = credmgr.testing.Nothing
