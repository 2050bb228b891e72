"""Reading JSON bodies by a declared shape: all mistakes at once, each under its field's name."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, ClassVar, Final, Protocol, TypeAlias

from starlette.requests import Request

from credmgr.errors import CredmgrError
from credmgr.sandbox.answers import Refusal, bad_request

MOST_BYTES: Final = 65_536
REQUIRED: Final = object()
"""The default of a field that has none."""


class Unfit(CredmgrError):
    """The value does not fit its field."""

    code: ClassVar[str] = "unfit"


class Rule(Protocol):
    """What a field may hold."""

    @property
    def default(self) -> object:
        """What stands in for a missing field, or REQUIRED."""
        ...

    def check(self, value: object) -> Any:
        """The value to go on with.

        Raises:
            Unfit: What is wrong, as a sentence's end: "is not …".
        """
        ...


Shape: TypeAlias = Mapping[str, Rule]


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Printable text, perhaps one of a few choices."""

    default: object = REQUIRED
    shortest: int = 0
    longest: int = 200
    choices: Collection[str] = ()
    lines: bool = False

    def check(self, value: object) -> str:
        """The text."""
        if not isinstance(value, str):
            raise Unfit("is not a text")
        if not self.shortest <= len(value) <= self.longest:
            raise Unfit(f"is not {self.shortest} to {self.longest} characters long")
        shown = value.replace("\n", " ") if self.lines else value
        if not shown.isprintable():
            raise Unfit("holds characters that cannot be printed")
        if self.choices and value not in self.choices:
            raise Unfit(_not_among(value, self.choices))
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """A list of different texts out of a few choices."""

    choices: Collection[str]
    default: object = REQUIRED

    def check(self, value: object) -> tuple[str, ...]:
        """The texts, each once, in the order given."""
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise Unfit("is not a list of texts")
        for item in value:
            if item not in self.choices:
                raise Unfit(_not_among(item, self.choices))
        return tuple(dict.fromkeys(value))


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A number within bounds; `whole` refuses fractions."""

    default: object = REQUIRED
    least: float = 0
    most: float = 1e12
    whole: bool = False

    def check(self, value: object) -> float:
        """The number."""
        if isinstance(value, bool) or not isinstance(value, int if self.whole else (int, float)):
            raise Unfit("is not a whole number" if self.whole else "is not a number")
        if not self.least <= value <= self.most:
            raise Unfit(f"is not between {self.least:g} and {self.most:g}")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """True or false."""

    default: object = REQUIRED

    def check(self, value: object) -> bool:
        """The flag."""
        if not isinstance(value, bool):
            raise Unfit("is neither true nor false")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyOf:
    """What the first fitting rule makes of it; null too when `nullable`."""

    rules: Sequence[Rule]
    default: object = None

    def check(self, value: object) -> Any:
        """The value."""
        if value is None:
            return None
        problems = []
        for rule in self.rules:
            try:
                return rule.check(value)
            except Unfit as error:
                problems.append(str(error))
        raise Unfit(" and ".join(problems))


async def read_json(request: Request) -> dict[str, Any]:
    """The JSON object that is the body of `request`, at most 64 KiB; no body is an empty object.

    Raises:
        Refusal: 413 or 415, or 400 when it is no JSON object or a key comes twice.
    """
    body = await read_bytes(request)
    if not body:
        return {}
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise Refusal(415, "unsupported_media_type", "The body must be application/json.")
    try:
        value = json.loads(body, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise bad_request("The body is not valid JSON.") from error
    if not isinstance(value, dict):
        raise bad_request("The body must be a JSON object.")
    return value


async def read_bytes(request: Request) -> bytes:
    """The body of `request`.

    Raises:
        Refusal: 413, it is longer than 64 KiB.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise Refusal(413, "request_too_large", "The body is longer than 64 KiB.")
    return bytes(body)


def read(shape: Shape, body: Mapping[str, Any], *, partial: bool = False) -> Any:
    """The fields of `body` as `shape` declares them; `partial` asks for none and fills in none.

    Raises:
        Refusal: 400 with every problem in `fields`.
    """
    problems = {name: _unknown(name, shape) for name in body if name not in shape}
    values: dict[str, Any] = {}
    for name, rule in shape.items():
        if name in body:
            try:
                values[name] = rule.check(body[name])
            except Unfit as error:
                problems[name] = str(error)
        elif not partial and rule.default is REQUIRED:
            problems[name] = "is missing"
        elif not partial:
            values[name] = rule.default
    if problems:
        raise bad_request("The body has mistakes; `fields` lists them.", fields=problems)
    return values


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key comes twice")
    return found


def _unknown(name: str, shape: Shape) -> str:
    return f"is not a known field{_meant(name, shape)}"


def _not_among(value: str, choices: Collection[str]) -> str:
    return f"is not one of {', '.join(choices)}{_meant(value, choices)}"


def _meant(name: str, known: Collection[str]) -> str:
    close = get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""
