"""Signing in to Microsoft Entra, and that nothing of it or of the values shows anywhere."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from azure.identity import (
    CertificateCredential,
    DefaultAzureCredential,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from credmgr.backends.azure_key_vault import AzureAuth, AzureBackend, AzureBackendFactory
from credmgr.backends.azure_key_vault.options import AzureOptions
from credmgr.backends.azure_key_vault.sign_in import credential_of
from credmgr.errors import AccessDenied, BackendError, BackendUnavailable, ConfigError
from credmgr.model.clock import SystemClock
from credmgr.model.names import Name
from credmgr.testing.backend_moves import full, promoted
from credmgr.testing.canaries import everything_in, leaks, new_canary
from credmgr.testing.key_vault import FakeKeyVault
from credmgr.testing.key_vault.server import APPLICATION, TENANT
from tests.integration.key_vaults import a_context, opened, options_for

SECRET = AzureAuth("client-secret", TENANT, APPLICATION, "file:secret")
CERTIFICATE = AzureAuth("certificate", TENANT, APPLICATION, certificate="server.pem")


@pytest.fixture
def vault() -> Iterator[FakeKeyVault]:
    with FakeKeyVault() as vault:
        yield vault


def write_rsa(file: Path) -> None:
    """A key and a certificate of the one kind that Microsoft Entra takes."""
    key = rsa.generate_private_key(65_537, 2_048)
    name, now = x509.Name([]), SystemClock().now()
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(pem + builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))


def entra(vault: FakeKeyVault, auth: AzureAuth = SECRET) -> AzureOptions:
    """Options by which the SDK asks the fake for its tokens."""
    return options_for(vault, auth=auth, authority=vault.url, instance_discovery=False)


def signed_in(vault: FakeKeyVault, secret: str, auth: AzureAuth = SECRET) -> AzureBackend:
    context = a_context(references={"file:secret": secret}, deadline=timedelta(seconds=5))
    return AzureBackendFactory().open(entra(vault, auth), context)


def test_a_client_secret_signs_in_once_for_all_calls(vault: FakeKeyVault) -> None:
    backend = signed_in(vault, vault.client_secret)
    full(backend, Name("team/key"))
    assert len(vault.tokens) == 2
    backend.close()


def test_a_wrong_client_secret_is_refused_and_shown_nowhere(
    vault: FakeKeyVault, caplog: pytest.LogCaptureFixture
) -> None:
    canary = new_canary()
    backend = signed_in(vault, canary)
    with caplog.at_level(logging.DEBUG), pytest.raises(AccessDenied, match="signing in") as caught:
        backend.check()
    assert not leaks(canary, everything_in(caught.value) + caplog.text)
    backend.close()


def test_neither_values_nor_tokens_nor_client_secrets_are_logged(
    vault: FakeKeyVault, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    for logger in ("azure", "azure.core", "azure.identity", "msal", "urllib3", "requests"):
        caplog.set_level(logging.DEBUG, logger)
    value = new_canary()
    with caplog.at_level(logging.DEBUG):
        backend = signed_in(vault, vault.client_secret)
        promoted(backend, Name("team/key"), value)
        backend.read(Name("team/key"))
        backend.delete(Name("team/key"))
        backend.close()
    shown = caplog.text + "".join(repr(vars(record)) for record in caplog.records)
    shown += "".join(capfd.readouterr())
    assert not leaks(value, shown)
    assert not any(hidden in shown for hidden in (*vault.tokens, vault.client_secret))
    assert "Request headers" not in shown


def test_an_authority_that_nobody_vouches_for_gets_no_secret(vault: FakeKeyVault) -> None:
    options = replace(entra(vault), ca_bundle=None)
    context = a_context(references={"file:secret": vault.client_secret})
    backend = AzureBackendFactory().open(options, context)
    # the SDK tells a refused certificate as no answer, or as a failed sign-in, as its caches are
    with pytest.raises((BackendUnavailable, AccessDenied)):
        backend.check()
    assert len(vault.tokens) == 1
    backend.close()


def test_an_identity_endpoint_that_is_not_there_is_retryable(
    vault: FakeKeyVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:1/token")
    monkeypatch.setenv("IDENTITY_HEADER", "x")
    backend = signed_in(vault, "unused", AzureAuth("managed-identity"))
    with pytest.raises(BackendUnavailable, match="no connection"):
        backend.check()
    backend.close()


def test_each_way_of_signing_in_has_its_credential(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("jwt")
    write_rsa(tmp_path / "server.pem")
    context = a_context(home=tmp_path, references={"file:secret": "x"})
    ways = {
        DefaultAzureCredential: AzureAuth(client_id=APPLICATION),
        ManagedIdentityCredential: AzureAuth("managed-identity", client_id=APPLICATION),
        CertificateCredential: CERTIFICATE,
        WorkloadIdentityCredential: AzureAuth(
            "workload-identity",
            TENANT,
            APPLICATION,
            token_file="token",  # noqa: S106 (a path)
        ),
    }
    for kind, auth in ways.items():
        credential = credential_of(auth, context, {})
        assert type(credential) is kind
        credential.close()  # type: ignore[attr-defined] # the protocol lacks it, each has it


def test_a_certificate_that_is_no_use_is_told_without_its_password(vault: FakeKeyVault) -> None:
    password = new_canary()
    context = a_context(home=vault.ca_file.parent, references={"file:password": password})
    for auth in (
        replace(CERTIFICATE, certificate="nowhere.pem", certificate_password="file:password"),  # noqa: S106 (a reference)
        replace(CERTIFICATE, certificate="authority.pem", certificate_password="file:password"),  # noqa: S106
    ):
        with pytest.raises(ConfigError, match="certificate cannot be used") as caught:
            credential_of(auth, context, {})
        assert not leaks(password, everything_in(caught.value))


@pytest.mark.parametrize("bundle", ["nowhere.pem", "key_vaults.py"])
def test_a_bundle_that_is_no_use_is_told(vault: FakeKeyVault, bundle: str) -> None:
    with pytest.raises(ConfigError, match="CA bundle"):
        opened(vault, a_context(home=Path(__file__).parent), ca_bundle=bundle)


def test_an_api_version_that_the_vault_does_not_know_is_told(vault: FakeKeyVault) -> None:
    backend = opened(vault, api_version="1.0")
    with pytest.raises(BackendError, match=r"answered 400 \(BadParameter\)"):
        backend.check()
    backend.close()
