"""Several files make one manifest."""

from pathlib import Path

import pytest

from credmgr.errors import ManifestError
from credmgr.manifest import load
from credmgr.manifest.gathering import MAX_FILES
from credmgr.model.names import Name
from tests.manifest_world import GOOD, FakePlugins, read, refusals

HEAD = "include: [parts/*.yaml]\n" + GOOD
SECOND = """\
credentials:
  second: {kind: api-key, issuer: caseforge, owner: o, environment: test, store: other}
policies: [more]
"""


def test_included_files_are_merged(tmp_path: Path) -> None:
    third = SECOND.replace("second", "third").replace("more", "yet-more")

    manifest = read(tmp_path, HEAD + "policies: [default]\n", parts__b=SECOND, parts__c=third)

    assert list(manifest.credentials) == ["caseforge/api-key", "second", "third"]
    assert [use.pack for use in manifest.policies] == ["default", "more", "yet-more"]
    assert manifest.files == (
        tmp_path / "credmgr.yaml",
        tmp_path / "parts/b.yaml",
        tmp_path / "parts/c.yaml",
    )


def test_an_included_file_may_hold_every_named_section(tmp_path: Path) -> None:
    sections = GOOD.index("backends:")
    main = "version: 1\nstate: {master_key: env:KEY}\ninclude: [parts/a.yaml]\n"

    manifest = read(tmp_path, main, parts__a=GOOD[sections:])

    assert manifest.credentials[Name("caseforge/api-key")].store.backend == "local"
    assert manifest.digest != read(tmp_path, GOOD).digest


def test_a_mistake_is_told_in_the_file_that_holds_it(tmp_path: Path) -> None:
    part = SECOND.replace("issuer: caseforge", "issuer: zzz").replace("owner: o", "owner: 5")

    assert refusals(tmp_path, HEAD, parts__a=part + "  \n", parts__b="policies: [b, B]\n") == [
        "parts/a.yaml:2:35: no issuer `zzz`; declared: `caseforge`",
        'parts/a.yaml:2:47: expected text, but YAML reads `5` as a number; quote it: "5"',
        (
            "parts/b.yaml:1:15: `B` is not a name; names are segments of [a-z0-9][a-z0-9-]{0,62} "
            "joined by '/', 255 characters at most; did you mean `b`?"
        ),
    ]


def test_a_name_declared_twice_is_refused_with_both_places(tmp_path: Path) -> None:
    part = SECOND.replace("second", "caseforge/api-key")
    again = "backends: {local: {plugin: box}}\n"

    assert refusals(tmp_path, HEAD, parts__a=part, parts__b=again) == [
        "parts/a.yaml:2:3: `caseforge/api-key` is declared twice; first at credmgr.yaml:10:3",
        "parts/b.yaml:1:12: `local` is declared twice; first at credmgr.yaml:5:3",
    ]


def test_only_named_sections_and_policies_stand_in_an_included_file(tmp_path: Path) -> None:
    part = "version: 1\ninclude: [x]\nbackend: {}\nissuers: []\npolicies: x\ncredentials: {}\n"

    assert refusals(tmp_path, HEAD, parts__a=part) == [
        "parts/a.yaml:1:1: `version` stands in the manifest, not in an included file",
        "parts/a.yaml:2:1: `include` stands in the manifest, not in an included file",
        "parts/a.yaml:3:1: unknown key `backend`; did you mean `backends`?",
        "parts/a.yaml:4:10: expected a mapping of names",
        "parts/a.yaml:5:11: expected a list",
    ]


def test_every_file_that_cannot_be_read_on_is_told(tmp_path: Path) -> None:
    said = refusals(
        tmp_path,
        HEAD.replace("*.yaml", "*"),
        parts__a="x: [\n",
        parts__b="- 1\n",
        parts__c="a: &x b\n",
    )

    assert said == [
        "parts/a.yaml:2:1: this is not YAML: did not find expected node content",
        "parts/b.yaml:1:1: expected a mapping of sections, found a list",
        "parts/c.yaml:1:1: unknown key `a`",
        "parts/c.yaml:1:4: YAML anchors are refused; write the value out where it is needed",
    ]


def test_a_pattern_that_matches_nothing_is_refused_since_it_would_retire_credentials(
    tmp_path: Path,
) -> None:
    text = "include: [gone.yaml, none/*.yaml]\n" + GOOD

    assert refusals(tmp_path, text) == [
        "credmgr.yaml:1:11: `gone.yaml` matches no file; take it out if that is intended",
        "credmgr.yaml:1:22: `none/*.yaml` matches no file; take it out if that is intended",
    ]


def test_a_file_is_read_once_and_never_the_manifest_itself_or_a_hidden_one(
    tmp_path: Path,
) -> None:
    (tmp_path / ".swap.yaml").write_text("rubbish")

    manifest = read(tmp_path, "include: ['*.yaml', part.yaml]\n" + GOOD, part=SECOND)

    assert [file.name for file in manifest.files] == ["credmgr.yaml", "part.yaml"]


def test_a_folder_is_no_file_to_include(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()

    assert refusals(tmp_path, "include: [part]\n" + GOOD) == [
        "part: cannot be read: is a directory"
    ]


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    for number in range(MAX_FILES + 1):
        (tmp_path / f"{number}.part").touch()

    assert refusals(tmp_path, "include: ['*.part']\n" + GOOD) == [
        "credmgr.yaml:1:10: more than 1000 files"
    ]


@pytest.mark.parametrize("section", ["credentials: 5\n", "credentials: [a]\n"])
def test_a_section_that_is_no_mapping_takes_no_entries(tmp_path: Path, section: str) -> None:
    main = "include: [parts/*.yaml]\nversion: 1\nstate: {master_key: env:KEY}\n" + section

    (said,) = refusals(tmp_path, main + "policies: 5\n", parts__a=SECOND)[:1]

    assert said.startswith("credmgr.yaml:4:14: expected a mapping")


def test_places_are_as_the_user_gave_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("credmgr.yaml").write_text(HEAD)
    Path("parts").mkdir()
    Path("parts/a.yaml").write_text("x: 1\n")

    with pytest.raises(ManifestError) as caught:
        load(Path("credmgr.yaml"), FakePlugins())

    assert str(caught.value) == "parts/a.yaml:1:1: unknown key `x`"
