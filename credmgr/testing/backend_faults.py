"""The part of the backend contract that is about a network and a server that fail."""

# ruff: noqa: D102 (the name of a check is its sentence)

import gc
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

import pytest

from credmgr.errors import BackendUnavailable
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.model.version import Stage
from credmgr.plugins.backend import SecretBackend
from credmgr.testing.backend_moves import everything, full, promoted, stages
from credmgr.testing.canaries import everything_in, leaks, new_canary
from credmgr.testing.fault_proxy import FaultProxy
from credmgr.testing.faults import Fault, Harm

GRACE: Final = timedelta(seconds=4)
"""How much later than its deadline a call may end on a busy machine."""
LONGEST_WAIT: Final = timedelta(hours=1)
MOST_CALLS: Final = 40
"""More than any change of a backend makes."""
MANY: Final = 60
SHORT: Final = timedelta(seconds=0.7)
"""The deadline where the end of it is waited for."""
LONG: Final = timedelta(seconds=20)
"""The deadline where nothing but the fault may fail a call, on a busy machine neither."""
FAULTS: Final[Mapping[str, Fault]] = {
    "reset": Fault(Harm.RESET),
    "reset within the answer": Fault(Harm.BROKEN),
    "truncated": Fault(Harm.TRUNCATED),
    "applied, answer lost": Fault(Harm.LOST),
    "an answer of somebody else": Fault(Harm.NONSENSE),
    "500": Fault(Harm.ANSWER, status=500),
    "502": Fault(Harm.ANSWER, status=502),
    "503": Fault(Harm.ANSWER, status=503),
    "504": Fault(Harm.ANSWER, status=504),
    "429": Fault(Harm.ANSWER, status=429),
}
ENDLESS: Final[Mapping[str, Fault]] = {
    "never answered": Fault(Harm.HANG),
    "applied, never answered": Fault(Harm.APPLIED_HANG),
    "a byte a second": Fault(Harm.DRIP),
}
RETRY_AFTER: Final[Mapping[str, str | None]] = {
    "absent": None,
    "seconds": "7",
    "a date": "Wed, 21 Oct 2099 07:28:00 GMT",
    "a date that is past": "Wed, 21 Oct 2015 07:28:00 GMT",
    "zero": "0",
    "negative": "-1",
    "a billion": "1000000000",
    "no time at all": "soon",
}
LOSSES: Final = ("applied, answer lost", "503")
"""After and before it is applied: how a call fails besides makes no difference to the store."""
CHANGES: Final = ("stage", "promote", "roll back", "discard", "delete")


@dataclass(frozen=True, slots=True)
class Faulty:
    """A way to the store that can be spoiled.

    Attributes:
        proxy: Stands before the server.
        open: Opens a session through the proxy, whose calls take no longer than this; the check
            closes it.
    """

    proxy: FaultProxy
    open: Callable[[timedelta], SecretBackend]


class FaultChecks:
    """Mixed into `BackendContract`, which has the fixtures."""

    @pytest.mark.parametrize("fault", [*FAULTS, *ENDLESS])
    def test_a_call_that_fails_says_try_again_in_time_and_shows_no_value(
        self,
        backend: SecretBackend,
        faulty: Faulty | None,
        name: Name,
        fault: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        way = _needed(faulty)
        canary, version = new_canary(), uuid4()
        promoted(backend, name, canary)
        deadline = SHORT if fault in ENDLESS else LONG
        session = way.open(deadline)
        if fault in FAULTS:
            session.read(name)  # it has signed in
        with caplog.at_level(logging.DEBUG):
            for call in (
                partial(session.read, name),
                partial(session.stage, name, Secret(f"{canary} new"), version),
            ):
                shown = _failing(way, call, {**FAULTS, **ENDLESS}[fault], deadline)
                assert not leaks(canary, shown)
        session.close()
        assert not leaks(canary, caplog.text + "".join(repr(vars(r)) for r in caplog.records))
        backend.stage(name, Secret(f"{canary} new"), version)
        assert backend.read(name, Stage.NEXT).version == version
        assert backend.read(name).secret.reveal() == canary

    def test_a_server_that_nobody_reaches_says_try_again(
        self, backend: SecretBackend, faulty: Faulty | None, name: Name
    ) -> None:
        way = _needed(faulty)
        version = promoted(backend, name, "value")
        session = way.open(LONG)
        session.check()
        with way.proxy.refusing():
            for call in (session.read, session.versions, session.delete):
                with pytest.raises(BackendUnavailable) as caught:
                    call(name)
                assert caught.value.retryable
        assert session.read(name).version == version
        session.close()

    @pytest.mark.parametrize("asked", RETRY_AFTER)
    def test_a_wait_that_is_asked_for_is_within_reason(
        self, backend: SecretBackend, faulty: Faulty | None, name: Name, asked: str
    ) -> None:
        way = _needed(faulty)
        promoted(backend, name, "value")
        session = way.open(LONG)
        session.read(name)
        text = RETRY_AFTER[asked]
        headers = {} if text is None else {"Retry-After": text}
        way.proxy.always = Fault(Harm.ANSWER, status=429, headers=headers)
        with pytest.raises(BackendUnavailable) as caught:
            session.read(name)
        way.proxy.always = None
        session.close()
        told = caught.value.retry_after
        assert told is None or timedelta() <= told <= LONGEST_WAIT

    @pytest.mark.parametrize("fault", LOSSES)
    @pytest.mark.parametrize("change", CHANGES)
    def test_a_change_that_fails_at_any_of_its_calls_is_repeated_to_the_same_end(
        self,
        backend: SecretBackend,
        faulty: Faulty | None,
        name: Name,
        change: str,
        fault: str,
    ) -> None:
        way = _needed(faulty)
        session = way.open(LONG)
        for skipped in range(MOST_CALLS):
            own = Name(f"{name}/{skipped}")
            act, expected = _prepared(change, backend, own)
            session.versions(own)  # it has signed in
            known = way.proxy.seen
            harm = FAULTS[fault]
            way.proxy.faults.add(Fault(harm.harm, status=harm.status, skip=skipped))
            with suppress(BackendUnavailable):
                act(session)
            if way.proxy.seen - known <= skipped:
                way.proxy.faults.clear()
                session.close()
                return
            act(backend)
            assert {stage: held[1] for stage, held in everything(backend, own).items()} == expected
            listed = Counter(held.version for held in backend.versions(own))
            assert set(listed.values()) <= {1}
        raise AssertionError(f"more than {MOST_CALLS} calls")

    def test_many_failures_leave_no_thread_and_no_file_open(
        self, backend: SecretBackend, faulty: Faulty | None, name: Name
    ) -> None:
        way = _needed(faulty)
        promoted(backend, name, "value")
        session = way.open(LONG)
        harms = (Harm.RESET, Harm.LOST, Harm.TRUNCATED, Harm.BROKEN)
        sizes = []
        for _ in range(2):
            for number in range(MANY):
                way.proxy.faults.add(Fault(harms[number % len(harms)]))
                with suppress(BackendUnavailable):
                    session.read(name)
                way.proxy.faults.clear()
            way.proxy.settle()
            sizes.append(_in_use())
        session.close()
        assert all(after <= before + 2 for before, after in zip(*sizes, strict=True)), sizes


def _needed(faulty: Faulty | None) -> Faulty:
    if faulty is None:
        pytest.skip("this backend gives no fixture `faulty`")
    return faulty


def _failing(way: Faulty, call: Callable[[], object], fault: Fault, deadline: timedelta) -> str:
    """Make a call whose every request meets the fault; all that could be shown of its failure."""
    way.proxy.always = fault
    began = time.monotonic()
    try:
        with pytest.raises(BackendUnavailable) as caught:
            call()
        assert time.monotonic() - began < (deadline + GRACE).total_seconds()
    finally:
        way.proxy.always = None
        way.proxy.release()
    assert caught.value.retryable
    return everything_in(caught.value)


def _prepared(
    change: str, backend: SecretBackend, name: Name
) -> tuple[Callable[[SecretBackend], None], dict[Stage, str]]:
    """A change that is about to be made, and what a reader finds at each stage afterwards."""
    values = full(backend, name)
    held = stages(backend, name)
    old, now, new = held[Stage.PREVIOUS], held[Stage.CURRENT], held[Stage.NEXT]
    other: UUID = uuid4()
    match change:
        case "stage":
            expected = {**values, Stage.NEXT: "other"}
            return lambda one: one.stage(name, Secret("other"), other), expected
        case "promote":
            expected = {Stage.CURRENT: "third", Stage.PREVIOUS: "second"}
            return lambda one: one.promote(name, new, now), expected
        case "roll back":
            expected = {**values, Stage.CURRENT: "first", Stage.PREVIOUS: "second"}
            return lambda one: one.promote(name, old, now), expected
        case "discard":
            expected = {stage: value for stage, value in values.items() if stage is not Stage.NEXT}
            return lambda one: one.discard(name, new), expected
        case _:
            return lambda one: one.delete(name), {}


def _in_use() -> tuple[int, int]:
    """How many threads there are, and how many files are open."""
    gc.collect()
    descriptors = Path("/proc/self/fd")
    files = len(list(descriptors.iterdir())) if descriptors.exists() else 0
    return threading.active_count(), files
