"""What stands in a real OpenBao after each operation, whoever failed, crashed or meddled."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any
from uuid import UUID, uuid4

import pytest
from urllib3.exceptions import ProtocolError

from credmgr.backends.vault.opening import opened, transport_of
from credmgr.backends.vault.options import TokenSignIn, VaultOptions
from credmgr.backends.vault.session import VaultBackend
from credmgr.backends.vault.transport import Transport
from credmgr.errors import (
    BackendUnavailable,
    CorruptSecret,
    LimitExceeded,
)
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.model.version import Stage
from credmgr.testing.backend_moves import full, promoted, staged, stages
from tests.integration.openbao import ROOT, Bao, context_of, dev_server, fields, readable


@pytest.fixture(scope="module")
def bao() -> Iterator[Bao]:
    with dev_server() as server:
        yield server


@pytest.fixture
def name() -> Name:
    return Name(f"entries/{uuid4().hex}")


Opens = Callable[..., VaultBackend]


@pytest.fixture
def opens(bao: Bao, tmp_path: Path) -> Iterator[Opens]:
    made: list[VaultBackend] = []

    def one(kind: type[Transport] = Transport, **more: Any) -> VaultBackend:
        options = VaultOptions(bao.address, token=TokenSignIn("env:token"), **more)
        context = context_of(tmp_path, token=ROOT)
        made.append(opened(options, context, transport_of(options, context, kind)))
        return made[-1]

    yield one
    for session in made:
        session.close()


@pytest.fixture
def backend(opens: Opens) -> VaultBackend:
    return opens()


# --- what others see


def test_a_native_reader_sees_the_current_value_and_never_a_staged_one(
    bao: Bao, backend: VaultBackend, name: Name
) -> None:
    one = promoted(backend, name, "one")
    two = staged(backend, name, "two")
    assert fields(bao, f"credmgr/{name}") == {"value": "one", "credmgr_version": str(one)}
    backend.promote(name, two, one)
    assert fields(bao, f"credmgr/{name}") == {"value": "two", "credmgr_version": str(two)}
    assert bao.status("GET", f"secret/data/credmgr/{name}.next") == 404


def test_the_mark_stands_beside_notes_of_other_people(
    bao: Bao, backend: VaultBackend, name: Name
) -> None:
    one = staged(backend, name, "one")
    metadata = f"secret/metadata/credmgr/{name}"
    bao.ask("POST", metadata, {"custom_metadata": {"owner": "risk"}})
    backend.promote(name, one, None)
    notes = bao.ask("GET", metadata)["data"]
    assert notes["custom_metadata"] == {"managed-by": "credmgr", "owner": "risk"}
    assert (notes["cas_required"], notes["max_versions"]) == (True, 10)
    bao.ask("POST", metadata, {"custom_metadata": {"owner": "fraud"}})
    promoted(backend, name, "two", expect=one)
    noted = bao.ask("GET", metadata)["data"]["custom_metadata"]
    assert noted == {"managed-by": "credmgr", "owner": "fraud"}


def test_no_value_stays_readable_but_those_of_the_three_stages(
    bao: Bao, backend: VaultBackend, name: Name
) -> None:
    expect = None
    for number in range(14):  # more than the versions that an entry keeps
        staged(backend, name, f"dropped {number}")
        expect = promoted(backend, name, f"value {number:02}", expect=expect)
    next_one = staged(backend, name, "next")
    assert readable(bao, name) == ["next", "value 12", "value 13"]
    backend.discard(name, backend.read(name, Stage.PREVIOUS).version)
    backend.discard(name, next_one)
    assert readable(bao, name) == ["value 13"]
    backend.delete(name)
    assert readable(bao, name) == []


# --- calls that fail before or after they were applied


class Failing(Transport):
    """Loses the n-th call from now, or its answer."""

    def __init__(self, *settings: Any) -> None:
        super().__init__(*settings)
        self.left = -1
        self.applied = False

    def send(self, *call: Any) -> Any:
        self.left -= 1
        if self.left == 0 and not self.applied:
            raise ProtocolError("lost")
        answer = super().send(*call)
        if self.left == 0:
            raise ProtocolError("lost")
        return answer


def _stage_anew(backend: VaultBackend, name: Name, ids: dict[Stage, UUID]) -> dict[Stage, UUID]:
    backend.stage(name, Secret("new"), UUID(int=1))
    return {**ids, Stage.NEXT: UUID(int=1)}


def _promote(backend: VaultBackend, name: Name, ids: dict[Stage, UUID]) -> dict[Stage, UUID]:
    backend.promote(name, ids[Stage.NEXT], ids[Stage.CURRENT])
    return {Stage.CURRENT: ids[Stage.NEXT], Stage.PREVIOUS: ids[Stage.CURRENT]}


def _roll_back(backend: VaultBackend, name: Name, ids: dict[Stage, UUID]) -> dict[Stage, UUID]:
    backend.promote(name, ids[Stage.PREVIOUS], ids[Stage.CURRENT])
    moved = {Stage.CURRENT: ids[Stage.PREVIOUS], Stage.PREVIOUS: ids[Stage.CURRENT]}
    return {**ids, **moved}


def _discard_next(backend: VaultBackend, name: Name, ids: dict[Stage, UUID]) -> dict[Stage, UUID]:
    backend.discard(name, ids[Stage.NEXT])
    return {stage: held for stage, held in ids.items() if stage is not Stage.NEXT}


def _discard_old(backend: VaultBackend, name: Name, ids: dict[Stage, UUID]) -> dict[Stage, UUID]:
    backend.discard(name, ids[Stage.PREVIOUS])
    return {stage: held for stage, held in ids.items() if stage is not Stage.PREVIOUS}


def _delete(backend: VaultBackend, name: Name, ids: dict[Stage, UUID]) -> dict[Stage, UUID]:
    assert ids
    backend.delete(name)
    return {}


OPERATIONS = [_stage_anew, _promote, _roll_back, _discard_next, _discard_old, _delete]


@pytest.mark.parametrize("applied", [False, True], ids=["never sent", "answer lost"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_that_failed_anywhere_is_completed_by_repeating_it(
    bao: Bao, opens: Opens, operation: Any, *, applied: bool
) -> None:
    backend = opens(Failing)
    transport: Any = backend._connection._transport
    backend.check()
    for failing in range(1, 20):
        name = Name(f"failing/{uuid4().hex}")
        full(backend, name)
        ids = {stage: backend.read(name, stage).version for stage in Stage}
        transport.left, transport.applied = failing, applied
        try:
            operation(backend, name, ids)
        except BackendUnavailable:
            expected = operation(backend, name, ids)
        else:
            assert failing > 2, "nothing failed"
            return
        assert stages(backend, name) == expected
        assert len(readable(bao, name)) == len(expected)
    pytest.fail("it never ends")


@pytest.mark.parametrize("applied", [False, True], ids=["never sent", "answer lost"])
def test_a_first_life_that_failed_anywhere_is_completed_by_repeating_it(
    bao: Bao, opens: Opens, *, applied: bool
) -> None:
    backend = opens(Failing)
    transport: Any = backend._connection._transport
    backend.check()
    for failing in range(1, 20):
        name, version = Name(f"failing/{uuid4().hex}"), uuid4()

        def live(name: Name = name, version: UUID = version) -> None:
            backend.stage(name, Secret("one"), version)
            backend.promote(name, version, None)

        transport.left, transport.applied = failing, applied
        try:
            live()
        except BackendUnavailable:
            live()
        nothing_failed, transport.left = transport.left > 0, -1
        assert stages(backend, name) == {Stage.CURRENT: version}
        assert readable(bao, name) == ["one"]
        for path in (name, f"{name}.next"):
            notes = bao.ask("GET", f"secret/metadata/credmgr/{path}")["data"]["custom_metadata"]
            assert notes == {"managed-by": "credmgr"}
        if nothing_failed:
            assert failing > 6
            return
    pytest.fail("it never ends")


def test_what_an_abandoned_promotion_left_is_destroyed_by_the_next_operation(
    bao: Bao, opens: Opens, name: Name
) -> None:
    backend = opens(Failing)
    full(backend, name)
    ids = {stage: backend.read(name, stage).version for stage in Stage}
    transport: Any = backend._connection._transport
    transport.left, transport.applied = 4, False  # read, read, write, and then the first cleanup
    with pytest.raises(BackendUnavailable):
        backend.promote(name, ids[Stage.NEXT], ids[Stage.CURRENT])
    moved = {Stage.CURRENT: ids[Stage.NEXT], Stage.PREVIOUS: ids[Stage.CURRENT]}
    assert stages(backend, name) == moved
    assert len(readable(bao, name)) == 4
    backend.promote(name, ids[Stage.CURRENT], ids[Stage.NEXT])
    assert stages(backend, name) == {
        Stage.CURRENT: moved[Stage.PREVIOUS],
        Stage.PREVIOUS: ids[Stage.NEXT],
    }
    assert len(readable(bao, name)) == 2


def test_staging_the_same_from_many_threads_is_staging_once(
    bao: Bao, backend: VaultBackend, name: Name
) -> None:
    version, start = uuid4(), Barrier(8)

    def attempt(_: int) -> None:
        start.wait()
        backend.stage(name, Secret("one"), version)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(attempt, range(8)))
    assert stages(backend, name) == {Stage.NEXT: version}
    assert readable(bao, name) == ["one"]


# --- layouts


def test_the_fields_of_a_json_object_become_the_fields_of_the_entry(
    bao: Bao, opens: Opens, name: Name
) -> None:
    value = '{"password":"é\\"1","user":"<app>"}'
    backend = opens(layout="fields")
    version = promoted(backend, name, value)
    assert backend.read(name).secret.reveal() == value
    ours = {"credmgr_version": str(version)}
    assert fields(bao, f"credmgr/{name}") == {"password": 'é"1', "user": "<app>", **ours}
    with pytest.raises(LimitExceeded):
        staged(backend, name, '{"port":5432}')


def test_a_value_can_stand_in_a_field_of_another_name_and_at_the_root_of_the_mount(
    bao: Bao, opens: Opens, name: Name
) -> None:
    promoted(opens(field="api_key", prefix=""), name, "one")
    assert fields(bao, name)["api_key"] == "one"
    with pytest.raises(CorruptSecret, match="does not have the fields"):
        opens(prefix="").read(name)


def test_a_template_and_constants_are_what_an_existing_consumer_expects(
    bao: Bao, opens: Opens, name: Name
) -> None:
    backend = opens(template="Bearer {{ secret }}", constants={"user": "app_8v3k9m"})
    version = promoted(backend, name, "one")
    ours = {"credmgr_version": str(version)}
    assert fields(bao, f"credmgr/{name}") == {"value": "Bearer one", "user": "app_8v3k9m", **ours}
    assert backend.read(name).secret.reveal() == "one"
    with pytest.raises(CorruptSecret, match="does not have the fields"):
        opens(template="Basic {{ secret }}").read(name)
