"""Which requests a fault hits."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from credmgr.sandbox import Effect, Fault, When
from credmgr.sandbox.faults import Delays, Faults


def test_a_path_without_a_star_is_a_beginning() -> None:
    fault = Fault(effect=Effect.DROP, path="/manage/v1/keys")

    assert fault.matches("GET", "/manage/v1/keys")
    assert fault.matches("DELETE", "/manage/v1/keys/key_1")
    assert not fault.matches("GET", "/v2/cases")


def test_a_path_with_a_star_is_a_pattern_for_all_of_it() -> None:
    fault = Fault(effect=Effect.DROP, path="/manage/v1/applications/*/secrets", method="POST")

    assert fault.matches("POST", "/manage/v1/applications/app_1/secrets")
    assert not fault.matches("POST", "/manage/v1/applications/app_1/secrets/sec_1/disable")
    assert not fault.matches("GET", "/manage/v1/applications/app_1/secrets")


@given(skip=st.integers(0, 5), count=st.none() | st.integers(1, 5), total=st.integers(0, 15))
def test_a_fault_skips_and_then_hits_as_often_as_it_was_told(
    skip: int, count: int | None, total: int
) -> None:
    faults = Faults()
    faults.add(Fault(effect=Effect.HTML, skip=skip, count=count))

    hits = [bool(faults.take("GET", "/")) for _ in range(total)]

    last = total if count is None else skip + count
    assert hits == [skip <= nth < last for nth in range(total)]


def test_replacing_starts_counting_anew() -> None:
    faults = Faults()
    once = Fault(effect=Effect.HTML, count=1)
    faults.add(once)
    assert faults.take("GET", "/") == [once]
    assert faults.take("GET", "/") == []

    faults.replace(once)
    assert faults.take("GET", "/") == [once]
    faults.clear()
    assert faults.take("GET", "/") == []


def test_of_several_delays_the_longest_counts() -> None:
    def fault(effect: Effect, seconds: int) -> Fault:
        return Fault(effect=effect, duration=timedelta(seconds=seconds))

    delays = Delays.of(
        [
            fault(Effect.PROPAGATION_DELAY, 3),
            fault(Effect.PROPAGATION_DELAY, 2),
            fault(Effect.STALE_LIST, 4),
            fault(Effect.LATENCY, 9),
        ]
    )

    assert delays == Delays(propagation=timedelta(seconds=3), staleness=timedelta(seconds=4))


def test_a_fault_reads_back_what_it_writes() -> None:
    fault = Fault(
        effect=Effect.SERVER_ERROR,
        method="POST",
        path="/oauth",
        when=When.AFTER,
        skip=2,
        count=3,
        duration=timedelta(seconds=1.5),
        status=502,
        body="",
        retry_after="soon",
        retry_after_as_date=True,
    )

    assert Fault.of(fault.as_json()) == fault
