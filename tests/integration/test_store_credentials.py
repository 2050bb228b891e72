"""Credentials as applied, and the question what is due."""

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from credmgr.errors import UnknownCredential
from credmgr.model.credential import CredentialStatus, RotationPolicy, Schedule
from credmgr.model.names import Name
from credmgr.model.rotation import State
from credmgr.model.secret import Secret
from credmgr.store import Store
from credmgr.store.codec import moment_text
from credmgr.store.credentials import DUE
from tests.integration.conftest import (
    NAME,
    OWNER,
    TTL,
    Begins,
    Bench,
    change,
    enrol,
    moved,
    sample,
)

OTHER = Name("other")


def actions(store: Store) -> list[tuple[str, str, dict[str, str]]]:
    records = store.audit.records(0, 100)
    return [(r.event.action, r.event.subject, dict(r.event.facts)) for r in records]


class TestEnrolling:
    def test_a_new_credential_is_active_and_due_now(self, store: Store, bench: Bench) -> None:
        declared = sample(scopes=frozenset({"cases:read"}), options={"type": "live", "n": [1, 2]})
        result = store.ledger.enrol([declared], [], "operator:ann", bench.clock.now())
        assert result.added == (NAME,)
        known = store.ledger.enrolled(NAME)
        assert known.credential == declared
        assert known.status is CredentialStatus.ACTIVE
        assert known.applied_at == known.next_due_at == bench.clock.now()
        assert actions(store) == [("credential.applied", NAME, {"change": "added"})]

    def test_the_same_declaration_again_writes_nothing_at_all(
        self, store: Store, bench: Bench
    ) -> None:
        enrol(store, bench.clock)
        store.ledger.postpone(NAME, None)
        before = store.audit.checkpoint()
        bench.clock.advance(timedelta(hours=1))
        result = store.ledger.enrol([sample()], [OTHER], "operator", bench.clock.now())
        assert not result.changed
        assert store.audit.checkpoint() == before
        assert store.ledger.enrolled(NAME).next_due_at is None

    def test_another_declaration_replaces_it_and_makes_it_due(
        self, store: Store, bench: Bench
    ) -> None:
        enrol(store, bench.clock)
        store.ledger.postpone(NAME, None)
        bench.clock.advance(timedelta(hours=1))
        policy = RotationPolicy(Schedule(every=timedelta(days=30), zone=ZoneInfo("Europe/Berlin")))
        changed = sample(owner="fraud team", policy=policy)
        result = store.ledger.enrol([changed], [], "operator", bench.clock.now())
        assert result.updated == (NAME,)
        assert result.changed
        known = store.ledger.enrolled(NAME)
        assert known.credential == changed
        assert known.applied_at == known.next_due_at == bench.clock.now()
        facts = {"change": "updated", "fields": "owner,policy"}
        assert actions(store)[-1] == ("credential.applied", NAME, facts)

    def test_a_retired_one_is_never_due_again(self, store: Store, bench: Bench) -> None:
        enrol(store, bench.clock, NAME, OTHER)
        result = store.ledger.enrol([sample(OTHER)], [NAME], "operator", bench.clock.now())
        assert result.retired == (NAME,)
        known = store.ledger.enrolled(NAME)
        assert (known.status, known.next_due_at) == (CredentialStatus.RETIRED, None)
        assert actions(store)[-1] == ("credential.retired", NAME, {})
        again = store.ledger.enrol([sample(OTHER)], [NAME], "operator", bench.clock.now())
        assert not again.changed

    def test_what_is_declared_is_not_retired_in_the_same_breath(
        self, store: Store, bench: Bench
    ) -> None:
        enrol(store, bench.clock)
        assert not store.ledger.enrol([sample()], [NAME], "operator", bench.clock.now()).changed

    def test_a_retired_one_with_an_open_rotation_is_left_to_finish(
        self, store: Store, bench: Bench, begin: Begins
    ) -> None:
        row, lease = begin()
        store.ledger.enrol([], [NAME], "operator", bench.clock.now())
        known = store.ledger.enrolled(NAME)
        assert (known.status, known.next_due_at) == (CredentialStatus.RETIRED, row.not_before)
        later = bench.clock.now() + timedelta(days=1)
        created = moved(row, State.CREATED)
        store.ledger.move(change(created, State.INTENT, "on", next_due_at=later), lease)
        assert store.ledger.enrolled(NAME).next_due_at == later
        done = moved(created, State.DONE)
        store.ledger.move(change(done, State.CREATED, "end", next_due_at=later), lease)
        assert store.ledger.enrolled(NAME).next_due_at is None

    def test_a_retired_one_declared_again_is_active_and_due(
        self, store: Store, bench: Bench
    ) -> None:
        enrol(store, bench.clock)
        store.ledger.enrol([], [NAME], "operator", bench.clock.now())
        bench.clock.advance(timedelta(hours=1))
        result = store.ledger.enrol([sample()], [], "operator", bench.clock.now())
        assert (result.revived, result.updated) == ((NAME,), ())
        known = store.ledger.enrolled(NAME)
        assert known.status is CredentialStatus.ACTIVE
        assert known.next_due_at == bench.clock.now()

    def test_a_secret_among_the_options_is_refused_and_nothing_is_written(
        self, store: Store, bench: Bench
    ) -> None:
        leaky = sample(options={"token": Secret("canary-value")})
        with pytest.raises(TypeError, match="not a Secret"):
            store.ledger.enrol([sample(OTHER), leaky], [], "operator", bench.clock.now())
        assert store.ledger.all_enrolled() == []

    def test_all_enrolled_lists_every_one_by_name(self, store: Store, bench: Bench) -> None:
        enrol(store, bench.clock, OTHER, NAME)
        assert [each.credential.name for each in store.ledger.all_enrolled()] == [NAME, OTHER]

    def test_an_unknown_name_is_said_to_be_unknown(self, store: Store) -> None:
        with pytest.raises(UnknownCredential, match="caseforge/api-key"):
            store.ledger.enrolled(NAME)


class TestDue:
    def test_oldest_first_up_to_the_limit_and_not_before_the_time(
        self, store: Store, bench: Bench
    ) -> None:
        names = [Name(f"c{n}") for n in range(5)]
        enrol(store, bench.clock, *names)
        now = bench.clock.now()
        for name, hours in zip(names, (3, 1, 2, 4), strict=False):
            store.ledger.postpone(name, now + timedelta(hours=hours))
        store.ledger.postpone(names[4], None)
        assert store.ledger.due(now, 10) == []
        at = now + timedelta(hours=3)
        assert store.ledger.due(at, 10) == [names[1], names[2], names[0]]
        assert store.ledger.due(at, 2) == [names[1], names[2]]

    def test_what_anybody_holds_is_left_out_until_the_lease_ends(
        self, store: Store, bench: Bench
    ) -> None:
        enrol(store, bench.clock)
        other = bench.open("other")
        now = bench.clock.now()
        lease = store.ledger.acquire(NAME, OWNER, now, TTL)
        for ledger in (store.ledger, other.ledger):
            assert ledger.due(now, 10) == []
            assert ledger.due(now + TTL, 10) == [NAME]
        store.ledger.release(lease)
        assert other.ledger.due(now, 10) == [NAME]

    def test_it_is_one_indexed_query(self, store: Store, bench: Bench) -> None:
        enrol(store, bench.clock)
        values = {"b_now": bench.clock.now(), "b_limit": 10}
        with store._database.read() as connection:
            compiled = DUE.compile(connection, compile_kwargs={"render_postcompile": True})
            bound = compiled.construct_params(values)
            if connection.dialect.name == "sqlite":
                ordered = tuple(
                    moment_text(bound[name]) if name.startswith("b_now") else bound[name]
                    for name in compiled.positiontup or ()
                )
                plan = [
                    str(row.detail)
                    for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", ordered)
                ]
                assert len(plan) == 2
                assert "credentials_due (next_due_at<?)" in plan[0]
                assert plan[1].startswith("SEARCH leases USING INDEX")
            else:
                connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
                rows = connection.exec_driver_sql(f"EXPLAIN {compiled}", bound)
                assert any("credentials_due" in row[0] for row in rows)

    def test_the_same_time_again_is_not_news(self, store: Store, bench: Bench) -> None:
        enrol(store, bench.clock)
        until = bench.clock.now() + timedelta(days=1)
        store.ledger.postpone(NAME, until)
        store.ledger.postpone(NAME, until)
        store.ledger.postpone(NAME, None)
        store.ledger.postpone(NAME, None)
        told = [facts for action, _, facts in actions(store) if action == "credential.postponed"]
        assert told == [{"until": "2026-01-02T00:00:00.000000+00:00"}, {"until": "never"}]
