"""An alert as JSON for programs, as plain lines for people; nothing in it acts on its reader."""

import json
import unicodedata
from typing import Any, Final

from credmgr.model.finding import Alert

VERSION: Final = 1
"""Of the JSON; docs/webhook.schema.json describes it."""
LONGEST: Final = 16_000
"""Characters of one text that are sent; what is cut is its end."""
_OVERRIDES: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_STEERING: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})


def as_json(alert: Alert) -> bytes:
    """The body of a webhook: ASCII, the message's own fields and every alert that it tells."""
    said = {
        "version": VERSION,
        "id": alert.id or alert.key,
        **_fields(alert),
        "alerts": [_fields(one) for one in alert.items or (alert,)],
    }
    return json.dumps(said, separators=(",", ":")).encode()


def _fields(alert: Alert) -> dict[str, Any]:
    return {
        "key": cut(alert.key),
        "rule": cut(alert.rule),
        "severity": alert.severity.value,
        "owner": cut(alert.owner),
        "environment": alert.environment and alert.environment.value,
        "title": cut(alert.title),
        "body": cut(alert.body),
        "at": alert.at.isoformat(),
        "resolved": alert.resolved,
        "facts": {cut(name): cut(text) for name, text in alert.facts.items()},
    }


def as_text(alert: Alert) -> str:
    """What a person reads: the body, then what the alert is about, line by line."""
    about = {
        "severity": alert.severity.value,
        "owner": alert.owner,
        "environment": alert.environment.value if alert.environment else "",
        **alert.facts,
        "key": alert.key,
        "message": alert.id,
    }
    lines = [f"{one_line(name)}: {one_line(text)}" for name, text in about.items() if text]
    body = "\n".join(one_line(line) for line in cut(alert.body).split("\n"))
    return "\n".join([body, "", *lines] if body else lines)


def one_line(text: str) -> str:
    """A text without what ends a line, steers a terminal, turns the reading or is no character."""
    return "".join(" " if _acts(character) else character for character in cut(text))


def cut(text: str) -> str:
    """A text that is not too long."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _acts(character: str) -> bool:
    return character in _OVERRIDES or unicodedata.category(character) in _STEERING
