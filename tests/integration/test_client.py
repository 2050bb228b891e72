"""`credmgr.client` against a credmgr that serves, and straight against an issuer."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from credmgr.client import (
    ClientCredentials,
    Daemon,
    NotGranted,
    NotLetIn,
    ScopeNotGranted,
    SecretUnavailable,
    TokenSource,
    TokenUnavailable,
    get_secret,
)
from credmgr.errors import ConfigError
from credmgr.sandbox import SEEDED_CLIENT_ID, CredentialKind, RunningSandbox
from credmgr.sandbox.issued import Order, Status
from tests.integration.api_world import CLIENT, KEY, World, serving

SCOPES = ["cases:read"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with serving(tmp_path_factory.mktemp("client")) as running:
        yield running


def daemon(world: World, who: str) -> Daemon:
    """credmgr over TCP, as a consumer with its bearer in a file."""
    file = world.home / f"{who}.token"
    file.write_text(world.bearers.get(who, who) + "\n")
    return Daemon(url=f"http://127.0.0.1:{world.port}", token_file=file)


def served(world: World, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.get(f"{world.box.url}/v2/cases", headers=headers).status_code


def test_a_secret_is_read_by_who_has_the_grant(world: World) -> None:
    assert served(world, daemon(world, "reader").secret(KEY)) == 200


def test_the_environment_says_where_credmgr_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDMGR_SOCKET", str(world.app.manifest.api.socket))
    assert served(world, get_secret("caseforge/api-key")) == 200
    assert served(world, TokenSource("caseforge/client-secret", scopes=SCOPES).token()) == 200
    monkeypatch.delenv("CREDMGR_SOCKET")
    with pytest.raises(ConfigError, match="not said where"):
        get_secret("caseforge/api-key")


def test_a_token_is_as_narrow_as_it_was_asked_for(world: World) -> None:
    token = daemon(world, "both").token(CLIENT, SCOPES)
    assert token.scopes == {"cases:read"}
    assert 0 < token.life.total_seconds() <= 3600
    assert served(world, token.value) == 200


def test_what_is_not_given_has_its_own_error(world: World) -> None:
    with pytest.raises(NotGranted):
        daemon(world, "nobody").secret(KEY)
    with pytest.raises(NotGranted):
        daemon(world, "reader").token(CLIENT)
    with pytest.raises(ScopeNotGranted):
        daemon(world, "minter").token(CLIENT, ["cases:write"])
    with pytest.raises(NotLetIn):
        daemon(world, "credmgr_unknown").secret(KEY)


def test_a_rotated_bearer_counts_at_once(world: World) -> None:
    known = daemon(world, "credmgr_old")
    with pytest.raises(NotLetIn):
        known.secret(KEY)
    (world.home / "credmgr_old.token").write_text(world.bearers["reader"])
    assert known.secret(KEY)


def test_a_credmgr_that_is_away_is_told_from_one_that_refuses(tmp_path: Path) -> None:
    away = Daemon(tmp_path / "nothing.sock")
    with pytest.raises(SecretUnavailable, match="does not answer: No such file") as secret:
        away.secret(KEY)
    with pytest.raises(TokenUnavailable) as token:
        away.token(CLIENT)
    assert secret.value.retryable
    assert token.value.retryable


@pytest.mark.parametrize("text", ["", "two words", "with\nlines", "ünicode"])
def test_what_is_no_bearer_is_never_sent_nor_told(world: World, text: str) -> None:
    asking = daemon(world, text and "odd")
    (world.home / ("odd.token" if text else ".token")).write_text(text)
    with pytest.raises(ConfigError, match="holds no bearer") as told:
        asking.secret(KEY)
    assert not text or text not in str(told.value)


def test_where_it_cannot_lead_anywhere_it_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not said where"):
        Daemon()
    with pytest.raises(ConfigError, match="not said where"):
        Daemon("a.sock", url="http://127.0.0.1:1")
    with pytest.raises(ConfigError, match="a bearer is needed"):
        Daemon(url="http://127.0.0.1:1")
    for url in ("http://credmgr.internal", "ftp://localhost", "127.0.0.1:80", "http://[::1"):
        with pytest.raises(ConfigError, match="neither an https"):
            Daemon(url=url, token_file=tmp_path / "token")
    with pytest.raises(ConfigError, match="cannot be read"):
        Daemon(url="http://127.0.0.1:1", token_file=tmp_path / "token").secret(KEY)


def test_a_refused_token_is_reported_and_replaced(world: World) -> None:
    source = TokenSource("caseforge/client-secret", scopes=SCOPES, daemon=daemon(world, "minter"))
    first = source.token()
    assert source.reject(first)
    second = source.token()
    assert second != first
    assert daemon(world, "minter").token(CLIENT, SCOPES).value == second


@pytest.fixture
def box() -> Iterator[RunningSandbox]:
    with RunningSandbox() as running:
        yield running


def new_secret(box: RunningSandbox) -> tuple[str, str]:
    """A client secret's id and value."""
    made, secret = box.secrets.create(
        Order(kind=CredentialKind.OAUTH_CLIENT, credential=SEEDED_CLIENT_ID)
    )
    return made.id, secret.reveal()


@pytest.mark.parametrize("basic", [True, False], ids=["basic", "post"])
def test_without_credmgr_a_token_comes_straight_from_the_issuer(
    box: RunningSandbox, *, basic: bool
) -> None:
    issuer = ClientCredentials(
        f"{box.url}/oauth/token",
        client_id=SEEDED_CLIENT_ID,
        client_secret=new_secret(box)[1],
        scopes=SCOPES,
        basic=basic,
    )
    assert issuer.fetch().scopes == {"cases:read"}
    headers = {"Authorization": f"Bearer {TokenSource(issuer).token()}"}
    assert httpx.get(f"{box.url}/v2/cases", headers=headers).status_code == 200


def test_a_secret_that_was_replaced_is_read_again(box: RunningSandbox, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    old_id, old = new_secret(box)
    file.write_text(old)
    reads = iter([old, old])  # as if it were replaced between the request and its refusal
    issuer = ClientCredentials(
        f"{box.url}/oauth/token",
        client_id=SEEDED_CLIENT_ID,
        client_secret=lambda: next(reads, None) or file.read_text(),
    )
    issuer.fetch()
    assert not issuer.outdated()
    file.write_text(new_secret(box)[1])
    assert issuer.outdated()
    box.secrets.change(box.secrets.get(old_id), Status.REVOKED)
    reads = iter([old])
    assert issuer.fetch().value
    assert not issuer.outdated()


def test_what_the_issuer_refuses_has_the_same_errors(box: RunningSandbox) -> None:
    url = f"{box.url}/oauth/token"
    wrong = ClientCredentials(url, client_id=SEEDED_CLIENT_ID, client_secret="wrong")  # noqa: S106
    with pytest.raises(NotLetIn, match="does not accept"):
        wrong.fetch()
    wide = ClientCredentials(
        url, client_id=SEEDED_CLIENT_ID, client_secret=new_secret(box)[1], scopes=["all:write"]
    )
    with pytest.raises(ScopeNotGranted):
        wide.fetch()
    lost = ClientCredentials(f"{box.url}/lost", client_id="a", client_secret="b")  # noqa: S106
    with pytest.raises(TokenUnavailable, match="answers with 404"):
        lost.fetch()
    away = ClientCredentials("http://127.0.0.1:1/", client_id="a", client_secret="b")  # noqa: S106
    with pytest.raises(TokenUnavailable, match="does not answer"):
        away.fetch()


def test_a_consumer_is_seen_on_the_version_that_it_reads(world: World) -> None:
    daemon(world, "reader").secret(KEY)
    daemon(world, "minter").token(CLIENT, SCOPES)
    world.app.broker.flush()
    now = {name: world.app.store.ledger.current_versions()[name].id for name in (KEY, CLIENT)}
    (read,) = [u for u in world.app.store.ledger.usage(KEY) if u.consumer == "reader"]
    (used,) = [u for u in world.app.store.ledger.usage(CLIENT) if u.consumer == "minter"]
    assert (read.version, read.scopes) == (now[KEY], frozenset())
    assert (used.version, used.scopes) == (now[CLIENT], frozenset(SCOPES))


def test_importing_it_loads_nothing_heavy() -> None:
    heavy = ("pydantic", "sqlalchemy", "urllib3", "httpx", "structlog", "starlette", "asyncio")
    script = f"import sys, credmgr.client; print([m for m in {heavy} if m in sys.modules])"
    told = subprocess.run(  # noqa: S603 (ours)
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert told.stdout == "[]\n"
