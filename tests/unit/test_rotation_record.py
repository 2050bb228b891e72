"""The record of a leak says what is done, what is not, and who had it; never a value."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from credmgr.model.audit import Checkpoint
from credmgr.model.names import Name
from credmgr.model.rotation import JournalEntry, Rotation, State, Trigger
from credmgr.model.usage import Usage
from credmgr.model.version import Version, VersionStatus
from credmgr.rotation.record import Record

NAME = Name("team/key")
START = datetime(2026, 11, 25, 10, tzinfo=UTC)
OLD, NEW = uuid4(), uuid4()
NEW_ID = "key_new"


def version(identity: UUID, secret_id: str, status: VersionStatus) -> Version:
    return Version(identity, NAME, secret_id, "", status, "00ff", START)


def rotation(**changes: Any) -> Rotation:
    row = Rotation(uuid4(), NAME, Trigger.LEAKED, State.DONE, 1, 1, START, START, START, NEW)
    return replace(row, **changes)


def record(
    row: Rotation | None, status: VersionStatus, silent: tuple[str, ...] = (), failure: str = ""
) -> Record:
    return Record(
        credential=NAME,
        actor="operator:a@b",
        began_at=START,
        ended_at=START + timedelta(seconds=2),
        lived=[version(OLD, "key_old", VersionStatus.CURRENT)],
        versions=[version(NEW, NEW_ID, VersionStatus.CURRENT), version(OLD, "key_old", status)],
        rotation=row,
        journal=[JournalEntry(START, uuid4(), State.DONE, "moved", "it moved", {"a": "b"})],
        usage=[
            Usage(Name("early"), NAME, OLD, frozenset(), START, START),
            Usage(Name("late"), NAME, OLD, frozenset({"b", "a"}), START, START + timedelta(1), 3),
            Usage(Name("new"), NAME, NEW, frozenset(), START, START),
        ],
        dropped=["host/1/a"],
        silent=silent,
        head=Checkpoint(7, "mac", START),
        failure=failure,
    )


def test_all_is_done_when_the_old_one_is_revoked_and_every_daemon_has_answered() -> None:
    made = record(rotation(new_secret_id=NEW_ID, overlap_from=START), VersionStatus.REVOKED)
    assert made.not_done == []
    assert [one.secret_id for one in made.ended] == ["key_old"]
    assert made.living == []


def test_what_is_not_done_is_said_for_every_part() -> None:
    row = rotation(state=State.INTENT, waiting="the issuer does not answer")
    assert record(row, VersionStatus.CURRENT, silent=("host/2/b",)).not_done == [
        "no new secret is issued yet",
        "key_old may still be accepted",
        "it waits: the issuer does not answer",
        "host/2/b has not said that it dropped its tokens",
    ]
    staged = replace(row, state=State.OPERATOR, new_secret_id=NEW_ID, reason="a place is shut")
    assert record(staged, VersionStatus.CURRENT).not_done == [
        "not every place has the new secret",
        "key_old may still be accepted",
        "it waits: a place is shut",
    ]
    over = replace(staged, state=State.REVOKING, overlap_from=START, reason="", waiting="")
    assert record(over, VersionStatus.PREVIOUS).not_done == ["key_old may still be accepted"]


def test_whoever_used_what_lived_is_listed_the_latest_first() -> None:
    made = record(rotation(), VersionStatus.REVOKED)
    assert [use.consumer for use in made.readers] == ["late", "early"]


def test_everything_is_in_the_facts() -> None:
    made = record(rotation(new_secret_id=NEW_ID), VersionStatus.REVOKED)
    facts = json.loads(json.dumps(made.facts(), default=str))
    assert facts["done"] is True
    assert facts["audit"]["sequence"] == 7
    assert facts["revoked"][0]["fingerprint"] == "00ff"
    assert facts["replaced_by"][0]["secret_id"] == NEW_ID
    assert facts["readers"][0]["scopes"] == ["a", "b"]
    assert facts["steps"][0]["text"] == "it moved"


def test_what_it_stopped_at_is_said_even_where_no_rotation_began() -> None:
    made = record(None, VersionStatus.CURRENT, failure="a store is no folder")
    assert made.not_done == [
        "no new secret is issued yet",
        "key_old may still be accepted",
        "it waits: a store is no folder",
    ]
    assert made.facts()["rotation"] is None
    earlier = record(rotation(new_version=OLD, new_secret_id=NEW_ID), VersionStatus.CURRENT)
    assert earlier.not_done == ["no new secret is issued yet", "key_old may still be accepted"]
