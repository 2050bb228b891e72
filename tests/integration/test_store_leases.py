"""Leases and the epochs that fence off former holders."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest

from credmgr.errors import LeaseHeld, LeaseLost, UnknownCredential
from credmgr.model.names import Name
from credmgr.model.rotation import Lease, State
from credmgr.store import Store
from tests.integration.conftest import NAME, OWNER, TTL, Begins, Bench, change, enrol, moved


class TestTaking:
    def test_the_first_take_has_epoch_one(self, store: Store, bench: Bench) -> None:
        enrol(store, bench.clock)
        now = bench.clock.now()
        assert store.ledger.acquire(NAME, OWNER, now, TTL) == Lease(NAME, OWNER, 1, now + TTL)

    def test_a_live_lease_keeps_others_out_and_is_prolonged_by_its_owner(
        self, store: Store, bench: Bench
    ) -> None:
        enrol(store, bench.clock)
        store.ledger.acquire(NAME, OWNER, bench.clock.now(), TTL)
        bench.clock.advance(TTL / 2)
        now = bench.clock.now()
        with pytest.raises(LeaseHeld, match="daemon@here is working on caseforge/api-key"):
            store.ledger.acquire(NAME, "other", now, TTL)
        assert store.ledger.acquire(NAME, OWNER, now, TTL) == Lease(NAME, OWNER, 1, now + TTL)

    def test_every_fresh_take_makes_the_epoch_grow_and_nothing_makes_it_fall(
        self, store: Store, bench: Bench
    ) -> None:
        enrol(store, bench.clock)
        first = store.ledger.acquire(NAME, OWNER, bench.clock.now(), TTL)
        bench.clock.advance(TTL)
        expired = store.ledger.acquire(NAME, OWNER, bench.clock.now(), TTL)
        store.ledger.release(expired)
        released = store.ledger.acquire(NAME, OWNER, bench.clock.now(), TTL)
        store.ledger.release(released)
        other = store.ledger.acquire(NAME, "other", bench.clock.now(), TTL)
        assert [lease.epoch for lease in (first, expired, released, other)] == [1, 2, 3, 4]

    def test_only_taking_over_from_somebody_else_is_audited(
        self, store: Store, bench: Bench
    ) -> None:
        enrol(store, bench.clock)
        store.ledger.acquire(NAME, OWNER, bench.clock.now(), TTL)
        before = store.audit.checkpoint().sequence
        bench.clock.advance(TTL)
        store.ledger.acquire(NAME, "other", bench.clock.now(), TTL)
        (record,) = store.audit.records(before, 10)
        assert (record.event.actor, record.event.action) == ("other", "lease.taken-over")
        assert record.event.facts == {"from": OWNER, "epoch": "2"}

    def test_an_unknown_credential_has_no_lease(self, store: Store, bench: Bench) -> None:
        with pytest.raises(UnknownCredential):
            store.ledger.acquire(Name("nobody"), OWNER, bench.clock.now(), TTL)

    def test_the_new_epoch_is_stamped_on_the_open_rotation_only(
        self, store: Store, bench: Bench, begin: Begins
    ) -> None:
        ended, lease = begin()
        store.ledger.move(change(moved(ended, State.DONE), State.INTENT, "ended"), lease)
        store.ledger.release(lease)
        row, lease = begin()
        assert (lease.epoch, row.epoch) == (2, 2)
        bench.clock.advance(TTL)
        store.ledger.acquire(NAME, "other", bench.clock.now(), TTL)
        assert store.ledger.rotation(row.id).epoch == 3
        assert store.ledger.rotation(ended.id).epoch == 1
        with pytest.raises(LeaseLost):
            store.ledger.move(change(moved(row, State.CREATED), State.INTENT, "late"), lease)
        assert store.ledger.rotation(row.id).state is State.INTENT


class TestRenewing:
    def test_a_lease_of_ours_is_prolonged(self, store: Store, bench: Bench) -> None:
        enrol(store, bench.clock)
        lease = store.ledger.acquire(NAME, OWNER, bench.clock.now(), TTL)
        bench.clock.advance(TTL / 2)
        renewed = store.ledger.renew(lease, bench.clock.now(), TTL)
        assert renewed.until == bench.clock.now() + TTL
        bench.clock.advance(TTL * 3 / 4)
        with pytest.raises(LeaseHeld):
            store.ledger.acquire(NAME, "other", bench.clock.now(), TTL)

    def test_one_that_ran_out_is_ours_until_somebody_takes_it(
        self, store: Store, bench: Bench
    ) -> None:
        enrol(store, bench.clock)
        lease = store.ledger.acquire(NAME, OWNER, bench.clock.now(), TTL)
        bench.clock.advance(TTL * 2)
        lease = store.ledger.renew(lease, bench.clock.now(), TTL)
        bench.clock.advance(TTL * 2)
        store.ledger.acquire(NAME, "other", bench.clock.now(), TTL)
        with pytest.raises(LeaseLost, match="no longer holds"):
            store.ledger.renew(lease, bench.clock.now(), TTL)

    def test_a_released_one_is_lost_and_releasing_it_again_is_harmless(
        self, store: Store, bench: Bench
    ) -> None:
        enrol(store, bench.clock)
        lease = store.ledger.acquire(NAME, OWNER, bench.clock.now(), TTL)
        store.ledger.release(lease)
        with pytest.raises(LeaseLost):
            store.ledger.renew(lease, bench.clock.now(), TTL)
        other = store.ledger.acquire(NAME, "other", bench.clock.now(), TTL)
        store.ledger.release(lease)
        assert store.ledger.renew(other, bench.clock.now(), TTL).epoch == other.epoch


def test_of_five_threads_at_once_exactly_one_owns_each_epoch(store: Store, bench: Bench) -> None:
    enrol(store, bench.clock)
    rounds, owners = 8, [f"owner-{n}" for n in range(5)]
    barrier = Barrier(len(owners))

    def race(owner: str) -> list[Lease]:
        won = []
        for number in range(rounds):
            barrier.wait()
            now = bench.clock.now() + number * TTL
            try:
                won.append(store.ledger.acquire(NAME, owner, now, TTL))
            except LeaseHeld:
                continue
        return won

    with ThreadPoolExecutor(len(owners)) as pool:
        won = [lease for leases in pool.map(race, owners) for lease in leases]
    assert sorted(lease.epoch for lease in won) == list(range(1, rounds + 1))


def test_a_lease_is_granted_to_the_microsecond(store: Store, bench: Bench) -> None:
    enrol(store, bench.clock)
    now = bench.clock.now()
    store.ledger.acquire(NAME, OWNER, now, TTL)
    with pytest.raises(LeaseHeld):
        store.ledger.acquire(NAME, "other", now + TTL - timedelta(microseconds=1), TTL)
    assert store.ledger.acquire(NAME, "other", now + TTL, TTL).owner == "other"
