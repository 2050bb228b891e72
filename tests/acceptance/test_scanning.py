"""`credmgr scan` as a user meets it, and what becomes of what it finds."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from credmgr.bootstrap import build
from credmgr.manifest import load
from credmgr.scan import others
from tests.acceptance.installation import KEY, Installation


@pytest.fixture
def leaked(grown: Installation) -> tuple[str, Path]:
    """The live key of an installation, and a folder that has it."""
    value = grown.run("get", KEY).out
    folder = grown.folder / "repo"
    folder.mkdir()
    (folder / "settings.py").write_text(f"TIMEOUT = 3\nAPI_KEY = '{value}'\n")
    return value, folder


def told(home: Installation, *arguments: str, code: int = 0) -> Any:
    return json.loads(home.run(*arguments, code=code).out)


def findings(home: Installation) -> list[Any]:
    app = build(load(home.manifest))
    try:
        return list(app.store.ledger.findings(open_only=True))
    finally:
        app.close()


def test_a_live_key_is_found_told_and_dead_when_the_runbook_is_done(
    grown: Installation, leaked: tuple[str, Path]
) -> None:
    value, folder = leaked
    said = grown.run("scan", "repo", "--no-others", code=1)
    assert "repo/settings.py:2" in said.out
    assert f"credmgr revoke {KEY} --leaked" in said.out
    assert value[8:] not in said.out + said.err
    [finding] = findings(grown)
    assert (finding.key, finding.severity) == (f"leak/{KEY}", "critical")
    assert value not in finding.text

    grown.run("revoke", KEY, "--leaked", "--yes")
    assert findings(grown) == []
    after = told(grown, "scan", "repo", "--no-others", "--format", "json")
    assert [one["rule"] for one in after["found"]] == ["revoked-secret"]
    assert folder.is_dir()


def test_a_finding_is_opened_once_and_not_at_all_when_not_wanted(
    grown: Installation, leaked: tuple[str, Path]
) -> None:
    assert leaked
    grown.run("scan", "repo", "--no-others", "--no-findings", code=1)
    assert findings(grown) == []
    for _ in range(2):
        grown.run("scan", "repo", "--no-others", code=1)
    assert len(findings(grown)) == 1


def test_what_lives_is_neither_allowed_nor_taken_into_a_baseline(
    grown: Installation, leaked: tuple[str, Path]
) -> None:
    value, folder = leaked
    (folder / "settings.py").write_text(f"KEY = '{value}'  # credmgr:allow it is fine\n")
    grown.run("scan", "repo", "--no-others", code=1)
    grown.run("scan", "repo", "--no-others", "--write-baseline", "base.json", code=1)
    grown.run("scan", "repo", "--no-others", "--baseline", "base.json", code=1)


def test_without_a_manifest_forms_are_known_and_baselines_work(home: Installation) -> None:
    home.environ["CREDMGR_MANIFEST"] = str(home.folder / "nothing.yaml")
    folder = home.folder / "app"
    folder.mkdir()
    file = folder / "a.env"
    file.write_text("KEY=cf_live_0123456789abcdefghij\n")
    said = home.run("scan", "app", "--no-others", code=1)
    assert "known by their form only" in said.out
    home.run("scan", "app", "--no-others", "--write-baseline", "base.json")
    home.run("scan", "app", "--no-others", "--baseline", "base.json")
    file.write_text("\n\nKEY=cf_live_0123456789abcdefghij\n")
    home.run("scan", "app", "--no-others", "--baseline", "base.json")
    file.write_text("KEY=cf_live_another456789abcdefghij\n")
    home.run("scan", "app", "--no-others", "--baseline", "base.json", code=1)
    file.write_text("KEY=cf_live_0123456789abcdefghij # credmgr:allow from the vendor's page\n")
    home.run("scan", "app", "--no-others")


def test_sarif_has_every_result_and_no_value(grown: Installation, leaked: tuple[str, Path]) -> None:
    value, _ = leaked
    said = grown.run("scan", "repo", "--no-others", "--format", "sarif", code=1)
    [result] = json.loads(said.out)["runs"][0]["results"]
    assert result["ruleId"] == "managed-secret"
    assert result["properties"]["credential"] == KEY
    assert value[8:] not in said.out


@pytest.mark.skipif(others.program() is None, reason="kingfisher is not installed")
def test_secrets_of_others_are_found_by_the_scanner_for_them(home: Installation) -> None:
    folder = home.folder / "app"
    folder.mkdir()
    (folder / "aws.txt").write_text(
        "id = AKIA" + "IOSFODNN7ABCDEFG\nsecret = 'wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEYab'\n"
    )
    answer = told(home, "scan", "app", "--no-managed", "--format", "json", code=1)
    [found] = [one for one in answer["found"] if one["rule"].startswith("others/")]
    assert (found["path"], found["line"]) == ("app/aws.txt", 1)


def test_a_commit_with_a_secret_is_refused_by_the_hook(home: Installation) -> None:
    repo = home.folder / "app"
    repo.mkdir()
    subprocess.run(["/usr/bin/git", "init", "-q", str(repo)], check=True)  # noqa: S603
    (repo / "a.env").write_text("KEY=cf_live_0123456789abcdefghij\n")
    home.run("scan", "app", "--staged", "--no-managed")
    subprocess.run(["/usr/bin/git", "-C", str(repo), "add", "-A"], check=True)  # noqa: S603
    home.run("scan", "app", "--staged", "--no-managed", code=1)
