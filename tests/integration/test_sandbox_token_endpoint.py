"""The authorization server's answers, to the letter of RFC 6749, 7009, 7517, 7662 and 8414."""

import gzip
from base64 import b64encode
from collections.abc import Iterator
from urllib.parse import quote_plus

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from credmgr.sandbox import ALL_SCOPES, SEEDED_CLIENT_ID, EntryKind, Status
from tests.sandbox_box import APPLICATION, BEGINNING, Box, running_box, seconds

GRANT = {"grant_type": "client_credentials"}
OTHER = "app_0ther1"


@pytest.fixture
def box() -> Iterator[Box]:
    with running_box() as box:
        yield box


def basic(client_id: str, secret: str) -> dict[str, str]:
    text = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    return {"Authorization": f"Basic {b64encode(text.encode()).decode()}"}


def declare(box: Box, client_id: str = OTHER, **body: object) -> None:
    answer = box.manage("PUT", f"/applications/{client_id}", {"name": "Other", **body})
    assert answer.status == 201


def test_a_token_answer_has_exactly_the_documented_members(box: Box) -> None:
    answer = box.ask_token(box.secret()["value"], scope="cases:read cases:write")

    assert answer.status == 200
    body = answer.json()
    assert body.pop("access_token").startswith("eyJ")
    assert body == {"token_type": "Bearer", "expires_in": 3600, "scope": "cases:read cases:write"}
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Pragma"] == "no-cache"
    assert answer.headers["Content-Type"] == "application/json"


def test_a_request_without_scope_gets_all_scopes_of_the_application(box: Box) -> None:
    assert box.ask_token(box.secret()["value"]).json()["scope"] == " ".join(ALL_SCOPES)


def test_an_empty_scope_counts_as_left_out(box: Box) -> None:
    assert box.ask_token(box.secret()["value"], scope="").json()["scope"] == " ".join(ALL_SCOPES)


def test_a_scope_asked_for_twice_is_granted_once(box: Box) -> None:
    answer = box.ask_token(box.secret()["value"], scope="sar:read cases:read sar:read")

    assert answer.json()["scope"] == "sar:read cases:read"


def test_basic_authentication_is_form_decoded_and_works(box: Box) -> None:
    headers = basic(SEEDED_CLIENT_ID, box.secret()["value"])
    encoded = "app%5F8v3k9m:"
    text = b64encode((encoded + box.secret()["value"]).encode()).decode()

    assert box.form("/oauth/token", GRANT, headers).status == 200
    assert box.form("/oauth/token", GRANT, {"Authorization": f"basic {text}"}).status == 200


def test_basic_may_be_joined_by_the_same_client_id_in_the_body(box: Box) -> None:
    headers = basic(SEEDED_CLIENT_ID, box.secret()["value"])

    same = box.form("/oauth/token", {**GRANT, "client_id": SEEDED_CLIENT_ID}, headers)
    differing = box.form("/oauth/token", {**GRANT, "client_id": OTHER}, headers)

    assert same.status == 200
    assert (differing.status, differing.json()["error"]) == (400, "invalid_request")


def test_two_ways_to_authenticate_at_once_are_an_invalid_request(box: Box) -> None:
    value = box.secret()["value"]
    fields = {**GRANT, "client_id": SEEDED_CLIENT_ID, "client_secret": value}

    answer = box.form("/oauth/token", fields, basic(SEEDED_CLIENT_ID, value))

    assert (answer.status, answer.json()["error"]) == (400, "invalid_request")
    assert answer.headers["Cache-Control"] == "no-store"


def test_both_live_secrets_of_an_application_get_tokens(box: Box) -> None:
    first, second = box.secret("first"), box.secret("second")

    assert box.ask_token(first["value"]).status == 200
    assert box.ask_token(second["value"]).status == 200


@pytest.mark.parametrize(
    ("fields", "status", "error"),
    [
        ({"grant_type": ""}, 400, "invalid_request"),
        ({"grant_type": "authorization_code"}, 400, "unsupported_grant_type"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"scope": "cases:read nonsense"}, 400, "invalid_scope"),
        ({"scope": "cases:read  sar:read"}, 400, "invalid_scope"),
        ({"scope": "cases:read,sar:read"}, 400, "invalid_scope"),
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_secret": ""}, 401, "invalid_client"),
        ({"client_id": ""}, 401, "invalid_client"),
        ({"client_id": "app_nobody"}, 401, "invalid_client"),
    ],
)
def test_each_mistake_gets_its_error(
    box: Box, fields: dict[str, str], status: int, error: str
) -> None:
    answer = box.ask_token(box.secret()["value"], **fields)

    assert (answer.status, answer.json()["error"]) == (status, error)
    assert set(answer.json()) == {"error", "error_description"}
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)
    assert answer.headers["Pragma"] == "no-cache"


@pytest.mark.parametrize(
    "header",
    [
        "Basic !!!",
        "Basic " + b64encode(b"no colon").decode(),
        "Basic " + b64encode(b":secret").decode(),
        "Basic " + b64encode(b"name:").decode(),
        "Basic " + b64encode(b"\xff\xfe:x").decode(),
        "Basic " + b64encode(b"%FF:x").decode(),
        "Basic " + b64encode(b"app_8v3k9m:wrong").decode(),
        "Bearer something",
    ],
)
def test_a_bad_authorization_header_is_challenged(box: Box, header: str) -> None:
    answer = box.form("/oauth/token", GRANT, {"Authorization": header})

    assert (answer.status, answer.json()["error"]) == (401, "invalid_client")
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="CaseForge sandbox"'


def test_two_authorization_headers_are_an_invalid_request(box: Box) -> None:
    import http.client  # noqa: PLC0415

    host = box.sandbox.url.removeprefix("http://")
    connection = http.client.HTTPConnection(host)
    connection.putrequest("POST", "/oauth/token")
    for value in ("Basic YTpi", "Basic YTpi"):
        connection.putheader("Authorization", value)
    connection.putheader("Content-Type", "application/x-www-form-urlencoded")
    connection.putheader("Content-Length", "29")
    connection.endheaders(b"grant_type=client_credentials")

    assert connection.getresponse().status == 400
    connection.close()


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'{"grant_type": "client_credentials"}'),
        ("", b"grant_type=client_credentials"),
        ("application/x-www-form-urlencoded", b"grant_type=a&grant_type=a"),
        ("application/x-www-form-urlencoded", b"grant_type=%FF"),
        ("application/x-www-form-urlencoded", b"\xff=1"),
        ("application/x-www-form-urlencoded", gzip.compress(b"grant_type=a", mtime=0)),
        ("application/x-www-form-urlencoded", b"&".join(b"a%d=1" % n for n in range(200))),
        ("application/x-www-form-urlencoded", b""),
    ],
)
def test_what_is_no_proper_form_is_an_invalid_request(
    box: Box, content_type: str, body: bytes
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    answer = box.call("POST", "/oauth/token", headers=headers, body=body)

    assert (answer.status, answer.json()["error"]) == (400, "invalid_request")


def test_a_content_type_with_a_charset_is_fine(box: Box) -> None:
    value = box.secret()["value"]
    answer = box.call(
        "POST",
        "/oauth/token",
        headers={"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"},
        body=f"grant_type=client_credentials&client_id=app_8v3k9m&client_secret={value}",
    )

    assert answer.status == 200


def test_a_huge_body_is_refused_unread(box: Box) -> None:
    answer = box.form("/oauth/token", {"grant_type": "x" * 70_000})

    assert (answer.status, answer.json()["error"]) == (413, "request_too_large")


def test_a_secret_in_the_url_is_an_invalid_request(box: Box) -> None:
    answer = box.form("/oauth/token?client_secret=oops", GRANT)

    assert (answer.status, answer.json()["error"]) == (400, "invalid_request")


def test_only_post_gets_tokens(box: Box) -> None:
    answer = box.call("GET", "/oauth/token")

    assert (answer.status, answer.json()["error"]) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == "POST"


def test_an_application_without_the_grant_type_is_unauthorized(box: Box) -> None:
    declare(box, grant_types=["authorization_code"])
    value = box.secret(client_id=OTHER)["value"]

    answer = box.ask_token(value, client_id=OTHER)

    assert (answer.status, answer.json()["error"]) == (400, "unauthorized_client")


def test_an_application_without_scopes_gets_no_token(box: Box) -> None:
    declare(box, scopes=[])

    answer = box.ask_token(box.secret(client_id=OTHER)["value"], client_id=OTHER)

    assert (answer.status, answer.json()["error"]) == (400, "invalid_scope")


def test_a_scope_that_only_others_have_is_invalid(box: Box) -> None:
    declare(box, scopes=["cases:read"])
    value = box.secret(client_id=OTHER)["value"]

    assert box.ask_token(value, client_id=OTHER, scope="cases:read").status == 200
    answer = box.ask_token(value, client_id=OTHER, scope="cases:read sar:read")
    assert (answer.status, answer.json()["error"]) == (400, "invalid_scope")


def test_the_secret_of_one_application_is_no_use_to_another(box: Box) -> None:
    declare(box)

    answer = box.ask_token(box.secret()["value"], client_id=OTHER)

    assert (answer.status, answer.json()["error"]) == (401, "invalid_client")


def test_an_api_key_is_no_client_secret(box: Box) -> None:
    key = box.key(name=SEEDED_CLIENT_ID)

    assert box.ask_token(key["value"]).status == 401


def test_a_disabled_secret_gets_no_token_until_it_is_enabled(box: Box) -> None:
    created = box.secret()
    path = f"/applications/{SEEDED_CLIENT_ID}/secrets/{created['id']}"

    assert box.manage("POST", f"{path}/disable").json()["status"] == Status.DISABLED
    assert box.ask_token(created["value"]).status == 401
    assert box.manage("POST", f"{path}/enable").json()["status"] == Status.ACTIVE
    assert box.ask_token(created["value"]).status == 200


def test_a_token_verifies_with_the_published_keys(box: Box) -> None:
    created = box.secret()
    keys = KeySet.import_key_set(box.call("GET", "/.well-known/jwks.json").json())

    token = jwt.decode(box.token(created["value"], scope="cases:read"), keys, algorithms=["ES256"])

    issued_at = int(BEGINNING.timestamp())
    assert token.claims.pop("jti")
    assert token.claims == {
        "iss": box.sandbox.url,
        "sub": SEEDED_CLIENT_ID,
        "client_id": SEEDED_CLIENT_ID,
        "scope": "cases:read",
        "iat": issued_at,
        "exp": issued_at + 3600,
    }
    assert token.header["kid"]
    assert token.header["typ"] == "at+jwt"


def test_the_published_keys_are_public(box: Box) -> None:
    (key,) = box.call("GET", "/.well-known/jwks.json").json()["keys"]

    assert set(key) == {"kty", "crv", "x", "y", "use", "alg", "kid"}


def test_the_metadata_points_to_endpoints_that_exist(box: Box) -> None:
    metadata = box.call("GET", "/.well-known/oauth-authorization-server").json()

    assert metadata["issuer"] == box.sandbox.url
    assert metadata["scopes_supported"] == list(ALL_SCOPES)
    assert metadata["response_types_supported"] == []
    for name in ("token_endpoint", "introspection_endpoint", "revocation_endpoint"):
        path = metadata[name].removeprefix(box.sandbox.url)
        assert box.call("POST", path).status == 400
    assert box.call("GET", metadata["jwks_uri"].removeprefix(box.sandbox.url)).status == 200


def own(value: str, token: str) -> dict[str, str]:
    return {"client_id": SEEDED_CLIENT_ID, "client_secret": value, "token": token}


def test_introspection_tells_a_client_about_its_own_token(box: Box) -> None:
    value = box.secret()["value"]
    token = box.token(value, scope="cases:read")

    answer = box.form("/oauth/introspect", own(value, token))

    body = answer.json()
    assert body["active"] is True
    assert (body["scope"], body["client_id"]) == ("cases:read", SEEDED_CLIENT_ID)
    assert body["exp"] - body["iat"] == 3600
    assert body["token_type"] == "Bearer"  # noqa: S105
    assert answer.headers["Cache-Control"] == "no-store"


def test_introspection_says_inactive_of_everything_else(box: Box) -> None:
    declare(box)
    value, foreign = box.secret()["value"], box.secret(client_id=OTHER)["value"]
    theirs = box.ask_token(foreign, client_id=OTHER).json()["access_token"]
    expired = box.token(value)
    box.clock.advance(seconds(3600))

    for token in (theirs, expired, "garbage", "a.b.c", "x" * 5000, box.key()["value"]):
        answer = box.form("/oauth/introspect", own(value, token))
        assert (answer.status, answer.json()) == (200, {"active": False})


def test_introspection_answers_nobody_unknown(box: Box) -> None:
    token = box.token()

    assert box.form("/oauth/introspect", {"token": token}).status == 401
    assert box.form("/oauth/introspect", own("wrong", token)).status == 401
    refused = box.sandbox.log.entries()[-1]
    assert (refused.kind, refused.outcome) == (EntryKind.CLIENT_REFUSED, "invalid_client")


def test_introspection_without_a_token_is_an_invalid_request(box: Box) -> None:
    answer = box.form("/oauth/introspect", own(box.secret()["value"], ""))

    assert (answer.status, answer.json()["error"]) == (400, "invalid_request")


def test_the_admin_may_introspect_every_token(box: Box) -> None:
    admin = {"Authorization": f"Bearer {box.sandbox.admin_token.reveal()}"}

    assert box.form("/oauth/introspect", {"token": box.token()}, admin).json()["active"] is True


def test_a_revoked_token_is_dead_at_once(box: Box) -> None:
    value = box.secret()["value"]
    token = box.token(value)

    for _ in range(2):
        assert box.form("/oauth/revoke", own(value, token)).status == 200

    assert box.form("/oauth/introspect", own(value, token)).json() == {"active": False}
    answer = box.call("GET", "/v2/cases", bearer=token)
    assert answer.status == 401
    assert "revoked" in answer.headers["WWW-Authenticate"]


def test_revoking_an_unknown_token_is_fine(box: Box) -> None:
    answer = box.form("/oauth/revoke", own(box.secret()["value"], "unknown"))

    assert (answer.status, answer.data) == (200, b"")


def test_no_client_revokes_the_token_of_another(box: Box) -> None:
    declare(box)
    theirs = box.ask_token(box.secret(client_id=OTHER)["value"], client_id=OTHER)
    token = theirs.json()["access_token"]

    answer = box.form("/oauth/revoke", own(box.secret()["value"], token))

    assert (answer.status, answer.json()["error"]) == (400, "unauthorized_client")
    assert box.call("GET", "/v2/cases", bearer=token).status == 200


def test_token_lifetimes_can_be_shortened(box: Box) -> None:
    with running_box(token_lifetime=seconds(2)) as short:
        answer = short.ask_token(short.secret()["value"])
        assert answer.json()["expires_in"] == 2
        token = answer.json()["access_token"]
        assert short.call("GET", "/v2/cases", bearer=token).status == 200
        short.clock.advance(seconds(2))
        assert short.call("GET", "/v2/cases", bearer=token).status == 401
    assert box.sandbox.url


def test_tokens_outlive_their_secret_unless_told_otherwise(box: Box) -> None:
    def status_after_revocation(one: Box) -> int:
        created = one.secret()
        token = one.token(created["value"])
        path = APPLICATION.removeprefix("/manage/v1")
        assert one.manage("DELETE", f"{path}/secrets/{created['id']}").status == 200
        return one.call("GET", "/v2/cases", bearer=token).status

    assert status_after_revocation(box) == 200
    with running_box(revoke_tokens_with_secret=True) as strict:
        assert status_after_revocation(strict) == 401


def test_tokens_long_expired_are_forgotten(box: Box) -> None:
    value = box.secret()["value"]
    token = box.token(value)
    box.clock.advance(seconds(3600 + 86_401))
    box.token(value)

    answer = box.call("GET", "/v2/cases", bearer=token)

    assert "not one of ours" in answer.json()["error_description"]


def test_every_token_answer_is_in_the_ground_truth(box: Box) -> None:
    created = box.secret("rotation-7")
    box.ask_token(created["value"])
    box.ask_token(created["value"], scope="nonsense")
    box.ask_token("wrong")
    box.ask_token("wrong", client_id="app_nobody")

    issued, refused, wrong, nobody = box.sandbox.log.entries()[-4:]
    assert issued.kind is EntryKind.TOKEN_ISSUED
    assert issued.who is not None
    assert (issued.who.secret_id, issued.who.label) == (created["id"], "rotation-7")
    assert refused.kind is EntryKind.TOKEN_REFUSED
    assert refused.outcome == "invalid_scope"
    assert refused.who == issued.who
    assert wrong.who is not None
    assert (wrong.who.credential, wrong.who.secret_id) == (SEEDED_CLIENT_ID, None)
    assert nobody.who is None
