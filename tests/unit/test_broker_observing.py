"""What tokens were really like is kept for the policy's rules, and written when it changes."""

from datetime import timedelta

from credmgr.broker.observing import Sightings
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.model.subject import Topic
from credmgr.model.token import Token, TokenRequest
from credmgr.testing import FakeClock
from tests.broker_world import World

NAME = Name("caseforge/client-secret")


def asked(*scopes: str) -> TokenRequest:
    return TokenRequest(frozenset(scopes))


def given(*scopes: str, life: timedelta = timedelta(hours=1)) -> Token:
    now = FakeClock().now()
    return Token(Secret("t"), frozenset(scopes), now, now + life)


def told(world: World) -> dict[Topic, tuple[str, ...]]:
    found = {topic: details for _, topic, details in world.observed}
    world.observed.clear()
    return found


def test_scopes_are_in_doubt_until_a_token_has_them_right() -> None:
    world = World()
    sightings = Sightings(world)
    sightings.minted(NAME, asked("cases:read", "sar:read"), given("cases:read", "sar:write"))
    sightings.write()
    assert told(world) == {
        Topic.UNASKED: ("sar:write",),
        Topic.MISSING: ("sar:read",),
        Topic.TOKEN_LIFE: ("3600.0",),
    }

    sightings.minted(NAME, asked("cases:read"), given("cases:read"))
    sightings.write()
    assert told(world) == {Topic.UNASKED: ()}

    sightings.minted(NAME, asked("sar:read"), given("sar:read"))
    sightings.write()
    assert told(world) == {Topic.MISSING: ()}


def test_who_asks_for_nothing_in_particular_is_not_compared() -> None:
    world = World()
    sightings = Sightings(world)

    sightings.minted(NAME, asked(), given("anything"))
    sightings.write()

    assert told(world)[Topic.UNASKED] == ()


def test_what_is_as_before_is_not_written_again() -> None:
    world = World()
    sightings = Sightings(world)
    for _ in range(2):
        sightings.minted(NAME, asked("a"), given("a"))
        sightings.write()
    assert len(world.observed) == 3
    world.observed.clear()

    sightings.minted(NAME, asked("a"), given("a", life=timedelta(hours=2)))
    sightings.write()

    assert told(world) == {Topic.TOKEN_LIFE: ("7200.0",)}
