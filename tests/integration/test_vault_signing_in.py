"""Ways in, mounts, namespaces, limits and permissions, on a real OpenBao."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from credmgr.backends.vault import VaultBackendFactory
from credmgr.backends.vault.faults import RateLimited
from credmgr.backends.vault.options import (
    AppRoleSignIn,
    JwtSignIn,
    TokenSignIn,
    VaultOptions,
)
from credmgr.errors import AccessDenied, BackendError, BackendUnavailable
from credmgr.model.names import Name
from credmgr.model.version import Stage
from credmgr.plugins.context import PluginContext
from credmgr.testing.backend_moves import full, promoted, stages
from tests.integration.openbao import POLICY, ROOT, Bao, context_of, dev_server

CAPABILITIES = 'path "sys/capabilities-self" { capabilities = ["update"] }'


@pytest.fixture(scope="module")
def bao() -> Iterator[Bao]:
    with dev_server() as server:
        server.policy("credmgr", POLICY.read_text())
        yield server


@pytest.fixture
def name() -> Name:
    return Name(f"ways/{uuid4().hex}")


Opens = Callable[..., Any]


@pytest.fixture
def opens(bao: Bao, tmp_path: Path) -> Iterator[Opens]:
    """Opens a session; as root when the options name no sign-in."""
    made = []

    def one(context: PluginContext | None = None, **settings: Any) -> Any:
        if not {"token", "approle", "jwt"} & settings.keys():
            settings["token"] = TokenSignIn("env:token")
        options = VaultOptions(bao.address, **settings)
        assert list(VaultBackendFactory().validate(options)) == []
        context = context or context_of(tmp_path, token=ROOT)
        made.append(VaultBackendFactory().open(options, context))
        return made[-1]

    yield one
    for session in made:
        session.close()


def put(context: PluginContext, **values: str) -> None:
    """Let the references of a context lead elsewhere."""
    references: Any = context.references
    references.values.update({f"env:{name}": value for name, value in values.items()})


# --- ways in


def test_a_brought_token_is_followed_anew_when_it_has_died(
    bao: Bao, opens: Opens, tmp_path: Path, name: Name
) -> None:
    first, second = (
        bao.ask("POST", "auth/token/create", {"policies": ["credmgr"], "ttl": "1h"})["auth"][
            "client_token"
        ]
        for _ in range(2)
    )
    context = context_of(tmp_path, token=first)
    backend = opens(context)
    promoted(backend, name, "one")
    bao.ask("POST", "auth/token/revoke", {"token": first})
    with pytest.raises(AccessDenied, match="no longer accepted") as caught:
        backend.read(name)
    assert caught.value.hint == "put a new token where the option `token` points"
    put(context, token=second)
    assert backend.read(name).secret.reveal() == "one"
    backend.close()
    assert bao.status("POST", "auth/token/lookup", {"token": second}) == 200, "it is not ours"


@pytest.mark.parametrize("more", [CAPABILITIES, ""], ids=["asked", "tried"])
@pytest.mark.parametrize(
    ("order", "brief"),
    [
        ({"ttl": "44m"}, "0:44:00"),
        ({"period": "10m"}, "0:10:00"),
        ({"ttl": "45m"}, None),
        ({"ttl": "10m", "renewable": False}, None),
    ],
)
def test_a_token_that_may_end_between_two_calls_is_told(
    bao: Bao, opens: Opens, tmp_path: Path, order: dict[str, Any], brief: str | None, more: str
) -> None:
    bao.policy("brief", POLICY.read_text() + more)
    order = {"policies": ["brief"], "no_default_policy": True, **order}
    token = bao.ask("POST", "auth/token/create", order)["auth"]["client_token"]
    backend = opens(context_of(tmp_path, token=token))
    told = [one for one in backend.permissions([]) if "pause" in one.what]
    if brief is None:
        assert told == []
    else:
        [one] = told
        ends = f"whether its token, which ends {brief} after its last renewal, outlives every pause"
        assert (one.what, one.granted) == (ends, None)
        assert one.fix.startswith("give it a `period` of 0:45:00 or more")


@pytest.mark.parametrize(("left", "renewed"), [("19m", True), ("21m", False)])
def test_a_brought_token_is_renewed_at_once_when_a_third_of_its_life_is_left(
    bao: Bao, opens: Opens, tmp_path: Path, name: Name, left: str, *, renewed: bool
) -> None:
    order = {"policies": ["credmgr"], "ttl": "1h"}
    token = bao.ask("POST", "auth/token/create", order)["auth"]["client_token"]
    bao.ask("POST", "auth/token/renew", {"token": token, "increment": left})
    before = bao.ask("POST", "auth/token/lookup", {"token": token})["data"]["expire_time"]
    promoted(opens(context_of(tmp_path, token=token)), name, "one")
    after = bao.ask("POST", "auth/token/lookup", {"token": token})["data"]["expire_time"]
    assert (after != before) is renewed


def test_a_token_that_credmgr_can_replace_may_be_brief(
    bao: Bao, opens: Opens, tmp_path: Path
) -> None:
    role_id, secret_id = bao.role("credmgr", token_ttl="1m")  # noqa: S106 (a time)
    way = AppRoleSignIn(role_id, "env:secret_id")
    backend = opens(context_of(tmp_path, secret_id=secret_id), approle=way)
    assert [one for one in backend.permissions([]) if "pause" in one.what] == []


def test_a_token_that_may_not_look_at_itself_works(
    bao: Bao, opens: Opens, tmp_path: Path, name: Name
) -> None:
    bao.policy("blind", POLICY.read_text().replace("auth/token/lookup-self", "auth/token/nothing"))
    order = {"policies": ["blind"], "no_default_policy": True}
    token = bao.ask("POST", "auth/token/create", order)["auth"]["client_token"]
    promoted(opens(context_of(tmp_path, token=token)), name, "one")


def test_a_wrapped_secret_id_is_unwrapped_once_and_kept(
    bao: Bao, opens: Opens, tmp_path: Path, name: Name
) -> None:
    bao.role("credmgr")  # enables the method
    role_id = f"id-{uuid4().hex}"
    bao.ask("POST", "auth/approle/role/known", {"token_policies": ["credmgr"], "role_id": role_id})
    wrapping = bao.wrapped("POST", "auth/approle/role/known/secret-id", {})
    context = context_of(tmp_path, secret_id=wrapping)
    way = AppRoleSignIn(role_id, "env:secret_id", wrapped=True)
    backend = opens(context, approle=way)
    promoted(backend, name, "one")
    token = backend._connection._tokens._held.granted.token.reveal()
    bao.ask("POST", "auth/token/revoke", {"token": token})
    assert backend.read(name).secret.reveal() == "one"
    with pytest.raises(AccessDenied, match="the wrapping token is used up") as caught:
        opens(context, approle=way).read(name)
    assert "each process of credmgr unwraps for itself" in str(caught.value.hint)
    assert "somebody else has" in str(caught.value.hint)


@pytest.mark.parametrize("how", ["made wrapped", "wrapped by hand"])
def test_a_wrapped_token_is_unwrapped(
    bao: Bao, opens: Opens, tmp_path: Path, name: Name, how: str
) -> None:
    order = {"policies": ["credmgr"]}
    if how == "made wrapped":
        wrapping = bao.wrapped("POST", "auth/token/create", order)
    else:
        token = bao.ask("POST", "auth/token/create", order)["auth"]["client_token"]
        wrapping = bao.wrapped("POST", "sys/wrapping/wrap", {"token": token})
    context = context_of(tmp_path, token=wrapping)
    promoted(opens(context, token=TokenSignIn("env:token", wrapped=True)), name, "one")


def test_a_wrong_secret_id_is_denied(bao: Bao, opens: Opens, tmp_path: Path, name: Name) -> None:
    role_id, _ = bao.role("credmgr")
    context = context_of(tmp_path, secret_id="wrong")  # noqa: S106 (and meant to be)
    backend = opens(context, approle=AppRoleSignIn(role_id, "env:secret_id"))
    with pytest.raises(AccessDenied, match="does not accept this sign-in"):
        backend.read(name)


def test_a_jwt_signs_in(bao: Bao, opens: Opens, tmp_path: Path, name: Name) -> None:
    key = ECKey.generate_key("P-256")
    bao.ask("POST", "sys/auth/jwt", {"type": "jwt"})
    pem = key.as_pem(private=False).decode()
    bao.ask("POST", "auth/jwt/config", {"jwt_validation_pubkeys": [pem]})
    role = {
        "role_type": "jwt",
        "user_claim": "sub",
        "bound_subject": "credmgr",
        "bound_audiences": ["bao"],
        "token_policies": ["credmgr"],
    }
    bao.ask("POST", "auth/jwt/role/app", role)
    claims = {"sub": "credmgr", "aud": "bao", "exp": 4_000_000_000, "iat": 1_700_000_000}
    proof = jwt.encode({"alg": "ES256"}, claims, key)
    backend = opens(context_of(tmp_path, jwt=proof), jwt=JwtSignIn("app", "env:jwt"))
    promoted(backend, name, "one")


def test_a_namespace_is_a_world_of_its_own(bao: Bao, opens: Opens, name: Name) -> None:
    bao.ask("POST", "sys/namespaces/team", {})
    bao.ask("POST", "team/sys/mounts/kv", {"type": "kv", "options": {"version": "2"}})
    backend = opens(namespace="team", mount="kv")
    backend.check()
    promoted(backend, name, "one")
    found = bao.ask("GET", f"team/kv/data/credmgr/{name}")["data"]["data"]
    assert found["value"] == "one"


# --- mounts


def test_a_mount_of_version_1_is_refused_with_the_reason(
    bao: Bao, opens: Opens, name: Name
) -> None:
    bao.ask("POST", "sys/mounts/old", {"type": "kv", "options": {"version": "1"}})
    backend = opens(mount="old")
    with pytest.raises(BackendError, match="old is KV version 1, which has no versions"):
        backend.check()
    with pytest.raises(BackendError, match="old is KV version 1, which has no versions"):
        promoted(backend, name, "one")
    assert bao.status("GET", f"old/data/credmgr/{name}.next") == 404


def test_a_mount_of_another_kind_is_refused(bao: Bao, opens: Opens, name: Name) -> None:
    bao.ask("POST", "sys/mounts/ciphers", {"type": "transit"})
    with pytest.raises(BackendError, match="ciphers is a mount of type transit, not kv"):
        opens(mount="ciphers").read(name)


def test_a_mount_that_is_not_there_is_told(opens: Opens, name: Name) -> None:
    with pytest.raises(AccessDenied, match="nothing is mounted there"):
        opens(mount="nowhere").read(name)


def test_a_mount_deleted_under_us_proves_no_absence(bao: Bao, opens: Opens, name: Name) -> None:
    mount = f"brief-{uuid4().hex[:6]}"
    order = {"type": "kv", "options": {"version": "2"}}
    bao.ask("POST", f"sys/mounts/{mount}", order)
    backend = opens(mount=mount)
    one = promoted(backend, name, "one")
    bao.ask("DELETE", f"sys/mounts/{mount}")
    calls: list[Callable[[], object]] = [
        lambda: backend.read(name),
        lambda: backend.versions(name),
        lambda: backend.promote(name, one, None),
        lambda: backend.delete(name),
    ]
    for call in calls:
        with pytest.raises(BackendUnavailable, match="nothing is mounted there"):
            call()
    bao.ask("POST", f"sys/mounts/{mount}", {**order, "options": {"version": "1"}})
    with pytest.raises(BackendError, match="KV version 1"):
        backend.versions(name)
    bao.ask("DELETE", f"sys/mounts/{mount}")
    bao.ask("POST", f"sys/mounts/{mount}", order)
    assert backend.versions(name) == []


def test_a_rate_limit_is_told_with_its_end_and_passes(bao: Bao, opens: Opens, name: Name) -> None:
    mount = f"slow-{uuid4().hex[:6]}"
    bao.ask("POST", f"sys/mounts/{mount}", {"type": "kv", "options": {"version": "2"}})
    backend = opens(mount=mount)
    full(backend, name)
    bao.ask("POST", "sys/quotas/config", {"enable_rate_limit_response_headers": True})
    quota = {"path": mount, "rate": 1, "interval": "1m"}
    bao.ask("POST", f"sys/quotas/rate-limit/{mount}", quota)
    with suppress(RateLimited):  # the first one may still pass
        backend.read(name)
    with pytest.raises(RateLimited, match="asks for fewer calls") as caught:
        backend.read(name)
    assert caught.value.retryable
    assert caught.value.retry_after is not None
    bao.ask("DELETE", f"sys/quotas/rate-limit/{mount}")
    assert set(stages(backend, name)) == set(Stage)


# --- permissions


def test_the_policy_permits_nothing_else(bao: Bao, opens: Opens, tmp_path: Path) -> None:
    role_id, secret_id = bao.role("credmgr")
    way = AppRoleSignIn(role_id, "env:secret_id")
    backend = opens(context_of(tmp_path, secret_id=secret_id), approle=way)
    name = Name(f"policy/{uuid4().hex}")
    full(backend, name)
    backend.check()
    token = backend._connection._tokens._held.granted.token.reveal()
    bao.ask("POST", "secret/data/other/a", {"data": {"value": "theirs"}})
    forbidden: list[tuple[str, str, Any]] = [
        ("GET", "secret/data/other/a", None),
        ("POST", "secret/data/other/a", {"data": {}}),
        ("POST", "secret/data/credmgr", {"data": {}}),
        ("DELETE", f"secret/data/credmgr/{name}", None),
        ("GET", "secret/metadata/credmgr/?list=true", None),
        ("DELETE", "secret/metadata/other/a", None),
        ("POST", f"secret/delete/credmgr/{name}", {"versions": [1]}),
        ("POST", f"secret/undelete/credmgr/{name}", {"versions": [1]}),
        ("POST", "secret/destroy/other/a", {"versions": [1]}),
        ("GET", "secret/config", None),
        ("POST", "secret/config", {"max_versions": 1}),
        ("GET", "sys/mounts", None),
        ("GET", "sys/policies/acl/credmgr", None),
        ("POST", "sys/capabilities-self", {"paths": ["secret/data/credmgr/a"]}),
        ("POST", "auth/token/create", {}),
        ("GET", "auth/approle/role?list=true", None),
    ]
    answers = {
        (method, path): bao.status(method, path, body, token) for method, path, body in forbidden
    }
    assert {place for place, status in answers.items() if status != 403} == set()
    assert len(stages(backend, name)) == 3


@pytest.mark.parametrize("asked", [False, True], ids=["tried", "asked"])
@pytest.mark.parametrize(
    ("present", "absent", "path"),
    [
        ('["create", "read", "update"]', '["create", "read"]', "secret/data/credmgr/.check"),
        ('["create", "read", "update"]', '["read", "update"]', "secret/data/credmgr/.check"),
        ('["create", "read", "update"]', '["create", "update"]', "secret/data/credmgr/.check"),
        ('["delete", "read", "update"]', '["read", "update"]', "secret/metadata/credmgr/.check"),
        ('["delete", "read", "update"]', '["delete", "read"]', "secret/metadata/credmgr/.check"),
        ("secret/destroy", "secret/nothing", "secret/destroy/credmgr/.check"),
    ],
)
def test_a_check_names_each_permission_that_is_missing(  # noqa: PLR0913 (its table)
    bao: Bao, opens: Opens, tmp_path: Path, present: str, absent: str, path: str, *, asked: bool
) -> None:
    bao.ask("DELETE", "secret/metadata/credmgr/.check")
    text = POLICY.read_text()
    assert text.count(present) == 1
    own = f"own-{uuid4().hex[:6]}"
    bao.policy(own, text.replace(present, absent) + (CAPABILITIES if asked else ""))
    role_id, secret_id = bao.role(own)
    way = AppRoleSignIn(role_id, "env:secret_id")
    backend = opens(context_of(tmp_path, secret_id=secret_id), approle=way)
    with pytest.raises(AccessDenied) as caught:
        backend.check()
    assert path in f"{caught.value} {caught.value.hint}"
    bao.policy(own, text + (CAPABILITIES if asked else ""))
    backend.check()
    assert bao.status("GET", "secret/metadata/credmgr/.check") == 404
