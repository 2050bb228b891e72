"""What can go wrong on the way to a server and back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from threading import Lock


class Harm(StrEnum):
    """What happens to a request."""

    ANSWER = "answer"
    """It is answered with a status and headers, and nothing is applied."""
    RESET = "reset"
    """The connection is reset, and nothing is applied."""
    LOST = "lost"
    """It is applied, and the connection closed without an answer."""
    HANG = "hang"
    """Nothing is applied, and no answer comes."""
    APPLIED_HANG = "applied-hang"
    """It is applied, and no answer comes."""
    DRIP = "drip"
    """It is applied, and the answer comes a byte at a time."""
    TRUNCATED = "truncated"
    """It is applied, and half of the answer comes."""
    CUT = "cut"
    """It is applied, half of the answer comes, and the connection is reset."""
    NONSENSE = "nonsense"
    """It is applied, and the answer is another than the protocol's."""
    TWICE = "twice"
    """It is applied twice, as when an SDK or a proxy repeats it; one answer comes."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        harm: What.
        method: Of requests with this method; None takes any.
        path: Of requests whose path holds this.
        status: Of an `ANSWER`.
        code: The error code of an `ANSWER`, where the server has such.
        headers: Of an `ANSWER`.
        body: Of `NONSENSE`, and of an `ANSWER` of a server without error codes.
        skip: How many such requests go well before.
    """

    harm: Harm
    method: str | None = None
    path: str = ""
    status: int = 500
    code: str = "InternalServerError"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"<html>gateway</html>"
    skip: int = 0


class Faults:
    """The faults that are still to come. Each comes once. Thread-safe."""

    def __init__(self) -> None:
        self._waiting: list[list[object]] = []
        self._lock = Lock()

    def add(self, fault: Fault) -> None:
        """Let a fault come."""
        with self._lock:
            self._waiting.append([fault, fault.skip])

    def clear(self) -> None:
        """Forget those that did not come."""
        with self._lock:
            self._waiting.clear()

    def next(self, method: str, path: str) -> Fault | None:
        """The fault of this request, which is then used up."""
        with self._lock:
            for waiting in self._waiting:
                fault, left = waiting
                assert isinstance(fault, Fault)
                if fault.method in (None, method) and fault.path in path:
                    if not left:
                        self._waiting.remove(waiting)
                        return fault
                    assert isinstance(left, int)
                    waiting[1] = left - 1
        return None
