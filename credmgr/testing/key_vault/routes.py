"""Which request does what, and how the vault's answers look (REST reference 2026-04-01)."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from credmgr.testing.key_vault.content import RETENTION, Content, Object, Refused, Stored

PAGE: Final = 25
"""Most items of one page; `maxresults` may be less."""
API_VERSIONS: Final = ("7.4", "7.5", "7.6", "2025-07-01", "2026-04-01")
_SECRET: Final = re.compile(r"/secrets/([^/]*)(?:/([^/]*))?")
_DELETED: Final = re.compile(r"/deletedsecrets/([^/]*)(/recover)?")
Answer = tuple[int, Any]


class Routes:
    """Answers the requests of one vault."""

    def __init__(self, content: Content, url: str) -> None:
        self._content = content
        self._url = url

    def answer(self, method: str, target: str, body: bytes) -> Answer:
        """The status and the JSON of the answer; None is no body."""
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query))
        try:
            if query.get("api-version") not in API_VERSIONS:
                raise Refused(400, "BadParameter")  # noqa: TRY301 (one place answers errors)
            with self._content.lock:
                return self._routed(method, parts.path, query, body)
        except Refused as refused:
            return refused.status, error_body(refused.code, refused.inner)

    def _routed(self, method: str, path: str, query: Mapping[str, str], body: bytes) -> Answer:
        if path in ("/secrets", "/deletedsecrets") and method == "GET":
            deleted = path == "/deletedsecrets"
            found = self._content.objects(deleted=deleted)
            item = self._deleted if deleted else self._listed
            return 200, self._page(path, query, [item(one) for one in found])
        if found_secret := _SECRET.fullmatch(path):
            return self._secret(method, found_secret[1], found_secret[2] or "", query, body)
        if found_deleted := _DELETED.fullmatch(path):
            return self._deleted_secret(method, found_deleted[1], bool(found_deleted[2]))
        raise Refused(404, "NotFound")

    def _secret(
        self, method: str, name: str, version: str, query: Mapping[str, str], body: bytes
    ) -> Answer:
        content = self._content
        match method, version:
            case "GET", "versions":
                found = content.versions(name)
                items = [self._item(name, stored, stored.id) for stored in found]
                return 200, self._page(f"/secrets/{name}/versions", query, items)
            case "GET", _:
                return 200, self._bundle(name, content.get(name, version))
            case "PUT", "":
                return 200, self._bundle(name, content.set(name, _parsed(body)))
            case "PATCH", _:
                stored = content.update(name, version, _parsed(body))
                return 200, self._item(name, stored, stored.id)
            case "DELETE", "":
                return 200, self._deleted(content.delete(name))
            case "POST", "backup":
                return 200, {"value": content.backup(name)}
            case "POST", "" if name == "restore":
                raise Refused(400, "BadParameter")  # no backup is taken back
            case _:
                raise Refused(405, "MethodNotAllowed")

    def _deleted_secret(self, method: str, name: str, recover: bool) -> Answer:  # noqa: FBT001 (its caller is above)
        match method, recover:
            case "GET", False:
                return 200, self._deleted(self._content.deleted(name))
            case "POST", True:
                found = self._content.recover(name)
                newest = found.versions[-1]
                return 200, self._item(found.name, newest, newest.id)
            case "DELETE", False:
                self._content.purge(name)
                return 204, None
            case _:
                raise Refused(405, "MethodNotAllowed")

    def _listed(self, found: Object) -> dict[str, Any]:
        return self._item(found.name, found.versions[-1], "")

    def _item(self, name: str, stored: Stored, version: str) -> dict[str, Any]:
        attributes = {
            "enabled": True,
            **stored.attributes,
            "created": stored.created,
            "updated": stored.updated,
            "recoveryLevel": self._level,
            "recoverableDays": RETENTION.days,
        }
        item: dict[str, Any] = {
            "id": f"{self._url}/secrets/{name}" + (f"/{version}" if version else ""),
            "attributes": attributes,
            "tags": dict(stored.tags),
        }
        return item | ({"contentType": stored.content_type} if stored.content_type else {})

    def _bundle(self, name: str, stored: Stored) -> dict[str, Any]:
        return {"value": stored.value, **self._item(name, stored, stored.id)}

    def _deleted(self, found: Object) -> dict[str, Any]:
        newest, at = found.versions[-1], found.deleted_at
        assert at is not None
        return {
            **self._item(found.name, newest, newest.id),
            "recoveryId": f"{self._url}/deletedsecrets/{found.name}",
            "deletedDate": int(at.timestamp()),
            "scheduledPurgeDate": int((at + RETENTION).timestamp()),
        }

    def _page(
        self, path: str, query: Mapping[str, str], items: Sequence[dict[str, Any]]
    ) -> dict[str, Any]:
        size, start = query.get("maxresults", str(PAGE)), query.get("$skiptoken", "0")
        if not (size.isdecimal() and 0 < int(size) <= PAGE and start.isdecimal()):
            raise Refused(400, "BadParameter")
        end = int(start) + int(size)
        more = f"{self._url}{path}?api-version={query['api-version']}&maxresults={size}"
        following = f"{more}&$skiptoken={end}" if end < len(items) else None
        return {"value": items[int(start) : end], "nextLink": following}

    @property
    def _level(self) -> str:
        return "Recoverable" if self._content.purge_protection else "Recoverable+Purgeable"


def error_body(code: str, inner: str | None = None) -> dict[str, Any]:
    """An error as the vault words it."""
    error: dict[str, Any] = {"code": code, "message": "The fake vault says no."}
    return {"error": error | ({"innererror": {"code": inner}} if inner else {})}


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise Refused(400, "BadParameter")
    return parsed
