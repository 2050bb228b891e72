"""A fresh token stands where consumers can only read, and goes when it is declared no more."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from credmgr.distribution.tokens import Minting, TokenKeeper
from credmgr.distribution.writing import Pen
from credmgr.errors import AccessDenied, TokenUnavailable
from credmgr.model.credential import Place
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.model.token import Token, TokenForm, TokenPlace
from credmgr.model.version import Stage
from tests.rotation_world import FILE, FINGERPRINTER, FIRST, NAME, World, world_in

HOUR = timedelta(hours=1)
IN_FILE = TokenPlace(NAME, Place(FILE, Name("app/token")))
IN_STORE = TokenPlace(NAME, Place(FIRST, Name("app/token")), form=TokenForm.JSON)


class Town:
    """A world with a broker in it, as far as the keeping of tokens sees one."""

    def __init__(self, world: World) -> None:
        self.world, self.minted = world, 0
        self.fails: Exception | None = None
        self.keeper = self.another("here")

    def another(self, owner: str) -> TokenKeeper:
        ledger, book = self.world.store.ledger, self.world.store.tokens
        keeper = TokenKeeper(Minting(self.mint, ledger, book, self.world.clock, owner, "daemon@x"))
        self.declare(IN_FILE, IN_STORE, keeper=keeper)
        return keeper

    def declare(self, *places: TokenPlace, keeper: TokenKeeper | None = None) -> None:
        pen = Pen(self.world, FINGERPRINTER)
        (keeper or self.keeper).adopt({NAME: self.world.credential}, {NAME: places}, pen)

    def mint(self, place: TokenPlace) -> Token:
        if self.fails is not None:
            raise self.fails
        now = self.world.clock.now()
        value = Secret(f"token-{self.minted}")
        return Token(value, place.scopes | {"cases:read"}, now, now + HOUR)

    def in_file(self) -> str | None:
        found = self.world.sinks[FILE].value(Name("app/token"))
        return found.reveal() if found else None

    def in_store(self) -> dict[str, str]:
        text = self.world.backends[FIRST].read(Name("app/token")).secret.reveal()
        found: dict[str, str] = json.loads(text)
        return found

    def findings(self) -> list[str]:
        return [one.key for one in self.world.store.ledger.findings(open_only=True)]


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with world_in(tmp_path) as world:
        yield Town(world)


def test_a_token_is_written_once_and_again_when_there_is_another(town: Town) -> None:
    assert town.keeper.turn() == 2
    assert town.in_file() == "token-0"
    assert town.in_store() == {
        "access_token": "token-0",
        "token_type": "Bearer",
        "expires_at": (town.world.clock.now() + HOUR).isoformat(timespec="seconds"),
        "scope": "cases:read",
    }
    assert town.keeper.turn() == 0

    town.minted += 1
    assert town.keeper.turn() == 2
    assert town.in_file() == town.in_store()["access_token"] == "token-1"
    held = town.world.backends[FIRST].versions(Name("app/token"))
    assert [one.stage for one in held] == [Stage.CURRENT]


def test_after_a_start_it_is_written_anew(town: Town) -> None:
    town.keeper.turn()
    town.minted += 1
    town.world.clock.advance(timedelta(minutes=2))

    assert town.another("after the start").turn() == 2

    assert town.in_file() == "token-1"


def test_one_process_keeps_a_place_until_it_is_silent(town: Town) -> None:
    town.keeper.turn()
    other = town.another("there")
    assert other.turn() == 0

    town.world.clock.advance(timedelta(seconds=61))

    assert other.turn() == 2
    assert town.keeper.turn() == 0


def test_what_is_declared_no_more_is_removed(town: Town) -> None:
    town.keeper.turn()
    town.declare(IN_STORE)

    town.keeper.turn()

    assert town.in_file() is None
    assert town.in_store()["access_token"] == "token-0"  # noqa: S105 (made up)
    town.declare()
    town.keeper.turn()
    assert town.world.backends[FIRST].versions(Name("app/token")) == []
    assert town.world.store.tokens.hold("anybody", town.world.clock.now(), HOUR) == ()


def test_what_was_written_before_a_crash_is_removed_after_it(town: Town) -> None:
    town.keeper.turn()
    town.world.clock.advance(timedelta(minutes=2))
    later = town.another("later")
    town.declare(keeper=later)

    later.turn()

    assert town.in_file() is None


def test_an_outage_is_told_after_three_tries_and_ends_by_itself(town: Town) -> None:
    town.fails = TokenUnavailable("the issuer is down", retry_after=timedelta(seconds=1))
    for tries in range(1, 4):
        town.keeper.turn()
        assert len(town.findings()) == (2 if tries == 3 else 0)
        town.keeper.turn()  # too early, and so no try
        town.world.clock.advance(timedelta(minutes=1))
    assert town.findings()[0].startswith(f"token-copy/{NAME}/")

    town.fails = None
    assert town.keeper.turn() == 2
    assert town.findings() == []


def test_a_refusal_is_told_at_once_and_once(town: Town) -> None:
    town.fails = AccessDenied("no permission")
    for _ in range(4):
        town.keeper.turn()
        town.world.clock.advance(timedelta(minutes=6))

    assert len(town.findings()) == 2


def test_a_place_that_cannot_be_cleared_is_told_without_an_owner(town: Town) -> None:
    town.keeper.turn()
    town.declare(IN_STORE)
    town.world.sinks[FILE]._marks.clear()  # somebody else's now

    town.keeper.turn()

    assert town.findings() == [f"token-copy/{NAME}/file/app/token"]


def test_no_token_is_in_the_state_database(town: Town, tmp_path: Path) -> None:
    town.keeper.turn()

    files = [path.read_bytes() for path in tmp_path.glob("state.db*")]
    assert files
    assert not any(b"token-0" in content for content in files)


def test_a_place_may_have_scopes_of_its_own(town: Town) -> None:
    narrow = replace(IN_STORE, scopes=frozenset({"sar:read"}))
    town.declare(narrow)

    town.keeper.turn()

    assert town.in_store()["scope"] == "cases:read sar:read"
