"""The ways to sign in, each a call that gives a token."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, assert_never

from credmgr.backends.vault.faults import Nonsense, translated
from credmgr.backends.vault.options import (
    AppRoleSignIn,
    CertSignIn,
    JwtSignIn,
    KubernetesSignIn,
    SignIn,
    TokenSignIn,
)
from credmgr.errors import AccessDenied, BackendError, ConfigError
from credmgr.model.secret import Secret
from credmgr.plugins.context import PluginContext

Clients = Callable[[str], Any]
"""An hvac client for a token; "" for none."""
LOOK_UP = ("auth/token/lookup-self: read", '`read` on "auth/token/lookup-self"')


class SignInRefused(AccessDenied):
    """The server does not let us in, whatever we wanted there."""


@dataclass(frozen=True, slots=True)
class Granted:
    """A token.

    Attributes:
        token: The token itself.
        ttl: How long it lives from now; zero is forever.
        renewable: Whether that can be prolonged.
        ours: We made it, so we revoke it at the end.
        again: How long a renewal lets a brought one live; zero for any other.
    """

    token: Secret
    ttl: timedelta
    renewable: bool
    ours: bool
    again: timedelta = timedelta()


class Door:
    """Signs in, in the way that the options give. Not thread-safe: one at a time.

    Args:
        way: The sign-in of the options.
        context: References and home.
        clients: Makes hvac clients.
    """

    def __init__(self, way: SignIn, context: PluginContext, clients: Clients) -> None:
        self._way = way
        self._context = context
        self._clients = clients
        self._unwrapped: tuple[Secret, Secret] | None = None
        self._last: Secret | None = None

    def enter(self) -> Granted:
        """A token. A brought one is followed anew, and refused when it is the one given before.

        Raises:
            ConfigError: A reference or file leads nowhere.
            SignInRefused: The server does not let us in.
            BackendUnavailable: It does not answer.
        """
        match self._way:
            case TokenSignIn():
                return self._brought(self._way)
            case AppRoleSignIn(role_id=role, mount=mount):
                return self._logged_in(mount, {"role_id": role, "secret_id": self._secret_id()})
            case KubernetesSignIn(role=role, mount=mount):
                return self._logged_in(mount, {"role": role, "jwt": self._pod_token()})
            case JwtSignIn(role=role, mount=mount):
                jwt = self._context.references.resolve(self._way.jwt).reveal()
                return self._logged_in(mount, {"role": role, "jwt": jwt})
            case CertSignIn(role=role, mount=mount):
                return self._logged_in(mount, {"name": role} if role else {})
            case _:
                assert_never(self._way)

    def _logged_in(self, mount: str, proof: dict[str, str]) -> Granted:
        client = self._clients("")
        # hvac's login methods all come down to this; the one for certificates wants files instead.
        path = f"auth/{mount}/login"
        try:
            with translated(f"{path}: sign in", f'"{path}"'):
                return granted(client.adapter.login(f"/v1/{path}", json=proof), ours=True)
        except AccessDenied as error:
            raise _unwelcome(path) from error
        except BackendError as error:
            if error.retryable:
                raise
            raise _unwelcome(path) from error  # AppRole answers 400 to a wrong secret id

    def _brought(self, way: TokenSignIn) -> Granted:
        token = self._unwrap(way.token) if way.wrapped else self._resolve(way.token)
        if self._last is not None and token == self._last:
            raise SignInRefused(
                "the token is no longer accepted, and its reference leads to no other",
                hint="put a new token where the option `token` points",
            )
        try:
            with translated(*LOOK_UP):
                found = self._clients(token.reveal()).auth.token.lookup_self()
                brought = _looked_up(token, found.get("data"))
        except AccessDenied:
            # Either dead or without the right to look at itself: its first use will tell.
            brought = Granted(token, timedelta(), renewable=False, ours=False)
        self._last = token
        return brought

    def _secret_id(self) -> str:
        assert isinstance(self._way, AppRoleSignIn)  # noqa: S101 (narrows the type)
        reference = self._way.secret_id
        found = self._unwrap(reference) if self._way.wrapped else self._resolve(reference)
        return found.reveal()

    def _resolve(self, reference: str) -> Secret:
        return self._context.references.resolve(reference)

    def _pod_token(self) -> str:
        assert isinstance(self._way, KubernetesSignIn)  # noqa: S101 (narrows the type)
        path = self._context.home / Path(self._way.jwt_path)
        try:
            return path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            raise ConfigError(f"the service account's token {path} cannot be read") from None

    def _unwrap(self, reference: str) -> Secret:
        """What a wrapping token holds; it can be opened once, so what was in it is kept."""
        wrapping = self._resolve(reference)
        if self._unwrapped is not None and self._unwrapped[0] == wrapping:
            return self._unwrapped[1]
        path = "sys/wrapping/unwrap"
        try:
            with translated(f"{path}: update", "nothing, but the wrapping token must be unused"):
                found = _inside(self._clients(wrapping.reveal()).sys.unwrap())
        except BackendError as error:
            if error.retryable:
                raise
            raise SignInRefused(
                "the wrapping token is used up, expired or unknown",
                hint="each process of credmgr unwraps for itself, a `doctor` too; if none of yours"
                " has unwrapped it, somebody else has: revoke, wrap anew",
            ) from error
        self._unwrapped = (wrapping, found)
        return found


def granted(answer: Any, *, ours: bool) -> Granted:
    """The token in an answer of a login or renewal.

    Raises:
        Nonsense: There is none.
    """
    auth = answer.get("auth") if isinstance(answer, dict) else None
    life, renewable = _life(auth, "lease_duration")
    return Granted(_text(auth, "client_token"), life, renewable, ours)


def _looked_up(token: Secret, data: Any) -> Granted:
    life, renewable = _life(data, "ttl")
    again, _ = _life(data, "creation_ttl") if renewable else (timedelta(), False)
    return Granted(token, life, renewable, ours=False, again=again)


def _life(found: Any, field: str) -> tuple[timedelta, bool]:
    seconds = found.get(field) if isinstance(found, dict) else None
    if not isinstance(seconds, int):
        raise Nonsense
    return timedelta(seconds=seconds), found.get("renewable") is True


def _inside(answer: Any) -> Secret:
    """A wrapped login or token holds `auth`, a wrapped secret id `data`."""
    data = answer.get("data") if isinstance(answer, dict) else None
    if isinstance(data, dict) and "secret_id" in data:
        return _text(data, "secret_id")
    if isinstance(data, dict) and "token" in data:
        return _text(data, "token")
    return _text(answer.get("auth") if isinstance(answer, dict) else None, "client_token")


def _text(found: Any, field: str) -> Secret:
    value = found.get(field) if isinstance(found, dict) else None
    if not isinstance(value, str) or not value:
        raise Nonsense
    return Secret(value)


def _unwelcome(path: str) -> SignInRefused:
    return SignInRefused(
        f"{path}: the server does not accept this sign-in",
        hint="check role and proof, and whether the proof is expired or used up",
    )
