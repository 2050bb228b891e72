"""`doctor`, `backends list` and `migrate` with OpenBao, moto and a Key Vault."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import pytest

from credmgr.testing.key_vault import FakeKeyVault
from credmgr.testing.key_vault.authority import APPLICATION, TENANT
from tests.acceptance.installation import KEY, Installation
from tests.integration.aws import REGION, SECRET_KEY
from tests.integration.aws import running as moto
from tests.integration.openbao import POLICY, dev_server

STORES: Final = ("bao", "aws", "azure")
BACKENDS: Final = """\
  bao:
    plugin: vault
    address: "{bao}"
    approle: {{role_id: "{role}", secret_id: file:secret-id}}
  aws: {{plugin: aws, region: {region}, endpoint_url: "{aws}", sts_endpoint_url: "{aws}",
         access_key_id: testing, secret_access_key: file:aws.key}}
  azure:
    plugin: azure
    vault_url: "{azure}"
    authority: "{azure}"
    instance_discovery: false
    verify_challenge_resource: false
    ca_bundle: "{ca}"
    auth: {{method: client-secret, tenant_id: {tenant}, client_id: {client},
            client_secret: file:azure.secret}}
"""


@dataclass
class Stores:
    """An installation with a local store, and three others declared beside it."""

    home: Installation
    hidden: tuple[str, ...]


@pytest.fixture
def stores(grown: Installation) -> Iterator[Stores]:
    with ExitStack() as stack:
        bao, aws = stack.enter_context(dev_server()), stack.enter_context(moto())
        vault = stack.enter_context(FakeKeyVault())
        bao.policy("credmgr", POLICY.read_text())
        role, secret_id = bao.role("credmgr", token_no_default_policy=False)
        files = {
            "secret-id": secret_id,
            "aws.key": SECRET_KEY,
            "azure.secret": vault.authority.client_secret,
        }
        for name, value in files.items():
            (grown.folder / name).touch(0o600)
            (grown.folder / name).write_text(value)
        declared = BACKENDS.format(
            bao=bao.address,
            role=role,
            region=REGION,
            aws=aws.url,
            azure=vault.url,
            ca=vault.ca_file,
            tenant=TENANT,
            client=APPLICATION,
        )
        grown.edit("issuers:\n", f"{declared}issuers:\n")
        yield Stores(grown, tuple(files.values()))


def test_each_is_listed_as_one_that_works(stores: Stores) -> None:
    told = {one["name"]: one for one in stores.home.json("backends", "list")["backends"]}

    assert {name: told[name]["problem"] for name in STORES} == dict.fromkeys(STORES, "")
    assert told["aws"]["capabilities"] == ["cas", "soft-delete", "versions"]
    assert told["azure"]["name_length"] == 127
    shown = stores.home.run("backends", "list").out
    assert all(name in shown for name in STORES)


def test_doctor_tells_sign_in_permissions_clock_and_limits_of_each(stores: Stores) -> None:
    told = stores.home.json("doctor")

    verdicts = {one["subject"]: one["verdict"] for one in told["checks"]}
    for name in STORES:
        assert verdicts[f"backend {name}"] == "ok"
        assert verdicts[f"backend {name} clock"] == "ok"
        assert verdicts[f"backend {name} limits"] == "ok"
    assert verdicts["backend bao permissions"] == "ok"  # with exactly the policy that is shipped
    assert {verdicts[f"backend {name} permissions"] for name in STORES} <= {"ok", "warn"}
    assert not any(secret in json.dumps(told) for secret in stores.hidden)


def test_doctor_names_the_permission_that_is_missing(stores: Stores) -> None:
    stores.home.edit('address: "', 'mount: nowhere\n    address: "')

    said = stores.home.run("doctor", code=1)

    assert "✗  backend bao" in said.out
    assert "✓  backend aws" in said.out
    assert not any(secret in said.out + said.err for secret in stores.hidden)


@pytest.mark.parametrize("store", STORES)
def test_a_secret_moves_there_and_nothing_is_left_behind(stores: Stores, store: str) -> None:
    home = stores.home

    def now() -> tuple[str, str]:
        return home.json("show", KEY)["secret_id"], home.run("get", KEY).out

    version, value = now()
    home.edit(f"  {KEY}:\n", f"  {KEY}:\n    store: {store}\n")
    home.run("migrate", KEY, "--to", store, "--yes")
    assert now() == (version, value)
    assert home.json("show", KEY)["places"] == [f"{store}:{KEY}", f"standby:{KEY}"]
    old = home.folder / "secrets"
    left = {file.name for file in old.rglob("*") if file.is_file()}
    home.run("migrate", KEY, "--to", store, "--finish", "--yes")

    assert left - {file.name for file in old.rglob("*") if file.is_file()}
    assert now() == (version, value)
    assert "nothing" in home.run("plan").out.lower()
    assert home.accepts(value.strip())
