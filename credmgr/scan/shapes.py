"""What CaseForge's and our own secrets look like, found without knowing any."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from credmgr.likeness import random_looking
from credmgr.sarif import Level

_LEAST_VARIETY: Final = 5
"""Different characters below which a value is a placeholder: `cf_live_xxxxxxxx`."""
_PLACEHOLDER: Final = re.compile(
    rb"example|placeholder|change_?me|your|dummy|redacted", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Shape:
    """How one kind of secret is recognised.

    Attributes:
        rule: The id of the rule.
        what: What it is, for a person.
        pattern: Finds it; the group is the value.
        shown: What of its beginning tells nothing, and may be printed.
        level: How bad it is to find one.
        severity: The same from 0.0 to 10.0.
        guessed: Whether the pattern alone proves little, so that the value must look random too.
    """

    rule: str
    what: str
    pattern: re.Pattern[bytes]
    shown: str = ""
    level: Level = Level.ERROR
    severity: float = 8.0
    guessed: bool = False


# The prefixes are CaseForge's (DESIGN §1), its sandbox's, and `credmgr.model.bearers`.
SHAPES: Final = (
    Shape(
        "caseforge-live-key",
        "a live CaseForge API key",
        re.compile(rb"(cf_live_[A-Za-z0-9][A-Za-z0-9_-]{7,})"),
        "cf_live_",
        severity=9.0,
    ),
    Shape(
        "caseforge-sandbox-key",
        "a sandbox CaseForge API key",
        re.compile(rb"(cf_sand_[A-Za-z0-9][A-Za-z0-9_-]{7,})"),
        "cf_sand_",
        level=Level.WARNING,
        severity=5.0,
    ),
    Shape(
        "caseforge-client-secret",
        "a CaseForge client secret",
        re.compile(rb"(?<![A-Za-z0-9])(cf_secret_[A-Za-z0-9][A-Za-z0-9_-]{7,})"),
        "cf_secret_",
        severity=9.0,
    ),
    Shape(
        "credmgr-bearer",
        "a consumer's bearer for credmgr",
        re.compile(rb"(?<![A-Za-z0-9])(credmgr_[A-Za-z0-9_-]{32,})"),
        "credmgr_",
        severity=9.0,
    ),
    Shape(
        "credmgr-master-key",
        "credmgr's master key",
        re.compile(rb"(credmgr-master-key-v1:[A-Za-z0-9+/=]{16,})"),
        "credmgr-master-key-v1:",
        severity=10.0,
    ),
    Shape(
        "client-secret",
        "what is called a client secret or a CaseForge key, and looks like one",
        re.compile(
            rb"(?:client[_-]?secret|caseforge[\w-]{0,20}(?:key|secret|token))"
            rb"""["']?\s{0,8}(?:=>|:=|[:=])\s{0,8}["']?([A-Za-z0-9_~.+/=-]{16,})""",
            re.IGNORECASE,
        ),
        severity=7.0,
        guessed=True,
    ),
)
LIVE: Final = Shape(
    "managed-secret",
    "a secret that credmgr manages, and that works",
    re.compile(rb"(?!)"),
    severity=10.0,
)
REVOKED: Final = Shape(
    "revoked-secret",
    "a secret that credmgr has revoked",
    re.compile(rb"(?!)"),
    level=Level.NOTE,
    severity=1.0,
)
"""Both are known by their fingerprints, so their patterns match nothing."""
_HINTS: Final = (b"cf_", b"credmgr", b"client", b"caseforge")
"""One of these is in each of them: most texts have none, and are done with a look."""


def shaped(text: bytes) -> Iterator[tuple[Shape, int, bytes]]:
    """What has a shape, where, and its value; a value once, under its first shape."""
    lowered = text.lower()
    if not any(hint in lowered for hint in _HINTS):
        return
    taken: set[int] = set()
    for shape in SHAPES:
        for match in shape.pattern.finditer(text):
            value, at = match[1], match.start(1)
            if at not in taken and _is_real(shape, value):
                taken.add(at)
                yield shape, at, value


def _is_real(shape: Shape, value: bytes) -> bool:
    rest = value[len(shape.shown) :]
    if len(set(rest)) < _LEAST_VARIETY or _PLACEHOLDER.search(rest):
        return False
    return not shape.guessed or random_looking(rest.decode())
