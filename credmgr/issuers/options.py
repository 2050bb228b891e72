"""What the options of the HTTP issuers have in common: addresses and client ids."""

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

from credmgr.model.credential import Credential
from credmgr.plugins.backend import Mistake

_URL: Final = re.compile(r"[!#-;=?-\[\]_a-z~]+")  # RFC 3986 §2
_CLIENT_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.~-]{0,127}")


def url_mistakes(option: str, url: str, *, query: bool = False) -> Iterator[Mistake]:
    """What is wrong with an option that holds the address of an issuer, perhaps with a `query`.

    Secrets travel there, so plain http is taken for loopback hosts only (RFC 6749 §3.2 requires
    TLS; RFC 8252 §8.3 has the same exception).
    """
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.scheme in ("http", "https") and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        yield Mistake(option, f"{option} is not an http(s) address", "write https://host[:port]")
    elif not _URL.fullmatch(url):
        yield Mistake(option, f"{option} holds characters that an address cannot hold")
    elif "@" in parts.netloc or (parts.query and not query) or parts.fragment:
        yield Mistake(option, f"{option} holds more than scheme, host, port and path")
    elif parts.scheme == "http" and not _is_loopback(parts):
        yield Mistake(option, f"{option} would send secrets unencrypted", "use https")


def parts_of(url: str) -> tuple[str, str, Mapping[str, str]]:
    """`scheme://host[:port]`, path and query of an address that has no mistakes."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}", parts.path, dict(parse_qsl(parts.query))


def _is_loopback(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def identity_mistakes(credential: Credential) -> Iterator[Mistake]:
    """What is wrong with a client id; that there is one where it belongs, the manifest sees to."""
    if credential.client_id and not _CLIENT_ID.fullmatch(credential.client_id):
        yield Mistake("client_id", "client_id is not letters, digits and _.~- only")
