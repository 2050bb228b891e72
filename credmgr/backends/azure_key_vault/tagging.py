"""What credmgr writes on its objects: the mark, the version, and which version came before."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from credmgr.model.names import Name

MOST_TAGS: Final = 15
"""Tags on one object, each name and value 256 characters (learn.microsoft.com, "About secrets")."""
TAG_LENGTH: Final = 256
MARK: Final = "credmgr"
"""Its value is the name, so that an object copied under another name is not taken for ours."""
_VERSION: Final = f"{MARK}-version"
_PREVIOUS: Final = f"{MARK}-previous"
_STAGE: Final = f"{MARK}-stage"
OUR_TAGS: Final = 4


@dataclass(frozen=True, slots=True)
class Link:
    """The version that was current before.

    Attributes:
        version: credmgr's id.
        id: The vault's.
    """

    version: UUID
    id: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One version of an object, without its value.

    Attributes:
        id: The vault's id of it, 32 hexadecimal digits.
        enabled: Whether the vault gives its value out.
        written_at: When it was written, by the vault's clock, to the second.
        name: The name on the mark; None without a mark.
        version: credmgr's id of it; None without a mark.
        previous: What was current before it.
    """

    id: str
    enabled: bool
    written_at: datetime
    name: str | None
    version: UUID | None
    previous: Link | None


def tags_of(name: Name, version: UUID, previous: Entry | None) -> dict[str, str]:
    """The tags of a version that is to be current."""
    tags = {MARK: str(name), _VERSION: str(version)}
    if previous is not None and previous.version is not None:
        tags[_PREVIOUS] = f"{previous.version}/{previous.id}"
    return tags


def staged_tags_of(name: Name, version: UUID) -> dict[str, str]:
    """The tags of a version that is staged."""
    return {MARK: str(name), _VERSION: str(version), _STAGE: "next"}


def entry_of(
    identifier: str, written_at: datetime, tags: Mapping[str, str] | None, *, enabled: bool
) -> Entry:
    """What the vault says of a version. Tags that are not as we write them count as no mark."""
    known = tags or {}
    version = _uuid(known.get(_VERSION, ""))
    name = known.get(MARK) if version else None
    return Entry(
        identifier, enabled, written_at, name, version if name else None, _link(known, version)
    )


def _link(tags: Mapping[str, str], version: UUID | None) -> Link | None:
    text, _, identifier = tags.get(_PREVIOUS, "").partition("/")
    previous = _uuid(text)
    return Link(previous, identifier) if previous and identifier and previous != version else None


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
