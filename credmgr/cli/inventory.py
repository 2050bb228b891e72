"""What is true of each credential now, as the commands that look at it share it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from credmgr.cli.output import ago, length, plain, state

if TYPE_CHECKING:
    from credmgr.bootstrap import App
    from credmgr.model.credential import Enrolled
    from credmgr.model.rotation import Rotation
    from credmgr.model.version import Version


@dataclass(frozen=True, slots=True)
class Item:
    """One credential.

    Attributes:
        enrolled: As last applied.
        current: The version that consumers read; None before the first and after the last.
        rotation: The one in flight.
    """

    enrolled: "Enrolled"
    current: "Version | None"
    rotation: "Rotation | None"

    @property
    def name(self) -> str:
        """Its name."""
        return self.enrolled.credential.name

    @property
    def word(self) -> str:
        """The state of its rotation, or its own status."""
        return str(self.rotation.state if self.rotation else self.enrolled.status)

    @property
    def note(self) -> str:
        """For what it waits, if for anything."""
        if self.rotation is None:
            return ""
        return self.rotation.reason or self.rotation.waiting

    def facts(self) -> dict[str, object]:
        """For a script."""
        credential, current, rotation = self.enrolled.credential, self.current, self.rotation
        return {
            "name": credential.name,
            "kind": credential.kind,
            "environment": credential.environment,
            "owner": credential.owner,
            "status": self.enrolled.status,
            "issuer": credential.issuer,
            "places": [str(place) for place in credential.places],
            "version": current.id if current else None,
            "secret_id": current.secret_id if current else None,
            "fingerprint": current.fingerprint if current else None,
            "issued_at": current.issued_at if current else None,
            "rotation": rotation.id if rotation else None,
            "state": rotation.state if rotation else None,
            "waiting": self.note,
            "steps": list(rotation.steps) if rotation else [],
            "next_due_at": self.enrolled.next_due_at,
        }

    def age(self, now: datetime) -> str:
        """How old its secret is."""
        return length(now - self.current.issued_at) if self.current else "-"

    def next(self, now: datetime) -> str:
        """When it is looked at next."""
        due_at = self.enrolled.next_due_at
        return "now" if due_at is not None and due_at <= now else ago(due_at, now)

    def state(self) -> str:
        """Its word, with sign and colour."""
        return state(self.word)

    def title(self) -> str:
        """Its name for a table."""
        return f"[bold]{plain(self.name)}[/]"


def inventory(app: "App") -> Sequence[Item]:
    """Every credential by name."""
    ledger = app.store.ledger
    moving = {one.credential: one for one in ledger.open_rotations()}
    current = ledger.current_versions()
    return [
        Item(one, current.get(one.credential.name), moving.get(one.credential.name))
        for one in ledger.all_enrolled()
    ]
