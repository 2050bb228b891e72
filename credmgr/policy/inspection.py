"""Asking issuers what they hold, to find secrets that nobody manages."""

from collections.abc import Iterator, Sequence
from typing import Final, Protocol
from uuid import UUID

import structlog

from credmgr.errors import CredmgrError
from credmgr.model.credential import Credential, CredentialStatus, Enrolled
from credmgr.model.names import Name
from credmgr.model.subject import Topic
from credmgr.model.version import Version
from credmgr.plugins.issuer import Issuer, Listed, SecretStatus

AT_ONCE: Final = 20
"""Credentials whose issuers a daemon asks at one tick: an issuer has other work too."""

_log = structlog.get_logger("credmgr.policy")


class Ledger(Protocol):
    """The state database as an inspection sees it; implemented by `credmgr.store`."""

    def names_after(self, name: str, limit: int) -> Sequence[Name]:
        """Credentials behind a name in their order, with whatever status."""
        ...

    def enrolled(self, name: Name) -> Enrolled:
        """A credential as last applied."""
        ...

    def versions(self, name: Name) -> Sequence[Version]:
        """Every version ever issued."""
        ...

    def rotation_ids(self, name: Name) -> frozenset[UUID]:
        """The ids of its rotations, to know its own labels by."""
        ...

    def observe(self, name: Name, topic: Topic, details: Sequence[str]) -> bool:
        """Keep what was seen, and look at it again."""
        ...


class Issuers(Protocol):
    """The open sessions with issuers; implemented by `credmgr.outside`."""

    def issuer(self, credential: Credential) -> Issuer:
        """The session with its issuer."""
        ...


class Inspection:
    """Goes round all credentials, some at a time. One thread uses it."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._last = ""

    def some(self, issuers: Issuers, most: int = AT_ONCE) -> int:
        """Ask for the next few; after the last one the round begins anew."""
        names = self._ledger.names_after(self._last, most)
        self._last = names[-1] if len(names) == most else ""
        for name in names:
            self._guarded(issuers, name)
        return len(names)

    def everything(self, issuers: Issuers) -> Iterator[Name]:
        """Ask for every credential, one by one."""
        last = ""
        while names := self._ledger.names_after(last, AT_ONCE):
            last = names[-1]
            for name in names:
                self._guarded(issuers, name)
                yield name

    def _guarded(self, issuers: Issuers, name: Name) -> None:
        try:
            inspect(self._ledger, issuers, name)
        except CredmgrError as error:
            _log.warning("its issuer was not asked", credential=str(name), why=error.message)


def inspect(ledger: Ledger, issuers: Issuers, name: Name) -> Sequence[str]:
    """Which secrets of a credential its issuer has and nobody manages; kept for the rules.

    Raises:
        IssuerError: The issuer does not answer, or not with what it should.
    """
    known = ledger.enrolled(name)
    if known.status is not CredentialStatus.ACTIVE:
        return ()
    issuer = issuers.issuer(known.credential)
    if not issuer.traits.lists:
        return ()
    listed = issuer.list(known.credential)  # asked first: what is made meanwhile is no stray
    ours = {version.secret_id for version in ledger.versions(name)}
    labels = tuple(f"credmgr-{one.hex}-" for one in ledger.rotation_ids(name))
    strays = sorted(one.secret_id for one in listed if _is_stray(one, ours, labels))
    ledger.observe(name, Topic.STRAYS, strays)
    return strays


def _is_stray(one: Listed, ours: set[str], labels: tuple[str, ...]) -> bool:
    """Not one that we know, nor one that a rotation in flight has just asked for."""
    if one.status is SecretStatus.REVOKED or one.secret_id in ours:
        return False
    return not one.label.startswith(labels)
