"""What every issuer plugin must pass: subclass, give the fixtures, run pytest.

    class TestMine(IssuerContract):
        @pytest.fixture
        def issuer(self): ...
        @pytest.fixture
        def credential(self): ...

An issuer whose secrets a person makes subclasses `ManualIssuerContract` instead.
"""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final

import pytest

from credmgr.errors import (
    IssuerRefused,
    NoFreeSlot,
    OperatorNeeded,
    OutcomeUnknown,
    SecretRejected,
)
from credmgr.model.credential import Credential, Kind
from credmgr.model.secret import Secret
from credmgr.model.token import TokenRequest
from credmgr.plugins.issuer import Issued, Issuer, IssuerClass, SecretStatus
from credmgr.testing.canaries import everything_in, leaks

LABEL: Final = "credmgr-0123456789abcdef0123456789abcdef-"
"""What labels begin with: as those of the engine do."""
GARBAGE: Final = "canary-0f3b9a77c1-not-a-secret"
_THREADS: Final = 8


class EveryIssuerContract:
    """What holds for every class of issuer; subclass one of the two below instead.

    Fixtures:
        issuer: An open session.
        credential: A credential that has no secret at the issuer yet, with the scopes that its
            tokens and keys really get.
    """

    issuer_class: IssuerClass

    @pytest.fixture
    def issuer(self) -> Issuer | Iterator[Issuer]:
        """An open session; the subclass gives it."""
        raise NotImplementedError

    @pytest.fixture
    def credential(self) -> Credential:
        """A credential without secrets; the subclass gives it."""
        raise NotImplementedError

    def supply(self, issuer: Issuer, credential: Credential) -> Secret:
        """A new secret that works; overridden where `create` does not make one."""
        return issuer.create(credential, f"{LABEL}1").secret

    def settle(self, issuer: Issuer) -> None:
        """Let `traits.propagation` pass; overridden where it is above zero."""
        assert not issuer.traits.propagation, "override settle"

    def test_its_traits_name_the_class_that_is_tested(self, issuer: Issuer) -> None:
        """Else the wrong contract would be passed."""
        assert issuer.traits.issuer_class is self.issuer_class

    def test_the_declared_scopes_are_in_its_catalogue(
        self, issuer: Issuer, credential: Credential
    ) -> None:
        """A catalogue that is not empty is complete."""
        assert not issuer.traits.catalogue or credential.scopes <= set(issuer.traits.catalogue)

    def test_check_succeeds(self, issuer: Issuer) -> None:
        """With a working management credential, and more than once."""
        issuer.check()
        issuer.check()

    def test_a_working_secret_logs_in(self, issuer: Issuer, credential: Credential) -> None:
        """With the declared scopes, where the login tells them."""
        secret = self.supply(issuer, credential)
        self.settle(issuer)
        assert issuer.verify(credential, secret).scopes in (None, credential.scopes)

    def test_garbage_is_rejected(self, issuer: Issuer, credential: Credential) -> None:
        """As a secret that is not accepted, and as nothing else."""
        for text in (GARBAGE, f"{GARBAGE}\r\nX-Injected: 1", "\N{SNOWMAN}", " ", "a" * 1000):
            with pytest.raises(SecretRejected):
                issuer.verify(credential, Secret(text))

    def test_a_secret_with_one_character_changed_is_rejected(
        self, issuer: Issuer, credential: Credential
    ) -> None:
        """The last one, so that whatever looks at the beginning only is found out."""
        real = self.supply(issuer, credential).reveal()
        self.settle(issuer)
        wrong = Secret(real[:-1] + ("A" if real[-1] != "A" else "B"))
        with pytest.raises(SecretRejected):
            issuer.verify(credential, wrong)

    def test_a_token_has_at_most_the_scopes_asked_for_and_ends_later(
        self, issuer: Issuer, credential: Credential
    ) -> None:
        """API keys are refused instead, since they are used as they are."""
        secret = self.supply(issuer, credential)
        self.settle(issuer)
        asked = frozenset(sorted(credential.scopes)[:1])
        if credential.kind is Kind.API_KEY:
            with pytest.raises(IssuerRefused):
                issuer.mint(credential, secret, TokenRequest(asked))
            return
        token = issuer.mint(credential, secret, TokenRequest(asked))
        assert token.scopes <= asked
        assert token.expires_at > token.issued_at
        assert token.value != secret

    def test_no_value_is_shown_in_logs_or_errors(
        self, issuer: Issuer, credential: Credential, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Neither at DEBUG nor anywhere along the chain of an exception."""
        secret = self.supply(issuer, credential)
        self.settle(issuer)
        with caplog.at_level(logging.DEBUG):
            issuer.verify(credential, secret)
            with pytest.raises(SecretRejected) as caught:
                issuer.verify(credential, Secret(GARBAGE))
        said = caplog.text + everything_in(caught.value)
        assert not leaks(GARBAGE, said)
        assert not leaks(secret.reveal(), said)

    def test_close_may_be_repeated(self, issuer: Issuer) -> None:
        """And does not fail."""
        issuer.close()
        issuer.close()


class IssuerContract(EveryIssuerContract):
    """What an issuer of the class `many` must pass."""

    issuer_class = IssuerClass.MANY

    def lose_next_answer(self, issuer: Issuer) -> None:
        """Make the next change be applied and its answer be lost; the subclass may give it."""
        del issuer
        pytest.skip("this suite has no way to lose an answer: override lose_next_answer")

    def test_ids_are_unique_and_values_differ(self, issuer: Issuer, credential: Credential) -> None:
        """Of two secrets that exist at once."""
        first, second = self._two(issuer, credential)
        assert first.secret_id != second.secret_id
        assert first.secret != second.secret

    def test_a_new_secret_is_listed_by_its_label(
        self, issuer: Issuer, credential: Credential
    ) -> None:
        """Once, active, under the id that `create` gave."""
        made = issuer.create(credential, f"{LABEL}1")
        self.settle(issuer)
        (listed,) = issuer.list(credential)
        assert (listed.secret_id, listed.label) == (made.secret_id, f"{LABEL}1")
        assert listed.status is SecretStatus.ACTIVE
        assert listed.issued_at.tzinfo is not None

    def test_the_list_shows_no_value(self, issuer: Issuer, credential: Credential) -> None:
        """In no field and in no text of one."""
        made = issuer.create(credential, f"{LABEL}1")
        self.settle(issuer)
        assert made.secret.reveal() not in repr(issuer.list(credential))

    def test_a_disabled_secret_is_refused_and_still_listed(
        self, issuer: Issuer, credential: Credential
    ) -> None:
        """Twice disabling is as once."""
        if not issuer.traits.disables:
            pytest.skip("this issuer declares that it does not disable")
        made = issuer.create(credential, f"{LABEL}1")
        issuer.disable(credential, made.secret_id)
        issuer.disable(credential, made.secret_id)
        self.settle(issuer)
        with pytest.raises(SecretRejected):
            issuer.verify(credential, made.secret)
        (listed,) = issuer.list(credential)
        assert listed.status is SecretStatus.DISABLED

    def test_a_revoked_secret_is_refused_and_not_listed(
        self, issuer: Issuer, credential: Credential
    ) -> None:
        """Twice revoking is as once, and the other secret lives on."""
        first, second = self._two(issuer, credential)
        issuer.revoke(credential, first.secret_id)
        issuer.revoke(credential, first.secret_id)
        self.settle(issuer)
        with pytest.raises(SecretRejected):
            issuer.verify(credential, first.secret)
        assert [listed.secret_id for listed in issuer.list(credential)] == [second.secret_id]
        issuer.verify(credential, second.secret)

    def test_an_unknown_id_is_no_error(self, issuer: Issuer, credential: Credential) -> None:
        """Neither when disabling nor when revoking, and nothing else is touched."""
        made = issuer.create(credential, f"{LABEL}1")
        if issuer.traits.disables:
            issuer.disable(credential, "no-such-id")
        issuer.revoke(credential, "no-such-id")
        self.settle(issuer)
        issuer.verify(credential, made.secret)

    def test_one_secret_too_many_is_refused(self, issuer: Issuer, credential: Credential) -> None:
        """Disabled ones take a slot; a revoked one frees it."""
        limit = issuer.traits.max_active
        if limit is None:
            pytest.skip("this issuer declares no limit")
        made = [issuer.create(credential, f"{LABEL}{n}") for n in range(limit)]
        with pytest.raises(NoFreeSlot):
            issuer.create(credential, f"{LABEL}{limit}")
        issuer.revoke(credential, made[0].secret_id)
        issuer.create(credential, f"{LABEL}{limit}")

    def test_creates_at_once_never_exceed_the_limit(
        self, issuer: Issuer, credential: Credential
    ) -> None:
        """Eight threads; whoever gets none is told that there is no free slot."""
        limit = issuer.traits.max_active

        def attempt(number: int) -> bool:
            try:
                issuer.create(credential, f"{LABEL}{number}")
            except NoFreeSlot:
                return False
            return True

        with ThreadPoolExecutor(_THREADS) as pool:
            made = sum(pool.map(attempt, range(_THREADS)))
        self.settle(issuer)
        assert made == (_THREADS if limit is None else limit)
        assert len(issuer.list(credential)) == made

    def test_a_lost_answer_is_an_unknown_outcome_found_by_its_label(
        self, issuer: Issuer, credential: Credential
    ) -> None:
        """Exactly once, so that it can be revoked."""
        self.lose_next_answer(issuer)
        with pytest.raises(OutcomeUnknown):
            issuer.create(credential, f"{LABEL}1")
        self.settle(issuer)
        assert [listed.label for listed in issuer.list(credential)] == [f"{LABEL}1"]

    def _two(self, issuer: Issuer, credential: Credential) -> tuple[Issued, Issued]:
        made = issuer.create(credential, f"{LABEL}1"), issuer.create(credential, f"{LABEL}2")
        self.settle(issuer)
        return made


class ManualIssuerContract(EveryIssuerContract):
    """What an issuer of the class `manual` must pass; the subclass also overrides `supply`."""

    issuer_class = IssuerClass.MANUAL

    def supply(self, issuer: Issuer, credential: Credential) -> Secret:
        """A new secret that works, made as a person would; the subclass gives it."""
        raise NotImplementedError

    def test_it_declares_that_it_neither_lists_nor_disables(
        self, issuer: Issuer, credential: Credential
    ) -> None:
        """And lists nothing."""
        assert not issuer.traits.lists
        assert not issuer.traits.disables
        assert not issuer.list(credential)

    def test_a_person_is_asked_to_create_with_every_name_needed(
        self, issuer: Issuer, credential: Credential
    ) -> None:
        """The steps name the label and the credential, and end with a command."""
        with pytest.raises(OperatorNeeded) as caught:
            issuer.create(credential, f"{LABEL}1")
        _assert_told(caught.value, credential, f"{LABEL}1")
        assert "credmgr import" in caught.value.steps[-1]

    def test_a_person_is_asked_to_revoke_with_every_name_needed(
        self, issuer: Issuer, credential: Credential
    ) -> None:
        """The steps name the secret and the credential, and end with a command."""
        with pytest.raises(OperatorNeeded) as caught:
            issuer.revoke(credential, f"{LABEL}1")
        _assert_told(caught.value, credential, f"{LABEL}1")
        assert "credmgr resolve" in caught.value.steps[-1]

    def test_two_credentials_are_told_apart(self, issuer: Issuer, credential: Credential) -> None:
        """The steps of one do not name the other."""
        other = replace(credential, name=type(credential.name)("another/name"))
        with pytest.raises(OperatorNeeded) as caught:
            issuer.create(other, f"{LABEL}1")
        _assert_told(caught.value, other, f"{LABEL}1")


def _assert_told(error: OperatorNeeded, credential: Credential, label: str) -> None:
    text = "\n".join(error.steps)
    assert label in text
    assert credential.name in text
