"""Faults on demand: what shall go wrong, for which requests, and how often.

Faults live in memory: a sandbox that starts again is a healthy one. What a delay fault has done to
a secret is stored with the secret and stays.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from threading import Lock
from typing import Any, Final, Self

from credmgr.sandbox.fields import AnyOf, Flag, Number, Shape, Text, read

_HIGHEST_DELAY: Final = 86_400


class Effect(StrEnum):
    """What goes wrong."""

    LATENCY = "latency"
    RATE_LIMIT = "rate-limit"
    SERVER_ERROR = "server-error"
    HTML = "html"
    TRUNCATE = "truncate"
    DROP = "drop"
    HANG = "hang"
    PROPAGATION_DELAY = "propagation-delay"
    STALE_LIST = "stale-list"
    REVOCATION_DELAY = "revocation-delay"


class When(StrEnum):
    """Whether the request has been carried out when it goes wrong."""

    BEFORE = "before"
    AFTER = "after"


DELAY_EFFECTS: Final = (Effect.PROPAGATION_DELAY, Effect.STALE_LIST, Effect.REVOCATION_DELAY)
_SHAPE: Final[Shape] = {
    "effect": Text(choices=tuple(Effect)),
    "method": Text(default="*", shortest=1, longest=10),
    "path": Text(default="/", shortest=1),
    "when": Text(default=When.BEFORE, choices=tuple(When)),
    "skip": Number(default=0, whole=True, most=1e9),
    "count": AnyOf(rules=(Number(whole=True, least=1, most=1e9),)),
    "seconds": Number(default=0, most=_HIGHEST_DELAY),
    "status": Number(default=503, whole=True, least=500, most=599),
    "body": AnyOf(rules=(Text(longest=10_000, lines=True),)),
    "retry_after": AnyOf(rules=(Number(whole=True, least=-(10**12)), Text())),
    "retry_after_as_date": Flag(default=False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        effect: What: `latency` answers late; `rate-limit` is a 429; `server-error` a 5xx; `html` a
            page with status 200; `truncate` cuts the JSON in half; `drop` closes the connection
            without an answer; `hang` never answers. Three match the call that creates or ends a
            secret: `propagation-delay` (not accepted yet), `stale-list` (not listed yet),
            `revocation-delay` (still accepted).
        method: Of the request, or "*".
        path: What the request's path begins with; with a `*` in it, a pattern for the whole path.
        when: Before the request is carried out, or after: `drop` after is "answer lost after
            applying". Without meaning for `truncate` (always after) and the delays.
        skip: So many matching requests pass unharmed first.
        count: So many are then hit; None hits all.
        duration: How long, for `latency`, `hang` (zero: until the caller goes away) and the delays.
        status: Of `server-error`.
        body: Of `server-error`; None is the usual JSON, "" an empty body.
        retry_after: Of `rate-limit` and `server-error`: sent as it stands; None sends no header.
        retry_after_as_date: Send `retry_after` seconds from now as an HTTP date instead.
    """

    effect: Effect
    method: str = "*"
    path: str = "/"
    when: When = When.BEFORE
    skip: int = 0
    count: int | None = None
    duration: timedelta = timedelta()
    status: int = 503
    body: str | None = None
    retry_after: int | str | None = None
    retry_after_as_date: bool = False

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Self:
        """The fault in a JSON object.

        Raises:
            Refusal: 400 with every problem in `fields`.
        """
        fields = read(_SHAPE, value)
        fields["effect"] = Effect(fields["effect"])
        fields["when"] = When(fields["when"])
        return cls(duration=timedelta(seconds=fields.pop("seconds")), **fields)

    def as_json(self) -> dict[str, Any]:
        """The fault as `of` reads it."""
        return {
            "effect": self.effect,
            "method": self.method,
            "path": self.path,
            "when": self.when,
            "skip": self.skip,
            "count": self.count,
            "seconds": self.duration.total_seconds(),
            "status": self.status,
            "body": self.body,
            "retry_after": self.retry_after,
            "retry_after_as_date": self.retry_after_as_date,
        }

    def matches(self, method: str, path: str) -> bool:
        """Whether a request is meant."""
        if self.method not in ("*", method):
            return False
        return fnmatchcase(path, self.path) if "*" in self.path else path.startswith(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """What a request's delay faults do to the secret that it creates or ends."""

    propagation: timedelta = timedelta()
    staleness: timedelta = timedelta()
    revocation: timedelta = timedelta()

    @classmethod
    def of(cls, faults: Iterable[Fault]) -> Self:
        """The longest delay of each sort among `faults`."""
        longest = dict.fromkeys(DELAY_EFFECTS, timedelta())
        for fault in faults:
            if fault.effect in longest:
                longest[fault.effect] = max(longest[fault.effect], fault.duration)
        return cls(
            propagation=longest[Effect.PROPAGATION_DELAY],
            staleness=longest[Effect.STALE_LIST],
            revocation=longest[Effect.REVOCATION_DELAY],
        )


@dataclass(slots=True)
class _Armed:
    fault: Fault
    seen: int = field(default=0)

    def hit(self, method: str, path: str) -> bool:
        if not self.fault.matches(method, path):
            return False
        self.seen += 1
        nth = self.seen - self.fault.skip
        return nth > 0 and (self.fault.count is None or nth <= self.fault.count)

    def as_json(self) -> dict[str, Any]:
        return {**self.fault.as_json(), "seen": self.seen}


class Faults:
    """The faults that are armed; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._armed: tuple[_Armed, ...] = ()

    def add(self, *faults: Fault) -> None:
        """Arm further faults; of several that hit one request, the earliest armed answers."""
        with self._lock:
            self._armed += tuple(_Armed(fault) for fault in faults)

    def replace(self, *faults: Fault) -> None:
        """Arm exactly these, counting from zero."""
        with self._lock:
            self._armed = tuple(_Armed(fault) for fault in faults)

    def clear(self) -> None:
        """Disarm all."""
        self.replace()

    def take(self, method: str, path: str) -> list[Fault]:
        """The faults that hit this request; counts it."""
        with self._lock:
            return [armed.fault for armed in self._armed if armed.hit(method, path)]

    def as_json(self) -> dict[str, Any]:
        """What is armed, with how many matching requests each has seen."""
        with self._lock:
            return {"faults": [armed.as_json() for armed in self._armed]}
