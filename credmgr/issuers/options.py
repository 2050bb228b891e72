"""What the options of the HTTP issuers have in common: addresses taken apart, and client ids."""

import re
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from credmgr.model.credential import Credential
from credmgr.plugins.backend import Mistake

_CLIENT_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.~-]{0,127}")


def parts_of(url: str) -> tuple[str, str, Mapping[str, str]]:
    """`scheme://host[:port]`, path and query of an address that has no mistakes."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}", parts.path, dict(parse_qsl(parts.query))


def identity_mistakes(credential: Credential) -> Iterator[Mistake]:
    """What is wrong with a client id; that there is one where it belongs, the manifest sees to."""
    if credential.client_id and not _CLIENT_ID.fullmatch(credential.client_id):
        yield Mistake("client_id", "client_id is not letters, digits and _.~- only")
