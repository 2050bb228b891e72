"""By which bearers consumers are let in."""

from datetime import timedelta

from credmgr.model.bearers import digest, new_bearer
from credmgr.model.consumer import Bearer
from credmgr.model.names import Name
from credmgr.store import Store
from tests.integration.conftest import Bench

BILLING = Name("billing")
HOUR = timedelta(hours=1)


def given(store: Store, bench: Bench, name: Name = BILLING, overlap: timedelta = HOUR) -> str:
    hashed = digest(new_bearer().reveal().encode())
    bearer = Bearer(name, hashed, bench.clock.now())
    store.ledger.give_bearer(bearer, overlap, "operator")
    return hashed


def live(store: Store, bench: Bench) -> set[str]:
    return {one.digest for one in store.ledger.bearers(bench.clock.now())}


def actions(store: Store) -> list[str]:
    return [one.event.action for one in store.audit.records(0, 100)]


def test_a_bearer_is_of_256_random_bits_behind_a_prefix() -> None:
    made = {new_bearer().reveal() for _ in range(100)}
    assert len(made) == 100
    assert all(one.startswith("credmgr_") and len(one) == 51 for one in made)


def test_a_new_one_ends_the_old_one_after_the_overlap(store: Store, bench: Bench) -> None:
    first = given(store, bench)
    bench.clock.advance(timedelta(days=3))
    second = given(store, bench)
    assert live(store, bench) == {first, second}
    bench.clock.advance(HOUR)
    assert live(store, bench) == {second}
    assert actions(store)[-2:] == ["consumer.let_in", "consumer.let_in"]


def test_an_end_that_comes_sooner_is_not_put_off(store: Store, bench: Bench) -> None:
    first = given(store, bench)
    second = given(store, bench, overlap=HOUR)
    third = given(store, bench, overlap=3 * HOUR)
    bench.clock.advance(2 * HOUR)
    assert first not in live(store, bench)
    assert live(store, bench) == {second, third}


def test_without_an_overlap_the_old_one_ends_at_once(store: Store, bench: Bench) -> None:
    given(store, bench)
    second = given(store, bench, overlap=timedelta())
    assert live(store, bench) == {second}


def test_taking_them_ends_those_of_one_consumer(store: Store, bench: Bench) -> None:
    other = given(store, bench, Name("reporting"))
    given(store, bench)
    assert store.ledger.take_bearers(BILLING, "operator") == 1
    assert store.ledger.take_bearers(BILLING, "operator") == 0
    assert live(store, bench) == {other}
    assert actions(store)[-1] == "consumer.shut_out"
