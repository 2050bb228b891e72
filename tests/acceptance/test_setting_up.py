"""`init`, `check`, `plan` and `apply`, as a user types them."""

import stat

import pytest

from tests.acceptance.installation import CLIENT, KEY, Installation


def test_init_makes_a_private_folder_and_says_what_comes_next(home: Installation) -> None:
    said = home.run("init", "fresh")

    fresh = home.folder / "fresh"
    assert stat.S_IMODE(fresh.stat().st_mode) == 0o700
    for name in ("credmgr.yaml", "master.key", "keyring.json", "state.db"):
        assert stat.S_IMODE((fresh / name).stat().st_mode) == 0o600, name
    assert f"CREDMGR_MANIFEST={fresh}/credmgr.yaml" in said.out
    assert "credmgr apply" in said.out
    home.run("--manifest", "fresh/credmgr.yaml", "check")


def test_init_overwrites_nothing(home: Installation) -> None:
    before = (home.folder / "master.key").read_bytes()

    said = home.run("init", ".", code=2)

    assert "already holds credmgr.yaml, master.key" in said.err
    assert (home.folder / "master.key").read_bytes() == before


def test_init_refuses_a_folder_that_others_can_enter(home: Installation) -> None:
    shared = home.folder / "shared"
    shared.mkdir(mode=0o755)
    (shared / "something").touch()

    assert f"chmod 700 {shared.name}" in home.run("init", "shared", code=2).err
    assert [one.name for one in shared.iterdir()] == ["something"]


def test_init_says_it_when_there_is_no_place(home: Installation) -> None:
    (home.folder / "file").touch()

    assert "cannot be used" in home.run("init", "file", code=2).err


def test_init_tells_scripts_where_the_manifest_is(home: Installation) -> None:
    assert home.json("init", "fresh")["manifest"] == str(home.folder / "fresh/credmgr.yaml")


def test_check_finds_every_mistake_with_its_line(home: Installation) -> None:
    assert "good" in home.run("check").out
    home.edit("scopes:", "scpoes:")
    home.edit("[standby]", "[nowhere]")

    said = home.run("check", code=2)

    assert "credmgr.yaml:27:5 unknown key `scpoes`" in said.err
    assert "did you mean `scopes`?" in said.err
    assert "mistakes" in said.err


def test_check_tells_scripts_the_same(home: Installation) -> None:
    assert home.json("check")["credentials"] == [KEY, CLIENT, "partner/api-key"]
    home.edit("scopes:", "scpoes:")

    told = home.json("check", code=2)

    assert told["good"] is False
    assert told["problems"][0]["line"] == 27


def test_plan_then_apply_then_nothing_to_change(home: Installation) -> None:
    assert "+ caseforge/api-key is new" in home.run("plan").out
    home.run("plan", "--exit-code", code=10)
    added = {one["credential"]: one["action"] for one in home.json("plan")["changes"]}
    assert added == dict.fromkeys((KEY, CLIENT, "partner/api-key"), "add")

    assert "applied" in home.run("apply", "--yes").out

    assert "nothing to change" in home.run("plan", "--exit-code").out
    assert "nothing to change" in home.run("apply").out
    assert home.json("apply") == {"applied": []}


def test_apply_asks_and_does_nothing_where_nobody_answers(home: Installation) -> None:
    said = home.run("apply", code=2)

    assert "+ caseforge/api-key" in said.out
    assert "--yes" in said.err
    assert home.json("status")["credentials"] == []
    assert "no credential is known yet" in home.run("status").out


def test_a_change_is_shown_with_what_follows(grown: Installation) -> None:
    grown.edit('["cases:read", "cases:write"]', '["cases:read"]')

    said = grown.run("plan").out

    assert f"~ {CLIENT} changes" in said
    assert "scopes: cases:read, cases:write → cases:read" in said
    assert "the next secret, and tokens made from now on, have the new scopes" in said


def test_what_would_be_lost_from_sight_is_refused(grown: Installation) -> None:
    grown.edit("app_8v3k9m", "app_000000")

    said = grown.run("apply", "--yes", code=2)

    assert f"! {CLIENT} cannot change like this" in said.out
    assert "lost from sight" in said.err
    assert "nothing to change" not in said.out
    changes = grown.json("plan")["changes"]
    assert [one["action"] for one in changes] == ["refused"]


def test_a_credential_taken_out_is_retired_and_can_come_back(grown: Installation) -> None:
    grown.take_out(CLIENT)

    said = grown.run("apply", "--yes").out

    assert f"- {CLIENT} is retired" in said
    assert f"its live secret stays valid until `credmgr revoke {CLIENT}`" in said
    assert grown.run("list", "--status", "retired", "--names").out == f"{CLIENT}\n"
    grown.write()
    assert f"+ {CLIENT} is declared again" in grown.run("apply", "--yes").out


@pytest.mark.parametrize("command", ["plan", "apply", "status", "show x", "run", "rotate x"])
def test_a_wrong_manifest_stops_every_command_before_it_does_anything(
    home: Installation, command: str
) -> None:
    home.edit("plugin:", "plugn:")

    assert "mistake" in home.run(*command.split(), code=2).err


def test_a_missing_manifest_is_a_plain_message(home: Installation) -> None:
    said = home.run("--manifest", "nowhere.yaml", "status", code=2)

    assert "nowhere.yaml cannot be read: no such file or directory" in said.err


def test_a_missing_or_wrong_master_key_is_told_and_nothing_is_written(home: Installation) -> None:
    key = home.folder / "master.key"
    database = (home.folder / "state.db").read_bytes()
    good = key.read_text()

    key.unlink()
    assert "there is no master key" in home.run("apply", "--yes", code=5).err
    home.run("init", "other")
    key.write_text((home.folder / "other" / "master.key").read_text())
    key.chmod(0o600)
    assert "does not open this keyring" in home.run("apply", "--yes", code=5).err
    assert (home.folder / "state.db").read_bytes() == database
    key.write_text(good)
    home.run("apply", "--yes")
