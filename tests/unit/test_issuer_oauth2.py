"""The issuer `oauth2`: what it finds, how its clients prove themselves, and what it refuses."""

import json
from base64 import b64decode
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from credmgr.errors import (
    InvalidAnswer,
    IssuerRefused,
    IssuerUnavailable,
    OperatorNeeded,
    SecretRejected,
)
from credmgr.issuers.assertions import assertion
from credmgr.issuers.calls import Answer, Call
from credmgr.issuers.http import Exchange
from credmgr.issuers.metadata import KEPT, Discovery, locations
from credmgr.issuers.oauth2 import OAuth2Issuer, OAuth2IssuerFactory, OAuth2Options
from credmgr.model.credential import Kind
from credmgr.model.secret import Secret
from credmgr.model.token import TokenRequest
from credmgr.plugins.backend import Mistake
from credmgr.plugins.issuer import IssuerClass, IssuerFactory
from credmgr.testing import FakeClock
from credmgr.testing.canaries import everything_in
from tests.issuer_world import SCOPES, a_context, a_credential

FACTORY = OAuth2IssuerFactory()
ISSUER = "https://as.example/tenant"
ENDPOINT = "https://as.example/token"
WELL_KNOWN = "/.well-known/oauth-authorization-server/tenant"
OAUTH = a_credential(Kind.OAUTH_CLIENT)
SECRET = Secret("s3cr:t%& +")
TOKEN = {"access_token": "t", "token_type": "Bearer", "expires_in": 60}
METADATA: dict[str, Any] = {
    "issuer": ISSUER,
    "token_endpoint": ENDPOINT,
    "token_endpoint_auth_methods_supported": [
        "client_secret_basic",
        "client_secret_post",
        "private_key_jwt",
    ],
}


def pem(key: Any, encryption: KeySerializationEncryption | None = None) -> Secret:
    form = (Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())
    return Secret(key.private_bytes(*form).decode())


P256 = ec.generate_private_key(ec.SECP256R1())
PUBLIC = P256.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


class Server(Exchange):
    """Answers each path with what is set for it; everything else is absent."""

    def __init__(self, **answers: Any) -> None:
        self.answers: dict[str, Any] = {"/token": TOKEN, **answers}
        self.calls: list[Call] = []

    def send(self, call: Call) -> Answer:
        self.calls.append(call)
        answer = self.answers.get(call.path, IssuerRefused(f"{call}: refused with 404"))
        if isinstance(answer, Exception):
            raise answer
        return Answer(call, 200, answer)

    def close(self) -> None:
        pass

    @property
    def paths(self) -> list[str]:
        return [call.path for call in self.calls]


def opened(server: Server, **options: Any) -> OAuth2Issuer:
    settings = OAuth2Options(**{"issuer": ISSUER, **options})
    clock = FakeClock()
    return OAuth2Issuer(
        traits=FACTORY.traits(settings),
        options=settings,
        exchange=server,
        clock=clock,
        discovery=Discovery(server, clock, settings.issuer),
    )


def publishing(**changes: Any) -> Server:
    body = {name: value for name, value in {**METADATA, **changes}.items() if value is not None}
    return Server(**{WELL_KNOWN: body})


def paths(mistakes: Iterable[Mistake]) -> list[str]:
    return [mistake.option for mistake in mistakes]


def claims_of(form: Mapping[str, str | Secret] | None) -> dict[str, Any]:
    assert form is not None
    signed = form["client_assertion"]
    assert isinstance(signed, Secret)
    key = ECKey.import_key(PUBLIC)
    return dict(jwt.decode(signed.reveal(), key, algorithms=["ES256"]).claims)


# --- finding the token endpoint


@pytest.mark.parametrize(
    ("issuer", "expected"),
    [
        (
            "https://a.example",
            ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"],
        ),
        (
            "https://a.example/",
            ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"],
        ),
        (
            "https://a.example:8443/t/1",
            [
                "/.well-known/oauth-authorization-server/t/1",
                "/t/1/.well-known/openid-configuration",
                "/.well-known/openid-configuration/t/1",
            ],
        ),
    ],
)
def test_metadata_is_looked_for_where_the_standards_put_it(
    issuer: str, expected: list[str]
) -> None:
    found = list(locations(issuer))
    assert [path for _base, path in found] == expected
    assert {base for base, _path in found} == {issuer.split("/t/", maxsplit=1)[0].rstrip("/")}


def test_the_metadata_names_the_token_endpoint() -> None:
    server = publishing(token_endpoint="https://other.example/oauth2/token?policy=b2c")  # noqa: S106
    server.answers["/oauth2/token"] = TOKEN
    opened(server).mint(OAUTH, SECRET, TokenRequest(SCOPES))
    assert server.calls[-1].url == "https://other.example/oauth2/token?policy=b2c"


@pytest.mark.parametrize("first", [IssuerRefused("404"), InvalidAnswer("a web page")])
def test_openid_configuration_is_the_second_choice(first: Exception) -> None:
    place = "/tenant/.well-known/openid-configuration"
    server = Server(**{WELL_KNOWN: first, place: METADATA})
    opened(server).mint(OAUTH, SECRET, TokenRequest())
    assert server.paths == [WELL_KNOWN, place, "/token"]


def test_a_server_without_metadata_is_refused_with_a_hint() -> None:
    server = Server()
    with pytest.raises(IssuerRefused) as caught:
        opened(server).check()
    assert "token_endpoint" in str(caught.value.hint)
    assert len(server.calls) == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": None},
        {"issuer": f"{ISSUER}/"},
        {"issuer": "https://evil.example"},
        {"issuer": [ISSUER]},
        {"token_endpoint": None},
        {"token_endpoint": "http://as.example/token"},
        {"token_endpoint": "http://localhost/token"},
        {"token_endpoint": "https://as.example/{id}"},
        {"token_endpoint": "https://u:p@as.example/token"},
        {"token_endpoint": "/token"},
        {"token_endpoint_auth_methods_supported": "client_secret_basic"},
        {"token_endpoint_auth_methods_supported": [1]},
        {"token_endpoint_auth_signing_alg_values_supported": {}},
    ],
    ids=repr,
)
def test_metadata_that_would_lead_astray_is_refused(wrong: dict[str, Any]) -> None:
    server = publishing(**wrong)
    with pytest.raises(InvalidAnswer):
        opened(server).mint(OAUTH, SECRET, TokenRequest())
    assert server.paths == [WELL_KNOWN]


def test_metadata_is_kept_for_an_hour_and_longer_while_nobody_answers() -> None:
    server = publishing()
    session = opened(server)
    clock = session.clock
    assert isinstance(clock, FakeClock)
    for _again in range(2):
        session.mint(OAUTH, SECRET, TokenRequest())
    assert server.paths == [WELL_KNOWN, "/token", "/token"]
    clock.advance(KEPT)
    server.answers[WELL_KNOWN] = IssuerUnavailable("down")
    session.mint(OAUTH, SECRET, TokenRequest())
    clock.advance(KEPT)
    server.answers[WELL_KNOWN] = {**METADATA, "token_endpoint": "https://as.example/new"}
    server.answers["/new"] = TOKEN
    session.mint(OAUTH, SECRET, TokenRequest())
    assert server.paths[3:] == [WELL_KNOWN, "/token", WELL_KNOWN, "/new"]


def test_a_server_that_never_answered_is_unavailable_and_asked_again() -> None:
    server = Server(**{WELL_KNOWN: IssuerUnavailable("down")})
    session = opened(server)
    for _again in range(2):
        with pytest.raises(IssuerUnavailable):
            session.mint(OAUTH, SECRET, TokenRequest())
    assert server.paths == [WELL_KNOWN, WELL_KNOWN]


def test_a_given_token_endpoint_needs_no_metadata() -> None:
    server = Server()
    opened(server, issuer="", token_endpoint=ENDPOINT).mint(OAUTH, SECRET, TokenRequest())
    assert server.paths == ["/token"]


# --- how a client proves itself


def sent(server: Server, secret: Secret = SECRET, **options: Any) -> Call:
    session = opened(server, **options)
    session.mint(OAUTH, secret, TokenRequest())
    return server.calls[-1]


@pytest.mark.parametrize("offered", [None, ["client_secret_post", "client_secret_basic"]])
def test_a_secret_goes_into_the_header_where_it_may(offered: list[str] | None) -> None:
    call = sent(publishing(token_endpoint_auth_methods_supported=offered))
    assert call.basic is not None
    assert b64decode(call.basic.reveal()) == b"app_8v3k9m:s3cr%3At%25%26+%2B"
    assert call.form == {"grant_type": "client_credentials"}


def test_a_secret_goes_into_the_form_where_only_that_is_offered() -> None:
    call = sent(publishing(token_endpoint_auth_methods_supported=["client_secret_post"]))
    assert call.basic is None
    assert call.form is not None
    assert call.form["client_secret"] == SECRET


def test_what_is_said_counts_more_than_what_is_offered() -> None:
    server = publishing(token_endpoint_auth_methods_supported=["client_secret_basic"])
    assert sent(server, client_auth="client_secret_post").basic is None


def test_what_a_credential_says_counts_most() -> None:
    server = publishing()
    session = opened(server, client_auth="client_secret_post")
    credential = a_credential(
        Kind.OAUTH_CLIENT, options={"client_auth": "client_secret_basic", "audience": ""}
    )
    session.mint(credential, SECRET, TokenRequest())
    assert server.calls[-1].basic is not None


def test_a_private_key_signs_and_is_not_sent() -> None:
    server = publishing()
    call = sent(server, pem(P256))
    assert call.basic is None
    assert call.form is not None
    kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert set(call.form) == {"grant_type", "client_assertion_type", "client_assertion"}
    assert call.form["client_assertion_type"] == kind
    claims = claims_of(call.form)
    assert claims["iss"] == claims["sub"] == "app_8v3k9m"
    assert claims["aud"] == ISSUER
    assert claims["exp"] - claims["iat"] == 60
    assert claims["iat"] == int(FakeClock().now().timestamp())


def test_no_two_assertions_are_alike() -> None:
    server = publishing()
    session = opened(server)
    for _again in range(2):
        session.mint(OAUTH, pem(P256), TokenRequest())
    first, second = (claims_of(call.form)["jti"] for call in server.calls[-2:])
    assert first != second
    assert len(first) >= 32


@pytest.mark.parametrize(
    "options",
    [{"assertion_audience": "token_endpoint"}, {"issuer": "", "token_endpoint": ENDPOINT}],
)
def test_assertions_may_be_for_the_token_endpoint(options: dict[str, str]) -> None:
    assert claims_of(sent(publishing(), pem(P256), **options).form)["aud"] == ENDPOINT


def test_a_private_key_is_never_shown_to_a_server_that_wants_secrets() -> None:
    for offered in (["client_secret_post"], ["tls_client_auth"], None):
        server = publishing(token_endpoint_auth_methods_supported=offered)
        with pytest.raises(IssuerRefused):
            sent(server, pem(P256))
        assert server.paths == [WELL_KNOWN]


def test_a_server_that_offers_nothing_known_is_refused() -> None:
    server = publishing(token_endpoint_auth_methods_supported=["tls_client_auth"])
    with pytest.raises(IssuerRefused, match="no way that credmgr knows"):
        sent(server)


# --- assertions


def header_of(secret: Secret, *offered: str) -> dict[str, Any]:
    now = FakeClock().now()
    signed = assertion("app", ISSUER, secret, now, frozenset(offered)).reveal()
    raw = signed.split(".")[0]
    return dict(json.loads(b64decode(raw + "=" * (-len(raw) % 4), altchars=b"-_")))


ED25519 = ed25519.Ed25519PrivateKey.generate()
RSA = rsa.generate_private_key(65537, 2048)


@pytest.mark.parametrize(
    ("key", "offered", "algorithm"),
    [
        (P256, (), "ES256"),
        (ec.generate_private_key(ec.SECP384R1()), (), "ES384"),
        (ec.generate_private_key(ec.SECP521R1()), (), "ES512"),
        (ED25519, (), "EdDSA"),
        (ED25519, ("ES256", "EdDSA"), "EdDSA"),
        (RSA, (), "RS256"),
        (RSA, ("PS256", "ES256"), "PS256"),
    ],
    ids=["P-256", "P-384", "P-521", "Ed25519", "Ed25519-offered", "RSA", "RSA-offered"],
)
def test_the_algorithm_fits_the_key_and_the_server(
    key: Any, offered: tuple[str, ...], algorithm: str
) -> None:
    assert header_of(pem(key), *offered) == {"alg": algorithm, "typ": "JWT"}


def test_a_jwk_says_its_id_and_algorithm() -> None:
    jwk = {**RSAKey.import_key(pem(RSA).reveal()).as_dict(private=True)}
    named = Secret(json.dumps({**jwk, "kid": "key-7", "alg": "PS256"}))
    assert header_of(named) == {"alg": "PS256", "typ": "JWT", "kid": "key-7"}
    with pytest.raises(IssuerRefused, match="PS256"):
        header_of(named, "RS256")


@pytest.mark.parametrize("alg", ["none", "HS256", "ES256"])
def test_an_algorithm_that_does_not_fit_the_key_is_refused(alg: str) -> None:
    jwk = {**RSAKey.import_key(pem(RSA).reveal()).as_dict(private=True), "alg": alg}
    with pytest.raises(IssuerRefused):
        header_of(Secret(json.dumps(jwk)))


def test_a_key_that_the_server_has_no_algorithm_for_is_refused() -> None:
    with pytest.raises(IssuerRefused, match="ES256"):
        header_of(pem(P256), "RS256")


def a_public_jwk() -> str:
    return json.dumps(ECKey.generate_key("P-256").as_dict(private=False))


WEAK = RSAKey.import_key(pem(RSA).reveal()).as_dict(private=True) | {"n": "A" * 172}


CANNOT_SIGN = {
    "garbage": "canary-garbage",
    "blank": " ",
    "snowman": "\N{SNOWMAN}",
    "broken PEM": "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\n",
    "encrypted": pem(P256, BestAvailableEncryption(b"canary")).reveal(),
    "weak RSA": pem(rsa.generate_private_key(65537, 1024)).reveal(),  # noqa: S505 (on purpose)
    "Ed448": pem(ed448.Ed448PrivateKey.generate()).reveal(),
    "DSA": pem(dsa.generate_private_key(2048)).reveal(),
    "secp256k1": pem(ec.generate_private_key(ec.SECP256K1())).reveal(),
    "public PEM": PUBLIC.decode(),
    "public JWK": a_public_jwk(),
    "symmetric JWK": json.dumps(OctKey.generate_key(256).as_dict(private=True)),
    "X25519 JWK": json.dumps(OKPKey.generate_key("X25519").as_dict(private=True)),
    "inconsistent JWK": json.dumps(WEAK),
    "half an object": "{",
    "empty JWK": "{}",
    "JWK of a kind alone": '{"kty": "EC"}',
    "JWK of no kind": '{"kty": ["EC"]}',
    "JWK with a number": '{"kty": "EC", "crv": "P-256", "x": 5, "y": "a", "d": "b"}',
    "deep": '{"a":' * 100_000,
}


@pytest.mark.parametrize("text", CANNOT_SIGN.values(), ids=CANNOT_SIGN.keys())
def test_what_cannot_sign_is_a_rejected_secret(text: str) -> None:
    server = publishing()
    with pytest.raises(SecretRejected) as caught:
        sent(server, Secret(text), client_auth="private_key_jwt")
    assert server.paths == [WELL_KNOWN]
    assert "canary" not in everything_in(caught.value)


# --- audiences


@pytest.mark.parametrize("name", ["resource", "audience"])
def test_the_audience_goes_under_the_name_that_the_server_knows(name: str) -> None:
    server = publishing()
    session = opened(server, audience_parameter=name)
    credential = a_credential(Kind.OAUTH_CLIENT, options={"audience": "https://api.example"})
    session.mint(credential, SECRET, TokenRequest(audience="https://other.example"))
    session.mint(credential, SECRET, TokenRequest())
    session.verify(credential, SECRET)
    session.mint(OAUTH, SECRET, TokenRequest())
    told = [call.form.get(name) for call in server.calls if call.form is not None]
    assert told == ["https://other.example", "https://api.example", "https://api.example", None]


def test_a_server_without_audiences_is_not_asked_for_one() -> None:
    server = publishing()
    with pytest.raises(IssuerRefused):
        opened(server, audience_parameter="").mint(OAUTH, SECRET, TokenRequest(audience="x"))
    assert server.paths == [WELL_KNOWN]


# --- a person does the rest


def test_a_person_is_told_where_and_what() -> None:
    session = opened(Server())
    for ask in (session.create, session.revoke):
        with pytest.raises(OperatorNeeded) as caught:
            ask(OAUTH, "credmgr-1")
        steps = "\n".join(caught.value.steps)
        assert ISSUER in steps
        assert "app_8v3k9m" in steps
        assert "credmgr-1" in steps


def test_steps_of_the_manifest_are_used_instead() -> None:
    session = opened(Server(), create_steps=("Call {issuer} about {label}.",))
    with pytest.raises(OperatorNeeded) as caught:
        session.create(OAUTH, "credmgr-1")
    assert caught.value.steps[0] == f"Call {ISSUER} about credmgr-1."


def test_it_neither_lists_nor_disables() -> None:
    session = opened(Server())
    assert not session.list(OAUTH)
    with pytest.raises(IssuerRefused):
        session.disable(OAUTH, "credmgr-1")


# --- the factory


def test_the_traits_are_those_of_a_manual_issuer() -> None:
    factory: IssuerFactory = FACTORY
    options = OAuth2Options(
        ISSUER, catalogue={"a": "b"}, max_active=2, propagation=timedelta(seconds=3)
    )
    traits = factory.traits(options)
    assert traits.issuer_class is IssuerClass.MANUAL
    assert (traits.lists, traits.disables, traits.max_active) == (False, False, 2)
    assert (traits.catalogue, traits.propagation) == ({"a": "b"}, timedelta(seconds=3))


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"issuer": ISSUER}, []),
        ({"issuer": "http://127.0.0.1:8660"}, []),
        ({"token_endpoint": f"{ENDPOINT}?p=1"}, []),
        ({}, ["issuer"]),
        ({"issuer": f"{ISSUER}?x=1"}, ["issuer"]),
        ({"issuer": "http://as.example"}, ["issuer"]),
        ({"token_endpoint": "http://as.example"}, ["token_endpoint"]),
        ({"issuer": ISSUER, "audience_parameter": ""}, []),
        ({"issuer": ISSUER, "audience_parameter": "scope"}, ["audience_parameter"]),
        ({"issuer": ISSUER, "audience_parameter": "a b"}, ["audience_parameter"]),
        ({"issuer": ISSUER, "max_active": 0}, ["max_active"]),
        ({"issuer": ISSUER, "create_steps": ("Make {type}.",)}, ["create_steps.0", "create_steps"]),
        ({"issuer": ISSUER, "revoke_steps": ("End {label",)}, ["revoke_steps.0", "revoke_steps"]),
    ],
)
def test_options_are_checked(options: dict[str, Any], wrong: list[str]) -> None:
    assert paths(FACTORY.validate(OAuth2Options(**options))) == wrong


@pytest.mark.parametrize(
    ("credential", "wrong"),
    [
        (OAUTH, []),
        (a_credential(Kind.OAUTH_CLIENT, client_id="api://1f/x?y"), []),
        (a_credential(Kind.OAUTH_CLIENT, client_id="a b"), ["client_id"]),
        (a_credential(Kind.OAUTH_CLIENT, client_id="ü"), ["client_id"]),
        (a_credential(Kind.API_KEY), ["kind"]),
        (a_credential(Kind.OAUTH_CLIENT, options={"audience": "https://api.example"}), []),
        (a_credential(Kind.OAUTH_CLIENT, options={"audience": "a b"}), ["options.audience"]),
    ],
)
def test_a_credential_is_a_client_of_the_server(credential: Any, wrong: list[str]) -> None:
    assert paths(FACTORY.validate_credential(OAuth2Options(ISSUER), credential)) == wrong
    assert FACTORY.account(OAuth2Options(ISSUER), credential) == credential.client_id


def test_an_audience_needs_a_server_that_knows_audiences() -> None:
    credential = a_credential(Kind.OAUTH_CLIENT, options={"audience": "x"})
    options = OAuth2Options(ISSUER, audience_parameter="")
    assert paths(FACTORY.validate_credential(options, credential)) == ["options.audience"]


def test_a_session_opens_without_a_connection() -> None:
    session = FACTORY.open(OAuth2Options(ISSUER), a_context())
    session.close()
    session.close()
