"""OAuth clients that nobody here wrote, each behind the same small face."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol

from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from oauthlib.oauth2 import BackendApplicationClient, OAuth2Error
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

from tests.integration.upstream import FOLDER, bare_environment, line_of, node

LIBRARIES: Final = ("authlib", "requests-oauthlib", "openid-client", "simple-oauth2")
METHODS: Final = ("client_secret_basic", "client_secret_post")


class Refused(Exception):
    """The client library told its user that the server refused, and with which code."""


@dataclass(frozen=True)
class Wish:
    """What a program tells its OAuth library."""

    url: str
    client_id: str
    secret: str
    method: str
    params: Mapping[str, str]


class OAuthClient(Protocol):
    """A library in the hands of a program."""

    def __call__(self, wish: Wish) -> Mapping[str, Any]:
        """The token, as the library gives it.

        Raises:
            Refused: The server refused; the text is the code.
        """
        ...


def authlib(wish: Wish) -> Mapping[str, Any]:
    """Authlib over requests."""
    params = dict(wish.params)
    with AuthlibSession(
        wish.client_id,
        wish.secret,
        scope=params.pop("scope", None),
        token_endpoint_auth_method=wish.method,
    ) as session:
        try:
            return dict(session.fetch_token(wish.url, grant_type="client_credentials", **params))
        except OAuthError as error:
            raise Refused(error.error) from error


def requests_oauthlib(wish: Wish) -> Mapping[str, Any]:
    """requests-oauthlib with oauthlib's client for backends."""
    params = dict(wish.params)
    scope = params.pop("scope", "").split() or None
    proof: dict[str, Any] = {"auth": HTTPBasicAuth(wish.client_id, wish.secret)}
    if wish.method == "client_secret_post":
        proof = {"client_secret": wish.secret, "include_client_id": True}
    with OAuth2Session(client=BackendApplicationClient(wish.client_id, scope=scope)) as session:
        try:
            return dict(session.fetch_token(wish.url, **proof, **params))
        except OAuth2Error as error:
            raise Refused(error.error) from error


@dataclass(frozen=True)
class NodeClient:
    """A library from npm, in a child that talks in lines."""

    library: str
    child: subprocess.Popen[str]

    def __call__(self, wish: Wish) -> Mapping[str, Any]:
        order = {
            "library": self.library,
            "method": wish.method,
            "url": wish.url,
            "id": wish.client_id,
            "secret": wish.secret,
            "params": dict(wish.params),
        }
        answer: dict[str, Any] = json.loads(line_of(self.child, order))
        assert "failure" not in answer, answer
        if "error" in answer:
            raise Refused(answer["error"])
        return dict(answer["token"])


@contextmanager
def oauth_clients() -> Iterator[dict[str, OAuthClient]]:
    """Every library by its name."""
    with ExitStack() as stack:
        child = stack.enter_context(
            subprocess.Popen(  # noqa: S603 (ours, without a shell)
                [node(), str(FOLDER / "clients.mjs")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=bare_environment(),
                text=True,
            )
        )
        stack.callback(child.kill)
        yield {
            "authlib": authlib,
            "requests-oauthlib": requests_oauthlib,
            "openid-client": NodeClient("openid-client", child),
            "simple-oauth2": NodeClient("simple-oauth2", child),
        }
