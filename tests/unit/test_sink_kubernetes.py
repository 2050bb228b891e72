"""The manifest of a Secret: what stands in it, and what is refused before it is written."""

import base64
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml

from credmgr.errors import LimitExceeded
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.sinks.kubernetes import (
    KubernetesOptions,
    KubernetesSinkFactory,
    SecretManifest,
    object_name,
)
from credmgr.testing.canaries import leaks, new_canary
from tests.sink_world import a_context

NAME = Name("caseforge/api-key")
VERSION = UUID(int=7)
FACTORY = KubernetesSinkFactory()


def rendered(value: str, **options: Any) -> Any:
    content = SecretManifest(KubernetesOptions("out", **options))(NAME, Secret(value), VERSION)
    return yaml.safe_load(content)


def test_a_manifest_says_whose_copy_it_is_and_that_credmgr_made_it() -> None:
    found = rendered(
        "value",
        namespace="payments",
        key="CASEFORGE_API_KEY",
        labels={"app": "billing"},
        annotations={"team/contact": "payments: on call"},
    )

    assert found == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "caseforge.api-key",
            "namespace": "payments",
            "labels": {"app": "billing", "app.kubernetes.io/managed-by": "credmgr"},
            "annotations": {
                "team/contact": "payments: on call",
                "credmgr/name": "caseforge/api-key",
                "credmgr/version": str(VERSION),
            },
        },
        "type": "Opaque",
        "data": {"CASEFORGE_API_KEY": base64.b64encode(b"value").decode()},
    }


def test_without_a_namespace_none_is_named() -> None:
    assert "namespace" not in rendered("value")["metadata"]


def test_a_template_stands_around_the_value() -> None:
    found = rendered('a"b', template='{"token": {{ secret | json }}}')

    assert base64.b64decode(found["data"]["value"]) == b'{"token": "a\\"b"}'


@pytest.mark.parametrize("word", ["yes", "null", "0o14", "1e3", "012", "1_000", "true", ""])
def test_a_label_that_looks_like_something_else_stays_text(word: str) -> None:
    options = KubernetesOptions("out", labels={"odd": word}, annotations={"odd": f"{word}: #"})
    content = SecretManifest(options)(NAME, Secret("value"), VERSION).decode()

    assert list(FACTORY.validate(options)) == []
    assert f'"odd": "{word}"' in content
    assert yaml.safe_load(content)["metadata"]["labels"]["odd"] == word


@pytest.mark.parametrize(
    ("name", "called"),
    [("caseforge/api-key", "caseforge.api-key"), ("a", "a"), ("9/x--y", "9.x--y")],
)
def test_a_name_becomes_a_dns_subdomain(name: str, called: str) -> None:
    assert object_name("{{ name }}", Name(name)) == called


@pytest.mark.parametrize("name", ["a-", "a-/b", "/".join(["x" * 60] * 4) + "/" + "y" * 10])
def test_a_name_that_no_secret_can_have_is_refused(name: str) -> None:
    canary = new_canary()
    with pytest.raises(LimitExceeded, match="no Secret can be called") as caught:
        SecretManifest(KubernetesOptions("out"))(Name(name), Secret(canary), VERSION)
    assert not leaks(canary, str(caught.value))


def test_the_manifest_is_written_below_the_folder_with_its_mode(tmp_path: Path) -> None:
    options = KubernetesOptions("out", secret="billing-key", mode="0640")  # noqa: S106 (a name)
    sink = FACTORY.open(options, a_context(tmp_path))
    sink.write(NAME, Secret("value"), VERSION)
    file = tmp_path / "out" / "caseforge" / "api-key.yaml"

    assert file.stat().st_mode & 0o777 == 0o640
    assert yaml.safe_load(file.read_bytes())["metadata"]["name"] == "billing-key"
    state = sink.inspect(NAME)
    assert state is not None
    assert (state.version, state.intact) == (VERSION, True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"path": ""}, "path is no folder"),
        ({"file": ".."}, "file is no path"),
        ({"mode": "0644"}, "every user of the machine could read it"),
        ({"template": "x"}, "the secret is not in it"),
        ({"secret": "Upper"}, "no Secret can be called so"),
        ({"secret": "{{ home }}"}, "'home' is not known here"),
        ({"namespace": "a.b"}, "no name of a namespace"),
        ({"namespace": "x" * 64}, "no name of a namespace"),
        ({"key": "a b"}, "no key of a Secret's data"),
        ({"key": ".."}, "no key of a Secret's data"),
        ({"type": ""}, "no type of a Secret"),
        ({"labels": {"app": "a b"}}, "none that a label has"),
        ({"labels": {"app": "x" * 64}}, "none that a label has"),
        ({"labels": {"-app": "x"}}, "no key that Kubernetes takes"),
        ({"labels": {"A.b/": "x"}}, "no key that Kubernetes takes"),
        ({"labels": {"A.b/c": "x"}}, "no key that Kubernetes takes"),
        ({"labels": {"app.kubernetes.io/managed-by": "me"}}, "credmgr's own"),
        ({"annotations": {"credmgr/version": "1"}}, "credmgr's own"),
        ({"annotations": {"note": "a\u2028b"}}, "cannot be printed"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_what_kubernetes_would_refuse_is_refused_when_the_manifest_loads(
    options: dict[str, Any], said: str
) -> None:
    wrong = [
        mistake.what
        for mistake in FACTORY.validate(KubernetesOptions(**{"path": "out", **options}))
    ]

    assert any(said in what for what in wrong), wrong
