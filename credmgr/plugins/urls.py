"""What is wrong with an option that holds the address of a server."""

import re
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

from credmgr.plugins.backend import Mistake

_URL: Final = re.compile(r"[!#-;=?-\[\]_a-z~]+")  # RFC 3986 §2


def url_mistakes(option: str, url: str, *, query: bool = False) -> Iterator[Mistake]:
    """What is wrong with an option that holds the address of a server, perhaps with a `query`.

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
    elif parts.scheme == "http" and not is_loopback(parts):
        yield Mistake(option, f"{option} would send secrets unencrypted", "use https")


def is_loopback(parts: SplitResult) -> bool:
    """Whether an address names this machine itself."""
    host = parts.hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
