"""What every sink must do, as a pytest class to subclass.

    class TestMine(SinkContract):
        factory = MySinkFactory()

        @pytest.fixture
        def sink(self, tmp_path): ...   # an open session

        @pytest.fixture
        def there(self, tmp_path): ...  # what looks at the other end

Each check uses names of its own, so `sink` may write to a server that lives longer.
"""

# ruff: noqa: D102 (the name of a check is its sentence)

import logging
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, Final, TypeAlias
from uuid import UUID, uuid4

import pytest

from credmgr.errors import CredmgrError, LimitExceeded, NotOurs
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.plugins.sink import Sink, SinkFactory, SinkState
from credmgr.testing.backend_extremes import HOSTILE_VALUES, THREADS
from credmgr.testing.canaries import everything_in, leaks, new_canary

There: TypeAlias = Callable[[Name], str | None]
"""The value that a reader finds under a name; None where there is nothing."""
Meddle: TypeAlias = Callable[[Name], None]
"""Does something to a copy behind credmgr's back."""
Stamp: TypeAlias = Callable[[Name], object]
"""Something that is another with every write of a copy."""
Plant: TypeAlias = Callable[[Name], Callable[[], object]]
"""Puts something without credmgr's mark under a name, and gives what looks at it."""
Reopen: TypeAlias = Callable[[], Sink]
"""Opens a second session with the same place."""

_NOTHING: Final = SinkState(None, intact=False)


class SinkContract:
    """Subclass it, set `factory`, give `sink` and `there`; override what else applies.

    Attributes:
        factory: The factory whose limits the sessions must honour.
        looks_back: Whether `inspect` tells anything.
    """

    factory: ClassVar[SinkFactory]
    looks_back: ClassVar[bool] = True

    @pytest.fixture
    def sink(self) -> Any:
        """An open session; may yield it, to close it afterwards."""
        raise NotImplementedError("give the fixture `sink`: an open session")

    @pytest.fixture
    def there(self) -> There:
        """What looks at the other end as a reader does."""
        raise NotImplementedError("give the fixture `there`: what a reader finds")

    @pytest.fixture
    def stamp(self) -> Stamp | None:
        """What tells whether a copy was written again; None when nothing can."""
        return None

    @pytest.fixture
    def tamper(self) -> Meddle | None:
        """What changes a copy's value; None when nobody can."""
        return None

    @pytest.fixture
    def vanish(self) -> Meddle | None:
        """What deletes a copy; None when nobody can."""
        return None

    @pytest.fixture
    def foreign(self) -> Plant | None:
        """What plants an object without our mark under a name, and gives what looks at it."""
        return None

    @pytest.fixture
    def reopen(self) -> Reopen | None:
        """What opens a second session with the same place; None when there cannot be one."""
        return None

    @pytest.fixture
    def name(self) -> Name:
        """A name that nobody has used."""
        return Name(f"contract/{secrets.token_hex(6)}")

    # --- writing

    def test_what_is_written_is_what_a_reader_finds(
        self, sink: Sink, there: There, name: Name
    ) -> None:
        for value in ("first", "second"):
            version = _written(sink, name, value)
            assert there(name) == value
            self._holds(sink, name, version)

    def test_what_is_there_already_is_not_written_again(
        self, sink: Sink, stamp: Stamp | None, name: Name
    ) -> None:
        if stamp is None:
            pytest.skip("nothing tells whether a copy was written again")
        version = _written(sink, name, "value")
        before = stamp(name)
        sink.write(name, Secret("value"), version)
        assert stamp(name) == before
        sink.write(name, Secret("other"), uuid4())
        assert stamp(name) != before

    def test_an_equal_value_becomes_the_new_version(
        self, sink: Sink, there: There, name: Name
    ) -> None:
        _written(sink, name, "value")
        version = _written(sink, name, "value")
        assert there(name) == "value"
        self._holds(sink, name, version)

    def test_an_earlier_version_can_be_written_again(
        self, sink: Sink, there: There, name: Name
    ) -> None:
        first = _written(sink, name, "first")
        _written(sink, name, "second")
        sink.write(name, Secret("first"), first)
        assert there(name) == "first"
        self._holds(sink, name, first)

    def test_names_do_not_disturb_each_other(self, sink: Sink, there: There, name: Name) -> None:
        names = [name, Name(f"{name}-a"), Name(f"{name}x/a"), Name(f"other/{name}")]
        versions = [_written(sink, each, each) for each in names]
        assert [there(each) for each in names] == names
        sink.remove(name)
        assert [there(each) for each in names] == [None, *names[1:]]
        for each, version in zip(names[1:], versions[1:], strict=True):
            self._holds(sink, each, version)

    def test_another_session_knows_what_was_written(
        self, sink: Sink, reopen: Reopen | None, there: There, name: Name
    ) -> None:
        if reopen is None:
            pytest.skip("there is no second session")
        version = _written(sink, name, "value")
        other = reopen()
        self._holds(other, name, version)
        newer = _written(other, name, "newer")
        assert there(name) == "newer"
        self._holds(sink, name, newer)
        other.close()

    # --- looking back

    def test_nothing_is_there_before_the_first_write(
        self, sink: Sink, there: There, name: Name
    ) -> None:
        assert there(name) is None
        assert sink.inspect(name) == (_NOTHING if self.looks_back else None)

    def test_a_changed_copy_is_noticed_and_the_next_write_mends_it(
        self, sink: Sink, there: There, tamper: Meddle | None, name: Name
    ) -> None:
        version = _written(sink, name, "value")
        self._meddled(sink, tamper, name, version)
        sink.write(name, Secret("value"), version)
        assert there(name) == "value"
        self._holds(sink, name, version)

    def test_a_deleted_copy_is_noticed_and_the_next_write_mends_it(
        self, sink: Sink, there: There, vanish: Meddle | None, name: Name
    ) -> None:
        version = _written(sink, name, "value")
        self._meddled(sink, vanish, name, version)
        sink.write(name, Secret("value"), version)
        assert there(name) == "value"
        self._holds(sink, name, version)

    # --- removing, and what is not ours

    def test_what_is_removed_is_gone_and_can_be_written_again(
        self, sink: Sink, there: There, name: Name
    ) -> None:
        sink.remove(name)
        _written(sink, name, "value")
        for _ in range(2):
            sink.remove(name)
            assert there(name) is None
        if self.looks_back:
            assert sink.inspect(name) == _NOTHING
        version = _written(sink, name, "value")
        assert there(name) == "value"
        self._holds(sink, name, version)

    def test_a_changed_copy_can_be_removed(
        self, sink: Sink, there: There, tamper: Meddle | None, name: Name
    ) -> None:
        if tamper is None:
            pytest.skip("nobody can change a copy")
        _written(sink, name, "value")
        tamper(name)
        sink.remove(name)
        assert there(name) is None

    def test_what_is_not_ours_is_left_alone(
        self, sink: Sink, foreign: Plant | None, name: Name
    ) -> None:
        if foreign is None:
            pytest.skip("nothing plants a foreign object")
        look = foreign(name)
        before = look()
        with pytest.raises(NotOurs):
            sink.write(name, Secret("value"), uuid4())
        with pytest.raises(NotOurs):
            sink.remove(name)
        assert sink.inspect(name) == _NOTHING
        assert look() == before

    # --- values

    @pytest.mark.parametrize("value", HOSTILE_VALUES.values(), ids=HOSTILE_VALUES.keys())
    def test_a_reader_finds_a_value_as_it_was(
        self, sink: Sink, there: There, name: Name, value: str
    ) -> None:
        version = _written(sink, name, value)
        assert there(name) == value
        self._holds(sink, name, version)

    def test_the_longest_value_fits(self, sink: Sink, there: There, name: Name) -> None:
        value = "x" * self.factory.limits.value_bytes
        _written(sink, name, value)
        assert there(name) == value

    @pytest.mark.parametrize("character", ["x", "\u00e9", "\U0001f511"])
    def test_a_value_one_byte_past_the_limit_is_refused_and_nothing_changes(
        self, sink: Sink, there: There, name: Name, character: str
    ) -> None:
        version = _written(sink, name, "value")
        length = self.factory.limits.value_bytes - len(character.encode()) + 1
        with pytest.raises(LimitExceeded):
            sink.write(name, Secret(character + "x" * length), uuid4())
        assert there(name) == "value"
        self._holds(sink, name, version)

    def test_a_value_that_is_not_unicode_text_is_refused_and_not_shown(
        self, sink: Sink, there: There, name: Name
    ) -> None:
        canary = new_canary()
        with pytest.raises(CredmgrError) as caught:
            sink.write(name, Secret(f"{canary}\ud800"), uuid4())
        assert not leaks(canary, everything_in(caught.value))
        assert there(name) is None

    # --- many at once

    def test_many_names_at_once_do_not_disturb_each_other(
        self, sink: Sink, there: There, name: Name
    ) -> None:
        def rotate(number: int) -> bool:
            own = Name(f"{name}-{number}")
            _written(sink, own, f"{number} old")
            self._holds(sink, own, _written(sink, own, f"{number} new"))
            return there(own) == f"{number} new"

        with ThreadPoolExecutor(THREADS) as pool:
            assert all(pool.map(rotate, range(THREADS)))

    def test_of_many_writes_at_once_one_is_left_whole(
        self, sink: Sink, there: There, name: Name
    ) -> None:
        versions = {uuid4(): f"value {number} {'x' * 1000}" for number in range(THREADS)}

        def write(version: UUID) -> None:
            sink.write(name, Secret(versions[version]), version)
            assert there(name) in versions.values()

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(write, versions))
        state = sink.inspect(name)
        if state is not None:
            assert state.version is not None
            assert state.intact
            assert there(name) == versions[state.version]

    # --- the session, and secrecy

    def test_check_finds_nothing_wrong_and_changes_nothing(
        self, sink: Sink, there: There, name: Name
    ) -> None:
        version = _written(sink, name, "value")
        for _ in range(2):
            sink.check()
        assert there(name) == "value"
        self._holds(sink, name, version)

    def test_closing_may_be_repeated(self, sink: Sink) -> None:
        sink.close()
        sink.close()

    def test_no_value_shows_in_logs_output_or_errors(
        self,
        sink: Sink,
        foreign: Plant | None,
        name: Name,
        caplog: pytest.LogCaptureFixture,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        canary = new_canary()
        with caplog.at_level(logging.DEBUG):
            _written(sink, name, canary)
            shown = f"{sink!r} {sink.inspect(name)!r}" + "".join(
                self._provoked(sink, foreign, name, canary)
            )
            sink.remove(name)
        shown += caplog.text + "".join(repr(vars(record)) for record in caplog.records)
        assert not leaks(canary, shown + "".join(capfd.readouterr()))

    def _provoked(
        self, sink: Sink, foreign: Plant | None, name: Name, canary: str
    ) -> Iterator[str]:
        long = canary + "x" * self.factory.limits.value_bytes
        with pytest.raises(CredmgrError) as caught:
            sink.write(name, Secret(long), uuid4())
        yield everything_in(caught.value)
        if foreign is not None:
            other = Name(f"{name}-foreign")
            foreign(other)
            with pytest.raises(NotOurs) as caught_too:
                sink.write(other, Secret(canary), uuid4())
            yield everything_in(caught_too.value)

    def _holds(self, sink: Sink, name: Name, version: UUID) -> None:
        expected = SinkState(version, intact=True) if self.looks_back else None
        assert sink.inspect(name) == expected

    def _meddled(self, sink: Sink, meddle: Meddle | None, name: Name, version: UUID) -> None:
        if meddle is None:
            pytest.skip("nobody can do this to a copy")
        meddle(name)
        expected = SinkState(version, intact=False) if self.looks_back else None
        assert sink.inspect(name) == expected


def _written(sink: Sink, name: Name, value: str) -> UUID:
    """Write a value as a new version, and give the version."""
    version = uuid4()
    sink.write(name, Secret(value), version)
    return version
