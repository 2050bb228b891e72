"""Rules about where a credential belongs, whose it is, and whether its copies are its own."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from credmgr.model.credential import Environment, Kind
from credmgr.model.finding import Severity
from credmgr.model.subject import Subject
from credmgr.model.version import KeyType
from credmgr.policy.rule import Answer, Found, Nothing, Rule, day, listed, span

PRODUCTION: Final = Environment.PRODUCTION


def api_key_in_production(subject: Subject, _: Nothing, __: datetime) -> Answer:
    """A long-running production service uses OAuth."""
    if subject.kind is not Kind.API_KEY or subject.environment is not PRODUCTION:
        return None
    return Found("it is an API key in production")


def live_key_outside_production(subject: Subject, _: Nothing, __: datetime) -> Answer:
    """Real data is reached from production only."""
    if subject.key_type is not KeyType.LIVE or subject.environment is PRODUCTION:
        return None
    return Found(f"it is a live key in {subject.environment}")


def sandbox_key_in_production(subject: Subject, _: Nothing, __: datetime) -> Answer:
    """Production does not run on a sandbox."""
    if subject.key_type is not KeyType.SANDBOX or subject.environment is not PRODUCTION:
        return None
    return Found("it is a sandbox key in production")


@dataclass(frozen=True, slots=True)
class Nobody:
    """Parameters of `no-owner`.

    Attributes:
        placeholders: Owners that are nobody, in lower case.
    """

    placeholders: frozenset[str] = frozenset(
        {"", "-", "?", "n/a", "nobody", "none", "tba", "tbd", "todo", "unknown", "x", "xxx"}
    )


def no_owner(subject: Subject, nobody: Nobody, _: datetime) -> Answer:
    """Somebody answers for every credential."""
    if subject.owner.strip().lower() not in nobody.placeholders:
        return None
    return Found("nobody answers for it")


@dataclass(frozen=True, slots=True)
class Idle:
    """Parameters of `unused`.

    Attributes:
        after: How long nobody may be seen using it.
    """

    after: timedelta = timedelta(days=90)


def unused(subject: Subject, idle: Idle, now: datetime) -> Answer:
    """What nobody uses is taken away."""
    if subject.issued_at is None:
        return None
    since = max(subject.last_used or subject.applied_at, subject.applied_at)
    if now < (end := since + idle.after):
        return end
    last = f"; last on {day(subject.last_used)}" if subject.last_used else ""
    return Found(f"nobody was seen using it for {span(idle.after)}{last}")


def copy_drifted(subject: Subject, _: Nothing, __: datetime) -> Answer:
    """A copy is what credmgr wrote."""
    if not subject.drifted:
        return None
    return Found(f"copies were changed behind credmgr's back: {listed(subject.drifted)}")


def shared_secret(subject: Subject, _: Nothing, __: datetime) -> Answer:
    """Two credentials have two secrets."""
    if not subject.twins:
        return None
    return Found(f"its secret is also that of {listed(subject.twins)}")


def unmanaged_secret(subject: Subject, _: Nothing, __: datetime) -> Answer:
    """Every live secret at the issuer is known."""
    if not subject.strays:
        return None
    return Found(f"the issuer has secrets that credmgr does not manage: {listed(subject.strays)}")


RULES: Final = (
    Rule(
        code="api-key-in-production",
        title="A production service uses OAuth, not an API key.",
        severity=Severity.WARNING,
        remedy="register an OAuth application, declare it as `kind: oauth-client` under a name of"
        " its own, move the consumers there; then take {name} out of the manifest, apply, and"
        " credmgr revoke {name}",
        source="CaseForge: API keys are never for a long-running production service",
        look=api_key_in_production,
        reads=("kind", "environment"),
    ),
    Rule(
        code="live-key-outside-production",
        title="Real data is reached from production only.",
        severity=Severity.CRITICAL,
        remedy="credmgr revoke {name} --leaked, and give it a sandbox key",
        source="OWASP NHI8:2025 Environment Isolation; PCI DSS 6.5.5",
        look=live_key_outside_production,
        reads=("key_type", "environment"),
    ),
    Rule(
        code="sandbox-key-in-production",
        title="Production does not run on a sandbox.",
        severity=Severity.WARNING,
        remedy="give {name} `options: {{key_type: live}}` and rotate it, or mend its environment",
        source="OWASP NHI8:2025 Environment Isolation; PCI DSS 6.5.6",
        look=sandbox_key_in_production,
        reads=("key_type", "environment"),
    ),
    Rule(
        code="no-owner",
        title="Somebody answers for every credential.",
        severity=Severity.WARNING,
        remedy="name a team that answers for it as `owner` of {name}",
        source="CIS Controls v8 5.5 Inventory of Service Accounts: an owner each",
        look=no_owner,
        reads=("owner",),
        parameters=Nobody,
    ),
    Rule(
        code="unused",
        title="A credential that nobody uses is taken away.",
        severity=Severity.INFO,
        remedy="ask its owner; take {name} out of the manifest, apply, and credmgr revoke {name}."
        " A service that reads the store by itself is not seen here",
        source="CIS AWS Foundations Benchmark 1.12; OWASP NHI1:2025 Improper Offboarding",
        look=unused,
        reads=("last_used", "applied_at", "issued_at"),
        parameters=Idle,
    ),
    Rule(
        code="copy-drifted",
        title="A copy is what credmgr wrote.",
        severity=Severity.WARNING,
        remedy="credmgr show {name} compares the copies",
        source="NIST SP 800-53 SI-7 Information Integrity",
        look=copy_drifted,
        reads=("drifted",),
        told=True,
    ),
    Rule(
        code="shared-secret",
        title="Two credentials have two secrets.",
        severity=Severity.CRITICAL,
        remedy="credmgr rotate {name}: whoever has one of them has them all",
        source="OWASP NHI9:2025 NHI Reuse; PCI DSS 8.2.2",
        look=shared_secret,
        reads=("twins",),
    ),
    Rule(
        code="unmanaged-secret",
        title="Every live secret at the issuer is known to credmgr.",
        severity=Severity.WARNING,
        remedy="find out who made it; revoke it at the issuer, or credmgr import {name}",
        source="CIS Controls v8 5.5; OWASP NHI1:2025 Improper Offboarding",
        look=unmanaged_secret,
        reads=("strays",),
    ),
)
