"""Opening a rotation: what must be true before anything is asked of an issuer."""

from datetime import datetime
from typing import Final
from uuid import uuid4

from credmgr.errors import NotAllowedNow
from credmgr.model.audit import Event
from credmgr.model.credential import CredentialStatus, Enrolled
from credmgr.model.names import Name
from credmgr.model.rotation import Change, JournalEntry, Lease, Rotation, State, Trigger
from credmgr.model.version import Version, VersionStatus
from credmgr.rotation.work import Tools

WORDS: Final = {
    Trigger.FIRST: "first secret",
    Trigger.SCHEDULE: "rotation by schedule",
    Trigger.OPERATOR: "rotation asked for by an operator",
    Trigger.LEAKED: "emergency rotation: the secret leaked",
    Trigger.IMPORT: "a secret brought by an operator",
    Trigger.RETIRE: "last secret to be revoked",
}


def current_version(tools: Tools, name: Name) -> Version | None:
    """The version that consumers should read now, as the state database knows it."""
    known = tools.ledger.versions(name)
    return next((one for one in known if one.status is VersionStatus.CURRENT), None)


def open_rotation(tools: Tools, enrolled: Enrolled, trigger: Trigger, lease: Lease) -> Rotation:
    """Insert a rotation in its first state.

    Raises:
        RotationOpen: One is open.
        NotAllowedNow: The credential's status forbids it.
    """
    name = enrolled.credential.name
    current = current_version(tools, name)
    _require_status(enrolled, trigger, current)
    row = _row(name, trigger, current, lease, tools.clock.now())
    text = WORDS[row.trigger]
    facts = {"old_secret_id": row.old_secret_id or "", "trigger": row.trigger.value}
    where = {"rotation": str(row.id), "state": row.state.value}
    change = Change(
        rotation=row,
        came_from=row.state,
        next_due_at=row.not_before,
        entry=JournalEntry(row.opened_at, row.id, row.state, "opened", text, facts),
        event=Event(tools.actor, "rotation.opened", name, {**where, **facts}),
    )
    tools.ledger.begin(change, lease)
    return row


def _row(
    name: Name, trigger: Trigger, current: Version | None, lease: Lease, now: datetime
) -> Rotation:
    first = current is None and trigger is Trigger.OPERATOR
    return Rotation(
        id=uuid4(),
        credential=name,
        trigger=Trigger.FIRST if first else trigger,
        state=State.REVOKING if trigger is Trigger.RETIRE else State.INTENT,
        epoch=lease.epoch,
        attempt=1,
        opened_at=now,
        entered_at=now,
        not_before=now,
        new_version=uuid4(),
        old_version=current.id if current else None,
        old_secret_id=current.secret_id if current else None,
    )


def _require_status(enrolled: Enrolled, trigger: Trigger, current: Version | None) -> None:
    name = enrolled.credential.name
    if trigger is Trigger.RETIRE:
        if enrolled.status is not CredentialStatus.RETIRED:
            raise NotAllowedNow(
                f"{name} is {enrolled.status}, so its last secret is not revoked",
                hint="take it out of the manifest and `credmgr apply` first",
            )
        if current is None:
            raise NotAllowedNow(f"{name} has no live secret")
        return
    if enrolled.status is not CredentialStatus.ACTIVE:
        raise NotAllowedNow(
            f"{name} is {enrolled.status}, so it is not rotated",
            hint="declare it in the manifest again and `credmgr apply`",
        )
