"""Log lines: for a person on a terminal, or JSON for a machine; never with a secret.

The `Secret` type is the first line of defence, since it does not show itself. The redaction here is
the second: it knows the shapes of secrets, and the names of fields that hold them.
"""

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, Final, TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

from credmgr.signs import SIGNS

REDACTED: Final = "[redacted]"
_FIELDS: Final = re.compile(
    r"(?:^|_)(?:secret|token|password|passwd|api_key|authorization|private_key|master_key)$",
    re.IGNORECASE,
)
_SHAPES: Final = re.compile(
    r"""
      cf_(?:sand|live)_[A-Za-z0-9_-]{8,}               # CaseForge API keys
    | cf_secret_[A-Za-z0-9_-]{8,}                      # its sandbox's client secrets
    | \bcredmgr_[A-Za-z0-9_-]{32,}                     # bearers of consumers
    | eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*   # JSON web tokens (RFC 7519)
    | \bhvs\.[A-Za-z0-9_-]{20,} | \bs\.[A-Za-z0-9]{24,}         # Vault and OpenBao tokens
    | credmgr-master-key-v1:[A-Za-z0-9+/=]+
    | -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----[\s\S]*?(?:-----END|$)
    """,
    re.VERBOSE,
)
_HEADERS: Final = re.compile(
    r"(?<=bearer )[A-Za-z0-9._~+/=-]{8,}|(?<=basic )[A-Za-z0-9+/=]{8,}", re.IGNORECASE
)
_UNSEEN: Final = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)
_COLOURS: Final = {"warning": "33", "error": "31", "critical": "31;1"}
_HIDDEN_FIELDS: Final = frozenset(
    {"credential", "event", "level", "timestamp", "state", "logger", "rotation"}
)


def redacted(text: str) -> str:
    """The text with whatever has the shape of a secret cut out."""
    return _HEADERS.sub(REDACTED, _SHAPES.sub(REDACTED, text))


def looks_secret(text: str) -> bool:
    """Whether the text contains something with the shape of a secret."""
    return _SHAPES.search(text) is not None


def redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """The structlog processor: every field, at every depth."""
    return {key: _clean(key, value) for key, value in event.items()}


def _clean(key: str, value: Any) -> Any:
    match value:
        case str():
            return REDACTED if _FIELDS.search(key) else redacted(value)
        case Mapping():
            return {str(inner): _clean(str(inner), held) for inner, held in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_clean(key, held) for held in value]
        case None | bool() | int() | float():
            return value
        case _:
            return redacted(str(value))


class Story:
    """Renders a line that a person enjoys: time, state, credential, what happened."""

    def __init__(self, *, colour: bool) -> None:
        self._colour = colour

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> str:
        """One line, without a line end."""
        level = str(event.get("level", "info"))
        sign = SIGNS.get(str(event.get("state", "")), " ")
        subject = _plain(str(event.get("credential", "credmgr")))
        rest = " ".join(
            f"{key}={_plain(str(value), keep=key == 'exception')}"
            for key, value in event.items()
            if key not in _HIDDEN_FIELDS and value not in ("", None)
        )
        text = _plain(str(event.get("event", "")))
        shown = self._paint(text, _COLOURS.get(level, ""))
        dim = self._paint(rest, "2") if rest else ""
        time = self._paint(str(event.get("timestamp", "")), "2")
        return f"{time} {sign} {self._paint(f'{subject:<26}', '1')} {shown}  {dim}".rstrip()

    def _paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour and code else text


def _plain(text: str, *, keep: bool = False) -> str:
    """Text that moves no cursor, forges no line and hides nothing; `keep` keeps its line ends."""
    lines = text if keep else text.replace("\n", "\\n").replace("\t", " ")
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", lines)


def configure(level: str, form: str, stream: TextIO | None = None) -> None:
    """Set up logging for this process, libraries' included.

    Args:
        level: `DEBUG`, `INFO`, `WARNING` or `ERROR`.
        form: `console`, `json`, or `auto`: console on a terminal, JSON elsewhere.
        stream: Where to; standard error unless given.
    """
    stream = stream or sys.stderr
    console = form == "console" or (form == "auto" and stream.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if console else "iso", utc=not console),
        structlog.processors.format_exc_info,
        redact,
    ]
    last = Story(colour=stream.isatty()) if console else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for chatty in ("apscheduler", "urllib3", "uvicorn", "alembic"):
        logging.getLogger(chatty).setLevel("DEBUG" if level == "DEBUG" else "WARNING")
