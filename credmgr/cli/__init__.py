"""The command line: one file per command, each parsing, calling one use case, rendering.

Commands import what they need when they run, so that `--help` is instant. Errors become messages
and exit codes in one place, `credmgr.cli.exits`.
"""

import sys
from collections.abc import Sequence

from credmgr.cli.exits import reporting
from credmgr.cli.session import refuse_secrets
from credmgr.cli.streams import fit_streams
from credmgr.hardening import harden


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    fit_streams()
    with reporting():
        harden()
        refuse_secrets(given)
        from credmgr.cli.commands import app

        app(args=given, prog_name="credmgr")
