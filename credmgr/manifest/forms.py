"""The forms of single values: durations, references, names, cron lines, zones, database addresses.

Each is a pydantic type whose refusals carry our own sentence and remedy.
"""

import re
from datetime import UTC, datetime, time, timedelta
from difflib import get_close_matches
from functools import cache
from ipaddress import ip_address
from pathlib import PurePosixPath
from typing import Annotated, Any, Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StrictStr,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError, PydanticKnownError

from credmgr.errors import InvalidName
from credmgr.manifest.durations import EXAMPLES, PATTERN, parse_duration
from credmgr.manifest.leaks import shown
from credmgr.model.names import GRAMMAR, Name
from credmgr.model.names import PATTERN as NAME_PATTERN

REFUSED: Final = "credmgr"
REFERENCE_PATTERN: Final = (
    r"^(file:[^\x00-\x1f]+|env:[A-Za-z_][A-Za-z0-9_]*"
    r"|systemd-credential:[A-Za-z0-9_-][A-Za-z0-9._-]*)$"
)
_REFERENCE: Final = re.compile(REFERENCE_PATTERN.removeprefix("^").removesuffix("$"))
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749 §3.3, scope-token
_CLOCK: Final = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]", re.ASCII)
_HOST: Final = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?", re.ASCII)
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_LAST_PORT: Final = 65_535
_CRON_FIELDS: Final = 5
_ANY_MONDAY: Final = datetime(2024, 1, 1, tzinfo=UTC)
_MENDABLE: Final = re.compile(r"(?!.*\.\.)[A-Za-z0-9/_ .-]+")
_ILLEGAL: Final = re.compile(r"[^a-z0-9/]+")


def refuse(what: str, fix: str | None = None) -> PydanticCustomError:
    """A refusal whose sentence reaches the user as it stands."""
    return PydanticCustomError(REFUSED, "{what}", {"what": what, "fix": fix or ""})


def nearest(text: str, known: Any) -> str | None:
    """`did you mean …?` for the most alike of `known`; None when nothing is alike."""
    close = get_close_matches(text, list(known), n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else None


def _duration(value: Any) -> Any:
    if not isinstance(value, str):
        what = "not a duration"
        if isinstance(value, int | float) and not isinstance(value, bool):
            what = "not a duration, a bare number has no unit"
        raise refuse(what, f"write one such as {EXAMPLES}")
    try:
        return parse_duration(value)
    except ValueError as error:
        what, _, fix = str(error).partition("; ")
        raise refuse(what, fix) from None


def is_reference(text: str) -> bool:
    """Whether `text` has the form of a reference."""
    return bool(_REFERENCE.fullmatch(text))


def _some_time(duration: timedelta) -> timedelta:
    if not duration:
        raise refuse("a duration of nothing", "write a longer one")
    return duration


def _reference(value: Any) -> str:
    if not isinstance(value, str) or not is_reference(value):
        raise refuse(
            "expected a reference to a secret, not a value",
            "write file:PATH, env:NAME or systemd-credential:NAME",
        )
    return value


def check_name(text: str) -> str:
    """`text`, when it is inside the grammar of names."""
    try:
        return Name(text)
    except InvalidName:
        raise refuse(*name_mistake(text)) from None


def name_mistake(text: str) -> tuple[str, str]:
    """What is wrong with a name outside the grammar, and the likely remedy."""
    mended = "/".join(
        part for raw in text.lower().split("/") if (part := _ILLEGAL.sub("-", raw).strip("-")[:63])
    )
    fix = f"names are {GRAMMAR}, 255 characters at most"
    if mended and _MENDABLE.fullmatch(text) and shown(text, "") and shown(mended, ""):
        fix += f"; did you mean `{mended}`?"
    return f"{shown(text, 'this')} is not a name", fix


def _pack(text: str) -> str:
    if not text.endswith((".yaml", ".yml")):
        return check_name(text)
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts:
        raise refuse("a rule pack lies beside the manifest or below it")
    return text


def _listen(text: str) -> str:
    host, _, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    try:
        ip_address(bare)
        fits = port.isascii() and port.isdecimal() and int(port) <= _LAST_PORT
    except ValueError:
        fits = False
    if not fits or (":" in bare) is not host.startswith("["):
        raise refuse("not an address to listen on", "write 127.0.0.1:8650 or [::1]:8650")
    return text


def _host(text: str) -> str:
    if not _HOST.fullmatch(text):
        raise refuse(f"{shown(text)} is not what a Host header says", "write credmgr.internal:8650")
    return text


def _variable(text: str) -> str:
    if not _VARIABLE.fullmatch(text):
        raise refuse(f"{shown(text)} is not the name of a variable", "write CASEFORGE_API_KEY")
    return text


def is_scope(text: str) -> bool:
    """Whether `text` can be a scope."""
    return bool(_SCOPE.fullmatch(text))


def _scope(text: str) -> str:
    if not is_scope(text):
        raise refuse(f"{shown(text)} is not a scope", "give each scope as an item of its own")
    return text


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise PydanticKnownError("string_type")
    return value


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())  # reads the disk


def _zone(value: Any) -> ZoneInfo:
    text = _text(value)
    if text in _zones():
        return ZoneInfo(text)
    fix = nearest(text, _zones()) or "write an IANA name such as Europe/Berlin"
    raise refuse(f"there is no time zone {shown(text)}", fix)


def _cron(text: str) -> str:
    if len(text.split()) != _CRON_FIELDS:
        raise refuse(
            "a cron line has five fields",
            'minute, hour, day, month, weekday, such as "0 3 * * 1"',
        )
    try:
        next(CronSim(text, _ANY_MONDAY))
    except (CronSimError, StopIteration) as error:
        raise refuse(f"not a cron line: {str(error).lower() or 'it never comes'}") from None
    return text


def _clock(value: Any) -> time:
    text = _text(value)
    if not _CLOCK.fullmatch(text):
        raise refuse(f"{shown(text)} is not a time of day", 'write "00:00" to "23:59", quoted')
    return time.fromisoformat(text)


def _database(text: str) -> str:
    try:
        url = urlsplit(text)
    except ValueError:
        raise refuse("not a database address") from None
    if url.scheme == "sqlite" and not url.netloc and len(url.path) > 1 and not url.query:
        return text
    if url.scheme == "postgresql" and len(url.path) > 1:
        return text
    raise refuse(
        "not a database address", "write sqlite:///state.db or postgresql://user@host/database"
    )


_DURATION_SCHEMA: Final = {"type": "string", "pattern": PATTERN, "examples": ["90d", "1h30m"]}
_REFERENCE_SCHEMA: Final = {
    "type": "string",
    "pattern": REFERENCE_PATTERN,
    "examples": ["file:master.key", "env:MASTER_KEY", "systemd-credential:master.key"],
    "description": "Where the secret is kept; never the secret itself.",
}

Text = Annotated[StrictStr, Field(min_length=1, max_length=4096)]
Span = Annotated[
    timedelta,
    BeforeValidator(_duration),
    WithJsonSchema(_DURATION_SCHEMA),
]
Duration = Annotated[Span, AfterValidator(_some_time)]
ReferenceText = Annotated[str, BeforeValidator(_reference), WithJsonSchema(_REFERENCE_SCHEMA)]
NameText = Annotated[
    StrictStr,
    AfterValidator(check_name),
    WithJsonSchema({"type": "string", "pattern": NAME_PATTERN, "maxLength": 255}),
]
PackText = Annotated[
    StrictStr, AfterValidator(_pack), Field(max_length=4096, examples=["default", "./mine.yaml"])
]
ListenText = Annotated[
    StrictStr, AfterValidator(_listen), Field(examples=["127.0.0.1:8650", "[::1]:8650"])
]
HostText = Annotated[StrictStr, AfterValidator(_host), Field(examples=["credmgr.internal:8650"])]
VariableText = Annotated[
    StrictStr, AfterValidator(_variable), Field(examples=["CASEFORGE_API_KEY"])
]
ScopeText = Annotated[StrictStr, AfterValidator(_scope), Field(examples=["cases:read"])]
Zone = Annotated[
    ZoneInfo,
    BeforeValidator(_zone),
    WithJsonSchema({"type": "string", "examples": ["Europe/Berlin"]}),
]
CronText = Annotated[StrictStr, AfterValidator(_cron), Field(examples=["0 3 * * 1"])]
ClockTime = Annotated[
    time,
    BeforeValidator(_clock),
    WithJsonSchema({"type": "string", "pattern": f"^{_CLOCK.pattern}$", "examples": ["01:00"]}),
]
DatabaseText = Annotated[
    StrictStr,
    AfterValidator(_database),
    WithJsonSchema({"type": "string", "pattern": "^(sqlite:///.+|postgresql://.+)$"}),
]
