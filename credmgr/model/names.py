"""The one grammar of names."""

import re
from typing import Final, Self

from credmgr.errors import InvalidName

MAX_NAME_LENGTH: Final = 255
GRAMMAR: Final = "segments of [a-z0-9][a-z0-9-]{0,62} joined by '/'"
_SEGMENT: Final = r"[a-z0-9][a-z0-9-]{0,62}"
PATTERN: Final = rf"^{_SEGMENT}(/{_SEGMENT})*$"
_NAME: Final = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*", re.ASCII)


class Name(str):
    """A credential's, backend's, issuer's or consumer's name: `caseforge/api-key`.

    Segments of `[a-z0-9][a-z0-9-]{0,62}` joined by `/`, at most 255 characters; so a name is safe
    in paths, URLs and logs, and every backend can map it.

    Raises:
        InvalidName: The text is outside the grammar.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Check `text` against the grammar."""
        if len(text) > MAX_NAME_LENGTH or not _NAME.fullmatch(text):
            raise InvalidName(
                f"{text[:80]!a} is not a name", hint=f"names are {GRAMMAR}, 255 characters at most"
            )
        return super().__new__(cls, text)

    @property
    def segments(self) -> tuple[str, ...]:
        """The parts between the slashes."""
        return tuple(self.split("/"))
