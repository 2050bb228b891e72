"""The part of the backend contract that is about stages, repetition and conflict."""

# ruff: noqa: D102 (the name of a check is its sentence)

import itertools
from datetime import timedelta
from uuid import uuid4

import pytest

from credmgr.errors import Conflict, NotOurs, SecretNotFound
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.model.version import Stage
from credmgr.plugins.backend import SecretBackend
from credmgr.testing.backend_moves import (
    Plant,
    Reopen,
    every_change,
    everything,
    full,
    promoted,
    staged,
    stages,
)


class LifeChecks:
    """Mixed into `BackendContract`, which has the fixtures."""

    # --- a life without trouble

    def test_a_promoted_secret_reads_back_as_current(
        self, backend: SecretBackend, name: Name
    ) -> None:
        version = promoted(backend, name, "value")
        held = backend.read(name)
        assert (held.version, held.stage, held.secret.reveal()) == (version, Stage.CURRENT, "value")

    def test_an_unknown_name_holds_nothing(self, backend: SecretBackend, name: Name) -> None:
        assert stages(backend, name) == {}
        assert list(backend.versions(name)) == []

    def test_a_first_staged_secret_does_not_show_to_readers(
        self, backend: SecretBackend, name: Name
    ) -> None:
        version = staged(backend, name, "value")
        assert stages(backend, name) == {Stage.NEXT: version}
        assert backend.read(name, Stage.NEXT).secret.reveal() == "value"

    def test_a_staged_secret_leaves_readers_on_the_current_one(
        self, backend: SecretBackend, name: Name
    ) -> None:
        promoted(backend, name, "one")
        staged(backend, name, "two")
        assert backend.read(name).secret.reveal() == "one"
        assert backend.read(name, Stage.NEXT).secret.reveal() == "two"

    def test_what_was_current_is_previous_after_a_promotion(
        self, backend: SecretBackend, name: Name
    ) -> None:
        one = promoted(backend, name, "one")
        two = promoted(backend, name, "two", expect=one)
        assert stages(backend, name) == {Stage.CURRENT: two, Stage.PREVIOUS: one}
        assert backend.read(name, Stage.PREVIOUS).secret.reveal() == "one"

    def test_only_the_last_current_one_is_previous(
        self, backend: SecretBackend, name: Name
    ) -> None:
        one = promoted(backend, name, "one")
        two = promoted(backend, name, "two", expect=one)
        three = promoted(backend, name, "three", expect=two)
        assert stages(backend, name) == {Stage.CURRENT: three, Stage.PREVIOUS: two}

    def test_promoting_previous_rolls_back(self, backend: SecretBackend, name: Name) -> None:
        one = promoted(backend, name, "one")
        two = promoted(backend, name, "two", expect=one)
        backend.promote(name, one, two)
        assert stages(backend, name) == {Stage.CURRENT: one, Stage.PREVIOUS: two}
        assert backend.read(name).secret.reveal() == "one"
        assert backend.read(name, Stage.PREVIOUS).secret.reveal() == "two"

    def test_rolling_back_keeps_what_is_staged(self, backend: SecretBackend, name: Name) -> None:
        one = promoted(backend, name, "one")
        two = promoted(backend, name, "two", expect=one)
        three = staged(backend, name, "three")
        backend.promote(name, one, two)
        assert stages(backend, name) == {
            Stage.CURRENT: one,
            Stage.PREVIOUS: two,
            Stage.NEXT: three,
        }

    def test_a_staged_secret_replaces_the_one_staged_before(
        self, backend: SecretBackend, name: Name
    ) -> None:
        one = staged(backend, name, "one")
        two = staged(backend, name, "two")
        assert stages(backend, name) == {Stage.NEXT: two}
        with pytest.raises(SecretNotFound):
            backend.promote(name, one, None)
        assert stages(backend, name) == {Stage.NEXT: two}

    def test_versions_are_listed_newest_first_with_their_stages(
        self, backend: SecretBackend, name: Name
    ) -> None:
        one = promoted(backend, name, "one")
        two = promoted(backend, name, "two", expect=one)
        three = staged(backend, name, "three")
        listed = backend.versions(name)
        assert [(held.version, held.stage) for held in listed] == [
            (three, Stage.NEXT),
            (two, Stage.CURRENT),
            (one, Stage.PREVIOUS),
        ]
        assert all(held.written_at.utcoffset() == timedelta() for held in listed)
        assert all(a.written_at >= b.written_at for a, b in itertools.pairwise(listed))

    def test_a_deleted_name_holds_nothing_and_can_be_used_anew(
        self, backend: SecretBackend, name: Name
    ) -> None:
        promoted(backend, name, "one")
        staged(backend, name, "two")
        backend.delete(name)
        assert list(backend.versions(name)) == []
        assert stages(backend, name) == {}
        version = promoted(backend, name, "three")
        assert stages(backend, name) == {Stage.CURRENT: version}

    def test_a_check_of_a_working_session_passes(self, backend: SecretBackend) -> None:
        backend.check()
        backend.check()

    def test_another_session_sees_everything(
        self, backend: SecretBackend, reopen: Reopen | None, name: Name
    ) -> None:
        if reopen is None:
            pytest.skip("this backend gives no fixture `reopen`")
        one = promoted(backend, name, "one")
        promoted(backend, name, "two", expect=one)
        staged(backend, name, "three")
        other = reopen()
        assert stages(other, name) == stages(backend, name)
        assert list(other.versions(name)) == list(backend.versions(name))
        other.close()

    # --- repeating

    @pytest.mark.parametrize("stage", list(Stage))
    def test_staging_what_is_held_already_changes_nothing(
        self, backend: SecretBackend, name: Name, stage: Stage
    ) -> None:
        values = full(backend, name)
        before = list(backend.versions(name))
        version = backend.read(name, stage).version
        backend.stage(name, Secret(values[stage]), version)
        assert list(backend.versions(name)) == before

    def test_promoting_what_is_current_changes_nothing_whatever_is_expected(
        self, backend: SecretBackend, name: Name
    ) -> None:
        one = promoted(backend, name, "one")
        two = promoted(backend, name, "two", expect=one)
        before = list(backend.versions(name))
        for expect in (one, two, None, uuid4()):
            backend.promote(name, two, expect)
        assert list(backend.versions(name)) == before

    def test_discarding_and_deleting_may_be_repeated(
        self, backend: SecretBackend, name: Name
    ) -> None:
        version = staged(backend, name, "value")
        for _ in range(2):
            backend.discard(name, version)
        assert stages(backend, name) == {}
        for _ in range(2):
            backend.delete(name)
        backend.discard(name, version)
        assert list(backend.versions(name)) == []

    # --- conflicts: nothing changes

    @pytest.mark.parametrize("stage", list(Stage))
    def test_another_value_for_a_version_conflicts(
        self, backend: SecretBackend, name: Name, stage: Stage
    ) -> None:
        full(backend, name)
        before = everything(backend, name)
        with pytest.raises(Conflict):
            backend.stage(name, Secret("other"), backend.read(name, stage).version)
        assert everything(backend, name) == before

    def test_promoting_over_something_unexpected_conflicts(
        self, backend: SecretBackend, name: Name
    ) -> None:
        full(backend, name)
        before = everything(backend, name)
        version = backend.read(name, Stage.NEXT).version
        for expect in (None, uuid4(), backend.read(name, Stage.PREVIOUS).version, version):
            with pytest.raises(Conflict):
                backend.promote(name, version, expect)
        assert everything(backend, name) == before

    def test_promoting_over_nothing_when_something_is_expected_conflicts(
        self, backend: SecretBackend, name: Name
    ) -> None:
        version = staged(backend, name, "value")
        with pytest.raises(Conflict):
            backend.promote(name, version, uuid4())
        assert stages(backend, name) == {Stage.NEXT: version}

    def test_promoting_a_version_that_is_not_held_is_refused(
        self, backend: SecretBackend, name: Name
    ) -> None:
        with pytest.raises(SecretNotFound):
            backend.promote(name, uuid4(), None)
        current = promoted(backend, name, "value")
        with pytest.raises(SecretNotFound):
            backend.promote(name, uuid4(), current)
        assert stages(backend, name) == {Stage.CURRENT: current}

    def test_the_current_version_cannot_be_discarded(
        self, backend: SecretBackend, name: Name
    ) -> None:
        full(backend, name)
        before = everything(backend, name)
        with pytest.raises(Conflict):
            backend.discard(name, backend.read(name).version)
        assert everything(backend, name) == before

    @pytest.mark.parametrize("stage", [Stage.NEXT, Stage.PREVIOUS])
    def test_a_discarded_version_is_gone_and_the_others_stay(
        self, backend: SecretBackend, name: Name, stage: Stage
    ) -> None:
        full(backend, name)
        before = everything(backend, name)
        version = backend.read(name, stage).version
        backend.discard(name, version)
        assert everything(backend, name) == {
            other: held for other, held in before.items() if other is not stage
        }
        assert version not in {held.version for held in backend.versions(name) if held.stage}
        with pytest.raises(SecretNotFound):
            backend.promote(name, version, backend.read(name).version)

    def test_discarding_an_unknown_version_changes_nothing(
        self, backend: SecretBackend, name: Name
    ) -> None:
        full(backend, name)
        before = everything(backend, name)
        backend.discard(name, uuid4())
        assert everything(backend, name) == before

    def test_what_others_wrote_is_left_alone(
        self, backend: SecretBackend, foreign: Plant | None, name: Name
    ) -> None:
        if foreign is None:
            pytest.skip("this backend gives no fixture `foreign`")
        look = foreign(name)
        before = look()
        for call in every_change(backend, name):
            with pytest.raises(NotOurs):
                call()
        with pytest.raises(NotOurs):
            backend.read(name)
        assert look() == before
