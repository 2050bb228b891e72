"""A webhook goes to the public internet, to what is listed, or to this machine if it names it."""

import socket
from typing import Any

import pytest

from credmgr.errors import NotifierError
from credmgr.notifiers.addresses import network_mistakes, pinned

Resolves = Any


@pytest.fixture
def resolves(monkeypatch: pytest.MonkeyPatch) -> Resolves:
    """Names lead where the test says; there is no resolver to inject."""

    def to(*found: str) -> None:
        def answer(*_: Any, **__: Any) -> list[Any]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, 443)) for one in found]

        monkeypatch.setattr(socket, "getaddrinfo", answer)

    return to


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"])
def test_a_public_address_is_taken(resolves: Resolves, address: str) -> None:
    resolves(address)
    assert pinned("hooks.example", 443, ()) == address


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "this machine"),
        ("::1", "this machine"),
        ("::ffff:127.0.0.1", "this machine"),
        ("10.1.2.3", "private"),
        ("192.168.0.9", "private"),
        ("fd00:ec2::254", "private"),
        ("169.254.169.254", "link-local, as metadata services are"),
        ("::ffff:169.254.169.254", "link-local, as metadata services are"),
        ("64:ff9b::a9fe:a9fe", "link-local, as metadata services are"),
        ("2002:a9fe:a9fe::", "link-local, as metadata services are"),
        ("fe80::1%eth0", "link-local, as metadata services are"),
        ("100.64.0.1", "not a public address"),
        ("0.0.0.0", "private"),  # noqa: S104 (it is refused)
        ("224.0.0.1", "not a public address"),
    ],
)
def test_any_other_address_is_refused(resolves: Resolves, address: str, kind: str) -> None:
    resolves(address)
    with pytest.raises(NotifierError, match=kind) as caught:
        pinned("hooks.example", 443, ())
    assert caught.value.retryable
    assert "networks" in str(caught.value.hint)


def test_a_listed_network_is_taken(resolves: Resolves) -> None:
    resolves("10.1.2.3")
    assert pinned("hooks.internal", 443, ("10.1.0.0/16",)) == "10.1.2.3"
    with pytest.raises(NotifierError):
        pinned("hooks.internal", 443, ("10.2.0.0/16", "fd00::/8"))


@pytest.mark.parametrize("address", ["0.0.0.0", "224.0.0.1"])  # noqa: S104 (it is refused)
def test_what_is_no_place_is_refused_even_if_listed(resolves: Resolves, address: str) -> None:
    resolves(address)
    with pytest.raises(NotifierError):
        pinned("hooks.example", 443, ("0.0.0.0/0",))


def test_of_several_addresses_one_that_may_be_is_taken(resolves: Resolves) -> None:
    resolves("169.254.169.254", "93.184.216.34")
    assert pinned("hooks.example", 443, ()) == "93.184.216.34"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9"])
def test_this_machine_is_taken_where_it_is_named(resolves: Resolves, host: str) -> None:
    resolves("127.0.0.1")
    assert pinned(host, 80, ()) == "127.0.0.1"


def test_a_name_that_does_not_resolve_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(*_: Any, **__: Any) -> None:
        raise socket.gaierror(-2, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    with pytest.raises(NotifierError, match="does not resolve"):
        pinned("nowhere.example", 443, ())


def test_networks_are_checked() -> None:
    (mistake,) = network_mistakes(["10.0.0.0/8", "10.0.0.1/8"])
    assert (mistake.option, mistake.what) == ("networks.1", "not a network")
