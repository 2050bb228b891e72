"""What types alone cannot say, rule by rule."""

from pathlib import Path

import pytest

from tests.manifest_world import GOOD, refusals

STORE = "    store: local\n"

GRAMMAR = "; names are segments of [a-z0-9][a-z0-9-]{0,62} joined by '/', 255 characters at most"

BILLING = "consumers:\n  billing: {owner: x, uid: 1000%s}\n"
LISTENS = 'version: 1\napi: {listen: "%s"}\n'

CASES = [
    pytest.param(
        "credentials:",
        BILLING % ", user: billing" + "credentials:",
        ["9:34: `user` stands beside `uid`; take one of them out"],
        id="consumer_with_two_users",
    ),
    pytest.param(
        "credentials:",
        BILLING % "" + "  other: {owner: x, uid: 1000}\ncredentials:",
        ["10:26: another consumer has this `uid`; see credmgr.yaml:9:28"],
        id="two_consumers_with_one_user",
    ),
    pytest.param(
        "version: 1\n",
        LISTENS % "0.0.0.0:8650",
        [
            (
                "2:15: other machines could reach this, and it is HTTP without TLS; listen on "
                "127.0.0.1 with a TLS proxy before it, or say `beyond_loopback: true`"
            )
        ],
        id="api_beyond_loopback",
    ),
    *(
        pytest.param(
            "version: 1\n",
            LISTENS % address,
            ["2:15: not an address to listen on; write 127.0.0.1:8650 or [::1]:8650"],
            id=f"api_listens_on_{address}",
        )
        for address in ("8650", "localhost:8650", "127.0.0.1:x", "127.0.0.1:65536", "::1:8650")
    ),
    pytest.param(
        "version: 1\n",
        "version: 1\napi: {hosts: [a b]}\n",
        ["2:15: `a b` is not what a Host header says; write credmgr.internal:8650"],
        id="api_host",
    ),
    pytest.param(
        STORE,
        STORE + "    env: MY-KEY\n",
        ["15:10: `MY-KEY` is not the name of a variable; write CASEFORGE_API_KEY"],
        id="variable",
    ),
    pytest.param(
        "  caseforge/api-key:",
        "  CaseForge/API key:",
        [
            "9:3: `CaseForge/API key` is not a name"
            + GRAMMAR
            + "; did you mean `caseforge/api-key`?"
        ],
        id="name_in_capitals",
    ),
    pytest.param(
        "  caseforge/api-key:",
        "  ../etc/passwd:",
        ["9:3: `../etc/passwd` is not a name" + GRAMMAR],
        id="name_that_climbs",
    ),
    pytest.param(
        "  caseforge/api-key:",
        '  "caseforge/%2e%2e":',
        ["9:3: `caseforge/%2e%2e` is not a name" + GRAMMAR],
        id="name_with_an_escape",
    ),
    pytest.param(
        "  caseforge/api-key:",
        '  "a\\u202Eb":',
        ["9:3: a control character is refused; take it out"],
        id="name_with_an_override",
    ),
    pytest.param(
        "  caseforge/api-key:",
        '  "a\\nb":',
        ["9:3: this is not a name" + GRAMMAR],
        id="name_with_a_line_end",
    ),
    pytest.param(
        "  caseforge/api-key:",
        "  " + "a/" * 128 + "a:",
        ["9:3: this is not a name" + GRAMMAR],
        id="name_too_long",
    ),
    pytest.param(
        "  other: {plugin: box, path: elsewhere}",
        "  Other_one: {plugin: box, path: elsewhere}",
        ["5:3: `Other_one` is not a name" + GRAMMAR + "; did you mean `other-one`?"],
        id="name_of_a_backend",
    ),
    pytest.param(
        "issuer: caseforge",
        "issuer: casefrge",
        ["11:13: no issuer `casefrge`; did you mean `caseforge`?"],
        id="unknown_issuer",
    ),
    pytest.param(
        "issuer: caseforge",
        "issuer: zzz",
        ["11:13: no issuer `zzz`; declared: `caseforge`"],
        id="unknown_issuer_unlike_any",
    ),
    pytest.param(
        (
            'issuers:\n  caseforge: {plugin: authority, url: "http://127.0.0.1:8660", '
            "admin_token: file:admin.token}\n"
        ),
        "",
        ["9:13: no issuer `caseforge`"],
        id="no_issuers_at_all",
    ),
    pytest.param(
        STORE,
        "    store: locall\n",
        ["14:12: no backend `locall`; did you mean `local`?"],
        id="unknown_store",
    ),
    pytest.param(
        STORE,
        "    store: {backend: locall, name: x}\n",
        ["14:22: no backend `locall`; did you mean `local`?"],
        id="unknown_store_in_a_mapping",
    ),
    pytest.param(
        STORE,
        STORE + "    targets: [othr, {backend: zzz}]\n",
        [
            "15:15: no backend `othr`; did you mean `other`?",
            "15:31: no backend `zzz`; declared: `local`, `other`",
        ],
        id="unknown_targets",
    ),
    pytest.param(
        STORE,
        "    targets: []\ndefaults: {store: locall}\n",
        ["15:19: no backend `locall`; did you mean `local`?"],
        id="unknown_store_by_default",
    ),
    pytest.param(
        STORE,
        STORE + "    scopes: [cases:raed, sar:write]\n",
        [
            "15:14: the issuer has no scope `cases:raed`; did you mean `cases:read`?",
            "15:26: the issuer has no scope `sar:write`; did you mean `cases:write`?",
        ],
        id="scope_outside_the_catalogue",
    ),
    pytest.param(
        STORE,
        STORE + "    client_id: app_8v3k9m\n",
        ["15:5: an API key has no `client_id`; take it out"],
        id="api_key_with_a_client_id",
    ),
    pytest.param(
        "kind: api-key",
        "kind: oauth-client",
        [
            (
                "9:3: missing key `client_id` of an `oauth-client`; add `client_id: …`, as the "
                "issuer shows it"
            )
        ],
        id="oauth_client_without",
    ),
    pytest.param(
        "  caseforge/api-key:\n",
        (
            "  a: {kind: api-key, issuer: caseforge, owner: o, environment: test, store: local, "
            "options: {key_name: ci}}\n"
            "  b: {kind: api-key, issuer: caseforge, owner: o, environment: test, store: local, "
            "options: {key_name: ci}}\n  caseforge/api-key:\n"
        ),
        [
            (
                "10:3: another credential has the keys named `ci` already; "
                "give it another name there; see credmgr.yaml:9:3"
            )
        ],
        id="shared_key_name",
    ),
    pytest.param(
        "  caseforge/api-key:\n",
        (
            "  a: {kind: oauth-client, issuer: caseforge, client_id: app_1, owner: o, "
            "environment: test, store: local}\n  b: {kind: oauth-client, issuer: "
            "caseforge, client_id: app_1, owner: o, environment: test, store: local}\n  "
            "caseforge/api-key:\n"
        ),
        ["10:57: `a` has the same client_id at this issuer; see credmgr.yaml:9:57"],
        id="same_client_twice",
    ),
    pytest.param(
        "  caseforge/api-key:\n",
        (
            "  a: {kind: api-key, issuer: caseforge, owner: o, environment: test, store: "
            "{backend: local, name: caseforge/api-key}}\n  caseforge/api-key:\n"
        ),
        [
            (
                "15:12: `local:caseforge/api-key` is written by another copy already; see "
                "credmgr.yaml:9:77"
            )
        ],
        id="same_place_twice",
    ),
    pytest.param(
        STORE,
        STORE + "    targets: [other, local]\n",
        [
            (
                "15:22: `local:caseforge/api-key` is written by another copy already; see "
                "credmgr.yaml:14:12"
            )
        ],
        id="same_place_as_target",
    ),
    pytest.param(
        STORE,
        STORE + "    rotation: {overlap: {minimum: 8d}}\n",
        ["15:35: the overlap's minimum 8d is above its maximum 7d"],
        id="overlap_upside_down",
    ),
    pytest.param(
        "admin_token: file:admin.token",
        "admin_token: file:admin.token, propagation: 25h",
        [
            (
                "9:3: the overlap's minimum 24h is below the issuer's propagation 25h; add "
                "twice the slowest consumer's refresh to that"
            )
        ],
        id="overlap_below_propagation",
    ),
    pytest.param(
        STORE,
        STORE + "    rotation: {every: 1h}\n",
        [
            (
                "15:5: the overlap's minimum 24h is not below `every` 1h; a rotation ends "
                "before the next one is due"
            )
        ],
        id="overlap_above_every",
    ),
    pytest.param(
        STORE,
        STORE + "    rotation: {manual: true, every: 90d, cron: '0 3 * * 1'}\n",
        [
            "15:30: `every` stands beside `manual: true`; take one of them out",
            "15:42: `cron` stands beside `manual: true`; take one of them out",
        ],
        id="manual_with_a_schedule",
    ),
    pytest.param(
        "local: {plugin: box, path: secrets}",
        "local: {plugin: small}",
        [
            (
                "14:12: the name is 17 characters long, `local` takes 12; write {backend: "
                "local, name: …}"
            )
        ],
        id="name_too_long_for_a_backend",
    ),
    pytest.param(
        "local: {plugin: box, path: secrets}",
        "local: {plugin: dashes}",
        [
            (
                "14:12: the name is 18 characters long as it is spelled there, `local` takes 17;"
                " write {backend: local, name: …}"
            )
        ],
        id="name_too_long_as_a_backend_spells_it",
    ),
    pytest.param(
        "local: {plugin: box, path: secrets}",
        "local: {plugin: forgetful}",
        ["14:12: `local` keeps no earlier value, so it can be no store; make it a target"],
        id="store_without_earlier_values",
    ),
    pytest.param(
        "  caseforge/api-key:",
        "  caseforge/reject:",
        [
            (
                "9:3: a name's last part cannot be `reject`: a path of the API ends so; call it"
                " otherwise"
            )
        ],
        id="name_that_ends_as_a_path_of_the_api",
    ),
    pytest.param(
        "credentials:",
        (
            "consumers: {billing: {owner: o, grants: [{credential: caseforge/api-kex, "
            "read: [secret]}]}}\ncredentials:"
        ),
        ["8:55: no credential `caseforge/api-kex`; did you mean `caseforge/api-key`?"],
        id="granted_credential_unknown",
    ),
    pytest.param(
        "credentials:",
        (
            "consumers: {billing: {owner: o, grants: [{credential: app, read: [token], "
            "scopes: [cases:write, cases:raed]}]}}\ncredentials:\n  app: {kind: "
            "oauth-client, issuer: caseforge, client_id: app_1, owner: o, environment: "
            "test, store: local, scopes: [cases:read]}"
        ),
        [
            "8:84: the credential has no scope `cases:write`; did you mean `cases:read`?",
            "8:97: the credential has no scope `cases:raed`; did you mean `cases:read`?",
        ],
        id="granted_scopes_beyond_the_credential",
    ),
    pytest.param(
        "credentials:",
        (
            "consumers: {billing: {owner: o, grants: [{credential: caseforge/api-key, "
            "read: [secret]}, {credential: caseforge/api-key, read: [secret]}]}}\n"
            "credentials:"
        ),
        ["8:104: this consumer has two grants for this credential; merge them"],
        id="granted_twice",
    ),
    pytest.param(
        "credentials:",
        (
            "consumers: {billing: {owner: o, grants: [{credential: caseforge/api-key, "
            "read: [secret, token]}]}}\ncredentials:"
        ),
        ["8:80: an API key has no tokens; write `read: [secret]`"],
        id="tokens_of_an_api_key",
    ),
    pytest.param(
        "credentials:",
        (
            "consumers: {billing: {owner: o, grants: [{credential: caseforge/api-key, "
            "read: [secret], scopes: [cases:read]}]}}\ncredentials:"
        ),
        ["8:90: scopes narrow tokens only; add `token` to `read`"],
        id="scopes_without_tokens",
    ),
]


@pytest.mark.parametrize(("old", "new", "expected"), CASES)
def test_what_makes_no_sense_is_refused_at_its_place(
    tmp_path: Path, old: str, new: str, expected: list[str]
) -> None:
    text = GOOD.replace(old, new, 1)

    assert refusals(tmp_path, text) == [f"credmgr.yaml:{line}" for line in expected]
