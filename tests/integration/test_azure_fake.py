"""The fake Key Vault is as strict as the real one, as the SDK sees it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.keyvault.secrets import SecretClient

from credmgr.testing.key_vault import FakeKeyVault


@pytest.fixture
def vault() -> Iterator[FakeKeyVault]:
    with FakeKeyVault() as vault:
        yield vault


@pytest.fixture
def client(vault: FakeKeyVault) -> Iterator[SecretClient]:
    made = SecretClient(
        vault.url,
        vault.credential,
        verify_challenge_resource=False,
        connection_verify=str(vault.ca_file),
        use_env_settings=False,
        retry_total=0,
    )
    with made as client:
        yield client


def raw(vault: FakeKeyVault, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Ask without the SDK, which would not let the mistake through."""
    headers = {"Authorization": f"Bearer {next(iter(vault.authority.tokens))}"}
    with urllib3.PoolManager(ca_certs=str(vault.ca_file), retries=False) as pool:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = pool.request(method, vault.url + path, headers=headers, body=content)
        return answer.status, answer.json()["error"]["code"]


def test_secrets_and_deleted_ones_are_listed_page_by_page(client: SecretClient) -> None:
    for number in range(7):
        client.set_secret(f"s{number}", "value")
    client.begin_delete_secret("s6").wait()
    listed = list(client.list_properties_of_secrets(max_page_size=4))
    assert [found.name for found in listed] == [f"s{number}" for number in range(6)]
    assert {found.version for found in listed} == {None}
    [deleted] = client.list_deleted_secrets()
    assert (deleted.name, deleted.properties.recovery_level) == ("s6", "Recoverable")
    assert deleted.scheduled_purge_date is not None
    assert deleted.deleted_date is not None
    assert (deleted.scheduled_purge_date - deleted.deleted_date).days == 90


def test_names_ignore_case(client: SecretClient) -> None:
    client.set_secret("Name", "value")
    assert client.get_secret("nAME").value == "value"


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("under_score", {"value": "x"}),
        ("n" * 128, {"value": "x"}),
        ("name", {"value": "x" * 25_601}),
        ("name", {"value": "x", "tags": {str(number): "" for number in range(16)}}),
        ("name", {"value": "x", "tags": {"k": "x" * 257}}),
        ("name", {"value": "x", "content_type": "x" * 256}),
    ],
)
def test_what_is_over_a_limit_is_refused(
    client: SecretClient, name: str, given: dict[str, Any]
) -> None:
    with pytest.raises(HttpResponseError) as caught:
        client.set_secret(name, **given)
    assert caught.value.status_code == 400
    assert list(client.list_properties_of_secrets()) == []


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("PUT", "/secrets/a?api-version=7.6", b"{", (400, "BadParameter")),
        ("PUT", "/secrets/a?api-version=7.6", {"value": 5}, (400, "BadParameter")),
        (
            "PUT",
            "/secrets/a?api-version=7.6",
            {"value": "x", "attributes": {"odd": 1}},
            (400, "BadParameter"),
        ),
        ("PUT", "/secrets/a", {"value": "x"}, (400, "BadParameter")),
        ("POST", "/secrets/a?api-version=7.6", {}, (405, "MethodNotAllowed")),
        ("PUT", "/deletedsecrets/a?api-version=7.6", {}, (405, "MethodNotAllowed")),
        ("GET", "/keys?api-version=7.6", {}, (404, "NotFound")),
        ("GET", "/secrets?api-version=7.6&maxresults=26", {}, (400, "BadParameter")),
        ("GET", "/secrets/none/0?api-version=7.6", {}, (404, "SecretNotFound")),
    ],
)
def test_what_is_no_request_is_refused(
    vault: FakeKeyVault, method: str, path: str, body: Any, expected: tuple[int, str]
) -> None:
    assert raw(vault, method, path, body) == expected


def test_a_deleted_name_is_taken_until_it_is_recovered(
    vault: FakeKeyVault, client: SecretClient
) -> None:
    kept = client.set_secret("name", "value").properties.version
    client.begin_delete_secret("name").wait()
    with pytest.raises(ResourceExistsError) as caught:
        client.set_secret("name", "other")
    assert "ObjectIsDeletedButRecoverable" in str(
        caught.value.response and caught.value.response.text()
    )
    with pytest.raises(ResourceNotFoundError):
        client.get_secret("name")
    with pytest.raises(ResourceNotFoundError):
        client.begin_recover_deleted_secret("other")
    vault.content.settle = 1
    client.begin_recover_deleted_secret("name", _polling_interval=0).wait()
    assert client.get_secret("name", kept).value == "value"
    with pytest.raises(ResourceNotFoundError):
        client.get_secret("name", "0" * 32)
    client.begin_delete_secret("name")
    with pytest.raises(ResourceExistsError):
        client.begin_recover_deleted_secret("name")


def test_purging_is_refused_under_protection(vault: FakeKeyVault, client: SecretClient) -> None:
    client.set_secret("name", "value")
    client.begin_delete_secret("name").wait()
    with pytest.raises(HttpResponseError) as caught:
        client.purge_deleted_secret("name")
    assert caught.value.status_code == 403
    vault.content.purge_protection = False
    client.purge_deleted_secret("name")
    assert list(client.list_deleted_secrets()) == []


def test_attributes_and_tags_change_and_the_value_does_not(client: SecretClient) -> None:
    client.set_secret("name", "value", tags={"a": "b"})
    client.update_secret_properties("name", tags={"c": "d"}, content_type="text/x")
    found = client.get_secret("name")
    assert (found.value, found.properties.tags) == ("value", {"c": "d"})
    assert found.properties.content_type == "text/x"
    client.update_secret_properties("name", enabled=False)
    with pytest.raises(HttpResponseError, match="Forbidden"):
        client.get_secret("name")


def test_a_delayed_write_shows_after_some_reads(vault: FakeKeyVault, client: SecretClient) -> None:
    vault.content.lag = 1
    client.set_secret("name", "one")
    with pytest.raises(ResourceNotFoundError):
        client.get_secret("name")
    client.set_secret("name", "two")
    assert client.get_secret("name").value == "one"
    assert client.get_secret("name").value == "two"


def test_a_token_does_not_show_itself(vault: FakeKeyVault) -> None:
    assert repr(vault.credential) == "StaticToken(hidden)"


def test_who_may_not_is_not_told_whether_there_is_such_a_secret(vault: FakeKeyVault) -> None:
    vault.permits = set()
    for path in ("/secrets/none/", "/secrets/none/versions", "/deletedsecrets/none"):
        assert raw(vault, "GET", f"{path}?api-version=7.6") == (403, "Forbidden")
    assert raw(vault, "PUT", "/secrets/a?api-version=7.6", {}) == (403, "Forbidden")
    assert vault.calls == []
    assert len(vault.refused) == 4


def test_a_backup_is_given_and_none_is_taken_back(client: SecretClient) -> None:
    with pytest.raises(ResourceNotFoundError):
        client.backup_secret("name")
    client.set_secret("name", "value")
    assert client.backup_secret("name")
    with pytest.raises(HttpResponseError) as caught:
        client.restore_secret_backup(b"nothing")
    assert caught.value.status_code == 400
