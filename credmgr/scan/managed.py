"""Whether a text is a secret that credmgr manages, by its keyed fingerprint.

A candidate is hashed under the installation's key and looked up among the fingerprints of all
versions: nothing is guessed, and what is found is exactly a secret of ours. What the candidates are
comes from how secrets look: their lengths and characters, learnt from the stores at the time of the
scan, never recorded.
"""

import re
import string
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final, Self

from credmgr.model.secret import Fingerprinter, Secret
from credmgr.model.version import Version
from credmgr.scan.runs import Runs

FLOOR: Final = 8
"""Bytes below which nothing is looked for: such a secret would be found in every book."""
USUAL: Final = 16
"""Bytes of the shortest secret that is expected where no store could be asked."""
LONGEST_WORD: Final = 4096
_MEMORY: Final = 1 << 18
"""Candidates remembered as harmless: source code says the same words again and again."""

_WORD: Final = string.ascii_letters.encode() + b"0123456789_.~+/=-"
_BOUND: Final = re.compile(rb"[^A-Za-z0-9]")
_FINGERPRINT: Final = re.compile("[0-9a-f]{16}")
_QUOTED: Final = re.compile(rb"\"([^\"\n]{8,4096})\"|'([^'\n]{8,4096})'|`([^`\n]{8,4096})`")
_ODD: Final = re.compile(rb"[^A-Za-z0-9_.~+/=\s-]")
_ASSIGNED: Final = re.compile(rb"^[^=:\n]{0,256}[=:][ \t]{0,8}([^\n]{8,4096})$", re.MULTILINE)
_PEM: Final = re.compile(
    rb"-----BEGIN [A-Z0-9 ]{1,40}-----[^-]{1,16384}-----END [A-Z0-9 ]{1,40}-----\r?\n?"
)
_SIGN: Final = re.compile(rb"[=:]")
_INDENT: Final = re.compile(rb"\n[ \t]+")
_EDGES: Final = b"\"'`,;.:()[]{}<>= \t\r"


@dataclass(frozen=True, slots=True)
class Looks:
    """What the secrets of an installation look like.

    Attributes:
        lengths: In bytes; empty where no store could be asked.
        alphabet: The bytes that occur in any of them.
        whole: Whether every live secret is among those that were looked at.
    """

    lengths: frozenset[int] = frozenset()
    alphabet: frozenset[int] = frozenset()
    whole: bool = False

    @classmethod
    def of(cls, secrets: Iterable[Secret], *, whole: bool) -> Self:
        """What these look like together."""
        values = [secret.reveal().encode() for secret in secrets]
        lengths = frozenset(len(value) for value in values if len(value) >= FLOOR)
        return cls(lengths, frozenset(byte for value in values for byte in value), whole)

    @property
    def shortest(self) -> int:
        """The fewest bytes that a candidate has."""
        known = min(self.lengths, default=USUAL)
        return known if self.whole else min(known, USUAL)


class Candidates:
    """What in a text might be a secret, given how secrets look."""

    def __init__(self, looks: Looks) -> None:
        self._lengths = tuple(sorted(looks.lengths))
        self._shortest, self._whole = looks.shortest, looks.whole
        self._word = Runs(_WORD, self._shortest)
        self._solid = re.compile(rb"\S{%d,256}" % self._shortest)
        self._run = Runs(looks.alphabet, min(looks.lengths)) if looks.lengths else None

    def of(self, text: bytes) -> Iterator[tuple[int, bytes]]:
        """Candidates with their places, many of them more than once."""
        yield from self._words(text)
        if self._run is not None:
            for at, run in self._run.find(text):
                for start, piece in self._pieces(run):
                    yield at + start, piece
        if not self._whole:
            yield from self._said(text)
        for match in _PEM.finditer(text) if b"-----BEGIN" in text else ():
            for block in (match[0], match[0].rstrip(), _INDENT.sub(b"\n", match[0]).rstrip()):
                yield match.start(), block

    def _words(self, text: bytes) -> Iterator[tuple[int, bytes]]:
        """Runs of what secrets mostly consist of, whole, trimmed, and between their signs."""
        for start, run in self._word.find(text):
            if len(run) > LONGEST_WORD:
                continue
            yield start, run
            if run.isalnum():
                continue
            for sign in (rb"[.~+/=]", rb"[.~+/=_-]", rb"[=]", rb"[.]", rb"[/]"):
                for piece in re.split(sign, run):
                    if self._shortest <= len(piece) < len(run):
                        yield start, piece
            yield start, run.strip(_EDGES)

    def _pieces(self, run: bytes) -> Iterator[tuple[int, bytes]]:
        """Every part of a run that has a secret's length and ends where a word could end."""
        if run.isalnum():
            if len(run) in self._lengths:
                yield 0, run
            return
        cuts = {0, len(run)}
        for match in _BOUND.finditer(run):
            cuts.update(match.span())
        for start in cuts:
            for length in self._lengths:
                if start + length in cuts:
                    yield start, run[start : start + length]

    def _said(self, text: bytes) -> Iterator[tuple[int, bytes]]:
        """What stands in quotes, behind a sign to the end of its line, or between blanks.

        Only with signs that no word has: the rest is found as a word. Needed only where it is not
        known what the secrets consist of.
        """
        for match in chain(_QUOTED.finditer(text), _ASSIGNED.finditer(text)):
            said = match[match.lastindex or 0]
            if _ODD.search(said):
                yield match.start(), said
                yield match.start(), said.strip(_EDGES)
        for match in self._solid.finditer(text):
            if _ODD.search(match[0]):
                yield from self._ends(match.start(), match[0])

    def _ends(self, start: int, run: bytes) -> Iterator[tuple[int, bytes]]:
        """A run without blanks, and what stands in it behind each `=` or `:`."""
        yield start, run
        yield start, run.strip(_EDGES)
        for sign in _SIGN.finditer(run):
            rest = run[sign.end() :]
            if len(rest) >= self._shortest:
                yield start + sign.end(), rest
                yield start + sign.end(), rest.strip(_EDGES)


class Managed:
    """The versions of an installation by their fingerprints."""

    def __init__(
        self, fingerprinter: Fingerprinter, versions: Iterable[Version], looks: Looks
    ) -> None:
        self._fingerprinter = fingerprinter
        self._versions: dict[bytes, tuple[Version, ...]] = {}
        for one in versions:
            if _FINGERPRINT.fullmatch(one.fingerprint):
                key = bytes.fromhex(one.fingerprint)
                self._versions[key] = (*self._versions.get(key, ()), one)
        self._harmless: set[bytes] = set()
        self.looks = looks
        self._candidates = Candidates(looks)

    def proof(self, value: bytes) -> bytes:
        """The whole keyed hash of a value."""
        return self._fingerprinter.whole(value)

    def find(self, text: bytes) -> Iterator[tuple[int, bytes, tuple[Version, ...]]]:
        """Managed secrets in a text: where, the value, and what has it."""
        if not self._versions:
            return
        for start, piece in self._candidates.of(text):
            if piece in self._harmless:
                continue
            versions = self._versions.get(self._fingerprinter.whole(piece)[:8])
            if versions is not None:
                yield max(text.find(piece, start), start), piece, versions
            elif len(self._harmless) < _MEMORY:
                self._harmless.add(piece)
            else:
                self._harmless.clear()
