"""What single values may look like, and the YAML surprises."""

from pathlib import Path

import pytest

from tests.manifest_world import GOOD, refusals

STORE = "    store: local\n"

CASES = [
    pytest.param(
        "version: 1",
        "version: '1'",
        ["1:10: expected a whole number, found text"],
        id="version_as_text",
    ),
    pytest.param(
        "  caseforge/api-key:\n",
        "  other: text\n  caseforge/api-key:\n",
        ["9:10: expected a mapping, found text"],
        id="entry_is_text",
    ),
    pytest.param(
        "owner: payments-team",
        "owner: no",
        ['12:12: expected text, but YAML reads `no` as a truth value; quote it: "no"'],
        id="truth_for_text",
    ),
    pytest.param(
        "owner: payments-team",
        "owner: On",
        ['12:12: expected text, but YAML reads `On` as a truth value; quote it: "On"'],
        id="on_for_text",
    ),
    pytest.param(
        "owner: payments-team",
        "owner: y",
        ['12:12: expected text, but YAML reads `y` as a truth value; quote it: "y"'],
        id="y_for_text",
    ),
    pytest.param(
        "owner: payments-team",
        "owner: true",
        ['12:12: expected text, but YAML reads `true` as a truth value; quote it: "true"'],
        id="true_for_text",
    ),
    pytest.param(
        "owner: payments-team",
        "owner: 12",
        ['12:12: expected text, but YAML reads `12` as a number; quote it: "12"'],
        id="number_for_text",
    ),
    pytest.param(
        "owner: payments-team",
        "owner: 1.50",
        ['12:12: expected text, but YAML reads `1.50` as a number; quote it: "1.50"'],
        id="fraction_for_text",
    ),
    pytest.param(
        "owner: payments-team",
        "owner: 1_000",
        ['12:12: expected text, but YAML reads `1_000` as a number; quote it: "1_000"'],
        id="underscored_number_for_text",
    ),
    pytest.param(
        "owner: payments-team",
        "owner: 0o7",
        ['12:12: expected text, but YAML reads `0o7` as an octal number; quote it: "0o7"'],
        id="octal_for_text",
    ),
    pytest.param(
        "owner: payments-team",
        "owner: 007",
        ['12:12: expected text, but YAML reads `007` as an octal number; quote it: "007"'],
        id="old_octal_for_text",
    ),
    pytest.param(
        "owner: payments-team",
        "owner: 0x1F",
        [('12:12: expected text, but YAML reads `0x1F` as a hexadecimal number; quote it: "0x1F"')],
        id="hexadecimal_for_text",
    ),
    pytest.param(
        "owner: payments-team",
        "owner: 0b11",
        ['12:12: expected text, but YAML reads `0b11` as a binary number; quote it: "0b11"'],
        id="binary_for_text",
    ),
    pytest.param(
        "owner: payments-team",
        "owner: 1e3",
        ['12:12: expected text, but YAML reads `1e3` as a number; quote it: "1e3"'],
        id="exponent_for_text",
    ),
    pytest.param(
        "owner: payments-team",
        "owner: .inf",
        ['12:12: expected text, but YAML reads `.inf` as a number; quote it: ".inf"'],
        id="infinity_for_text",
    ),
    pytest.param(
        "owner: payments-team",
        "owner: 2026-11-24",
        [('12:12: expected text, but YAML reads `2026-11-24` as a date; quote it: "2026-11-24"')],
        id="date_for_text",
    ),
    pytest.param(
        "owner: payments-team",
        "owner: 2026-11-24T10:00:00Z",
        [
            (
                "12:12: expected text, but YAML reads `2026-11-24T10:00:00Z` as a date; quote "
                'it: "2026-11-24T10:00:00Z"'
            )
        ],
        id="moment_for_text",
    ),
    pytest.param(
        "owner: payments-team",
        "owner: 12:30",
        [('12:12: expected text, but YAML reads `12:30` as a base-60 number; quote it: "12:30"')],
        id="base_60_for_text",
    ),
    pytest.param(
        "owner: payments-team",
        "owner:",
        ["12:11: expected text, found nothing; give a value or take the key out"],
        id="nothing_for_text",
    ),
    pytest.param(
        "owner: payments-team",
        "owner: null",
        ["12:12: expected text, found nothing; give a value or take the key out"],
        id="null_for_text",
    ),
    pytest.param(
        "owner: payments-team",
        "owner: ~",
        ["12:12: expected text, found nothing; give a value or take the key out"],
        id="tilde_for_text",
    ),
    pytest.param(
        "owner: payments-team",
        "owner: [a]",
        ["12:12: expected text, found a list"],
        id="list_for_text",
    ),
    pytest.param(
        "owner: payments-team",
        "owner: {a: b}",
        ["12:12: expected text, found a mapping"],
        id="mapping_for_text",
    ),
    pytest.param(
        "owner: payments-team", "owner: ''", ["12:12: must not be empty"], id="empty_text"
    ),
    pytest.param(
        "owner: payments-team",
        "owner: " + "a b" * 2000,
        ["12:12: must not be longer than 4096 characters"],
        id="very_long_text",
    ),
    pytest.param(
        STORE,
        STORE + "    scopes: cases:read\n",
        ["15:13: expected a list, found text"],
        id="text_for_a_list",
    ),
    pytest.param(
        STORE,
        STORE + "    rotation: {manual: yes}\n",
        ["15:24: expected true or false, found `yes`"],
        id="yes_for_true",
    ),
    pytest.param(
        STORE,
        STORE + "    rotation: {manual: 'true'}\n",
        ["15:24: expected true or false, found text"],
        id="text_for_true",
    ),
    pytest.param(
        "version: 1\n",
        "version: 1\ndaemon: {workers: many}\n",
        ["2:19: expected a whole number, found text"],
        id="text_for_a_number",
    ),
    pytest.param(
        "version: 1\n",
        "version: 1\ndaemon: {workers: 1.5}\n",
        ["2:19: expected a whole number, found `1.5`"],
        id="fraction_for_a_whole_number",
    ),
    pytest.param(
        "version: 1\n",
        "version: 1\ndaemon: {workers: 1_0}\n",
        ["2:19: expected a whole number, found `1_0`"],
        id="underscored_for_a_whole_number",
    ),
    pytest.param(
        "version: 1\n",
        "version: 1\ndaemon: {workers: 0}\n",
        ["2:19: must be at least 1"],
        id="number_too_small",
    ),
    pytest.param(
        "version: 1\n",
        "version: 1\ndaemon: {workers: 257}\n",
        ["2:19: must be at most 256"],
        id="number_too_large",
    ),
    pytest.param(
        STORE,
        STORE + "    rotation: {jitter: 0.6}\n",
        ["15:24: must be at most 0.5"],
        id="jitter_too_large",
    ),
    pytest.param(
        STORE,
        STORE + "    rotation: {jitter: '0.1'}\n",
        ["15:24: expected a number, found text"],
        id="jitter_as_text",
    ),
    pytest.param(
        STORE,
        STORE + "    rotation: {every: 90}\n",
        [
            (
                "15:23: not a duration, a bare number has no unit; write one such as 90d, 24h, "
                "1h30m or 20s"
            )
        ],
        id="bare_number_for_a_duration",
    ),
    pytest.param(
        STORE,
        STORE + "    rotation: {every: '90'}\n",
        [
            (
                "15:23: not a duration, a bare number has no unit; write one such as 90d, 24h, "
                "1h30m or 20s"
            )
        ],
        id="quoted_number_for_a_duration",
    ),
    pytest.param(
        STORE,
        STORE + "    rotation: {every: true}\n",
        ["15:23: not a duration; write one such as 90d, 24h, 1h30m or 20s"],
        id="truth_for_a_duration",
    ),
    pytest.param(
        STORE,
        STORE + "    rotation: {every: 3 months}\n",
        ["15:23: not a duration; write one such as 90d, 24h, 1h30m or 20s"],
        id="wrong_duration",
    ),
    pytest.param(
        STORE,
        STORE + "    rotation: {every: 0s}\n",
        ["15:23: a duration of nothing; write a longer one"],
        id="no_duration",
    ),
    pytest.param(
        STORE,
        STORE + "    rotation: {every: 9999d}\n",
        ["15:23: a duration is at most 3650d"],
        id="duration_too_long",
    ),
    pytest.param(
        STORE,
        STORE + '    rotation: {cron: "0 0 3 * * 1"}\n',
        [
            (
                "15:22: a cron line has five fields; minute, hour, day, month, weekday, such "
                'as "0 3 * * 1"'
            )
        ],
        id="cron_with_six_fields",
    ),
    pytest.param(
        STORE,
        STORE + '    rotation: {cron: "0 25 * * *"}\n',
        ["15:22: not a cron line: bad hour"],
        id="cron_out_of_range",
    ),
    pytest.param(
        STORE,
        STORE + '    rotation: {cron: "0 0 31 2 *"}\n',
        ["15:22: not a cron line: bad day-of-month"],
        id="cron_that_never_comes",
    ),
    pytest.param(
        STORE,
        STORE + "    rotation: {zone: Europe/Belin}\n",
        ["15:22: there is no time zone `Europe/Belin`; did you mean `Europe/Berlin`?"],
        id="unknown_zone",
    ),
    pytest.param(
        STORE,
        STORE + "    rotation: {zone: ../../etc/passwd}\n",
        [
            (
                "15:22: there is no time zone `../../etc/passwd`; write an IANA name such as "
                "Europe/Berlin"
            )
        ],
        id="zone_from_nowhere",
    ),
    pytest.param(
        STORE,
        STORE + "    rotation: {zone: 1}\n",
        ['15:22: expected text, but YAML reads `1` as a number; quote it: "1"'],
        id="zone_as_a_number",
    ),
    pytest.param(
        STORE,
        STORE + '    rotation: {windows: [{start: 12:30, end: "13:00"}]}\n',
        [('15:34: expected text, but YAML reads `12:30` as a base-60 number; quote it: "12:30"')],
        id="unquoted_time",
    ),
    pytest.param(
        STORE,
        STORE + '    rotation: {windows: [{start: "24:00", end: "13:00"}]}\n',
        ['15:34: `24:00` is not a time of day; write "00:00" to "23:59", quoted'],
        id="time_out_of_range",
    ),
    pytest.param(
        STORE,
        STORE + '    scopes: ["cases:read cases:write"]\n',
        [("15:14: `cases:read cases:write` is not a scope; give each scope as an item of its own")],
        id="scopes_in_one_text",
    ),
]


@pytest.mark.parametrize(("old", "new", "expected"), CASES)
def test_a_value_of_the_wrong_form_is_refused_at_its_place(
    tmp_path: Path, old: str, new: str, expected: list[str]
) -> None:
    text = GOOD.replace(old, new, 1)

    assert refusals(tmp_path, text) == [f"credmgr.yaml:{line}" for line in expected]
