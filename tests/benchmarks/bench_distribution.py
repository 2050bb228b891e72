"""A rotation with copies in places far away: they are written side by side, not in turn.

OpenBao is near; whatever is asked of AWS (moto) and Key Vault (the fake one) takes a while longer,
as it does on the way to another continent. One credential is rotated at a time.
"""

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, Final

from credmgr.logs import configure
from credmgr.model.clock import SystemClock
from credmgr.model.names import Name
from credmgr.model.rotation import Trigger
from credmgr.plugins.backend import (
    BackendFactory,
    Capability,
    Limits,
    Mistake,
    SecretBackend,
)
from credmgr.plugins.context import PluginContext
from tests.benchmarks.installed import AWS, AZURE, TARGETS, installed, servers
from tests.benchmarks.run import Told, timed

FAR: Final = timedelta(milliseconds=100)
KINDS: Final[Mapping[str, Sequence[Name]]] = {
    "no copy": (),
    "a copy in AWS": (AWS,),
    "a copy in Key Vault": (AZURE,),
    "copies in both": TARGETS,
}


@dataclass(frozen=True, slots=True)
class Spread:
    """What one rotation took, by where its copies are.

    Attributes:
        far: What each call to a copy takes longer, in milliseconds.
        milliseconds: The medians of all runs.
        in_turn: What it would be with both, if one were written after the other.
        runs: How many.
    """

    far: float
    runs: int
    milliseconds: dict[str, float] = field(default_factory=dict)
    in_turn: float = 0.0


@dataclass(frozen=True)
class Distant:
    """A session that is far away."""

    inner: SecretBackend

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        return partial(_late, found) if callable(found) else found


def _late(act: Callable[..., Any], *args: Any, **more: Any) -> Any:
    SystemClock().wait(Event(), FAR)
    return act(*args, **more)


@dataclass(frozen=True)
class DistantFactory:
    """A factory whose sessions are far away."""

    inner: BackendFactory

    @property
    def options(self) -> type[Any]:
        return self.inner.options

    @property
    def capabilities(self) -> frozenset[Capability]:
        return self.inner.capabilities

    @property
    def limits(self) -> Limits:
        return self.inner.limits

    def validate(self, options: Any) -> Iterable[Mistake]:
        return self.inner.validate(options)

    def open(self, options: Any, context: PluginContext) -> SecretBackend:
        return Distant(self.inner.open(options, context))


def compared(folder: Path, runs: int) -> Iterator[Told]:
    """One of each kind, in turn."""
    configure("CRITICAL", "console")  # AWS wants fewer writes than a benchmark makes
    names = {f"bench/key-{number}": kind for number, kind in enumerate(KINDS)}
    credentials = {name: KINDS[kind] for name, kind in names.items()}
    spent: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with (
        servers(targets=True) as on,
        installed(folder / "home", on, credentials, 4, DistantFactory) as rotating,
    ):
        for trigger in (Trigger.FIRST, Trigger.LEAKED):  # so that there is an old secret to end
            for name in names:
                rotating.begin(name, trigger)
                rotating.later()
                rotating.end(name)
        for _ in range(runs):
            for name, kind in names.items():
                begun = timed(partial(rotating.begin, name), 1)
                rotating.later()
                spent[kind].append((begun + timed(partial(rotating.end, name), 1)) * 1e3)
    medians = {kind: statistics.median(each) for kind, each in spent.items()}
    none, aws, azure, both = medians.values()
    found = Spread(FAR / timedelta(milliseconds=1), runs, medians, aws + azure - none)
    yield Told(
        f"one rotation, each call to a copy {found.far:.0f} ms further away, {runs} runs:\n"
        + "\n".join(
            f"  {kind}: {statistics.median(each):,.0f} ms ({min(each):,.0f} to {max(each):,.0f})"
            for kind, each in spent.items()
        )
        + f"\n  both in turn would be {found.in_turn:,.0f} ms; the slower alone is"
        f" {max(aws, azure):,.0f}, both are {both:,.0f}",
        found,
    )
