"""Load by `wrk` (Debian's package of that name) on loopback, and what it says."""

import json
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SECONDS: Final = 3
"""How long one run loads a server."""
_SCRIPT: Final = """\
wrk.method = {method}
wrk.body = {body}
{headers}
done = function(summary, latency)
  local bad = summary.errors.status + summary.errors.connect + summary.errors.read
    + summary.errors.write + summary.errors.timeout
  io.write(string.format('{{"rate": %f, "p50": %f, "p99": %f, "bad": %d}}\\n',
    summary.requests * 1e6 / summary.duration,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, bad))
end
"""


@dataclass(frozen=True)
class Target:
    """What is loaded.

    Attributes:
        name: In the table.
        url: Where.
        headers: What each request carries.
        pid: Of the server's process, for its memory.
        body: Of a POST; a GET when it is empty.
    """

    name: str
    url: str
    headers: Mapping[str, str]
    pid: int
    body: str = ""


@dataclass(frozen=True, slots=True)
class Loaded:
    """How a server did.

    Attributes:
        name: Which one.
        connections: How many were open at once.
        median: Requests per second, the median of all runs.
        lowest: In the slowest run.
        highest: In the fastest run.
        p50: Milliseconds, the median of all runs.
        p99: Milliseconds, the median of all runs.
        memory: Megabytes that the process held after the last run.
        runs: How many runs.
    """

    name: str
    connections: int
    median: float
    lowest: float
    highest: float
    p50: float
    p99: float
    memory: float
    runs: int


def command() -> str:
    """The program; ends the benchmark with what to install where it is missing."""
    found = shutil.which("wrk")
    if found is None:
        sys.exit("this benchmark needs wrk: apt-get install wrk")
    return found


def compare(
    targets: Sequence[Target], connections: int, runs: int, folder: Path
) -> Sequence[Loaded]:
    """Load each of them in turn, and all of them again, so often."""
    said: dict[str, list[dict[str, float]]] = {one.name: [] for one in targets}
    for _ in range(runs):
        for one in targets:
            said[one.name].append(load(one, connections, folder))
    return [summary(one, connections, said[one.name]) for one in targets]


def load(target: Target, connections: int, folder: Path) -> dict[str, float]:
    """One run.

    The headers, and so the bearer, go by a file: arguments are seen by everybody.
    """
    script = folder / "wrk.lua"
    script.touch(mode=0o600)
    headers = "\n".join(
        f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}"
        for name, value in target.headers.items()
    )
    method, body = ("POST", json.dumps(target.body)) if target.body else ("GET", "nil")
    script.write_text(_SCRIPT.format(method=json.dumps(method), body=body, headers=headers))
    done = subprocess.run(  # noqa: S603 (found by us, without a shell)
        [command(), "-t1", f"-c{connections}", f"-d{SECONDS}s", "-s", script, target.url],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    if found.pop("bad"):
        sys.exit(f"{target.name} did not answer every request:\n{done.stdout}")
    return found


def summary(target: Target, connections: int, said: Sequence[Mapping[str, float]]) -> Loaded:
    """The medians of all runs."""
    rates = [one["rate"] for one in said]
    return Loaded(
        target.name,
        connections,
        statistics.median(rates),
        min(rates),
        max(rates),
        statistics.median(one["p50"] for one in said),
        statistics.median(one["p99"] for one in said),
        memory(target.pid),
        len(said),
    )


def memory(pid: int) -> float:
    """What a process has in memory, in megabytes."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    if found is None:
        raise ProcessLookupError(pid)
    return int(found[1]) / 1024
