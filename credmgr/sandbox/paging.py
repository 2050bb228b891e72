"""Lists in pages: a limit, and an opaque cursor that points behind the last item seen."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Protocol, Self

from credmgr.sandbox.answers import Refusal, bad_request

_DEFAULT_LIMIT: Final = 50
_HIGHEST_LIMIT: Final = 1000
_LONGEST_NUMBER: Final = 18


class Numbered(Protocol):
    """Something that has a place in the order of creation."""

    @property
    def number(self) -> int:
        """The place: unique, rising."""
        ...

    def as_json(self) -> dict[str, Any]:
        """What the list shows of it."""
        ...


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is wanted.

    Attributes:
        limit: At most so many items, 1 to 1000.
        after: Only items with a higher number.
    """

    limit: int = _DEFAULT_LIMIT
    after: int = 0

    @classmethod
    def wanted(cls, query: Mapping[str, str]) -> Self:
        """What `?limit=…&cursor=…` asks for.

        Raises:
            Refusal: 400, the limit is out of range or the cursor is none of ours.
        """
        limit = query.get("limit", str(_DEFAULT_LIMIT))
        if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= _HIGHEST_LIMIT):
            raise bad_request(f"limit is a whole number from 1 to {_HIGHEST_LIMIT}")
        cursor = query.get("cursor")
        return cls(int(limit), _decoded(cursor) if cursor else 0)

    def cut(self, items: Iterable[Numbered]) -> dict[str, Any]:
        """The page out of `items`, which are in order: `{"items": […], "next_cursor": …}`."""
        behind = (item for item in items if item.number > self.after)
        found = list(islice(behind, self.limit + 1))
        shown = found[: self.limit]
        more = len(found) > self.limit
        return {
            "items": [item.as_json() for item in shown],
            "next_cursor": _encoded(shown[-1].number) if more else None,
        }


def _encoded(number: int) -> str:
    return urlsafe_b64encode(f"n{number}".encode()).decode().rstrip("=")


def _decoded(cursor: str) -> int:
    try:
        text = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except ValueError as error:
        raise _unknown_cursor() from error
    digits = text[1:]
    if text[:1] != "n" or not digits.isdigit() or len(digits) > _LONGEST_NUMBER:
        raise _unknown_cursor()
    return int(digits)


def _unknown_cursor() -> Refusal:
    return bad_request("the cursor is not one that this list gave out")
