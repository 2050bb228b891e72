"""What an entry looks like inside: the value, or its fields, and credmgr's id; pure."""

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

from credmgr.backends.vault.factory import LIMITS
from credmgr.backends.vault.options import ID_FIELD, VaultOptions
from credmgr.errors import LimitExceeded
from credmgr.model.secret import Secret
from credmgr.plugins.templates import Template

MOST_FIELDS: Final = 256
"""OpenBao refuses a request whose JSON has more than 1,000 strings, names included."""
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Layout:
    """How a secret becomes the fields of an entry, all strings: an audit device shows numbers.

    Attributes:
        kind: `value` for one field, `fields` for a secret that is a JSON object of strings.
        field: Name of the one field.
        template: The text around the secret in it; empty is none.
        constants: Further fields beside it.
    """

    kind: Literal["value", "fields"] = "value"
    field: str = "value"
    template: str = ""
    constants: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def document(self, secret: Secret, version: UUID) -> dict[str, str]:
        """The fields that hold `secret`.

        Raises:
            LimitExceeded: It is too long, no Unicode text, or does not fit the layout.
        """
        text = secret.reveal()
        # A search, not a failed encoding: its exception would carry the value.
        if _SURROGATE.search(text):
            raise LimitExceeded("the value is not Unicode text")
        if self.template:
            text = Template.of(self.template).filled(text)
        length = len(text.encode())
        if length > LIMITS.value_bytes:
            raise LimitExceeded(f"the value has {length} bytes; at most {LIMITS.value_bytes} fit")
        one = {**self.constants, self.field: text}
        fields = one if self.kind == "value" else _fields_of(text)
        return {**fields, ID_FIELD: str(version)}

    def value(self, document: Mapping[str, Any]) -> Secret | None:
        """The secret that the fields hold; None when they hold none."""
        if self.kind == "value":
            found = document.get(self.field)
            if self.template and isinstance(found, str):
                found = Template.of(self.template).inside(found)
            return Secret(found) if isinstance(found, str) and found else None
        fields = {name: text for name, text in document.items() if name != ID_FIELD}
        whole = fields and all(isinstance(text, str) for text in fields.values())
        return Secret(_spelled(fields)) if whole else None

    @staticmethod
    def version(document: Mapping[str, Any]) -> UUID | None:
        """The id that credmgr gave the version; None when we did not write it."""
        try:
            return UUID(document.get(ID_FIELD))
        except (TypeError, ValueError, AttributeError):
            return None


def layout_of(options: VaultOptions) -> Layout:
    """The layout that the options say."""
    return Layout(options.layout, options.field, options.template, options.constants)


def _fields_of(text: str) -> dict[str, str]:
    """The fields, if they can be told back to the letter: the server keeps no order or spaces."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        fields = None
    if (
        not isinstance(fields, dict)
        or not all(isinstance(value, str) for value in fields.values())
        or not fields
        or ID_FIELD in fields
        or _spelled(fields) != text
    ):
        raise LimitExceeded(
            "the value is not a JSON object of strings as the layout `fields` stores it",
            hint="write it without spaces, its names sorted, other letters than ASCII as they are",
        )
    if len(fields) > MOST_FIELDS:
        raise LimitExceeded(f"the value has {len(fields)} fields; at most {MOST_FIELDS} fit")
    return fields


def _spelled(fields: Mapping[str, str]) -> str:
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
