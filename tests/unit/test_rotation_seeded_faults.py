"""The failpoint loop proves something only if it catches a wrong engine: each fault here is one."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from credmgr.distribution.copies import CredentialCopies
from credmgr.errors import CredmgrError
from credmgr.model.version import Stage
from credmgr.rotation import ending, steps
from credmgr.rotation.work import Move, Work
from credmgr.testing.failpoints import Crash, Failpoints
from tests.rotation_world import World, world_in
from tests.unit.test_rotation_failpoints import (
    BOUND,
    Scenario,
    raise_error,
    recover,
    rollback,
    rotation,
)


def no_label_sweep(patch: pytest.MonkeyPatch) -> None:
    for module in (steps, ending):
        patch.setattr(module, "end_strays", lambda *_: None)


def label_used_twice(patch: pytest.MonkeyPatch) -> None:
    def again(work: Work, reason: str) -> Move:
        return Move(replace(work.rotation, baseline=None), reason)

    patch.setattr(steps, "next_attempt", again)


def pointers_not_restored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(CredentialCopies, "restore", lambda *_: None)


def new_revoked_before_consumers_went_back(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("credmgr.rotation.patience.Patience.left", lambda *_: timedelta())


def old_revoked_although_a_copy_differs(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ending, "_differing", lambda _: "")
    only_first = _first_place_only(CredentialCopies.promote)
    patch.setattr(CredentialCopies, "promote", only_first)


def nothing_discarded(patch: pytest.MonkeyPatch) -> None:
    for method in ("discard", "keep_only"):
        patch.setattr(CredentialCopies, method, lambda *_: None)


def value_issued_again_instead_of_read(patch: pytest.MonkeyPatch) -> None:
    kept = CredentialCopies.kept

    def none_staged(self: Any, stage: Stage, version: UUID) -> Any:
        return None if stage is Stage.NEXT else kept(self, stage, version)

    patch.setattr(CredentialCopies, "kept", none_staged)
    patch.setattr(steps, "end_strays", lambda *_: None)


def _first_place_only(promote: Callable[..., None]) -> Callable[..., None]:
    def only(self: Any, *args: Any) -> None:
        targets, sinks = self._targets, self._sinks
        self._targets, self._sinks = (), {}
        try:
            promote(self, *args)
        finally:
            self._targets, self._sinks = targets, sinks

    return only


FAULTS: tuple[tuple[Callable[[pytest.MonkeyPatch], None], Scenario], ...] = (
    (no_label_sweep, rotation),
    (label_used_twice, rotation),
    (pointers_not_restored, rollback),
    (new_revoked_before_consumers_went_back, rollback),
    (old_revoked_although_a_copy_differs, rotation),
    (nothing_discarded, rotation),
    (value_issued_again_instead_of_read, rotation),
)


@pytest.mark.parametrize(("fault", "scenario"), FAULTS, ids=lambda one: one.__name__)
def test_a_seeded_fault_is_caught(
    fault: Callable[[pytest.MonkeyPatch], None],
    scenario: Scenario,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in range(BOUND):
        for how in ("crash", "error"):
            folder = tmp_path / f"{number}-{how}"
            folder.mkdir()
            points = Failpoints(at=number) if how == "crash" else Failpoints(number, raise_error)
            with world_in(folder) as world, monkeypatch.context() as patch:
                world.set_up()
                fault(patch)
                if _violated(world, scenario, points):
                    return
    pytest.fail(f"{fault.__name__} was never noticed")


def _violated(world: World, scenario: Scenario, points: Failpoints) -> bool:
    with suppress(Crash, CredmgrError):
        scenario(world, world.engine(points))
    try:
        recover(world)
    except AssertionError:
        return True
    return bool(world.violations())
