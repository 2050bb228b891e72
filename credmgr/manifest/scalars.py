"""What an unquoted YAML scalar means, and where the versions of YAML disagree."""

import re
from typing import Any, Final

from credmgr.manifest.tree import Plain

NUMBER: Final = "a number"
TRUTH: Final = "a truth value"
NOTHING: Final = "nothing"
_LONGEST: Final = 100  # no number, date or word is longer, and the patterns stay cheap

# The resolutions of YAML 1.1 (yaml.org/type) and of the core schema of YAML 1.2.2, §10.3.2.
_WORDS: Final = {
    TRUTH: "y n yes no on off true false",
    NOTHING: "~ null",
}
_MEANING: Final = {word: meaning for meaning, words in _WORDS.items() for word in words.split()}
_DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})", re.ASCII)
_FRACTION: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})\.[0-9]{1,17}", re.ASCII)
_SURPRISING: Final = (
    (re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?", re.ASCII), "a base-60 number"),
    (re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt \t].*)?", re.ASCII), "a date"),
    (re.compile(r"[-+]?0[0-7_]+|0o[0-7]+", re.ASCII), "an octal number"),
    (re.compile(r"[-+]?0x[0-9a-fA-F_]+", re.ASCII), "a hexadecimal number"),
    (re.compile(r"[-+]?0b[01_]+", re.ASCII), "a binary number"),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*\.?[0-9_]*)([eE][-+]?[0-9]+)?", re.ASCII), NUMBER),
    (re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", re.ASCII), NUMBER),
)


def meaning(text: str) -> str | None:
    """What some YAML parser takes the unquoted `text` for; None when all of them read text."""
    if not text:
        return NOTHING
    if len(text) > _LONGEST:
        return None
    word = text if text in {text.lower(), text.upper(), text.capitalize()} else ""
    if word.lower() in _MEANING:
        return _MEANING[word.lower()]
    return next((sense for pattern, sense in _SURPRISING if pattern.fullmatch(text)), None)


def resolve(text: str) -> Any:
    """The value of an unquoted scalar: a `Plain` where the versions of YAML disagree."""
    sense = meaning(text)
    if sense is None:
        return text
    if _DECIMAL.fullmatch(text):
        return int(text)
    if _FRACTION.fullmatch(text):
        return float(text)
    if sense == NOTHING:
        return None
    if text in {"true", "false"}:
        return text == "true"
    return Plain(text, sense)
