"""`credmgr scan PATH…`: secrets where they should not be."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from credmgr.cli.exits import Exit
from credmgr.cli.output import json_out, paragraph, plain, say
from credmgr.cli.session import current, log_quietly, session
from credmgr.cli.table import table
from credmgr.errors import CredmgrError

if TYPE_CHECKING:
    from credmgr.bootstrap import App
    from credmgr.scan.allowing import Baseline
    from credmgr.scan.installation import Installation
    from credmgr.scan.others import Other
    from credmgr.scan.pieces import Notices
    from credmgr.scan.report import Line
    from credmgr.scan.scanning import Asked, Found, Scan, Seen

COLUMNS: Final = ("LEVEL", "PLACE", "COMMIT", "SHOWN", "FINGERPRINT", "WHAT")
EXPENDABLE: Final = ("FINGERPRINT", "SHOWN", "COMMIT")
_COLOURS: Final = {"error": "bold red", "warning": "yellow", "note": "dim"}
_SHORT: Final = 10


class Format(StrEnum):
    """How a scan is told."""

    TABLE = "table"
    JSON = "json"
    SARIF = "sarif"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the options say.

    Attributes:
        asked: What to scan.
        managed: Whether to look for the secrets of the manifest's installation.
        others: Whether to look for the secrets of others.
        findings: Whether a live secret opens a finding.
        baseline: What was known before; None without one.
        write: Where a new baseline is written; None for nowhere.
        form: How it is told.
    """

    asked: "Asked"
    managed: bool
    others: bool
    findings: bool
    baseline: Path | None
    write: Path | None
    form: Format


def scan(  # noqa: PLR0913 (one for each option)
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Files, folders, repositories, archives, images.")
    ] = None,
    *,
    staged: Annotated[
        bool, typer.Option("--staged", help="Only what the next commit would bring.")
    ] = False,
    history: Annotated[
        bool, typer.Option("--history/--no-history", help="Every commit of a repository too.")
    ] = True,
    managed: Annotated[
        bool, typer.Option("--managed/--no-managed", help="Look for the manifest's own secrets.")
    ] = True,
    others: Annotated[
        bool, typer.Option("--others/--no-others", help="Look for AWS keys and the like too.")
    ] = True,
    findings: Annotated[
        bool, typer.Option("--findings/--no-findings", help="Open a finding for a live secret.")
    ] = True,
    baseline: Annotated[Path | None, typer.Option(help="Tell only what is not in it.")] = None,
    write_baseline: Annotated[
        Path | None, typer.Option(help="Write what is found now to it, and exit 0.")
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="How to tell it.")] = Format.TABLE,
) -> None:
    """Look for secrets in files, git history, archives and container images.

    Those of CaseForge by their form, and with a manifest every secret that credmgr manages,
    exactly, however it is encoded. Exits 1 when something was found; a value is never shown.

    [dim]Example:[/] credmgr scan . image.tar --format sarif > scan.sarif
    """
    from credmgr.scan.scanning import Asked

    log_quietly()
    asked = Asked(tuple(paths or [Path()]), history=history, staged=staged)
    wish = Wish(
        asked,
        managed=managed,
        others=others and not staged,
        findings=findings,
        baseline=baseline,
        write=write_baseline,
        form=form,
    )
    with _installation(wish) as app:
        _scan(wish, app)


@contextmanager
def _installation(wish: Wish) -> "Iterator[App | None]":
    """The installation of the manifest, if there is one and it is wanted."""
    settings = current.settings
    if not wish.managed or not settings.manifest.exists():
        yield None
        return
    with session() as app:
        yield app


def _scan(wish: Wish, app: "App | None") -> None:
    from credmgr.scan.allowing import Baseline
    from credmgr.scan.installation import Installation, Matching
    from credmgr.scan.report import lines
    from credmgr.scan.scanning import Scan

    known = Baseline.read(wish.baseline) if wish.baseline else Baseline.new()
    scanning = Scan(wish.asked)
    installation: Installation | None = None
    matching = Matching(known.salt)
    if app is not None:
        installation = Installation(
            app.store.ledger,
            app.outside,
            app.engine.tools.fingerprinter,
            app.clock,
            app.actor,
            scanning.notices,
        )
        matching = installation.matching(known.salt)
    with _progress() as tell:
        found = scanning.run(matching, workers=os.cpu_count() or 1, tell=tell)
    if installation is not None:
        found = _settled(installation, found, findings=wish.findings)
    others = _others(wish, scanning.notices)
    told = lines(found, others, known)
    if wish.write is not None:
        _written(wish.write, known, told)
        return
    _tell(wish.form, told, scanning, with_managed=app is not None)
    if any(one.counts for one in told):
        raise typer.Exit(Exit.FAILED)


def _settled(
    installation: "Installation", found: "Sequence[Found]", *, findings: bool
) -> "Sequence[Found]":
    confirmed = installation.confirm(found)
    if findings:
        installation.raise_findings(confirmed)
    return confirmed


def _others(wish: Wish, notices: "Notices") -> "Sequence[Other]":
    from credmgr.scan import others

    if not wish.others:
        return ()
    scanner = others.program()
    if scanner is None:
        notices.add("secrets of others", "not looked for: `pip install 'credmgr[scan]'`")
        return ()
    try:
        return others.scan(scanner, wish.asked.paths, history=wish.asked.history)
    except CredmgrError as error:  # what we found ourselves is told all the same
        notices.add("secrets of others", error.message)
        return ()


def _written(file: Path, known: "Baseline", told: "Sequence[Line]") -> None:
    live = [one for one in told if one.rule == "managed-secret"]
    count = known.write(file, (one.entry for one in told if one not in live))
    paragraph(f"{count} known from now on, in {plain(file)}.")
    if live:
        paragraph(f"[bold]{len(live)}[/] live: what works is never let stand, revoke it.")
        raise typer.Exit(Exit.FAILED)


def _tell(form: Format, told: "Sequence[Line]", scanning: "Scan", *, with_managed: bool) -> None:
    from credmgr import __version__
    from credmgr.scan.report import as_sarif

    notices = scanning.notices.all()
    match form:
        case Format.JSON:
            json_out(
                {
                    "found": [one.facts() for one in told],
                    "not_looked_at": notices,
                    "managed": with_managed,
                    "texts": scanning.seen.texts,
                    "bytes": scanning.seen.size,
                }
            )
        case Format.SARIF:
            json_out(as_sarif(told, notices, __version__))
        case Format.TABLE:
            _show(told, notices, scanning.seen, with_managed=with_managed)


def _show(
    told: "Sequence[Line]", notices: Sequence[str], seen: "Seen", *, with_managed: bool
) -> None:
    open_ones = [one for one in told if not one.accepted]
    if open_ones:
        table(COLUMNS, [_row(one) for one in open_ones], expendable=EXPENDABLE)
        say()
    counts = sum(one.counts for one in told)
    accepted = len(told) - len(open_ones)
    found = f"[bold red]{counts}[/] to act on" if counts else "[green]nothing to act on[/]"
    let = f", {accepted} let stand" if accepted else ""
    paragraph(f"{found}{let}; {seen.texts} texts, {seen.size / 1e6:.1f} MB looked at.")
    for name in dict.fromkeys(one.credential for one in told if one.rule == "managed-secret"):
        paragraph(f"[bold]{plain(name)}[/] has leaked: [bold]credmgr revoke {name} --leaked[/]")
    if not with_managed:
        paragraph("[dim]Without a manifest, secrets are known by their form only.[/]")
    for notice in notices:
        paragraph(f"[dim]not looked at:[/] {plain(notice)}")


def _row(line: "Line") -> tuple[str, ...]:
    colour = _COLOURS[line.level.value]
    place = f"{line.path}:{line.line}" if line.line else line.path
    more = f" (+{line.more})" if line.more else ""
    note = f" [{line.note}]" if line.note else ""
    return (
        f"[{colour}]{line.level.value}[/]",
        plain(place + more),
        f"{line.commit[:_SHORT]} {line.at[:10]}".strip() or "-",
        plain(line.shown),
        line.fingerprint or "-",
        plain(line.what + note),
    )


@contextmanager
def _progress() -> "Iterator[Callable[[Seen], None]]":
    """On a terminal, how far it has come; elsewhere nothing."""
    if not sys.stderr.isatty():
        with nullcontext():
            yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status("scanning") as status:
        yield lambda seen: status.update(f"scanning: {seen.texts} texts, {seen.size / 1e6:.0f} MB")
