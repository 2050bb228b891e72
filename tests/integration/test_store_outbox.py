"""Alerts that wait, findings, uses, and signs of life."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Final
from uuid import UUID, uuid4

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Uuid, column, insert, table

from credmgr.errors import NotifierError
from credmgr.model.audit import Event
from credmgr.model.credential import Environment
from credmgr.model.finding import Alert, Finding, Severity
from credmgr.model.names import Name
from credmgr.model.usage import Usage
from credmgr.policy.delivery import Dispatcher
from credmgr.store import Store, codec, schema
from credmgr.store.alerts import withdraw
from credmgr.store.database import BUSY, Database
from credmgr.store.engine import address, make_file
from credmgr.store.heartbeats import Heartbeat
from credmgr.store.types import Moment
from credmgr.testing.clock import FakeClock
from tests.alert_world import DAY, HOUR, MAIL, MINUTE, alerts_in
from tests.integration.conftest import KEY, NAME, OWNER, Bench, enrol

BEFORE: Final = "0003"
"""The schema before alerts had channels."""
RAISED = Event(OWNER, "alert.raised", NAME)


def alert(bench: Bench, key: str = "rule/object", text: str = "something") -> Alert:
    return Alert(key, Severity.WARNING, "team", text, "do this\nthen that", bench.clock.now())


def last_action(store: Store) -> str:
    return store.audit.records(0, 99)[-1].event.action


class TestAlerts:
    """What `tests/unit` tries on SQLite alone, here on both databases, and what the store adds."""

    def test_one_is_routed_told_and_ended(self, state_url: str, tmp_path: Path) -> None:
        with alerts_in(tmp_path, state_url) as world:
            world.raises(world.alert(), world.alert("key-age/b", environment=Environment.TEST))
            world.run(MINUTE)
            world.ends("key-age/b")
            world.run(HOUR, MINUTE)
            world.run(DAY, HOUR)
            counts = [len(one.items) for one in world.mail.heard]
            assert (counts, world.mail.titles[1:]) == (
                [2, 0, 0],
                ["key-age/b is well again", "Still open: key-age/app is amiss"],
            )
            world.clock.advance(DAY * 8)
            world.store.outbox.forget(world.clock.now())
            assert [one.key for one in world.store.outbox.open_alerts()] == ["key-age/app"]
            world.store.audit.verify()

    def test_a_channel_that_fails_waits_and_then_goes_on(
        self, state_url: str, tmp_path: Path
    ) -> None:
        with alerts_in(tmp_path, state_url) as world:
            world.mail.problem = NotifierError("no answer")
            world.raises(world.alert())
            world.run(MINUTE)
            (state,) = world.store.outbox.states([MAIL])
            assert state.waiting == 1
            assert state.attempts > 1
            world.mail.problem = None
            world.run(HOUR, MINUTE)
            assert world.mail.titles == ["key-age/app is amiss"]

    def test_daemons_at_one_time_send_each_message_once(
        self, state_url: str, tmp_path: Path
    ) -> None:
        with alerts_in(tmp_path, state_url) as world:
            daemons = [world.dispatcher(f"daemon-{number}") for number in range(3)]
            alerts = [world.alert(f"key-age/{n}", owner=f"team-{n % 7}") for n in range(21)]
            start = Barrier(3)

            def work(one: Dispatcher, mine: Sequence[Alert]) -> None:
                start.wait()
                world.raises(*mine)
                for _ in range(20):
                    one.tick(world.routing, world.open_channel)
                    one.settle(timedelta(seconds=5))

            with ThreadPoolExecutor(3) as pool:
                shares = [alerts[number::3] for number in range(3)]
                list(pool.map(work, daemons, shares))
            world.run(HOUR, MINUTE)
            closed = [one.close(timedelta(seconds=5)) for one in daemons]
            assert closed == [True] * 3
            told = [item.key for one in world.mail.heard for item in one.items or (one,)]
            assert sorted(told) == sorted(one.key for one in alerts)

    @pytest.mark.parametrize("key", ["rotation/a/operator", "rotation/a/ü"])
    def test_what_is_true_no_more_ends_by_its_prefix(
        self, store: Store, bench: Bench, key: str
    ) -> None:
        others = [
            "rotation/a",
            "rotation/a-b/operator",
            "rotation/b/x",
            "Rotation/a/x",
            "rotation/A/x",
        ]
        store.ledger.queue_alerts([alert(bench, one) for one in (key, *others)], RAISED)
        with store.ledger._database.write() as tx:
            withdraw(tx, "rotation/a/")
        assert {one.key for one in store.outbox.open_alerts()} == set(others)

    def test_what_waited_in_an_older_database_is_told(self, state_url: str, tmp_path: Path) -> None:
        clock = FakeClock()
        older = Alert("rotation/a/operator", Severity.INFO, "team", "parked", "", clock.now())
        make_older(state_url, older)
        with alerts_in(tmp_path, state_url) as world:
            assert world.store.outbox.open_alerts() == [older]
            world.run(MINUTE)
            assert world.mail.titles == [older.title]


def make_older(url: str, waiting: Alert) -> None:
    """A database as it was before there were channels, with an alert that waits in it."""
    where = address(url)
    if where.file is not None:
        make_file(where.file, BUSY)
    database = Database(where, FakeClock(), KEY, OWNER, BUSY)
    config = Config()
    config.set_main_option("script_location", str(schema._SCRIPTS))
    values = {"id": uuid4(), "key": waiting.key, "body": codec.alert_body(waiting)}
    moments = {"created_at": waiting.at, "deliver_after": waiting.at, "attempts": 0}
    with database.write() as tx:
        config.attributes["connection"] = tx.connection
        command.upgrade(config, BEFORE)
        columns = [
            column("id", Uuid),
            column("created_at", Moment),
            column("deliver_after", Moment),
        ]
        before = table("alerts", *columns, *map(column, ("key", "body", "attempts")))
        tx.connection.execute(insert(before), {**values, **moments})
    database.close()


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
                self.use("token", self.V1, later, "x:read"),
            ]
        )
        on = store.ledger.consumers_on
        assert on(self.V1, now) == ["back", "stays", "token"]
        assert on(self.V2, now) == ["moved"]

    def test_who_read_a_secret_is_on_it_however_long_ago_and_a_token_is_forgotten(
        self, store: Store, bench: Bench
    ) -> None:
        now = bench.clock.now()
        store.ledger.record_use(
            [self.use("reads", self.V1, now), self.use("token", self.V1, now, "x:read")]
        )
        assert store.ledger.consumers_on(self.V1, now) == ["reads"]


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
