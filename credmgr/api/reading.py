"""Reading what a request says: its query, its body, the credential in its path."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request

from credmgr.api.limits import BODY_BYTES
from credmgr.api.problems import Refusal, bad_request, not_found
from credmgr.errors import InvalidName
from credmgr.model.names import Name

FORM: Final = "application/x-www-form-urlencoded"
JSON: Final = "application/json"
_FIELDS: Final = 20
_SCOPE: Final = r"[\x21\x23-\x5b\x5d-\x7e]+"
SCOPE: Final = {"type": "string", "pattern": f"^({_SCOPE}( {_SCOPE})*)?$", "maxLength": 1000}
"""RFC 6749 §3.3; none when it is empty."""
AUDIENCE: Final = {"type": "string", "pattern": r"^[\x21-\x7e]*$", "maxLength": 1000}
"""An address (RFC 8707 §2) or a name; none when it is empty."""


def credential_in(request: Request) -> Name:
    """The credential in the path.

    Raises:
        Refusal: 404; what is no name is no credential.
    """
    try:
        return Name(request.path_params["credential"])
    except InvalidName:
        raise not_found() from None


def pairs(text: bytes, what: str) -> Mapping[str, str]:
    """The fields of a query or form, each once; one without a value counts as left out.

    Raises:
        Refusal: 400; it is malformed, or a field is there twice (RFC 6749 §3.1).
    """
    try:
        listed = parse_qsl(
            text.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(text),
            errors="strict",
            max_num_fields=_FIELDS,
        )
    except ValueError:
        raise bad_request(f"The {what} is malformed.") from None
    fields: dict[str, str] = {}
    for name, value in listed:
        if name in fields:
            raise bad_request(f"A field of the {what} is there twice.")
        fields[name] = value
    return {name: value for name, value in fields.items() if value}


def query_of(raw: bytes, known: Mapping[str, Any]) -> Mapping[str, str]:
    """The query's fields, of which each is one of `known`.

    Raises:
        Refusal: 400; it is malformed, or has a field that the route does not know.
    """
    fields = pairs(raw, "query")
    if strange := sorted(fields.keys() - known.keys()):
        said = strange[0] if strange[0].isidentifier() and len(strange[0]) <= 40 else "it has"  # noqa: PLR2004
        allowed = ", ".join(known) or "none"
        raise bad_request(f"The query has a field that is not known here ({said}): {allowed}.")
    return fields


def scopes_in(fields: Mapping[str, str]) -> frozenset[str]:
    """The scopes asked for, in the form of RFC 6749 §3.3; none when none are named.

    Raises:
        Refusal: 400; they have another form.
    """
    text = fields.get("scope", "")
    if not _fits(SCOPE, text):
        raise bad_request("The scope is not a list of scopes with a blank between each.")
    return frozenset(text.split(" ")) if text else frozenset()


def audience_in(fields: Mapping[str, str], name: str = "audience") -> str | None:
    """The audience in the field of this name, if there is one.

    Raises:
        Refusal: 400; it has spaces, or other signs that no address has, or is too long.
    """
    text = fields.get(name)
    if not _fits(AUDIENCE, text or ""):
        raise bad_request(f"The {name} is no address and no name.")
    return text


def _fits(schema: Mapping[str, Any], text: str) -> bool:
    return len(text) <= schema["maxLength"] and bool(re.fullmatch(schema["pattern"], text))


async def body_of(request: Request, *types: str) -> bytes:
    """The request's body, bounded, of one of these media types.

    Raises:
        Refusal: 413 or 415; 400, which nobody hears, when the caller has gone.
    """
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent not in types:
        raise Refusal(415, "unsupported_media_type", f"Send {' or '.join(types)}.")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > BODY_BYTES:
        raise _too_large()
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_BYTES:
                raise _too_large()
    except ClientDisconnect:
        raise bad_request("The body has not arrived whole.") from None
    return bytes(body)


async def text_in(request: Request, name: str) -> str:
    """One text of a JSON object or form, which has nothing else.

    Raises:
        Refusal: 400, 413 or 415.
    """
    body = await body_of(request, JSON, FORM)
    if request.headers["content-type"].partition(";")[0].strip().lower() == FORM:
        fields: Any = pairs(body, "body")
    else:
        try:
            fields = json.loads(body)
        except (ValueError, RecursionError):
            raise bad_request("The body is no JSON.") from None
    match fields:
        case {**rest} if set(rest) == {name} and isinstance(rest[name], str) and rest[name]:
            return str(rest[name])
    raise bad_request(f"The body has one field, {name}, a text.")


def _too_large() -> Refusal:
    message = f"The body has more than {BODY_BYTES} bytes."
    return Refusal(413, "too_large", message, {"Connection": "close"})
