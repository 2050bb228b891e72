"""`credmgr consumer`: a bearer is shown once, and a hash of it is all that is kept."""

import hashlib
import re
import sqlite3
from contextlib import closing

from tests.acceptance.installation import Installation

NAME = "nightly-report"


def hashes(home: Installation) -> set[str]:
    with closing(sqlite3.connect(home.folder / "state.db")) as database:
        return {row[0] for row in database.execute("SELECT digest FROM bearers")}


def test_a_bearer_is_shown_once_and_its_hash_is_kept(grown: Installation) -> None:
    said = grown.run("consumer", "add", NAME)
    value = said.out.strip()
    assert re.fullmatch(r"credmgr_[A-Za-z0-9_-]{43}", value)
    assert "shown once" in said.err
    assert hashes(grown) == {hashlib.sha256(value.encode()).hexdigest()}
    again = grown.run("consumer", "add", NAME, code=2)
    assert f"credmgr consumer rotate {NAME}" in again.err
    everything = "".join(
        path.read_bytes().decode("latin-1") for path in grown.folder.rglob("*") if path.is_file()
    )
    assert value not in everything


def test_a_rotated_one_goes_on_for_the_overlap(grown: Installation) -> None:
    first = grown.json("consumer", "add", NAME)["bearer"]
    second = grown.json("consumer", "rotate", NAME, "--overlap", "30m")["bearer"]
    assert first != second
    (listed,) = grown.json("consumer", "list")["consumers"]
    assert [one["expires_at"] is None for one in listed["bearers"]] == [True, False]
    assert "since" in grown.run("consumer", "list").out
    assert grown.json("consumer", "remove", NAME) == {"consumer": NAME, "ended": 2}
    assert grown.run("consumer", "remove", NAME).out == f"{NAME}: no bearers ended\n"
    assert hashes(grown) == set()


def test_what_cannot_be_is_told(grown: Installation) -> None:
    assert "no consumer nobody" in grown.run("consumer", "add", "nobody", code=2).err
    assert "no consumer nobody" in grown.run("consumer", "remove", "nobody", code=2).err
    wrong = grown.run("consumer", "rotate", NAME, "--overlap", "5", code=2)
    assert "--overlap" in wrong.err


def test_a_bearer_of_a_consumer_that_is_gone_is_pointed_out(grown: Installation) -> None:
    grown.run("consumer", "add", NAME)
    grown.edit("  nightly-report:\n", "  other:\n")
    assert f"{NAME} has a bearer" in grown.run("consumer", "list").err
    assert grown.run("consumer", "remove", NAME).out == f"{NAME}: 1 bearer ended\n"


def test_a_bearer_on_the_command_line_or_in_the_manifest_is_refused(grown: Installation) -> None:
    value = grown.run("consumer", "add", NAME).out.strip()
    assert "argument" in grown.run("get", value, code=2).err
    grown.edit("owner: reporting", f"owner: {value}")
    refused = grown.run("check", code=2)
    assert "a consumer's bearer token is written into the manifest" in refused.err
    assert value not in refused.err
