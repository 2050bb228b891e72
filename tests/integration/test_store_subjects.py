"""What rules see of the state database, and what makes them look again; on both databases."""

from datetime import timedelta
from uuid import uuid4

import pytest

from credmgr.model.audit import Event
from credmgr.model.credential import CredentialStatus, Environment
from credmgr.model.finding import Finding, NextLook, Settlement, Severity, Standing
from credmgr.model.names import Name
from credmgr.model.subject import Subject, Topic
from credmgr.model.usage import Usage
from credmgr.model.version import KeyType, Version, VersionStatus
from credmgr.policy.judging import Judge
from credmgr.policy.rule import Active, Pack
from credmgr.policy.rules.catalogue import CATALOGUE
from credmgr.policy.sweep import Sweep, Swept
from credmgr.store import Store, rotations
from tests.integration.conftest import NAME, OWNER, Bench, enrol

DAY = timedelta(days=1)
READ = frozenset({"cases:read"})


def subject(store: Store, name: Name = NAME) -> Subject:
    (found,) = store.ledger.subjects([name])
    return found


def looked(store: Store, bench: Bench) -> None:
    """A rule has looked, and wants to look again in ten days."""
    look = NextLook(NAME, subject(store).looks_at, bench.clock.now() + 10 * DAY)
    store.ledger.settle([NAME], lambda _: Settlement(looks=(look,)), bench.clock.now())
    assert store.ledger.to_look_at(bench.clock.now(), 9) == []


def is_due(store: Store, bench: Bench) -> bool:
    return store.ledger.to_look_at(bench.clock.now(), 9) == [NAME]


def put(store: Store, name: Name, fingerprint: str, key_type: KeyType | None = None) -> None:
    version = Version(
        uuid4(),
        name,
        "id",
        "",
        VersionStatus.CURRENT,
        fingerprint,
        store._database.clock.now(),
        key_type=key_type,
    )
    with store._database.write() as tx:
        row = [rotations._values(version, rotations._VERSION)]
        rotations._PUT_VERSION.run(tx.connection, row)


def use(store: Store, bench: Bench, scopes: frozenset[str]) -> None:
    now = bench.clock.now()
    store.ledger.record_use([Usage(Name("a"), NAME, uuid4(), scopes, now, now)])


def test_a_subject_is_the_credential_with_all_that_is_known(store: Store, bench: Bench) -> None:
    enrol(store, bench.clock)
    put(store, NAME, "f1", KeyType.LIVE)
    use(store, bench, READ)
    store.ledger.observe(NAME, Topic.STRAYS, ["key_2", "key_1"])
    store.ledger.observe(NAME, Topic.TOKEN_LIFE, ["3600"])
    seen, declared = subject(store), store.ledger.enrolled(NAME).credential
    assert (seen.name, seen.kind, seen.owner) == (NAME, declared.kind, declared.owner)
    assert (seen.environment, seen.scopes) == (declared.environment, declared.scopes)
    assert seen.active
    assert seen.issued_at == bench.clock.now()
    assert seen.key_type is KeyType.LIVE
    assert (seen.first_asked, seen.last_used) == (bench.clock.now(), bench.clock.now())
    assert seen.asked == {"cases:read": bench.clock.now()}
    assert seen.strays == ("key_2", "key_1")
    assert seen.token_life == timedelta(hours=1)
    assert store.ledger.subjects([]) == []


class TestLooks:
    def test_a_new_one_and_a_change_are_looked_at_at_once(self, store: Store, bench: Bench) -> None:
        enrol(store, bench.clock)
        assert is_due(store, bench)
        looked(store, bench)
        store.ledger.enrol([], [NAME], OWNER, bench.clock.now())
        assert is_due(store, bench)
        assert not subject(store).active
        assert store.ledger.enrolled(NAME).status is CredentialStatus.RETIRED

    def test_what_is_seen_outside_is_news_once(self, store: Store, bench: Bench) -> None:
        enrol(store, bench.clock)
        looked(store, bench)
        assert not store.ledger.observe(NAME, Topic.STRAYS, [])
        assert not is_due(store, bench)
        assert store.ledger.observe(NAME, Topic.STRAYS, ["key_1"])
        assert is_due(store, bench)
        assert not store.ledger.observe(NAME, Topic.STRAYS, ["key_1"])

    def test_the_first_use_with_scopes_counts_and_the_next_does_not(
        self, store: Store, bench: Bench
    ) -> None:
        enrol(store, bench.clock)
        looked(store, bench)
        use(store, bench, frozenset())
        assert not is_due(store, bench)
        use(store, bench, READ)
        assert is_due(store, bench)
        looked(store, bench)
        use(store, bench, READ)
        assert not is_due(store, bench)

    def test_any_use_of_one_that_has_a_finding_counts(self, store: Store, bench: Bench) -> None:
        enrol(store, bench.clock)
        looked(store, bench)
        now = bench.clock.now()
        finding = Finding("p.unused/x", Severity.INFO, "x", now, credential=NAME, rule="p.unused")
        store.ledger.open_finding(finding, OWNER)
        use(store, bench, frozenset())
        assert is_due(store, bench)

    def test_other_rules_have_everything_looked_at(self, store: Store, bench: Bench) -> None:
        enrol(store, bench.clock)
        looked(store, bench)
        assert store.ledger.adopt_rules("one", bench.clock.now())
        assert is_due(store, bench)
        looked(store, bench)
        assert not store.ledger.adopt_rules("one", bench.clock.now())
        assert store.ledger.adopt_rules("two", bench.clock.now())
        assert is_due(store, bench)

    def test_a_look_that_was_moved_meanwhile_is_not_overwritten(
        self, store: Store, bench: Bench
    ) -> None:
        enrol(store, bench.clock)
        stale = NextLook(NAME, bench.clock.now() - DAY, None)
        store.ledger.settle([NAME], lambda _: Settlement(looks=(stale,)), bench.clock.now())
        assert is_due(store, bench)

    def test_one_secret_under_two_names_is_seen_from_both(self, store: Store, bench: Bench) -> None:
        enrol(store, bench.clock)
        other = Name("other/key")
        enrol(store, bench.clock, other)
        for name in (NAME, other):
            put(store, name, "same")
        assert subject(store).twins == (other,)
        assert subject(store, other).twins == (NAME,)


class TestDecisions:
    @pytest.fixture
    def key(self, store: Store, bench: Bench) -> str:
        enrol(store, bench.clock)
        finding = Finding(
            f"p.x/{NAME}", Severity.WARNING, "x", bench.clock.now(), rule="p.x", credential=NAME
        )
        store.ledger.open_finding(finding, OWNER)
        looked(store, bench)
        return finding.key

    def test_an_exemption_says_who_why_and_until_when_and_is_looked_after(
        self, store: Store, bench: Bench, key: str
    ) -> None:
        until = bench.clock.now() + DAY
        assert store.ledger.exempt_finding(key, until, "legacy", OWNER)
        (finding,) = store.ledger.findings_of(key)
        assert (finding.exempted_by, finding.exempted_why) == (OWNER, "legacy")
        assert finding.standing(bench.clock.now()) is Standing.EXEMPT
        assert is_due(store, bench)
        record = store.audit.records(0, 99, key)[-1]
        assert record.event.action == "finding.exempted"
        assert record.event.facts["why"] == "legacy"

    def test_a_rest_is_noted(self, store: Store, bench: Bench, key: str) -> None:
        assert store.ledger.snooze_finding(key, bench.clock.now() + DAY, OWNER)
        (finding,) = store.ledger.findings(open_only=True)
        assert finding.standing(bench.clock.now()) is Standing.SNOOZED

    def test_about_what_is_not_open_nothing_is_decided(self, store: Store, bench: Bench) -> None:
        now = bench.clock.now()
        assert not store.ledger.exempt_finding("none", now, "x", OWNER)
        assert not store.ledger.snooze_finding("none", now, OWNER)

    def test_one_about_no_credential_can_be_put_off_too(self, store: Store, bench: Bench) -> None:
        store.ledger.open_finding(
            Finding("audit/broken", Severity.CRITICAL, "x", bench.clock.now()), OWNER
        )
        assert store.ledger.snooze_finding("audit/broken", bench.clock.now() + DAY, OWNER)


def test_a_whole_life_of_a_finding_in_the_database(store: Store, bench: Bench) -> None:
    enrol(store, bench.clock)
    put(store, NAME, "f1")
    rule = CATALOGUE["max-age"]
    active = Active("p.max-age", rule, rule.parameters(), rule.severity, rule.source)
    judge = Judge([Pack("p", "A pack", (active,))])
    sweep, key = Sweep(store.ledger, judge, bench.clock, OWNER), f"p.max-age/{NAME}"
    assert sweep.tick() == Swept(1)
    assert sweep.tick() == Swept()
    bench.clock.advance(90 * DAY)
    assert sweep.tick() == Swept(1, opened=1)
    store.ledger.exempt_finding(key, bench.clock.now() + DAY, "legacy", OWNER)
    assert sweep.tick() == Swept(1)
    bench.clock.advance(DAY)
    assert sweep.tick() == Swept(1, changed=1)
    bench.clock.advance(90 * DAY)
    assert sweep.tick() == Swept(1, changed=1)
    store.ledger.enrol([], [NAME], OWNER, bench.clock.now())
    assert sweep.tick() == Swept(1, resolved=1)
    actions = [one.event.action for one in store.audit.records(0, 99, key)]
    assert actions == [
        "finding.opened",
        "finding.exempted",
        "finding.lapsed",
        "finding.escalated",
        "finding.resolved",
    ]
    assert store.ledger.to_look_at(bench.clock.now() + 9999 * DAY, 9) == []
    assert isinstance(store.audit.records(0, 1)[0].event, Event)
    assert Environment.TEST
