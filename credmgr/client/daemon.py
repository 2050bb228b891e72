"""credmgr, asked over its Unix socket or over HTTP."""

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, quote, urlencode

from credmgr.client.errors import NotLetIn, SecretUnavailable
from credmgr.client.origin import SHORTLY, Fresh, fresh
from credmgr.client.wire import Answer, NoAnswer, Wire
from credmgr.errors import (
    ConfigError,
    CredmgrError,
    NotGranted,
    ScopeNotGranted,
    TokenUnavailable,
)

SOCKET: Final = "CREDMGR_SOCKET"
URL: Final = "CREDMGR_URL"
TOKEN_FILE: Final = "CREDMGR_TOKEN_FILE"  # noqa: S105 (a variable's name)
_OK, _NO_CONTENT = 200, 204


def get_secret(name: str) -> str:
    """The current secret of a credential, asked of credmgr each time.

    So it is never an old one, and there is nothing to keep; ask again when an API refuses it.

    Args:
        name: The credential: `caseforge/api-key`.

    Raises:
        ConfigError: The environment does not say where credmgr is.
        NotLetIn: credmgr does not know who is asking.
        NotGranted: There is no such credential, or no grant for its secret.
        SecretUnavailable: Not now; it may be repeated.
    """
    return Daemon.of_environment().secret(name)


class Daemon:
    """A credmgr that runs. Thread-safe; nothing is kept open.

    Args:
        socket: The path of its Unix socket, where the kernel says who is asking.
        url: Instead of it: the address that it listens on (`http://127.0.0.1:8650`).
        token_file: The file with this consumer's bearer. It is read for each call, so that another
            one counts at once.

    Raises:
        ConfigError: There is neither socket nor address, or both; or an address without a bearer,
            or of another machine and without TLS.
    """

    def __init__(
        self,
        socket: str | Path | None = None,
        *,
        url: str | None = None,
        token_file: str | Path | None = None,
    ) -> None:
        if (socket is None) == (url is None):
            raise ConfigError(
                "it is not said where credmgr is", hint=f"set one of {SOCKET} and {URL}"
            )
        if url is not None and token_file is None:
            raise ConfigError("over TCP a bearer is needed", hint=f"set {TOKEN_FILE} to its file")
        parts = SplitResult("", "", "", "", "")
        self._wire = Wire.to(url) if url is not None else Wire(parts, str(socket))
        self._token_file = None if token_file is None else Path(token_file)

    @classmethod
    def of_environment(cls, environ: Mapping[str, str] | None = None) -> "Daemon":
        """The one that `CREDMGR_SOCKET`, or `CREDMGR_URL` with `CREDMGR_TOKEN_FILE`, leads to.

        Raises:
            ConfigError: They lead nowhere.
        """
        given = os.environ if environ is None else environ
        return cls(
            given.get(SOCKET) or None,
            url=given.get(URL) or None,
            token_file=given.get(TOKEN_FILE) or None,
        )

    def secret(self, name: str) -> str:
        """The current secret of a credential.

        Raises:
            NotLetIn: credmgr does not know who is asking.
            NotGranted: There is no such credential, or no grant for its secret.
            SecretUnavailable: Not now; it may be repeated.
        """
        try:
            answer = self._call("GET", f"/v1/secrets/{quote(name)}")
        except NoAnswer as error:
            raise SecretUnavailable(_silent(error), retry_after=SHORTLY) from None
        secret = answer.json.get("secret")
        if answer.status == _OK and isinstance(secret, str) and secret:
            return secret
        raise _refusal(answer, name, SecretUnavailable)

    def token(self, name: str, scopes: Collection[str] = (), audience: str | None = None) -> Fresh:
        """An access token of a credential that is valid now.

        Args:
            name: The credential.
            scopes: What it is for; all that is granted unless given.
            audience: For whom it is meant, where the issuer knows audiences.

        Raises:
            NotLetIn: credmgr does not know who is asking.
            NotGranted: There is no such credential, or no grant for its tokens.
            ScopeNotGranted: A scope is not granted.
            TokenUnavailable: Not now; it may be repeated.
        """
        answer = self._tokens("GET", name, "", scopes, audience)
        if answer.status != _OK:
            raise _refusal(answer, name)
        return fresh(answer.json)

    def reject(
        self, token: str, name: str, scopes: Collection[str] = (), audience: str | None = None
    ) -> None:
        """Report that an API refused a token; credmgr gives it out no more.

        Raises:
            CredmgrError: As of `token`; it may be repeated.
        """
        body = urlencode({"access_token": token})
        answer = self._tokens("POST", name, "/reject", scopes, audience, body)
        if answer.status != _NO_CONTENT:
            raise _refusal(answer, name)

    def _tokens(
        self,
        method: str,
        name: str,
        act: str,
        scopes: Collection[str],
        audience: str | None,
        body: str | None = None,
    ) -> Answer:
        asked = {"scope": " ".join(sorted(scopes)), "audience": audience or ""}
        query = urlencode({key: value for key, value in asked.items() if value})
        target = f"/v1/tokens/{quote(name)}{act}{'?' if query else ''}{query}"
        try:
            return self._call(method, target, body)
        except NoAnswer as error:
            raise TokenUnavailable(_silent(error), retry_after=SHORTLY) from None

    def _call(self, method: str, target: str, body: str | None = None) -> Answer:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        if self._token_file is not None:
            headers["Authorization"] = f"Bearer {_bearer(self._token_file)}"
        return self._wire.call(method, target, headers, body)


class Granted:
    """The tokens of one credential, as credmgr gives them: an `Origin`.

    Asking it is cheap, for the token is at hand there. So it is asked again every minute, and a
    token of an old secret is replaced soon after a rotation.
    """

    def __init__(
        self, daemon: Daemon, name: str, scopes: Collection[str], audience: str | None
    ) -> None:
        self._daemon, self._name = daemon, name
        self._scopes, self._audience = frozenset(scopes), audience

    def fetch(self) -> Fresh:
        """The token that credmgr gives now."""
        return self._daemon.token(self._name, self._scopes, self._audience)

    def outdated(self) -> bool:
        """Only credmgr knows, and asking it is fetching."""
        return True

    def reject(self, token: str) -> None:
        """Tell credmgr."""
        self._daemon.reject(token, self._name, self._scopes, self._audience)


def _bearer(file: Path) -> str:
    """The bearer in a file; nothing that could break out of a header."""
    try:
        text = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise ConfigError(f"{file} cannot be read: {why}", hint=f"see {TOKEN_FILE}") from None
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ConfigError(f"{file} holds no bearer", hint="`credmgr consumer add` prints one")
    return text


def _refusal(
    answer: Answer,
    name: str,
    otherwise: type[TokenUnavailable] = TokenUnavailable,
) -> CredmgrError:
    """What a status says."""
    match answer.status:
        case 401:
            return NotLetIn(hint="send a bearer, or come as a user whom the manifest knows")
        case 403:
            return ScopeNotGranted(hint=f"a wider grant for {name} in the manifest opens it")
        case 404:
            hint = "a grant in the manifest's `consumers` opens it"
            return NotGranted(f"nothing called {name!a} may be read", hint=hint)
        case _:
            return otherwise(_said(answer), retry_after=answer.after)


def _silent(error: NoAnswer) -> str:
    return f"credmgr does not answer: {error}"


def _said(answer: Answer) -> str:
    detail = answer.json.get("detail")
    told = detail.rstrip(".") if isinstance(detail, str) and detail.isprintable() else ""
    return f"credmgr answers with {answer.status}{': ' if told else ''}{told}"
