"""What doctor says of a backend, from what its session tells."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from credmgr.cli.backend_checks import looks
from credmgr.cli.verdicts import Check, Verdict
from credmgr.errors import AccessDenied, CorruptSecret
from credmgr.manifest.manifest import Configured
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.plugins.backend import BackendFactory, Limits, Permission
from credmgr.plugins.clocks import ServerClock
from credmgr.testing import FakeClock
from credmgr.testing.memory_backend import MemoryBackend, MemoryBackendFactory

BACKEND, NAMES = Name("far"), [Name(f"key/{number}") for number in range(5)]
FACTORY = MemoryBackendFactory(Limits(value_bytes=1000, name_length=20))
CONFIGURED: Configured[BackendFactory] = Configured("memory", FACTORY, FACTORY.options())


class Telling(MemoryBackend):
    """One that tells what it may do."""

    told: tuple[Permission, ...] = ()
    refuses = False
    ahead: timedelta | None = None

    def permissions(self, names: Sequence[Name]) -> Sequence[Permission]:
        assert list(names) == NAMES
        if self.refuses:
            raise AccessDenied("nobody may ask", hint="let us")
        return self.told


class Sealed(MemoryBackend):
    """One that seals."""

    def reseal(self) -> None:
        raise AssertionError


def told(backend: Any) -> dict[str, Check]:
    found = list(looks(BACKEND, backend, CONFIGURED, NAMES))
    return {f"{one.subject.removeprefix('backend far ')} {one.verdict}": one for one in found}


def telling(*permissions: Permission, **fields: Any) -> Telling:
    backend = Telling(FakeClock())
    backend.told = permissions
    for name, value in fields.items():
        setattr(backend, name, value)
    return backend


def test_what_is_missing_fails_and_what_is_too_much_warns() -> None:
    found = told(
        telling(
            Permission("read", needed=True, granted=True),
            Permission("write", needed=True, granted=False, fix="grant write"),
            Permission("rule", needed=False, granted=True, fix="take it away"),
            Permission("dream", needed=False, granted=False),
        )
    )

    assert found["permissions fail"].detail == "missing: write"
    assert found["permissions fail"].fix == "grant write"
    assert found["permissions warn"].detail == "more than it needs: rule"
    assert "permissions ok" not in found


def test_what_cannot_be_known_is_said_and_is_no_success() -> None:
    found = told(telling(Permission("write", needed=True, granted=None, fix="let us ask")))

    assert found["permissions warn"].detail == "cannot be known: write"
    assert found["permissions warn"].fix == "let us ask"
    assert "permissions ok" not in found


def test_all_well_is_one_line_and_a_refusal_a_failure() -> None:
    assert "permissions ok" in told(telling(Permission("read", needed=True, granted=True)))
    assert told(telling(refuses=True))["permissions fail"].detail == "nobody may ask"


@pytest.mark.parametrize(
    ("seconds", "key", "said"),
    [
        (60, "clock ok", "agrees with ours to 60 s"),
        (61, "clock warn", "its server's clock is 61 s ahead of ours"),
        (-3600, "clock warn", "its server's clock is 3600 s behind ours"),
    ],
)
def test_a_clock_that_differs_by_more_than_a_minute_is_told(
    seconds: int, key: str, said: str
) -> None:
    assert told(telling(ahead=timedelta(seconds=seconds)))[key].detail == said
    assert not any(key.startswith("clock") for key in told(telling()))


def test_limits_are_said() -> None:
    found = told(MemoryBackend(FakeClock()))

    assert set(found) == {"limits ok"}
    assert found["limits ok"].detail == (
        "values to 1,000 bytes, names to 20 characters; 5 in use, the longest has 5"
    )


def test_sealed_values_are_opened_and_broken_ones_named() -> None:
    backend = Sealed(FakeClock())
    for name in NAMES:
        version = uuid4()
        backend.stage(name, Secret(f"canary of {name}"), version)
        backend.promote(name, version, None)
    backend.stage(NAMES[0], Secret("staged"), uuid4())
    assert told(backend)["values ok"].detail == "6 open under the keyring"
    for _ in NAMES:
        backend.fail_next("read", CorruptSecret("damaged"))

    found = told(backend)["values fail"]

    assert found.verdict is Verdict.FAIL
    assert found.detail == (
        "do not open: key/0 (corrupt_secret), key/1 (corrupt_secret), key/2 (corrupt_secret)"
        " and 2 more"
    )
    assert "canary" not in f"{found}"


def test_a_servers_clock_is_taken_from_its_answers() -> None:
    clock = FakeClock()
    server = ServerClock(clock)
    server.heard(None)
    server.heard("yesterday, perhaps")
    assert str(server.ahead) == "None"
    later = clock.now() + timedelta(seconds=90)
    server.heard(later.strftime("%a, %d %b %Y %H:%M:%S GMT"))
    assert server.ahead is not None
    assert round(server.ahead.total_seconds()) in (89, 90)
    server.heard(later.strftime("%a, %d %b %Y %H:%M:%S -0000"))  # a zone that says nothing
    assert server.ahead is not None
