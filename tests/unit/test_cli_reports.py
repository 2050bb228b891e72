"""The forms in which an audit is told: whole, escaped, and harmless where it is opened."""

import csv
import hashlib
import json
import re
from base64 import b64encode
from html.parser import HTMLParser
from io import StringIO

import pytest

from credmgr.cli.reports import as_csv, as_html, as_json, as_sarif, as_table
from credmgr.model.audit import Checkpoint
from credmgr.model.finding import Finding, Severity
from credmgr.packs.loading import shipped_packs
from credmgr.policy.report import Report, ranked
from tests.policy_world import DAY, NOW

EVIL = "=cmd|' /C calc'!A0\"><script>alert(1)</script>"
FINDINGS = (
    Finding(
        "default.max-age/a/key",
        Severity.CRITICAL,
        f"a/key: {EVIL}",
        NOW,
        rule="default.max-age",
        credential="a/key",
        owner=EVIL,
        environment="production",
        remedy="credmgr rotate a/key",
        source="CIS",
        acknowledged_by=EVIL,
    ),
    Finding(
        "default.unused/a/key",
        Severity.INFO,
        "a/key: unused",
        NOW,
        rule="default.unused",
        credential="a/key",
        exempt_until=NOW + DAY,
        exempted_by="anna",
        exempted_why=EVIL,
    ),
    Finding("token/a/key", Severity.WARNING, "no token", NOW, snoozed_until=NOW + DAY),
)


@pytest.fixture
def report() -> Report:
    return Report(NOW, EVIL, "id", 3, shipped_packs(), ranked(FINDINGS), Checkpoint(7, "ab", NOW))


@pytest.fixture
def good() -> Report:
    return Report(NOW, "anna", "id", 3, shipped_packs()[:1], (), Checkpoint(7, "ab", NOW))


class Reader(HTMLParser):
    """What a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: dict[str, str] = {}
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attrs)
        self.attributes[given.get("http-equiv") or tag] = given.get("content") or ""
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


class TestHtml:
    def test_it_is_one_sound_page_without_scripts_that_loads_nothing(self, report: Report) -> None:
        page, reader = as_html.document(report), Reader()
        reader.feed(page)
        assert reader.open == []
        assert not {"script", "img", "link", "iframe", "a"} & set(reader.tags)
        assert "url(" not in page
        assert "@import" not in page

    def test_its_policy_lets_in_its_own_style_and_nothing_else(self, report: Report) -> None:
        page, reader = as_html.document(report), Reader()
        reader.feed(page)
        style = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
        digest = b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
        policy = reader.attributes["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; ")
        assert f"style-src 'sha256-{digest}'" in policy
        assert 'style="' not in page

    def test_whatever_a_name_says_is_text(self, report: Report) -> None:
        page = as_html.document(report)
        assert "<script>" not in page
        assert page.count("&lt;script&gt;") == 5

    def test_an_auditor_finds_rules_exemptions_and_the_seal(self, report: Report) -> None:
        page = as_html.document(report)
        assert "2 findings with 2 owners." in page
        assert "Exemptions" in page
        assert "anna" in page
        assert "record 7, seal" in page
        assert "prefers-color-scheme: dark" in page
        assert "@media print" in page

    def test_where_nothing_is_wrong_it_says_so(self, good: Report) -> None:
        page = as_html.document(good)
        assert "Nothing counts against any credential." in page
        assert "Exemptions" not in page


class TestCsv:
    def test_no_cell_is_a_formula(self, report: Report) -> None:
        rows = list(csv.reader(StringIO(as_csv.document(report))))
        assert rows[0] == list(as_csv.COLUMNS)
        assert len(rows) == 4
        assert not [cell for row in rows for cell in row if cell[:1] in "=+-@\t\r\n" and cell]

    @pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t"])
    def test_what_begins_a_formula_is_quoted(self, sign: str) -> None:
        assert as_csv.harmless(f"{sign}1") == f"'{sign}1"
        assert as_csv.harmless("a=1") == "a=1"


class TestSarif:
    def test_results_name_rules_and_an_exempt_one_is_suppressed(self, report: Report) -> None:
        (run,) = json.loads(as_sarif.document(report))["runs"]
        by_rule = {one["ruleId"]: one for one in run["results"]}
        assert set(by_rule) == {"default.max-age", "default.unused", "token"}
        assert by_rule["default.max-age"]["level"] == "error"
        assert "anna" in by_rule["default.unused"]["suppressions"][0]["justification"]
        assert "suppressions" not in by_rule["token"]
        ids = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
        assert "default.no-owner" in ids


class TestText:
    def test_json_says_how_each_stands(
        self, report: Report, capsys: pytest.CaptureFixture[str]
    ) -> None:
        as_json.show(report)
        said = json.loads(capsys.readouterr().out)
        assert [one["standing"] for one in said["findings"]] == [
            "acknowledged",
            "snoozed",
            "exempt",
        ]
        assert said["counting"] == {"critical": 1, "warning": 1, "info": 0}

    def test_the_table_ends_with_what_it_comes_to(
        self, report: Report, good: Report, capsys: pytest.CaptureFixture[str]
    ) -> None:
        as_table.show(report)
        out = capsys.readouterr().out
        assert "1 critical, 1 warning (1 exempt)" in out
        assert "snoozed, ends in 1d" in out
        as_table.show(good)
        assert "nothing is wrong" in capsys.readouterr().out
