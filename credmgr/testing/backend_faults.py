"""The part of the backend contract that is about a network and a server that fail.

It runs for a backend that gives the fixture `faulty`: the same store, reached through a proxy.
"""

# ruff: noqa: D102 (the name of a check is its sentence)

import gc
import logging
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import pytest

from credmgr.errors import BackendUnavailable, CredmgrError
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.model.version import Stage
from credmgr.plugins.backend import SecretBackend
from credmgr.testing.backend_moves import everything, promoted, staged
from credmgr.testing.canaries import everything_in, leaks, new_canary
from credmgr.testing.fault_proxy import FaultProxy
from credmgr.testing.faults import Fault, Harm

LONGEST_WAIT: Final = timedelta(hours=1)
PATIENT: Final = timedelta(seconds=20)
SHORT: Final = timedelta(seconds=0.8)
"""A deadline for faults that last until it."""
LEEWAY: Final = timedelta(seconds=1)
"""What a call may take beyond its deadline, on a machine that does other things as well."""
QUICK: Final = (
    Harm.ANSWER,
    Harm.RESET,
    Harm.LOST,
    Harm.TRUNCATED,
    Harm.CUT,
    Harm.NONSENSE,
    Harm.TWICE,
)
SLOW: Final = (Harm.HANG, Harm.APPLIED_HANG, Harm.DRIP)
WAITS: Final = {
    "seconds": "7",
    "zero": "0",
    "negative": "-1",
    "a billion seconds": "1000000000",
    "a date that is past": "Wed, 21 Oct 2015 07:28:00 GMT",
    "a date far ahead": "Fri, 31 Dec 9999 23:59:59 GMT",
    "a word": "soon",
    "nothing": "",
}
REPEATS: Final = 25
_READING: Final = frozenset({"GET", "LIST"})
SETTLED: Final = 4
"""Threads and files that may come and go on their own."""


@dataclass(frozen=True, slots=True)
class Faulty:
    """A store that is reached through a proxy.

    Attributes:
        proxy: The proxy.
        open: Opens a session through it, whose calls end within the given deadline.
    """

    proxy: FaultProxy
    open: Callable[[timedelta], SecretBackend]

    @contextmanager
    def session(self, deadline: timedelta = PATIENT) -> Iterator[SecretBackend]:
        """A session that has signed in."""
        opened = self.open(deadline)
        try:
            opened.versions(Name("contract/warm"))
            yield opened
        finally:
            self.proxy.faults.clear()
            opened.close()


Change = Callable[[SecretBackend], None]
Prepare = Callable[[SecretBackend, Name], Change]


def _stage(backend: SecretBackend, name: Name) -> Change:
    promoted(backend, name, "old")
    version = uuid4()
    return lambda session: session.stage(name, Secret("new"), version)


def _stage_first(_: SecretBackend, name: Name) -> Change:
    version = uuid4()
    return lambda session: session.stage(name, Secret("new"), version)


def _promote(backend: SecretBackend, name: Name) -> Change:
    old = promoted(backend, name, "old")
    new = staged(backend, name, "new")
    return lambda session: session.promote(name, new, old)


def _roll_back(backend: SecretBackend, name: Name) -> Change:
    old = promoted(backend, name, "old")
    new = promoted(backend, name, "new", expect=old)
    return lambda session: session.promote(name, old, new)


def _discard(backend: SecretBackend, name: Name) -> Change:
    promoted(backend, name, "old")
    new = staged(backend, name, "new")
    return lambda session: session.discard(name, new)


def _delete(backend: SecretBackend, name: Name) -> Change:
    promoted(backend, name, "new", expect=promoted(backend, name, "old"))
    return lambda session: session.delete(name)


CHANGES: Final[dict[str, Prepare]] = {
    "the first stage": _stage_first,
    "a stage": _stage,
    "a promotion": _promote,
    "a roll back": _roll_back,
    "a discard": _discard,
    "a delete": _delete,
}


def _read(session: SecretBackend, name: Name) -> None:
    session.read(name)


def _stage_anew(session: SecretBackend, name: Name) -> None:
    session.stage(name, Secret("new"), uuid4())


class FaultChecks:
    """Mixed into `BackendContract`, which has the fixtures."""

    @pytest.fixture
    def faulty(self) -> Faulty | None:
        """The same store behind a proxy; None for one that is not reached over a network."""
        return None

    @pytest.mark.parametrize("change", CHANGES)
    def test_whichever_request_of_a_change_fails_repeating_it_leads_to_the_same_end(
        self, backend: SecretBackend, faulty: Faulty | None, change: str
    ) -> None:
        found = _needed(faulty)
        with found.session() as session:
            expected, methods = _undisturbed(found, session, backend, CHANGES[change])
            for number, harm in _each_harmed(methods):
                name = _a_name()
                act = CHANGES[change](backend, name)
                found.proxy.faults.add(Fault(harm, skip=number))
                _repeatable(act, session)
                found.proxy.faults.clear()
                act(session)
                assert _end(backend, name) == expected, (number, harm)
                assert _versions_once(backend, name), (number, harm)

    @pytest.mark.parametrize("harm", QUICK[:-1])
    def test_a_read_that_fails_may_be_repeated(
        self, backend: SecretBackend, faulty: Faulty | None, name: Name, harm: Harm
    ) -> None:
        found = _needed(faulty)
        version = promoted(backend, name, "value")
        with found.session() as session:
            for read in (session.read, session.versions):
                found.proxy.faults.add(Fault(harm))
                with pytest.raises(BackendUnavailable) as caught:
                    read(name)
                assert caught.value.retryable
            assert session.read(name).version == version

    @pytest.mark.parametrize("harm", SLOW)
    @pytest.mark.parametrize("call", [_read, _stage_anew], ids=["read", "stage"])
    def test_a_call_ends_by_its_deadline_however_slow_the_answer(
        self, backend: SecretBackend, faulty: Faulty | None, name: Name, call: Any, harm: Harm
    ) -> None:
        found = _needed(faulty)
        promoted(backend, name, "value")
        with found.session(SHORT) as session:
            found.proxy.faults.add(Fault(harm))
            begun = time.monotonic()
            with pytest.raises(BackendUnavailable):
                call(session, name)
            took = timedelta(seconds=time.monotonic() - begun)
        assert took < SHORT + LEEWAY

    @pytest.mark.parametrize("status", [429, 503])
    @pytest.mark.parametrize("header", WAITS)
    def test_how_long_a_server_asks_to_wait_is_told_within_reason(
        self, faulty: Faulty | None, name: Name, header: str, status: int
    ) -> None:
        found = _needed(faulty)
        headers = {"Retry-After": WAITS[header]} if WAITS[header] else {}
        with found.session() as session:
            found.proxy.faults.add(Fault(Harm.ANSWER, status=status, headers=headers))
            with pytest.raises(BackendUnavailable) as caught:
                session.versions(name)
        asked = caught.value.retry_after
        assert asked is None or timedelta() <= asked <= LONGEST_WAIT
        if header == "seconds":
            assert asked == timedelta(seconds=7)

    def test_a_server_that_refuses_connections_is_an_outage_until_it_is_back(
        self, backend: SecretBackend, faulty: Faulty | None, name: Name
    ) -> None:
        found = _needed(faulty)
        version = promoted(backend, name, "value")
        with found.session() as session:
            with found.proxy.down():
                for call in (session.read, session.versions, session.delete):
                    with pytest.raises(BackendUnavailable):
                        call(name)
            assert session.read(name).version == version

    @pytest.mark.parametrize("harm", [*QUICK[:-1], *SLOW])
    def test_no_value_shows_in_what_a_fault_leads_to(
        self,
        faulty: Faulty | None,
        name: Name,
        harm: Harm,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        found, canary = _needed(faulty), new_canary()
        shown: list[str] = []
        deadline = SHORT if harm in SLOW else PATIENT
        with caplog.at_level(logging.DEBUG), found.session(deadline) as session:
            version = uuid4()
            for skip in range(1 if harm in SLOW else 4):
                found.proxy.faults.add(Fault(harm, skip=skip))
                error = _repeatable(lambda one: one.stage(name, Secret(canary), version), session)
                shown += [everything_in(error)] if error else []
                found.proxy.faults.clear()
        shown += [caplog.text, *(repr(vars(record)) for record in caplog.records)]
        assert not leaks(canary, "".join(shown))

    def test_faults_leave_no_thread_and_no_open_file(
        self, backend: SecretBackend, faulty: Faulty | None, name: Name
    ) -> None:
        found = _needed(faulty)
        promoted(backend, name, "value")
        with found.session() as session:
            _fail_often(found, session, name)
            before = _held(found)
            for _ in range(3):
                _fail_often(found, session, name)
            after = _held(found)
        assert after[0] <= before[0] + SETTLED
        assert after[1] <= before[1] + SETTLED


def _each_harmed(methods: Sequence[str]) -> Iterator[tuple[int, Harm]]:
    """Every request with one harm, in turn; what may write besides twice and unanswered."""
    others = [harm for harm in QUICK if harm not in (Harm.LOST, Harm.TWICE)]
    for number, method in enumerate(methods):
        yield number, others[number % len(others)]
        if method not in _READING:
            yield number, Harm.LOST
            yield number, Harm.TWICE


def _needed(faulty: Faulty | None) -> Faulty:
    if faulty is None:
        pytest.skip("this backend gives no fixture `faulty`")
    return faulty


def _a_name() -> Name:
    return Name(f"contract/{secrets.token_hex(6)}")


def _undisturbed(
    found: Faulty, session: SecretBackend, backend: SecretBackend, prepare: Prepare
) -> tuple[dict[Stage, str], list[str]]:
    """The end without a fault, and the methods of the requests that lead to it."""
    name = _a_name()
    act = prepare(backend, name)
    before = len(found.proxy.calls)
    act(session)
    return _end(backend, name), [method for method, _ in found.proxy.calls[before:]]


def _end(backend: SecretBackend, name: Name) -> dict[Stage, str]:
    return {stage: value for stage, (_, value) in everything(backend, name).items()}


def _versions_once(backend: SecretBackend, name: Name) -> bool:
    counts: Counter[UUID] = Counter(held.version for held in backend.versions(name))
    return set(counts.values()) <= {1}


def _repeatable(act: Change, session: SecretBackend) -> CredmgrError | None:
    """Do it, and give what it raises, which must say that it may be repeated."""
    raised: CredmgrError | None = None
    try:
        act(session)
    except CredmgrError as error:
        raised = error
    assert raised is None or raised.retryable, raised
    return raised


def _fail_often(found: Faulty, session: SecretBackend, name: Name) -> None:
    for number in range(REPEATS):
        found.proxy.faults.add(Fault(QUICK[number % (len(QUICK) - 1)]))
        with pytest.raises(BackendUnavailable):
            session.read(name)


def _held(found: Faulty) -> tuple[int, int]:
    """Threads and open files of this process, when those of the proxy have ended."""
    found.proxy.drop_connections()
    gc.collect()
    ends = time.monotonic() + 1
    held = _count()
    while time.monotonic() < ends:
        time.sleep(0.05)  # noqa: TID251 (real time, until threads have ended)
        held, last = _count(), held
        if held == last:
            break
    return held


def _count() -> tuple[int, int]:
    return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
