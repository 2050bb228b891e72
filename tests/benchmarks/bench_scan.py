"""A scan of real source code, Python's own library, against a plain loop and another scanner.

The plain loop reads every file and searches it with our patterns, with nothing decoded and nothing
unpacked. The other scanner is the one that a scan has find secrets of others: Kingfisher, compiled,
which knows some hundred kinds and none of ours.
"""

import os
import shutil
import subprocess
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from credmgr.scan import others
from credmgr.scan.scanning import Asked, Scan
from credmgr.scan.shapes import SHAPES
from tests.benchmarks.run import Benchmark
from tests.scan_world import live_key, matching

COPIES: Final = int(os.environ.get("CREDMGR_BENCH_SCAN", "1"))
"""How often the library is there: 32 MB each time; 32 is more than a gigabyte."""
WORKERS: Final = os.cpu_count() or 1
MANAGED: Final = 10_000
PLANTED: Final = ("ast.py", "json/decoder.py", "email/header.py")


@contextmanager
def benchmarks(folder: Path) -> Iterator[Sequence[Benchmark]]:
    """All of it by each, with three secrets planted that must be found."""
    tree = folder / "tree"
    size = planted(tree, keys := [live_key() for _ in PLANTED]) / 1e6
    managed = [*keys, *(live_key() for _ in range(MANAGED))]
    plain, title = f"a plain loop over {size:,.0f} MB", f"scan of {size:,.0f} MB"
    found = [
        Benchmark(plain, partial(loop, tree)),
        Benchmark(f"{title}, 1 process", scanned(tree, 1), plain),
        Benchmark(f"{title}, {WORKERS} processes", scanned(tree, WORKERS), plain),
        Benchmark(f"{title}, {MANAGED:,} managed", scanned(tree, WORKERS, *managed), plain),
    ]
    if (program := others.program()) is not None:
        quiet = ("--no-update-check", "--quiet", "scan", "--no-validate", "--git-history", "none")
        other = [str(program), *quiet, str(tree)]
        found.append(Benchmark("kingfisher, for its own kinds", partial(run, other), plain))
    yield found


def planted(tree: Path, keys: Sequence[str]) -> int:
    """Python's library so often, with keys in three files; its bytes."""
    library = Path(sysconfig.get_path("stdlib"))
    for number in range(COPIES):
        leave = shutil.ignore_patterns("site-packages", "__pycache__", "*.so", "*.a", "*.exe")
        shutil.copytree(library, tree / str(number), ignore=leave)
    for key, name in zip(keys, PLANTED, strict=True):
        with (tree / "0" / name).open("a") as file:
            file.write(f'\nAPI_KEY = "{key}"\n')
    return sum(file.stat().st_size for file in tree.rglob("*") if file.is_file())


def loop(tree: Path) -> int:
    """How many things look like a secret."""
    found = 0
    for file in tree.rglob("*"):
        if file.is_file():
            text = file.read_bytes()
            found += sum(len(shape.pattern.findall(text)) for shape in SHAPES)
    return found


def scanned(tree: Path, workers: int, *managed: str) -> Callable[[], None]:
    """A scan, which finds the planted keys at least."""
    make = matching(*managed)

    def once() -> None:
        found = Scan(Asked((tree,), history=False)).run(make, workers=workers)
        assert (
            sum(one.match.rule.endswith("live-key") or bool(one.match.owned) for one in found) >= 3
        )

    return once


def run(command: Sequence[str]) -> None:
    """To its end; it exits with another code when it has found something."""
    subprocess.run(command, capture_output=True, check=False)  # noqa: S603 (of the extra `scan`)
