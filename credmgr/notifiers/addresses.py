"""Where a host may be: its name is resolved once, and what is checked is what is connected to.

So a name that leads elsewhere by the time of the connection, or into the machine's own network or
its cloud's metadata service, leads nowhere.
"""

import socket
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from credmgr.errors import NotifierError
from credmgr.plugins.backend import Mistake

Address = IPv4Address | IPv6Address
_NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052 §2.1
_LOCAL: Final = "localhost"


def network_mistakes(networks: Iterable[str]) -> Iterator[Mistake]:
    """Networks that are none."""
    for number, text in enumerate(networks):
        try:
            ip_network(text)
        except ValueError:
            yield Mistake(f"networks.{number}", "not a network", "write 10.1.0.0/16")


def pinned(host: str, port: int, networks: Iterable[str]) -> str:
    """The address to connect to.

    Args:
        host: As in the URL, without brackets.
        port: Likewise.
        networks: Where it may be besides the public internet.

    Raises:
        NotifierError: The name does not resolve, or leads only where nobody should be sent.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NotifierError(f"{host} does not resolve") from error
    addresses = [ip_address(str(info[4][0]).partition("%")[0]) for info in found]
    allowed = [one for one in addresses if _may_be(one, _is_local(host), networks)]
    if not allowed:
        raise NotifierError(
            f"{host} is at {addresses[0]}, which is {_kind(addresses[0])}",
            hint="if that is right, list its network under `networks`",
        )
    return str(allowed[0])


def _is_local(host: str) -> bool:
    try:
        return host == _LOCAL or ip_address(host).is_loopback
    except ValueError:
        return False


def _may_be(address: Address, local: bool, networks: Iterable[str]) -> bool:  # noqa: FBT001
    inner = _inner(address)
    if inner.is_multicast or inner.is_unspecified:
        return False
    if inner.is_loopback and local:
        return True
    return inner.is_global or any(inner in ip_network(one) for one in networks)


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, if it does."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _kind(address: Address) -> str:
    inner = _inner(address)
    kinds = {
        "this machine": inner.is_loopback,
        "link-local, as metadata services are": inner.is_link_local,
        "private": inner.is_private,
    }
    return next((kind for kind, true in kinds.items() if true), "not a public address")
