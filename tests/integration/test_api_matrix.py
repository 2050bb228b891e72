"""Who may ask what: every role at every route for every object, from the routes themselves."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Final

import pytest

from credmgr.api.operation import Access, Operation
from credmgr.model.consumer import Readable
from credmgr.model.names import Name
from tests.integration.api_world import BEARERS, CLIENT, KEY, OTHER, Said, World, serving

OPERATOR: Final = "the operator"
STRANGER: Final = "credmgr_" + "x" * 43
ROLES: Final = (*BEARERS, OPERATOR, STRANGER, None)
OBJECTS: Final = (KEY, CLIENT, OTHER, Name("caseforge/unknown"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with serving(tmp_path_factory.mktemp("api")) as made:
        yield made


def asked(world: World, method: str, path: str, role: str | None) -> Said:
    if role == OPERATOR:
        return world.unix(method, path)
    return world.ask(method, path, role, body=BODIES.get(path.rpartition("/")[2]), **JSON)


JSON: Final = {"Content_Type": "application/json"}
BODIES: Final = {"reject": '{"access_token": "one that nobody has"}'}


def expected(world: World, one: Operation, role: str | None, name: Name) -> int:
    """The status, as the manifest's words say it; computed apart from the code that decides."""
    good = min(one.answers)
    if one.access in (Access.ANYBODY, Access.CLIENT):
        return good if one.access is Access.ANYBODY else 400
    if role in (None, STRANGER):
        return 401
    return good if may(world, one, str(role), name) else 404


def may(world: World, one: Operation, role: str, name: Name) -> bool:
    consumer = None if role == OPERATOR else world.app.manifest.consumers[Name(role)]
    operator = consumer is None or consumer.operator
    if one.access is Access.OPERATOR or "{credential" not in one.path:
        return operator or one.access is Access.CALLER
    known, prefix = world.app.manifest.credentials.get(name), one.path.rpartition("/{")[0]
    grant = consumer.grant(name) if consumer else None
    match prefix:
        case "/v1/credentials":
            return known is not None and (operator or grant is not None)
        case "/v1/secrets":
            reads = Readable.SECRET
        case _:
            reads = Readable.TOKEN
            if known is None or known.kind != "oauth-client":
                return False
    return known is not None and (consumer is None or bool(grant and reads in grant.read))


def test_every_role_gets_at_every_route_what_its_grants_say(world: World) -> None:
    wrong, seen = [], set()
    for one, role, name in product(world.api.operations, ROLES, OBJECTS):
        if role == OPERATOR and one.method == "POST":
            continue  # a body is sent over TCP only here
        path = one.path.replace("{credential:path}", name)
        status = asked(world, one.method, path, role).status
        seen.add((one.path, status))
        if status != expected(world, one, role, name):
            wrong.append((one.method, path, role, status, expected(world, one, role, name)))
    assert wrong == []
    assert len({path for path, _ in seen}) == len({one.path for one in world.api.operations})


@pytest.mark.parametrize("path", ["/v1/secrets", "/v1/tokens", "/v1/credentials"])
@pytest.mark.parametrize("role", ["nobody", "reader", "minter"])
def test_unknown_and_forbidden_look_alike(world: World, path: str, role: str) -> None:
    forbidden = world.ask("GET", f"{path}/{OTHER}", role)
    unknown = world.ask("GET", f"{path}/caseforge/unknown", role)
    nowhere = world.ask("GET", "/v1/nowhere", role)
    assert forbidden.status == unknown.status == nowhere.status == 404
    assert forbidden.body == unknown.body == nowhere.body
    alike = [
        {k: v for k, v in said.headers.items() if k != "date"} for said in (forbidden, unknown)
    ]
    assert alike[0] == alike[1]


def test_a_list_has_what_the_caller_may_see(world: World) -> None:
    def names(role: str) -> set[str]:
        listed = asked(world, "GET", "/v1/credentials", role).json["credentials"]
        return {one["name"] for one in listed}

    assert names("nobody") == set()
    assert names("reader") == {KEY}
    assert names("both") == {KEY, CLIENT}
    assert names("watcher") == names(OPERATOR) == {KEY, CLIENT, OTHER}


def test_a_token_is_no_wider_than_the_grant_and_as_narrow_as_asked(world: World) -> None:
    path = f"/v1/tokens/{CLIENT}"
    assert world.ask("GET", path, "minter").json["scope"] == "cases:read"
    assert world.ask("GET", path, "both").json["scope"] == "cases:read cases:write"
    assert world.ask("GET", f"{path}?scope=cases:write", "both").json["scope"] == "cases:write"
    refused = world.ask("GET", f"{path}?scope=cases:read+cases:write", "minter")
    assert refused.status == 403
    assert refused.json["type"] == "urn:credmgr:problem:scope_not_granted"
    assert "cases:write" not in refused.json["detail"]


def test_what_an_operator_reads_is_in_the_audit_log(world: World) -> None:
    assert world.unix("GET", f"/v1/secrets/{KEY}").status == 200
    assert world.unix("GET", f"/v1/tokens/{CLIENT}").status == 200
    assert world.unix("GET", f"/v1/tokens/{CLIENT}").status == 200
    records = world.app.store.audit.records(0, 1000)
    told = [one.event for one in records if one.event.actor.startswith("operator:uid")]
    assert [one.action for one in told[-3:]] == ["secret.read", "token.read", "token.read"]


def test_a_bearer_is_proof_on_the_socket_too(world: World) -> None:
    bearer = {"Authorization": f"Bearer {world.bearers['reader']}"}
    assert world.unix("GET", f"/v1/secrets/{KEY}", **bearer).status == 200
    assert world.unix("GET", f"/v1/secrets/{OTHER}", **bearer).status == 404
    wrong = {"Authorization": f"Bearer {STRANGER}"}
    assert world.unix("GET", f"/v1/secrets/{KEY}", **wrong).status == 401


def test_it_says_how_to_prove_who_one_is(world: World) -> None:
    unproven = world.ask("GET", "/v1/credentials")
    assert unproven.headers["www-authenticate"] == 'Bearer realm="credmgr"'
    tried = world.ask("GET", "/v1/credentials", STRANGER)
    assert tried.headers["www-authenticate"] == 'Bearer realm="credmgr", error="invalid_token"'
    basic = world.ask("GET", "/v1/credentials", Authorization="Basic Og==")
    assert basic.status == 401


def test_the_file_of_the_socket_is_for_owner_and_group(world: World, tmp_path: Path) -> None:
    path = world.app.manifest.api.socket
    assert path.stat().st_mode & 0o777 == 0o660
    assert path.parent.stat().st_mode & 0o777 == 0o750
    assert not list(tmp_path.iterdir())
