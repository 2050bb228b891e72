"""A backend in memory that passes the same contract as the real ones and fails when told to."""

import re
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from threading import RLock
from typing import Final, Literal
from uuid import UUID

from credmgr.errors import Conflict, LimitExceeded, NotOurs, SecretNotFound
from credmgr.model.clock import Clock
from credmgr.model.names import MAX_NAME_LENGTH, Name
from credmgr.model.secret import Secret
from credmgr.model.version import Stage
from credmgr.plugins.backend import Capability, Held, HeldVersion, Limits, Mistake
from credmgr.plugins.context import PluginContext

Method = Literal["read", "stage", "promote", "discard", "versions", "delete", "check"]
When = Literal["before", "after"]
LIMITS: Final = Limits(value_bytes=65_536, name_length=MAX_NAME_LENGTH)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


@dataclass(slots=True)
class _Copy:
    version: UUID
    secret: Secret
    stage: Stage | None
    written_at: datetime


class MemoryBackend:
    """Secrets in a dictionary. Thread-safe; forgets everything with the process.

    Attributes:
        calls: Every call as method and name, oldest first; `check` has an empty name.
        foreign: Names that hold something without credmgr's mark.
    """

    def __init__(self, clock: Clock, limits: Limits = LIMITS) -> None:
        self.calls: list[tuple[Method, str]] = []
        self._clock = clock
        self._limits = limits
        self._copies: dict[Name, list[_Copy]] = {}
        self.foreign: set[Name] = set()
        self._failures: defaultdict[tuple[Method, When], deque[Exception]] = defaultdict(deque)
        self._lock = RLock()

    def fail_next(self, method: Method, error: Exception, when: When = "before") -> None:
        """Let the next call of `method` raise `error`; several are raised in the order given.

        `before`: nothing is applied. `after`: the call is applied and its answer lost.
        """
        with self._lock:
            self._failures[method, when].append(error)

    def read(self, name: Name, stage: Stage = Stage.CURRENT) -> Held:
        """The copy at `stage`."""
        with self._call("read", name):
            copy = _at(self._copies_of(name), stage)
            if copy is None:
                raise SecretNotFound(f"{name} has no {stage} secret")
            return Held(copy.version, stage, copy.secret)

    def stage(self, name: Name, secret: Secret, version: UUID) -> None:
        """Write `secret` as `next`."""
        with self._call("stage", name):
            self._check_limits(name, secret)
            copies = self._copies_of(name)
            copy = _find(copies, version)
            if copy is None:
                copy = _Copy(version, secret, None, self._clock.now())
            elif copy.secret != secret:
                raise Conflict(f"version {version} of {name} exists already with another value")
            if copy.stage is None:
                kept = [c for c in copies if c.stage is not Stage.NEXT and c is not copy]
                copy.stage = Stage.NEXT
                self._copies[name] = [*kept, copy]

    def promote(self, name: Name, version: UUID, expect: UUID | None) -> None:
        """Make `version` current, if `current` is `expect`."""
        with self._call("promote", name):
            copies = self._copies_of(name)
            current = _at(copies, Stage.CURRENT)
            held = current.version if current else None
            if held == version:
                return
            if held != expect:
                raise Conflict(f"{name} has the current version {held}, not {expect}")
            copy = _find(copies, version)
            if copy is None or copy.stage is None:
                raise SecretNotFound(f"{name} has no version {version} to promote")
            for other in copies:
                other.stage = None if other.stage is Stage.PREVIOUS else other.stage
            if current:
                current.stage = Stage.PREVIOUS
            copy.stage = Stage.CURRENT

    def discard(self, name: Name, version: UUID) -> None:
        """Destroy the value of a version that is not current."""
        with self._call("discard", name):
            copies = self._copies_of(name)
            copy = _find(copies, version)
            if copy is None:
                return
            if copy.stage is Stage.CURRENT:
                raise Conflict(f"version {version} of {name} is current")
            copies.remove(copy)

    def versions(self, name: Name) -> Sequence[HeldVersion]:
        """Every version held, newest first."""
        with self._call("versions", name):
            return [
                HeldVersion(copy.version, copy.stage, copy.written_at)
                for copy in reversed(self._copies_of(name))
            ]

    def delete(self, name: Name) -> None:
        """Remove the name with all of its versions."""
        with self._call("delete", name):
            self._copies_of(name)
            self._copies.pop(name, None)

    def check(self) -> None:
        """Nothing can be wrong, unless `fail_next` says so."""
        with self._call("check", ""):
            pass

    def close(self) -> None:
        """Nothing is open."""

    def _copies_of(self, name: Name) -> list[_Copy]:
        if name in self.foreign:
            raise NotOurs(f"{name} holds something that credmgr did not write")
        return self._copies.get(name, [])

    def _check_limits(self, name: Name, secret: Secret) -> None:
        # A search, not a failed encoding: its exception would carry the value.
        if _SURROGATE.search(secret.reveal()):
            raise LimitExceeded("the value is not Unicode text")
        size, most = len(secret.reveal().encode()), self._limits.value_bytes
        if size > most:
            raise LimitExceeded(f"the value has {size} bytes; at most {most} fit")
        if len(name) > self._limits.name_length:
            raise LimitExceeded(f"a name has at most {self._limits.name_length} characters")

    @contextmanager
    def _call(self, method: Method, name: str) -> Iterator[None]:
        with self._lock:
            self.calls.append((method, name))
            self._fail(method, "before")
            yield
            self._fail(method, "after")

    def _fail(self, method: Method, when: When) -> None:
        if failures := self._failures[method, when]:
            raise failures.popleft()


@dataclass(frozen=True, slots=True)
class MemoryOptions:
    """There is nothing to choose."""


class MemoryBackendFactory:
    """Opens backends in memory; sessions of one factory and instance name share their content."""

    options = MemoryOptions
    capabilities = frozenset({Capability.CAS, Capability.VERSIONS})

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.limits = limits
        self._sessions: dict[str, MemoryBackend] = {}

    def validate(self, options: MemoryOptions) -> Iterable[Mistake]:  # noqa: ARG002 (protocol)
        """Nothing can be wrong."""
        return ()

    def open(self, options: MemoryOptions, context: PluginContext) -> MemoryBackend:  # noqa: ARG002
        """The session of this instance name."""
        return self._sessions.setdefault(context.name, MemoryBackend(context.clock, self.limits))


def _at(copies: Iterable[_Copy], stage: Stage) -> _Copy | None:
    return next((copy for copy in copies if copy.stage is stage), None)


def _find(copies: Iterable[_Copy], version: UUID) -> _Copy | None:
    return next((copy for copy in copies if copy.version == version), None)
