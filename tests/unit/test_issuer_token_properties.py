"""Whatever a token endpoint answers becomes a token that is safe to share, or a quiet refusal."""

import json
from base64 import urlsafe_b64encode
from datetime import timedelta
from typing import Any, Final

from hypothesis import example, given
from hypothesis import strategies as st

from credmgr.errors import InvalidAnswer
from credmgr.issuers.client_credentials import LONGEST_LIFE
from credmgr.model.token import Token
from credmgr.testing.canaries import everything_in
from tests.issuer_world import SCOPES
from tests.unit.test_issuer_client_credentials import GOOD, minted

CANARY: Final = "cnry-5e0b41d7"
SCALARS: Final = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
ANYTHING: Final = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
LIVES: Final = ANYTHING | st.integers(-10, 10**6) | st.integers(-10, 10**6).map(str)
WORDS: Final = st.sampled_from([*SCOPES, "cases:write", "", " ", "\t", "é", '"'])
ANSWERS: Final = st.fixed_dictionaries(
    {},
    optional={
        "access_token": ANYTHING | st.just(f"{CANARY}.a.b") | st.text("abc.-_~+/= \n", max_size=20),
        "token_type": ANYTHING | st.sampled_from(["Bearer", "bearer", "DPoP", "N_A", "mac"]),
        "expires_in": LIVES,
        "scope": ANYTHING | st.lists(WORDS, max_size=4).map(" ".join),
        "cnf": ANYTHING,
        "refresh_token": st.just(CANARY),
    },
)


def outcome(body: Any, scopes: frozenset[str] = SCOPES) -> Token | InvalidAnswer:
    try:
        return minted(body, scopes)
    except InvalidAnswer as error:
        return error


def assert_sound(token: Token, body: dict[str, Any]) -> None:
    assert token.value.reveal() == body["access_token"]
    assert token.value.reveal().isascii()
    assert token.value.reveal().isprintable()
    assert " " not in token.value.reveal()
    assert str(body["token_type"]).lower() == "bearer"
    assert body.get("cnf") is None
    life = token.expires_at - token.issued_at
    assert timedelta(0) < life <= LONGEST_LIFE
    assert life <= timedelta(seconds=int(body["expires_in"]))
    assert token.scopes <= SCOPES


@given(ANSWERS)
@example(GOOD)
@example({**GOOD, "scope": "cases:read"})
def test_an_answer_is_a_sound_token_or_a_quiet_refusal(body: dict[str, Any]) -> None:
    found = outcome(body)
    if isinstance(found, Token):
        assert_sound(found, body)
    else:
        assert CANARY not in everything_in(found)


@given(st.sampled_from(sorted(GOOD)), ANYTHING)
def test_one_wrong_member_is_enough_to_be_refused(name: str, value: Any) -> None:
    found = outcome({**GOOD, name: value})
    if isinstance(found, Token):
        assert_sound(found, {**GOOD, name: value})


@given(ANYTHING)
def test_what_is_no_object_is_refused(body: Any) -> None:
    if not isinstance(body, dict):
        assert isinstance(outcome(body), InvalidAnswer)


@given(st.integers())
def test_a_life_is_that_of_the_answer_or_a_day_and_never_none(seconds: int) -> None:
    found = outcome({**GOOD, "expires_in": seconds})
    assert isinstance(found, Token) == (seconds > 0)
    if isinstance(found, Token):
        longest = int(LONGEST_LIFE.total_seconds())
        life = found.expires_at - found.issued_at
        assert life == timedelta(seconds=min(seconds, longest))


@given(st.frozensets(WORDS.filter(str.strip)), st.frozensets(WORDS.filter(str.strip)))
def test_no_scope_comes_that_nobody_asked_for(
    asked: frozenset[str], granted: frozenset[str]
) -> None:
    found = outcome({**GOOD, "scope": " ".join(sorted(granted))}, asked)
    if isinstance(found, Token) and asked:
        assert found.scopes == granted
        assert granted <= asked


@given(st.dictionaries(st.sampled_from(["cnf", "sub", "aud"]), ANYTHING))
def test_a_jwt_that_is_bound_to_its_sender_is_refused(claims: dict[str, Any]) -> None:
    raw = urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    found = outcome({**GOOD, "access_token": f"eyJ.{raw}.sig"})
    assert isinstance(found, Token) == (claims.get("cnf") is None)
