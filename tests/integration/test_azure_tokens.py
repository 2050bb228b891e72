"""Tokens of Microsoft Entra: one for many threads, and another when it ends before its time."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from threading import Barrier

import pytest

from credmgr.backends.azure_key_vault import AzureAuth, AzureBackendFactory
from credmgr.backends.azure_key_vault.session import AzureBackend
from credmgr.errors import BackendUnavailable
from credmgr.model.clock import SystemClock
from credmgr.model.names import Name
from credmgr.testing.backend_moves import promoted, staged
from credmgr.testing.key_vault import FakeKeyVault, Fault, Harm
from tests.integration.key_vaults import a_context, granted
from tests.integration.test_azure_sign_in import CERTIFICATE, WORKLOAD, entra, signed_in, write_rsa


@pytest.fixture
def vault() -> Iterator[FakeKeyVault]:
    with FakeKeyVault(permits=granted()) as vault:
        yield vault


def at_once(backend: AzureBackend, names: Sequence[Name], write: str = "") -> list[str]:
    """What each of many threads reads, or writes and reads; an outage is repeated, as it may be."""
    together = Barrier(len(names))

    def work(name: Name) -> str:
        together.wait()
        for _ in range(5):
            with suppress(BackendUnavailable):
                if write:
                    promoted(backend, name, write)
                return backend.read(name).secret.reveal()
        raise AssertionError("never")

    with ThreadPoolExecutor(len(names)) as pool:
        return list(pool.map(work, names))


def test_many_threads_sign_in_once(vault: FakeKeyVault) -> None:
    backend = signed_in(vault, vault.authority.client_secret)
    names = [Name(f"team/key-{number}") for number in range(16)]
    assert at_once(backend, names, "value") == ["value"] * 16
    assert len(vault.authority.given) == 1
    backend.close()


@pytest.mark.parametrize("claims", ["", '{"access_token":{"nbf":{"essential":true,"value":"1"}}}'])
def test_when_every_token_ends_many_threads_sign_in_once_more(
    vault: FakeKeyVault, claims: str
) -> None:
    backend = signed_in(vault, vault.authority.client_secret)
    names = [Name(f"team/key-{number}") for number in range(16)]
    at_once(backend, names, "value")
    vault.claims = claims
    for number in (2, 3):
        vault.authority.tokens.clear()
        assert at_once(backend, names) == ["value"] * 16
        assert len(vault.authority.given) == number
    backend.close()


def test_a_value_is_written_once_when_the_token_ends_before_it(vault: FakeKeyVault) -> None:
    backend = signed_in(vault, vault.authority.client_secret)
    one = promoted(backend, Name("team/key"), "one")
    two = staged(backend, Name("team/key"), "two")
    vault.authority.tokens.clear()
    backend.promote(Name("team/key"), two, one)
    assert backend.read(Name("team/key")).secret.reveal() == "two"
    puts = [path for method, path in vault.calls if method == "PUT"]
    assert len(puts) == 4
    backend.close()


def test_every_way_of_signing_in_does_so_again(
    vault: FakeKeyVault, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    vault.authority.public_key = write_rsa(tmp_path / "server.pem")
    (tmp_path / "token").write_text(vault.authority.federated_token)
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", vault.url)
    for auth in (CERTIFICATE, WORKLOAD, AzureAuth("managed-identity"), AzureAuth()):
        backend = AzureBackendFactory().open(entra(vault, auth), a_context(home=tmp_path))
        backend.check()
        vault.authority.tokens.clear()
        backend.check()
        backend.close()
    assert len(vault.authority.given) == 8


def test_who_waits_for_the_one_that_signs_in_waits_no_longer_than_the_deadline(
    vault: FakeKeyVault,
) -> None:
    context = a_context(
        references={"file:secret": vault.authority.client_secret}, deadline=timedelta(seconds=0.6)
    )
    backend = AzureBackendFactory().open(entra(vault), context)
    for _ in range(8):
        vault.sign_in_faults.add(Fault(Harm.HANG))
    started = SystemClock().monotonic()
    with ThreadPoolExecutor(4) as pool:
        for failed in [pool.submit(backend.check) for _ in range(4)]:
            assert isinstance(failed.exception(), BackendUnavailable)
    assert SystemClock().monotonic() - started < timedelta(seconds=1.2)
    backend.close()
