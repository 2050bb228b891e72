"""What an audit came to, whole: the rules that were put, and the findings that stand."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from credmgr.model.audit import Checkpoint
from credmgr.model.finding import Finding, Severity, Standing
from credmgr.policy.rule import Active, Pack
from credmgr.policy.settling import counts


@dataclass(frozen=True, slots=True)
class Control:
    """A rule, and what it found.

    Attributes:
        rule: The rule.
        pack: The title of its pack.
        found: Findings that count.
        exempt: Findings that somebody decided to live with.
    """

    rule: Active
    pack: str
    found: int
    exempt: int


@dataclass(frozen=True, slots=True)
class Report:
    """An audit at a moment.

    Attributes:
        at: When.
        actor: Who audited.
        installation: Which installation of credmgr.
        looked: Credentials that were looked at.
        packs: The rules that were put to them.
        findings: Every open one, the worst and oldest first.
        head: The head of the audit chain at that moment.
    """

    at: datetime
    actor: str
    installation: str
    looked: int
    packs: tuple[Pack, ...]
    findings: tuple[Finding, ...]
    head: Checkpoint

    @property
    def counting(self) -> Sequence[Finding]:
        """Findings that nobody is exempt from."""
        return [one for one in self.findings if counts(one, self.at)]

    @property
    def exempt(self) -> Sequence[Finding]:
        """Findings that somebody decided to live with."""
        return [one for one in self.findings if one.standing(self.at) is Standing.EXEMPT]

    def by_severity(self) -> Mapping[Severity, int]:
        """How many count, the worst first."""
        found = [one.severity for one in self.counting]
        return {severity: found.count(severity) for severity in reversed(Severity)}

    def controls(self) -> Sequence[Control]:
        """Every rule with what it found, in the order of the packs."""
        counting = _by_rule(self.counting)
        exempt = _by_rule(self.exempt)
        return [
            Control(rule, pack.title, counting.get(rule.id, 0), exempt.get(rule.id, 0))
            for pack in self.packs
            for rule in pack.rules
        ]

    def worst(self) -> Severity | None:
        """The severity of the worst that counts."""
        return max((one.severity for one in self.counting), key=lambda one: one.rank, default=None)


def ranked(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The worst and oldest first."""
    return tuple(sorted(findings, key=lambda one: (-one.severity.rank, one.opened_at, one.key)))


def _by_rule(findings: Iterable[Finding]) -> Mapping[str, int]:
    found: dict[str, int] = {}
    for one in findings:
        found[one.rule] = found.get(one.rule, 0) + 1
    return found
