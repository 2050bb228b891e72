"""Targets and sinks in a manifest: what they become, and each mistake at its place."""

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from credmgr.manifest.publish import json_schema
from credmgr.model.credential import Drift, Place, Target
from credmgr.model.names import Name
from credmgr.plugins.loading import BACKENDS, ISSUERS, NOTIFIERS, SINKS
from tests.manifest_world import GOOD, FakePlugins, PaperFactory, PaperOptions, read, refusals

NAME = Name("caseforge/api-key")
MANIFEST = GOOD.replace("issuers:", "sinks: {file: {plugin: paper}}\nissuers:")


def with_targets(targets: str) -> str:
    return f"{MANIFEST}    targets: {targets}\n"


@pytest.mark.parametrize(
    ("written", "target"),
    [
        ("other", Target(Place(Name("other"), NAME))),
        ("file", Target(Place(Name("file"), NAME))),
        ("{sink: file}", Target(Place(Name("file"), NAME))),
        (
            "{backend: other, name: x, required: false, drift: import}",
            Target(Place(Name("other"), Name("x")), required=False, drift=Drift.IMPORT),
        ),
        (
            "{sink: file, name: x, drift: repair}",
            Target(Place(Name("file"), Name("x")), drift=Drift.REPAIR),
        ),
    ],
)
def test_a_target_is_a_name_or_a_mapping(tmp_path: Path, written: str, target: Target) -> None:
    credential = read(tmp_path, with_targets(f"[{written}]")).credentials[NAME]

    assert credential.targets == (target,)
    assert credential.places == (credential.store, target.place)


def test_a_sink_is_configured_as_a_backend_is(tmp_path: Path) -> None:
    manifest = read(tmp_path, MANIFEST.replace("paper}", "paper, path: a/b}"))

    assert manifest.sinks[Name("file")].options == PaperOptions("a/b")


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ("[fiel]", ["16:15: no backend or sink `fiel`; did you mean `file`?"]),
        ("[{sink: fiel}]", ["16:22: no sink `fiel`; did you mean `file`?"]),
        ("[{sink: zzz}]", ["16:22: no sink `zzz`; declared: `file`"]),
        ("[{sink: other}]", ["16:22: `other` is a backend; write {backend: other}"]),
        ("[{backend: file}]", ["16:25: `file` is a sink; write {sink: file}"]),
        (
            "[{sink: file, drift: import}]",
            ["16:35: a sink cannot be read back; write `report` or `repair`"],
        ),
        (
            "[{sink: file, backend: other}]",
            ["16:15: `backend` and `sink` stand side by side; take one of them out"],
        ),
        ("[{name: x}]", ["16:15: missing key `backend`; add `backend: …` or `sink: …`"]),
        (
            "[[file]]",
            ["16:15: expected the name of a backend or sink, or a mapping with one of them"],
        ),
        (
            "[{sink: file, requird: true}]",
            ["16:28: unknown key `requird`; did you mean `required`?"],
        ),
        (
            "[{sink: file, drift: repare}]",
            ["16:35: `repare` is not one of `report`, `repair`, `import`; did you mean `repair`?"],
        ),
        (
            "[file, {sink: file}]",
            [
                (
                    "16:21: `file:caseforge/api-key` is written by another copy already; "
                    "see credmgr.yaml:16:15"
                )
            ],
        ),
        (
            "[{sink: file, name: a-name/longer-than-twenty}]",
            ["16:15: the name is 25 characters long, `file` takes 20; write {sink: file, name: …}"],
        ),
    ],
)
def test_a_target_that_cannot_be_is_refused_at_its_place(
    tmp_path: Path, targets: str, expected: list[str]
) -> None:
    lines = [f"credmgr.yaml:{line}" for line in expected]

    assert refusals(tmp_path, with_targets(targets)) == lines


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "{file:",
            "{other:",
            "6:9: `other` is declared as a backend too; rename one; see credmgr.yaml:5:3",
        ),
        ("paper}", "papre}", "6:24: no plugin `papre`; did you mean `paper`?"),
        ("paper}", "paper, pathh: x}", "6:31: unknown key `pathh`; did you mean `path`?"),
        ("paper}", "paper, path: /}", "6:37: this is everything"),
        ("store: local", "store: file", "15:12: `file` is a sink; a sink cannot be read back"),
        (
            "store: local",
            "store: {backend: file}",
            "15:22: `file` is a sink; a sink cannot be read back",
        ),
        (
            "file:master.key",
            "file:paper/master.key",
            "6:9: credmgr's own master key lies within it; give the sink a folder of its own",
        ),
        ("{file:", "{File:", "6:9: `File` is not a name"),
    ],
)
def test_a_sink_that_cannot_be_is_refused_at_its_place(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    first = refusals(tmp_path, MANIFEST.replace(old, new, 1))[0]

    assert first.startswith(f"credmgr.yaml:{expected}")


@pytest.mark.parametrize(
    ("target", "good"),
    [
        ("file", True),
        ({"sink": "file", "required": False, "drift": "repair"}, True),
        ({"backend": "other", "drift": "import"}, True),
        ({"sink": "file", "backend": "other"}, False),
        ({"name": "x"}, False),
        ({"sink": "file", "drift": "never"}, False),
    ],
)
def test_the_published_schema_knows_targets(target: object, good: bool) -> None:  # noqa: FBT001
    groups = {BACKENDS: {}, SINKS: {"paper": PaperFactory()}, ISSUERS: {}, NOTIFIERS: {}}
    plugins = FakePlugins(groups)
    credential = {"kind": "api-key", "issuer": "caseforge", "targets": [target]}
    manifest = {
        "version": 1,
        "state": {"master_key": "file:master.key"},
        "sinks": {"file": {"plugin": "paper"}},
        "credentials": {"a": credential},
    }

    assert Draft202012Validator(json_schema(plugins)).is_valid(manifest) is good
