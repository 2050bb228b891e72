"""The runbook commands, as an operator types them."""

from credmgr.keyring import Keyring
from tests.acceptance.installation import CLIENT, KEY, PARTNER, Installation


def test_a_rotation_with_its_overlap_ended_by_hand(grown: Installation) -> None:
    old = grown.run("get", KEY).out

    said = grown.run("rotate", KEY).out

    assert "◉ OVERLAP" in said
    new = grown.run("get", KEY).out
    assert new != old
    assert grown.accepts(old)
    assert "already open" in grown.run("rotate", KEY, code=2).err
    said = grown.run("revoke", KEY, "--previous", "--yes").out
    assert "is revoked and refused" in said
    assert not grown.accepts(old)
    assert grown.accepts(new)


def test_rotate_waits_until_the_old_secret_is_dead(home: Installation) -> None:
    home.write(overlap="1s")
    home.grow()

    told = home.json("rotate", KEY, "--wait")

    assert told["state"] == "DONE"
    assert "● DONE" in home.run("rotate", KEY, "--wait").out


def test_rollback_brings_the_old_secret_back(home: Installation) -> None:
    home.write(overlap="1s")
    home.grow()
    assert "no open rotation" in home.run("rollback", CLIENT, code=2).err
    old = home.run("get", CLIENT).out
    home.edit('minimum: "1s", maximum: "1s"', 'minimum: "2s", maximum: "9s"')
    home.run("apply", "--yes")
    home.run("rotate", CLIENT)
    assert home.run("get", CLIENT).out != old

    assert "ABORT" in home.run("rollback", CLIENT, "--wait").out

    assert home.run("get", CLIENT).out == old
    assert home.json("status")["credentials"][1]["state"] is None


def test_a_leaked_secret_is_dead_when_the_command_returns(grown: Installation) -> None:
    old = grown.run("get", KEY).out
    assert "There is nobody to ask" in grown.run("revoke", KEY, "--leaked", code=2).err
    assert grown.accepts(old)

    told = grown.json("revoke", KEY, "--leaked", "--yes")

    assert told["state"] == "DONE"
    assert not grown.accepts(old)
    assert grown.accepts(grown.run("get", KEY).out)


def test_a_retired_credentials_last_secret_is_revoked(grown: Installation) -> None:
    last = grown.run("get", KEY).out
    assert "take it out of the manifest" in grown.run("revoke", KEY, "--yes", code=2).err
    grown.edit("    grants: [{credential: caseforge/api-key, read: [secret]}]", "    grants: []")
    grown.take_out(KEY)
    grown.run("apply", "--yes")

    said = grown.run("revoke", KEY, "--yes").out

    assert "every copy is removed" in said
    assert not grown.accepts(last)
    assert grown.json("list", "--status", "revoked")["credentials"][0]["name"] == KEY
    assert "has no current secret" in grown.run("get", KEY, code=1).err


def test_revoke_takes_one_of_its_options(grown: Installation) -> None:
    said = grown.run("revoke", KEY, "--leaked", "--previous", "--yes", code=2)

    assert "exclude each other" in said.err


def test_a_secret_comes_by_standard_input_and_the_old_ones_end_by_hand(
    home: Installation,
) -> None:
    home.write(overlap="1s")
    home.run("apply", "--yes")
    first = home.new_key()
    told = home.run("import", PARTNER, "--secret-id", first["id"], given=f"{first['value']}\n").out
    assert "● DONE" in told
    assert home.run("get", PARTNER).out == first["value"]

    assert "credmgr import partner/api-key" in home.run("rotate", PARTNER, code=4).out
    second = home.new_key()
    (home.folder / "new-key.txt").write_text(second["value"])
    home.run("import", PARTNER, "--file", "new-key.txt", "--secret-id", second["id"])
    asked = home.run("revoke", PARTNER, "--previous", "--yes", code=4).out
    assert f"Revoke the key named {first['id']}, and no other." in asked

    home.run("resolve", PARTNER, "--revoked", code=4)
    home.call("DELETE", f"/manage/v1/keys/{first['id']}")
    assert "● DONE" in home.run("resolve", PARTNER, "--revoked").out
    assert home.run("get", PARTNER).out == second["value"]


def test_an_import_that_does_not_log_in_changes_nothing(grown: Installation) -> None:
    wrong = "cf_sand_" + "x" * 40

    assert "error" in grown.run("import", PARTNER, given=wrong, code=1).err
    assert wrong not in grown.run("log", "export").out
    assert grown.json("status")["credentials"][2]["rotation"] is None


def test_nothing_is_imported_from_nothing(grown: Installation) -> None:
    for given in ("", "\n", "   \n"):
        assert "nothing was given" in grown.run("import", PARTNER, given=given, code=2).err
    two = grown.run("import", PARTNER, given="one\ntwo\n", code=2)
    assert "line ends or control characters" in two.err
    assert "not UTF-8" in grown.run("import", PARTNER, given=b"\xff\xfe", code=2).err
    assert "at most" in grown.run("import", PARTNER, given="x" * 70_000, code=2).err
    assert "cannot be read" in grown.run("import", PARTNER, "--file", "none", code=2).err


def test_a_decision_needs_to_be_one_and_to_have_a_reason(grown: Installation) -> None:
    assert "exactly one" in grown.run("resolve", PARTNER, code=2).err
    assert "exactly one" in grown.run("resolve", PARTNER, "--retry", "--close", code=2).err
    assert "needs a --reason" in grown.run("resolve", PARTNER, "--abort", code=2).err
    assert "no open rotation" in grown.run("resolve", PARTNER, "--retry", code=2).err
    grown.run("rotate", PARTNER, code=4)
    assert "not parked" in grown.run("resolve", PARTNER, "--retry", code=2).err

    said = grown.run("resolve", PARTNER, "--abort", "--reason", "the partner left", code=1).out

    assert "✗ ABORTED" in said
    assert "the partner left" in grown.run("history", PARTNER).out


def test_reading_a_secret_is_recorded(grown: Installation) -> None:
    grown.environ["CREDMGR_ACTOR"] = "operator:maria"

    assert grown.run("get", KEY).out.startswith("cf_sand_")

    last = grown.json("log", "show", KEY)[-1]
    assert last["action"] == "secret.read"
    assert last["actor"] == "operator:maria"
    assert last["facts"]["place"] == f"local:{KEY}"


def data_keys(home: Installation) -> set[str]:
    """The ids of the keys that values in the two stores are sealed under."""
    keyring = Keyring.open(home.folder / "keyring.json", home.folder / "master.key")
    return {key for store in ("local", "standby") for key in keyring.key_ids(f"local:{store}")}


def test_rekey_changes_the_keys_and_every_value_still_opens(grown: Installation) -> None:
    secret, master = grown.run("get", KEY).out, (grown.folder / "master.key").read_text()

    assert "the master key is now" in grown.run("rekey").out
    assert (grown.folder / "master.key").read_text() != master
    before = data_keys(grown)
    assert grown.json("rekey", "--data")["resealed"] == ["local", "standby"]
    assert not before & data_keys(grown)
    assert "every value in standby" in grown.run("rekey", "--data").out
    said = grown.run("rekey", "--to", "file:other.key").out
    assert "master_key: file:other.key" in said
    assert "does not open this keyring" in grown.run("get", KEY, code=5).err
    grown.edit("file:master.key", "file:other.key")

    assert grown.run("get", KEY).out == secret
    grown.run("log", "verify")


def test_rekey_to_a_key_from_the_environment(grown: Installation) -> None:
    grown.run("init", "donor")
    grown.environ["NEW_MASTER"] = (grown.folder / "donor" / "master.key").read_text().strip()

    grown.run("rekey", "--to", "env:NEW_MASTER")

    grown.edit("file:master.key", "env:NEW_MASTER")
    assert grown.run("get", KEY).out.startswith("cf_sand_")
