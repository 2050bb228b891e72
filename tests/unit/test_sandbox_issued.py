"""What always holds of issued secrets, whatever is done to them in whatever order."""

from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from credmgr.errors import NoFreeSlot
from credmgr.model.secret import Secret
from credmgr.sandbox.answers import Refusal
from credmgr.sandbox.catalogue import CredentialKind
from credmgr.sandbox.database import Database
from credmgr.sandbox.issued import MOST_LIVE, Issued, IssuedSecrets, Order, Status
from credmgr.sandbox.log import EntryKind, GroundTruth
from credmgr.testing.clock import FakeClock

CREDENTIALS = ("app_one", "app_two")
DELAYS = st.integers(0, 5).map(lambda seconds: timedelta(seconds=seconds))


class IssuedSecretsMachine(RuleBasedStateMachine):
    """Creates, changes and lets time pass, beside a model that remembers when each must work."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.database = Database(":memory:")
        self.log = GroundTruth(self.database, self.clock, 1000)
        self.secrets = IssuedSecrets(self.database, self.clock, self.log)
        self.values: dict[str, Secret] = {}

    def teardown(self) -> None:
        self.database.close()

    @rule(credential=st.sampled_from(CREDENTIALS), delay=DELAYS)
    def create(self, credential: str, delay: timedelta) -> None:
        order = Order(kind=CredentialKind.OAUTH_CLIENT, credential=credential, propagation=delay)
        full = len(self._live(credential)) == MOST_LIVE
        try:
            issued, value = self.secrets.create(order)
        except NoFreeSlot:
            assert full
            return
        assert not full
        self.values[issued.id] = value
        assert issued.accepted(self.clock.now()) == (not delay)

    @rule(nth=st.integers(0, 20), to=st.sampled_from(Status), delay=DELAYS)
    def change(self, nth: int, to: Status, delay: timedelta) -> None:
        if not self.values:
            return
        before = self.secrets.get(list(self.values)[nth % len(self.values)])
        try:
            after = self.secrets.change(before, to, delay)
        except Refusal:
            assert (before.status, to) == (Status.REVOKED, Status.ACTIVE)
            return
        if before.status is Status.REVOKED:
            assert after == before
        elif not delay and to is not Status.ACTIVE and before.status is not to:
            assert not after.accepted(self.clock.now())

    @rule(delay=DELAYS)
    def wait(self, delay: timedelta) -> None:
        self.clock.advance(delay)

    @invariant()
    def no_credential_has_three_live_secrets(self) -> None:
        for credential in CREDENTIALS:
            assert len(self._live(credential)) <= MOST_LIVE

    @invariant()
    def every_value_finds_its_own_secret(self) -> None:
        for secret_id, value in self.values.items():
            found = self.secrets.find(value.reveal())
            assert found is not None
            assert found.id == secret_id

    @invariant()
    def nothing_ended_is_accepted_for_ever(self) -> None:
        later = self.clock.now() + timedelta(seconds=5)
        for secret_id in self.values:
            secret = self.secrets.get(secret_id)
            assert secret.accepted(later) == (secret.status is Status.ACTIVE)

    @invariant()
    def the_ground_truth_has_one_creation_for_each(self) -> None:
        entries = self.log.entries()
        created = [e.who.secret_id for e in entries if e.kind is EntryKind.SECRET_CREATED and e.who]
        assert created == list(self.values)
        assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))

    def _live(self, credential: str) -> list[Issued]:
        return self.secrets.of(CredentialKind.OAUTH_CLIENT, credential, revoked=False)


TestIssuedSecrets = IssuedSecretsMachine.TestCase
TestIssuedSecrets.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
