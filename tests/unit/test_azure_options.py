"""What can be wrong with the options of a Key Vault."""

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from credmgr.backends.azure_key_vault import AzureAuth, AzureBackendFactory, AzureOptions
from credmgr.plugins.backend import Capability

GOOD = AzureOptions(vault_url="https://team.vault.azure.net")
SECRET = AzureAuth("client-secret", "tenant", "application", "file:secret")


def mistakes(options: AzureOptions) -> list[tuple[str, str]]:
    return [(m.option, m.what) for m in AzureBackendFactory().validate(options)]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"vault_url": "https://localhost:8443/"},
        {"authority": "login.microsoftonline.us"},
        {"authority": "https://login.chinacloudapi.cn"},
        {"prefix": "team-a-"},
        {"api_version": "7.6"},
        {"api_version": "2026-04-01"},
        {"tags": {str(number): "x" for number in range(11)}},
        {"auth": SECRET},
        {"auth": AzureAuth("managed-identity", client_id="application")},
        {"auth": AzureAuth("workload-identity", token_file="token")},  # noqa: S106 (a path)
    ],
)
def test_good_options_have_no_mistakes(changes: dict[str, Any]) -> None:
    assert mistakes(replace(GOOD, **changes)) == []


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"vault_url": "http://team.vault.azure.net"}, "vault_url"),
        ({"vault_url": "team.vault.azure.net"}, "vault_url"),
        ({"vault_url": "https://"}, "vault_url"),
        ({"vault_url": "https://[::1"}, "vault_url"),
        ({"vault_url": "https://team:0"}, "vault_url"),
        ({"vault_url": "https://team:99999"}, "vault_url"),
        ({"vault_url": "https://team.vault.azure.net/secrets"}, "vault_url"),
        ({"vault_url": "https://me:it@team.vault.azure.net"}, "vault_url"),
        ({"vault_url": "https://te am.vault.azure.net"}, "vault_url"),
        ({"vault_url": "https://tëam.vault.azure.net"}, "vault_url"),
        ({"authority": "http://login.microsoftonline.us"}, "authority"),
        ({"authority": "login.microsoftonline.us/tenant"}, "authority"),
        ({"api_version": "newest"}, "api_version"),
        ({"prefix": "-team"}, "prefix"),
        ({"prefix": "team/"}, "prefix"),
        ({"prefix": "x" * 41}, "prefix"),
        ({"content_type": "x" * 256}, "content_type"),
        ({"template": "no place"}, "template"),
        ({"tags": {str(number): "x" for number in range(12)}}, "tags"),
        ({"tags": {"": "x"}}, "tags"),
        ({"tags": {"x" * 257: "x"}}, "tags"),
        ({"tags": {"x": "x" * 257}}, "tags"),
        ({"tags": {"Credmgr-version": "x"}}, "tags"),
        ({"auth": replace(SECRET, client_secret=None)}, "auth.client_secret"),
        ({"auth": replace(SECRET, tenant_id="")}, "auth.tenant_id"),
        ({"auth": AzureAuth("certificate", "tenant", "application")}, "auth.certificate"),
        ({"auth": AzureAuth(client_secret="file:secret")}, "auth.client_secret"),  # noqa: S106
        ({"auth": AzureAuth("managed-identity", tenant_id="tenant")}, "auth.tenant_id"),
    ],
)
def test_a_mistake_is_told_at_its_option(changes: dict[str, Any], option: str) -> None:
    assert [place for place, _ in mistakes(replace(GOOD, **changes))] == [option]


def test_the_manifest_can_bind_the_options() -> None:
    adapter = TypeAdapter(with_config(ConfigDict(extra="forbid"))(AzureOptions))
    bound = adapter.validate_python(
        {
            "vault_url": "https://team.vault.azure.net",
            "auth": {"method": "managed-identity", "client_id": "application"},
            "tags": {"team": "payments"},
        }
    )
    assert bound.auth == AzureAuth("managed-identity", client_id="application")
    with pytest.raises(ValidationError, match="method"):
        adapter.validate_python({"vault_url": "https://x", "auth": {"method": "password"}})


def test_compare_and_set_is_not_promised() -> None:
    factory = AzureBackendFactory()
    assert factory.capabilities == {Capability.VERSIONS, Capability.SOFT_DELETE}
    assert factory.limits.value_bytes == 25_600


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    return done.stdout.strip()


def test_the_plugin_describes_itself_without_the_sdk() -> None:
    code = "import sys, credmgr.backends.azure_key_vault as a; a.AzureBackendFactory()"
    assert run(f"{code}; print({{'azure', 'msal', 'requests'}} & sys.modules.keys())") == "set()"


@pytest.mark.parametrize("missing", ["azure", "azure.identity", "azure.keyvault"])
def test_without_the_sdk_the_extra_is_named(missing: str) -> None:
    code = f"""
import sys
sys.modules[{missing!r}] = None  # as if it were not installed
from credmgr.backends.azure_key_vault import AzureBackendFactory, AzureOptions
from credmgr.errors import ConfigError
try:
    AzureBackendFactory().open(AzureOptions("https://a.test"), None)
except ConfigError as error:
    print(error, error.hint, sep=": ")
"""
    assert run(code) == "the backend azure needs the Azure SDK: pip install 'credmgr[azure]'"
