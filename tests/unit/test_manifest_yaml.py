"""The part of YAML that is taken, and every other part refused."""

from pathlib import Path

import pytest

from tests.manifest_world import GOOD, refusals

STORE = "    store: local\n"
NO_YAML = "this is not YAML"
SPACES = "indent with spaces, not tabs"

CASES = [
    pytest.param(
        "owner: payments-team",
        "owner: &o payments-team",
        ["12:12: YAML anchors are refused; write the value out where it is needed"],
        id="anchor",
    ),
    pytest.param(
        "owner: payments-team",
        "owner: &o payments-team\n    description: *o",
        [
            "12:12: YAML anchors are refused; write the value out where it is needed",
            "13:18: YAML aliases are refused; write the value out",
        ],
        id="alias",
    ),
    pytest.param(
        "owner: payments-team",
        "owner: &o payments-team\n    *o : x",
        [
            "12:12: YAML anchors are refused; write the value out where it is needed",
            "13:5: YAML aliases are refused; write the value out",
        ],
        id="alias_as_a_key",
    ),
    pytest.param(
        None, "*a\n", ["1:1: YAML aliases are refused; write the value out"], id="alias_alone"
    ),
    pytest.param(
        STORE,
        STORE + "    <<: {owner: x}\n",
        ["15:5: YAML merge keys are refused; write the keys out"],
        id="merge_key",
    ),
    pytest.param(
        "owner: payments-team",
        "owner: !!str payments-team",
        ["12:12: YAML tags are refused; take the tag out"],
        id="tag",
    ),
    pytest.param(
        "owner: payments-team",
        "owner: !!python/object/apply:os.system [id]",
        ["12:12: YAML tags are refused; take the tag out"],
        id="python_tag",
    ),
    pytest.param(
        "state: {",
        "state: !x {",
        ["2:8: YAML tags are refused; take the tag out"],
        id="tagged_mapping",
    ),
    pytest.param(
        "owner: payments-team",
        "owner: payments-team\n    owner: other",
        ["13:5: `owner` is given twice; first at credmgr.yaml:12:5"],
        id="duplicate_key",
    ),
    pytest.param(
        "  caseforge/api-key:\n",
        "  caseforge/api-key: {kind: zzz}\n  caseforge/api-key:\n",
        [
            "9:3: missing key `issuer`; add `issuer: caseforge`",
            "9:3: missing key `owner`; add `owner: payments-team`",
            "9:3: missing key `environment`; add `environment: development`",
            "9:3: missing key `store`; add `store: local`",
            "9:29: `zzz` is not one of `api-key`, `oauth-client`",
            "10:3: `caseforge/api-key` is given twice; first at credmgr.yaml:9:3",
        ],
        id="duplicate_name",
    ),
    pytest.param(
        "credentials:",
        "backends: {}\ncredentials:",
        ["8:1: `backends` is given twice; first at credmgr.yaml:3:1"],
        id="duplicate_of_a_section",
    ),
    pytest.param(
        "  other: {plugin: box, path: elsewhere}",
        "  on: {plugin: box, path: elsewhere}",
        ["5:3: a key is a text, but YAML reads `on` as a truth value; quote it"],
        id="key_is_a_truth_value",
    ),
    pytest.param(
        "  other: {plugin: box, path: elsewhere}",
        "  1: {plugin: box, path: elsewhere}",
        ["5:3: a key is a text, but YAML reads `1` as a number; quote it"],
        id="key_is_a_number",
    ),
    pytest.param(
        "  other: {plugin: box, path: elsewhere}",
        "  : {plugin: box, path: elsewhere}",
        ["5:3: this is not YAML: did not find expected key"],
        id="key_is_nothing",
    ),
    pytest.param(
        STORE,
        STORE + "    ? [a]\n    : b\n",
        ["15:7: a key is a text, not a list or mapping"],
        id="key_is_a_list",
    ),
    pytest.param(
        None,
        "version: 1\n---\nversion: 1\n",
        ["2:1: a second YAML document begins here; give it a file of its own"],
        id="two_documents",
    ),
    pytest.param(None, "", ["1:1: the file is empty"], id="empty_file"),
    pytest.param(None, "# nothing\n", ["1:1: the file is empty"], id="only_a_comment"),
    pytest.param(
        None, "---\n", ["2:1: expected a mapping of sections, found nothing"], id="only_null"
    ),
    pytest.param(
        None,
        "- version: 1\n",
        ["1:1: expected a mapping of sections, found a list"],
        id="a_list_at_the_top",
    ),
    pytest.param(
        None,
        "version\n",
        ["1:1: expected a mapping of sections, found a text"],
        id="a_text_at_the_top",
    ),
    pytest.param(
        None,
        "version: [1\nstate: }\n",
        ["2:6: this is not YAML: did not find expected ',' or ']'"],
        id="no_yaml",
    ),
    pytest.param(
        None,
        "version: 1\nstate:\n\tmaster_key: file:x\n",
        [f"3:1: {NO_YAML}: found character that cannot start any token; {SPACES}"],
        id="a_tab",
    ),
    pytest.param(
        None,
        "# é…\r\nversion: 1\r\nstate:\r\n  master_key: file:x\r\n\tat: x\r\n",
        [f"5:1: {NO_YAML}: found a tab character that violates indentation; {SPACES}"],
        id="a_tab_behind_other_lines",
    ),
    pytest.param(
        None,
        b"version: 1\nstate: \xff\n",
        ["2:8: this is not UTF-8; save the file as UTF-8"],
        id="not_utf8",
    ),
    pytest.param(
        None,
        "version: 1\n".encode("utf-16"),
        ["1:1: this is not UTF-8; save the file as UTF-8"],
        id="utf16",
    ),
    pytest.param(
        None,
        "version: 1\nstate: \0\n",
        ["2:8: the control character U+0000 is refused; take it out"],
        id="nul",
    ),
    pytest.param(
        None,
        "version: 1\nstate: \x1b[2J\n",
        ["2:8: the control character U+001B is refused; take it out"],
        id="escape_code",
    ),
    pytest.param(
        None,
        "version: 1 # \u202e\n",
        ["1:14: the control character U+202E is refused; take it out"],
        id="bidirectional_override",
    ),
    pytest.param(
        None,
        "version: 1\u2028\n",
        ["1:11: the control character U+2028 is refused; take it out"],
        id="line_separator",
    ),
    pytest.param(
        "owner: payments-team",
        'owner: "a\\x1b[2Jb"',
        ["12:12: a control character is refused; take it out"],
        id="escaped_control_character",
    ),
    pytest.param(
        None,
        "version: " + "[" * 20 + "]" * 20 + "\n",
        ["1:29: this is nested deeper than 20 levels"],
        id="depth_21",
    ),
    pytest.param(
        None,
        "version: !e!x 1\n",
        ["1:10: this is not YAML: found undefined tag handle"],
        id="undefined_tag_handle",
    ),
]


@pytest.mark.parametrize(("old", "new", "expected"), CASES)
def test_yaml_beyond_the_plain_is_refused_at_its_place(
    tmp_path: Path, old: str | None, new: str | bytes, expected: list[str]
) -> None:
    text = new if old is None else GOOD.replace(old, str(new), 1)

    assert refusals(tmp_path, text) == [f"credmgr.yaml:{line}" for line in expected]
