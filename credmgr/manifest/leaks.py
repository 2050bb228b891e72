"""Secrets that somebody wrote into the manifest, found without ever being echoed."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from credmgr.errors import Problem
from credmgr.likeness import random_looking
from credmgr.manifest.tree import Scalar, Spot, Trail

REMEDY: Final = (
    "refer to where it is kept (file:PATH, env:NAME or systemd-credential:NAME), and replace it: "
    "it has been written down"
)

# What each looks like is said by its maker: CaseForge's documentation (DESIGN §1), RFC 7519 §3,
# RFC 7468 §10-11, developer.hashicorp.com/vault/docs/concepts/tokens, AWS IAM "unique identifiers".
_SHAPES: Final = (
    ("a CaseForge API key", re.compile(r"cf_(?:sand|live)_[A-Za-z0-9]{4}")),
    ("a sandbox client secret", re.compile(r"(?<!\w)cfs_[A-Za-z0-9_-]{16}")),
    ("credmgr's master key", re.compile(r"credmgr-master-key-v1:[A-Za-z0-9+/=]")),
    ("a consumer's bearer token", re.compile(r"(?<!\w)credmgr_[A-Za-z0-9_-]{43}")),
    ("a JSON Web Token", re.compile(r"(?<![\w-])eyJ[\w-]{8,}+\.[\w-]{8,}+\.", re.ASCII)),
    ("a private key", re.compile(r"-----BEGIN (?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY-----")),
    ("a Vault token", re.compile(r"(?<![\w.-])hv[sbr]\.[\w-]{16}", re.ASCII)),
    ("a Vault token", re.compile(r"(?<![\w.-])s\.[A-Za-z0-9]{24}(?![\w.-])", re.ASCII)),
    ("an AWS access key", re.compile(r"(?<![A-Z0-9])A(?:KI|SI)A[A-Z0-9]{16}(?![A-Z0-9])")),
    (
        "a URL with a password",
        re.compile(r"(?<![\w+.-])[A-Za-z][\w+.-]{0,30}://[^\s/@:?#]*+:[^\s/@?#]+@", re.ASCII),
    ),
    (
        "a URL with a password",
        re.compile(r"[?&](?:password|passwd|secret|token|api_?key)=[^&\s]", re.IGNORECASE),
    ),
)
_SECRET_KEY: Final = re.compile(r"(secret|token|password|passwd|passphrase|key)s?$", re.IGNORECASE)
_SHOWN_LENGTH: Final = 60


def shape(text: str) -> str | None:
    """What kind of secret `text` contains by its looks alone; None when it looks harmless."""
    return next((kind for kind, pattern in _SHAPES if pattern.search(text)), None)


def shown(text: str, otherwise: str = "this value") -> str:
    """`text` for a message, in backquotes; `otherwise` when it might be a secret or is unfit."""
    if len(text) > _SHOWN_LENGTH or not text.isprintable() or shape(text) or random_looking(text):
        return otherwise
    return f"`{text}`"


def in_scalars(scalars: Iterable[Scalar]) -> Iterator[Problem]:
    """Keys and values that are, or contain, a secret."""
    for scalar in scalars:
        kind = shape(scalar.text)
        if kind:
            yield scalar.spot.problem(f"{kind} is written into the manifest", REMEDY)
        elif names_a_secret(scalar.trail) and _unreferenced(scalar.text):
            yield scalar.spot.problem("a secret is written into the manifest", REMEDY)


def names_a_secret(trail: Trail) -> bool:
    """Whether what stands at `trail` is called a secret, token, password or key."""
    nearest = next((step for step in reversed(trail) if isinstance(step, str)), "")
    return bool(_SECRET_KEY.search(nearest))


def _unreferenced(text: str) -> bool:
    if text.startswith(("file:", "env:", "systemd-credential:")) or "://" in text:
        return False
    return random_looking(text)


def in_comments(text: str, file: str, scalars: Sequence[Scalar]) -> Iterator[Problem]:
    """Secrets in what the file says outside its keys and values."""
    inside = sorted((scalar.start, scalar.end) for scalar in scalars)
    for kind, pattern in _SHAPES:
        for match in pattern.finditer(text):
            before = bisect_right(inside, (match.start(), len(text)))
            if not before or match.start() >= inside[before - 1][1]:
                yield _spot(text, match.start(), file).problem(
                    f"{kind} is written into a comment", REMEDY
                )


def _spot(text: str, index: int, file: str) -> Spot:
    return Spot(file, text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))
