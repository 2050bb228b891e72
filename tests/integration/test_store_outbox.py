"""Alerts that wait, findings, uses, and signs of life."""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest

from credmgr.model.audit import Event
from credmgr.model.finding import Alert, Finding, Severity
from credmgr.model.names import Name
from credmgr.model.usage import Usage
from credmgr.store import Store
from credmgr.store.heartbeats import Heartbeat
from tests.integration.conftest import NAME, OWNER, Bench, enrol

RAISED = Event(OWNER, "alert.raised", NAME)


def alert(bench: Bench, key: str = "rule/object", text: str = "something") -> Alert:
    return Alert(key, Severity.WARNING, "team", text, "do this\nthen that", bench.clock.now())


def last_action(store: Store) -> str:
    return store.audit.records(0, 99)[-1].event.action


class TestAlerts:
    def test_one_waits_until_it_is_delivered(self, store: Store, bench: Bench) -> None:
        now = bench.clock.now()
        store.ledger.queue_alerts([alert(bench), alert(bench, "b")], RAISED)
        pending = store.ledger.pending_alerts(now, 9)
        assert [each.alert for each in pending] == [alert(bench, "b"), alert(bench)]
        assert len(store.ledger.pending_alerts(now, 1)) == 1
        assert store.ledger.pending_alerts(now - timedelta(seconds=1), 9) == []
        store.ledger.alert_delivered(pending[0].id, now)
        assert last_action(store) == "alert.delivered"
        assert [each.alert.key for each in store.ledger.pending_alerts(now, 9)] == ["rule/object"]

    def test_a_failed_one_comes_again_later(self, store: Store, bench: Bench) -> None:
        now = bench.clock.now()
        store.ledger.queue_alerts([alert(bench)], RAISED)
        (pending,) = store.ledger.pending_alerts(now, 9)
        retry_at = now + timedelta(minutes=1)
        store.ledger.alert_failed(pending.id, now, retry_at)
        assert last_action(store) == "alert.failed"
        assert store.ledger.pending_alerts(now, 9) == []
        (again,) = store.ledger.pending_alerts(retry_at, 9)
        assert (again.id, again.attempts) == (pending.id, 1)

    def test_the_same_key_replaces_what_waits_and_keeps_its_backoff(
        self, store: Store, bench: Bench
    ) -> None:
        store.ledger.queue_alerts([alert(bench)], RAISED)
        (old,) = store.ledger.pending_alerts(bench.clock.now(), 9)
        retry_at = bench.clock.now() + timedelta(minutes=1)
        store.ledger.alert_failed(old.id, bench.clock.now(), retry_at)
        newer = [alert(bench, text="worse"), alert(bench, text="worst")]
        store.ledger.queue_alerts(newer, RAISED)
        assert store.ledger.pending_alerts(bench.clock.now(), 9) == []
        (pending,) = store.ledger.pending_alerts(retry_at, 9)
        assert (pending.alert.title, pending.attempts) == ("worst", 1)

    def test_a_delivery_of_the_old_text_does_not_count_for_the_new(
        self, store: Store, bench: Bench
    ) -> None:
        now = bench.clock.now()
        store.ledger.queue_alerts([alert(bench)], RAISED)
        (old,) = store.ledger.pending_alerts(now, 9)
        store.ledger.queue_alerts([alert(bench, text="worse")], RAISED)
        head = store.audit.checkpoint()
        store.ledger.alert_delivered(old.id, now)
        store.ledger.alert_failed(old.id, now, now)
        assert store.audit.checkpoint() == head
        (pending,) = store.ledger.pending_alerts(now, 9)
        assert pending.alert.title == "worse"

    def test_a_delivered_key_may_be_raised_again(self, store: Store, bench: Bench) -> None:
        now = bench.clock.now()
        for _ in range(2):
            store.ledger.queue_alerts([alert(bench)], RAISED)
            (pending,) = store.ledger.pending_alerts(now, 9)
            store.ledger.alert_delivered(pending.id, now)
        assert store.ledger.pending_alerts(now, 9) == []


class TestFindings:
    def test_one_opens_once_changes_is_acknowledged_and_resolves(
        self, store: Store, bench: Bench
    ) -> None:
        now = bench.clock.now()
        found = Finding("max-age/a", Severity.WARNING, "80 days old", now)
        assert store.ledger.open_finding(found, OWNER)
        head = store.audit.checkpoint()
        assert not store.ledger.open_finding(replace(found, opened_at=now + timedelta(1)), OWNER)
        assert store.audit.checkpoint() == head
        worse = replace(found, severity=Severity.CRITICAL, text="90 days old")
        assert store.ledger.open_finding(worse, OWNER)
        assert last_action(store) == "finding.changed"
        assert store.ledger.acknowledge_finding(found.key, "operator:ann")
        assert store.ledger.findings(open_only=True) == [
            replace(worse, acknowledged_by="operator:ann")
        ]
        assert store.ledger.resolve_finding(found.key, OWNER, now + timedelta(2))
        assert last_action(store) == "finding.resolved"
        assert store.ledger.findings(open_only=True) == []
        (ended,) = store.ledger.findings(open_only=False)
        assert ended.resolved_at == now + timedelta(2)

    def test_a_resolved_one_may_open_anew(self, store: Store, bench: Bench) -> None:
        found = Finding("max-age/a", Severity.WARNING, "old", bench.clock.now())
        store.ledger.open_finding(found, OWNER)
        store.ledger.resolve_finding(found.key, OWNER, bench.clock.now())
        assert store.ledger.open_finding(found, OWNER)
        assert len(store.ledger.findings(open_only=False)) == 2

    def test_what_is_not_open_is_neither_resolved_nor_acknowledged(
        self, store: Store, bench: Bench
    ) -> None:
        head = store.audit.checkpoint()
        assert not store.ledger.resolve_finding("x", OWNER, bench.clock.now())
        assert not store.ledger.acknowledge_finding("x", OWNER)
        assert store.audit.checkpoint() == head


class TestUsage:
    V1, V2 = uuid4(), uuid4()

    def use(
        self, consumer: str, version: UUID, at: datetime, *scopes: str, count: int = 1
    ) -> Usage:
        return Usage(Name(consumer), NAME, version, frozenset(scopes), at, at, count)

    def test_uses_of_one_kind_are_added_up(self, store: Store, bench: Bench) -> None:
        now = bench.clock.now()
        early, late = now - timedelta(hours=1), now + timedelta(hours=1)
        store.ledger.record_use([self.use("a", self.V1, now, "x:read", "b:read", count=3)])
        store.ledger.record_use(
            [
                self.use("a", self.V1, late, "b:read", "x:read"),
                self.use("a", self.V1, early, "b:read", "x:read"),
                self.use("a", self.V1, now),
            ]
        )
        scopes = frozenset({"b:read", "x:read"})
        assert store.ledger.usage(NAME) == [
            Usage(Name("a"), NAME, self.V1, scopes, early, late, 5),
            Usage(Name("a"), NAME, self.V1, frozenset(), now, now, 1),
        ]
        store.ledger.record_use([])

    def test_a_consumer_is_on_the_version_that_it_read_last(
        self, store: Store, bench: Bench
    ) -> None:
        now = bench.clock.now()
        later = now + timedelta(minutes=1)
        store.ledger.record_use(
            [
                self.use("moved", self.V1, now),
                self.use("moved", self.V2, later),
                self.use("stays", self.V1, later),
                self.use("stays", self.V1, later, "x:read"),
                self.use("back", self.V2, now),
                self.use("back", self.V1, later),
            ]
        )
        on = store.ledger.consumers_on
        assert on(self.V1, now) == ["back", "stays"]
        assert on(self.V2, now) == ["moved"]
        assert on(self.V1, later) == []


class TestHeartbeats:
    def test_a_daemon_is_listed_once_the_one_heard_last_first(
        self, store: Store, bench: Bench
    ) -> None:
        now = bench.clock.now()
        one = Heartbeat("one", "host", 7, "0.1.0", now, now)
        two = replace(one, owner="two", seen_at=now + timedelta(seconds=1))
        store.ledger.beat(one)
        store.ledger.beat(two)
        assert store.ledger.heartbeats() == [two, one]
        later = replace(one, seen_at=now + timedelta(seconds=2))
        store.ledger.beat(later)
        assert store.ledger.heartbeats() == [later, two]
        store.ledger.stop("one")
        assert store.ledger.heartbeats() == [two]

    def test_one_silent_for_a_week_is_forgotten(self, store: Store, bench: Bench) -> None:
        now = bench.clock.now()
        one = Heartbeat("one", "host", 7, "0.1.0", now, now)
        two = replace(one, owner="two", seen_at=now + timedelta(days=8))
        store.ledger.beat(one)
        store.ledger.beat(two)
        assert store.ledger.heartbeats() == [two]


@pytest.mark.parametrize("limit", [0, 1])
def test_a_limit_is_kept(store: Store, bench: Bench, limit: int) -> None:
    store.ledger.queue_alerts([alert(bench), alert(bench, "b")], RAISED)
    assert len(store.ledger.pending_alerts(bench.clock.now(), limit)) == limit


class TestPurges:
    EVENT = Event(OWNER, "tokens.purged", NAME)

    def test_a_wish_is_kept_until_everybody_has_had_time(self, store: Store, bench: Bench) -> None:
        enrol(store, bench.clock)
        first = store.ledger.ask_purge(NAME, self.EVENT, bench.clock.now())
        second = store.ledger.ask_purge(NAME, self.EVENT, bench.clock.now())
        assert store.ledger.purges(0) == [first, second]
        assert store.ledger.purges(first.id) == [second]
        assert store.ledger.purge_owners(first.id) == frozenset()
        store.ledger.acknowledge_purges([first, second])
        store.ledger.acknowledge_purges([first])
        assert store.ledger.purge_owners(first.id) == {OWNER}

    def test_ids_grow_even_when_all_were_forgotten(self, store: Store, bench: Bench) -> None:
        enrol(store, bench.clock)
        first = store.ledger.ask_purge(NAME, self.EVENT, bench.clock.now())
        store.ledger.acknowledge_purges([first])
        later = bench.clock.now() + timedelta(days=8)
        second = store.ledger.ask_purge(NAME, self.EVENT, later)
        assert second.id > first.id
        assert store.ledger.purges(0) == [second]

    def test_the_revision_grows_with_each_deed_and_not_with_uses(
        self, store: Store, bench: Bench
    ) -> None:
        before = store.ledger.revision()
        enrol(store, bench.clock)
        grown = store.ledger.revision()
        assert grown > before
        now = bench.clock.now()
        store.ledger.record_use([Usage(Name("a"), NAME, uuid4(), frozenset(), now, now, 1)])
        assert store.ledger.revision() == grown
