"""The issuer `caseforge` against the real sandbox: faults, foreign keys, wrong addresses."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from credmgr.errors import (
    InvalidAnswer,
    IssuerError,
    IssuerRefused,
    IssuerUnavailable,
    OutcomeUnknown,
    ScopeRefused,
    SecretRejected,
)
from credmgr.issuers.caseforge import CaseForgeIssuer, CaseForgeIssuerFactory, CaseForgeOptions
from credmgr.model.credential import Credential, Environment, Kind
from credmgr.model.secret import Secret
from credmgr.model.token import TokenRequest
from credmgr.plugins.clocks import MAX_RETRY_AFTER
from credmgr.plugins.issuer import Issued
from credmgr.sandbox import Effect, EntryKind, Fault, RunningSandbox, SandboxConfig, When
from credmgr.sandbox.accounts import Declaration
from credmgr.testing.canaries import everything_in, leaks
from tests.issuer_world import ADMIN, SCOPES, a_context, a_credential, http_answer, raw_server

OAUTH = a_credential(Kind.OAUTH_CLIENT)
KEY = a_credential(Kind.API_KEY)
DEADLINE = timedelta(seconds=1)


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with RunningSandbox(SandboxConfig(port=0, admin_token=Secret(ADMIN))) as running:
        yield running


def opened(url: str, **more: Any) -> CaseForgeIssuer:
    context = a_context(deadline=DEADLINE)
    return CaseForgeIssuerFactory().open(CaseForgeOptions(url, "env:ADMIN", **more), context)


@pytest.fixture
def issuer(sandbox: RunningSandbox) -> Iterator[CaseForgeIssuer]:
    session = opened(sandbox.url)
    yield session
    session.close()


@pytest.mark.parametrize(
    "fault",
    [
        Fault(effect=Effect.DROP, when=When.AFTER),
        Fault(effect=Effect.HANG, when=When.AFTER),
        Fault(effect=Effect.TRUNCATE),
        Fault(effect=Effect.HTML, when=When.AFTER),
        Fault(effect=Effect.SERVER_ERROR, status=500, when=When.AFTER),
        Fault(effect=Effect.SERVER_ERROR, status=502, body="", when=When.AFTER),
    ],
    ids=lambda fault: f"{fault.effect}-{fault.status}",
)
@pytest.mark.parametrize("credential", [OAUTH, KEY], ids=["oauth", "key"])
def test_a_create_whose_answer_is_lost_is_found_by_its_label(
    sandbox: RunningSandbox, issuer: CaseForgeIssuer, credential: Credential, fault: Fault
) -> None:
    sandbox.faults.replace(replace(fault, method="POST", count=1))
    with pytest.raises(OutcomeUnknown) as caught:
        issuer.create(credential, "credmgr-1")
    assert not leaks("cf_secret_", everything_in(caught.value))
    assert not leaks("cf_sand_", everything_in(caught.value))
    (found,) = issuer.list(credential)
    assert found.label == "credmgr-1"
    issuer.revoke(credential, found.secret_id)
    assert not issuer.list(credential)


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_issuer_says_how_long_to_wait(
    sandbox: RunningSandbox, issuer: CaseForgeIssuer, status: int
) -> None:
    effect = Effect.RATE_LIMIT if status == 429 else Effect.SERVER_ERROR
    for asked, wait in ((5, timedelta(seconds=5)), (10**9, MAX_RETRY_AFTER)):
        sandbox.faults.replace(Fault(effect=effect, retry_after=asked, count=1))
        with pytest.raises(IssuerUnavailable) as caught:
            issuer.create(OAUTH, "credmgr-1")
        assert caught.value.retry_after == wait
    assert not sandbox.secrets.live()


@pytest.mark.parametrize("end", ["disable", "revoke"])
@pytest.mark.parametrize("credential", [OAUTH, KEY], ids=["oauth", "key"])
def test_an_end_whose_answer_is_lost_may_be_repeated(
    sandbox: RunningSandbox, issuer: CaseForgeIssuer, credential: Credential, end: str
) -> None:
    made = issuer.create(credential, "credmgr-1")
    method = "POST" if end == "disable" else "DELETE"
    sandbox.faults.replace(Fault(effect=Effect.DROP, method=method, when=When.AFTER, count=1))
    for expected in (OutcomeUnknown, None):
        if expected:
            with pytest.raises(expected):
                getattr(issuer, end)(credential, made.secret_id)
        else:
            getattr(issuer, end)(credential, made.secret_id)
    with pytest.raises(SecretRejected):
        issuer.verify(credential, made.secret)


def test_the_other_kinds_secrets_are_out_of_reach(issuer: CaseForgeIssuer) -> None:
    secret, key = issuer.create(OAUTH, "one"), issuer.create(KEY, "two")
    issuer.revoke(OAUTH, key.secret_id)
    issuer.revoke(KEY, secret.secret_id)
    issuer.verify(OAUTH, secret.secret)
    issuer.verify(KEY, key.secret)


def test_a_key_of_another_name_is_left_alone(issuer: CaseForgeIssuer) -> None:
    foreign = replace(KEY, options={"key_name": "somebody-elses"})
    made = issuer.create(foreign, "theirs")
    for end in (issuer.disable, issuer.revoke):
        with pytest.raises(IssuerRefused):
            end(KEY, made.secret_id)
    issuer.verify(foreign, made.secret)


def test_a_wrong_address_never_counts_as_revoked(sandbox: RunningSandbox) -> None:
    lost = opened(f"{sandbox.url}/elsewhere")
    for credential in (OAUTH, KEY):
        with pytest.raises(IssuerRefused):
            lost.revoke(credential, "sec_1")
    with pytest.raises(IssuerRefused):
        lost.check()
    lost.close()


def test_an_id_that_is_a_path_stays_in_its_place(issuer: CaseForgeIssuer) -> None:
    made = issuer.create(OAUTH, "one")
    issuer.revoke(OAUTH, f"x/../{made.secret_id}")
    with pytest.raises(IssuerRefused):
        issuer.revoke(OAUTH, "..")
    issuer.verify(OAUTH, made.secret)


def test_a_wrong_admin_token_is_named() -> None:
    with RunningSandbox() as sandbox:
        session = opened(sandbox.url)
        for call in (session.check, lambda: session.create(OAUTH, "one")):
            with pytest.raises(IssuerRefused, match="admin_token") as caught:
                call()
            assert not leaks(ADMIN, everything_in(caught.value))
        session.close()


def test_a_list_of_many_pages_is_read_to_its_end(sandbox: RunningSandbox) -> None:
    del sandbox
    entry = (
        '{{"id": "sec_{0}", "label": "", "status": "active", "created_at": "2026-01-01T00:00:00Z"}}'
    )
    pages = iter(range(1, 4))

    def turn(conversation: Any) -> None:
        page = next(pages)
        cursor = "null" if page == 3 else f'"c{page}"'
        conversation.send(
            http_answer(f'{{"items": [{entry.format(page)}], "next_cursor": {cursor}}}')
        )

    with raw_server(turn) as server:
        session = opened(server.url)
        assert [listed.secret_id for listed in session.list(OAUTH)] == ["sec_1", "sec_2", "sec_3"]
        session.close()
    assert b"cursor=c2" in server.requests[2]


@pytest.mark.parametrize(
    "body",
    [
        '{"items": [], "next_cursor": "again"}',
        '{"items": [], "next_cursor": 7}',
        '{"items": [{"id": "s", "label": null, "status": "active"}], "next_cursor": null}',
        '{"items": [{"id": "s", "label": "", "status": "asleep"}], "next_cursor": null}',
        '{"items": ["s"], "next_cursor": null}',
    ],
)
def test_a_senseless_list_is_refused(body: str) -> None:
    with raw_server(http_answer(body)) as server:
        session = opened(server.url)
        with pytest.raises(InvalidAnswer):
            session.list(KEY)
        session.close()


def test_an_issuer_that_denies_what_it_lists_is_not_believed() -> None:
    def contradict(conversation: Any) -> None:
        listing = conversation.request.startswith(b"GET")
        entry = '{"id": "s", "label": "", "status": "active", "created_at": "2026-01-01T00:00:00Z"}'
        body = f'{{"items": [{entry}], "next_cursor": null}}' if listing else "{}"
        status = "200 OK" if listing else "404 Not Found"
        conversation.send(http_answer(body, status=status))

    with raw_server(contradict) as server:
        session = opened(server.url)
        with pytest.raises(OutcomeUnknown):
            session.revoke(OAUTH, "s")
        session.close()


def test_a_key_has_the_declared_type_and_scopes(
    sandbox: RunningSandbox, issuer: CaseForgeIssuer
) -> None:
    live = replace(KEY, environment=Environment.PRODUCTION)
    key = issuer.create(live, "one")
    assert key.secret.reveal().startswith("cf_live_")
    (made,) = sandbox.secrets.live()
    assert frozenset(made.scopes) == SCOPES
    issuer.verify(live, key.secret)
    with pytest.raises(ScopeRefused):
        issuer.verify(replace(live, scopes=SCOPES | {"sar:read"}), key.secret)
    sandboxed = replace(KEY, options={"key_type": "sandbox"})
    with pytest.raises(ScopeRefused, match="cf_sand_"):
        issuer.verify(sandboxed, key.secret)
    issuer.revoke(live, key.secret_id)
    with pytest.raises(SecretRejected):
        issuer.verify(sandboxed, key.secret)


def test_a_key_that_may_only_write_or_anything_is_proven_too(issuer: CaseForgeIssuer) -> None:
    for name, scopes in (("writer", frozenset({"cases:write"})), ("any", frozenset[str]())):
        credential = replace(KEY, scopes=scopes, options={"key_name": name})
        made = issuer.create(credential, "one")
        assert issuer.verify(credential, made.secret).scopes is None
        issuer.revoke(credential, made.secret_id)
        with pytest.raises(SecretRejected):
            issuer.verify(credential, made.secret)


def test_a_token_request_beyond_the_application_is_refused(
    sandbox: RunningSandbox, issuer: CaseForgeIssuer
) -> None:
    sandbox.applications.declare("app_narrow", Declaration(name="Narrow", scopes=["cases:read"]))
    narrow = replace(OAUTH, client_id="app_narrow")
    made = issuer.create(narrow, "one")
    with pytest.raises(ScopeRefused):
        issuer.verify(narrow, made.secret)
    with pytest.raises(ScopeRefused):
        issuer.mint(narrow, made.secret, TokenRequest(SCOPES))
    unscoped = replace(narrow, scopes=frozenset())
    assert issuer.verify(unscoped, made.secret).scopes == frozenset({"cases:read"})


def test_the_authorization_server_may_be_elsewhere(sandbox: RunningSandbox) -> None:
    session = opened(sandbox.url, auth_url="http://localhost:1")
    made = session.create(OAUTH, "one")
    with pytest.raises(IssuerUnavailable, match="localhost:1 /oauth/token"):
        session.verify(OAUTH, made.secret)
    session.close()


def test_every_login_is_in_the_ground_truth(
    sandbox: RunningSandbox, issuer: CaseForgeIssuer
) -> None:
    made = issuer.create(OAUTH, "one")
    issuer.verify(OAUTH, made.secret)
    issuer.mint(OAUTH, made.secret, TokenRequest(SCOPES))
    issued = [entry for entry in sandbox.log.entries() if entry.kind is EntryKind.TOKEN_ISSUED]
    assert [entry.who.secret_id for entry in issued if entry.who] == [made.secret_id] * 2


def everything_goes_wrong(issuer: CaseForgeIssuer, credential: Credential, made: Issued) -> str:
    said = ""
    for call in (
        lambda: issuer.create(credential, "two"),
        lambda: issuer.list(credential),
        lambda: issuer.verify(credential, made.secret),
        lambda: issuer.mint(credential, made.secret, TokenRequest()),
        lambda: issuer.revoke(credential, made.secret_id),
        issuer.check,
    ):
        try:
            said += repr(call())
        except IssuerError as error:
            said += everything_in(error)
    return said


@pytest.mark.parametrize("effect", [None, Effect.DROP, Effect.TRUNCATE, Effect.SERVER_ERROR])
@pytest.mark.parametrize("credential", [OAUTH, KEY], ids=["oauth", "key"])
def test_no_value_is_seen_whatever_goes_wrong(
    sandbox: RunningSandbox,
    issuer: CaseForgeIssuer,
    credential: Credential,
    effect: Effect | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG):
        made = issuer.create(credential, "one")
        if effect:
            sandbox.faults.replace(Fault(effect=effect, when=When.AFTER))
        said = everything_goes_wrong(issuer, credential, made) + repr(issuer) + repr(made)
    assert "urllib3" in caplog.text
    for value in (made.secret.reveal(), ADMIN, "eyJ"):
        assert value not in caplog.text + said
