"""Rotations: opening, moving under a fence, and an operator's wishes in between."""

from dataclasses import fields, replace
from datetime import timedelta
from uuid import uuid4

import pytest

from credmgr.errors import LeaseLost, NotAllowedNow, RotationOpen, UsageError
from credmgr.model.audit import Event
from credmgr.model.credential import CredentialStatus
from credmgr.model.finding import Alert, Severity
from credmgr.model.names import Name
from credmgr.model.rotation import JournalEntry, Request, Rotation, State, Trigger
from credmgr.model.version import Version, VersionStatus
from credmgr.store import Store
from credmgr.store.tables import rotations
from tests.integration.conftest import (
    NAME,
    OWNER,
    TTL,
    Begins,
    Bench,
    change,
    enrol,
    fresh,
    moved,
)

ANN = Event("operator:ann@here", "rotation.requested", NAME)
NUL = "an answer with \0 and \udc80 in it"


def version(bench: Bench, **changes: object) -> Version:
    plain = Version(
        id=uuid4(),
        credential=NAME,
        secret_id="key_1",  # noqa: S106 (an id, not a value)
        label="credmgr-1",
        status=VersionStatus.ISSUED,
        fingerprint="00ff",
        issued_at=bench.clock.now(),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_every_field_of_a_rotation_has_its_column() -> None:
    assert [field.name for field in fields(Rotation)] == [column.name for column in rotations.c]


class TestBeginning:
    def test_a_rotation_comes_back_as_it_was_written(self, store: Store, begin: Begins) -> None:
        uuid = uuid4()
        row, lease = begin(
            baseline=("key_1", "ä"),
            old_version=uuid,
            old_secret_id="key_1",  # noqa: S106 (an id, not a value)
            steps=("open the dashboard", "paste"),
            trigger=Trigger.OPERATOR,
        )
        assert row == store.ledger.open_rotation(NAME)
        assert row.epoch == lease.epoch
        assert (row.baseline, row.old_version) == (("key_1", "ä"), uuid)
        assert row.steps == ("open the dashboard", "paste")

    def test_a_baseline_that_is_empty_is_not_one_that_is_missing(
        self, store: Store, begin: Begins
    ) -> None:
        begin(NAME, baseline=())
        begin(Name("b"), baseline=None)
        assert [row.baseline for row in store.ledger.open_rotations()] == [(), None]

    def test_a_second_one_is_refused_while_the_first_is_open(
        self, store: Store, bench: Bench, begin: Begins
    ) -> None:
        _, lease = begin()
        head = store.audit.checkpoint()
        row = fresh(bench.clock)
        with pytest.raises(RotationOpen, match="caseforge/api-key"):
            store.ledger.begin(change(row, row.state, "again"), lease)
        assert store.audit.checkpoint() == head

    def test_it_needs_the_lease_of_its_own_credential(self, store: Store, bench: Bench) -> None:
        enrol(store, bench.clock, NAME, Name("other"))
        now = bench.clock.now()
        row = fresh(bench.clock)
        other = store.ledger.acquire(Name("other"), OWNER, now, TTL)
        with pytest.raises(LeaseLost, match="of other, not of"):
            store.ledger.begin(change(row, row.state, "opened"), other)
        lease = store.ledger.acquire(NAME, OWNER, now, TTL)
        store.ledger.release(lease)
        with pytest.raises(LeaseLost):
            store.ledger.begin(change(row, row.state, "opened"), lease)
        assert store.ledger.open_rotation(NAME) is None


class TestMoving:
    def test_row_journal_version_due_time_alert_and_audit_go_together(
        self, store: Store, bench: Bench, begin: Begins
    ) -> None:
        row, lease = begin()
        bench.clock.advance(timedelta(seconds=1))
        now = bench.clock.now()
        issued = version(bench)
        alert = Alert("rotation/x", Severity.INFO, "team", "title", "body", now, {"a": "b"})
        created = moved(row, State.CREATED, entered_at=now, new_secret_id="key_2", reason=NUL)  # noqa: S106
        due = now + timedelta(minutes=5)
        store.ledger.move(
            change(
                created, State.INTENT, NUL, versions=(issued,), alerts=(alert,), next_due_at=due
            ),
            lease,
        )
        held = store.ledger.rotation(row.id)
        assert held == replace(created, reason=r"an answer with \x00 and \udc80 in it")
        assert store.ledger.versions(NAME) == [issued]
        assert store.ledger.enrolled(NAME).next_due_at == due
        assert store.outbox.open_alerts() == [alert]
        line = store.ledger.journal(row.id)[-1]
        assert (line.at, line.state, line.text) == (now, State.CREATED, held.reason)
        assert store.audit.records(0, 99)[-1].event.facts == {"text": held.reason}
        store.audit.verify()

    def test_a_change_may_tell_nothing(self, store: Store, begin: Begins) -> None:
        row, lease = begin()
        head, lines = store.audit.checkpoint(), store.ledger.journal(row.id)
        quiet = change(replace(row, failures=1), State.INTENT, "", entry=None, event=None)
        store.ledger.move(quiet, lease)
        assert store.ledger.rotation(row.id).failures == 1
        assert (store.audit.checkpoint(), store.ledger.journal(row.id)) == (head, lines)

    def test_what_is_fixed_stays_whatever_the_change_says(
        self, store: Store, bench: Bench, begin: Begins
    ) -> None:
        row, lease = begin()
        later = bench.clock.now() + TTL
        odd = replace(row, epoch=99, opened_at=later, request=Request.HURRY)
        store.ledger.move(change(odd, State.INTENT, "odd"), lease)
        assert store.ledger.rotation(row.id) == row

    @pytest.mark.parametrize("wrong", ["state", "epoch", "owner", "credential"])
    def test_when_anything_is_not_what_it_was_nothing_is_written(
        self, store: Store, bench: Bench, begin: Begins, wrong: str
    ) -> None:
        row, lease = begin()
        came_from = State.INTENT
        match wrong:
            case "state":
                came_from = State.STAGED
            case "epoch":
                lease = replace(lease, epoch=lease.epoch - 1)
            case "owner":
                lease = replace(lease, owner="other")
            case _:
                begin(Name("other"))
                lease = store.ledger.acquire(Name("other"), OWNER, bench.clock.now(), TTL)
        head = store.audit.checkpoint()
        late = change(moved(row, State.CREATED), came_from, "late", versions=(version(bench),))
        with pytest.raises(LeaseLost):
            store.ledger.move(late, lease)
        assert store.ledger.rotation(row.id) == row
        assert store.ledger.versions(NAME) == []
        assert store.audit.checkpoint() == head

    def test_a_version_is_replaced_by_id(self, store: Store, bench: Bench, begin: Begins) -> None:
        row, lease = begin()
        first = version(bench)
        store.ledger.move(change(row, State.INTENT, "one", versions=(first,)), lease)
        bench.clock.advance(TTL)
        ended = replace(first, status=VersionStatus.REVOKED, ended_at=bench.clock.now())
        second = version(bench)
        store.ledger.move(change(row, State.INTENT, "two", versions=(ended, second)), lease)
        assert store.ledger.versions(NAME) == [second, ended]

    def test_the_end_of_the_last_secret_revokes_the_credential(
        self, store: Store, begin: Begins
    ) -> None:
        row, lease = begin(trigger=Trigger.RETIRE)
        done = moved(row, State.DONE)
        store.ledger.move(change(done, State.INTENT, "gone", ends_credential=True), lease)
        known = store.ledger.enrolled(NAME)
        assert (known.status, known.next_due_at) == (CredentialStatus.REVOKED, None)


class TestAsking:
    def test_a_wish_is_written_told_and_due_at_once(
        self, store: Store, bench: Bench, begin: Begins
    ) -> None:
        row, _ = begin(not_before=bench.clock.now() + timedelta(days=1))
        bench.clock.advance(timedelta(hours=1))
        now = bench.clock.now()
        store.ledger.ask(row.id, Request.ROLLBACK, ANN, now)
        held = store.ledger.rotation(row.id)
        assert (held.request, held.not_before) == (Request.ROLLBACK, now)
        assert store.ledger.due(now, 1) == [NAME]
        text = "rollback asked for by operator:ann@here"
        facts = {"request": "rollback"}
        assert store.ledger.journal(row.id)[-1] == JournalEntry(
            now, row.id, State.INTENT, "requested", text, facts
        )
        assert store.audit.records(0, 99)[-1].event == ANN

    def test_an_ended_rotation_grants_no_wish(
        self, store: Store, bench: Bench, begin: Begins
    ) -> None:
        row, lease = begin()
        store.ledger.move(change(moved(row, State.ABORTED), State.INTENT, "ended"), lease)
        with pytest.raises(NotAllowedNow, match="ended"):
            store.ledger.ask(row.id, Request.HURRY, ANN, bench.clock.now())

    def test_an_unknown_rotation_is_said_to_be_unknown(self, store: Store, bench: Bench) -> None:
        with pytest.raises(UsageError, match="no rotation"):
            store.ledger.ask(uuid4(), Request.HURRY, ANN, bench.clock.now())
        with pytest.raises(UsageError, match="no rotation"):
            store.ledger.rotation(uuid4())

    def test_a_move_that_had_not_seen_the_wish_keeps_it_and_stays_due(
        self, store: Store, bench: Bench, begin: Begins
    ) -> None:
        row, lease = begin()
        now = bench.clock.now()
        store.ledger.ask(row.id, Request.HURRY, ANN, now)
        parked = moved(row, State.OPERATOR, not_before=now + timedelta(days=9))
        store.ledger.move(change(parked, State.INTENT, "parked", next_due_at=None), lease)
        held = store.ledger.rotation(row.id)
        assert (held.state, held.request, held.not_before) == (State.OPERATOR, Request.HURRY, now)
        assert store.ledger.enrolled(NAME).next_due_at == now

    def test_a_move_that_had_seen_the_wish_and_waits_keeps_it_and_its_own_time(
        self, store: Store, bench: Bench, begin: Begins
    ) -> None:
        row, lease = begin()
        store.ledger.ask(row.id, Request.HURRY, ANN, bench.clock.now())
        later = bench.clock.now() + timedelta(minutes=1)
        waiting = replace(store.ledger.rotation(row.id), not_before=later)
        store.ledger.move(change(waiting, State.INTENT, "waiting"), lease)
        assert store.ledger.rotation(row.id) == waiting
        assert store.ledger.enrolled(NAME).next_due_at == later

    def test_the_end_of_the_rotation_ends_a_wish_that_came_too_late(
        self, store: Store, bench: Bench, begin: Begins
    ) -> None:
        row, lease = begin()
        store.ledger.ask(row.id, Request.HURRY, ANN, bench.clock.now())
        later = bench.clock.now() + timedelta(days=90)
        done = moved(row, State.DONE)
        store.ledger.move(change(done, State.INTENT, "done", next_due_at=later), lease)
        assert store.ledger.enrolled(NAME).next_due_at == later

    @pytest.mark.parametrize("named", [Request.NONE, Request.ROLLBACK])
    def test_a_move_that_acted_on_the_wish_clears_it(
        self, store: Store, bench: Bench, begin: Begins, named: Request
    ) -> None:
        row, lease = begin()
        store.ledger.ask(row.id, Request.ROLLBACK, ANN, bench.clock.now())
        later = bench.clock.now() + timedelta(minutes=1)
        acted = moved(row, State.ABORTING, request=named, not_before=later)
        store.ledger.move(change(acted, State.INTENT, "acted", clears_request=True), lease)
        held = store.ledger.rotation(row.id)
        assert (held.request, held.not_before) == (Request.NONE, later)

    def test_a_move_that_names_another_wish_than_the_stored_one_clears_nothing(
        self, store: Store, bench: Bench, begin: Begins
    ) -> None:
        row, lease = begin()
        store.ledger.ask(row.id, Request.HURRY, ANN, bench.clock.now())
        later = bench.clock.now() + timedelta(minutes=1)
        acted = moved(row, State.ABORTING, request=Request.ROLLBACK, not_before=later)
        store.ledger.move(change(acted, State.INTENT, "acted", clears_request=True), lease)
        held = store.ledger.rotation(row.id)
        assert (held.request, held.not_before) == (Request.HURRY, bench.clock.now())


class TestReading:
    def test_histories_and_lists_are_in_the_order_of_time(
        self, store: Store, bench: Bench, begin: Begins
    ) -> None:
        first, lease = begin()
        store.ledger.move(change(moved(first, State.DONE), State.INTENT, "done"), lease)
        bench.clock.advance(TTL)
        second, _ = begin()
        bench.clock.advance(TTL)
        other, _ = begin(Name("other"))
        ledger = store.ledger
        assert [line.text for line in ledger.history(NAME)] == ["opened", "done", "opened"]
        assert [line.text for line in ledger.journal(first.id)] == ["opened", "done"]
        assert [row.id for row in ledger.rotations(NAME, 9)] == [second.id, first.id]
        assert [row.id for row in ledger.rotations(None, 2)] == [other.id, second.id]
        assert [row.id for row in ledger.open_rotations()] == [second.id, other.id]
        assert ledger.rotation_ids(NAME) == {first.id, second.id}
        assert ledger.open_rotation(Name("nobody")) is None
