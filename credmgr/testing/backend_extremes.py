"""The part of the backend contract that is about limits, odd values, races and leaks."""

# ruff: noqa: D102 (the name of a check is its sentence)

import logging
import secrets
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import ClassVar, Final, TypeVar
from uuid import UUID, uuid4

import pytest

from credmgr.errors import Conflict, CredmgrError, LimitExceeded, SecretNotFound
from credmgr.model.names import MAX_NAME_LENGTH, Name
from credmgr.model.secret import Secret
from credmgr.model.version import Stage
from credmgr.plugins.backend import BackendFactory, Capability, SecretBackend
from credmgr.testing.backend_moves import everything, full, promoted, staged, stages
from credmgr.testing.canaries import everything_in, leaks, new_canary

_T = TypeVar("_T")
THREADS: Final = 32
SEGMENT_LENGTH: Final = 63
HOSTILE_VALUES: Final = {
    "NUL": "before\0after",
    "CRLF": "line\r\nSet-Cookie: a=b\r\n\r\n",
    "a newline at the end": "value\n",
    "right-to-left override": "abc\u202egnp.exe",
    "4-byte Unicode": "\U0001f511\U0010ffff",
    "NFC": "\u00e9\u00c5\uac00",
    "NFD": "e\u0301A\u030a\u1100\u1161",
    "a byte order mark": "\ufeffvalue",
    "white space around": " \t value \u00a0\u3000 ",
    "white space only": " ",
    "a number": "0012.50e3",
    "JSON": '{"value": "other", "n": 1}',
    "a template": "{{ value }} ${HOME} %s $(id)",
    "percent signs": "%2e%2e%2f%00",
    "quotes": "'\"`\\\\",
}


NEIGHBOURS: Final = ("/a", "-a", "/a/b", "-next", "/next", "--a", "-/a", "-", "--next--")
"""Ends of names that a careless spelling, or what is kept beside a name, would make the same."""


class ExtremeChecks:
    """Mixed into `BackendContract`, which has the fixtures."""

    factory: ClassVar[BackendFactory]

    def spelled(self, name: Name) -> str:
        """The name in the backend's own spelling, which `limits.name_length` is about."""
        return name

    # --- limits

    def test_the_longest_value_fits(self, backend: SecretBackend, name: Name) -> None:
        value = "x" * self.factory.limits.value_bytes
        promoted(backend, name, value)
        assert backend.read(name).secret.reveal() == value

    def test_a_longest_value_of_wide_characters_fits(
        self, backend: SecretBackend, name: Name
    ) -> None:
        wide, left = divmod(self.factory.limits.value_bytes, len("\U0001f511".encode()))
        value = "\U0001f511" * wide + "x" * left
        promoted(backend, name, value)
        assert backend.read(name).secret.reveal() == value

    @pytest.mark.parametrize("character", ["x", "\u00e9", "\U0001f511"])
    def test_a_value_one_byte_past_the_limit_is_refused_and_nothing_changes(
        self, backend: SecretBackend, name: Name, character: str
    ) -> None:
        full(backend, name)
        before = everything(backend, name)
        width = len(character.encode())
        value = character + "x" * (self.factory.limits.value_bytes - width + 1)
        with pytest.raises(LimitExceeded):
            backend.stage(name, Secret(value), uuid4())
        assert everything(backend, name) == before

    def test_a_name_of_the_longest_length_works(self, backend: SecretBackend) -> None:
        name = self._longest_name()
        one = promoted(backend, name, "one")
        two = promoted(backend, name, "two", expect=one)
        assert stages(backend, name) == {Stage.CURRENT: two, Stage.PREVIOUS: one}
        backend.delete(name)
        assert stages(backend, name) == {}

    def test_a_name_one_past_the_longest_is_refused(self, backend: SecretBackend) -> None:
        name = self._longest_name()
        if len(name) >= MAX_NAME_LENGTH:
            with pytest.raises(CredmgrError):
                Name(name + "x")
            return
        with pytest.raises(LimitExceeded):
            backend.stage(_longer(name), Secret("value"), uuid4())

    # --- names and values

    def test_a_name_and_names_below_it_are_apart(self, backend: SecretBackend, name: Name) -> None:
        names = [name, *(Name(f"{name}{end}") for end in NEIGHBOURS)]
        versions = [promoted(backend, each, each) for each in names]
        assert [backend.read(each).version for each in names] == versions
        assert [backend.read(each).secret.reveal() for each in names] == names
        backend.delete(name)
        assert stages(backend, name) == {}
        assert [backend.read(each).version for each in names[1:]] == versions[1:]

    @pytest.mark.parametrize("value", HOSTILE_VALUES.values(), ids=HOSTILE_VALUES.keys())
    def test_a_value_comes_back_as_it_was(
        self, backend: SecretBackend, name: Name, value: str
    ) -> None:
        promoted(backend, name, value)
        assert backend.read(name).secret.reveal() == value

    def test_values_that_look_the_same_are_kept_apart(
        self, backend: SecretBackend, name: Name
    ) -> None:
        composed = "caf\u00e9"
        version = staged(backend, name, composed)
        with pytest.raises(Conflict):
            backend.stage(name, Secret(unicodedata.normalize("NFD", composed)), version)
        assert backend.read(name, Stage.NEXT).secret.reveal() == composed

    def test_a_value_that_is_not_unicode_text_is_refused_and_not_shown(
        self, backend: SecretBackend, name: Name
    ) -> None:
        canary = new_canary()
        with pytest.raises(CredmgrError) as caught:
            backend.stage(name, Secret(f"{canary}\ud800"), uuid4())
        assert not leaks(canary, everything_in(caught.value))
        assert stages(backend, name) == {}

    # --- many at once

    def test_of_many_first_promotions_at_once_exactly_one_wins(
        self, backend: SecretBackend, name: Name
    ) -> None:
        self._needs_cas()
        start = Barrier(THREADS)

        def attempt(number: int) -> UUID | None:
            start.wait()
            try:
                return promoted(backend, name, f"value {number}")
            except (Conflict, SecretNotFound):
                return None

        winners = [version for version in _at_once(attempt) if version]
        assert [backend.read(name).version] == winners

    def test_of_many_rotations_and_rollbacks_at_once_exactly_one_wins(
        self, backend: SecretBackend, name: Name
    ) -> None:
        self._needs_cas()
        full(backend, name)
        current = backend.read(name).version
        rivals = [backend.read(name, stage).version for stage in (Stage.NEXT, Stage.PREVIOUS)]
        start = Barrier(THREADS)

        def attempt(number: int) -> UUID | None:
            version = rivals[number % 2]
            start.wait()
            try:
                backend.promote(name, version, current)
            except (Conflict, SecretNotFound):
                return None
            return version

        assert set(_at_once(attempt)) - {None} == {backend.read(name).version}
        assert backend.read(name, Stage.PREVIOUS).version == current

    def test_readers_see_the_old_or_the_new_while_promotions_go_on(
        self, backend: SecretBackend, name: Name
    ) -> None:
        one = promoted(backend, name, "0")

        def read(_: int) -> list[int]:
            return [int(backend.read(name).secret.reveal()) for _ in range(10)]

        with ThreadPoolExecutor(8) as pool:
            reads = [pool.submit(read, number) for number in range(8)]
            for value in range(1, 6):
                one = promoted(backend, name, str(value), expect=one)
            assert all(done.result() == sorted(done.result()) for done in reads)

    def test_many_names_at_once_do_not_disturb_each_other(
        self, backend: SecretBackend, name: Name
    ) -> None:
        def rotate(number: int) -> tuple[str, str]:
            own = Name(f"{name}/{number}")
            one = promoted(backend, own, f"{number} old")
            two = promoted(backend, own, f"{number} new", expect=one)
            assert stages(backend, own) == {Stage.CURRENT: two, Stage.PREVIOUS: one}
            return backend.read(own).secret.reveal(), f"{number} new"

        assert all(found == expected for found, expected in _at_once(rotate))

    # --- secrecy

    def test_no_value_shows_in_logs_output_or_results(
        self,
        backend: SecretBackend,
        name: Name,
        caplog: pytest.LogCaptureFixture,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        canaries = [new_canary(), new_canary()]
        with caplog.at_level(logging.DEBUG):
            one = promoted(backend, name, canaries[0])
            two = promoted(backend, name, canaries[1], expect=one)
            shown = f"{backend.read(name)!r} {backend.versions(name)!r} {backend!r}"
            backend.promote(name, one, two)
            backend.discard(name, two)
            backend.delete(name)
        shown += caplog.text + "".join(repr(vars(record)) for record in caplog.records)
        shown += "".join(capfd.readouterr())
        assert [canary for canary in canaries if leaks(canary, shown)] == []

    def test_no_value_shows_in_errors(
        self, backend: SecretBackend, name: Name, caplog: pytest.LogCaptureFixture
    ) -> None:
        canary = new_canary()
        with caplog.at_level(logging.DEBUG):
            shown = "".join(self._provoked(backend, name, canary))
        assert not leaks(canary, shown + caplog.text)

    def _provoked(self, backend: SecretBackend, name: Name, canary: str) -> Iterator[str]:
        version = promoted(backend, name, canary)
        long = canary + "x" * self.factory.limits.value_bytes
        for value, known in ((f"{canary} other", version), (long, uuid4())):
            with pytest.raises(CredmgrError) as caught:
                backend.stage(name, Secret(value), known)
            yield everything_in(caught.value)
        with pytest.raises(CredmgrError) as caught:
            backend.promote(name, uuid4(), version)
        yield everything_in(caught.value)
        with pytest.raises(CredmgrError) as caught:
            backend.discard(name, version)
        yield everything_in(caught.value)

    def _needs_cas(self) -> None:
        if Capability.CAS not in self.factory.capabilities:
            pytest.skip("this backend does not promise compare-and-set")

    def _longest_name(self) -> Name:
        longest = Name(f"contract-{secrets.token_hex(6)}")
        while len(longest) < MAX_NAME_LENGTH:
            longer = _longer(longest)
            if len(self.spelled(longer)) > self.factory.limits.name_length:
                break
            longest = longer
        return longest


def _longer(name: Name) -> Name:
    whole_segment = len(name.segments[-1]) == SEGMENT_LENGTH
    return Name(f"{name}/x" if whole_segment else f"{name}x")


def _at_once(attempt: Callable[[int], _T]) -> list[_T]:
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(attempt, range(THREADS)))
