"""What an AWS backend's options may say."""

import dataclasses
import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from credmgr.backends.aws_secrets_manager import (
    AssumeRole,
    AwsBackendFactory,
    AwsOptions,
    ValueForm,
)
from credmgr.errors import PluginError
from credmgr.manifest.binding import adapter
from tests.integration.aws import a_context

ROLE = "arn:aws:iam::123456789012:role/team/credmgr"


def wrong(**options: Any) -> list[str]:
    return [mistake.option for mistake in AwsBackendFactory().validate(AwsOptions(**options))]


def test_nothing_is_wrong_with_nothing() -> None:
    assert wrong() == []


def test_all_of_it_together_is_right() -> None:
    role = AssumeRole(
        ROLE, external_id="an-id", session_name="nightly", duration=timedelta(hours=1)
    )
    assert (
        wrong(
            region="eu-central-1",
            ca_bundle="ca.pem",
            profile="ours",
            assume_role=role,
            kms_key_id="alias/ours",
            tags={"cost center": "42", "team": "p@x"},
            replica_regions=("eu-west-1", "us-gov-east-1"),
            replica_kms_key_ids={"eu-west-1": "alias/ours"},
            prefix="prod/team_a+b=c.d@e-",
            fips=True,
            dualstack=True,
            recovery_window=timedelta(days=7),
            value=ValueForm.JSON,
        )
        == []
    )


def test_a_template_belongs_to_its_form() -> None:
    assert wrong(value=ValueForm.TEMPLATE, template="key={{ secret }}") == []
    assert wrong(value=ValueForm.TEMPLATE) == ["template"]
    assert wrong(template="key={{ secret }}") == ["template"]


@pytest.mark.parametrize("option", ["endpoint_url", "sts_endpoint_url"])
@pytest.mark.parametrize(
    "url",
    [
        "http://vpce.example",
        "http://10.0.0.1:80",
        "ftp://localhost",
        "https://",
        "https://u:p@host",
        "https://host/?q=1",
        "https://host/#f",
        "https://host:0",
        "https://host:99999",
        "https://[::1",
    ],
)
def test_an_address_that_is_unsafe_or_none_is_refused(option: str, url: str) -> None:
    assert wrong(**{option: url}) == [option]


@pytest.mark.parametrize(
    "url", ["http://localhost:5000", "http://127.0.0.1:1", "http://[::1]:1", "https://vpce.example"]
)
def test_plain_http_is_for_loopback(url: str) -> None:
    assert wrong(endpoint_url=url, sts_endpoint_url=url) == []


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"region": "Frankfurt"}, "region"),
        ({"replica_regions": ("eu-west-1", "x y")}, "replica_regions"),
        ({"region": "eu-west-1", "replica_regions": ("eu-west-1",)}, "replica_regions"),
        ({"endpoint_url": "https://host", "fips": True}, "endpoint_url"),
        ({"endpoint_url": "https://host", "dualstack": True}, "endpoint_url"),
        ({"access_key_id": "key"}, "secret_access_key"),
        ({"secret_access_key": "env:KEY"}, "secret_access_key"),
        ({"access_key_id": "k", "secret_access_key": "env:K", "profile": "p"}, "profile"),
        ({"prefix": "a b"}, "prefix"),
        ({"prefix": "p" * 258}, "prefix"),
        ({"recovery_window": timedelta(days=6)}, "recovery_window"),
        ({"recovery_window": timedelta(days=31)}, "recovery_window"),
        ({"recovery_window": timedelta(days=8, hours=1)}, "recovery_window"),
        ({"kms_key_id": " "}, "kms_key_id"),
        ({"json_key": ""}, "json_key"),
        ({"replica_kms_key_ids": {"eu-west-1": "alias/x"}}, "replica_kms_key_ids"),
        (
            {"replica_regions": ("eu-west-1",), "replica_kms_key_ids": {"eu-west-1": " "}},
            "replica_kms_key_ids",
        ),
        ({"timeout": timedelta()}, "timeout"),
        ({"timeout": timedelta(seconds=91)}, "timeout"),
        ({"tags": {str(number): "" for number in range(50)}}, "tags"),
        ({"tags": {"credmgr:managed-by": "me"}}, "tags"),
        ({"tags": {"AWS:x": "me"}}, "tags"),
        ({"tags": {"": "x"}}, "tags"),
        ({"tags": {"k" * 129: "x"}}, "tags"),
        ({"tags": {"k": "v" * 257}}, "tags"),
        ({"tags": {"k?": "v"}}, "tags"),
        ({"tags": {"k": "v\n"}}, "tags"),
        ({"assume_role": AssumeRole("role/x")}, "assume_role.role_arn"),
        ({"assume_role": AssumeRole(ROLE, session_name="a b")}, "assume_role.session_name"),
        ({"assume_role": AssumeRole(ROLE, duration=timedelta(minutes=29))}, "assume_role.duration"),
        ({"assume_role": AssumeRole(ROLE, duration=timedelta(hours=13))}, "assume_role.duration"),
        ({"assume_role": AssumeRole(ROLE, external_id="x")}, "assume_role.external_id"),
        ({"assume_role": AssumeRole(ROLE, None, "env:X")}, None),
        ({"assume_role": AssumeRole(ROLE, "xx", "env:X")}, "assume_role.external_id"),
    ],
)
def test_each_mistake_is_told_at_its_option(options: dict[str, Any], option: str | None) -> None:
    assert wrong(**options) == ([option] if option else [])


def test_the_manifest_can_bind_and_describe_them() -> None:
    bound = adapter(AwsOptions).validate_python(
        {
            "region": "eu-central-1",
            "assume_role": {"role_arn": ROLE, "external_id_from": "env:X", "duration": "2h"},
            "tags": {"a": "b"},
            "replica_regions": ["eu-west-1"],
            "recovery_window": "7d",
            "value": "json",
        }
    )
    assert bound == AwsOptions(
        region="eu-central-1",
        assume_role=AssumeRole(ROLE, external_id_from="env:X", duration=timedelta(hours=2)),
        tags={"a": "b"},
        replica_regions=("eu-west-1",),
        recovery_window=timedelta(days=7),
        value=ValueForm.JSON,
    )
    assert set(adapter(AwsOptions).json_schema()["properties"]) >= {"assume_role", "kms_key_id"}


@pytest.mark.parametrize(
    "data",
    [{"reign": "x"}, {"assume_role": {}}, {"secret_access_key": "in-clear"}, {"fips": "yes"}],
)
def test_the_manifest_refuses_what_they_are_not(data: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        adapter(AwsOptions).validate_python(data)


def test_the_example_of_the_docs_is_right() -> None:
    page = (Path(__file__).parents[2] / "docs/backends/aws.md").read_text()
    (block,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    data = yaml.safe_load(block)["backends"]["aws"]
    assert data.pop("plugin") == "aws"
    assert list(AwsBackendFactory().validate(adapter(AwsOptions).validate_python(data))) == []
    for option in dataclasses.fields(AwsOptions):
        assert f"`{option.name}`" in page


def test_without_boto3_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(PluginError, match="boto3 is not installed") as caught:
        AwsBackendFactory().open(AwsOptions(), a_context())
    assert caught.value.hint == "install credmgr[aws]"
