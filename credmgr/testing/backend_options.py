"""The part of the backend contract that is about what a session or factory may do besides.

Each check passes over a backend that does not have the interface in question.
"""

# ruff: noqa: D102 (the name of a check is its sentence)

from datetime import timedelta
from typing import Any, ClassVar, Final
from uuid import uuid4

import pytest

from credmgr.errors import SecretNotFound
from credmgr.model.clock import SystemClock
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.model.version import Stage
from credmgr.plugins.backend import (
    BackendFactory,
    Capability,
    Dated,
    Glancing,
    Mending,
    Permissions,
    Pointing,
    SecretBackend,
    Timed,
)
from credmgr.testing.backend_moves import promoted, staged, stages

SKEW: Final = timedelta(minutes=1)


class OptionalChecks:
    """Mixed into `BackendContract`, which has the fixtures."""

    factory: ClassVar[BackendFactory]

    def test_a_store_keeps_the_version_before_the_current_one_and_says_so(self) -> None:
        """So the contract wants it; without it an aborted rotation could not go back."""
        assert Capability.VERSIONS in self.factory.capabilities

    def test_the_current_version_is_told_without_the_others(
        self, backend: SecretBackend, name: Name
    ) -> None:
        session = _having(backend, Pointing)
        assert session.current(name) is None
        staged(backend, name, "zero")
        assert session.current(name) is None
        one = promoted(backend, name, "one")
        assert session.current(name) == one
        staged(backend, name, "two")
        assert session.current(name) == one
        backend.delete(name)
        assert session.current(name) is None

    def test_a_glance_changes_with_what_readers_see(
        self, backend: SecretBackend, name: Name
    ) -> None:
        session = _having(backend, Glancing)
        seen = [session.glance(name)]
        one = promoted(backend, name, "one")
        seen.append(session.glance(name))
        promoted(backend, name, "two", expect=one)
        seen.append(session.glance(name))
        assert len(set(seen)) == len(seen)

    def test_a_glance_is_the_same_while_readers_see_the_same(
        self, backend: SecretBackend, name: Name
    ) -> None:
        session = _having(backend, Glancing)
        promoted(backend, name, "one")
        before = session.glance(name)
        staged(backend, name, "two")
        assert session.glance(name) == before == session.glance(name)
        backend.read(name)
        assert session.glance(name) == before

    def test_what_readers_see_is_salvaged(self, backend: SecretBackend, name: Name) -> None:
        session = _having(backend, Mending)
        with pytest.raises(SecretNotFound):
            session.salvage(name)
        promoted(backend, name, "one")
        staged(backend, name, "two")
        assert session.salvage(name).reveal() == "one"

    def test_mending_what_is_whole_changes_nothing_that_readers_see(
        self, backend: SecretBackend, name: Name
    ) -> None:
        session = _having(backend, Mending)
        one = promoted(backend, name, "one")
        two = promoted(backend, name, "two", expect=one)
        for _ in range(2):
            session.mend(name, Secret("two"), two)
        held = backend.read(name)
        assert (held.version, held.secret.reveal()) == (two, "two")

    def test_a_date_changes_neither_value_nor_version(
        self, backend: SecretBackend, name: Name
    ) -> None:
        session = _having(backend, Dated)
        one = promoted(backend, name, "one")
        two = promoted(backend, name, "two", expect=one)
        dies = SystemClock().now().replace(microsecond=0) + timedelta(days=90)
        for version in (two, two, uuid4()):  # repeated, then of a version that is not current
            session.date(name, version, dies)
        assert backend.read(name).secret.reveal() == "two"
        assert stages(backend, name) == {Stage.CURRENT: two, Stage.PREVIOUS: one}

    def test_the_clock_of_the_server_is_known_after_an_answer(self, backend: SecretBackend) -> None:
        session = _having(backend, Timed)
        backend.check()
        assert session.ahead is not None
        assert abs(session.ahead) < SKEW

    def test_a_session_that_works_tells_nothing_needed_as_refused(
        self, backend: SecretBackend, name: Name
    ) -> None:
        session = _having(backend, Permissions)
        promoted(backend, name, "one")
        told = session.permissions([name])
        assert told
        assert [one.what for one in told if one.needed and one.granted is False] == []


def _having(backend: SecretBackend, kind: Any) -> Any:
    if not isinstance(backend, kind):
        pytest.skip(f"this backend is not {kind.__name__}")
    return backend
