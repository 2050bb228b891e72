"""What the issuers' factories refuse before anything is opened."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest

from credmgr.errors import ConfigError, OperatorNeeded, ScopeRefused
from credmgr.issuers.caseforge import (
    CATALOGUE,
    CaseForgeIssuerFactory,
    CaseForgeOptions,
    check_type,
    key_name_of,
    key_type_of,
)
from credmgr.issuers.manual import ManualIssuerFactory, ManualOptions
from credmgr.model.credential import Credential, Environment, Kind
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.model.version import KeyType
from credmgr.plugins.backend import Mistake
from credmgr.plugins.issuer import IssuerClass, IssuerFactory
from credmgr.sandbox import SCOPES as SANDBOX_SCOPES
from tests.issuer_world import a_context, a_credential

CASEFORGE = CaseForgeIssuerFactory()
MANUAL = ManualIssuerFactory()
OAUTH = a_credential(Kind.OAUTH_CLIENT)
KEY = a_credential(Kind.API_KEY)
STEPS = ("Make {label}.",)


def paths(mistakes: Iterable[Mistake]) -> list[str]:
    return [mistake.option for mistake in mistakes]


def caseforge(**more: Any) -> CaseForgeOptions:
    return CaseForgeOptions(**{"url": "https://cf.example", "admin_token": "env:ADMIN", **more})


def test_both_factories_are_issuer_factories() -> None:
    factories: list[IssuerFactory] = [CASEFORGE, MANUAL]
    assert [factory.credential_options for factory in factories]


@pytest.mark.parametrize(
    "url",
    [
        "https://cf.example",
        "https://cf.example:8443/tenant/",
        "http://localhost:8660",
        "http://127.0.0.1:8660",
        "http://127.9.9.9",
        "http://[::1]:8660",
    ],
)
def test_an_address_that_keeps_secrets_secret_is_taken(url: str) -> None:
    assert not paths(CASEFORGE.validate(caseforge(url=url, auth_url=url)))
    assert not paths(MANUAL.validate(ManualOptions(token_url=url, probe_url=f"{url}?a=b")))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "cf.example",
        "ftp://cf.example",
        "https://",
        "https://cf.example:99999",
        "https://[::1",
        "http://cf.example",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "https://user:pass@cf.example",
        "https://cf.example?x=1",
        "https://cf.example#top",
        "https://cf.example/a b",
        "https://cf.example/{id}",
        "https://bücher.example",
        "https://cf.example/\x00",
    ],
)
def test_another_address_is_refused_once(url: str) -> None:
    assert paths(CASEFORGE.validate(caseforge(url=url))) == ["url"]
    if url:
        assert paths(CASEFORGE.validate(caseforge(auth_url=url))) == ["auth_url"]
        assert paths(MANUAL.validate(ManualOptions(token_url=url))) == ["token_url"]


def test_the_catalogue_has_the_ten_scopes_that_the_sandbox_has() -> None:
    traits = CASEFORGE.traits(caseforge(propagation=timedelta(seconds=30)))
    assert list(traits.catalogue) == list(SANDBOX_SCOPES) == list(CATALOGUE)
    assert (traits.issuer_class, traits.max_active) == (IssuerClass.MANY, 2)
    assert traits.propagation == timedelta(seconds=30)


@pytest.mark.parametrize("factory", [CASEFORGE, MANUAL])
@pytest.mark.parametrize(
    ("credential", "wrong"),
    [
        (OAUTH, []),
        (KEY, []),
        (a_credential(Kind.OAUTH_CLIENT, client_id="../x"), ["client_id"]),
        (a_credential(Kind.OAUTH_CLIENT, options={"key_type": "live"}), ["options.key_type"]),
        (a_credential(Kind.API_KEY, options={"key_name": "a\nb"}), ["options.key_name"]),
        (a_credential(Kind.API_KEY, options={"key_name": "a" * 256}), ["options.key_name"]),
    ],
)
def test_a_credential_is_known_at_the_issuer_in_the_right_way(
    factory: Any, credential: Credential, wrong: list[str]
) -> None:
    options = caseforge() if factory is CASEFORGE else ManualOptions()
    assert paths(factory.validate_credential(options, credential)) == wrong


def test_the_key_type_follows_the_environment_unless_declared() -> None:
    live = a_credential(Kind.API_KEY, environment=Environment.PRODUCTION)
    assert key_type_of(live) is KeyType.LIVE
    assert key_type_of(KEY) is KeyType.SANDBOX
    assert key_type_of(a_credential(Kind.API_KEY, options={"key_type": "live"})) is KeyType.LIVE


def test_the_key_name_follows_the_credentials_unless_declared() -> None:
    assert key_name_of(KEY) == "caseforge-reporting"
    assert key_name_of(a_credential(Kind.API_KEY, options={"key_name": "local dev"})) == "local dev"


def test_a_key_shows_its_type() -> None:
    check_type(KEY, Secret("cf_sand_1"))
    with pytest.raises(ScopeRefused, match="cf_sand_"):
        check_type(KEY, Secret("cf_live_1"))


def test_a_reference_or_bundle_that_leads_nowhere_is_a_configuration_error() -> None:
    elsewhere = CaseForgeOptions("https://cf.example", "env:OTHER")
    for options in (elsewhere, caseforge(ca_bundle="none.pem")):
        with pytest.raises(ConfigError):
            CASEFORGE.open(options, a_context())
    with pytest.raises(ConfigError):
        MANUAL.open(ManualOptions(ca_bundle="none.pem"), a_context())


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({}, []),
        ({"max_active": 0}, ["max_active"]),
        ({"create_steps": STEPS}, []),
        (
            {"create_steps": ("Go.", "Make {label} for {name} of {client_id}: {scopes}, {type}.")},
            [],
        ),
        ({"create_steps": ("Make {{label}}.",)}, ["create_steps"]),
        ({"create_steps": ("Make it.",)}, ["create_steps"]),
        ({"create_steps": ("Make {label.__class__}.", *STEPS)}, ["create_steps.0"]),
        ({"create_steps": ("Make {label!r}.",)}, ["create_steps.0"]),
        ({"create_steps": ("Make {label:>99}.",)}, ["create_steps.0"]),
        ({"create_steps": ("Make {}.", *STEPS)}, ["create_steps.0"]),
        ({"create_steps": ("Make {label}.", "For {nmae}.")}, ["create_steps.1"]),
        ({"revoke_steps": ("Revoke {label.", "x {label}")}, ["revoke_steps.0"]),
        ({"dashboard": "other"}, ["create_steps", "revoke_steps"]),
        ({"dashboard": "other", "create_steps": STEPS, "revoke_steps": STEPS}, []),
    ],
    ids=repr,
)
def test_steps_are_complete_templates(options: dict[str, Any], wrong: list[str]) -> None:
    assert paths(MANUAL.validate(ManualOptions(**options))) == wrong


def test_a_credential_needs_an_address_to_log_in_at() -> None:
    bare = ManualOptions(dashboard="other", create_steps=STEPS, revoke_steps=STEPS)
    assert paths(MANUAL.validate_credential(bare, OAUTH)) == ["issuer"]
    assert paths(MANUAL.validate_credential(bare, KEY)) == ["issuer"]


def test_the_catalogue_of_a_dashboard_is_caseforges_unless_given() -> None:
    given = {"read": "See things."}
    assert MANUAL.traits(ManualOptions()).catalogue == CATALOGUE
    assert MANUAL.traits(ManualOptions(catalogue=given)).catalogue == given
    assert MANUAL.traits(ManualOptions(dashboard="other")).catalogue == {}


def steps_of(credential: Credential, **options: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    session = MANUAL.open(ManualOptions(**options), a_context())
    with pytest.raises(OperatorNeeded) as create:
        session.create(credential, "credmgr-1")
    with pytest.raises(OperatorNeeded) as revoke:
        session.revoke(credential, "credmgr-0")
    session.close()
    return create.value.steps, revoke.value.steps


def test_the_steps_for_a_key_are_exact() -> None:
    create, revoke = steps_of(a_credential(Kind.API_KEY, environment=Environment.PRODUCTION))
    assert create == (
        "Open Dashboard → Settings → API Keys at CaseForge.",
        "Select Create API key and give it this name: credmgr-1",
        "Choose the key type Live; where scopes are offered, select only: alerts:read cases:read",
        "Copy the key before the dialog closes: it is shown this once.",
        "Then run: credmgr import caseforge/reporting",
    )
    assert revoke == (
        "Open Dashboard → Settings → API Keys at CaseForge.",
        "Revoke the key named credmgr-0, and no other.",
        "Then run: credmgr resolve caseforge/reporting --revoked",
    )


def test_the_steps_for_a_client_secret_name_the_application() -> None:
    for steps in steps_of(OAUTH):
        assert any("app_8v3k9m" in step for step in steps)


def test_given_steps_are_filled_in() -> None:
    template = ("{label}|{name}|{client_id}|{scopes}|{type}|{{}}",)
    unscoped = a_credential(Kind.API_KEY, scopes=frozenset(), name=Name("k"))
    create, revoke = steps_of(unscoped, create_steps=template, revoke_steps=template)
    assert create[0] == "credmgr-1|k||those that the owner names|Sandbox|{}"
    assert revoke[0].startswith("credmgr-0|k|")
