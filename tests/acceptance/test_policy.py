"""The three findings of the demo, from opening to resolution, by the installed command."""

import csv
import json
from io import StringIO
from pathlib import Path

import pytest

from tests.acceptance.installation import KEY, PARTNER, Installation

BROAD = '["cases:read", "cases:write"]'
FINDINGS = {
    "mine.max-age/caseforge/api-key",
    "caseforge.many-scopes/caseforge/client-secret",
    "caseforge.api-key-in-production/caseforge/api-key",
}
PACK = "pack: mine\ntitle: Ours\nrules: [{rule: max-age, parameters: {limit: 1s}}]\n"


@pytest.fixture
def troubled(grown: Installation) -> Installation:
    """A key that is too old and in production, and a client whose scope is too broad."""
    (grown.folder / "mine.yaml").write_text(PACK)
    grown.edit("notifiers:", "policies: [caseforge, ./mine.yaml]\nnotifiers:")
    grown.edit(
        "    owner: reporting\n    scopes",
        "    owner: reporting\n    environment: production\n    scopes",
    )
    every = ["cases:read", "cases:write", "sar:read", "alerts:read", "subjects:read"]
    grown.edit(BROAD, json.dumps(every))
    grown.run("check")
    grown.run("apply", "--yes")
    return grown


def keys(home: Installation) -> set[str]:
    return {one["key"] for one in home.json("findings", "list")["findings"]}


def test_three_findings_open_are_decided_upon_and_resolve(troubled: Installation) -> None:
    home = troubled
    assert home.run("audit", code=1).out.count("\n") > 3
    assert keys(home) >= FINDINGS

    home.run("ack", "mine.max-age/caseforge/api-key")
    home.run("snooze", "caseforge.many-scopes/caseforge/client-secret", "--for", "1d")
    because = ("--for", "30d", "--reason", "the console moves in December")
    home.run("exempt", "caseforge.api-key-in-production/caseforge/api-key", *because)
    audited = home.run("audit", "--json", "--fail-on", "never").data
    standing = {one["key"]: one["standing"] for one in audited["findings"]}
    assert {standing[key] for key in FINDINGS} == {"acknowledged", "snoozed", "exempt"}

    home.edit('"cases:write", "sar:read", "alerts:read", "subjects:read"', '"cases:write"')
    home.edit("    environment: production\n", "")
    (home.folder / "mine.yaml").write_text(PACK.replace("1s", "90d"))
    home.run("apply", "--yes")
    home.run("audit", "--fail-on", "info")
    assert keys(home) == set()

    shown = home.json("findings", "show", "caseforge.api-key-in-production/caseforge/api-key")
    assert [one["action"] for one in shown["history"]] == [
        "finding.opened",
        "finding.exempted",
        "finding.resolved",
    ]
    home.run("log", "verify")


def test_a_daemon_tells_of_them_by_itself(troubled: Installation) -> None:
    with troubled.background("run") as running:
        running.wait_for("its secret is from")
        assert running.stop() == 0
    assert keys(troubled) >= FINDINGS


def test_the_forms_of_an_audit_hold_the_same_findings(troubled: Installation) -> None:
    def told(form: str) -> str:
        return troubled.run("audit", "--format", form, "--fail-on", "never").out

    rows = list(csv.DictReader(StringIO(told("csv"))))
    assert {row["key"] for row in rows} >= FINDINGS
    results = json.loads(told("sarif"))["runs"][0]["results"]
    assert len(results) == len(rows)
    page = told("html")
    assert all(key in page for key in FINDINGS)


def test_a_wrong_pack_is_told_by_check_and_stops_everything_that_needs_it(
    grown: Installation,
) -> None:
    (grown.folder / "mine.yaml").write_text("pack: mine\ntitle: Ours\nrules: [{rule: max-ag}]\n")
    grown.edit("notifiers:", "policies: [./mine.yaml]\nnotifiers:")
    for command in (["check"], ["apply", "--yes"], ["audit"], ["run"]):
        said = grown.run(*command, code=2)
        assert "mine.yaml:3:16" in said.err
        assert "did you mean `max-age`?" in said.err


def test_what_cannot_be_decided_is_refused_with_a_reason(grown: Installation) -> None:
    refused = {
        ("ack", "nothing"): "no finding nothing is open",
        ("snooze", "x", "--for", "31d"): "30d at most",
        ("exempt", "x", "--for", "1d", "--reason", " "): "say why",
        ("policy", "explain", "nobody"): "no credential is called nobody",
    }
    for arguments, told in refused.items():
        assert told in grown.run(*arguments, code=2).err


def test_cases_that_go_otherwise_exit_1(grown: Installation, tmp_path: Path) -> None:
    file = tmp_path / "test.yaml"
    file.write_text("pack: default\ncases: [{case: x, credential: {age: 9d}, finds: [max-age]}]\n")
    assert "max-age finds nothing" in grown.run("policy", "test", str(file), code=1).out
    assert grown.json("policy", "test", str(file), code=1)["failed"] == 1


def test_every_rule_is_explained_with_what_it_looked_at(grown: Installation) -> None:
    said = grown.json("policy", "explain", KEY)
    (age,) = [one for one in said["rules"] if one["rule"] == "default.max-age"]
    assert (age["applies"], age["broken"]) == (True, False)
    assert age["until"]
    assert "issued_at" in age["looked_at"]
    assert "default.no-owner" in grown.run("policy", "explain", PARTNER).out
