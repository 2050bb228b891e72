"""What happens rarely in the broker: two at once, a full memory, a change in the middle."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import uuid4

import pytest

from credmgr.broker.asking import Ask
from credmgr.broker.broker import Broker
from credmgr.broker.counting import Counting
from credmgr.broker.notices import Notices
from credmgr.broker.slots import Failure
from credmgr.broker.telling import told
from credmgr.broker.versions import Versions
from credmgr.errors import (
    InvalidAnswer,
    IssuerUnavailable,
    ScopeNotGranted,
    ScopeRefused,
    TokenUnavailable,
)
from credmgr.model.finding import Finding
from credmgr.model.names import Name
from tests.broker_world import (
    BILLING,
    CONSUMER,
    CREDENTIAL,
    HOUR,
    ISSUER,
    NAME,
    SECOND,
    WRITE,
    World,
    adopted,
    value,
    wait_for,
)

ASK = Ask(BILLING, NAME)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def broker(world: World) -> Iterator[Broker]:
    with adopted(world) as made:
        yield made


def test_a_manifest_that_declares_a_credential_as_before_keeps_its_tokens(
    broker: Broker, world: World
) -> None:
    first = value(broker.token(ASK))

    broker.adopt({NAME: CREDENTIAL}, {BILLING: CONSUMER}, world)

    assert value(broker.token(ASK)) == first


def test_a_full_memory_of_asks_costs_a_look_and_no_token(
    broker: Broker, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("credmgr.broker.broker.MOST_ASKS", 1)
    first = value(broker.token(ASK))
    broker.token(Ask(None, NAME))
    assert value(broker.token(ASK)) == first
    assert len(world.requests) == 2


def test_a_rotation_of_another_credential_renews_nothing_of_this(
    broker: Broker, world: World
) -> None:
    first = value(broker.token(ASK))
    world.current[Name("caseforge/other")] = uuid4()
    world.seen += 1
    world.clock.advance(MINUTE)

    assert broker.tend() == 0
    assert value(broker.token(ASK)) == first


def test_a_token_that_was_rejected_is_not_renewed_ahead(broker: Broker, world: World) -> None:
    assert broker.reject(ASK, value(broker.token(ASK)))
    world.clock.advance(HOUR - MINUTE)

    assert broker.tend() == 0
    assert len(world.requests) == 1


def test_a_renewal_waits_while_the_issuer_is_left_alone(broker: Broker, world: World) -> None:
    broker.token(ASK)
    world.clock.advance(HOUR - 4 * MINUTE)
    breaker = broker._mint.breaker(ISSUER)
    for _ in range(20):
        with suppress(Exception), breaker.call():
            raise IssuerUnavailable("down")

    assert broker.tend() == 0

    world.clock.advance(2 * MINUTE)
    broker.token(ASK)
    assert broker.tend() == 1
    wait_for(lambda: len(world.requests) == 2)


def test_a_version_that_was_refused_is_not_tried_again_for_other_scopes(
    broker: Broker, world: World
) -> None:
    world.rotate()
    world.refuse = {world.value()}
    broker.token(ASK)
    tried = len(world.requests)

    broker.token(Ask(None, NAME, frozenset({WRITE})))

    assert len(world.requests) == tried + 1  # by the other version at once


def test_scopes_that_the_issuer_does_not_grant_are_told_as_such(
    broker: Broker, world: World
) -> None:
    world.error = ScopeRefused()
    with pytest.raises(ScopeNotGranted):
        broker.token(ASK)


def test_a_credential_without_declared_scopes_leaves_them_to_the_issuer(
    broker: Broker, world: World
) -> None:
    broker.adopt({NAME: replace(CREDENTIAL, scopes=frozenset())}, {}, world)

    broker.token(Ask(None, NAME))
    broker.token(Ask(None, NAME, frozenset({"anything"})))

    assert [request.scopes for _, request in world.requests] == [
        frozenset(),
        frozenset({"anything"}),
    ]


def test_a_use_between_reading_and_writing_the_counts_is_not_lost(world: World) -> None:
    counting, version, now = Counting(), uuid4(), world.clock.now()
    counting.read(BILLING, NAME, version, now)
    batch = counting.batch()
    counting.read(BILLING, NAME, version, now + SECOND)
    counting.batch()
    counting.written(batch)

    (left,) = counting.batch()
    assert left.count == 1
    counting.written([left])
    assert counting.batch() == []


@dataclass
class Interrupted(World):
    """A state database that takes so long that things change meanwhile."""

    notices: Notices | None = None

    def open_finding(self, finding: Finding, actor: str) -> bool:
        news = super().open_finding(finding, actor)
        if self.notices is not None:
            self.notices.fine(NAME)
        return news


def test_what_is_mended_while_it_is_told_is_told_as_mended_next() -> None:
    world = Interrupted()
    world.notices = Notices(world, world.clock, "daemon@host")
    world.notices.refused(CREDENTIAL, InvalidAnswer("odd"))

    world.notices.write()
    assert world.opened
    world.notices.write()

    assert not world.opened


def test_what_is_no_news_raises_no_second_alert(world: World) -> None:
    notices = Notices(world, world.clock, "daemon@host")
    for _ in range(2):
        notices.refused(CREDENTIAL, InvalidAnswer("odd"))
        notices.write()

    assert len(world.alerts) == 1


def test_an_issuer_that_is_left_alone_says_itself_until_when(world: World) -> None:
    error = TokenUnavailable("later", retry_after=MINUTE)
    now = world.clock.monotonic()

    assert told(error, now) == Failure(error, now)


def test_one_thread_looks_for_new_versions_at_a_time(world: World) -> None:
    versions = Versions(world, world.clock)
    assert versions.refresh() == {NAME}
    world.rotate()

    with versions._lock:
        assert versions.refresh() == frozenset()

    assert versions.refresh() == {NAME}
