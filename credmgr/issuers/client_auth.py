"""How a client proves itself at a token endpoint: a secret that it shows, or an assertion."""

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final
from urllib.parse import quote_plus

from credmgr.errors import IssuerRefused, SecretRejected
from credmgr.model.secret import Secret

_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_SECRET: Final = re.compile(r"[\x20-\x7e]+")  # RFC 6749 §A.2
_KEY_BEGINS: Final = ("-----BEGIN", "{")


class ClientAuth(StrEnum):
    """How the client proves itself, in the registered words (RFC 7591 §2, OIDC Core §9)."""

    BASIC = "client_secret_basic"
    """The secret in a header (RFC 6749 §2.3.1)."""
    POST = "client_secret_post"
    """The secret in the form (RFC 6749 §2.3.1)."""
    PRIVATE_KEY_JWT = "private_key_jwt"
    """An assertion signed with the secret, which is a private key (RFC 7523 §2.2)."""


@dataclass(frozen=True, slots=True)
class Authentication:
    """How a client proves itself at one token endpoint.

    Attributes:
        method: The way; None chooses one that is offered: an assertion where the secret is a
            private key, else the header before the form.
        offered: What the endpoint says that it takes; empty is unknown, so only the header, which
            every server takes (RFC 6749 §2.3.1, RFC 8414 §2), and assertions.
        audience: Whom assertions are meant for.
        algorithms: What the endpoint says that assertions may be signed with; empty is unknown.
    """

    method: ClientAuth | None
    offered: frozenset[str] = frozenset()
    audience: str = ""
    algorithms: frozenset[str] = frozenset()

    def shown(self, client_id: str, secret: Secret, now: datetime) -> "Shown":
        """What is sent with a request made `now`.

        Raises:
            SecretRejected: The secret holds what no client secret can, or has to be a private key
                and is none that can sign.
            IssuerRefused: The endpoint offers no way that fits the secret.
        """
        match self.method or self._chosen(secret):
            case ClientAuth.BASIC:
                return Shown(basic=_basic(client_id, secret))
            case ClientAuth.POST:
                return Shown({"client_id": client_id, "client_secret": _showable(secret)})
            case ClientAuth.PRIVATE_KEY_JWT:
                return self._asserted(client_id, secret, now)

    def _chosen(self, secret: Secret) -> ClientAuth:
        """A private key is never sent as if it were a secret to show."""
        if secret.reveal().lstrip().startswith(_KEY_BEGINS):
            fitting: tuple[ClientAuth, ...] = (ClientAuth.PRIVATE_KEY_JWT,)
        else:
            fitting = (ClientAuth.BASIC, ClientAuth.POST)
        for method in fitting:
            if not self.offered or method in self.offered:
                return method
        offered = ", ".join(sorted(self.offered & set(ClientAuth))) or "no way that credmgr knows"
        raise IssuerRefused(
            f"the token endpoint does not take {fitting[0]}; it offers {offered}",
            hint="import a secret of that kind, or say client_auth",
        )

    def _asserted(self, client_id: str, secret: Secret, now: datetime) -> "Shown":
        # joserfc is slow to import, and every command that reads a manifest would wait for it.
        from credmgr.issuers.assertions import assertion  # noqa: PLC0415

        signed = assertion(client_id, self.audience, secret, now, self.algorithms)
        return Shown({"client_assertion_type": _ASSERTION, "client_assertion": signed})


IN_FORM: Final = Authentication(ClientAuth.POST)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a client sends to prove itself.

    Attributes:
        form: Further fields of the form.
        basic: Sent as `Authorization: Basic …`.
    """

    form: Mapping[str, str | Secret] = field(default_factory=dict)
    basic: Secret | None = None


def _showable(secret: Secret) -> Secret:
    if not _SECRET.fullmatch(secret.reveal()):
        raise SecretRejected("not sent, because the secret is not printable ASCII, as all are")
    return secret


def _basic(client_id: str, secret: Secret) -> Secret:
    pair = f"{quote_plus(client_id)}:{quote_plus(_showable(secret).reveal())}"
    return Secret(b64encode(pair.encode()).decode())
