"""What is found in one text, told without the value."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from credmgr.model import bearers
from credmgr.model.names import Name
from credmgr.model.version import VersionStatus
from credmgr.scan.decoding import Text, texts
from credmgr.scan.managed import FLOOR, Looks, Managed
from credmgr.scan.shapes import LIVE, REVOKED, SHAPES, Shape, shaped

DEAD: Final = frozenset({VersionStatus.REVOKED})
"""What no issuer accepts any more, as far as is proven."""
_DIGEST_HEX: Final = 16
_BEARER: Final = "credmgr-bearer"


@dataclass(frozen=True, slots=True)
class Owned:
    """Whose secret it is.

    Attributes:
        credential: The credential.
        version: The version.
        secret_id: The issuer's id.
        status: How far that version has come, as the state database says.
        proof: The whole keyed hash, to compare with the store's value; never shown or kept.
    """

    credential: Name
    version: UUID
    secret_id: str
    status: VersionStatus
    proof: bytes = field(repr=False)

    @property
    def lives(self) -> bool:
        """Whether it is not proven dead."""
        return self.status not in DEAD


@dataclass(frozen=True, slots=True)
class Match:
    """Something that was found in a text.

    Attributes:
        rule: By which rule.
        what: What it is, for a person.
        at: Offset in the text.
        shown: What of its beginning tells nothing; may be empty.
        length: In characters.
        digest: Salted hash, by which the same value is known again within a scan and a baseline.
        fingerprint: Keyed hash; empty without a keyring.
        coding: How it is coded there: `base64`, `hex` …, outermost first.
        owned: Whose it is; None where that is not known.
        consumer: Whose bearer it is, that is let in today.
    """

    rule: str
    what: str
    at: int
    shown: str
    length: int
    digest: str
    fingerprint: str = ""
    coding: tuple[str, ...] = ()
    owned: Owned | None = None
    consumer: Name | None = None


class Matcher:
    """Finds secrets in texts. One per process, since it remembers what is harmless.

    Args:
        salt: Random; makes digests of this scan comparable with each other, or with a baseline's.
        managed: The secrets of an installation; None without one.
        consumers: Consumers by the digest of a bearer that is let in.
    """

    def __init__(
        self,
        salt: bytes,
        managed: Managed | None = None,
        consumers: Mapping[str, Name] | None = None,
    ) -> None:
        self._salt, self._managed = salt, managed
        self._consumers = consumers or {}
        looks = managed.looks if managed else Looks()
        self._shortest = min(looks.shortest, FLOOR * 2)

    def find(self, data: bytes) -> Iterator[Match]:
        """Every secret in a text, a value once at each place: as ours where it is."""
        told: set[tuple[int, str, str]] = set()
        for text in texts(data, self._shortest):
            for match in self._in_one(text):
                owner = match.owned.credential if match.owned else ""
                key = match.at, match.digest, owner
                if key not in told:
                    told.add(key)
                    yield match

    def _in_one(self, text: Text) -> Iterator[Match]:
        ours: set[str] = set()
        if self._managed is not None:
            for at, value, versions in self._managed.find(text.data):
                for version in versions:
                    proof = self._managed.proof(value)
                    owned = Owned(
                        version.credential, version.id, version.secret_id, version.status, proof
                    )
                    found = self._match(LIVE if owned.lives else REVOKED, text, at, value, owned)
                    ours.add(found.digest)
                    yield found
        for shape, at, value in shaped(text.data):
            found = self._match(shape, text, at, value, None)
            if found.digest not in ours:
                yield found

    def _match(self, shape: Shape, text: Text, at: int, value: bytes, owned: Owned | None) -> Match:
        consumer = None
        if shape.rule == _BEARER:
            consumer = self._consumers.get(bearers.digest(value))
        return Match(
            rule=shape.rule,
            what=shape.what,
            at=text.place(at),
            shown=shape.shown or _known_prefix(value),
            length=len(value),
            digest=hashlib.sha256(self._salt + value).hexdigest()[:_DIGEST_HEX],
            fingerprint=self._managed.proof(value).hex()[:16] if self._managed else "",
            coding=text.coding,
            owned=owned,
            consumer=consumer,
        )


def _known_prefix(value: bytes) -> str:
    """What may be shown of a value: a prefix that every secret of its maker has."""
    known = (shape.shown for shape in SHAPES if shape.shown)
    return next((prefix for prefix in known if value.startswith(prefix.encode())), "")
