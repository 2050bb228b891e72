"""A value as the bytes that its reader expects: bare, dotenv, JSON, or a template. Pure."""

import base64
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import quote
from uuid import UUID

from credmgr.errors import LimitExceeded
from credmgr.model.names import MAX_NAME_LENGTH, Name
from credmgr.model.secret import Secret
from credmgr.plugins.backend import Limits, Mistake

LIMITS: Final = Limits(value_bytes=65_536, name_length=MAX_NAME_LENGTH)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_BARE: Final = re.compile(r"[A-Za-z0-9_./:@%+,=-]+", re.ASCII)
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_ESCAPED: Final = re.compile(r'([\\"$`])')  # POSIX.1-2024, Shell Command Language, 2.2.3
_PLACE: Final = re.compile(r"\{\{\s*([a-z]+)\s*(?:\|\s*([a-z0-9]+)\s*)?\}\}")
_BRACES: Final = re.compile(r"\{\{.*?\}\}", re.DOTALL)

Render = Callable[[Name, Secret, UUID], bytes]
"""The whole content of the file that holds one copy."""


class Form(StrEnum):
    """What a reader finds in a file."""

    RAW = "raw"
    DOTENV = "dotenv"
    JSON = "json"
    TEMPLATE = "template"


@dataclass(frozen=True, slots=True)
class Rendering:
    """How a value becomes a file's content.

    Attributes:
        form: What a reader finds.
        key: The variable of a dotenv file or the key of a JSON document; empty for the usual one.
        template: The text around the value.
    """

    form: Form = Form.RAW
    key: str = ""
    template: str = ""

    def __call__(self, name: Name, secret: Secret, version: UUID) -> bytes:
        """The content.

        Raises:
            LimitExceeded: The value is too long, no Unicode text, or does not fit the form.
        """
        value = text_of(secret)
        match self.form:
            case Form.RAW:
                text = value
            case Form.DOTENV:
                text = f"{self.key or variable(name)}={quoted(value)}\n"
            case Form.JSON:
                text = json.dumps({self.key or "value": value}, ensure_ascii=False) + "\n"
            case Form.TEMPLATE:
                words = {"secret": value, "name": name, "version": str(version)}
                text = filled(self.template, words)
        return text.encode()

    def mistakes(self) -> Iterator[Mistake]:
        """What is wrong with it."""
        if (self.form is Form.TEMPLATE) is not bool(self.template):
            fix = "give both `form: template` and `template`, or neither"
            yield Mistake("template", "the form is `template` where there is one", fix)
        elif self.template:
            found = mistakes_in(self.template, "secret", ("secret", "name", "version"))
            yield from (Mistake("template", what, fix) for what, fix in found)
        if self.form is Form.DOTENV and self.key and not _VARIABLE.fullmatch(self.key):
            yield Mistake("key", "this is no name of a variable", "write one as API_KEY")
        if self.key and self.form not in (Form.DOTENV, Form.JSON):
            yield Mistake("key", f"the form {self.form} has no key", "take it out")


def filled(template: str, words: Mapping[str, str]) -> str:
    """A template with its words put in, once; what they hold is not looked into."""

    def put(place: re.Match[str]) -> str:
        return _FILTERS[place[2] or ""](words[place[1]])

    return _PLACE.sub(put, template)


def mistakes_in(template: str, needed: str, words: Collection[str]) -> Iterator[tuple[str, str]]:
    """What is wrong with a template, and the remedy: it needs one word, and knows some."""
    places = [place.groups() for place in _PLACE.finditer(template)]
    for place in _BRACES.findall(_PLACE.sub("", template)):
        yield f"{place!a} is not known", f"the filters are {', '.join(filter(None, _FILTERS))}"
    for word, used in places:
        if word not in words or (used or "") not in _FILTERS:
            known = ", ".join(words)
            yield f"{word!a} is not known here, or its filter is not", f"there are {known}"
    if needed not in [word for word, _ in places]:
        yield f"the {needed} is not in it", f"write {{{{ {needed} }}}} where it belongs"


def text_of(secret: Secret) -> str:
    """The value, which has to be Unicode text of a bounded length.

    Raises:
        LimitExceeded: It is not.
    """
    value = secret.reveal()
    # A search, not a failed encoding: its exception would carry the value.
    if _SURROGATE.search(value):
        raise LimitExceeded("the value is not Unicode text")
    length = len(value.encode())
    if length > LIMITS.value_bytes:
        raise LimitExceeded(f"the value has {length} bytes; at most {LIMITS.value_bytes} fit")
    return value


def variable(name: Name) -> str:
    """The environment variable that a name stands for: `caseforge/api-key`, CASEFORGE_API_KEY."""
    text = name.upper().replace("/", "_").replace("-", "_")
    return text if _VARIABLE.fullmatch(text) else f"_{text}"


def quoted(value: str) -> str:
    """A value as the right-hand side of an assignment that a POSIX shell reads.

    Raises:
        LimitExceeded: It holds a NUL, which no variable can.
    """
    if "\0" in value:
        raise LimitExceeded("the value holds a NUL character, which no variable can")
    if _BARE.fullmatch(value):
        return value
    if "'" not in value:
        return f"'{value}'"
    return '"' + _ESCAPED.sub(r"\\\1", value) + '"'


_FILTERS: Final[Mapping[str, Callable[[str], str]]] = {
    "": str,
    "base64": lambda value: base64.b64encode(value.encode()).decode(),
    "dotenv": quoted,
    "json": lambda value: json.dumps(value, ensure_ascii=False),
    "url": lambda value: quote(value, safe=""),
}
