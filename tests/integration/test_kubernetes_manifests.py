"""What the sink `kubernetes` writes, against the schemas of Kubernetes, strictly."""

import base64
from pathlib import Path
from uuid import uuid4

import kubernetes_validate
import pytest
import yaml

from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.sinks.kubernetes import KubernetesOptions, KubernetesSinkFactory
from credmgr.testing.backend_extremes import HOSTILE_VALUES
from tests.sink_world import a_context

NAME = Name("caseforge/api-key")
VERSIONS = ("1.28", kubernetes_validate.latest_version())
HOSTILE = {
    **HOSTILE_VALUES,
    "a second document": "value\n---\nkind: Pod\n",
    "another key": 'x"\nstringData:\n  value: "other',
    "an anchor": "&a [*a, *a]",
    "a tag": "!!python/object:os.system",
    "a comment": "value # no comment",
    "a block": "|\n  value",
}


@pytest.mark.parametrize("version", VERSIONS, ids=["oldest", "newest"])
@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
def test_whatever_the_value_the_manifest_is_a_secret_that_holds_it(
    tmp_path: Path, value: str, version: str
) -> None:
    options = KubernetesOptions("out", namespace="payments", labels={"odd": "012"})
    sink = KubernetesSinkFactory().open(options, a_context(tmp_path))
    sink.write(NAME, Secret(value), uuid4())
    (document,) = yaml.safe_load_all((tmp_path / "out" / f"{NAME}.yaml").read_bytes())

    kubernetes_validate.validate(document, version, strict=True)

    assert document["kind"] == "Secret"
    assert base64.b64decode(document["data"]["value"]).decode() == value


def test_a_manifest_that_is_wrong_would_be_noticed() -> None:
    document = {"apiVersion": "v1", "kind": "Secret", "data": {"value": 7}, "extra": True}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, VERSIONS[-1], strict=True)
