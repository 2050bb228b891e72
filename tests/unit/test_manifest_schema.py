"""What the schema refuses: every sentence at its line and column."""

from pathlib import Path

import pytest

from tests.manifest_world import GOOD, refusals

STORE = "    store: local\n"

GRAMMAR = "; names are segments of [a-z0-9][a-z0-9-]{0,62} joined by '/', 255 characters at most"

CASES = [
    pytest.param(
        "version: 1\n",
        "version: 1\npolices: []\n",
        ["2:1: unknown key `polices`; did you mean `policies`?"],
        id="unknown_top_key",
    ),
    pytest.param(
        STORE,
        STORE + "    scpoes: [cases:read]\n",
        ["15:5: unknown key `scpoes`; did you mean `scopes`?"],
        id="unknown_key_in_a_credential",
    ),
    pytest.param(
        STORE, STORE + "    zzz: 1\n", ["15:5: unknown key `zzz`"], id="unknown_key_unlike_any"
    ),
    pytest.param(
        STORE,
        STORE + "    rotation: {overlap: {minimun: 1h}}\n",
        ["15:26: unknown key `minimun`; did you mean `minimum`?"],
        id="unknown_key_deep",
    ),
    pytest.param(
        STORE,
        STORE + '    rotation: {windows: [{start: "01:00", end: "02:00", dayz: [mon]}]}\n',
        ["15:57: unknown key `dayz`; did you mean `days`?"],
        id="unknown_key_in_a_window",
    ),
    pytest.param(
        "    owner: payments-team\n",
        "",
        ["9:3: missing key `owner`; add `owner: payments-team`"],
        id="missing_key",
    ),
    pytest.param(
        STORE,
        STORE + '    rotation: {windows: [{start: "01:00"}]}\n',
        ['15:26: missing key `end`; add `end: "05:00"`'],
        id="missing_key_in_a_list_item",
    ),
    pytest.param(
        "state: {master_key: file:master.key}\n",
        "",
        ["1:1: missing key `state`; add `state: {master_key: file:master.key}`"],
        id="missing_sections",
    ),
    pytest.param(
        "version: 1\n", "", ["1:1: missing key `version`; add `version: 1`"], id="missing_version"
    ),
    pytest.param(
        "version: 1",
        "version: 2",
        ["1:10: this credmgr reads version 1 of the manifest; update credmgr for a newer one"],
        id="newer_version",
    ),
    pytest.param(
        "version: 1",
        "version: 0",
        ["1:10: this credmgr reads version 1 of the manifest; write `version: 1`"],
        id="no_such_version",
    ),
    pytest.param(
        "state: {master_key: file:master.key}",
        "state: [master_key]",
        ["2:8: expected a mapping, found a list"],
        id="state_is_a_list",
    ),
    pytest.param(
        (
            "backends:\n  local: {plugin: box, path: secrets}\n  other: {plugin: box, "
            "path: elsewhere}\n"
        ),
        "backends: [box]\n",
        ["3:11: expected a mapping, found a list", "12:12: no backend `local`"],
        id="section_is_a_list",
    ),
    pytest.param(
        "kind: api-key",
        "kind: api-kei",
        ["10:11: `api-kei` is not one of `api-key`, `oauth-client`; did you mean `api-key`?"],
        id="kind_not_in_list",
    ),
    pytest.param(
        "environment: development",
        "environment: live",
        ["13:18: `live` is not one of `development`, `test`, `staging`, `production`"],
        id="environment_not_in_list",
    ),
    pytest.param(
        "environment: development",
        "environment: 5",
        ["13:18: expected one of `development`, `test`, `staging`, `production`, found `5`"],
        id="environment_is_a_number",
    ),
    pytest.param(
        STORE,
        STORE + '    rotation: {windows: [{days: [monday], start: "01:00", end: "02:00"}]}\n',
        [
            (
                "15:34: `monday` is not one of `mon`, `tue`, `wed`, `thu`, `fri`, `sat`, "
                "`sun`; did you mean `mon`?"
            )
        ],
        id="unknown_day",
    ),
    pytest.param(
        STORE,
        STORE + '    rotation: {windows: [{days: [], start: "01:00", end: "02:00"}]}\n',
        ["15:33: must not be empty"],
        id="no_days",
    ),
    pytest.param(
        STORE,
        STORE + '    rotation: {windows: [{days: [mon, mon], start: "01:00", end: "02:00"}]}\n',
        ["15:33: `mon` is listed twice"],
        id="a_day_twice",
    ),
    pytest.param(
        STORE,
        STORE + "    scopes: [cases:read, cases:read]\n",
        ["15:13: `cases:read` is listed twice"],
        id="a_scope_twice",
    ),
    pytest.param(
        STORE,
        "    store: [local]\n",
        ["14:12: expected the name of a backend, or a mapping of `backend` and `name`"],
        id="store_is_a_list",
    ),
    pytest.param(
        STORE,
        "    store: 5\n",
        ['14:12: expected text, but YAML reads `5` as a number; quote it: "5"'],
        id="store_is_a_number",
    ),
    pytest.param(
        STORE,
        "    store: {name: a/b}\n",
        ["14:5: missing key `backend`; add `backend: local`"],
        id="store_without_backend",
    ),
    pytest.param(
        STORE,
        "    store: {backend: local, nam: a/b}\n",
        ["14:29: unknown key `nam`; did you mean `name`?"],
        id="store_with_unknown_key",
    ),
    pytest.param(
        STORE,
        "    store: {backend: local, name: A/b}\n",
        ["14:35: `A/b` is not a name" + GRAMMAR + "; did you mean `a/b`?"],
        id="store_name_outside_the_grammar",
    ),
    pytest.param(
        STORE,
        STORE + "    targets: [local, 5]\n",
        ['15:22: expected text, but YAML reads `5` as a number; quote it: "5"'],
        id="target_is_a_number",
    ),
    pytest.param(
        "master_key: file:master.key",
        "master_key: master.key",
        [
            (
                "2:21: expected a reference to a secret, not a value; write file:PATH, "
                "env:NAME or systemd-credential:NAME"
            )
        ],
        id="master_key_is_no_reference",
    ),
    pytest.param(
        "master_key: file:master.key",
        "master_key: 12345678",
        [
            (
                "2:21: expected a reference to a secret, not a value; write file:PATH, "
                "env:NAME or systemd-credential:NAME"
            )
        ],
        id="master_key_is_a_number",
    ),
    pytest.param(
        "master_key: file:master.key",
        "master_key: env:a-b",
        [
            (
                "2:21: expected a reference to a secret, not a value; write file:PATH, "
                "env:NAME or systemd-credential:NAME"
            )
        ],
        id="reference_to_no_variable",
    ),
    pytest.param(
        "master_key: file:master.key",
        "master_key: 'file:'",
        [
            (
                "2:21: expected a reference to a secret, not a value; write file:PATH, "
                "env:NAME or systemd-credential:NAME"
            )
        ],
        id="reference_to_nothing",
    ),
    pytest.param(
        "{master_key",
        "{database: mysql://host/db, master_key",
        [
            (
                "2:19: not a database address; write sqlite:///state.db or postgresql://"
                "user@host/database"
            )
        ],
        id="database_of_another_kind",
    ),
    pytest.param(
        "{master_key",
        "{database: 'sqlite://', master_key",
        [
            (
                "2:19: not a database address; write sqlite:///state.db or postgresql://"
                "user@host/database"
            )
        ],
        id="database_in_memory",
    ),
    pytest.param(
        "{master_key",
        "{database: 'postgresql://[::1/db', master_key",
        ["2:19: not a database address"],
        id="database_not_an_address",
    ),
    pytest.param(
        "version: 1\n",
        "version: 1\npolicies: [Default, default]\n",
        ["2:12: `Default` is not a name" + GRAMMAR + "; did you mean `default`?"],
        id="policy_outside_the_grammar",
    ),
    pytest.param(
        "version: 1\n",
        "version: 1\ninclude: [../x.yaml, /etc/x.yaml, 5]\n",
        [
            "2:11: an included file lies beside the manifest or below it",
            "2:22: an included file lies beside the manifest or below it",
            '2:35: expected text, but YAML reads `5` as a number; quote it: "5"',
        ],
        id="include_outside",
    ),
    pytest.param(
        "credentials:",
        "defaults: {rotation: {every: 5}, ownr: x}\ncredentials:",
        [
            (
                "8:30: not a duration, a bare number has no unit; write one such as 90d, 24h, "
                "1h30m or 20s"
            ),
            "8:34: unknown key `ownr`; did you mean `owner`?",
        ],
        id="default_of_the_wrong_type",
    ),
    pytest.param(
        "credentials:",
        (
            "consumers: {billing: {owner: o, grants: [{credential: caseforge/api-key, "
            "read: []}]}}\ncredentials:"
        ),
        ["8:80: must not be empty"],
        id="grant_reads_nothing",
    ),
    pytest.param(
        "credentials:",
        (
            "consumers: {billing: {owner: o, grants: [{credential: caseforge/api-key, "
            "read: [secrets]}]}}\ncredentials:"
        ),
        ["8:81: `secrets` is not one of `secret`, `token`; did you mean `secret`?"],
        id="grant_reads_something_else",
    ),
]


@pytest.mark.parametrize(("old", "new", "expected"), CASES)
def test_what_is_of_the_wrong_shape_is_refused_at_its_place(
    tmp_path: Path, old: str, new: str, expected: list[str]
) -> None:
    text = GOOD.replace(old, new, 1)

    assert refusals(tmp_path, text) == [f"credmgr.yaml:{line}" for line in expected]
