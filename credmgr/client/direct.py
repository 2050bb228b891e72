"""Tokens straight from the issuer, for where no credmgr runs in between (RFC 6749 §4.4)."""

import base64
from collections.abc import Callable, Collection
from threading import Lock
from typing import Final
from urllib.parse import quote_plus, urlencode

from credmgr.client.errors import NotLetIn
from credmgr.client.origin import SHORTLY, Fresh, fresh
from credmgr.client.wire import Answer, NoAnswer, Wire
from credmgr.errors import CredmgrError, ScopeNotGranted, TokenUnavailable

_OK: Final = 200
_NO_CLIENT: Final = "invalid_client"


class ClientCredentials:
    """An OAuth client at its issuer's token endpoint: an `Origin`. Thread-safe.

    Give the secret as something that reads it where it is kept: it is read again for each token,
    once a minute to see whether another one has taken its place, and when the issuer refuses it.

        ClientCredentials(
            "https://auth.caseforge.io/oauth/token",
            client_id="app_8v3k9m",
            client_secret=lambda: Path("/run/secrets/caseforge").read_text(),
            scopes=["cases:read"],
        )

    Args:
        token_url: The token endpoint: https, or http on this machine.
        client_id: The client's id.
        client_secret: Its secret, or what reads it.
        scopes: What the tokens are for; the issuer's default unless given.
        audience: For whom they are meant, where the issuer knows audiences.
        basic: Send id and secret in a header instead of the form (§2.3.1).

    Raises:
        ConfigError: The secret would travel in the open.
    """

    def __init__(
        self,
        token_url: str,
        *,
        client_id: str,
        client_secret: str | Callable[[], str],
        scopes: Collection[str] = (),
        audience: str | None = None,
        basic: bool = False,
    ) -> None:
        self._wire = Wire.to(token_url)
        self._client_id, self._basic = client_id, basic
        self._secret = client_secret if callable(client_secret) else lambda: client_secret
        asked = {"scope": " ".join(sorted(scopes)), "audience": audience or ""}
        self._form = {"grant_type": "client_credentials"} | {k: v for k, v in asked.items() if v}
        self._used: str | None = None
        self._lock = Lock()

    def fetch(self) -> Fresh:
        """A new token.

        Raises:
            NotLetIn: The issuer refuses the secret, and no other one is there.
            ScopeNotGranted: It refuses the scopes.
            TokenUnavailable: It does not answer, or not with what it should; may be repeated.
        """
        with self._lock:
            secret = self._secret()
            answer = self._asked(secret)
            if answer.json.get("error") == _NO_CLIENT and (newer := self._secret()) != secret:
                secret, answer = newer, self._asked(newer)
            self._used = secret
        if answer.status != _OK:
            raise _refusal(answer)
        return fresh(answer.json)

    def outdated(self) -> bool:
        """Whether another secret has taken the place of the one that was used last."""
        return self._secret() != self._used

    def reject(self, token: str) -> None:
        """There is nobody to tell: the next token is a new one anyway."""

    def _asked(self, secret: str) -> Answer:
        form = dict(self._form)
        headers = {
            "Accept": "application/json",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        if self._basic:
            pair = f"{quote_plus(self._client_id)}:{quote_plus(secret)}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        else:
            form |= {"client_id": self._client_id, "client_secret": secret}
        url = self._wire.url
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        try:
            return self._wire.call("POST", target, headers, urlencode(form))
        except NoAnswer as error:
            told = f"the issuer does not answer: {error}"
            raise TokenUnavailable(told, retry_after=SHORTLY) from None


def _refusal(answer: Answer) -> CredmgrError:
    """A refusal by its code (RFC 6749 §5.2); nothing else of it is repeated."""
    match answer.json.get("error"):
        case "invalid_client":
            return NotLetIn("the issuer does not accept the client's secret")
        case "invalid_scope":
            return ScopeNotGranted("the issuer does not grant these scopes")
        case _:
            told = f"the issuer answers with {answer.status}"
            return TokenUnavailable(told, retry_after=answer.after)
