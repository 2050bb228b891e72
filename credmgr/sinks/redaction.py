"""What a program printed, fit to be shown: its end, without any piece of the secret."""

import base64
import json
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

_SHOWN: Final = 400
_PIECE: Final = 6
_HIDDEN: Final = "•"


def redacted(output: str, value: str) -> str:
    """The end of `output` on one line; whatever stands in a spelling of `value` too is hidden.

    Pieces of 6 characters count, so that a value that is printed in part, or cut, is hidden too.
    """
    text = _flat(output)[-_SHOWN:]
    if not value:
        return text
    hidden = [False] * len(text)
    for spelling in _spellings(value):
        for at, length in _pieces(text, spelling):
            hidden[at : at + length] = [True] * length
    return "".join(_HIDDEN if hide else letter for letter, hide in zip(text, hidden, strict=True))


def _flat(text: str) -> str:
    """The text on one line, without what a terminal would obey."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def _pieces(text: str, spelling: str) -> Iterator[tuple[int, int]]:
    length = min(_PIECE, len(spelling))
    for at in range(len(text) - length + 1):
        if text[at : at + length] in spelling:
            yield at, length


def _spellings(value: str) -> Iterator[str]:
    raw = value.encode()
    plain = (value, json.dumps(value)[1:-1], quote(value, safe=""), repr(value)[1:-1], raw.hex())
    yield from filter(None, map(_flat, plain))
    for before in range(3):  # base64 spells a text differently behind 0, 1 and 2 other bytes
        yield base64.b64encode(b"\0" * before + raw).decode()
        yield base64.urlsafe_b64encode(b"\0" * before + raw).decode()
