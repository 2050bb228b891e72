"""A secret inside of a text that an existing consumer expects, and taken out of it again."""

import json
import re
from dataclasses import dataclass
from typing import Final, Self

_PLACE: Final = re.compile(r"\{\{\s*secret\s*(\|\s*json\s*)?\}\}")


@dataclass(frozen=True, slots=True)
class Template:
    """Text around one secret: `{{ secret }}` as it is, `{{ secret | json }}` as a JSON string.

    Attributes:
        before: The text before the secret.
        after: The text after it.
        quoted: Whether the secret is written as a JSON string, with its quotes.
    """

    before: str
    after: str
    quoted: bool

    @classmethod
    def of(cls, text: str) -> Self:
        """The template that `text` is.

        Raises:
            ValueError: The secret has not exactly one place in it.
        """
        places = list(_PLACE.finditer(text))
        if len(places) != 1:
            raise ValueError("the template needs {{ secret }} or {{ secret | json }} exactly once")
        place = places[0]
        return cls(text[: place.start()], text[place.end() :], place[1] is not None)

    def filled(self, value: str) -> str:
        """The text with `value` in its place."""
        inside = json.dumps(value, ensure_ascii=False) if self.quoted else value
        return f"{self.before}{inside}{self.after}"

    def inside(self, text: str) -> str | None:
        """The value that fills `text`; None when `text` is none of this template."""
        ends = len(text) - len(self.after)
        fits = text.startswith(self.before) and text.endswith(self.after)
        if not fits or ends < len(self.before):
            return None
        found = text[len(self.before) : ends]
        return _unquoted(found) if self.quoted else found


def mistake_in(text: str) -> str | None:
    """What is wrong with a template, or None."""
    try:
        Template.of(text)
    except ValueError as error:
        return str(error)
    return None


def _unquoted(text: str) -> str | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, str) else None
