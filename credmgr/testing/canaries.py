"""Values made to be searched for, and the search, in every spelling in which a value may leak."""

import base64
import json
import secrets
import traceback
from collections.abc import Iterator
from urllib.parse import quote

_PREFIX: str = "cnry"
_PIECE = 12


def new_canary() -> str:
    """A value that is spelled differently in JSON, URLs, base64 and hexadecimal."""
    return f'{_PREFIX}{secrets.token_hex(12)}/"+é\u202e {secrets.token_hex(4)}'


def spellings(canary: str) -> frozenset[str]:
    """What to search for; beginnings only, for a value that is cut off has leaked too."""
    raw = canary.encode()
    encoded = {base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode(), raw.hex()}
    escaped = {json.dumps(canary)[1:-1], quote(canary, safe=""), repr(canary)[1:-1], canary}
    return frozenset(text[:_PIECE] for text in encoded | escaped)


def leaks(canary: str, text: str) -> bool:
    """Whether `text` shows the canary in any spelling."""
    return any(piece in text for piece in spellings(canary))


def everything_in(error: BaseException) -> str:
    """All that a log, a debugger or a crash report could show of an error and what led to it."""
    chain = "".join(traceback.format_exception(error))
    return chain + "".join(_shown(part) for part in _walk(error, set()))


def _walk(error: BaseException | None, seen: set[int]) -> Iterator[BaseException]:
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    yield error
    yield from _walk(error.__cause__, seen)
    yield from _walk(error.__context__, seen)


def _shown(error: BaseException) -> str:
    # Unicode and JSON errors keep the whole input in these.
    inputs = [repr(getattr(error, attribute, None)) for attribute in ("object", "doc")]
    return f"{error!s} {error!r} {error.args!r} {vars(error)!r} {inputs}"
