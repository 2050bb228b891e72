"""What was done about a leak, step by step, as somebody else can check it; without any value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from credmgr.model.audit import Checkpoint
from credmgr.model.names import Name
from credmgr.model.rotation import JournalEntry, Rotation, State
from credmgr.model.usage import Usage
from credmgr.model.version import Version, VersionStatus


@dataclass(frozen=True, slots=True)
class Record:
    """The record of one leak.

    Attributes:
        credential: Whose secret leaked.
        actor: Who acted.
        began_at: When it began.
        ended_at: When the command returned.
        lived: The versions that consumers could have had when it began, and that worked.
        versions: Every version as it is at the end.
        rotation: Where the rotation stands at the end; None when there never was one.
        journal: What happened in between.
        usage: Who has used the credential.
        dropped: The daemons that have dropped the tokens.
        silent: The daemons that have not said so.
        head: The head of the audit chain at the end, by which this can be verified.
        failure: What it stopped at; empty when nothing did.
    """

    credential: Name
    actor: str
    began_at: datetime
    ended_at: datetime
    lived: Sequence[Version]
    versions: Sequence[Version]
    rotation: Rotation | None
    journal: Sequence[JournalEntry]
    usage: Sequence[Usage]
    dropped: Sequence[str]
    silent: Sequence[str]
    head: Checkpoint
    failure: str = ""

    @property
    def ended(self) -> Sequence[Version]:
        """Versions that lived, and are revoked now."""
        before = {one.id for one in self.lived}
        return [one for one in self.versions if one.id in before and _dead(one)]

    @property
    def living(self) -> Sequence[Version]:
        """Versions that lived when it began, and still may."""
        before = {one.id for one in self.lived}
        return [one for one in self.versions if one.id in before and not _dead(one)]

    @property
    def readers(self) -> Sequence[Usage]:
        """Uses of what lived when it began, the latest first."""
        before = {one.id for one in self.lived}
        used = [one for one in self.usage if one.version in before]
        return sorted(used, key=lambda use: use.last_seen, reverse=True)

    @property
    def not_done(self) -> Sequence[str]:
        """What is not done yet, one sentence each; empty when all is."""
        row, left = self.rotation, []
        if self.failure or self.living or row is None or row.state is not State.DONE:
            before = {one.id for one in self.lived}
            if row is None or row.new_secret_id is None or row.new_version in before:
                left.append("no new secret is issued yet")
            elif row.overlap_from is None:
                left.append("not every place has the new secret")
            left += [f"{one.secret_id} may still be accepted" for one in self.living]
            if why := self.failure or (row and (row.reason or row.waiting)):
                left.append(f"it waits: {why}")
        left += [f"{owner} has not said that it dropped its tokens" for owner in self.silent]
        return left

    def facts(self) -> Mapping[str, Any]:
        """Everything, for a file: names, ids, fingerprints and moments."""
        row = self.rotation
        return {
            "format": "credmgr.leak.1",
            "credential": self.credential,
            "actor": self.actor,
            "began_at": self.began_at,
            "ended_at": self.ended_at,
            "rotation": row and {"id": row.id, "state": row.state},
            "done": not self.not_done,
            "not_done": list(self.not_done),
            "revoked": [_version(one) for one in self.ended],
            "may_still_live": [_version(one) for one in self.living],
            "replaced_by": [
                _version(one) for one in self.versions if row and one.id == row.new_version
            ],
            "steps": [_step(one) for one in self.journal],
            "tokens": {"dropped": list(self.dropped), "silent": list(self.silent)},
            "readers": [_reader(one) for one in self.readers],
            "audit": {"sequence": self.head.sequence, "mac": self.head.mac, "at": self.head.at},
        }


def _dead(version: Version) -> bool:
    return version.status is VersionStatus.REVOKED


def _version(version: Version) -> Mapping[str, Any]:
    return {
        "version": version.id,
        "secret_id": version.secret_id,
        "fingerprint": version.fingerprint,
        "status": version.status,
        "issued_at": version.issued_at,
        "ended_at": version.ended_at,
    }


def _step(entry: JournalEntry) -> Mapping[str, Any]:
    return {
        "at": entry.at,
        "rotation": entry.rotation,
        "state": entry.state,
        "event": entry.event,
        "text": entry.text,
        "facts": dict(entry.facts),
    }


def _reader(use: Usage) -> Mapping[str, Any]:
    return {
        "consumer": use.consumer,
        "version": use.version,
        "scopes": sorted(use.scopes),
        "first_seen": use.first_seen,
        "last_seen": use.last_seen,
        "count": use.count,
    }
