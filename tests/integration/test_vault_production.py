"""OpenBao as in production: raft, TLS, an audit file; sealed, restarted, with tokens that die."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import Any
from uuid import UUID, uuid4

import pytest

from credmgr.backends.vault import VaultBackendFactory
from credmgr.backends.vault.options import CertSignIn, TokenSignIn, VaultOptions
from credmgr.backends.vault.session import VaultBackend
from credmgr.errors import AccessDenied, BackendUnavailable, ConfigError, Conflict, SecretNotFound
from credmgr.model.clock import Clock
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.model.version import Stage
from credmgr.testing import FakeClock
from credmgr.testing.backend_moves import full, promoted, staged, stages
from credmgr.testing.canaries import leaks, new_canary
from tests.integration.openbao import (
    POLICY,
    Bao,
    active,
    approle_options,
    context_of,
    raft_server,
    restart,
    unseal,
)

THREADS = 16
RACERS = 32
LIVES = {"token_ttl": "1h", "token_max_ttl": "24h"}


@pytest.fixture(scope="module")
def bao() -> Iterator[Bao]:
    with raft_server() as server:
        server.policy("credmgr", POLICY.read_text())
        yield server


@pytest.fixture
def name() -> Name:
    return Name(f"production/{uuid4().hex}")


Opens = Callable[..., Any]


@pytest.fixture
def opens(bao: Bao, tmp_path: Path) -> Iterator[Opens]:
    """Opens a session with a role of its own; the role's settings are the arguments."""
    made = []

    def one(*policies: str, clock: Clock | None = None, **settings: Any) -> Any:
        role_id, secret_id = bao.role(*(policies or ("credmgr",)), **settings)
        context = context_of(tmp_path, clock, secret_id=secret_id)
        made.append(VaultBackendFactory().open(approle_options(bao, role_id), context))
        return made[-1]

    yield one
    for session in made:
        session.close()


def calls(bao: Bao, path: str) -> int:
    """How many requests of a path the audit log has."""
    lines = (json.loads(line) for line in (bao.folder / "audit.log").read_text().splitlines())
    return sum(
        line["type"] == "request" and line.get("request", {}).get("path") == path for line in lines
    )


def token_of(backend: VaultBackend) -> str:
    held = backend._connection._tokens._held
    assert held is not None
    return held.granted.token.reveal()


def at_once(attempt: Callable[[int], Any], threads: int = THREADS) -> list[Any]:
    start = Barrier(threads)

    def run(number: int) -> Any:
        start.wait()
        return attempt(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, range(threads)))


# --- the server goes away and comes back


def test_a_sealed_server_is_unavailable_and_works_when_it_is_unsealed(
    bao: Bao, opens: Opens, name: Name
) -> None:
    backend = opens()
    promoted(backend, name, "one")
    bao.ask("POST", "sys/seal")
    with pytest.raises(BackendUnavailable, match="the server is sealed") as caught:
        backend.read(name)
    assert caught.value.hint == "unseal it"
    with pytest.raises(BackendUnavailable, match="the server is sealed"):
        backend.check()
    unseal(bao)
    assert backend.read(name).secret.reveal() == "one"


def test_a_standby_without_an_active_node_is_told_and_works_when_there_is_one(
    bao: Bao, opens: Opens, name: Name
) -> None:
    backend = opens()
    promoted(backend, name, "one")
    error: BackendUnavailable | None = None
    for _ in range(20):  # the node elects itself again, mostly within a quarter of a second
        bao.ask("PUT", "sys/step-down")
        try:
            backend.read(name)
        except BackendUnavailable as refused:
            error = refused
            break
        finally:
            active(bao)
    assert error is not None
    assert "a standby and knows of no active node" in error.message
    assert error.hint == "if it lasts, too few nodes are up and unsealed to elect one"
    assert backend.read(name).secret.reveal() == "one"


def test_a_restarted_server_is_used_on(bao: Bao, opens: Opens, name: Name) -> None:
    backend = opens()
    one = promoted(backend, name, "one")
    bao.stop()
    with pytest.raises(BackendUnavailable, match=r"no connection, ECONNREFUSED|broke"):
        backend.read(name)
    with pytest.raises(BackendUnavailable, match="no connection, ECONNREFUSED"):
        backend.read(name)
    restart(bao)
    with pytest.raises(BackendUnavailable, match="sealed"):
        backend.promote(name, one, None)
    unseal(bao)
    two = promoted(backend, name, "two", expect=one)
    assert stages(backend, name) == {Stage.CURRENT: two, Stage.PREVIOUS: one}


# --- tokens


@pytest.mark.parametrize("how", ["revoked", "older than allowed", "known to have ended"])
def test_a_dead_token_is_replaced_once_for_all_threads(
    bao: Bao, opens: Opens, name: Name, how: str
) -> None:
    clock = FakeClock()
    brief = {"token_ttl": "1s", "token_max_ttl": "1s"} if how == "older than allowed" else {}
    backend = opens(clock=clock, **brief)
    promoted(backend, name, "one")
    before = calls(bao, "auth/approle/login")
    if how == "revoked":
        bao.ask("POST", "auth/token/revoke", {"token": token_of(backend)})
    elif how == "older than allowed":
        time.sleep(1.3)  # noqa: TID251 (the server has a clock of its own)
    else:
        clock.advance(timedelta(days=40))
    found = at_once(lambda _: backend.read(name).secret.reveal())
    assert found == ["one"] * THREADS
    assert calls(bao, "auth/approle/login") == before + 1


def test_a_failed_sign_in_is_shared_by_the_threads_that_waited_for_it(
    bao: Bao, opens: Opens, name: Name
) -> None:
    backend: VaultBackend = opens(secret_id_num_uses=1)
    promoted(backend, name, "one")
    bao.ask("POST", "auth/token/revoke", {"token": token_of(backend)})
    before = calls(bao, "auth/approle/login")

    def attempt(_: int) -> str:
        try:
            return backend.read(name).secret.reveal()
        except AccessDenied as error:
            return str(error)

    answers = set(at_once(attempt))
    assert answers == {"auth/approle/login: the server does not accept this sign-in"}
    assert calls(bao, "auth/approle/login") - before < THREADS


def test_a_token_is_renewed_ahead_of_its_end_by_one_thread(
    bao: Bao, opens: Opens, name: Name
) -> None:
    clock = FakeClock()
    backend = opens(clock=clock, **LIVES)
    promoted(backend, name, "one")
    renewals, logins = calls(bao, "auth/token/renew-self"), calls(bao, "auth/approle/login")
    first = token_of(backend)
    clock.advance(timedelta(minutes=39))
    backend.read(name)
    assert calls(bao, "auth/token/renew-self") == renewals
    clock.advance(timedelta(minutes=2))
    at_once(lambda _: backend.read(name))
    assert calls(bao, "auth/token/renew-self") == renewals + 1
    assert (calls(bao, "auth/approle/login"), token_of(backend)) == (logins, first)


def test_near_the_greatest_age_a_new_token_is_taken_instead(
    bao: Bao, opens: Opens, name: Name
) -> None:
    clock = FakeClock()
    backend = opens(clock=clock, **LIVES)
    promoted(backend, name, "one")
    first = token_of(backend)
    role = bao.ask("POST", "auth/token/lookup", {"token": first})["data"]["meta"]["role_name"]
    settings = {"token_ttl": "10m", "token_max_ttl": "10m", "token_policies": ["credmgr"]}
    bao.ask("POST", f"auth/approle/role/{role}", settings)
    for minutes in (41, 9):  # the renewal gives ten minutes only, so the next time it is another
        clock.advance(timedelta(minutes=minutes))
        backend.read(name)
    assert token_of(backend) != first


def test_a_renewal_that_fails_leaves_the_token_in_use(bao: Bao, opens: Opens, name: Name) -> None:
    narrow = f"narrow-{uuid4().hex[:6]}"
    bao.policy(narrow, POLICY.read_text().replace("auth/token/renew-self", "auth/token/nothing"))
    clock = FakeClock()
    backend = opens(narrow, clock=clock, secret_id_num_uses=1, **LIVES)
    promoted(backend, name, "one")
    first = token_of(backend)
    clock.advance(timedelta(minutes=45))
    assert backend.read(name).secret.reveal() == "one"
    assert token_of(backend) == first


def test_a_closed_session_leaves_no_token_behind(bao: Bao, opens: Opens, name: Name) -> None:
    backend = opens()
    promoted(backend, name, "one")
    token = token_of(backend)
    backend.close()
    backend.close()
    assert bao.status("POST", "auth/token/lookup", {"token": token}) == 403


def test_a_token_that_may_not_revoke_itself_is_left_to_expire(bao: Bao, opens: Opens) -> None:
    narrow = f"narrow-{uuid4().hex[:6]}"
    bao.policy(narrow, POLICY.read_text().replace("auth/token/revoke-self", "auth/token/nothing"))
    backend = opens(narrow)
    backend.check()
    token = token_of(backend)
    backend.close()
    assert bao.status("POST", "auth/token/lookup", {"token": token}) == 200


# --- permissions


def test_permissions_lost_midway_are_told_and_nothing_is_half_done_after_they_return(
    bao: Bao, opens: Opens, name: Name
) -> None:
    own = f"own-{uuid4().hex[:6]}"
    bao.policy(own, POLICY.read_text())
    backend = opens(own)
    one = promoted(backend, name, "one")
    two = staged(backend, name, "two")
    logins = calls(bao, "auth/approle/login")
    bao.policy(own, POLICY.read_text().replace('"create", "read", "update"', '"read"'))
    with pytest.raises(AccessDenied, match="permission denied") as caught:
        backend.promote(name, two, one)
    assert caught.value.hint == f'the policy must grant `update` on "secret/data/credmgr/{name}"'
    assert stages(backend, name) == {Stage.CURRENT: one, Stage.NEXT: two}
    assert calls(bao, "auth/approle/login") == logins, "a refusal that is meant is no dead token"
    bao.policy(own, POLICY.read_text())
    backend.promote(name, two, one)
    assert stages(backend, name) == {Stage.CURRENT: two, Stage.PREVIOUS: one}


# --- races and secrecy


def test_of_many_promotions_by_two_sessions_at_once_exactly_one_wins(
    opens: Opens, name: Name
) -> None:
    sessions: list[VaultBackend] = [opens(), opens()]
    full(sessions[0], name)
    current = sessions[0].read(name).version
    rivals = [sessions[0].read(name, stage).version for stage in (Stage.NEXT, Stage.PREVIOUS)]

    def attempt(number: int) -> UUID | None:
        try:
            sessions[number % 2].promote(name, rivals[number // 2 % 2], current)
        except (Conflict, SecretNotFound):
            return None
        return rivals[number // 2 % 2]

    winners = set(at_once(attempt, RACERS)) - {None}
    assert winners == {sessions[0].read(name).version}
    assert sessions[1].read(name, Stage.PREVIOUS).version == current


LAYOUTS: list[dict[str, Any]] = [
    {},
    {"layout": "fields"},
    {"template": "Bearer {{ secret }}", "constants": {"user": "app_8v3k9m"}},
    {"template": '{"key": {{ secret | json }}}'},
]


def laid_out(secret: str) -> str:
    """A value of the layout `fields`."""
    return json.dumps({"key": secret}, separators=(",", ":"), ensure_ascii=False)


@pytest.mark.parametrize("layout", LAYOUTS, ids=["value", "fields", "template", "json template"])
def test_no_value_and_no_proof_stands_in_the_audit_log(
    bao: Bao, tmp_path: Path, name: Name, layout: dict[str, Any]
) -> None:
    role_id, secret_id = bao.role("credmgr")
    context = context_of(tmp_path, secret_id=secret_id)
    backend: Any = VaultBackendFactory().open(approle_options(bao, role_id, **layout), context)
    backend.check()
    secrets = [new_canary(), new_canary(), "4711471147114711"]
    canaries = [laid_out(secret) if "layout" in layout else secret for secret in secrets]
    one = promoted(backend, name, canaries[0])
    two = promoted(backend, name, canaries[1], expect=one)
    three = promoted(backend, name, canaries[2], expect=two)
    backend.promote(name, two, three)
    backend.stage(name, Secret(canaries[0]), uuid4())
    backend.versions(name)
    token = token_of(backend)
    backend.delete(name)
    backend.close()
    text = (bao.folder / "audit.log").read_text()
    assert str(name) in text
    assert "auth/approle/login" in text
    assert [canary for canary in [*secrets, secret_id, token] if leaks(canary, text)] == []


# --- TLS


def test_a_server_of_nobody_we_trust_gets_nothing(bao: Bao, tmp_path: Path) -> None:
    options = VaultOptions(bao.address, token=TokenSignIn("env:token"))
    backend = VaultBackendFactory().open(options, context_of(tmp_path, token=bao.root))
    with pytest.raises(BackendUnavailable, match="the certificate is not trusted"):
        backend.check()
    backend.close()


def test_a_client_certificate_signs_in(bao: Bao, tmp_path: Path, name: Name) -> None:
    bao.ask("POST", "sys/auth/cert", {"type": "cert"})
    certificate, key = bao.folder / "srv.pem", bao.folder / "srv.key"
    role = {"certificate": certificate.read_text(), "token_policies": ["credmgr"]}
    bao.ask("POST", "auth/cert/certs/app", role)
    for chosen in ("", "app"):
        options = VaultOptions(
            bao.address, cert=CertSignIn(str(certificate), str(key), chosen), ca_bundle=str(bao.ca)
        )
        backend = VaultBackendFactory().open(options, context_of(tmp_path))
        promoted(backend, Name(f"{name}{chosen}"), "one")
        backend.close()


def test_a_file_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    address = "https://127.0.0.1:1"
    for options in (
        VaultOptions(address, token=TokenSignIn("env:t"), ca_bundle="no.pem"),
        VaultOptions(address, cert=CertSignIn("no.pem", "no.key")),
    ):
        with pytest.raises(ConfigError, match=r"no\.pem .*cannot be used"):
            VaultBackendFactory().open(options, context_of(tmp_path))
