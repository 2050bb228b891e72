"""The sink `file` on a disk that has links, strangers, no room and no power."""

import errno
import fcntl
import json
import os
import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from credmgr.errors import AccessDenied, BackendUnavailable, ConfigError, LimitExceeded, NotOurs
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.plugins.sink import SinkState
from credmgr.sinks.copies import FileCopies, Layout
from credmgr.sinks.file import FileOptions, FileSinkFactory
from credmgr.sinks.folders import Access, Folder
from credmgr.sinks.rendering import Form, Rendering
from tests.sink_world import a_context

NAME = Name("app/key")
FACTORY = FileSinkFactory()


def opened(home: Path, options: FileOptions | None = None) -> FileCopies:
    return FACTORY.open(options or FileOptions("out"), a_context(home))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def write(sink: FileCopies, value: str, version: UUID | None = None) -> UUID:
    version = version or uuid4()
    sink.write(NAME, Secret(value), version)
    return version


# --- who may read


@pytest.mark.parametrize(
    ("given", "file", "folder"), [("0600", 0o600, 0o700), ("0640", 0o640, 0o750)]
)
def test_file_and_folders_have_the_modes_that_fit(
    tmp_path: Path, given: str, file: int, folder: int
) -> None:
    write(opened(tmp_path, FileOptions("out", mode=given)), "value")

    assert mode(tmp_path / "out" / "app" / "key") == file
    assert [mode(tmp_path / "out"), mode(tmp_path / "out" / "app")] == [folder, folder]
    assert mode(tmp_path / "out" / "app" / ".key.credmgr") == 0o600


def test_a_changed_mode_is_no_longer_intact_and_is_mended(tmp_path: Path) -> None:
    sink, file = opened(tmp_path), tmp_path / "out" / "app" / "key"
    version = write(sink, "value")
    file.chmod(0o644)
    assert sink.inspect(NAME) == SinkState(version, intact=False)

    write(sink, "value", version)

    assert mode(file) == 0o600
    assert sink.inspect(NAME) == SinkState(version, intact=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_is_given_to_its_owner_and_group(tmp_path: Path) -> None:
    options = FileOptions("out", owner=12345, group="daemon", mode="0640")
    write(opened(tmp_path, options), "value")

    found = (tmp_path / "out" / "app" / "key").stat()
    assert (found.st_uid, found.st_gid) == (12345, 1)


@pytest.mark.parametrize(
    "options", [FileOptions("out", owner="nobody-known"), FileOptions("out", group="nobody-known")]
)
def test_an_owner_that_nobody_knows_is_a_mistake(tmp_path: Path, options: FileOptions) -> None:
    with pytest.raises(ConfigError, match="there is no"):
        opened(tmp_path, options)


@pytest.mark.parametrize(
    ("options", "option"),
    [
        (FileOptions("out", mode="0644"), "mode"),
        (FileOptions("out", mode="0660"), "mode"),
        (FileOptions("out", mode="0755", others_may_read=True), "mode"),
        (FileOptions("out", mode="rw"), "mode"),
        (FileOptions("out", mode="0000"), "mode"),
        (FileOptions("out", mode="4600"), "mode"),
        (FileOptions(""), "path"),
        (FileOptions("out", file="../x"), "file"),
        (FileOptions("out", file="/etc/passwd"), "file"),
        (FileOptions("out", file="a//b"), "file"),
        (FileOptions("out", file="{{ nam }}"), "file"),
        (FileOptions("out", file=".x.credmgr"), "file"),
        (FileOptions("out", form=Form.TEMPLATE), "template"),
    ],
)
def test_options_that_cannot_be_are_told(options: FileOptions, option: str) -> None:
    assert [mistake.option for mistake in FACTORY.validate(options)][:1] == [option]


def test_usual_options_are_good() -> None:
    good = (
        FileOptions("out"),
        FileOptions("/etc/app", file=".env", form=Form.DOTENV),
        FileOptions("out", mode="0644", others_may_read=True),
        FileOptions("out", file="{{ name }}.json", form=Form.JSON, mode="440"),
    )
    assert [list(FACTORY.validate(options)) for options in good] == [[], [], [], []]


# --- links and strangers


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    version = write(sink, "value")
    victim = tmp_path / "victim"
    victim.write_text("theirs")
    file = tmp_path / "out" / "app" / "key"
    file.unlink()
    file.symlink_to(victim)

    with pytest.raises(NotOurs):
        write(sink, "other", version)
    with pytest.raises(NotOurs):
        sink.remove(NAME)
    assert sink.inspect(NAME) == SinkState(None, intact=False)
    assert victim.read_text() == "theirs"


@pytest.mark.parametrize("name", [".key.credmgr-new", ".key.credmgr"])
def test_a_link_beside_a_file_is_not_followed(tmp_path: Path, name: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("theirs")
    folder = tmp_path / "out" / "app"
    folder.mkdir(parents=True, mode=0o700)
    (tmp_path / "out").chmod(0o700)
    (folder / name).symlink_to(victim)
    try:
        write(opened(tmp_path), "value")
    except NotOurs:
        assert name == ".key.credmgr"
    assert victim.read_text() == "theirs"


def test_a_link_on_the_way_is_refused(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (tmp_path / "out").mkdir(mode=0o700)
    (tmp_path / "out" / "app").symlink_to(elsewhere)
    sink = opened(tmp_path)

    for attempt in (lambda: write(sink, "value"), lambda: sink.remove(NAME)):
        with pytest.raises(AccessDenied, match="symbolic link"):
            attempt()
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("folder", ["out", "out/app"])
def test_a_folder_in_which_others_can_write_is_refused(tmp_path: Path, folder: str) -> None:
    sink = opened(tmp_path)
    version = write(sink, "value")
    (tmp_path / folder).chmod(0o777)

    with pytest.raises(AccessDenied, match="others can write"):
        write(sink, "other", version)
    assert (tmp_path / "out" / "app" / "key").read_text() == "value"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir(mode=0o755)
    os.chown(tmp_path / "out", 12345, 12345)

    with pytest.raises(AccessDenied, match="belongs to user 12345"):
        write(opened(tmp_path), "value")
    write(opened(tmp_path, FileOptions("out", owner=12345)), "value")


def test_two_names_never_share_a_file(tmp_path: Path) -> None:
    sink = opened(tmp_path, FileOptions("out", file=".env"))
    write(sink, "value")

    with pytest.raises(NotOurs, match="the copy of app/key"):
        sink.write(Name("other"), Secret("x"), uuid4())
    assert sink.inspect(Name("other")) == SinkState(None, intact=False)
    assert (tmp_path / "out" / ".env").read_text() == "value"


@pytest.mark.parametrize("adopt", [True, False])
def test_a_file_of_somebody_else_is_taken_over_when_that_is_said(
    tmp_path: Path, *, adopt: bool
) -> None:
    (tmp_path / "out").mkdir(mode=0o700)
    (tmp_path / "out" / "x").write_text("theirs")
    sink = opened(tmp_path, FileOptions("out", file="x", adopt=adopt))

    if adopt:
        version = write(sink, "value")
        assert sink.inspect(NAME) == SinkState(version, intact=True)
    else:
        with pytest.raises(NotOurs, match="was not written by credmgr"):
            write(sink, "value")
        assert [one.name for one in (tmp_path / "out").iterdir()] == ["x"]


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", '{"credmgr": 2}', '{"entries": [], "credmgr": 1}']
)
def test_a_damaged_mark_makes_a_file_anybodys(tmp_path: Path, damage: str) -> None:
    sink = opened(tmp_path)
    version = write(sink, "value")
    (tmp_path / "out" / "app" / ".key.credmgr").write_text(damage)

    assert sink.inspect(NAME) == SinkState(None, intact=False)
    with pytest.raises(NotOurs):
        write(sink, "other", version)


def test_a_mark_that_was_made_without_the_key_proves_nothing(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    version = write(sink, "value")
    file = tmp_path / "out" / "app" / ".key.credmgr"
    mark = json.loads(file.read_text())
    mark["entries"][0]["version"] = str(uuid4())
    file.write_text(json.dumps(mark))
    state = sink.inspect(NAME)
    assert state.version != version
    assert not state.intact

    mark["entries"][0]["key"] = "unknown"
    file.write_text(json.dumps(mark))
    assert not sink.inspect(NAME).intact


def test_a_file_and_its_mark_put_back_from_earlier_show_as_the_earlier_version(
    tmp_path: Path,
) -> None:
    sink, folder = opened(tmp_path), tmp_path / "out" / "app"
    first = write(sink, "first")
    kept = {file: file.read_bytes() for file in folder.iterdir()}
    write(sink, "second")
    for file, content in kept.items():
        file.write_bytes(content)

    assert sink.inspect(NAME) == SinkState(first, intact=True)


def test_a_folder_in_the_place_of_a_file_is_not_ours(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    sink.write(Name("app/key/deeper"), Secret("x"), uuid4())

    with pytest.raises(NotOurs):
        write(sink, "value")
    with pytest.raises(NotOurs):
        sink.write(Name("app/key/deeper/still"), Secret("x"), uuid4())


# --- what goes wrong


def test_a_root_without_its_parent_is_told(tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match="No such file"):
        write(opened(tmp_path, FileOptions("not/there")), "value")
    assert opened(tmp_path, FileOptions("not/there")).inspect(NAME) == SinkState(None, intact=False)


def test_a_name_that_is_too_long_for_the_disk_is_told(tmp_path: Path) -> None:
    sink = opened(tmp_path, FileOptions("out", file="{{ name }}" + "x" * 250))

    with pytest.raises(LimitExceeded):
        write(sink, "value")


def test_another_process_that_writes_for_too_long_is_told(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir(mode=0o700)
    handle = os.open(tmp_path / "out", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    sink = FACTORY.open(FileOptions("out"), a_context(tmp_path, timedelta(milliseconds=50)))
    with pytest.raises(BackendUnavailable, match="another process"):
        write(sink, "value")
    os.close(handle)
    write(sink, "value")


class Power(Exception):
    """It went off."""


def breaking(at: int, breaks: Callable[[], None]) -> tuple[type[Folder], list[str]]:
    """Folders that break before, within or after the effect of this number."""
    moments: list[str] = []

    def moment(what: str) -> None:
        moments.append(what)
        if len(moments) == at:
            breaks()

    class Breaking(Folder):
        def write(self, handle: int, content: bytes) -> None:
            moment("before write")
            os.write(handle, content[: len(content) // 2])
            moment("within write")
            os.lseek(handle, 0, os.SEEK_SET)
            super().write(handle, content)

        def rename(self, old: str, new: str) -> None:
            moment(f"before rename {new}")
            super().rename(old, new)
            moment(f"after rename {new}")

        def link(self, old: str, new: str) -> None:
            moment(f"before link {new}")
            super().link(old, new)
            moment(f"after link {new}")

        def unlink(self, name: str) -> None:
            moment(f"before unlink {name}")
            super().unlink(name)

        def sync(self) -> None:
            moment("before sync")
            super().sync()

    return Breaking, moments


def sink_with(home: Path, folders: type[Folder]) -> FileCopies:
    access = Access(0o600, os.geteuid(), os.getegid())
    layout = Layout(home / "out", access, str, Rendering())
    return FileCopies(layout, a_context(home), folders)


def power_fails() -> None:
    raise Power


@pytest.mark.parametrize("before", ["nothing", "something"])
def test_whatever_a_crash_leaves_is_whole_and_the_next_write_completes_it(
    tmp_path: Path, before: str
) -> None:
    for at in range(1, 40):
        home = tmp_path / str(at)
        home.mkdir()
        old = write(opened(home), "old") if before == "something" else None
        folders, moments = breaking(at, power_fails)
        new = uuid4()
        crashed = False
        try:
            write(sink_with(home, folders), "new", new)
        except Power:
            crashed = True
        file = home / "out" / "app" / "key"
        found = file.read_text() if file.exists() else None
        state = opened(home).inspect(NAME)
        assert found in ("new", "old" if old else None), moments
        if found is not None:
            assert state == SinkState(new if found == "new" else old, intact=True), moments
        write(opened(home), "new", new)
        assert file.read_text() == "new", moments
        assert opened(home).inspect(NAME) == SinkState(new, intact=True), moments
        assert sorted(one.name for one in file.parent.iterdir()) == [".key.credmgr", "key"]
        if not crashed:
            assert at > 5
            return
    raise AssertionError("it never ended")


def test_a_crash_while_removing_is_completed_by_the_next(tmp_path: Path) -> None:
    for at in range(1, 20):
        home = tmp_path / str(at)
        home.mkdir()
        write(opened(home), "old")
        folders, _ = breaking(at, power_fails)
        try:
            sink_with(home, folders).remove(NAME)
        except Power:
            opened(home).remove(NAME)
            assert list((home / "out" / "app").iterdir()) == []
        else:
            return
    raise AssertionError("it never ended")


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (errno.ENOSPC, BackendUnavailable),
        (errno.EDQUOT, BackendUnavailable),
        (errno.EIO, BackendUnavailable),
        (errno.EROFS, AccessDenied),
        (errno.EACCES, AccessDenied),
        (errno.EFBIG, LimitExceeded),
    ],
)
def test_a_disk_that_fails_is_told_and_the_old_copy_stays(
    tmp_path: Path, code: int, error: type[Exception]
) -> None:
    version = write(opened(tmp_path), "old")

    def fails() -> None:
        raise OSError(code, os.strerror(code))

    for at in range(1, 4):
        folders, _ = breaking(at, fails)
        with pytest.raises(error):
            write(sink_with(tmp_path, folders), "new")
        assert opened(tmp_path).inspect(NAME) == SinkState(version, intact=True)


def test_a_file_that_somebody_makes_at_the_last_moment_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "out" / "app" / "key"

    class Late(Folder):
        def link(self, old: str, new: str) -> None:
            file.write_text("theirs")
            super().link(old, new)

    with pytest.raises(NotOurs):
        write(sink_with(tmp_path, Late), "value")
    assert [one.name for one in file.parent.iterdir()] == ["key"]
    assert file.read_text() == "theirs"


def test_check_tells_what_is_missing(tmp_path: Path) -> None:
    opened(tmp_path).check()
    assert list((tmp_path / "out").iterdir()) == []
    (tmp_path / "out").chmod(0o770)
    with pytest.raises(AccessDenied):
        opened(tmp_path).check()
    with pytest.raises(BackendUnavailable):
        opened(tmp_path, FileOptions("not/there")).check()
