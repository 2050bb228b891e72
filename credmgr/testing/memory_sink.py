"""A sink in memory, for tests of what writes to one."""

from dataclasses import dataclass
from threading import Lock
from uuid import UUID

from credmgr.errors import LimitExceeded, NotOurs
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.plugins.backend import Limits
from credmgr.plugins.sink import SinkState

LIMITS = Limits(value_bytes=65_536, name_length=255)


@dataclass(frozen=True, slots=True)
class _Written:
    secret: Secret
    version: UUID | None


class MemorySink:
    """Keeps what was written, and what somebody made of it. Thread-safe."""

    def __init__(self) -> None:
        self._there: dict[Name, _Written] = {}
        self._marks: dict[Name, UUID] = {}
        self._lock = Lock()

    def write(self, name: Name, secret: Secret, version: UUID) -> None:
        """Make `secret` what readers find.

        Raises:
            LimitExceeded: The value is too long.
            NotOurs: Somebody else's is there.
        """
        if len(secret.reveal().encode()) > LIMITS.value_bytes:
            raise LimitExceeded(f"a value has at most {LIMITS.value_bytes} bytes")
        with self._lock:
            self._require_ours(name)
            self._there[name] = _Written(secret, version)
            self._marks[name] = version

    def inspect(self, name: Name) -> SinkState:
        """What is there now."""
        with self._lock:
            mark, there = self._marks.get(name), self._there.get(name)
            return SinkState(mark, mark is not None and there is not None and there.version == mark)

    def remove(self, name: Name) -> None:
        """Take the copy away."""
        with self._lock:
            self._require_ours(name)
            self._there.pop(name, None)
            self._marks.pop(name, None)

    def check(self) -> None:
        """It always works."""

    def close(self) -> None:
        """What was written stays for the next session."""

    def value(self, name: Name) -> Secret | None:
        """What readers find."""
        there = self._there.get(name)
        return there.secret if there else None

    def tamper(self, name: Name, secret: Secret | None) -> None:
        """Put something there behind credmgr's back, or take it away."""
        with self._lock:
            if secret is None:
                self._there.pop(name, None)
            else:
                self._there[name] = _Written(secret, None)

    def _require_ours(self, name: Name) -> None:
        if name in self._there and name not in self._marks:
            raise NotOurs(f"{name} was not written by credmgr")
