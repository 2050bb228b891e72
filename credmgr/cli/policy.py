"""`credmgr policy`: the rules, and what they say of one credential."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from credmgr.cli.exits import Exit
from credmgr.cli.names import Named, complete
from credmgr.cli.output import Json, ago, heading, json_out, length, lines, plain, say
from credmgr.cli.session import log_quietly, manifest, session
from credmgr.cli.table import table
from credmgr.errors import UnknownCredential

if TYPE_CHECKING:
    from credmgr.bootstrap import App
    from credmgr.model.subject import Subject
    from credmgr.packs.fixtures import Case
    from credmgr.policy.fitting import Fit
    from credmgr.policy.judging import Verdict
    from credmgr.policy.rule import Active, Pack

LONGEST: Final = "3650d"
RULES: Final = ("RULE", "SEVERITY", "HOLDS", "SOURCE")
VERDICTS: Final = ("", "RULE", "VERDICT", "LOOKED AT")
FITS: Final = ("CREDENTIAL", "CONSUMER", "NOT ASKED FOR", "IN ITS PLACE")

app = typer.Typer(help="The rules: which there are, and what they say of one credential.")


@app.command("list")
def list_rules(
    *,
    every: Annotated[
        bool, typer.Option("--all", help="Also the packs that are not in use.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the rules in force, with where each comes from.

    [dim]Example:[/] credmgr policy list
    """
    from credmgr.bootstrap import rulebook
    from credmgr.packs.loading import shipped_packs

    log_quietly()
    packs = shipped_packs() if every else rulebook(manifest()).packs
    if as_json:
        json_out({"packs": [_pack_facts(pack) for pack in packs]})
        return
    for pack in packs:
        heading(f"{plain(pack.name)} [dim]{plain(pack.title)}[/]")
        for name, meaning in pack.inputs.items():
            say(f"  [dim]input[/] {plain(name)}: {plain(meaning)}")
        table(RULES, [_rule_row(rule) for rule in pack.rules], expendable=("SOURCE",))


@app.command("explain")
def explain(name: Named, *, as_json: Json = False) -> None:
    """Show every rule in force, what it looked at, and its verdict on one credential.

    [dim]Example:[/] credmgr policy explain caseforge/client-secret
    """
    log_quietly()
    with session() as state:
        subject = _subject(state, name)
        now = state.clock.now()
        told = list(state.rulebook().judge().explain(subject, now))
        fitting = _fits(state, name, timedelta(days=90))
    if as_json:
        facts = [_verdict_facts(subject, one) for one in told]
        json_out(
            {"credential": name, "rules": facts, "scopes": [asdict(one) for _, one in fitting]}
        )
        return
    table(VERDICTS, [_verdict(subject, now, one) for one in told])
    _show_fit(fitting[0][1], now)


@app.command("fit")
def fit(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="One credential only.", autocompletion=complete),
    ] = None,
    *,
    within: Annotated[
        str, typer.Option(help="What was not asked for so long is not needed.", metavar="DURATION")
    ] = "90d",
    as_json: Json = False,
) -> None:
    """Show the scopes that nobody asks for, and the smaller list to put into the manifest.

    Only of credentials whose tokens consumers get from credmgr, and only where it has watched for
    long enough: nothing is proposed on a guess.

    [dim]Example:[/] credmgr policy fit --within 30d
    """
    from credmgr.cli.lengths import length_of

    log_quietly()
    span = length_of("--within", within, LONGEST)
    with session() as state:
        names = [name] if name else sorted(state.manifest.credentials)
        found = [(each, who, one) for each in names for who, one in _fits(state, each, span)]
    narrower = [(each, who, one) for each, who, one in found if one.narrower]
    if as_json:
        facts = [{"credential": c, "consumer": w, "line": f.line, **asdict(f)} for c, w, f in found]
        json_out({"fits": facts})
    elif narrower:
        table(FITS, [_fit_row(*one) for one in narrower])
    else:
        say("no scope is known to be too many")


@app.command("test")
def try_pack(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Cases for a pack, as YAML.")],
    *,
    as_json: Json = False,
) -> None:
    """Try a rule pack with made-up credentials: what it finds, and what it should.

    Exits 1 when a case goes otherwise.

    [dim]Example:[/] credmgr policy test mine-test.yaml
    """
    from credmgr.packs.fixtures import run_fixtures

    log_quietly()
    cases = run_fixtures(file)
    failed = [one for one in cases if one.differences]
    if as_json:
        facts = [{"case": one.name, "differences": list(one.differences)} for one in cases]
        json_out({"cases": facts, "failed": len(failed)})
    else:
        _show_cases(cases, len(failed))
    if failed:
        raise typer.Exit(Exit.FAILED)


def _subject(state: "App", name: str) -> "Subject":
    from credmgr.model.names import Name

    found = state.store.ledger.subjects([Name(name)])
    if not found:
        raise UnknownCredential(f"no credential is called {name}")
    return found[0]


def _fits(state: "App", name: str, within: timedelta) -> Sequence[tuple[str, "Fit"]]:
    """What fits a credential, then each consumer that asks for its tokens."""
    from credmgr.model.names import Name
    from credmgr.policy.fitting import by_consumer
    from credmgr.policy.fitting import fit as fitted

    known, now = Name(name), state.clock.now()
    uses = state.store.ledger.usage(known)
    scopes = state.store.ledger.enrolled(known).credential.scopes
    found = [("", fitted(scopes, uses, now, within))]
    asking = by_consumer(uses)
    for consumer in state.manifest.consumers.values():
        for grant in consumer.grants:
            if grant.credential == known and grant.scopes and consumer.name in asking:
                one = fitted(grant.scopes, asking[consumer.name], now, within)
                found.append((consumer.name, one))
    return found


def _rule_row(rule: "Active") -> Sequence[str]:
    from credmgr.cli.reports import as_table

    return (
        f"[bold]{plain(rule.id)}[/]",
        as_table.severity(rule.severity),
        plain(rule.rule.title),
        f"[dim]{plain(rule.source)}[/]",
    )


def _pack_facts(pack: "Pack") -> dict[str, Any]:
    rules = [
        {
            "id": one.id,
            "rule": one.rule.code,
            "title": one.rule.title,
            "severity": one.severity,
            "source": one.source,
            "parameters": {name: str(value) for name, value in asdict(one.parameters).items()},
        }
        for one in pack.rules
    ]
    return {"pack": pack.name, "title": pack.title, "inputs": dict(pack.inputs), "rules": rules}


def _verdict(subject: "Subject", now: datetime, verdict: "Verdict") -> Sequence[str]:
    sign, told = _sign(verdict, now)
    reads = verdict.rule.rule.reads
    seen = ", ".join(f"{name}={_shown(getattr(subject, name, now), now)}" for name in reads)
    return sign, f"[bold]{plain(verdict.rule.id)}[/]", told, f"[dim]{plain(seen)}[/]"


def _sign(verdict: "Verdict", now: datetime) -> tuple[str, str]:
    from credmgr.cli.reports import as_table
    from credmgr.policy.rule import Found

    answer = verdict.answer
    if not verdict.applies:
        return "[dim]-[/]", "[dim]not for this one[/]"
    if isinstance(answer, Found):
        severity = answer.severity or verdict.rule.severity
        return f"[{as_table.COLOURS[severity]}]{as_table.SIGNS[severity]}[/]", plain(answer.text)
    until = f" [dim]may turn {ago(answer, now)}[/]" if answer else ""
    return "[green]✓[/]", f"holds{until}"


def _shown(value: object, now: datetime) -> str:
    match value:
        case datetime():
            return ago(value, now)
        case timedelta():
            return length(value)
        case frozenset() | tuple() | Mapping():
            return "|".join(sorted(value)) or "none"
        case None:
            return "none"
        case _:
            return str(value)


def _verdict_facts(subject: "Subject", verdict: "Verdict") -> dict[str, Any]:
    from credmgr.policy.rule import Found

    rule, answer = verdict.rule, verdict.answer
    found = answer if isinstance(answer, Found) else None
    return {
        "rule": rule.id,
        "applies": verdict.applies,
        "broken": found is not None,
        "text": found.text if found else "",
        "severity": (found.severity or rule.severity) if found else None,
        "until": answer.until if isinstance(answer, Found) else answer,
        "looked_at": {name: getattr(subject, name, None) for name in rule.rule.reads},
    }


def _show_fit(one: "Fit", now: datetime) -> None:
    if not one.granted:
        return
    heading("Scopes")
    rows = [("needed", ", ".join(one.needed)), ("not asked for", ", ".join(one.idle))]
    lines([(f"[dim]{word}[/]", plain(text)) for word, text in rows if text])
    if one.narrower:
        say(f"  in its place: [bold]{plain(one.line)}[/]")
    elif one.since is None:
        say("  [dim]no token of it was asked of credmgr yet, so nothing is known[/]")
    elif not one.certain:
        say(f"  [dim]watched since {ago(one.since, now)}, too short to say what is not needed[/]")


def _fit_row(credential: str, consumer: str, one: "Fit") -> Sequence[str]:
    return (
        f"[bold]{plain(credential)}[/]",
        plain(consumer or "-"),
        plain(", ".join(one.idle)),
        plain(one.line),
    )


def _show_cases(cases: "Sequence[Case]", failed: int) -> None:
    for one in cases:
        say(f"{'[red]✗[/]' if one.differences else '[green]✓[/]'} {plain(one.name)}")
        for difference in one.differences:
            say(f"    {plain(difference)} [dim]{plain(one.at)}[/]")
    count = len(cases)
    word = f"[red]{failed} of {count} failed[/]" if failed else f"[green]{count} good[/]"
    say(word)
