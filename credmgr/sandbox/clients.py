"""How a client proves who it is: `client_secret_basic` or `_post` (RFC 6749 §2.3.1)."""

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, unquote_plus

from starlette.requests import Request

from credmgr.model.clock import Clock
from credmgr.sandbox.accounts import Application, Applications
from credmgr.sandbox.answers import Refusal, bad_request, challenge
from credmgr.sandbox.catalogue import CredentialKind
from credmgr.sandbox.fields import read_bytes
from credmgr.sandbox.issued import Issued, IssuedSecrets
from credmgr.sandbox.log import Who

METHODS: Final = ("client_secret_basic", "client_secret_post")
_FORM: Final = "application/x-www-form-urlencoded"
_MOST_FIELDS: Final = 100


@dataclass(frozen=True, slots=True)
class Client:
    """An application that has proven who it is, and the secret that it used."""

    application: Application
    secret: Issued


async def read_form(request: Request) -> dict[str, str]:
    """The form that is the body of `request`; fields without a value count as left out (§3.2).

    Raises:
        Refusal: 400 `invalid_request`: no form, a parameter twice, or a secret in the URL; 413.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise bad_request(f"The body must be {_FORM}.")
    if "client_secret" in request.query_params:
        raise bad_request("Client credentials never stand in the URL.")
    try:
        text = (await read_bytes(request)).decode()
        pairs = parse_qsl(
            text, keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS
        )
    except ValueError as error:
        raise bad_request("The body is not a valid form.") from error
    form = dict(pairs)
    if len(form) != len(pairs):
        raise bad_request("A parameter comes twice.")
    return {name: value for name, value in form.items() if value}


class Clients:
    """Recognises clients."""

    def __init__(self, applications: Applications, secrets: IssuedSecrets, clock: Clock) -> None:
        self._applications = applications
        self._secrets = secrets
        self._clock = clock

    def identify(self, request: Request, form: Mapping[str, str]) -> Client:
        """The client that sent `form`.

        Raises:
            Refusal: 400 `invalid_request` for two ways at once; 401 `invalid_client` for everything
                that does not prove who the client is, without saying which part was wrong.
        """
        client_id, secret = _credentials(request, form)
        application = self._applications.find(client_id)
        if application is None:
            raise _invalid_client()
        found = self._secrets.find(secret)
        if found is None or (found.kind, found.credential) != (
            CredentialKind.OAUTH_CLIENT,
            client_id,
        ):
            raise _invalid_client(application.who)
        if not found.accepted(self._clock.now()):
            raise _invalid_client(found.who)
        return Client(application, found)


def _credentials(request: Request, form: Mapping[str, str]) -> tuple[str, str]:
    headers = request.headers.getlist("authorization")
    client_id, secret = form.get("client_id"), form.get("client_secret")
    if not headers:
        if client_id and secret:
            return client_id, secret
        raise _invalid_client()
    if secret or len(headers) > 1:
        raise bad_request("The client authenticates in more than one way.")
    name, basic_secret = _basic(headers[0])
    if client_id not in (None, name):
        raise bad_request("The client_id differs from that in the Authorization header.")
    return name, basic_secret


def _basic(header: str) -> tuple[str, str]:
    """Both halves of a Basic header, which RFC 6749 has form-encoded before the Base64."""
    scheme, _, encoded = header.strip().partition(" ")
    try:
        if scheme.lower() != "basic":
            raise _invalid_client()
        name, colon, secret = b64decode(encoded.strip(), validate=True).decode().partition(":")
        if not colon or not name or not secret:
            raise _invalid_client()
        return unquote_plus(name, errors="strict"), unquote_plus(secret, errors="strict")
    except ValueError as error:
        raise _invalid_client() from error


def _invalid_client(who: Who | None = None) -> Refusal:
    # RFC 9110 §15.5.2 wants a challenge with every 401, RFC 6749 §5.2 one for whoever used Basic.
    message = "Client authentication failed."
    return Refusal(401, "invalid_client", message, headers=challenge("Basic"), who=who)
