"""What the fake vault holds, and what may be done with it: no HTTP here."""

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import RLock
from typing import Any, Final

NAME: Final = re.compile(r"[0-9A-Za-z-]{1,127}")
MOST_BYTES: Final = 25_600
MOST_TAGS: Final = 15
TAG_LENGTH: Final = 256
TYPE_LENGTH: Final = 255


class Refused(Exception):
    """The vault's answer is an error."""

    def __init__(self, status: int, code: str, inner: str | None = None) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code
        self.inner = inner


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of a secret; times are seconds since 1970."""

    id: str
    value: str
    content_type: str | None
    tags: Mapping[str, str]
    attributes: Mapping[str, Any]
    created: int
    updated: int

    @property
    def enabled(self) -> bool:
        """Whether its value is given out."""
        return self.attributes.get("enabled") is not False


@dataclass(slots=True)
class Object:
    """A name with its versions, oldest first.

    Attributes:
        deleted_at: When it was soft-deleted; None while it is there.
        settling: How many requests still find it between there and deleted.
        stale: Versions that the next so many readers still get.
    """

    name: str
    versions: list[Stored] = field(default_factory=list)
    deleted_at: datetime | None = None
    settling: int = 0
    stale: tuple[int, list[Stored]] = (0, [])


class Content:
    """The secrets of one vault. Thread-safe; names ignore case, as Key Vault's do.

    Attributes:
        settle: How many requests a deletion or a recovery takes to become true.
        lag: How many reads of a name still get what was there before a write.
        purge_protection: Whether purging is refused.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.settle = 0
        self.lag = 0
        self.purge_protection = True
        self.lock = RLock()
        self._now = now
        self._objects: dict[str, Object] = {}

    def set(self, name: str, body: Mapping[str, Any]) -> Stored:
        """Write a new version."""
        _check_name(name)
        _check_body(body)
        found = self._objects.setdefault(name.lower(), Object(name))
        self._refuse_deleted(found)
        now = int(self._now().timestamp())
        attributes = dict(body.get("attributes") or {})
        stored = Stored(
            id=secrets.token_hex(16),
            value=body["value"],
            content_type=body.get("contentType"),
            tags=dict(body.get("tags") or {}),
            attributes=attributes,
            created=now,
            updated=now,
        )
        if self.lag:
            found.stale = (self.lag, list(found.versions))
        found.versions.append(stored)
        return stored

    def get(self, name: str, version: str) -> Stored:
        """A version; the newest one when `version` is empty."""
        stored = _pick(self.versions(name), version)
        if not stored.enabled:
            raise Refused(403, "Forbidden", "SecretDisabled")
        return stored

    def versions(self, name: str) -> list[Stored]:
        """Every version that is visible, oldest first."""
        found = self._there(name)
        left, before = found.stale
        if left:
            found.stale = (left - 1, before)
            if not before:
                raise Refused(404, "SecretNotFound")
            return before
        return list(found.versions)

    def update(self, name: str, version: str, body: Mapping[str, Any]) -> Stored:
        """Change attributes, tags or content type of a version."""
        _check_rest(body)
        found = self._there(name)
        stored = _pick(found.versions, version)
        changed = replace(
            stored,
            content_type=body.get("contentType", stored.content_type),
            tags=dict(body["tags"]) if body.get("tags") is not None else stored.tags,
            attributes={**stored.attributes, **(body.get("attributes") or {})},
            updated=int(self._now().timestamp()),
        )
        found.versions[found.versions.index(stored)] = changed
        return changed

    def delete(self, name: str) -> Object:
        """Soft-delete a name."""
        found = self._there(name)
        found.deleted_at, found.settling, found.stale = self._now(), self.settle, (0, [])
        return found

    def deleted(self, name: str) -> Object:
        """A soft-deleted name, once that is true."""
        found = self._objects.get(name.lower())
        if found is None or found.deleted_at is None or _settles(found):
            raise Refused(404, "SecretNotFound")
        return found

    def recover(self, name: str) -> Object:
        """Bring a soft-deleted name back."""
        found = self._objects.get(name.lower())
        if found is None or found.deleted_at is None:
            raise Refused(404, "SecretNotFound")
        if _settles(found):
            raise Refused(409, "Conflict", "ObjectIsBeingDeleted")
        found.deleted_at, found.settling = None, self.settle
        return found

    def purge(self, name: str) -> None:
        """Destroy a soft-deleted name, unless purge protection forbids it."""
        self.deleted(name)
        if self.purge_protection:
            raise Refused(403, "Forbidden", "ForbiddenByPolicy")
        del self._objects[name.lower()]

    def backup(self, name: str) -> str:
        """A text that stands for every version of a name."""
        return secrets.token_urlsafe(len(self._there(name).versions))

    def objects(self, *, deleted: bool) -> list[Object]:
        """The names that are there, or those that are soft-deleted, sorted."""
        found = (one for one in self._objects.values() if one.versions)
        return sorted(
            (one for one in found if (one.deleted_at is not None) is deleted),
            key=lambda one: one.name,
        )

    def _there(self, name: str) -> Object:
        _check_name(name)
        found = self._objects.get(name.lower())
        if found is None or not found.versions or found.deleted_at or _settles(found):
            raise Refused(404, "SecretNotFound")
        return found

    @staticmethod
    def _refuse_deleted(found: Object) -> None:
        if found.deleted_at is not None:
            inner = "ObjectIsBeingDeleted" if _settles(found) else "ObjectIsDeletedButRecoverable"
            raise Refused(409, "Conflict", inner)
        if _settles(found):
            raise Refused(409, "Conflict", "ObjectIsBeingRecovered")


def _settles(found: Object) -> bool:
    found.settling = max(found.settling - 1, -1)
    return found.settling >= 0


def _pick(versions: list[Stored], version: str) -> Stored:
    if not version:
        return versions[-1]
    for stored in versions:
        if stored.id == version:
            return stored
    raise Refused(404, "SecretNotFound")


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise Refused(400, "BadParameter")


def _check_body(body: Mapping[str, Any]) -> None:
    value = body.get("value")
    if not isinstance(value, str) or not value or len(value.encode()) > MOST_BYTES:
        raise Refused(400, "BadParameter")
    _check_rest(body)


def _check_rest(body: Mapping[str, Any]) -> None:
    tags = body.get("tags") or {}
    texts = [*tags.keys(), *tags.values()]
    short = all(isinstance(text, str) and len(text) <= TAG_LENGTH for text in texts)
    if len(tags) > MOST_TAGS or not short or len(body.get("contentType") or "") > TYPE_LENGTH:
        raise Refused(400, "BadParameter")
    attributes = body.get("attributes") or {}
    if not isinstance(attributes, dict) or not attributes.keys() <= {"enabled", "nbf", "exp"}:
        raise Refused(400, "BadParameter")


RETENTION: Final = timedelta(days=90)
