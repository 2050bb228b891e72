"""Secrets at the issuer that nobody manages; what fits a credential; and what an audit comes to."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from credmgr.errors import IssuerRefused
from credmgr.model.audit import Checkpoint
from credmgr.model.credential import Credential, CredentialStatus, Enrolled, Kind
from credmgr.model.finding import Finding, Severity
from credmgr.model.names import Name
from credmgr.model.subject import Topic
from credmgr.model.usage import Usage
from credmgr.model.version import Version, VersionStatus
from credmgr.plugins.issuer import Issuer, Listed, SecretStatus
from credmgr.policy.fitting import by_consumer, fit
from credmgr.policy.inspection import Inspection, inspect
from credmgr.policy.report import Report, ranked
from credmgr.policy.rule import Active, Pack
from credmgr.policy.rules.catalogue import CATALOGUE
from credmgr.testing.memory_issuer import MANUAL_TRAITS, MANY_TRAITS
from tests.issuer_world import a_credential
from tests.policy_world import DAY, NOW

ROTATION = uuid4()
READ, WRITE = "cases:read", "cases:write"


class Ledger:
    """Credentials of one kind, each with one known secret."""

    def __init__(self, *names: str, status: CredentialStatus = CredentialStatus.ACTIVE) -> None:
        self.names, self.status = sorted(Name(name) for name in names), status
        self.seen: dict[Name, Sequence[str]] = {}

    def names_after(self, name: str, limit: int) -> Sequence[Name]:
        return [one for one in self.names if one > name][:limit]

    def enrolled(self, name: Name) -> Enrolled:
        return Enrolled(replace(a_credential(Kind.API_KEY), name=name), self.status, NOW, None)

    def versions(self, name: Name) -> Sequence[Version]:
        return [Version(uuid4(), name, "known", "", VersionStatus.CURRENT, "", NOW)]

    def rotation_ids(self, _: Name) -> frozenset[UUID]:
        return frozenset({ROTATION})

    def observe(self, name: Name, topic: Topic, details: Sequence[str]) -> bool:
        assert topic is Topic.STRAYS
        self.seen[name] = details
        return True


class Authority:
    """An issuer that has some secrets, or refuses to tell."""

    def __init__(self, *listed: Listed, traits: Any = MANY_TRAITS) -> None:
        self.listed, self.traits = listed, traits
        self.asked: list[Name] = []

    def issuer(self, _: Credential) -> Issuer:
        return self  # type: ignore[return-value]

    def list(self, credential: Credential) -> Sequence[Listed]:
        self.asked.append(credential.name)
        if "bad" in credential.name:
            raise IssuerRefused("no")
        return self.listed


def listed(identity: str, label: str = "", status: SecretStatus = SecretStatus.ACTIVE) -> Listed:
    return Listed(identity, label, status, NOW)


class TestInspection:
    def test_a_secret_that_is_neither_known_nor_labelled_by_us_is_a_stray(self) -> None:
        ledger, name = Ledger("a/key"), Name("a/key")
        issuer = Authority(
            listed("known"),
            listed("b-stray", "by-hand"),
            listed("a-stray"),
            listed("ours", f"credmgr-{ROTATION.hex}-1"),
            listed("dead", status=SecretStatus.REVOKED),
        )
        assert inspect(ledger, issuer, name) == ["a-stray", "b-stray"]
        assert ledger.seen == {name: ["a-stray", "b-stray"]}

    def test_only_issuers_that_list_are_asked_and_only_for_what_is_declared(self) -> None:
        manual, retired = Authority(traits=MANUAL_TRAITS), CredentialStatus.RETIRED
        assert inspect(Ledger("a/key"), manual, Name("a/key")) == ()
        many = Authority()
        assert inspect(Ledger("a/key", status=retired), many, Name("a/key")) == ()
        assert (manual.asked, many.asked) == ([], [])

    def test_a_round_takes_some_at_a_time_and_begins_anew(self) -> None:
        ledger, issuer = Ledger("a", "b", "c"), Authority()
        inspection = Inspection(ledger)
        assert [inspection.some(issuer, 2) for _ in range(3)] == [2, 1, 2]
        assert issuer.asked == ["a", "b", "c", "a", "b"]

    def test_one_that_does_not_answer_holds_nobody_up(self) -> None:
        ledger, issuer = Ledger("a", "bad", "c"), Authority()
        assert list(Inspection(ledger).everything(issuer)) == ["a", "bad", "c"]
        assert sorted(ledger.seen) == ["a", "c"]


def use(consumer: str, scopes: set[str], first: timedelta, last: timedelta) -> Usage:
    name = Name("a/client")
    return Usage(Name(consumer), name, uuid4(), frozenset(scopes), NOW - first, NOW - last)


class TestFit:
    def test_what_was_asked_for_is_the_smaller_list(self) -> None:
        uses = [use("a", {READ}, 100 * DAY, DAY), use("b", {WRITE}, 100 * DAY, 95 * DAY)]
        fitted = fit({READ, WRITE}, uses, NOW, 90 * DAY)
        assert (fitted.needed, fitted.idle) == ((READ,), (WRITE,))
        assert fitted.narrower
        assert fitted.line == 'scopes: ["cases:read"]'

    def test_nothing_is_proposed_on_a_guess(self) -> None:
        early = fit({READ, WRITE}, [use("a", {READ}, 5 * DAY, DAY)], NOW, 90 * DAY)
        assert not early.narrower
        silent = fit({READ}, [use("a", set(), 100 * DAY, DAY)], NOW, 90 * DAY)
        assert (silent.since, silent.narrower) == (None, False)

    def test_uses_are_told_apart_by_consumer(self) -> None:
        uses = [use("a", {READ}, DAY, DAY), use("b", {READ}, DAY, DAY), use("a", {WRITE}, DAY, DAY)]
        assert {name: len(each) for name, each in by_consumer(uses).items()} == {"a": 2, "b": 1}


class TestReport:
    def report(self, *findings: Finding) -> Report:
        rule = CATALOGUE["max-age"]
        active = Active("p.max-age", rule, rule.parameters(), rule.severity, rule.source)
        packs = (Pack("p", "A pack", (active,)),)
        head = Checkpoint(1, "00", NOW)
        return Report(NOW, "anna", "id", 3, packs, ranked(findings), head)

    def test_an_exempt_finding_stands_there_and_does_not_count(self) -> None:
        bad = Finding("b", Severity.CRITICAL, "b", NOW, rule="p.max-age", exempt_until=NOW + DAY)
        mild = Finding("a", Severity.INFO, "a", NOW, rule="p.max-age")
        report = self.report(mild, bad)
        assert report.findings == (bad, mild)
        assert (report.counting, report.exempt) == ([mild], [bad])
        assert report.worst() is Severity.INFO
        assert report.by_severity() == {
            Severity.CRITICAL: 0,
            Severity.WARNING: 0,
            Severity.INFO: 1,
        }
        (control,) = report.controls()
        assert (control.found, control.exempt) == (1, 1)

    def test_where_nothing_is_wrong_nothing_is_the_worst(self) -> None:
        assert self.report().worst() is None
