"""One bounded POST to a pinned address: no redirect, no proxy, no answer that is read on."""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from urllib3 import HTTPConnectionPool, Timeout
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)

from credmgr.errors import ConfigError, NotifierError
from credmgr.notifiers.addresses import pinned
from credmgr.plugins.context import PluginContext
from credmgr.plugins.notifier import NotifierRefused
from credmgr.transport import pool_kinds

PORTS: Final = {"http": 80, "https": 443}
ANSWER: Final = 64 * 1024
"""Bytes of an answer that are read; only its status counts."""
_UNWANTED: Final = frozenset({400, 413, 415, 422})


class Post:
    """Sends bodies to one URL. Thread-safe; every call has a connection of its own.

    Args:
        url: Without mistakes.
        networks: Where the host may be besides the public internet.
        ca_bundle: PEM file of the authorities to trust instead of the system's.
        context: The deadline.

    Raises:
        ConfigError: The bundle cannot be read.
    """

    def __init__(
        self, url: str, networks: tuple[str, ...], ca_bundle: Path | None, context: PluginContext
    ) -> None:
        parts = urlsplit(url)
        self._scheme, self._host = parts.scheme, parts.hostname or ""
        self._port = parts.port or PORTS[parts.scheme]
        self._target = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
        self._authority = parts.netloc
        self._networks, self._deadline = networks, context.deadline.total_seconds()
        file = None if ca_bundle is None else context.home / ca_bundle
        try:
            self._tls = ssl.create_default_context(cafile=file)
        except OSError as error:
            raise ConfigError(f"the CA bundle {ca_bundle} cannot be used: {error}") from error

    def send(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Send a JSON body.

        Raises:
            NotifierError: It did not arrive, or perhaps; repeat it later.
            NotifierRefused: The receiver does not want this body.
        """
        sent = {
            "Host": self._authority,
            "Content-Type": "application/json",
            "User-Agent": "credmgr",
            "Connection": "close",
            **headers,
        }
        # Raised outside of `except`: what urllib3 knows of the request stays out of our errors.
        try:
            status = self._post(body, sent)
        except HTTPError as error:
            problem = NotifierError(f"{self._host}: {_reason(error)}")
        else:
            self._judge(status)
            return
        raise problem

    def _post(self, body: bytes, headers: dict[str, str]) -> int:
        pool = self._pool(pinned(self._host, self._port, self._networks))
        try:
            response = pool.urlopen(
                "POST",
                self._target,
                body=body,
                headers=headers,
                retries=False,
                redirect=False,
                assert_same_host=False,
                preload_content=False,
                decode_content=False,
                timeout=Timeout(total=self._deadline, connect=self._deadline / 2),
            )
            response.read(ANSWER)
            return response.status
        finally:
            pool.close()

    def _pool(self, address: str) -> HTTPConnectionPool:
        """Connections to an address, for which TLS still asks for the certificate of the name."""
        kinds = pool_kinds()
        if self._scheme == "http":
            made: HTTPConnectionPool = kinds["http"](address, self._port)
        else:
            made = kinds["https"](
                address,
                self._port,
                ssl_context=self._tls,
                server_hostname=self._host,
                assert_hostname=self._host,
            )
        return made

    def _judge(self, status: int) -> None:
        if 200 <= status < 300:  # noqa: PLR2004 (RFC 9110 §15.3)
            return
        if status in _UNWANTED:
            raise NotifierRefused(f"{self._host}: answered {status}")
        where = ", and redirects are not followed" if 300 <= status < 400 else ""  # noqa: PLR2004
        raise NotifierError(f"{self._host}: answered {status}{where}")


def _reason(error: HTTPError) -> str:
    match error:
        case ConnectTimeoutError() | NewConnectionError():
            return "no connection"
        case ReadTimeoutError():
            return "no answer within the deadline"
        case SSLError():
            return "its certificate is not trusted (`ca_bundle` can name its authority)"
        case _:
            return "the connection broke before it had answered"
