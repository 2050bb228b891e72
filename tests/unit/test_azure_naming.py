"""How names are spelled in a Key Vault."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credmgr.backends.azure_key_vault.naming import LONGEST, STAGED, Naming, spelled, unspelled
from credmgr.errors import InvalidName, LimitExceeded
from credmgr.model.names import Name

SEGMENTS = st.from_regex(r"[a-z0-9][a-z0-9-]{0,9}", fullmatch=True)
DASHED = st.from_regex(r"[ab][a-]{0,5}", fullmatch=True)
NAMES = st.lists(SEGMENTS | DASHED, min_size=1, max_size=5).map("/".join).map(Name)


@given(NAMES)
def test_a_spelling_leads_back_to_its_name(name: Name) -> None:
    assert unspelled(spelled(name)) == name


@given(NAMES)
def test_a_spelling_is_of_a_vaults_alphabet_and_ignores_case(name: Name) -> None:
    assert re.fullmatch(r"[0-9a-z-]+", spelled(name))


@given(NAMES, NAMES)
def test_no_two_names_are_spelled_alike(one: Name, two: Name) -> None:
    assert (spelled(one) == spelled(two)) is (one == two)


@given(NAMES, NAMES)
def test_what_is_staged_collides_with_no_name(one: Name, two: Name) -> None:
    assert spelled(one) + STAGED != spelled(two)


@given(NAMES)
def test_no_name_is_spelled_as_something_staged(name: Name) -> None:
    with pytest.raises(InvalidName):
        unspelled(spelled(name) + STAGED)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("caseforge/api-key", "caseforge--api-key"),
        ("a--b", "a---b"),
        ("a-/b", "a----b"),
        ("a--/b", "a------b"),
        ("a-", "a-"),
    ],
)
def test_names_stay_readable(name: str, expected: str) -> None:
    assert spelled(Name(name)) == expected


def test_the_probe_is_no_names_and_nothing_staged() -> None:
    probe = Naming().probe
    assert not probe.endswith(STAGED)
    with pytest.raises(InvalidName):
        unspelled(probe)


def test_a_name_to_try_writing_on_is_nobodys() -> None:
    naming = Naming("p" * 40)
    one, two = naming.unused, naming.unused
    assert one != two
    assert len(one) <= LONGEST
    with pytest.raises(InvalidName):
        unspelled(one.removeprefix("p" * 40))


def test_a_spelling_that_is_too_long_is_refused() -> None:
    room = LONGEST - len("pre-") - len(STAGED)
    longest = Name("a" * 60 + "/" + "b" * (room - 62))
    assert len(Naming("pre-").of(longest).sibling) == LONGEST
    with pytest.raises(LimitExceeded, match="takes 128 characters in Key Vault; at most 127 fit"):
        Naming("pre-").of(Name(longest + "b"))
