"""The fakes do what their users count on, and the contract catches backends that do not."""

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from uuid import UUID, uuid4

import pytest

import credmgr.testing
from credmgr.errors import BackendUnavailable, LimitExceeded, SecretNotFound
from credmgr.model.clock import Clock
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.model.version import Stage
from credmgr.plugins.backend import Held
from credmgr.testing import FakeClock, MemoryBackend, MemoryBackendFactory
from credmgr.testing.backend_moves import promoted, stages
from credmgr.testing.canaries import everything_in, leaks, new_canary, spellings
from credmgr.testing.memory_backend import MemoryOptions

NAME = Name("name")
MINUTE = timedelta(minutes=1)


# --- FakeClock


def test_a_fake_clock_stands_still_until_it_is_moved() -> None:
    clock: Clock = FakeClock()
    assert clock.now() == clock.now() == datetime(2026, 1, 1, tzinfo=UTC)
    assert clock.monotonic() == timedelta()


def test_advancing_moves_both_clocks() -> None:
    clock = FakeClock()
    clock.advance(MINUTE)
    assert clock.now() == datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
    assert clock.monotonic() == MINUTE


def test_a_jump_moves_the_wall_clock_only() -> None:
    clock = FakeClock()
    clock.jump(-MINUTE)
    assert clock.now() == datetime(2025, 12, 31, 23, 59, tzinfo=UTC)
    assert clock.monotonic() == timedelta()


def test_time_does_not_run_backwards() -> None:
    with pytest.raises(ValueError, match="backwards"):
        FakeClock().advance(-MINUTE)


def test_waiting_takes_no_time_and_moves_the_clock() -> None:
    clock = FakeClock()
    assert not clock.wait(Event(), MINUTE)
    assert not clock.wait(Event(), -MINUTE)
    assert clock.monotonic() == MINUTE
    assert clock.waits == [MINUTE, -MINUTE]


def test_waiting_for_what_is_set_does_not_move_the_clock() -> None:
    clock, event = FakeClock(), Event()
    event.set()
    assert clock.wait(event, MINUTE)
    assert clock.monotonic() == timedelta()


# --- MemoryBackend


@pytest.fixture
def backend() -> MemoryBackend:
    return MemoryBackend(FakeClock())


def test_a_failure_before_applies_nothing(backend: MemoryBackend) -> None:
    backend.fail_next("stage", BackendUnavailable())
    version = uuid4()
    with pytest.raises(BackendUnavailable):
        backend.stage(NAME, Secret("value"), version)
    assert stages(backend, NAME) == {}
    backend.stage(NAME, Secret("value"), version)
    assert stages(backend, NAME) == {Stage.NEXT: version}


@pytest.mark.parametrize("method", ["stage", "promote", "discard", "delete"])
def test_a_failure_after_is_an_answer_lost(backend: MemoryBackend, method: str) -> None:
    one = promoted(backend, NAME, "one")
    two = uuid4()
    backend.stage(NAME, Secret("two"), two)
    calls: dict[str, Callable[[], None]] = {
        "stage": lambda: backend.stage(NAME, Secret("three"), uuid4()),
        "promote": lambda: backend.promote(NAME, two, one),
        "discard": lambda: backend.discard(NAME, two),
        "delete": lambda: backend.delete(NAME),
    }
    before = list(backend.versions(NAME))
    backend.fail_next(method, BackendUnavailable(), when="after")  # type: ignore[arg-type]
    with pytest.raises(BackendUnavailable):
        calls[method]()
    assert list(backend.versions(NAME)) != before


def test_failures_come_in_order_and_then_end(backend: MemoryBackend) -> None:
    backend.fail_next("check", BackendUnavailable("first"))
    backend.fail_next("check", BackendUnavailable("second"))
    for text in ("first", "second"):
        with pytest.raises(BackendUnavailable, match=text):
            backend.check()
    backend.check()
    backend.close()


def test_calls_are_recorded(backend: MemoryBackend) -> None:
    backend.check()
    with pytest.raises(SecretNotFound):
        backend.read(NAME)
    assert backend.calls == [("check", ""), ("read", "name")]


def test_a_memory_factory_has_nothing_to_object() -> None:
    assert list(MemoryBackendFactory().validate(MemoryOptions())) == []


# --- canaries


@pytest.mark.parametrize("text", ["{}", "x{}y", "['{}']"])
def test_every_spelling_of_a_canary_is_found(text: str) -> None:
    canary = new_canary()
    assert all(leaks(canary, text.format(spelling)) for spelling in spellings(canary))
    assert not leaks(canary, text.format(new_canary()))


def test_a_value_kept_by_an_error_or_by_what_led_to_it_is_found() -> None:
    canary = new_canary()
    try:
        try:
            f"{canary}\ud800".encode()
        except UnicodeEncodeError:
            raise LimitExceeded("not text") from None
    except LimitExceeded as error:
        caught = error
    assert leaks(canary, everything_in(caught))
    assert not leaks(canary, everything_in(LimitExceeded("not text")))


# --- the contract itself


class Forgetful(MemoryBackend):
    """Shows what is staged to readers of current: the mistake that the contract is there for."""

    def read(self, name: Name, stage: Stage = Stage.CURRENT) -> Held:
        try:
            return super().read(name, Stage.NEXT)
        except SecretNotFound:
            return super().read(name, stage)


class Unguarded(MemoryBackend):
    """Promotes whatever is expected."""

    def promote(self, name: Name, version: UUID, expect: UUID | None) -> None:
        held = next((v.version for v in self.versions(name) if v.stage is Stage.CURRENT), None)
        super().promote(name, version, held if expect else None)


@pytest.mark.parametrize("kind", [Forgetful, Unguarded])
def test_the_contract_fails_a_backend_that_breaks_it(
    tmp_path: Path, kind: type[MemoryBackend]
) -> None:
    (tmp_path / "test_it.py").write_text(
        f"""
import importlib.util, pytest
from credmgr.testing import BackendContract, FakeClock, MemoryBackendFactory
spec = importlib.util.spec_from_file_location("fakes", {__file__!r})
fakes = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fakes)

class TestIt(BackendContract):
    factory = MemoryBackendFactory()
    @pytest.fixture
    def backend(self):
        return fakes.{kind.__name__}(FakeClock())
"""
    )
    ended = subprocess.run(  # noqa: S603 (pytest on a file of ours)
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert ended.returncode == 1, ended.stdout
    assert "FAILED" in ended.stdout


def test_the_fakes_need_no_pytest() -> None:
    program = (
        "import sys; import credmgr.testing, credmgr.testing.memory_backend; "
        "assert 'pytest' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)  # noqa: S603 (a constant)


def test_an_unknown_name_of_the_package_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        credmgr.testing.Nothing  # noqa: B018
