"""The texts that a text contains in another form: base64, hexadecimal, escaped, UTF-16.

Runs are decoded at every alignment, and what comes out printable is a text. So a secret is found in
`Basic …` headers and Kubernetes Secrets, whatever stands before it in the same run.
"""

import binascii
import html
import re
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Final
from urllib.parse import unquote_to_bytes

from credmgr.scan.runs import Runs

DEPTH: Final = 3
"""Codings within each other that are undone: base64 of JSON of base64."""
_LONGEST: Final = 1 << 16
"""Bytes of a line around an escape that are unescaped together."""
_KEPT: Final = 1 << 12
"""Bytes by which such stretches overlap."""

_WRAPPED: Final = re.compile(
    rb"(?:[A-Za-z0-9+/]{60,76}\r?\n[ \t]{0,16}){1,4096}[A-Za-z0-9+/=]{2,76}"
)
_LINE: Final = 60
_BASE64: Final = string.ascii_letters.encode() + b"0123456789+/-_"
_HEX: Final = string.hexdigits.encode()
_PRINTABLE: Final = bytes(range(0x20, 0x7F)) + b"\t\r\n"
_ZERO: Final = b"\x00"
_SPACE: Final = re.compile(rb"\s+")
_HEX_ESCAPES: Final = re.compile(rb"(?:\\x[0-9A-Fa-f]{2}){8,}")
_PERCENT: Final = re.compile(rb"%[0-9A-Fa-f]{2}")
_BACKSLASH: Final = re.compile(rb"\\(?:u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|[\\/\"'nrt])")
_ENTITY: Final = re.compile(rb"&(?:#[0-9]{1,7}|#x[0-9A-Fa-f]{1,6}|[a-z]{2,6});")
_LETTERS: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}
_TO_STANDARD: Final = bytes.maketrans(b"-_", b"+/")


@dataclass(frozen=True, slots=True)
class Text:
    """A text as it stands, or one that was decoded from it.

    Attributes:
        data: The bytes.
        at: Where it begins in the text as it stands.
        coding: How it was coded there, outermost first; empty for the text as it stands.
    """

    data: bytes
    at: int = 0
    coding: tuple[str, ...] = ()

    def place(self, offset: int) -> int:
        """Where something stands in the text as it is; of decoded ones, where the run begins."""
        return self.at if self.coding else offset


def texts(data: bytes, shortest: int) -> Iterator[Text]:
    """The text, and every text of at least `shortest` bytes that is coded in it."""
    todo = [Text(data)]
    while todo:
        text = todo.pop()
        yield text
        if len(text.coding) < DEPTH:
            todo.extend(_inside(text, shortest))


def _inside(text: Text, shortest: int) -> Iterator[Text]:
    for start, coding, data in chain.from_iterable(
        find(text.data, shortest) for find in (_base64, _hexadecimal, _utf16, _escaped)
    ):
        yield Text(data, text.place(start), (*text.coding, coding))


def _base64(data: bytes, shortest: int) -> Iterator[tuple[int, str, bytes]]:
    for start, run in chain(_runs(_BASE64, shortest * 4 // 3).find(data), _wrapped(data)):
        digits = run.translate(_TO_STANDARD)
        for shift in range(4):
            size = len(digits) - shift
            end = len(digits) - (1 if size % 4 == 1 else 0)
            padded = digits[shift:end] + b"=" * (-(end - shift) % 4)
            for _, found in _runs(_PRINTABLE, shortest).find(binascii.a2b_base64(padded)):
                yield start, "base64", found


def _wrapped(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Base64 that is wrapped into lines, as in mail and PEM, in one piece."""
    if next(_runs(_BASE64, _LINE).find(data), None) is None:
        return
    for match in _WRAPPED.finditer(data):
        yield match.start(), _SPACE.sub(b"", match[0]).rstrip(b"=")


def _hexadecimal(data: bytes, shortest: int) -> Iterator[tuple[int, str, bytes]]:
    for start, digits in chain(_runs(_HEX, 2 * shortest).find(data), _hex_escapes(data)):
        for shift in range(2):
            size = (len(digits) - shift) // 2 * 2
            decoded = binascii.a2b_hex(digits[shift : shift + size])
            for _, found in _runs(_PRINTABLE, shortest).find(decoded):
                yield start, "hex", found


def _hex_escapes(data: bytes) -> Iterator[tuple[int, bytes]]:
    if b"\\x" in data:
        for match in _HEX_ESCAPES.finditer(data):
            yield match.start(), match[0].replace(b"\\x", b"")


def _utf16(data: bytes, shortest: int) -> Iterator[tuple[int, str, bytes]]:
    """Every second byte, where the others are zero: either byte order, at either alignment."""
    if b"\x00" not in data:
        return
    for parity in range(2):
        letters, zeros = data[parity::2], data[1 - parity :: 2]
        for at, row in _runs(_ZERO, shortest).find(zeros):
            for start in range(max(at - 1, 0), at + 2):
                yield 2 * start + parity, "utf-16", letters[start : start + len(row)]


def _escaped(data: bytes, shortest: int) -> Iterator[tuple[int, str, bytes]]:
    for coding, sign, mark, undo in _ESCAPES:
        if sign not in data:
            continue
        for start, end in _around(data, mark):
            undone = undo(data[start:end])
            if len(undone) >= shortest:
                yield start, coding, undone


def _around(data: bytes, mark: re.Pattern[bytes]) -> Iterator[tuple[int, int]]:
    """The lines that have a mark; of very long ones, overlapping stretches."""
    done = 0
    for match in mark.finditer(data):
        if match.end() <= done:
            continue
        start = max(data.rfind(b"\n", 0, match.start()) + 1, match.start() - _KEPT)
        line_end = data.find(b"\n", match.end())
        end = min(len(data) if line_end < 0 else line_end, start + _LONGEST)
        done = end if end - start < _LONGEST else end - _KEPT
        yield start, end


def _unescape(data: bytes) -> bytes:
    """Without the escapes of JSON, and of most languages' strings."""
    return _BACKSLASH.sub(_one, data)


def _one(match: re.Match[bytes]) -> bytes:
    letter = match[0][1:]
    if letter[:1] in b"ux" and len(letter) > 1:
        return chr(int(letter[1:], 16)).encode(errors="replace")
    return _LETTERS.get(letter, letter)


def _unentity(data: bytes) -> bytes:
    text = data.decode(errors="surrogateescape")
    return html.unescape(text).encode(errors="surrogateescape")


_ESCAPES: Final[tuple[tuple[str, bytes, re.Pattern[bytes], Callable[[bytes], bytes]], ...]] = (
    ("percent", b"%", _PERCENT, unquote_to_bytes),
    ("escaped", b"\\", _BACKSLASH, _unescape),
    ("entities", b"&", _ENTITY, _unentity),
)


@cache
def _runs(alphabet: bytes, least: int) -> Runs:
    return Runs(alphabet, least)
