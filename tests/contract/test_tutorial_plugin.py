"""The backend of docs/plugins.md, built and installed as any other distribution would be."""

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import Any
from uuid import UUID, uuid4

import pytest

from credmgr.cli import home as homes
from credmgr.errors import (
    AccessDenied,
    BackendUnavailable,
    Conflict,
    CorruptSecret,
    NotOurs,
    SecretNotFound,
)
from credmgr.keyring import Keyring
from credmgr.manifest.references import References
from credmgr.model.clock import SystemClock
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.model.version import Stage
from credmgr.plugins.backend import SecretBackend
from credmgr.plugins.context import PluginContext
from credmgr.plugins.loading import BACKENDS, load
from credmgr.sandbox import RunningSandbox, SandboxConfig
from credmgr.testing import BackendContract
from credmgr.testing.backend_moves import Plant, Reopen, full, promoted, stages
from tests.acceptance.installation import Installation, Said

SOURCE = Path(__file__).parents[1] / "plugin_sqlite"
MANIFEST = (SOURCE / "example" / "credmgr.yaml").read_text()
MASTER = bytes(range(32))
LAST = "    patience: 2s\n"
"""The last of the page's lines in the manifest, its eighth."""
NAME = Name("team/api-key")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which pip has installed the distribution, without asking any index."""
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    offline = ["--no-index", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(  # noqa: S603 (pip itself)
        [*pip, *offline, "--target", target, SOURCE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="module")
def factory(installed: Path) -> Iterator[Any]:
    """The plugin's factory, found by its entry point."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "path", [str(installed), *sys.path])
        yield load(BACKENDS, "sqlite-file")
    del sys.modules["credmgr_sqlite"]


@pytest.fixture
def keys(tmp_path: Path) -> Keyring:
    return Keyring.create(tmp_path / "keyring.json", MASTER)


@pytest.fixture
def reopen(factory: Any, keys: Keyring, tmp_path: Path) -> Iterator[Reopen]:
    context = PluginContext("team", tmp_path, SystemClock(), keys, References(tmp_path), workers=32)
    opened: list[SecretBackend] = []

    def again(patience: timedelta = timedelta(seconds=5)) -> SecretBackend:
        opened.append(factory.open(factory.options(patience=patience), context))
        return opened[-1]

    yield again
    for session in opened:
        session.close()


@pytest.fixture
def backend(reopen: Reopen) -> SecretBackend:
    return reopen()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "secrets.db"


def change(file: Path, statement: str, *values: object) -> None:
    """What somebody else does to the file."""
    db = sqlite3.connect(file)
    with db:
        db.execute(statement, values)
    db.close()


class TestTutorialPlugin(BackendContract):
    @pytest.fixture(autouse=True)
    def _loaded(self, factory: Any) -> None:
        type(self).factory = factory

    @pytest.fixture
    def backend(self, reopen: Reopen) -> SecretBackend:
        return reopen()

    @pytest.fixture
    def reopen(self, reopen: Reopen) -> Reopen:
        return reopen

    @pytest.fixture
    def foreign(self, backend: SecretBackend, file: Path) -> Plant:
        del backend  # has made the table

        def plant(name: Name) -> Callable[[], object]:
            row = "INSERT INTO copies VALUES (NULL, ?, 'v1', 'current', '', 'theirs', '', x'00')"
            change(file, row, name)
            return file.read_bytes

        return plant


# --- what it promises beyond the contract


def test_the_file_is_private_and_holds_no_value_in_clear(
    backend: SecretBackend, file: Path
) -> None:
    value = "a value that would be found"
    version = promoted(backend, NAME, value)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert value.encode() not in file.read_bytes()
    assert str(version).encode() in file.read_bytes()


def test_what_is_discarded_leaves_nothing_behind(backend: SecretBackend, file: Path) -> None:
    full(backend, NAME)
    version = backend.read(NAME, Stage.NEXT).version
    db = sqlite3.connect(file)
    ((sealed,),) = db.execute("SELECT sealed FROM copies WHERE version = ?", (str(version),))
    db.close()
    assert sealed in file.read_bytes()
    backend.discard(NAME, version)
    assert sealed not in file.read_bytes()


def test_a_file_that_others_can_reach_is_refused(reopen: Reopen, file: Path) -> None:
    session = reopen()
    file.chmod(0o640)
    with pytest.raises(AccessDenied, match="open to other users"):
        reopen()
    with pytest.raises(AccessDenied):
        session.check()
    file.unlink()
    with pytest.raises(AccessDenied, match="No such file"):
        session.check()
    file.symlink_to("elsewhere.db")
    with pytest.raises(AccessDenied, match="is a link"):
        reopen()


def test_a_folder_that_is_missing_is_told(factory: Any, keys: Keyring, tmp_path: Path) -> None:
    context = PluginContext("team", tmp_path, SystemClock(), keys, References(tmp_path))
    with pytest.raises(AccessDenied, match="nowhere"):
        factory.open(factory.options(path="nowhere/secrets.db"), context)


def test_another_applications_database_is_left_alone(reopen: Reopen, file: Path) -> None:
    change(file, "CREATE TABLE notes (text)")
    file.chmod(0o600)
    before = file.read_bytes()
    with pytest.raises(NotOurs, match="another application"):
        reopen()
    assert file.read_bytes() == before
    file.write_text("no database at all, and longer than the header of one " * 10)
    with pytest.raises(NotOurs, match="not a database"):
        reopen()


def test_a_value_opens_under_its_own_name_and_version_only(
    backend: SecretBackend, file: Path
) -> None:
    other = Name("other/api-key")
    promoted(backend, NAME, "one")
    version = promoted(backend, other, "two")
    staged = uuid4()
    backend.stage(other, Secret("three"), staged)
    moved = "UPDATE copies SET sealed = (SELECT sealed FROM copies WHERE name = ?) WHERE name = ?"
    change(file, moved, NAME, other)
    with pytest.raises(CorruptSecret):
        backend.read(other)
    with pytest.raises(CorruptSecret):
        backend.promote(other, staged, version)
    change(file, "UPDATE copies SET key_id = 'gone'")
    with pytest.raises(CorruptSecret):
        backend.read(NAME)
    change(file, "UPDATE copies SET written_at = 'garbage'")
    with pytest.raises(CorruptSecret, match="damaged"):
        backend.versions(other)
    backend.delete(other)
    assert stages(backend, other) == {}


def test_a_damaged_file_is_told_from_a_busy_one(reopen: Reopen, file: Path) -> None:
    promoted(reopen(), NAME, "x" * 20_000)
    with file.open("r+b") as handle:
        handle.seek(4096)
        handle.write(b"\xff" * 4096)
    with pytest.raises(CorruptSecret, match="malformed"):
        reopen().read(NAME)


def test_a_writer_that_takes_too_long_is_an_error_to_be_repeated(
    reopen: Reopen, factory: Any, tmp_path: Path, keys: Keyring, file: Path
) -> None:
    context = PluginContext("team", tmp_path, SystemClock(), keys, References(tmp_path))
    hurried = factory.open(factory.options(patience=timedelta(milliseconds=50)), context)
    promoted(reopen(), NAME, "value")
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(BackendUnavailable, match="locked") as caught:
        hurried.read(NAME)
    assert caught.value.retryable
    other.execute("ROLLBACK")
    other.close()
    assert hurried.read(NAME).secret.reveal() == "value"
    with hurried._lock, pytest.raises(BackendUnavailable, match="other threads"):
        hurried.read(NAME)
    hurried.close()
    hurried.close()


def test_of_many_sessions_that_promote_at_once_exactly_one_wins(reopen: Reopen) -> None:
    sessions = [reopen() for _ in range(8)]
    full(sessions[0], NAME)
    current = sessions[0].read(NAME).version
    rivals = [sessions[0].read(NAME, stage).version for stage in (Stage.NEXT, Stage.PREVIOUS)]
    start = Barrier(len(sessions))

    def attempt(number: int) -> UUID | None:
        version = rivals[number % 2]
        start.wait()
        try:
            sessions[number].promote(NAME, version, current)
        except (Conflict, SecretNotFound):
            return None
        return version

    with ThreadPoolExecutor(len(sessions)) as pool:
        winners = set(pool.map(attempt, range(len(sessions)))) - {None}
    assert winners == {sessions[0].read(NAME).version}


def test_values_are_sealed_anew_when_the_data_key_is_changed(
    backend: Any, keys: Keyring, file: Path
) -> None:
    values = full(backend, NAME)
    backend.check()
    (old,) = keys.key_ids("sqlite-file:team")
    keys.rekey_data({"sqlite-file:team": backend.reseal})
    assert old.encode() not in file.read_bytes()
    assert {stage: backend.read(NAME, stage).secret.reveal() for stage in Stage} == values
    backend.check()


# --- as its users have it


def test_its_own_tests_pass_as_the_page_shows_them(installed: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"]
    done = subprocess.run(  # noqa: S603 (pytest itself)
        [
            *command,
            "-c",
            "/dev/null",
            "--rootdir",
            SOURCE,
            SOURCE / "tests",
            "-k",
            "session or promot",
        ],
        env={**os.environ, "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    token = tmp_path_factory.mktemp("box") / "sandbox.token"
    with RunningSandbox(SandboxConfig(port=0, admin_token_file=token)) as running:
        yield running


@pytest.fixture
def home(box: RunningSandbox, installed: Path, tmp_path: Path) -> Installation:
    """An installation with the manifest of the page, in whose environment the plugin is."""
    made = Installation(tmp_path / "home", box, {"PYTHONPATH": str(installed)})
    homes.make(made.folder, homes.starter(homes.MANIFEST))
    token = made.folder / "sandbox.token"
    token.write_text(box.admin_token.reveal())
    token.chmod(0o600)
    made.manifest.write_text(MANIFEST.replace("http://127.0.0.1:8660", box.url))
    return made


def test_it_holds_a_credential_through_its_rotations(home: Installation) -> None:
    assert "applied" in home.run("apply", "--yes").out
    assert "● DONE" in home.run("rotate", "caseforge/api-key", "--wait").out
    first = home.run("get", "caseforge/api-key").out.strip()
    assert home.accepts(first)
    assert "● DONE" in home.run("rotate", "caseforge/api-key", "--wait").out
    second = home.run("get", "caseforge/api-key").out.strip()
    assert home.accepts(second)
    assert not home.accepts(first)
    assert first.encode() not in (home.folder / "team.db").read_bytes()
    assert home.json("rekey", "--data")["resealed"] == ["team"]
    assert home.run("get", "caseforge/api-key").out.strip() == second


def test_a_wrong_option_is_told_at_its_line(home: Installation) -> None:
    home.edit("path: team.db", 'path: " "')
    home.edit("patience: 2s", "patience: 0s")
    said = home.run("check", code=2).err
    assert "credmgr.yaml:7:11 the path is empty or no path" in said
    assert "credmgr.yaml:8:15 without patience every second call fails" in said


# --- plugins that are no good


@pytest.fixture
def site(home: Installation, tmp_path: Path) -> Path:
    """A further folder in which distributions are installed."""
    folder = tmp_path / "site"
    folder.mkdir()
    home.environ["PYTHONPATH"] += os.pathsep + str(folder)
    return folder


def distribution(folder: Path, name: str, entry_point: str) -> None:
    """What an installed distribution leaves behind."""
    info = folder / f"{name}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[{BACKENDS}]\n{entry_point}\n")


def problems(said: Said) -> list[tuple[int, str]]:
    return [(problem["line"], problem["what"]) for problem in said.data["problems"]]


def test_a_plugin_that_fails_to_import_is_told_at_its_line_and_the_others_work(
    home: Installation, site: Path
) -> None:
    (site / "broken_store.py").write_text("raise ImportError('no libstore.so.3')\n")
    distribution(site, "broken-store", "broken = broken_store:Factory")
    assert "good" in home.run("check").out
    home.edit(LAST, f"{LAST}  spare: {{plugin: broken}}\n  third: {{plugin: local}}\n")
    told = problems(home.run("check", "--json", code=2))
    reason = "does not load: ImportError: no libstore.so.3"
    assert told == [(9, f"the plugin 'broken' in {BACKENDS} {reason}")]
    assert "update or uninstall broken-store" in home.run("check", code=2).err


def test_two_plugins_of_one_name_are_refused_at_the_line_that_wants_one(
    home: Installation, site: Path
) -> None:
    distribution(site, "their-store", "twin = their_store:Factory")
    distribution(site, "other-store", "twin = other_store:Factory")
    assert "good" in home.run("check").out
    home.edit(LAST, f"{LAST}  spare: {{plugin: twin}}\n")
    told = problems(home.run("check", "--json", code=2))
    claims = "is claimed by other-store, their-store"
    assert told == [(9, f"the plugin name 'twin' in {BACKENDS} {claims}")]


def test_a_name_that_is_taken_cannot_be_taken_over(home: Installation, site: Path) -> None:
    distribution(site, "impostor", "sqlite-file = their_store:Factory")
    told = problems(home.run("check", "--json", code=2))
    claims = "is claimed by credmgr-sqlite, impostor"
    assert told == [(6, f"the plugin name 'sqlite-file' in {BACKENDS} {claims}")]
