"""A scan with an installation: how its secrets look, whether one lives, who is told."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

from credmgr.errors import CredmgrError
from credmgr.model.audit import Event
from credmgr.model.clock import Clock
from credmgr.model.consumer import Bearer
from credmgr.model.credential import Credential, Enrolled
from credmgr.model.finding import LEAK, Alert, Finding, Severity
from credmgr.model.names import Name
from credmgr.model.secret import Fingerprinter, Secret
from credmgr.model.version import Stage, Version, VersionStatus
from credmgr.plugins.backend import Held
from credmgr.scan.managed import Looks, Managed
from credmgr.scan.matching import Matcher
from credmgr.scan.pieces import Notices
from credmgr.scan.scanning import Found

MOST_READ: Final = 5000
"""Secrets that are read to learn what they look like; with more, it is not worth the time."""
READERS: Final = 8
_PLACES: Final = 3
_STAGES: Final[Mapping[VersionStatus, Stage]] = {
    VersionStatus.STAGED: Stage.NEXT,
    VersionStatus.CURRENT: Stage.CURRENT,
    VersionStatus.PREVIOUS: Stage.PREVIOUS,
}


class Ledger(Protocol):
    """The state database as a scan sees it; implemented by `credmgr.store`."""

    def all_enrolled(self) -> Sequence[Enrolled]:
        """Every credential."""
        ...

    def fingerprinted(self) -> Sequence[Version]:
        """Every version of which the fingerprint is known."""
        ...

    def bearers(self, now: datetime) -> Sequence[Bearer]:
        """Every consumer's bearers that have not ended."""
        ...

    def note(self, event: Event) -> None:
        """Put a deed into the audit chain."""
        ...

    def open_finding(self, finding: Finding, actor: str) -> bool:
        """Open a finding; whether that was news."""
        ...

    def queue_alerts(self, raised: Sequence[Alert], event: Event) -> None:
        """Put alerts into the outbox."""
        ...


class Stores(Protocol):
    """The open stores."""

    def held(self, credential: Credential, stage: Stage) -> Held:
        """The copy in the credential's store."""
        ...


@dataclass(frozen=True, slots=True)
class Matching:
    """What a matcher is made from, in whichever process."""

    salt: bytes
    fingerprinter: Fingerprinter | None = None
    versions: tuple[Version, ...] = ()
    looks: Looks = field(default_factory=Looks)
    consumers: Mapping[str, Name] | None = None

    def __call__(self) -> Matcher:
        """A matcher."""
        managed = None
        if self.fingerprinter is not None:
            managed = Managed(self.fingerprinter, self.versions, self.looks)
        return Matcher(self.salt, managed, self.consumers)


class Installation:
    """What a scan needs of an installation.

    Args:
        ledger: The state database.
        stores: The stores.
        fingerprinter: Keyed hash of secrets.
        clock: Time.
        actor: Who scans, for the audit chain.
        notices: Where a store that cannot be read is told.
    """

    def __init__(
        self,
        ledger: Ledger,
        stores: Stores,
        fingerprinter: Fingerprinter,
        clock: Clock,
        actor: str,
        notices: Notices,
    ) -> None:
        self._ledger, self._stores, self._fingerprinter = ledger, stores, fingerprinter
        self._clock, self._actor, self._notices = clock, actor, notices
        self._credentials = {one.credential.name: one.credential for one in ledger.all_enrolled()}

    def matching(self, salt: bytes) -> Matching:
        """What to match with: every version, and what secrets look like."""
        versions = tuple(self._ledger.fingerprinted())
        bearers = {one.digest: one.consumer for one in self._ledger.bearers(self._clock.now())}
        return Matching(salt, self._fingerprinter, versions, self._learn(versions), bearers)

    def _learn(self, versions: Sequence[Version]) -> Looks:
        """Lengths and characters of what can be read; recorded as one deed, without either."""
        living = [one for one in versions if one.status in _STAGES]
        if not living or len(living) > MOST_READ:
            return Looks(whole=not living)
        self._ledger.note(Event(self._actor, "secrets.compared", "scan", {"for": "scan"}))
        with ThreadPoolExecutor(READERS) as pool:
            held = list(pool.map(self._value, living))
        unread = sorted(
            {str(one.credential) for one, got in zip(living, held, strict=True) if not got}
        )
        if unread:
            names = ", ".join(unread[:_PLACES]) + (" …" if len(unread) > _PLACES else "")
            self._notices.add(
                names, "its store cannot be read, so it is looked for as a whole word only"
            )
        return Looks.of((secret for secret in held if secret), whole=not unread)

    def _value(self, version: Version) -> Secret | None:
        return self._held(version.credential, version.id, version.status)

    def confirm(self, found: Sequence[Found]) -> list[Found]:
        """What was found, without what is no secret of ours after all.

        64 bits of the hash led to a version; the store's own value decides with all 256.
        """
        return [one for one in found if self._is_ours(one)]

    def _is_ours(self, found: Found) -> bool:
        owned = found.match.owned
        if owned is None or not owned.lives:
            return True
        held = self._held(owned.credential, owned.version, owned.status)
        return held is None or self._fingerprinter.whole(held.reveal().encode()) == owned.proof

    def _held(self, name: Name, version: UUID, status: VersionStatus) -> Secret | None:
        """A version's value, as its store keeps it; None where that cannot be known."""
        credential, stage = self._credentials.get(name), _STAGES.get(status)
        if credential is None or stage is None:
            return None
        try:
            held = self._stores.held(credential, stage)
        except CredmgrError:
            return None
        return held.secret if held.version == version else None

    def raise_findings(self, found: Iterable[Found]) -> Sequence[Name]:
        """Open a critical finding for each credential whose live secret was found, and tell.

        Returns:
            The credentials of which that was news.
        """
        by_name: dict[Name, list[Found]] = {}
        for one in found:
            if one.match.owned is not None and one.match.owned.lives:
                by_name.setdefault(one.match.owned.credential, []).append(one)
        return [name for name, ones in by_name.items() if self._raise(name, ones)]

    def _raise(self, name: Name, found: Sequence[Found]) -> bool:
        key, now = LEAK.format(name), self._clock.now()
        text = f"live secret found: {_in_words(found)}"
        credential = self._credentials[name]
        finding = Finding(
            key=key,
            severity=Severity.CRITICAL,
            text=text,
            opened_at=now,
            credential=name,
            owner=credential.owner,
            environment=credential.environment.value,
            remedy=f"`credmgr revoke {name} --leaked`",
        )
        if not self._ledger.open_finding(finding, self._actor):
            return False
        alert = Alert(
            key=key,
            severity=Severity.CRITICAL,
            owner=credential.owner,
            title=f"{name}: {text}",
            body=runbook(name),
            at=now,
            facts={"credential": name},
            environment=credential.environment,
        )
        self._ledger.queue_alerts((alert,), Event(self._actor, "alert.queued", key))
        return True


def runbook(name: Name) -> str:
    """What a person does about a leaked secret."""
    return (
        f"1. credmgr revoke {name} --leaked --export record.json\n"
        "2. Take it out of where it was found; the value is worthless by then.\n"
        "3. The record lists who has used it. More: docs/leaks.md"
    )


def _in_words(found: Sequence[Found]) -> str:
    """Where, and which: the fingerprints end the finding when their versions are revoked."""
    places = list(dict.fromkeys(one.where.text for one in found))
    marks = sorted({one.match.fingerprint for one in found})
    more = f" and {len(places) - _PLACES} more places" if len(places) > _PLACES else ""
    said = ", ".join(places[:_PLACES])
    return f"{said}{more} (fingerprint {', '.join(marks)})"
