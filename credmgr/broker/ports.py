"""What the broker needs of the world around it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from credmgr.broker.observing import Witness
from credmgr.broker.purging import Wishes
from credmgr.model.audit import Event
from credmgr.model.credential import Credential
from credmgr.model.finding import Alert, Finding
from credmgr.model.names import Name
from credmgr.model.usage import Usage
from credmgr.model.version import Stage, Version
from credmgr.plugins.backend import Held
from credmgr.plugins.issuer import Issuer


class Ledger(Wishes, Witness, Protocol):
    """The state database as the broker sees it. Thread-safe; implemented by `credmgr.store`.

    All methods may raise `StateUnavailable`.
    """

    def revision(self) -> int:
        """A number that grows with whatever is done to a credential; one look-up."""
        ...

    def current_versions(self) -> Mapping[Name, Version]:
        """What every credential's consumers should read now, by credential."""
        ...

    def record_use(self, batch: Iterable[Usage]) -> None:
        """Add counted uses; repeating it counts twice."""
        ...

    def findings(self, *, open_only: bool) -> Sequence[Finding]:
        """Findings, oldest first."""
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


class Outside(Protocol):
    """The open sessions with the outside world; implemented by `credmgr.outside`."""

    def issuer(self, credential: Credential) -> Issuer:
        """The session with its issuer."""
        ...

    def held(self, credential: Credential, stage: Stage) -> Held:
        """The copy in its store. May be repeated.

        Raises:
            SecretNotFound: Nothing is at that stage.
            BackendError: The store does not answer, or not with what it should.
        """
        ...
