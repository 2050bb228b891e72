"""Options of a backend `vault`, and what the types alone cannot say about them."""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from credmgr.plugins.backend import Mistake
from credmgr.plugins.context import Reference
from credmgr.plugins.templates import mistake_in

ID_FIELD: Final = "credmgr_version"
"""The field of an entry that holds credmgr's id of the version, beside the value."""
LONGEST_TIMEOUT: Final = timedelta(seconds=90)
"""What a server gives a request by default (`default_max_request_duration`)."""
MOST_CONSTANTS: Final = 64
CONSTANT_BYTES: Final = 16_384
"""Of all names and texts together, UTF-8; the factory's limits say why."""
_SEGMENT: Final = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_PATH: Final = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*", re.ASCII)
_FIELD: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_URL: Final = re.compile(r"[!#-;=?-\[\]_a-z~]+", re.IGNORECASE | re.ASCII)  # RFC 3986 §2
_SERVICE_ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount/token"


@dataclass(frozen=True, slots=True)
class TokenSignIn:
    """A token that somebody else makes and replaces.

    Attributes:
        token: Reference to it; followed again when it is no longer accepted.
        wrapped: It is a response-wrapping token, good for one unwrapping.
    """

    token: Annotated[str, Reference()]
    wrapped: bool = False


@dataclass(frozen=True, slots=True)
class AppRoleSignIn:
    """AppRole.

    Attributes:
        role_id: The role's id, no secret.
        secret_id: Reference to the secret id.
        mount: Where the auth method is.
        wrapped: The reference leads to a response-wrapping token, good for one unwrapping.
    """

    role_id: str
    secret_id: Annotated[str, Reference()]
    mount: str = "approle"
    wrapped: bool = False


@dataclass(frozen=True, slots=True)
class KubernetesSignIn:
    """The service account of the pod.

    Attributes:
        role: Role of the auth method.
        jwt_path: File with the service account's token; read at each sign-in, since it changes.
        mount: Where the auth method is.
    """

    role: str
    jwt_path: str = _SERVICE_ACCOUNT
    mount: str = "kubernetes"


@dataclass(frozen=True, slots=True)
class JwtSignIn:
    """A signed token of an identity provider.

    Attributes:
        role: Role of the auth method.
        jwt: Reference to the token; followed at each sign-in.
        mount: Where the auth method is.
    """

    role: str
    jwt: Annotated[str, Reference()]
    mount: str = "jwt"


@dataclass(frozen=True, slots=True)
class CertSignIn:
    """A TLS client certificate.

    Attributes:
        certificate: PEM file of the certificate and its chain.
        key: PEM file of its key.
        role: Certificate role; empty lets the server find one.
        mount: Where the auth method is.
    """

    certificate: str
    key: str
    role: str = ""
    mount: str = "cert"


SignIn = TokenSignIn | AppRoleSignIn | KubernetesSignIn | JwtSignIn | CertSignIn


@dataclass(frozen=True, slots=True)
class VaultOptions:
    """Where the store is, how to sign in, and what an entry looks like. One sign-in is given.

    Attributes:
        address: `https://host[:port]`; plain http on loopback only.
        mount: Path of the KV v2 secrets engine.
        prefix: Path below it that all names get; a folder of credmgr's own.
        namespace: Namespace of mount and auth method; empty for the root namespace.
        token: Sign in with a token.
        approle: Sign in with AppRole.
        kubernetes: Sign in as a pod.
        jwt: Sign in with a JWT.
        cert: Sign in with a TLS certificate.
        layout: `value` stores the secret as the one field `field`; `fields` takes a secret that is
            a JSON object of strings and stores its fields.
        field: Name of that field.
        template: With the layout `value`, the text around the secret in that field;
            `{{ secret }}` stands for it, `{{ secret | json }}` for it as a JSON string.
        constants: With the layout `value`, further fields that are the same in every entry; 64 at
            most, with names and texts of 16 KiB in all.
        adopt: Take over entries that credmgr did not write when a secret is promoted there; from
            then on their earlier versions are destroyed as ours are.
        ca_bundle: PEM file of the authorities to trust instead of the system's.
        timeout: The longest that one call may take in all, shorter or longer than credmgr's own
            deadline; None is that.
    """

    address: str
    mount: str = "secret"
    prefix: str = "credmgr"
    namespace: str = ""
    token: TokenSignIn | None = None
    approle: AppRoleSignIn | None = None
    kubernetes: KubernetesSignIn | None = None
    jwt: JwtSignIn | None = None
    cert: CertSignIn | None = None
    layout: Literal["value", "fields"] = "value"
    field: str = "value"
    template: str = ""
    constants: dict[str, str] = dataclasses.field(default_factory=dict)
    adopt: bool = False
    ca_bundle: str | None = None
    timeout: timedelta | None = None

    @property
    def sign_ins(self) -> tuple[SignIn, ...]:
        """The sign-ins that are given; `validate` sees to it that there is one."""
        every = (self.token, self.approle, self.kubernetes, self.jwt, self.cert)
        return tuple(given for given in every if given is not None)


def mistakes(options: VaultOptions) -> Iterator[Mistake]:
    """Everything that is wrong with the options, without touching anything."""
    yield from _address_mistakes(options.address)
    yield from _path_mistakes(options)
    if len(options.sign_ins) != 1:
        yield Mistake(
            "",
            "exactly one way to sign in is needed",
            "give one of token, approle, kubernetes, jwt, cert",
        )
    for sign_in in options.sign_ins:
        if not isinstance(sign_in, TokenSignIn) and not _is_path(sign_in.mount):
            yield Mistake("mount", "the auth method's mount is no path", "write it as `approle`")
    if not _FIELD.fullmatch(options.field) or options.field == ID_FIELD:
        yield Mistake("field", f"field is no name of a field, or is {ID_FIELD}")
    yield from _layout_mistakes(options)
    yield from _constant_mistakes(options)
    if options.timeout is not None and not timedelta() < options.timeout <= LONGEST_TIMEOUT:
        yield Mistake("timeout", f"timeout is not above 0 and at most {LONGEST_TIMEOUT}")
    if options.cert is not None and options.address.lower().startswith("http:"):
        yield Mistake("cert", "a certificate is shown over TLS only", "use https")


def _layout_mistakes(options: VaultOptions) -> Iterator[Mistake]:
    if options.layout != "value":
        for option in ("template", "constants"):
            if getattr(options, option):
                yield Mistake(option, f"{option} is for the layout `value`")
    if options.template and (wrong := mistake_in(options.template)):
        yield Mistake("template", wrong)


def _constant_mistakes(options: VaultOptions) -> Iterator[Mistake]:
    if len(options.constants) > MOST_CONSTANTS or _bytes_of(options.constants) > CONSTANT_BYTES:
        yield Mistake(
            "constants",
            f"constants are more than {MOST_CONSTANTS}, or {CONSTANT_BYTES:,} bytes, in all",
        )
    for name in options.constants:
        if not _FIELD.fullmatch(name) or name in (ID_FIELD, options.field):
            yield Mistake("constants", f"{name[:40]!a} is no name of a field, or is taken")


def _bytes_of(constants: Mapping[str, str]) -> int:
    return sum(
        len(text.encode(errors="surrogatepass")) for pair in constants.items() for text in pair
    )


def _path_mistakes(options: VaultOptions) -> Iterator[Mistake]:
    if not _is_path(options.mount):
        yield Mistake("mount", "mount is no path", "write it as `secret` or `team/kv`")
    if options.prefix and not _is_path(options.prefix):
        yield Mistake("prefix", "prefix is no path", "write it as `credmgr` or `team/credmgr`")
    if options.namespace and not _is_path(options.namespace.rstrip("/")):
        yield Mistake("namespace", "namespace is no path", "write it as `team/project`")


def _is_path(text: str) -> bool:
    """Whether it means the same to everyone: the server resolves `..` and `//` before routing."""
    return bool(_PATH.fullmatch(text)) and ".." not in text.split("/")


def _address_mistakes(address: str) -> Iterator[Mistake]:
    try:
        parts = urlsplit(address)
        usable = bool(parts.hostname) and parts.scheme in ("http", "https") and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not _URL.fullmatch(address):
        yield Mistake("address", "address is not an http(s) address", "write https://host[:port]")
    elif "@" in parts.netloc or parts.query or parts.fragment or parts.path.strip("/"):
        yield Mistake("address", "address holds more than scheme, host and port")
    elif parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        yield Mistake("address", "address would send secrets unencrypted", "use https")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
