"""hvac's way out: its adapter interface over our own transport.

hvac's own adapters use requests, which bounds no call as a whole, reads proxies and CA bundles from
the environment, follows redirects with the token, and loses status and Retry-After in hvac's
exceptions. hvac keeps what it knows: the paths and parameters of the API.
"""

import json as codec
import re
from typing import Any, Final
from urllib.parse import urlencode

import hvac

from credmgr.backends.vault.faults import Nonsense, Refused
from credmgr.backends.vault.transport import Transport
from credmgr.errors import ConfigError

_OK: Final = 200
_EMPTY: Final = 204
_REFUSALS: Final = 300
_HEADER: Final = re.compile(r"[!-~]*", re.ASCII)


class Wire:
    """What hvac calls an adapter; made by `client_of`."""

    def __init__(self, transport: Transport, token: str, namespace: str) -> None:
        self._transport = transport
        self._headers = {
            "Accept-Encoding": "identity",
            "User-Agent": "credmgr",
            "X-Vault-Request": "true",
        }
        if token:
            self._headers["X-Vault-Token"] = token
        if namespace:
            self._headers["X-Vault-Namespace"] = namespace

    def get(self, url: str, **options: Any) -> Any:
        """Read."""
        return self.request("GET", url, **options)

    def post(self, url: str, **options: Any) -> Any:
        """Write."""
        return self.request("POST", url, **options)

    def delete(self, url: str, **options: Any) -> Any:
        """Delete."""
        return self.request("DELETE", url, **options)

    def login(self, url: str, *, use_token: bool = False, **options: Any) -> Any:
        """Sign in; the token is never kept here, since a client lives as long as one token."""
        del use_token
        return self.request("POST", url, **options)

    def request(
        self,
        method: str,
        url: str,
        params: dict[str, Any] | None = None,
        json: Any = None,
        wrap_ttl: str | None = None,
    ) -> Any:
        """One call: the JSON object of the answer, or None for 204.

        Raises:
            Refused: The status is not 2xx.
            Nonsense: A 200 without a JSON object.
            urllib3.exceptions.HTTPError: No answer.
        """
        del wrap_ttl
        path = f"{url}?{urlencode(params)}" if params else url
        headers, body = self._headers, None
        if json is not None:
            headers = {**headers, "Content-Type": "application/json"}
            body = codec.dumps(json)
        response, raw = self._transport.send(method, path, headers, body)
        answer = _parsed(raw)
        if response.status >= _REFUSALS or response.status < _OK:
            wait = self._transport.server.asked(response.headers.get("retry-after"))
            raise Refused(response.status, answer, wait)
        if response.status == _EMPTY:
            return None
        if not answer:
            raise Nonsense
        return answer


def client_of(transport: Transport, token: str, namespace: str) -> Any:
    """An hvac client for one token; "" for none.

    hvac takes a missing token from the environment and `~/.vault-token`, so it always gets one.

    Raises:
        ConfigError: No header can hold the token; the HTTP library would quote it when it says so.
    """
    if not _HEADER.fullmatch(token):
        raise ConfigError(
            "the token holds more than the printable ASCII of every token",
            hint="is there a line too many, or a note, where the reference points?",
        )

    def adapter(**_: Any) -> Wire:
        return Wire(transport, token, namespace)

    return hvac.Client(url="http://unused", token=token, verify=True, adapter=adapter)


def _parsed(raw: bytes) -> dict[str, Any]:
    """The JSON object, or an empty one when it is none."""
    try:
        found = codec.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
