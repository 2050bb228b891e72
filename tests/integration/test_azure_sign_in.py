"""Signing in to Microsoft Entra, and that nothing of it or of the values shows anywhere."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from credmgr.backends.azure_key_vault import AzureAuth, AzureBackendFactory
from credmgr.backends.azure_key_vault.options import AzureOptions
from credmgr.backends.azure_key_vault.session import AzureBackend
from credmgr.backends.azure_key_vault.sign_in import credential_of
from credmgr.errors import AccessDenied, BackendError, BackendUnavailable, ConfigError
from credmgr.model.clock import SystemClock
from credmgr.model.names import Name
from credmgr.testing import FakeClock
from credmgr.testing.backend_moves import full, promoted
from credmgr.testing.canaries import everything_in, leaks, new_canary
from credmgr.testing.key_vault import FakeKeyVault, Fault, Harm, StaticToken
from credmgr.testing.key_vault.authority import APP_SERVICE, APPLICATION, TENANT
from tests.integration.key_vaults import a_context, granted, opened, options_for

SECRET = AzureAuth("client-secret", TENANT, APPLICATION, "file:secret")
CERTIFICATE = AzureAuth("certificate", TENANT, APPLICATION, certificate="server.pem")
WORKLOAD = AzureAuth("workload-identity", TENANT, APPLICATION, token_file="token")  # noqa: S106 (a path)


@pytest.fixture
def vault() -> Iterator[FakeKeyVault]:
    with FakeKeyVault(permits=granted()) as vault:
        yield vault


def write_rsa(file: Path) -> bytes:
    """Write a key and a certificate of the one kind that Microsoft Entra takes.

    Returns:
        The public key.
    """
    key = rsa.generate_private_key(65_537, 2_048)
    name, now = x509.Name([]), SystemClock().now()
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(pem + builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def entra(vault: FakeKeyVault, auth: AzureAuth = SECRET) -> AzureOptions:
    """Options by which the SDK asks the fake for its tokens."""
    return options_for(vault, auth=auth, authority=vault.url, instance_discovery=False)


def signs_in(
    vault: FakeKeyVault,
    auth: AzureAuth,
    references: dict[str, str] | None = None,
    home: Path = Path("/"),
    authority: str = "",
) -> None:
    """Sign in once and write and read a value with what was given."""
    options = replace(entra(vault, auth), authority=authority or vault.url)
    context = a_context(home=home, references=references, deadline=timedelta(seconds=5))
    backend, before = AzureBackendFactory().open(options, context), len(vault.authority.given)
    try:
        promoted(backend, Name("team/key"), "value")
        assert len(vault.authority.given) == before + 1
        backend.delete(Name("team/key"))
    finally:
        backend.close()


def signed_in(vault: FakeKeyVault, secret: str, auth: AzureAuth = SECRET) -> AzureBackend:
    context = a_context(references={"file:secret": secret}, deadline=timedelta(seconds=5))
    return AzureBackendFactory().open(entra(vault, auth), context)


def test_a_client_secret_signs_in_once_for_all_calls(vault: FakeKeyVault) -> None:
    backend = signed_in(vault, vault.authority.client_secret)
    full(backend, Name("team/key"))
    assert len(vault.authority.tokens) == 2
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
        backend = signed_in(vault, vault.authority.client_secret)
        promoted(backend, Name("team/key"), value)
        backend.read(Name("team/key"))
        backend.delete(Name("team/key"))
        backend.close()
    shown = caplog.text + "".join(repr(vars(record)) for record in caplog.records)
    shown += "".join(capfd.readouterr())
    assert not leaks(value, shown)
    assert not any(
        hidden in shown for hidden in (*vault.authority.tokens, vault.authority.client_secret)
    )
    assert "Request headers" not in shown


def test_an_authority_that_nobody_vouches_for_gets_no_secret(vault: FakeKeyVault) -> None:
    options = replace(entra(vault), ca_bundle=None)
    context = a_context(references={"file:secret": vault.authority.client_secret})
    backend = AzureBackendFactory().open(options, context)
    with pytest.raises(BackendUnavailable, match="ca_bundle"):
        backend.check()
    assert len(vault.authority.tokens) == 1
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


def test_a_client_secret_signs_in_end_to_end(vault: FakeKeyVault) -> None:
    signs_in(vault, SECRET, {"file:secret": vault.authority.client_secret})


def test_a_certificate_signs_in(vault: FakeKeyVault, tmp_path: Path) -> None:
    vault.authority.public_key = write_rsa(tmp_path / "server.pem")
    signs_in(vault, CERTIFICATE, home=tmp_path)
    vault.authority.public_key = write_rsa(tmp_path / "other.pem")
    with pytest.raises(AccessDenied, match="signing in was refused"):
        signs_in(vault, CERTIFICATE, home=tmp_path)


def test_a_workload_identity_signs_in(vault: FakeKeyVault, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(vault.authority.federated_token)
    signs_in(vault, WORKLOAD, home=tmp_path)
    (tmp_path / "token").write_text("another's")
    with pytest.raises(AccessDenied, match="signing in was refused"):
        signs_in(vault, WORKLOAD, home=tmp_path)


def test_a_workload_identity_without_its_token_says_where_it_should_be(
    vault: FakeKeyVault, tmp_path: Path
) -> None:
    with pytest.raises(AccessDenied, match=f"{tmp_path}/token cannot be read") as caught:
        signs_in(vault, WORKLOAD, home=tmp_path)
    assert "auth.token_file" in (caught.value.hint or "")


@pytest.mark.parametrize("client", ["", APPLICATION])
def test_a_managed_identity_of_app_service_signs_in(
    vault: FakeKeyVault, monkeypatch: pytest.MonkeyPatch, client: str
) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", vault.url + APP_SERVICE)
    monkeypatch.setenv("IDENTITY_HEADER", vault.authority.identity_header)
    signs_in(vault, AzureAuth("managed-identity", client_id=client))
    monkeypatch.setenv("IDENTITY_HEADER", "another's")
    with pytest.raises(AccessDenied, match="there is nothing to sign in with"):
        signs_in(vault, AzureAuth("managed-identity", client_id=client))


def test_a_managed_identity_of_a_machine_signs_in(
    vault: FakeKeyVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", vault.url)
    signs_in(vault, AzureAuth("managed-identity"))


@pytest.mark.parametrize("way", ["environment", "workload", "app service", "machine"])
def test_the_default_finds_what_there_is(
    vault: FakeKeyVault, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, way: str
) -> None:
    (tmp_path / "token").write_text(vault.authority.federated_token)
    ours = {"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": APPLICATION}
    environments = {
        "environment": {**ours, "AZURE_CLIENT_SECRET": vault.authority.client_secret},
        "workload": {
            **ours,
            "AZURE_FEDERATED_TOKEN_FILE": str(tmp_path / "token"),
            "AZURE_AUTHORITY_HOST": vault.url,
        },  # the SDK gives it no other
        "app service": {
            "IDENTITY_ENDPOINT": vault.url + APP_SERVICE,
            "IDENTITY_HEADER": vault.authority.identity_header,
        },
        "machine": {"AZURE_POD_IDENTITY_AUTHORITY_HOST": vault.url},
    }
    for name, value in environments[way].items():
        monkeypatch.setenv(name, value)
    signs_in(vault, AzureAuth())


# --- outages, which are not refusals


NOWHERE = "https://localhost:1"


@pytest.fixture
def no_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is not one of Azure's."""
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", NOWHERE)


@pytest.mark.usefixtures("no_metadata")
@pytest.mark.parametrize("way", [SECRET, CERTIFICATE, WORKLOAD, AzureAuth()])
def test_an_authority_that_is_not_there_is_retryable(
    vault: FakeKeyVault,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    way: AzureAuth,
) -> None:
    write_rsa(tmp_path / "server.pem")
    (tmp_path / "token").write_text(vault.authority.federated_token)
    monkeypatch.setenv("AZURE_TENANT_ID", TENANT)
    monkeypatch.setenv("AZURE_CLIENT_ID", APPLICATION)
    monkeypatch.setenv("AZURE_CLIENT_SECRET", vault.authority.client_secret)
    given = {"file:secret": vault.authority.client_secret}
    with pytest.raises(BackendUnavailable, match=r"got no answer|no connection"):
        signs_in(vault, way, given, home=tmp_path, authority=NOWHERE)
    assert vault.authority.given == []


@pytest.mark.usefixtures("no_metadata")
def test_a_metadata_service_that_is_not_there_is_an_outage_for_who_relies_on_it(
    vault: FakeKeyVault,
) -> None:
    with pytest.raises(BackendUnavailable, match="signing in at localhost got no answer"):
        signs_in(vault, AzureAuth("managed-identity"))


@pytest.mark.usefixtures("no_metadata")
def test_who_may_sign_in_by_anything_and_has_nothing_is_refused(
    vault: FakeKeyVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")  # no developer's tools
    with pytest.raises(AccessDenied, match="signing in was refused"):
        signs_in(vault, AzureAuth())


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_authority_that_says_not_now_is_retryable_and_left_alone(
    vault: FakeKeyVault, status: int
) -> None:
    clock = FakeClock()
    context = a_context(clock=clock, references={"file:secret": vault.authority.client_secret})
    backend = AzureBackendFactory().open(entra(vault), context)
    vault.sign_in_faults.add(Fault(Harm.ANSWER, "POST", status=status))
    with pytest.raises(BackendUnavailable, match=f"signing in at localhost was answered {status}"):
        backend.check()
    with pytest.raises(BackendUnavailable, match=r"asks to wait 5\.0 s more"):
        backend.check()
    backend.close()


def test_the_connections_to_sign_in_are_closed_once() -> None:
    closed: list[str] = []

    class Closing(StaticToken):
        def close(self) -> None:
            closed.append("credential")

    with FakeKeyVault(permits=granted()) as vault:
        factory = AzureBackendFactory(lambda _auth, _context, _settings: Closing("x"))
        backend = factory.open(options_for(vault), a_context())
    backend.close()
    backend.close()
    assert closed == ["credential"]


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
