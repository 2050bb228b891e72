"""The string that AWS keeps: the secret itself, a JSON document or another text around it."""

import json
import re
from dataclasses import dataclass
from typing import Final

from credmgr.backends.aws_secrets_manager.options import LIMITS, ValueForm
from credmgr.errors import CorruptSecret, LimitExceeded
from credmgr.model.secret import Secret
from credmgr.plugins.templates import Template

_SURROGATE: Final = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Wrapping:
    """How a secret becomes AWS's string and back.

    Attributes:
        form: Raw, JSON or a template.
        key: The key of the JSON document.
        template: The text of the template.
    """

    form: ValueForm
    key: str
    template: str = ""

    def wrapped(self, secret: Secret) -> str:
        """The string to keep.

        Raises:
            LimitExceeded: It is longer than AWS takes, or not Unicode text.
        """
        text = secret.reveal()
        # A search, not a failed encoding: its exception would carry the value.
        if _SURROGATE.search(text):
            raise LimitExceeded("the value is not Unicode text")
        match self.form:
            case ValueForm.JSON:
                text = json.dumps({self.key: text}, ensure_ascii=False)
            case ValueForm.TEMPLATE:
                text = Template.of(self.template).filled(text)
            case ValueForm.RAW:
                pass
        size = len(text.encode())
        if size > LIMITS.value_bytes:
            raise LimitExceeded(f"the value has {size} bytes; AWS takes {LIMITS.value_bytes}")
        return text

    def unwrapped(self, text: str | None, where: str) -> Secret:
        """The secret in a string.

        Raises:
            CorruptSecret: It is empty, binary, or has not the form that it should have.
        """
        value: object = text
        if self.form is ValueForm.JSON:
            value = self._inside(text)
        elif self.form is ValueForm.TEMPLATE:
            value = Template.of(self.template).inside(text or "")
        if not isinstance(value, str) or not value:
            raise CorruptSecret(f"{where} holds no {self.form} value as credmgr writes it")
        return Secret(value)

    def _inside(self, text: str | None) -> object:
        try:
            document = json.loads(text or "")
        except (ValueError, RecursionError):
            return None
        return document.get(self.key) if isinstance(document, dict) else None
