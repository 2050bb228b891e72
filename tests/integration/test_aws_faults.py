"""Each write of the AWS backend under each fault, then repeated: the end is as if nothing was."""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Final
from uuid import UUID, uuid4

import pytest

from credmgr.errors import BackendUnavailable
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.model.version import Stage
from credmgr.plugins.backend import SecretBackend
from credmgr.testing.backend_moves import everything, promoted, staged, stages
from credmgr.testing.canaries import everything_in, leaks, new_canary
from tests.integration.aws import AwsServer, Fault, a_session, running
from tests.integration.aws_strict import refused

NAME: Final = Name("caseforge/api-key")
DEADLINE: Final = timedelta(seconds=0.6)
FAULTS: Final = (Fault.TIMEOUT, Fault.RESET, Fault.BROKEN, Fault.THROTTLED, Fault.LOST)


@pytest.fixture(scope="module")
def server() -> Iterator[AwsServer]:
    with running() as started:
        yield started


@pytest.fixture(scope="module")
def session(server: AwsServer) -> Iterator[SecretBackend]:
    opened = a_session(server, deadline=DEADLINE)
    yield opened
    opened.close()


@pytest.fixture
def aws(server: AwsServer) -> AwsServer:
    server.reset()
    return server


class World:
    """One secret of old and one on its way."""

    def __init__(self, backend: SecretBackend) -> None:
        self.backend = backend
        self.canary = new_canary()
        self.version = uuid4()
        self.old: UUID | None = None

    def fresh(self) -> None:
        """Nothing is there."""

    def live(self) -> None:
        self.old = promoted(self.backend, NAME, "old")

    def waiting(self) -> None:
        self.live()
        self.stage()

    def waiting_first(self) -> None:
        self.stage()

    def deleted(self) -> None:
        promoted(self.backend, NAME, "gone")
        self.backend.delete(NAME)

    def stage(self) -> None:
        self.backend.stage(NAME, Secret(self.canary), self.version)

    def promote(self) -> None:
        self.backend.promote(NAME, self.version, self.old)

    def discard(self) -> None:
        self.backend.discard(NAME, self.version)

    def delete(self) -> None:
        self.backend.delete(NAME)

    @property
    def end(self) -> dict[Stage, UUID]:
        return stages(self.backend, NAME)

    def expected(self, act: "Step") -> dict[Stage, UUID]:
        found: dict[Stage, UUID] = {}
        if act in {World.stage, World.promote}:
            found[Stage.NEXT if act is World.stage else Stage.CURRENT] = self.version
        if self.old is not None and act is not World.delete:
            found[Stage.PREVIOUS if act is World.promote else Stage.CURRENT] = self.old
        return found


Step = Callable[[World], None]
CASES: Final[dict[str, tuple[Step, Step, str, int]]] = {
    "the secret is made": (World.fresh, World.stage, "CreateSecret", 0),
    "the first value is put": (World.fresh, World.stage, "PutSecretValue", 0),
    "a further value is put": (World.live, World.stage, "PutSecretValue", 0),
    "the secret is restored": (World.deleted, World.stage, "RestoreSecret", 0),
    "the first is promoted": (World.waiting_first, World.promote, "UpdateSecretVersionStage", 0),
    "current moves": (World.waiting, World.promote, "UpdateSecretVersionStage", 0),
    "pending is cleaned up": (World.waiting, World.promote, "UpdateSecretVersionStage", 1),
    "the label is taken off": (World.waiting, World.discard, "UpdateSecretVersionStage", 0),
    "the placeholder is put": (World.live, World.delete, "PutSecretValue", 0),
    "current is given up": (World.live, World.delete, "UpdateSecretVersionStage", 0),
    "the secret is deleted": (World.live, World.delete, "DeleteSecret", 0),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("case", CASES)
def test_a_write_that_fails_is_repeated_to_the_same_end(
    aws: AwsServer, session: SecretBackend, case: str, fault: Fault
) -> None:
    prepare, act, operation, earlier = CASES[case]
    world = World(session)
    prepare(world)
    aws.faults.extend([(operation, Fault.FINE)] * earlier + [(operation, fault)])
    with pytest.raises(BackendUnavailable) as caught:
        act(world)
    assert aws.faults == []
    assert not leaks(world.canary, everything_in(caught.value))
    act(world)
    after = everything(session, NAME)
    expected = world.expected(act)
    assert {stage: version for stage, (version, _) in after.items()} == expected
    assert world.end == expected


@pytest.mark.parametrize("fault", FAULTS)
def test_reads_fail_and_recover(aws: AwsServer, session: SecretBackend, fault: Fault) -> None:
    version = promoted(session, NAME, "value")
    for read in (session.read, session.versions):
        aws.faults.append(("*", fault))
        with pytest.raises(BackendUnavailable):
            read(NAME)
    assert session.read(NAME).version == version


@pytest.mark.parametrize("fault", [Fault.DRIP, Fault.TIMEOUT])
def test_a_call_ends_by_its_deadline_however_slow_the_answer(
    aws: AwsServer, session: SecretBackend, fault: Fault
) -> None:
    promoted(session, NAME, "value")
    aws.faults.append(("GetSecretValue", fault))
    begun = time.monotonic()
    with pytest.raises(BackendUnavailable, match="within the deadline"):
        session.read(NAME)
    assert time.monotonic() - begun < DEADLINE.total_seconds() * 1.5


def test_nothing_is_repeated_behind_our_back(aws: AwsServer, session: SecretBackend) -> None:
    aws.answers["DescribeSecret"] = refused("ThrottlingException")
    with pytest.raises(BackendUnavailable):
        session.versions(NAME)
    aws.faults.append(("DescribeSecret", Fault.LOST))
    with pytest.raises(BackendUnavailable):
        session.versions(NAME)
    assert aws.calls == ["DescribeSecret"] * 2


def test_a_promotion_cut_short_shows_no_next(aws: AwsServer, session: SecretBackend) -> None:
    one = promoted(session, NAME, "one")
    two = staged(session, NAME, "two")
    aws.faults.extend([("UpdateSecretVersionStage", Fault.FINE)])
    aws.faults.extend([("UpdateSecretVersionStage", Fault.RESET)])
    with pytest.raises(BackendUnavailable):
        session.promote(NAME, two, one)
    assert aws.labels(NAME)[str(two)] == {"AWSCURRENT", "AWSPENDING"}
    assert stages(session, NAME) == {Stage.CURRENT: two, Stage.PREVIOUS: one}
    session.promote(NAME, one, two)  # rolled back at once
    assert stages(session, NAME) == {Stage.CURRENT: one, Stage.PREVIOUS: two}


def test_an_answer_that_is_not_of_aws_is_an_outage(aws: AwsServer, session: SecretBackend) -> None:
    for odd in ("<html>", "[]", "{"):
        aws.odd.append(odd)
        with pytest.raises(BackendUnavailable, match="in no form of AWS's"):
            session.versions(NAME)
