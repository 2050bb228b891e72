"""`credmgr` with a failpoint: `python crash_main.py NUMBER REPORT ARGUMENTS…`.

At the NUMBER-th point that the process reaches, it writes the point's name to the file REPORT and
kills itself as `kill -9` does. A number below 0 only counts.
"""

import os
import sys
from pathlib import Path

from credmgr.cli import main, session
from credmgr.outside import Watch
from credmgr.testing.failpoints import Failpoints, Point, kill_process


def crash_main() -> None:
    number, report = int(sys.argv[1]), Path(sys.argv[2])

    def react(point: Point) -> None:
        descriptor = os.open(report, os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(descriptor, str(point).encode())
        os.fsync(descriptor)
        kill_process(point)

    points = Failpoints(number if number >= 0 else None, react)
    session.current.watch = Watch(
        ledger=points.ledger, backend=points.backend, issuer=lambda _, issuer: points.issuer(issuer)
    )
    main(sys.argv[3:])


if __name__ == "__main__":
    crash_main()
