"""Three findings from opening to end: a sweep, each channel, a person's remedy, the end told."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from credmgr.model.rotation import State
from credmgr.policy.digest import ENDED
from credmgr.rotation.runbook import Runbook
from credmgr.testing.canaries import leaks
from tests.integration.findings_world import (
    AGED,
    ALSO,
    CASES,
    CHANNELS,
    CLIENT,
    CLIENT_IN_PRODUCTION,
    EXPOSED,
    KEY_IN_PRODUCTION,
    MINUTE,
    MISPLACED,
    OLD,
    TOO_MUCH,
    WIDE,
    Case,
    World,
    findings_world,
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An installation in which all three have just been opened."""
    with findings_world(tmp_path) as made:
        yield made


@pytest.mark.parametrize("channel", CHANNELS)
def test_each_is_opened_by_a_sweep_and_told_with_its_owner_and_what_to_do(
    world: World, channel: str
) -> None:
    assert world.open_keys() == {*(case.key for case in CASES), ALSO}
    for case in CASES:
        told = world.about(case, channel, resolved=False)
        assert told.title.endswith(case.text)
        assert case.remedy in told.body.splitlines()
        assert f"Seen: credmgr ack {case.key}" in told.body.splitlines()
        assert world.history(case.key) == ["finding.opened"]


def test_a_mail_says_in_its_subject_how_bad_it_is(world: World) -> None:
    subjects = {str(one["Subject"]) for one in world.mail.mails}
    assert subjects == {f"[{case.severity}] {case.text}" for case in CASES}


def test_what_two_packs_find_of_one_cause_is_one_message(world: World) -> None:
    for channel in ("hook", "mail"):
        assert len(world.heard(channel)) == len(CASES)
        told = world.about(EXPOSED, channel, resolved=False)
        assert f"Also: warning [{ALSO}]" in told.body.splitlines()
    alerts = [one for _, body in world.hook.heard for one in json.loads(body)["alerts"]]
    logged = [one.key for one in world.heard("log")]
    for keys in ([one["key"] for one in alerts], logged):
        assert sorted(keys) == sorted([*(case.key for case in CASES), ALSO])


def ended(world: World, case: Case, said: str = ENDED) -> None:
    """The end of one finding is known here and was told by every channel, and no other's."""
    (known,) = world.app.store.ledger.findings_of(case.key)
    assert known.resolved_at
    assert world.history(case.key) == ["finding.opened", "finding.resolved"]
    for channel in CHANNELS:
        told = world.about(case, channel, resolved=True)
        assert told.title == f"Resolved: {case.text}"
        assert said in told.body.splitlines()
    others = {one.key for one in CASES} - {case.key}
    assert others <= world.open_keys()
    assert not others & {one.key for one in world.heard("log") if one.resolved}


def test_an_old_key_is_rotated_and_its_end_is_told(world: World) -> None:
    old = world.value(OLD)
    assert world.serves(old)
    with world.operator() as app:
        Runbook(app.engine).rotate(OLD)
    world.run(10 * MINUTE)
    (row,) = world.app.store.ledger.rotations(OLD, 1)
    assert row.state is State.DONE
    assert (world.serves(old), world.serves(world.value(OLD))) == (False, True)
    ended(world, AGED)


def test_a_scope_too_broad_is_narrowed_and_its_end_is_told(world: World) -> None:
    world.apply(TOO_MUCH, '["cases:read", "alerts:read"]')
    world.run(10 * MINUTE)
    ended(world, WIDE)


def test_an_api_key_in_production_gives_way_to_an_application_and_its_end_is_told(
    world: World,
) -> None:
    key = world.value(MISPLACED)
    wanted = {"name": "console", "scopes": ["cases:read"], "environment": "live"}
    registered = world.box.manage("POST", "/applications", wanted).json()
    client = CLIENT_IN_PRODUCTION.format(client_id=registered["client_id"])
    world.apply(KEY_IN_PRODUCTION, KEY_IN_PRODUCTION + client)
    world.run(MINUTE)
    world.value(CLIENT)
    assert EXPOSED.key in world.open_keys()
    world.apply(KEY_IN_PRODUCTION, "")
    world.run(10 * MINUTE)
    assert world.serves(key)
    ended(
        world,
        EXPOSED,
        f"{MISPLACED} is in the manifest no more, but its secret lives until:"
        f" credmgr revoke {MISPLACED}",
    )
    with world.operator() as app:
        Runbook(app.engine).retire(MISPLACED)
    world.run(MINUTE)
    assert not world.serves(key)
    assert world.open_keys() == {AGED.key, WIDE.key}


def test_an_exempted_finding_is_told_as_one_whose_cause_is_still_there(world: World) -> None:
    until = world.clock.now() + timedelta(days=30)
    with world.operator() as app:
        app.store.ledger.exempt_finding(WIDE.key, until, "until the migration", "operator:ann")
    world.run(10 * MINUTE)
    for channel in CHANNELS:
        told = world.about(WIDE, channel, resolved=True)
        assert told.title == f"Exempted: {WIDE.text}"
        assert "says operator:ann: until the migration" in told.body
        assert ENDED not in told.body
    assert WIDE.key in world.open_keys()
    world.clock.advance(timedelta(days=30))
    world.run(10 * MINUTE)
    again = [one for one in world.heard("hook") if one.key == WIDE.key and not one.resolved]
    assert len(again) == 2


def test_no_secret_is_in_anything_that_was_received_or_logged(world: World) -> None:
    with world.operator() as app:
        Runbook(app.engine).rotate(OLD)
    world.apply(TOO_MUCH, '["cases:read"]')
    world.apply(KEY_IN_PRODUCTION, "")
    world.run(10 * MINUTE)
    assert world.open_keys() == set()
    world.value(OLD)
    everything = world.everything()
    assert all(everything.count(case.key) >= 2 * len(CHANNELS) for case in CASES)
    assert len(world.values) == 7
    assert not [value[:9] for value in world.values if leaks(value, everything)]
    assert not [value[:9] for value in world.values if leaks(value[9:], everything)]
