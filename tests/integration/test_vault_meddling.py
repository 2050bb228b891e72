"""What somebody else did to an entry of a real OpenBao, before us or in the middle of a call."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from credmgr.backends.vault.opening import opened, transport_of
from credmgr.backends.vault.options import TokenSignIn, VaultOptions
from credmgr.backends.vault.session import VaultBackend
from credmgr.backends.vault.transport import Transport
from credmgr.errors import (
    BackendError,
    Conflict,
    CorruptSecret,
    LimitExceeded,
    NotOurs,
    SecretNotFound,
)
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.model.version import Stage
from credmgr.testing.backend_moves import promoted, staged, stages
from tests.integration.openbao import ROOT, Bao, context_of, dev_server, fields, readable

MARK = {"managed-by": "credmgr"}
OURS = Secret("ours")


@pytest.fixture(scope="module")
def bao() -> Iterator[Bao]:
    with dev_server() as server:
        yield server


@pytest.fixture
def name() -> Name:
    return Name(f"meddling/{uuid4().hex}")


class Interrupted(Transport):
    """Counts calls, and lets somebody else act right before the next write of an entry."""

    def __init__(self, *settings: Any) -> None:
        super().__init__(*settings)
        self.first: Callable[[], object] | None = None
        self.calls: list[str] = []

    def send(self, method: str, path: str, *rest: Any) -> Any:
        self.calls.append(f"{method} {path}")
        if self.first is not None and method == "POST" and "/data/" in path:
            act, self.first = self.first, None
            act()
        return super().send(method, path, *rest)


Opens = Callable[..., VaultBackend]


@pytest.fixture
def opens(bao: Bao, tmp_path: Path) -> Iterator[Opens]:
    made: list[VaultBackend] = []

    def one(**more: Any) -> VaultBackend:
        options = VaultOptions(bao.address, token=TokenSignIn("env:token"), **more)
        context = context_of(tmp_path, token=ROOT)
        made.append(opened(options, context, transport_of(options, context, Interrupted)))
        return made[-1]

    yield one
    for session in made:
        session.close()


@pytest.fixture
def backend(opens: Opens) -> VaultBackend:
    return opens()


def wire(backend: VaultBackend) -> Interrupted:
    transport = backend._connection._transport
    assert isinstance(transport, Interrupted)
    return transport


def metadata(bao: Bao, name: object) -> Any:
    return bao.ask("GET", f"secret/metadata/credmgr/{name}")["data"]


def unmark(bao: Bao, name: object, **notes: str) -> None:
    """Replace everything that stands beside the versions of an entry."""
    order = {"custom_metadata": notes, "cas_required": False}
    bao.ask("POST", f"secret/metadata/credmgr/{name}", order)


# --- entries written over, taken, deleted; mounts with settings of their own


def overwrite(bao: Bao, path: str, over: int, **data: Any) -> None:
    bao.ask("POST", f"secret/data/{path}", {"options": {"cas": over}, "data": data})


def test_a_value_written_over_ours_is_told_and_not_promoted_over(
    bao: Bao, backend: VaultBackend, name: Name
) -> None:
    one = promoted(backend, name, "one")
    overwrite(bao, f"credmgr/{name}", 1, value="mine")
    with pytest.raises(CorruptSecret, match=r"version 2 .* was not written by credmgr"):
        backend.read(name)
    assert stages_listed(backend, name) == {Stage.PREVIOUS: one}
    two = staged(backend, name, "two")
    with pytest.raises(Conflict, match="was not written by credmgr"):
        backend.promote(name, two, None)
    data = fields(bao, f"credmgr/{name}?version=1")
    overwrite(bao, f"credmgr/{name}", 2, **data)  # what `bao kv rollback -version=1` does
    assert backend.read(name).version == one
    backend.promote(name, two, one)
    assert readable(bao, name) == ["one", "two"]


def stages_listed(backend: VaultBackend, name: Name) -> dict[Stage | None, UUID]:
    return {held.stage: held.version for held in backend.versions(name)}


def test_an_entry_of_others_is_taken_over_when_told(bao: Bao, opens: Opens, name: Name) -> None:
    bao.ask("POST", f"secret/data/credmgr/{name}", {"data": {"value": "theirs"}})
    backend = opens(adopt=True)
    assert stages(backend, name) == {}
    with pytest.raises(NotOurs):
        backend.delete(name)
    backend.discard(name, staged(backend, name, "dropped"))
    assert readable(bao, name) == ["theirs"]
    one = promoted(backend, name, "ours")
    assert stages(backend, name) == {Stage.CURRENT: one}
    assert stages(opens(), name) == {Stage.CURRENT: one}
    two = promoted(backend, name, "newer", expect=one)
    assert stages(backend, name) == {Stage.CURRENT: two, Stage.PREVIOUS: one}
    assert readable(bao, name) == ["newer", "ours"]


def test_an_entry_of_others_at_the_siblings_path_is_left_alone(
    bao: Bao, backend: VaultBackend, name: Name
) -> None:
    bao.ask("POST", f"secret/data/credmgr/{name}.next", {"data": {"value": "theirs"}})
    with pytest.raises(NotOurs):
        staged(backend, name, "ours")
    assert fields(bao, f"credmgr/{name}.next") == {"value": "theirs"}


def test_a_deleted_current_version_is_put_back_by_promoting_again(
    bao: Bao, backend: VaultBackend, name: Name
) -> None:
    one = promoted(backend, name, "one")
    two = promoted(backend, name, "two", expect=one)
    bao.ask("DELETE", f"secret/data/credmgr/{name}")  # soft
    with pytest.raises(SecretNotFound):
        backend.read(name)
    assert stages(backend, name) == {Stage.PREVIOUS: one}
    with pytest.raises(Conflict):
        backend.promote(name, one, two)
    backend.promote(name, one, None)
    assert backend.read(name).version == one


def test_a_mount_that_lets_versions_die_is_refused(bao: Bao, opens: Opens, name: Name) -> None:
    mount = f"mortal-{uuid4().hex[:6]}"
    bao.ask("POST", f"sys/mounts/{mount}", {"type": "kv", "options": {"version": "2"}})
    bao.ask("POST", f"{mount}/config", {"delete_version_after": "1h"})
    with pytest.raises(BackendError, match="versions die by themselves"):
        staged(opens(mount=mount), name, "one")


def test_a_mount_that_keeps_one_version_keeps_previous_all_the_same(
    bao: Bao, opens: Opens, name: Name
) -> None:
    mount = f"short-{uuid4().hex[:6]}"
    bao.ask("POST", f"sys/mounts/{mount}", {"type": "kv", "options": {"version": "2"}})
    bao.ask("POST", f"{mount}/config", {"max_versions": 1})
    backend = opens(mount=mount)
    one = promoted(backend, name, "one")
    two = promoted(backend, name, "two", expect=one)
    assert stages(backend, name) == {Stage.CURRENT: two, Stage.PREVIOUS: one}
    backend.promote(name, one, two)
    assert stages(backend, name) == {Stage.CURRENT: one, Stage.PREVIOUS: two}


# --- somebody else in the middle of a call


def test_who_promotes_second_clears_up_what_the_first_one_left(
    bao: Bao, backend: VaultBackend, name: Name
) -> None:
    one = promoted(backend, name, "one")
    two = staged(backend, name, "two")

    def rival() -> None:
        """Promotes the same, and dies right after the write."""
        overwrite(bao, f"credmgr/{name}", 1, value="two", credmgr_version=str(two))
        unmark(bao, name, owner="risk")

    wire(backend).first = rival
    backend.promote(name, two, one)
    assert stages(backend, name) == {Stage.CURRENT: two, Stage.PREVIOUS: one}
    assert readable(bao, name) == ["one", "two"], "and not a second one that was `next`"
    assert metadata(bao, name)["custom_metadata"] == {"owner": "risk", **MARK}
    assert metadata(bao, name)["cas_required"] is True


def test_who_promotes_something_else_first_wins(
    bao: Bao, backend: VaultBackend, name: Name
) -> None:
    one = promoted(backend, name, "one")
    two = staged(backend, name, "two")
    other = {"value": "other", "credmgr_version": str(uuid4())}
    wire(backend).first = lambda: overwrite(bao, f"credmgr/{name}", 1, **other)
    with pytest.raises(Conflict, match="somebody else wrote it first"):
        backend.promote(name, two, one)
    assert fields(bao, f"credmgr/{name}") == other


def test_who_mends_the_same_first_has_mended(bao: Bao, backend: VaultBackend, name: Name) -> None:
    version = promoted(backend, name, "ours")
    overwrite(bao, f"credmgr/{name}", 1, value="theirs")
    ours = {"value": "ours", "credmgr_version": str(version)}
    wire(backend).first = lambda: overwrite(bao, f"credmgr/{name}", 2, **ours)
    backend.mend(name, OURS, version)
    assert fields(bao, f"credmgr/{name}") == ours
    assert metadata(bao, name)["current_version"] == 3


def test_who_writes_over_it_again_is_told(bao: Bao, backend: VaultBackend, name: Name) -> None:
    version = promoted(backend, name, "ours")
    overwrite(bao, f"credmgr/{name}", 1, value="theirs")
    wire(backend).first = lambda: overwrite(bao, f"credmgr/{name}", 2, value="again")
    with pytest.raises(Conflict, match="somebody else wrote it first"):
        backend.mend(name, OURS, version)
    backend.mend(name, OURS, version)
    assert backend.read(name).secret == OURS


# --- what is left of an entry of ours


@pytest.mark.parametrize("left", [{}, {"value": 7}, {"value": ""}, {"other": "ours"}])
def test_an_entry_whose_value_was_patched_away_is_mended(
    bao: Bao, backend: VaultBackend, name: Name, left: dict[str, Any]
) -> None:
    version = promoted(backend, name, "ours")
    patched = {"credmgr_version": str(version), **left}
    overwrite(bao, f"credmgr/{name}", 1, **patched)
    with pytest.raises(CorruptSecret):
        backend.read(name)
    backend.mend(name, OURS, version)
    assert backend.read(name).secret == OURS


def test_a_glance_at_a_marked_entry_is_one_call(backend: VaultBackend, name: Name) -> None:
    promoted(backend, name, "ours")
    wire(backend).calls.clear()
    assert backend.glance(name) == "1"
    assert wire(backend).calls == [f"GET /v1/secret/metadata/credmgr/{name}"]


def test_a_glance_tells_an_entry_of_others(bao: Bao, opens: Opens, name: Name) -> None:
    assert opens().glance(name) == "0"
    bao.ask("POST", f"secret/data/credmgr/{name}", {"data": {"value": "theirs"}})
    with pytest.raises(NotOurs, match="was not written by credmgr"):
        opens().glance(name)
    assert opens(adopt=True).glance(name) == "1"


def test_a_glance_tells_a_mark_that_was_taken_off_from_a_value_that_is_not_ours(
    bao: Bao, backend: VaultBackend, name: Name
) -> None:
    promoted(backend, name, "ours")
    unmark(bao, name, owner="risk")
    assert backend.glance(name) == "1", "the value has our id"
    overwrite(bao, f"credmgr/{name}", 1, value="theirs")
    with pytest.raises(NotOurs):
        backend.glance(name)


# --- notes that leave no room


def test_an_entry_whose_notes_leave_no_room_for_the_mark_is_told_before_anything_is_written(
    bao: Bao, opens: Opens, name: Name
) -> None:
    backend = opens(adopt=True)
    bao.ask("POST", f"secret/data/credmgr/{name}", {"data": {"value": "theirs"}})
    notes = {f"{number:02}".ljust(128, "k"): "v" * 512 for number in range(64)}
    unmark(bao, name, **notes)
    for act in (
        lambda: staged(backend, name, "ours"),
        lambda: backend.mend(name, OURS, uuid4()),
    ):
        with pytest.raises(LimitExceeded, match="no room for credmgr's mark") as caught:
            act()
        assert caught.value.hint == "64 pairs fit, of 128 and 512 bytes: take one out"
    assert fields(bao, f"credmgr/{name}") == {"value": "theirs"}
    assert bao.status("GET", f"secret/metadata/credmgr/{name}.next") == 404
    notes.popitem()
    unmark(bao, name, **notes)
    promoted(backend, name, "ours")
    assert metadata(bao, name)["custom_metadata"] == {**notes, **MARK}
