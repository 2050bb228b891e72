"""What the keeping of copies needs of the world around it."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Protocol

from credmgr.distribution.copies import Opened
from credmgr.model.audit import Event
from credmgr.model.copy import Copy
from credmgr.model.credential import Enrolled
from credmgr.model.finding import Alert, Finding
from credmgr.model.names import Name
from credmgr.model.rotation import Rotation
from credmgr.model.secret import Secret
from credmgr.model.subject import Topic
from credmgr.model.version import Version
from credmgr.plugins.backend import SecretBackend
from credmgr.plugins.sink import Sink


class Ledger(Protocol):
    """The state database. Thread-safe; all methods may raise `StateUnavailable`."""

    def enrolled(self, name: Name) -> Enrolled:
        """A credential as last applied."""
        ...

    def versions(self, name: Name) -> Sequence[Version]:
        """Every version ever issued, newest first."""
        ...

    def open_rotation(self, name: Name) -> Rotation | None:
        """The rotation of the credential that has not ended."""
        ...

    def note(self, event: Event) -> None:
        """Put a deed outside the state database into the audit chain."""
        ...

    def open_finding(self, finding: Finding, actor: str) -> bool:
        """Open a finding, or renew the open one; True when that was news."""
        ...

    def resolve_finding(self, key: str, actor: str, now: datetime) -> bool:
        """End the open finding of this key; False when there is none."""
        ...

    def queue_alerts(self, raised: Sequence[Alert], event: Event) -> None:
        """Put alerts into the outbox."""
        ...

    def observe(self, name: Name, topic: Topic, details: Sequence[str]) -> bool:
        """Keep what was seen of a credential, for the policy's rules."""
        ...


class Book(Protocol):
    """What is known of each copy. Thread-safe; all methods may raise `StateUnavailable`."""

    def claim(self, now: datetime, limit: int, hold: timedelta) -> Sequence[Copy]:
        """Take copies whose time has come; nobody else gets them before they are written."""
        ...

    def claim_of(self, name: Name, now: datetime, hold: timedelta) -> Sequence[Copy]:
        """Take every copy of a credential that nobody is at, due or not."""
        ...

    def of(self, name: Name) -> Sequence[Copy]:
        """Every copy of one credential."""
        ...

    def write(self, copy: Copy, *, next_look: datetime | None) -> None:
        """Write what a look found, and let the copy go."""
        ...

    def forget(self, copy: Copy) -> None:
        """Know nothing of a copy any more."""
        ...


class Outside(Protocol):
    """The open sessions with the outside world."""

    @property
    def backends(self) -> Opened[SecretBackend]:
        """Stores of secrets."""
        ...

    @property
    def sinks(self) -> Opened[Sink]:
        """Places that are only written to."""
        ...


class Rotations(Protocol):
    """What a copy's keeper asks of who moves rotations."""

    def leased(self, name: Name) -> AbstractContextManager[object]:
        """Hold the credential, so that no rotation of it moves meanwhile.

        Raises:
            LeaseHeld: One does.
        """
        ...

    def require_fit(self, name: Name, secret: Secret) -> object:
        """Make sure that a secret could be the credential's new one; changes nothing.

        Raises:
            CredmgrError: It does not log in, or cannot be taken over now.
        """
        ...

    def take_over(self, name: Name, secret: Secret) -> object:
        """Take such a secret for the new one: a rotation brings it to every copy.

        Raises:
            CredmgrError: It could not begin.
        """
        ...
