"""From what the rules say to what changes: findings open, escalate, lapse and resolve."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, NamedTuple

from credmgr.model.audit import Event
from credmgr.model.credential import Environment
from credmgr.model.finding import Alert, Finding, NextLook, Settlement, Standing
from credmgr.model.subject import Subject
from credmgr.policy.digest import ENDED
from credmgr.policy.judging import Judgement
from credmgr.policy.rule import Active, Found

LEFT: Final = "{name} is in the manifest no more, but its secret lives until: credmgr revoke {name}"
"""What is said instead of `ENDED` of a credential that was only taken out of the manifest."""


class Judged(NamedTuple):
    """A credential and what the rules say of it.

    Attributes:
        subject: What is known of it.
        judgement: What the rules say.
    """

    subject: Subject
    judgement: Judgement


@dataclass(slots=True)
class _Draft:
    """A settlement that grows."""

    actor: str
    now: datetime
    opened: list[Finding] = field(default_factory=list)
    changed: list[Finding] = field(default_factory=list)
    resolved: list[Finding] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    looks: list[NextLook] = field(default_factory=list)

    def note(self, what: str, finding: Finding) -> None:
        facts = {"severity": finding.severity.value, "text": finding.text}
        self.events.append(Event(self.actor, f"finding.{what}", finding.key, facts))

    def tell(self, finding: Finding, ended: str = "") -> None:
        if finding.exempt_until is None or finding.exempt_until <= self.now:
            self.alerts.append(alert_of(finding, self.now, ended))


def settle(
    judged: Sequence[Judged], known: Sequence[Finding], actor: str, now: datetime
) -> Settlement:
    """What a look at some credentials changes.

    Args:
        judged: The credentials.
        known: Their findings that are open, and resolved ones whose exemption still holds.
        actor: Who looks.
        now: When.
    """
    draft = _Draft(actor, now)
    standing = {one.key: one for one in known if one.resolved_at is None}
    exempt = {one.key: one for one in known if one.resolved_at is not None}
    for subject, judgement in judged:
        moments = [judgement.until]
        for rule, found in judgement.found:
            finding = _finding(subject, rule, found, now)
            before = standing.pop(finding.key, None)
            if before is None:
                finding = _exempted(finding, exempt.get(finding.key))
                moments.append(finding.exempt_until)
                _open(draft, finding, told=rule.rule.told)
            else:
                moments += _keep(draft, before, finding)
        _look_again(draft, subject, moments)
    left = {one.name for one, _ in judged if not one.active and one.issued_at is not None}
    for gone in standing.values():
        if gone.rule:
            _resolve(draft, gone, LEFT if gone.credential in left else ENDED)
    return _settlement(draft)


def _settlement(draft: _Draft) -> Settlement:
    return Settlement(
        tuple(draft.opened),
        tuple(draft.changed),
        tuple(draft.resolved),
        tuple(draft.events),
        tuple(draft.alerts),
        tuple(draft.looks),
    )


def _finding(subject: Subject, rule: Active, found: Found, now: datetime) -> Finding:
    return Finding(
        key=f"{rule.id}/{subject.name}",
        severity=found.severity or rule.severity,
        text=f"{subject.name}: {found.text}",
        opened_at=now,
        rule=rule.id,
        credential=subject.name,
        owner=subject.owner,
        environment=subject.environment.value,
        remedy=rule.rule.remedy.format(name=subject.name),
        source=rule.source,
    )


def _exempted(finding: Finding, earlier: Finding | None) -> Finding:
    """An exemption of the same finding that was resolved in between still holds."""
    if earlier is None:
        return finding
    return replace(
        finding,
        exempt_until=earlier.exempt_until,
        exempted_by=earlier.exempted_by,
        exempted_why=earlier.exempted_why,
    )


def _open(draft: _Draft, finding: Finding, *, told: bool) -> None:
    draft.opened.append(finding)
    draft.note("opened", finding)
    if not told:
        draft.tell(finding)


def _keep(draft: _Draft, before: Finding, seen: Finding) -> Sequence[datetime | None]:
    """A finding that is still there: as it is now, and when its exemption or rest ends."""
    worse = seen.severity.rank > before.severity.rank
    after = _kept(before, seen, draft.now, worse=worse)
    ended = (after.exempt_until, after.snoozed_until) != (before.exempt_until, before.snoozed_until)
    if after != before:
        draft.changed.append(after)
        draft.note("escalated" if worse else "lapsed" if ended else "changed", after)
        if worse or ended or (after.text != before.text and after.severity == before.severity):
            draft.tell(after)
    return after.exempt_until, after.snoozed_until


def _kept(before: Finding, seen: Finding, now: datetime, *, worse: bool) -> Finding:
    """What is seen now, with what people decided as long as that holds."""
    exempt = before.exempt_until is not None and before.exempt_until > now
    snoozed = before.snoozed_until is not None and before.snoozed_until > now and not worse
    return replace(
        seen,
        opened_at=before.opened_at,
        acknowledged_by="" if worse else before.acknowledged_by,
        snoozed_until=before.snoozed_until if snoozed else None,
        exempt_until=before.exempt_until if exempt else None,
        exempted_by=before.exempted_by if exempt else "",
        exempted_why=before.exempted_why if exempt else "",
    )


def _resolve(draft: _Draft, gone: Finding, how: str) -> None:
    draft.resolved.append(gone)
    draft.note("resolved", gone)
    draft.tell(gone, how)


def _look_again(draft: _Draft, subject: Subject, moments: Sequence[datetime | None]) -> None:
    after = min((moment for moment in moments if moment is not None), default=None)
    if after != subject.looks_at:
        draft.looks.append(NextLook(subject.name, subject.looks_at, after))


def alert_of(finding: Finding, now: datetime, ended: str = "") -> Alert:
    """What its owner is told of a finding, or how it ended; `{name}` stands for its credential."""
    if ended:
        title, lines = f"Resolved: {finding.text}", [ended.format(name=finding.credential)]
    else:
        title, lines = finding.text, [f"What to do: {finding.remedy}", f"Why: {finding.source}"]
        lines.append(f"Seen: credmgr ack {finding.key}")
    facts = {
        "rule": finding.rule,
        "severity": finding.severity.value,
        "credential": finding.credential,
        "owner": finding.owner,
        "environment": finding.environment,
        "opened_at": finding.opened_at.isoformat(),
    }
    return Alert(
        key=finding.key,
        severity=finding.severity,
        owner=finding.owner,
        title=title,
        body="\n".join(lines),
        at=now,
        facts=facts,
        environment=Environment(finding.environment) if finding.environment else None,
        resolved=bool(ended),
    )


def counts(finding: Finding, now: datetime) -> bool:
    """Whether a finding counts against whoever audits: it is open, and not exempt."""
    return finding.standing(now) not in (Standing.RESOLVED, Standing.EXEMPT)
