"""What is asked of an issuer over HTTP and what it answers, neither showing a value."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from credmgr.errors import (
    InvalidAnswer,
    IssuerError,
    IssuerRefused,
    IssuerUnavailable,
    OutcomeUnknown,
)
from credmgr.model.secret import Secret

_ERROR_CODE: Final = re.compile(r"[a-z][a-z_]{0,39}")


class Authority(Enum):
    """What a call presents, and so what a refusal is about."""

    MANAGEMENT = "management"
    """credmgr's own credential at the issuer."""
    CLIENT = "client"
    """A client secret at a token endpoint: the error code decides (RFC 6749 §5.2)."""
    NOBODY = "nobody"
    """Nothing: the answer is public."""
    BEARER = "bearer"
    """An API key at an API: the status decides (RFC 6750 §3.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call, before it is made; its text shows no value, no query and no body.

    Attributes:
        method: The HTTP method.
        base: `scheme://host[:port]`, perhaps with a path.
        path: A template such as `/keys/{id}`; what messages show.
        values: What stands in the template; percent-encoded.
        query: Names and ids only.
        authority: What is presented.
        bearer: Sent as `Authorization: Bearer …`.
        basic: Sent as `Authorization: Basic …`, already encoded.
        form: Sent form-encoded.
        json: Sent as JSON.
        changes: Whether it changes something at the issuer, so that a lost answer means that it may
            have been applied.
        absent_is_fine: Whether 404 and 410 are answers and not refusals.
    """

    method: str
    base: str
    path: str
    authority: Authority
    values: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    bearer: Secret | None = None
    basic: Secret | None = None
    form: Mapping[str, str | Secret] | None = None
    json: Mapping[str, object] | None = None
    changes: bool = False
    absent_is_fine: bool = False

    def __str__(self) -> str:
        return f"{self.method} {urlsplit(self.base).netloc} {self.path}"

    @property
    def url(self) -> str:
        """Where it goes.

        Raises:
            IssuerRefused: A value would lead out of its place in the path.
        """
        if any(not value.strip(".") for value in self.values.values()):
            raise IssuerRefused(f"{self}: an empty or dotted id names nothing")
        encoded = {name: quote(value, safe="") for name, value in self.values.items()}
        query = f"?{urlencode(self.query)}" if self.query else ""
        return self.base.rstrip("/") + self.path.format_map(encoded) + query

    def lost(self, what: str) -> IssuerError:
        """The error for an answer that did not come."""
        if self.changes:
            return OutcomeUnknown(f"{self}: {what}; it may have been applied")
        return IssuerUnavailable(f"{self}: {what}")

    def senseless(self, what: str) -> IssuerError:
        """The error for an answer that is not what the protocol says."""
        if self.changes:
            return OutcomeUnknown(f"{self}: {what}; it may have been applied")
        return InvalidAnswer(f"{self}: {what}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the issuer answered; its text shows nothing of the body.

    Attributes:
        call: What was asked.
        status: The HTTP status.
        body: The JSON value; None when there is none.
    """

    call: Call
    status: int
    body: Any = field(repr=False)

    @property
    def absent(self) -> bool:
        """Whether there is no such thing."""
        return self.status in (404, 410)

    @property
    def code(self) -> str:
        """The error code (RFC 6749 §5.2) where it is a plain word, else empty."""
        found = self.body.get("error") if isinstance(self.body, dict) else None
        return found if isinstance(found, str) and _ERROR_CODE.fullmatch(found) else ""

    def text(self, name: str) -> str:
        """The member `name`, a text that is not empty and can be printed.

        Raises:
            InvalidAnswer: It is not; `OutcomeUnknown` when the call changes things.
        """
        found = self.member(name)
        if not isinstance(found, str) or not found or not found.isprintable():
            raise self.call.senseless(f"`{name}` is missing or not a text")
        return found

    def moment(self, name: str) -> datetime:
        """The member `name`, a moment with its zone (RFC 3339).

        Raises:
            InvalidAnswer: It is not; `OutcomeUnknown` when the call changes things.
        """
        try:
            found = datetime.fromisoformat(self.text(name))
        except ValueError:
            found = datetime.min  # noqa: DTZ901 (has no zone, so it is refused below)
        if found.tzinfo is None:
            raise self.call.senseless(f"`{name}` is not a moment")
        return found.astimezone(UTC)

    def entries(self, name: str) -> Sequence["Answer"]:
        """The member `name`, a list; each entry is read as an answer of its own.

        Raises:
            InvalidAnswer: It is not; `OutcomeUnknown` when the call changes things.
        """
        found = self.member(name)
        if not isinstance(found, list):
            raise self.call.senseless(f"`{name}` is missing or not a list")
        return [Answer(self.call, self.status, entry) for entry in found]

    def member(self, name: str) -> Any:
        """The member `name`, or None.

        Raises:
            InvalidAnswer: The answer is no object; `OutcomeUnknown` when the call changes things.
        """
        if not isinstance(self.body, dict):
            raise self.call.senseless("the answer is not a JSON object")
        return self.body.get(name)
