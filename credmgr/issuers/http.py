"""One bounded HTTP call to an issuer: the only way out, and where failures become our errors."""

import errno
import json
import re
import socket
import ssl
from pathlib import Path
from typing import Any, Final, assert_never
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import (
    ClosedPoolError,
    ConnectTimeoutError,
    EmptyPoolError,
    HTTPError,
    ReadTimeoutError,
)

from credmgr.errors import (
    ConfigError,
    IssuerError,
    IssuerRefused,
    IssuerUnavailable,
    NoFreeSlot,
    ScopeRefused,
    SecretRejected,
)
from credmgr.issuers.calls import Answer, Authority, Call
from credmgr.issuers.transport import pool_of
from credmgr.model.clock import Clock
from credmgr.model.secret import Secret
from credmgr.plugins.clocks import retry_after
from credmgr.plugins.context import PluginContext
from credmgr.plugins.issuer import AudienceRefused

MAX_BODY: Final = 1 << 20
"""Longest answer that is read, in bytes; real ones are pages of a list, some 100 KiB."""
_NOT_NOW: Final = frozenset({408, 429, 503})
_EMPTY: Final = frozenset({204, 205})
_HEADER_SAFE: Final = re.compile(r"[\x21-\x7e]+")
_JSON_TYPE: Final = re.compile(r"application/(?:[\w.+-]+\+)?json", re.IGNORECASE)


class Exchange:
    """Makes calls within `context.deadline` each. Thread-safe; nothing is repeated or redirected.

    Args:
        context: Pool size, deadline and clock.
        ca_bundle: PEM file of the authorities to trust instead of the system's.

    Raises:
        ConfigError: The bundle cannot be read.
    """

    def __init__(self, context: PluginContext, ca_bundle: Path | None = None) -> None:
        self._clock: Clock = context.clock
        try:
            tls = ssl.create_default_context(cafile=ca_bundle)
        except OSError as error:
            raise ConfigError(f"the CA bundle {ca_bundle} cannot be used: {error}") from error
        deadline = context.deadline.total_seconds()
        self._pool = pool_of(context.workers, deadline, tls, MAX_BODY)

    def send(self, call: Call) -> Answer:
        """Make the call.

        Raises:
            IssuerUnavailable: Nothing was applied: no connection, or 408, 429, 503; for a call that
                changes nothing also a lost answer or another 5xx. May be repeated.
            OutcomeUnknown: A call that changes something got no answer, a 5xx, or nonsense.
            InvalidAnswer: A call that changes nothing got nonsense.
            IssuerRefused: The issuer said no; `SecretRejected`, `ScopeRefused`, `NoFreeSlot` where
                it said why.
        """
        headers, content = _encoded(call)
        # Raised outside of `except`: what urllib3 quotes of an answer stays out of our errors.
        try:
            response, body = self._pool.send(call.method, call.url, headers, content)
        except HTTPError as error:
            problem = _never_arrived(call, error)
        else:
            return self._judged(call, response, body)
        raise problem

    def close(self) -> None:
        """Close idle connections; may be repeated."""
        self._pool.close()

    def _judged(self, call: Call, response: urllib3.BaseHTTPResponse, body: bytes) -> Answer:
        status = response.status
        if status in _NOT_NOW:
            wait = retry_after(response.headers.get("retry-after"), self._clock.now())
            raise IssuerUnavailable(f"{call}: answered {status}", retry_after=wait)
        if status >= 500:  # noqa: PLR2004 (RFC 9110 §15.6)
            raise call.lost(f"answered {status}")
        answer = Answer(call, status, _parsed(response, body))
        if status >= 400:  # noqa: PLR2004 (RFC 9110 §15.5)
            if call.absent_is_fine and answer.absent:
                return answer
            raise _refused(answer)
        if status >= 300:  # noqa: PLR2004 (RFC 9110 §15.4)
            raise call.senseless(f"answered {status}, and redirects are not followed")
        if answer.body is None and status not in _EMPTY:
            raise call.senseless(f"answered {status} without readable JSON of at most 1 MiB")
        return answer


def _encoded(call: Call) -> tuple[dict[str, str], str | None]:
    headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "credmgr"}
    for scheme, value in (("Bearer", call.bearer), ("Basic", call.basic)):
        if value is not None:
            if not _HEADER_SAFE.fullmatch(value.reveal()):
                raise _unsendable(call)
            headers["Authorization"] = f"{scheme} {value.reveal()}"
    if call.form is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        return headers, urlencode({name: _plain(value) for name, value in call.form.items()})
    if call.json is not None:
        headers["Content-Type"] = "application/json"
        return headers, json.dumps(call.json)
    return headers, None


def _plain(value: str | Secret) -> str:
    return value.reveal() if isinstance(value, Secret) else value


def _unsendable(call: Call) -> IssuerError:
    what = f"{call}: not sent, because the secret holds characters that no header can carry"
    if call.authority is Authority.MANAGEMENT:
        return IssuerRefused(f"{what}; mend the issuer's admin_token")
    return SecretRejected(what)


def _parsed(response: urllib3.BaseHTTPResponse, body: bytes) -> Any:
    """The JSON value, or None when it is not JSON by content type and syntax (RFC 8259)."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip()
    if len(body) > MAX_BODY or not _JSON_TYPE.fullmatch(kind):
        return None
    try:
        return json.loads(body.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key comes twice")
    return found


def _no_constant(_name: str) -> float:
    raise ValueError("NaN and Infinity are not JSON")


def _never_arrived(call: Call, error: HTTPError) -> IssuerError:
    match error:
        case EmptyPoolError() | ClosedPoolError():
            return IssuerUnavailable(f"{call}: not sent, every connection was busy")
        case ConnectTimeoutError():
            return IssuerUnavailable(f"{call}: no connection, {_reason(error)}")
        case ReadTimeoutError():
            return call.lost("no whole answer within the deadline")
        case _:
            return call.lost("the connection broke before the answer was whole")


def _reason(error: ConnectTimeoutError) -> str:
    match error.__cause__:
        case ssl.SSLCertVerificationError(verify_message=str() as why):
            return f"the certificate is not trusted ({why}; ca_bundle can name its authority)"
        case ssl.SSLError():
            return "TLS failed"
        case socket.gaierror():
            return "the name does not resolve"
        case TimeoutError():
            return "it did not open in time"
        case OSError(errno=int() as number):
            return errno.errorcode.get(number, f"error {number}")
        case _:
            return "it did not open"


def _refused(answer: Answer) -> IssuerError:
    call, code = answer.call, answer.code
    said = f"{call}: refused with {answer.status}{f' {code}' if code else ''}"
    match call.authority:
        case Authority.MANAGEMENT if answer.status in (401, 403):
            return IssuerRefused(f"{said}; mend the issuer's admin_token")
        case Authority.MANAGEMENT:
            return NoFreeSlot(said) if code == "no_free_slot" else IssuerRefused(said)
        case Authority.CLIENT:
            return _refused_client(answer, said)
        case Authority.NOBODY:
            return IssuerRefused(said)
        case Authority.BEARER:
            by_status = {401: SecretRejected, 403: ScopeRefused}
            return by_status.get(answer.status, IssuerRefused)(said)
        case _:
            assert_never(call.authority)


def _refused_client(answer: Answer, said: str) -> IssuerError:
    if not answer.code:
        return answer.call.senseless(f"refused with {answer.status} and no OAuth error code")
    by_code: dict[str, type[IssuerRefused]] = {
        "invalid_client": SecretRejected,
        "invalid_scope": ScopeRefused,
        "invalid_target": AudienceRefused,
    }
    return by_code.get(answer.code, IssuerRefused)(said)
