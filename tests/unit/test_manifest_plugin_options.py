"""What plugins refuse in their options, at the option's own place."""

from pathlib import Path

import pytest

from tests.manifest_world import GOOD, refusals

STORE = "    store: local\n"

CASES = [
    pytest.param(
        "plugin: box, path: secrets",
        "plugin: boxx, path: secrets",
        ["4:19: no plugin `boxx`; did you mean `box`?"],
        id="unknown_plugin_alike",
    ),
    pytest.param(
        "plugin: authority",
        "plugin: okta",
        ["7:23: no plugin `okta`; installed: authority, needy"],
        id="unknown_plugin",
    ),
    pytest.param(
        "plugin: box, path: elsewhere",
        "plugin: broken",
        ["5:19: the plugin 'broken' does not load; reinstall it"],
        id="plugin_that_does_not_load",
    ),
    pytest.param(
        "plugin: box, path: elsewhere",
        "path: elsewhere",
        ["5:3: missing key `plugin`; add `plugin: local`"],
        id="plugin_not_named",
    ),
    pytest.param(
        "path: elsewhere",
        "pth: elsewhere",
        ["5:24: unknown key `pth`; did you mean `path`?"],
        id="unknown_option",
    ),
    pytest.param(
        "path: elsewhere",
        "pool: {sise: 5}",
        ["5:31: unknown key `sise`; did you mean `size`?"],
        id="unknown_nested_option",
    ),
    pytest.param(
        "path: elsewhere",
        "path: 5",
        ['5:30: expected text, but YAML reads `5` as a number; quote it: "5"'],
        id="option_of_the_wrong_type",
    ),
    pytest.param(
        "path: elsewhere",
        "pool: {size: '5'}",
        ["5:37: expected a whole number, found text"],
        id="option_number_as_text",
    ),
    pytest.param(
        "path: elsewhere",
        "strict: 'yes'",
        ["5:32: expected true or false, found text"],
        id="option_truth_as_text",
    ),
    pytest.param(
        "path: elsewhere",
        "colour: rod",
        ["5:32: `rod` is not one of `red`, `blue`; did you mean `red`?"],
        id="option_not_in_list",
    ),
    pytest.param(
        "path: elsewhere",
        "token: abc",
        [
            (
                "5:31: expected a reference to a secret, not a value; write file:PATH, "
                "env:NAME or systemd-credential:NAME"
            )
        ],
        id="option_is_no_reference",
    ),
    pytest.param(
        "path: elsewhere",
        "tags: [a, 5]",
        ['5:34: expected text, but YAML reads `5` as a number; quote it: "5"'],
        id="option_list_item",
    ),
    pytest.param(
        "path: elsewhere",
        "extra: {a: b}",
        ["5:35: expected a whole number, found text"],
        id="option_mapping_value",
    ),
    pytest.param(
        "path: elsewhere",
        "pool: {patience: 5}",
        [
            (
                "5:41: not a duration, a bare number has no unit; write one such as 90d, 24h, "
                "1h30m or 20s"
            )
        ],
        id="option_duration",
    ),
    pytest.param(
        "path: elsewhere",
        "pool: 5",
        ["5:30: expected a mapping, found `5`"],
        id="option_mapping_wanted",
    ),
    pytest.param(
        "path: elsewhere",
        "level: 7",
        ["5:31: should be a multiple of 5"],
        id="option_beyond_its_bounds",
    ),
    pytest.param(
        "path: elsewhere",
        "either: [x]",
        [
            "5:32: expected a whole number, found a list",
            "5:32: expected text, found a list",
        ],
        id="option_of_none_of_its_types",
    ),
    pytest.param(
        "path: elsewhere",
        "derived: x",
        ["5:24: unknown key `derived`"],
        id="option_not_the_plugins",
    ),
    pytest.param(
        "admin_token: file:admin.token",
        "client_id: x",
        ["7:3: missing key `admin_token`; add `admin_token: …`"],
        id="missing_option",
    ),
    pytest.param(
        "path: elsewhere",
        "pool: {size: 101}",
        ["5:37: the pool is too large; 100 at most"],
        id="mistake_at_an_option",
    ),
    pytest.param(
        "path: elsewhere", "tags: [a, gone]", ["5:34: a tag is gone"], id="mistake_in_a_list"
    ),
    pytest.param(
        "path: elsewhere",
        "share: 2",
        ["5:3: these options contradict each other"],
        id="mistake_of_the_whole",
    ),
    pytest.param(
        "path: elsewhere",
        "path: never",
        ["5:10: the plugin refuses these options; this path is never one"],
        id="refused_by_the_dataclass",
    ),
    pytest.param(
        '"http://127.0.0.1:8660"',
        "localhost",
        ["7:39: not an address; write https://…"],
        id="mistake_at_an_option_of_an_issuer",
    ),
    pytest.param(
        STORE,
        STORE + "    options: {keyname: x}\n",
        ["15:15: unknown key `keyname`; did you mean `key_name`?"],
        id="credential_option_unknown",
    ),
    pytest.param(
        STORE,
        STORE + "    options: {required: x}\n",
        ["15:25: expected a whole number, found text"],
        id="credential_option_of_the_wrong_type",
    ),
    pytest.param(
        STORE,
        STORE + "    options: {key_name: taken}\n",
        ["15:25: taken at http://127.0.0.1:8660; choose another"],
        id="credential_option_refused",
    ),
    pytest.param(
        "plugin: authority",
        "plugin: needy",
        ["9:3: missing key `size`; add `size: …`"],
        id="credential_option_missing",
    ),
]


@pytest.mark.parametrize(("old", "new", "expected"), CASES)
def test_what_a_plugin_does_not_take_is_refused_at_its_place(
    tmp_path: Path, old: str, new: str, expected: list[str]
) -> None:
    text = GOOD.replace(old, new, 1)

    assert refusals(tmp_path, text) == [f"credmgr.yaml:{line}" for line in expected]
