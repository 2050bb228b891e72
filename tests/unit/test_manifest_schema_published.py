"""The JSON Schema for editors, and the reference of the manifest."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from credmgr.manifest import load
from credmgr.manifest.alerting import AlertsEntry, MatchEntry, QuietEntry, RouteEntry
from credmgr.manifest.entry import Entry
from credmgr.manifest.publish import json_schema, main
from credmgr.manifest.schema import (
    ApiEntry,
    ConsumerEntry,
    CredentialEntry,
    DaemonEntry,
    GrantEntry,
    OverlapEntry,
    RetryEntry,
    Root,
    RotationEntry,
    StateEntry,
    TargetEntry,
    WindowEntry,
)
from credmgr.plugins.loading import BACKENDS, ISSUERS, NOTIFIERS, SINKS
from tests.manifest_world import FULL, GOOD, FakePlugins

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "manifest.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
FAKES = {
    group: {name: factory for name, factory in plugins.items() if name != "broken"}
    for group, plugins in FakePlugins().groups.items()
}


def fake_schema() -> dict[str, Any]:
    return json_schema(FakePlugins(FAKES))


def complaints(schema: dict[str, Any], text: str) -> list[str]:
    checker = jsonschema.Draft202012Validator(schema)
    return [error.message for error in checker.iter_errors(yaml.safe_load(text))]


def test_the_published_schema_is_up_to_date() -> None:
    published = json.loads((DOCS / "credmgr.schema.json").read_text())

    assert published == json_schema(), "run: python -m credmgr.manifest.publish"


def test_it_is_written_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    main()

    assert json.loads(capsys.readouterr().out) == json_schema()


@pytest.mark.parametrize("schema", [json_schema(), fake_schema()], ids=["installed", "fake"])
def test_it_is_a_valid_schema_whose_references_lead_somewhere(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)

    targets = re.findall(r'"#/\$defs/([^"]+)"', json.dumps(schema))
    assert set(targets) <= set(schema["$defs"])


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_documented_example_loads_with_the_installed_plugins(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "credmgr.yaml"
    path.write_text(text)

    load(path)

    assert complaints(json_schema(), text) == []


def test_what_loads_is_taken_by_the_schema_too() -> None:
    assert complaints(fake_schema(), GOOD) == []
    assert complaints(fake_schema(), FULL) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("version: 1", "version: 2"),
        ("version: 1", "polices: []"),
        ("file:master.key", "master.key"),
        ("kind: api-key", "kind: api-kei"),
        ("owner: payments-team", "owner: 5"),
        ("store: local", "store: 5"),
        ("store: local", "stor: local"),
        ("store: local", "store: local\n    rotation: {every: 90}"),
        ("store: local", 'store: local\n    rotation: {every: "90"}'),
        ("store: local", 'store: local\n    rotation: {windows: [{start: "1", end: "2"}]}'),
        ("store: local", "store: {backend: local, name: A}"),
        ("caseforge/api-key", "Caseforge"),
        ("plugin: authority", "plugin: okta"),
        ("path: elsewhere", "pth: elsewhere"),
        ("admin_token: file:admin.token", "admin_token: abc"),
    ],
)
def test_the_schema_refuses_what_types_can_tell(old: str, new: str) -> None:
    assert old in GOOD
    assert complaints(fake_schema(), GOOD.replace(old, new, 1))


def test_an_included_file_has_a_schema_of_its_own() -> None:
    schema = {**fake_schema(), "$ref": "#/$defs/Part"}
    for key in ("required", "properties", "additionalProperties", "type"):
        del schema[key]

    assert complaints(schema, GOOD[GOOD.index("backends:") :]) == []
    assert complaints(schema, GOOD)


def test_options_are_described_by_the_docstring_of_their_class() -> None:
    box = fake_schema()["$defs"]["backends.box"]

    assert box["description"] == "Options of a box."
    assert box["properties"]["path"]["description"] == "The folder, or a file of its own."
    assert box["properties"]["token"]["description"] == "Who we are: a reference."
    assert "derived" not in box["properties"]


def test_without_plugins_nothing_can_be_configured() -> None:
    schema = json_schema(FakePlugins({BACKENDS: {}, SINKS: {}, ISSUERS: {}, NOTIFIERS: {}}))

    jsonschema.Draft202012Validator.check_schema(schema)
    assert complaints(schema, GOOD)


def documented(model: type[Entry], prefix: str = "") -> Iterator[str]:
    for name in model.model_fields:
        if f"{prefix}{name}" not in {"overlap", "retry"}:
            yield f"`{prefix}{name}`"


@pytest.mark.parametrize(
    "row",
    [
        row
        for model in (
            Root, StateEntry, DaemonEntry, ApiEntry, ConsumerEntry, GrantEntry,
            CredentialEntry, TargetEntry, RotationEntry, AlertsEntry, RouteEntry,
        )
        for row in documented(model)
    ]
    + [*documented(OverlapEntry, "overlap."), *documented(RetryEntry, "retry.")]
    + [*documented(MatchEntry, "match."), *documented(QuietEntry, "quiet_hours.")],
)  # fmt: skip
def test_every_key_has_its_row_in_the_reference(row: str) -> None:
    assert f"\n| {row} |" in PAGE


def test_every_key_of_a_window_is_in_the_reference() -> None:
    assert all(row in PAGE for row in documented(WindowEntry))
