"""An installation that a scan can ask, and texts with its secrets in them."""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid4

from credmgr.model.names import Name
from credmgr.model.secret import Fingerprinter, Secret
from credmgr.model.version import Version, VersionStatus
from credmgr.scan.installation import Matching
from credmgr.scan.managed import Looks
from credmgr.scan.matching import Match, Matcher

NAME = Name("team/key")
FINGERPRINTER = Fingerprinter(b"f" * 32)
WHEN = datetime(2026, 11, 25, tzinfo=UTC)


def version(
    value: str,
    status: VersionStatus = VersionStatus.CURRENT,
    name: Name = NAME,
    identity: UUID | None = None,
) -> Version:
    """A version with this value."""
    mark = FINGERPRINTER.of(Secret(value))
    return Version(identity or uuid4(), name, "key_1", "", status, mark, WHEN)


def matching(*values: str, whole: bool = True, versions: Sequence[Version] = ()) -> Matching:
    """What to match with where these are the live values."""
    known = (*(version(value) for value in values), *versions)
    looks = Looks.of([Secret(value) for value in values], whole=whole) if values else Looks()
    return Matching(b"salt", FINGERPRINTER, known, looks)


def matches(matcher: Matcher, text: str | bytes) -> list[Match]:
    """What is found in a text."""
    return list(matcher.find(text.encode() if isinstance(text, str) else text))


def ours(matcher: Matcher, text: str | bytes) -> list[Match]:
    """What of it is ours."""
    return [match for match in matches(matcher, text) if match.owned is not None]


def live_key() -> str:
    """A key of the form that CaseForge's live ones have; new in every run."""
    return "cf_live_" + secrets.token_hex(20)
