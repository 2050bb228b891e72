"""Failpoints: every call to the outside, and every commit, can be made to fail or to be the last.

Production code has no hooks: the sessions handed to the engine are wrapped, so that no effect can
be forgotten. A point is named `<session>.<method>:<before|after>`: *before* the call nothing has
happened; *after* it everything has, but the caller does not learn of it. A commit that never
happens after an answered call is `ledger.move:before`.
"""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, cast

from credmgr.plugins.backend import SecretBackend
from credmgr.plugins.issuer import Issuer
from credmgr.plugins.sink import Sink
from credmgr.rotation.ports import Ledger

BACKEND_EFFECTS: Final = frozenset({"stage", "promote", "discard", "delete"})
SINK_EFFECTS: Final = frozenset({"write", "remove"})
ISSUER_EFFECTS: Final = frozenset({"create", "disable", "revoke", "verify"})
LEDGER_EFFECTS: Final = frozenset({"acquire", "begin", "move", "release"})


class When(StrEnum):
    """On which side of the effect."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Point:
    """One side of one effect."""

    effect: str
    when: When

    def __str__(self) -> str:
        return f"{self.effect}:{self.when}"


class Crash(BaseException):
    """The process died here."""


def _crash(point: Point) -> None:
    raise Crash(str(point))


@dataclass(slots=True)
class Failpoints:
    """Counts the points that are reached, and reacts at the n-th.

    Attributes:
        at: Which one to react at, from 0; None only counts.
        react: What to do there; it usually raises.
        observe: Called at every point, before the reaction; checks what must always hold.
        reached: Every point so far, in order.
    """

    at: int | None = None
    react: Callable[[Point], None] = _crash
    observe: Callable[[Point], None] = field(default=lambda _: None)
    reached: list[Point] = field(default_factory=list)
    dead: bool = False

    def pass_by(self, effect: str, when: When) -> None:
        """Reach one point."""
        if self.dead:
            raise Crash("a dead process does nothing")
        point = Point(effect, when)
        self.reached.append(point)
        self.observe(point)
        if self.at is not None and len(self.reached) - 1 == self.at:
            try:
                self.react(point)
            except Crash:
                self.dead = True
                raise

    def watch(self, session: object, name: str, effects: frozenset[str]) -> Any:
        """The same session, its effects passing by here."""
        return _Watched(session, name, effects, self)

    def ledger(self, ledger: Ledger) -> Ledger:
        """A watched ledger."""
        return cast("Ledger", self.watch(ledger, "ledger", LEDGER_EFFECTS))

    def issuer(self, issuer: Issuer) -> Issuer:
        """A watched issuer."""
        return cast("Issuer", self.watch(issuer, "issuer", ISSUER_EFFECTS))

    def backend(self, name: str, backend: SecretBackend) -> SecretBackend:
        """A watched backend."""
        return cast("SecretBackend", self.watch(backend, f"backend-{name}", BACKEND_EFFECTS))

    def sink(self, name: str, sink: Sink) -> Sink:
        """A watched sink."""
        return cast("Sink", self.watch(sink, f"sink-{name}", SINK_EFFECTS))


class _Watched:
    """A session in front of which failpoints stand."""

    def __init__(
        self, session: object, name: str, effects: frozenset[str], points: Failpoints
    ) -> None:
        self._session, self._name = session, name
        self._effects, self._points = effects, points

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._session, method)
        if method not in self._effects:
            return found

        def call(*args: Any, **options: Any) -> Any:
            effect = f"{self._name}.{method}"
            self._points.pass_by(effect, When.BEFORE)
            answer = found(*args, **options)
            self._points.pass_by(effect, When.AFTER)
            return answer

        return call


def kill_process(point: Point) -> None:
    """End this process as `kill -9` does: no handler, no buffer, no lock is given back."""
    del point
    os.kill(os.getpid(), signal.SIGKILL)
