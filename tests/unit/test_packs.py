"""Rule packs: those that come with credmgr, packs of one's own, and every mistake at its line."""

import re
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from credmgr.errors import ManifestError
from credmgr.manifest.manifest import PackUse
from credmgr.manifest.tree import Spot
from credmgr.model.finding import Severity
from credmgr.packs import expressions, load_packs
from credmgr.packs.expressions import FACTS, CelExpression, Refusal
from credmgr.packs.fixtures import run_fixtures
from credmgr.packs.loading import SHIPPED, shipped_packs
from credmgr.policy.custom import Unclear
from credmgr.policy.rules.catalogue import CATALOGUE
from tests.policy_world import KEY, NOW, key

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = (ROOT / "docs" / "policy.md").read_text()
HEAD: Final = "pack: mine\ntitle: Ours\n"
OWN: Final = """rules:
  - rule: own
    title: A thing holds.
    severity: info
    source: us
    remedy: mend {name} {so}
    when: %s
"""
BOUNDS: Final = {
    "long": ("name == '" + "x" * 1000 + "'", "longer than 1000"),
    "nested": ("scopes.all(s, scopes.exists(t, t == s))", "within another"),
    "many": (" && ".join(["scopes.all(s, s != '')"] * 5), "more than 4 comprehensions"),
    "deep": ("(" * 21 + "has_secret" + ")" * 21, "deeper than 20"),
    "unknown": ("nam == 'x'", "undeclared reference to 'nam'"),
    "types": ("name + 1 == 'x'", "no matching overload"),
    "no-question": ("name", "of type string, not bool"),
    "no-cel": ("name == ", "Syntax error"),
}


def use(pack: str, inputs: Mapping[str, str] | None = None) -> PackUse:
    return PackUse(pack, inputs or {}, Spot("credmgr.yaml", 3, 5))


def mistakes(folder: Path, text: str, inputs: Mapping[str, str] | None = None) -> list[str]:
    (folder / "mine.yaml").write_text(text)
    with pytest.raises(ManifestError) as refused:
        load_packs([use("./mine.yaml", inputs)], folder)
    return [f"{one.line}:{one.column}: {one.what}; {one.fix}" for one in refused.value.problems]


class TestShipped:
    def test_they_load_and_every_rule_cites_its_source(self) -> None:
        packs = shipped_packs()
        assert tuple(sorted(pack.name for pack in packs)) == SHIPPED
        assert all(rule.source for pack in packs for rule in pack.rules)

    def test_between_them_they_have_every_rule(self) -> None:
        codes = {rule.rule.code for pack in shipped_packs() for rule in pack.rules}
        assert codes == CATALOGUE.keys()

    def test_the_wheel_takes_each_of_them_along(self) -> None:
        text = (ROOT / "pyproject.toml").read_text()
        taken = re.findall(
            r'^"policies/([a-z-]+)\.yaml" = "credmgr/packs/shipped/\1\.yaml"', text, re.MULTILINE
        )
        assert tuple(sorted(taken)) == SHIPPED
        assert {file.stem for file in (ROOT / "policies").glob("*.yaml")} == set(SHIPPED)

    def test_pci_dss_wants_the_period_of_a_risk_analysis(self) -> None:
        with pytest.raises(ManifestError) as refused:
            load_packs([use("pci-dss")], ROOT)
        told = [str(one) for one in refused.value.problems]
        assert len(told) == 2
        assert told[1].startswith("credmgr.yaml:3:5: the pack pci-dss needs `risk_ref`")
        given = {"period": "180d", "risk_ref": "TRA-1"}
        (pack,) = load_packs([use("pci-dss", given)], ROOT).packs
        assert pack.rules[0].parameters.limit == timedelta(days=180)
        assert pack.rules[0].parameters.risk_ref == "TRA-1"

    def test_an_unknown_name_is_told_the_nearest(self) -> None:
        with pytest.raises(ManifestError, match=r"no rule pack `defalt`.*did you mean `default`"):
            load_packs([use("defalt")], ROOT)


class TestOwn:
    def test_every_mistake_is_told_at_its_line(self, tmp_path: Path) -> None:
        rules = (
            "rules:\n"
            "  - rule: max-ag\n"
            "  - rule: max-age\n    parameters: {limt: 3d}\n"
            "  - rule: expiry\n    severity: critcal\n"
            "  - rule: scope-outside\n"
            "  - rule: unused\n    parameters: {after: 3}\n"
            "  - 5\n"
        )
        told = mistakes(tmp_path, HEAD + rules)
        assert [one.partition(";")[0] for one in told] == [
            "4:11: no rule `max-ag`",
            "6:18: unknown key `limt`",
            "8:15: `critcal` is not one of `info`, `warning`, `critical`",
            "9:5: missing key `allowed`",
            "11:25: not a duration, a bare number has no unit",
            "12:5: expected a mapping, found `5`",
        ]

    def test_the_same_rule_twice_wants_a_name(self, tmp_path: Path) -> None:
        text = HEAD + "rules: [{rule: unused}, {rule: unused}]\n"
        assert mistakes(tmp_path, text) == [
            "3:25: `mine.unused` stands here twice; give it an `id`"
        ]
        (tmp_path / "mine.yaml").write_text(
            text.replace("{rule: unused}]", "{rule: unused, id: b}]")
        )
        (pack,) = load_packs([use("./mine.yaml")], tmp_path).packs
        assert [rule.id for rule in pack.rules] == ["mine.unused", "mine.b"]

    def test_two_packs_of_one_name_are_refused(self, tmp_path: Path) -> None:
        for name in "ab":
            (tmp_path / f"{name}.yaml").write_text(HEAD)
        with pytest.raises(ManifestError, match="two packs are called `mine`"):
            load_packs([use("a.yaml"), use("b.yaml")], tmp_path)

    def test_an_input_that_the_pack_does_not_want_is_refused(self, tmp_path: Path) -> None:
        (told,) = mistakes(tmp_path, HEAD + "inputs: {period: days}\n", {"period": "1d", "x": "y"})
        assert "has no input `x`" in told

    def test_inputs_fill_parameters_at_any_depth(self, tmp_path: Path) -> None:
        rules = (
            'inputs: {step: days}\nrules: [{rule: expiry, parameters: {ladder: [$step, "7d"]}}]\n'
        )
        (tmp_path / "mine.yaml").write_text(HEAD + rules)
        (pack,) = load_packs([use("mine.yaml", {"step": "9d"})], tmp_path).packs
        assert pack.rules[0].parameters.ladder == (timedelta(days=9), timedelta(days=7))

    def test_a_file_that_is_no_pack_is_told(self, tmp_path: Path) -> None:
        assert mistakes(tmp_path, "pack: a/b\nrules: 5\n")[0].startswith("1:1: missing key `title`")
        with pytest.raises(ManifestError, match="cannot be read"):
            load_packs([use("./none.yaml")], tmp_path)

    def test_a_rule_of_its_own_says_everything(self, tmp_path: Path) -> None:
        told = mistakes(tmp_path, HEAD + "rules: [{rule: max-age, when: has_secret}]\n")
        assert "3:16: `max-age` comes with credmgr; choose another name" in told
        assert len(told) == 5

    def test_a_rule_of_its_own_finds_and_says_what_to_do(self, tmp_path: Path) -> None:
        (tmp_path / "mine.yaml").write_text(HEAD + OWN % "has_secret")
        book = load_packs([use("mine.yaml")], tmp_path)
        ((rule, found),) = book.judge().judge(KEY, NOW).found
        assert found.text == "it breaks the rule: A thing holds."
        assert rule.rule.remedy.format(name="x") == "mend x {so}"
        assert rule.rule.reads == ("has_secret",)

    def test_the_digest_changes_with_what_is_said_and_with_inputs(self, tmp_path: Path) -> None:
        file = tmp_path / "mine.yaml"
        seen = set()
        for text in (HEAD, HEAD + "# only a comment\n", HEAD.replace("Ours", "Yours")):
            file.write_text(text)
            seen.add(load_packs([use("mine.yaml")], tmp_path).digest)
        assert len(seen) == 2


class TestExpressions:
    @pytest.mark.parametrize("case", sorted(BOUNDS))
    def test_one_that_cannot_be_is_refused_when_the_pack_loads(
        self, case: str, tmp_path: Path
    ) -> None:
        text, told = BOUNDS[case]
        (found,) = mistakes(tmp_path, HEAD + OWN % f'"{text}"')
        assert found.startswith("9:11: ")
        assert told in found

    def test_it_may_speak_of_every_fact_and_nothing_else(self) -> None:
        for name, fact in FACTS.items():
            kind = {"string": "''", "bool": "true", "list(string)": "[]"}.get(fact.type)
            other = kind or {"duration": "duration('0s')"}.get(fact.type, "timestamp(0)")
            expression = CelExpression(f"{name} == {other} || true")
            assert expression.holds(KEY, NOW) is True
            assert (expression.reads, expression.timed) == ((name,), fact.timed)
            assert f"`{name}`" in DOCS

    def test_a_word_within_a_text_is_no_fact(self) -> None:
        assert CelExpression("name == 'age now'").reads == ("name",)
        assert CelExpression("name == ')scopes.all('").holds(KEY, NOW) is False

    def test_facts_of_a_key_are_as_declared(self) -> None:
        seen = key(expires_at=NOW + timedelta(hours=1), last_used=NOW)
        text = "age == duration('240h') && expires_in == duration('1h') && idle == duration('0s')"
        assert CelExpression(text).holds(seen, NOW) is True
        assert CelExpression("age > duration('0s')").holds(key(issued_at=None), NOW) is False

    def test_what_makes_no_sense_of_a_credential_is_unclear(self) -> None:
        told = CelExpression("scopes[7] == 'x'").holds(KEY, NOW)
        assert isinstance(told, Unclear)
        assert "\n" not in told.why

    def test_without_the_library_it_is_told_what_to_install(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "cel_expr_python.cel", None)
        expressions._library.cache_clear()
        with pytest.raises(Refusal, match="need the CEL library") as refused:
            CelExpression("has_secret")
        expressions._library.cache_clear()
        assert refused.value.fix == "pip install 'credmgr[cel]'"


class TestFixtures:
    def written(self, folder: Path, cases: str) -> Path:
        (folder / "mine.yaml").write_text(HEAD + "rules: [{rule: max-age, severity: critical}]\n")
        file = folder / "test.yaml"
        file.write_text(f"pack: ./mine.yaml\n{cases}")
        return file

    def test_a_case_that_goes_otherwise_is_told(self, tmp_path: Path) -> None:
        cases = (
            "cases:\n"
            "  - {case: x, credential: {age: 100d, asked: {a: 1d}}, finds: {max-age: critical}}\n"
            "  - {case: too much, credential: {age: 100d}, finds: []}\n"
            "  - {case: too little, credential: {age: 1d, rotation: DONE}, finds: [max-age]}\n"
            '  - {case: other, now: "2026-01-01T00:00:00Z", credential: {age: 100d, used: 1d,'
            " expires_in: 1d, asking_since: 2d}, finds: {max-age: info}}\n"
        )
        done = run_fixtures(self.written(tmp_path, cases))
        assert [one.differences for one in done] == [
            (),
            ("max-age finds: its secret is from 2026-02-21 and older than 90 days",),
            ("max-age finds nothing, and should",),
            (f"max-age is {Severity.CRITICAL}, and should be info",),
        ]

    def test_mistakes_in_the_cases_are_told_at_their_lines(self, tmp_path: Path) -> None:
        cases = (
            "cases:\n"
            "  - {case: a, finds: [max-ag]}\n"
            "  - {case: b, now: 2026-01-01, finds: []}\n"
            "  - {case: c, now: never, finds: []}\n"
        )
        with pytest.raises(ManifestError) as refused:
            run_fixtures(self.written(tmp_path, cases))
        told = [f"{one.line}: {one.what}" for one in refused.value.problems]
        assert told == [
            "3: the pack has no rule `max-ag`",
            "4: not a moment with a zone",
            "5: not a moment with a zone",
        ]
        with pytest.raises(ManifestError, match="missing key `pack`"):
            run_fixtures(self.bare(tmp_path))

    def bare(self, folder: Path) -> Path:
        file = folder / "bare.yaml"
        file.write_text("inputs: {}\n")
        return file

    def test_the_pack_of_the_docs_does_what_its_cases_say(self, tmp_path: Path) -> None:
        blocks = re.findall(r"^```yaml\n(pack: .*?)^```", DOCS, re.MULTILINE | re.DOTALL)
        for name, block in zip(("mine.yaml", "mine-test.yaml"), blocks, strict=True):
            (tmp_path / name).write_text(block)
        cases = run_fixtures(tmp_path / "mine-test.yaml")
        assert [one.differences for one in cases] == [()] * 4
