"""`status`, `list`, `show`, `history`, `doctor` and `log`, as a user types them."""

import json
import sqlite3
from contextlib import closing

from credmgr.testing.canaries import leaks, new_canary
from tests.acceptance.installation import CLIENT, KEY, PARTNER, Installation

AWAY = '  away: {plugin: vault, address: "http://127.0.0.1:1", token: {token: "env:BAO"}}'


def test_status_shows_every_credential_and_that_no_daemon_runs(grown: Installation) -> None:
    said = grown.run("status").out

    assert "CREDENTIAL" in said
    assert "● active" in said
    assert "no daemon is running" in said


def test_status_tells_scripts_everything(grown: Installation) -> None:
    told = {one["name"]: one for one in grown.json("status")["credentials"]}

    assert told[KEY]["secret_id"].startswith("key_")
    assert told[KEY]["places"] == [f"local:{KEY}", f"standby:{KEY}"]
    assert told[CLIENT]["owner"] == "investigations"
    assert told[PARTNER]["version"] is None


def test_status_asks_a_person_with_the_steps(grown: Installation) -> None:
    assert "credmgr import partner/api-key" in grown.run("rotate", PARTNER, code=4).out

    said = grown.run("status").out

    assert "to do for partner/api-key" in said
    assert "1.  Open Dashboard → Settings → API Keys at CaseForge." in said


def test_list_lets_through_what_fits_every_filter(grown: Installation) -> None:
    def names(*filters: str) -> list[str]:
        return grown.run("list", *filters, "--names").out.splitlines()

    assert names() == [KEY, CLIENT, PARTNER]
    assert names("--owner", "reporting") == [KEY]
    assert names("--kind", "api-key", "--issuer", "caseforge") == [KEY]
    assert names("--env", "development", "--status", "active") == [KEY, CLIENT, PARTNER]
    assert names("--env", "production") == []
    assert "no credential is like that" in grown.run("list", "--env", "production").out
    assert "investigations" in grown.run("list").out
    assert [one["name"] for one in grown.json("list", "--owner", "partners")["credentials"]] == [
        PARTNER
    ]


def test_show_tells_everything_of_one(grown: Installation) -> None:
    grown.run("rotate", KEY)

    said = grown.run("show", KEY).out

    for expected in (
        "scopes",
        "cases:read",
        "◉ OVERLAP since",
        "both secrets work until",
        "current ",
        "previous",
        f"standby:{KEY}",
        "the current secret",
        "nightly-report of reporting reads secret",
    ):
        assert expected in said, expected
    told = grown.json("show", KEY)
    assert [one["status"] for one in told["versions"]] == ["current", "previous"]
    assert told["declaration"]["targets"] == f"standby:{KEY}"


def test_show_of_what_has_no_secret_yet_and_of_a_manual_task(grown: Installation) -> None:
    grown.run("rotate", PARTNER, code=4)

    said = grown.run("show", PARTNER).out

    assert "none yet" in said
    assert "nothing yet" in said
    assert "none is declared" in said
    assert "1.  Open Dashboard" in said


def test_show_says_which_copy_differs_or_cannot_be_read(grown: Installation) -> None:
    (grown.folder / "standby").chmod(0o755)

    copies = {one["place"]: one["holds"] for one in grown.json("show", KEY)["copies"]}

    assert copies[f"local:{KEY}"] == "the current secret"
    assert copies[f"standby:{KEY}"].startswith("cannot be read")


def test_an_unknown_name_is_told(home: Installation) -> None:
    for command in ("show", "history", "rotate", "rollback", "get"):
        assert "no credential is called" in home.run(command, "who/knows", code=2).err
    assert "is not a name" in home.run("show", "Ünfug", code=2).err


def test_history_tells_the_story_with_times(grown: Installation) -> None:
    assert "was never rotated" in grown.run("history", PARTNER).out
    grown.run("rotate", KEY)

    said = grown.run("history", KEY).out

    assert said.index("first secret") < said.index("rotation asked for by an operator")
    assert "new secret issued: key_" in said
    assert "+0." in said
    told = grown.json("history", KEY, "--limit", "1")
    assert [one["trigger"] for one in told] == ["operator"]
    assert told[0]["journal"][0]["event"] == "opened"


def test_the_audit_log_is_shown_exported_and_verified(grown: Installation) -> None:
    shown = grown.run("log", "show", KEY, "--limit", "3").out
    assert "rotation.moved" in shown
    assert CLIENT not in shown
    every = [json.loads(line) for line in grown.run("log", "export").out.splitlines()]
    assert [one["sequence"] for one in every] == list(range(1, len(every) + 1))
    assert [
        one["sequence"] for one in grown.json("log", "show", "--after", "2", "--limit", "2")
    ] == [
        3,
        4,
    ]
    assert grown.json("log", "verify")["records"] == len(every)
    assert f"verified {len(every)} records" in grown.run("log", "verify").out


def test_log_verify_says_which_record_was_changed(grown: Installation) -> None:
    with closing(sqlite3.connect(grown.folder / "state.db")) as database:
        database.execute("DROP TRIGGER IF EXISTS audit_append_only")
        for (trigger,) in database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            database.execute(f"DROP TRIGGER {trigger}")
        database.execute("UPDATE audit SET actor = 'nobody' WHERE sequence = 4")
        database.commit()

    said = grown.run("log", "verify", code=5)

    assert "audit record 4: edited" in said.err
    assert "audit record 4: edited" in grown.run("doctor", code=1).out


def test_doctor_is_content_with_a_good_installation(grown: Installation) -> None:
    told = grown.json("doctor")

    verdicts = {one["subject"]: one["verdict"] for one in told["checks"]}
    assert told["good"]
    assert verdicts == {
        **dict.fromkeys(
            (
                "manifest",
                "files",
                "keyring",
                "database",
                "audit",
                "credentials",
                "applied",
                "rotations",
                "backend local",
                "backend local limits",
                "backend local values",
                "backend standby",
                "backend standby limits",
                "backend standby values",
                "issuer caseforge",
                "issuer dashboard",
                "notifier log",
            ),
            "ok",
        ),
        "daemon": "warn",
    }


def test_doctor_says_what_to_mend_and_goes_on(grown: Installation) -> None:
    grown.edit("notifiers: {log: {plugin: log}}\n", "")
    grown.edit("owner: partners", "owner: somebody")
    grown.run("rotate", PARTNER, code=4)
    (grown.folder / "master.key").chmod(0o640)
    (grown.folder / "sandbox.token").write_text("wrong")

    said = grown.run("doctor", code=1).out

    assert f"chmod 600 {grown.folder}/master.key" in said
    assert "not looked at without the keyring" in said
    assert "nobody hears of alerts" in said
    assert "✗  issuer caseforge" in said
    (grown.folder / "master.key").chmod(0o600)
    said = grown.run("doctor", code=1).out
    assert "the manifest differs: partner/api-key" in said
    assert "a person has to act: partner/api-key" in said
    assert "none is running" in said


def test_doctor_opens_every_sealed_value_and_names_a_broken_one(grown: Installation) -> None:
    secret = grown.run("get", KEY).out
    file = next(
        path for path in grown.folder.rglob("*") if path.is_file() and "api-key" in path.name
    )
    content = bytearray(file.read_bytes())
    content[-40] ^= 1
    file.write_bytes(content)

    said = grown.run("doctor", code=1)

    assert f"do not open: {KEY} (corrupt_secret)" in said.out
    assert secret not in said.out + said.err


def test_doctor_begins_with_the_manifest(home: Installation) -> None:
    home.edit("scopes:", "scpoes:")

    said = home.run("doctor", code=1).out

    assert "1 mistake; the first" in said
    assert "→ credmgr check" in said


def test_doctor_tells_a_database_that_is_not_there(home: Installation) -> None:
    (home.folder / "state.db").unlink()

    assert "`credmgr apply` makes it" in home.run("doctor", code=1).out
    assert "does not exist" in home.run("status", code=3).err


def test_backends_list_shows_what_each_is_like_and_what_does_not_work(
    grown: Installation,
) -> None:
    said = grown.run("backends", "list").out
    assert "cas, versions" in said
    assert "✓ works" in said

    grown.edit("  standby:", f"{AWAY}\n  standby:")
    grown.edit("notifiers:", "sinks: {out: {plugin: file, path: out}}\nnotifiers:")
    canary = new_canary()
    grown.environ["BAO"] = canary
    (grown.folder / "state.db").unlink()  # it needs none
    told = {one["name"]: one for one in grown.json("backends", "list")["backends"]}

    assert [told[name]["healthy"] for name in ("local", "standby", "away", "out")] == [
        True,
        True,
        False,
        True,
    ]
    assert "printable ASCII" in told["away"]["problem"]
    assert told["local"]["capabilities"] == ["cas", "versions"]
    assert (told["out"]["kind"], told["out"]["capabilities"]) == ("sink", [])
    shown = grown.run("backends", "list").out
    assert "✗ backend away" in shown
    assert not leaks(canary, f"{shown}{told}")


def test_backends_list_goes_on_without_the_keyring(grown: Installation) -> None:
    (grown.folder / "master.key").unlink()
    told = {one["name"]: one for one in grown.json("backends", "list")["backends"]}

    assert not told["local"]["healthy"]
    assert "keyring does not open" in told["local"]["problem"]
