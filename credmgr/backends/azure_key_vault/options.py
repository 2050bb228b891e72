"""The options of a Key Vault, and what can be wrong with them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from credmgr.backends.azure_key_vault.naming import LONGEST
from credmgr.backends.azure_key_vault.tagging import MARK, MOST_TAGS, OUR_TAGS, TAG_LENGTH
from credmgr.plugins.backend import Limits, Mistake
from credmgr.plugins.context import Reference
from credmgr.plugins.templates import mistake_in

LIMITS: Final = Limits(value_bytes=25_600, name_length=LONGEST)
"""25 KB (learn.microsoft.com, "About secrets"); the name is that of the sibling."""
Method = Literal["default", "managed-identity", "client-secret", "certificate", "workload-identity"]
_PREFIX: Final = re.compile(r"(?:[0-9A-Za-z][0-9A-Za-z-]{0,39})?")
_API_VERSION: Final = re.compile(r"(?:[0-9]+\.[0-9]+|[0-9]{4}-[0-9]{2}-[0-9]{2})(?:-preview)?")
_CONTENT_TYPE_LENGTH: Final = 255
_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "client-secret": ("tenant_id", "client_id", "client_secret"),
    "certificate": ("tenant_id", "client_id", "certificate"),
}
_ALLOWED: Final[Mapping[str, frozenset[str]]] = {
    "default": frozenset({"client_id"}),
    "managed-identity": frozenset({"client_id"}),
    "client-secret": frozenset({"tenant_id", "client_id", "client_secret"}),
    "certificate": frozenset({"tenant_id", "client_id", "certificate", "certificate_password"}),
    "workload-identity": frozenset({"tenant_id", "client_id", "token_file"}),
}


@dataclass(frozen=True, slots=True)
class AzureAuth:
    """How credmgr signs in.

    Attributes:
        method: `default` tries environment, workload identity, managed identity and the developer
            tools in turn; the others do one thing.
        tenant_id: The directory, for a client secret, a certificate or a workload identity.
        client_id: The application, or which user-assigned managed identity.
        client_secret: Reference to the application's secret.
        certificate: PEM or PKCS #12 file with the private key, relative to credmgr's home.
        certificate_password: Reference to its password.
        token_file: Of a workload identity; empty takes AZURE_FEDERATED_TOKEN_FILE.
    """

    method: Method = "default"
    tenant_id: str = ""
    client_id: str = ""
    client_secret: Annotated[str | None, Reference()] = None
    certificate: str = ""
    certificate_password: Annotated[str | None, Reference()] = None
    token_file: str = ""


@dataclass(frozen=True, slots=True)
class AzureOptions:
    """Which vault, who we are to it, and how our secrets look in it.

    Attributes:
        vault_url: `https://NAME.vault.azure.net`, or of a sovereign cloud.
        auth: How to sign in.
        authority: Host of Microsoft Entra in a sovereign cloud (`login.microsoftonline.us`,
            `login.chinacloudapi.cn`); empty is the public cloud's.
        instance_discovery: Ask the public cloud whether the authority is known; off for a private
            cloud or an emulator.
        verify_challenge_resource: Refuse a vault that asks for a token of another domain than its
            own; off for emulators only.
        ca_bundle: PEM file of the authorities to trust instead of the usual ones.
        api_version: Empty is the SDK's newest.
        prefix: Put before each name in the vault.
        content_type: What the vault shows as the type of the value.
        tags: Further tags on everything written.
        adopt: Write over an object without credmgr's mark, which is refused otherwise.
        template: The text around the secret in a value; `{{ secret }}` stands for it,
            `{{ secret | json }}` for it as a JSON string; empty is the secret alone.
    """

    vault_url: str
    auth: AzureAuth = AzureAuth()
    authority: str = ""
    instance_discovery: bool = True
    verify_challenge_resource: bool = True
    ca_bundle: str | None = None
    api_version: str = ""
    prefix: str = ""
    content_type: str = "text/plain"
    tags: Mapping[str, str] = field(default_factory=dict)
    adopt: bool = False
    template: str = ""


def mistakes_in(options: AzureOptions) -> Iterator[Mistake]:
    """What the types alone cannot say."""
    if not _is_origin(options.vault_url):
        yield Mistake(
            "vault_url",
            "vault_url is not an https address without a path",
            "write https://NAME.vault.azure.net",
        )
    if options.authority and not _is_origin(_with_scheme(options.authority)):
        yield Mistake(
            "authority", "authority is not a host", "write a host, as login.microsoftonline.us"
        )
    if options.api_version and not _API_VERSION.fullmatch(options.api_version):
        yield Mistake("api_version", "api_version is no version", "write one as 2026-04-01 or 7.6")
    if not _PREFIX.fullmatch(options.prefix):
        yield Mistake(
            "prefix", "prefix is not up to 40 letters, digits and dashes, the first no dash"
        )
    if len(options.content_type) > _CONTENT_TYPE_LENGTH:
        yield Mistake("content_type", f"content_type is over {_CONTENT_TYPE_LENGTH} characters")
    if options.template and (wrong := mistake_in(options.template)):
        yield Mistake("template", wrong)
    yield from _tag_mistakes(options.tags)
    yield from _auth_mistakes(options.auth)


def _tag_mistakes(tags: Mapping[str, str]) -> Iterator[Mistake]:
    if len(tags) > MOST_TAGS - OUR_TAGS:
        yield Mistake(
            "tags",
            f"there are {len(tags)} tags; Key Vault holds {MOST_TAGS} and credmgr needs {OUR_TAGS}",
        )
    for key, value in tags.items():
        if not 0 < len(key) <= TAG_LENGTH or len(value) > TAG_LENGTH:
            yield Mistake("tags", f"a tag or its value is empty or over {TAG_LENGTH} characters")
        elif key.lower().startswith(MARK):
            yield Mistake("tags", f"the tag {key!a} is credmgr's own", "choose another name")


def _auth_mistakes(auth: AzureAuth) -> Iterator[Mistake]:
    given = {option for options in _ALLOWED.values() for option in options if getattr(auth, option)}
    for option in _NEEDED.get(auth.method, ()):
        if option not in given:
            yield Mistake(f"auth.{option}", f"{auth.method} needs {option}")
    for option in sorted(given - _ALLOWED[auth.method]):
        yield Mistake(f"auth.{option}", f"{auth.method} has no use for {option}", "remove it")


def _with_scheme(host: str) -> str:
    return host if "://" in host else f"https://{host}"


def _is_origin(url: str) -> bool:
    try:
        parts = urlsplit(url)
        usable = parts.scheme == "https" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    extra = parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc
    return usable and not extra and url.isascii() and url.isprintable() and " " not in url
