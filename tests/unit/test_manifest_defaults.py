"""What credentials say unless they say otherwise."""

from datetime import time, timedelta
from pathlib import Path

import pytest

from credmgr.model.credential import Environment, Overlap, Window
from credmgr.model.names import Name
from tests.manifest_world import GOOD, read, refusals


def test_defaults_are_merged_under_each_credential(tmp_path: Path) -> None:
    text = GOOD.replace("    owner: payments-team\n", "").replace(
        "    store: local\n",
        """\
    rotation: {overlap: {minimum: 2h}}
  caseforge/by-hand: {kind: api-key, issuer: caseforge, owner: other-team,
                      environment: test, store: other, rotation: {manual: true}}
  caseforge/plain: {kind: api-key, issuer: caseforge}
defaults:
  owner: payments-team
  environment: staging
  store: local
  rotation: {every: 30d, overlap: {minimum: 1h, maximum: 3d}}
""",
    )

    credentials = read(tmp_path, text).credentials
    own, by_hand, plain = (
        credentials[Name(f"caseforge/{name}")] for name in ("api-key", "by-hand", "plain")
    )

    assert (own.owner, own.environment, own.store.backend) == (
        "payments-team",
        Environment.DEVELOPMENT,
        "local",
    )
    assert own.policy.schedule.every == timedelta(days=30)
    assert own.policy.overlap == Overlap(timedelta(hours=2), timedelta(days=3))
    assert (by_hand.owner, by_hand.store.backend) == ("other-team", "other")
    assert by_hand.policy.schedule.manual_only
    assert by_hand.policy.overlap.maximum == timedelta(days=3)
    assert plain.environment is Environment.STAGING


def test_a_schedule_of_its_own_overrides_manual_by_default(tmp_path: Path) -> None:
    text = GOOD + "    rotation: {every: 30d}\ndefaults: {rotation: {manual: true}}\n"

    credential = read(tmp_path, text).credentials[Name("caseforge/api-key")]

    assert credential.policy.schedule.every == timedelta(days=30)


def test_a_mistake_in_the_defaults_is_told_once_and_there(tmp_path: Path) -> None:
    text = GOOD + (
        "  other: {kind: api-key, issuer: caseforge, owner: o, environment: test, store: other}\n"
        "  odd: {kind: api-key, issuer: caseforge, owner: o, environment: test, store: local,\n"
        "        rotation: 5}\n"
        "  none: 5\n"
        "defaults: {rotation: {overlap: {minimum: 9d}, retry: {attempts: '3'}, zone: 1}}\n"
    )

    assert refusals(tmp_path, text) == [
        "credmgr.yaml:17:19: expected a mapping, found `5`",
        "credmgr.yaml:18:9: expected a mapping, found `5`",
        "credmgr.yaml:19:65: expected a whole number, found text",
        'credmgr.yaml:19:77: expected text, but YAML reads `1` as a number; quote it: "1"',
    ]


def test_lists_in_the_defaults_are_taken_whole(tmp_path: Path) -> None:
    own = '    rotation: {windows: [{start: "03:00", end: "04:00"}]}\n'
    given = 'defaults: {rotation: {windows: [{start: "01:00", end: 5}]}}\n'

    assert refusals(tmp_path, GOOD + own + given) == [
        'credmgr.yaml:16:55: expected text, but YAML reads `5` as a number; quote it: "5"'
    ]
    given = given.replace("5}", '"02:00"}')
    credential = read(tmp_path, GOOD + own + given).credentials[Name("caseforge/api-key")]
    assert credential.policy.schedule.windows == (Window(frozenset(range(1, 8)), time(3), time(4)),)


@pytest.mark.parametrize("section", ["defaults: 5\n", "defaults: {rotation: 5}\n"])
def test_defaults_that_are_no_mapping_are_told_once(tmp_path: Path, section: str) -> None:
    assert len(refusals(tmp_path, GOOD + section)) == 1
