"""`credmgr doctor`: is everything as it should be, and if not, what to do."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import typer

from credmgr.cli.exits import Exit
from credmgr.cli.output import Json, json_out, lines, plain, say
from credmgr.cli.session import current, log_quietly

if TYPE_CHECKING:
    from credmgr.cli.verdicts import Check

_SIGNS: Final = {"ok": "[green]✓[/]", "warn": "[yellow]![/]", "fail": "[bold red]✗[/]"}


def doctor(*, as_json: Json = False) -> None:
    """Look at every part, and say what to mend.

    Manifest, files, keys, database, audit log, daemon, sinks, issuers, notifiers; of every store
    whether it works, what it permits (what is missing, what is more than needed), its clock, its
    limits, and that sealed values open. Exits 1 when a check fails.

    [dim]Example:[/] credmgr doctor --json
    """
    from credmgr.cli.checkup import Checkup
    from credmgr.model.clock import SystemClock

    log_quietly()
    checks = Checkup(current.settings.manifest, SystemClock()).run()
    bad = sum(one.verdict == "fail" for one in checks)
    if as_json:
        json_out({"good": not bad, "checks": [asdict(one) for one in checks]})
    else:
        _show(checks)
    if bad:
        raise typer.Exit(Exit.FAILED)


def _show(checks: "Sequence[Check]") -> None:
    rows: list[tuple[str, ...]] = []
    for one in checks:
        fix = f"\n[dim]→ {plain(one.fix)}[/]" if one.fix else ""
        said = f"{plain(one.detail)}{fix}"
        rows.append((_SIGNS[one.verdict], f"[bold]{plain(one.subject)}[/]", said))
    lines(rows)
    bad = sum(one.verdict == "fail" for one in checks)
    warned = sum(one.verdict == "warn" for one in checks)
    say(f"\n{len(checks)} checks, {bad} failed, {warned} to look at")
