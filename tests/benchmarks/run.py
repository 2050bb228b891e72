"""The harness: runs each benchmark beside it several times, prints a table, writes JSON.

A benchmark module has `benchmarks(folder)`, a context manager that yields `Benchmark`s; what it
sets up in `folder` is not measured. One that measures in another way, because a program that loads
a server keeps the time for example, has `compared(folder, runs)`, which yields what it `Told`.

Numbers are for comparing two versions on one machine, never a
verdict: nothing in the test suite reads them.
"""

import argparse
import gc
import importlib.util
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Final

FOLDER: Final = Path(__file__).parent
RUNS: Final = 7
SHORTEST_SECONDS: Final = 0.2
"""A run repeats the work for at least this long, so that the clock's grain does not show."""

sys.path.insert(0, str(FOLDER.parents[1]))


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One thing to measure.

    Attributes:
        name: What it is, in words.
        once: Does it one time.
        against: Name of an earlier one of the same module that it is compared with; empty for none.
    """

    name: str
    once: Callable[[], object]
    against: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """How long one of them took, in microseconds each time.

    Attributes:
        name: What was measured.
        median: The median of all runs.
        lowest: The fastest run.
        highest: The slowest run.
        runs: How many runs.
        times: How often the work was done in each run.
        ratio: Its median as a multiple of that of what it is compared with; None for nothing.
    """

    name: str
    median: float
    lowest: float
    highest: float
    runs: int
    times: int
    ratio: float | None = None

    @property
    def spread(self) -> float:
        """Slowest less fastest, as a part of the median."""
        return (self.highest - self.lowest) / self.median


@dataclass(frozen=True, slots=True)
class Told:
    """What a module that measures by itself found.

    Attributes:
        line: Of the table.
        result: A dataclass, for the JSON.
    """

    line: str
    result: Any


def measure(benchmark: Benchmark, runs: int) -> Measured:
    """Warm up, find out how often the work fits into a run, then measure."""
    benchmark.once()
    times = max(1, round(SHORTEST_SECONDS / max(timed(benchmark.once, 1), 1e-9)))
    each = [timed(benchmark.once, times) / times * 1e6 for _ in range(runs)]
    return Measured(benchmark.name, statistics.median(each), min(each), max(each), runs, times)


def against(done: Measured, base: Measured | None) -> Measured:
    """The same with its ratio to what it is compared with."""
    return done if base is None else replace(done, ratio=done.median / base.median)


def timed(once: Callable[[], object], times: int) -> float:
    """Seconds for `times` repetitions, without the collector's pauses."""
    gc.collect()
    gc.disable()
    try:
        began = time.perf_counter()
        for _ in range(times):
            once()
        return time.perf_counter() - began
    finally:
        gc.enable()


def modules(wanted: str) -> Iterator[ModuleType]:
    """The modules beside this one whose name has `wanted` in it."""
    for file in sorted(FOLDER.glob("bench_*.py")):
        if wanted not in file.stem:
            continue
        spec = importlib.util.spec_from_file_location(file.stem, file)
        if spec is None or spec.loader is None:
            raise ImportError(file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module


def everything(wanted: str, runs: int) -> Iterator[Told]:
    """Measure what is wanted, one after the other."""
    for module in modules(wanted):
        with tempfile.TemporaryDirectory(prefix="credmgr-bench-") as folder:
            if hasattr(module, "compared"):
                yield from module.compared(Path(folder), runs)
                continue
            prepared: AbstractContextManager[Sequence[Benchmark]] = module.benchmarks(Path(folder))
            with prepared as found:
                known: dict[str, Measured] = {}
                for benchmark in found:
                    done = against(measure(benchmark, runs), known.get(benchmark.against))
                    known[done.name] = done
                    yield Told(line(done), done)


def line(done: Measured) -> str:
    """One line of the table; hits take less than a microsecond and need more digits."""
    digits = 1 if done.median >= 10 else 3
    ratio = "" if done.ratio is None else f"  {done.ratio:.2f} x"
    return (
        f"{done.name:<58} {done.median:>12,.{digits}f} {done.spread:>7.0%}"
        f" {done.runs:>3} x {done.times}{ratio}"
    )


def show(told: Told) -> Told:
    """Write a line of the table as soon as it is known."""
    sys.stdout.write(f"{told.line}\n")
    sys.stdout.flush()
    return told


def main() -> None:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("wanted", nargs="?", default="", help="part of a module's name")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--json", type=Path, default=Path(".bench/results.json"))
    given = parser.parse_args()
    sys.stdout.write(f"{'benchmark':<58} {'µs (median)':>12} {'spread':>7} runs\n")
    results = [asdict(show(told).result) for told in everything(given.wanted, max(given.runs, 5))]
    given.json.parent.mkdir(parents=True, exist_ok=True)
    machine = {"python": platform.python_version(), "machine": platform.machine()}
    given.json.write_text(json.dumps({**machine, "results": results}, indent=2) + "\n")
    sys.stdout.write(f"written to {given.json}\n")
    if not results:
        sys.exit("there is no such benchmark")


if __name__ == "__main__":
    main()
