"""The sink `command`: what a program is told, how it may end, and what never leaves it."""

import os
import time
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from credmgr.errors import BackendUnavailable, ConfigError
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.plugins.sink import SinkState
from credmgr.sinks.command import CommandOptions, CommandSink, CommandSinkFactory
from credmgr.testing.canaries import everything_in, leaks, new_canary
from tests.sink_world import a_context

NAME = Name("app/key")
FACTORY = CommandSinkFactory()


def shell(script: str) -> tuple[str, ...]:
    return ("/bin/sh", "-c", script)


def opened(home: Path, write: str = "cat > out", **more: str) -> CommandSink:
    scripts = {what: shell(script) for what, script in more.items()}
    options = CommandOptions(
        write=shell(write),
        inspect=scripts.get("inspect", ()),
        remove=scripts.get("remove", ()),
        timeout=timedelta(seconds=20),
    )
    return FACTORY.open(options, a_context(home))


def hasty(home: Path, write: str) -> CommandSink:
    options = CommandOptions(write=shell(write), timeout=timedelta(milliseconds=300))
    return FACTORY.open(options, a_context(home))


def write(sink: CommandSink, value: str = "value", version: UUID | None = None) -> None:
    sink.write(NAME, Secret(value), version or uuid4())


# --- what the program is given


def test_a_program_gets_the_value_and_a_small_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "ours")
    version = uuid4()
    write(opened(tmp_path, "cat > out; env > environment"), "a\0b\n", version)

    assert (tmp_path / "out").read_bytes() == b"a\0b\n"
    lines = dict(one.split("=", 1) for one in (tmp_path / "environment").read_text().splitlines())
    told = {key: lines[key] for key in ("CREDMGR_NAME", "CREDMGR_VERSION")}
    assert told == {"CREDMGR_NAME": "app/key", "CREDMGR_VERSION": str(version)}
    # The shell adds the latter three.
    assert set(lines) <= {"PATH", "LANG", *told, "PWD", "SHLVL", "_", "OLDPWD"}


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="there is no /proc")
def test_the_secret_is_in_no_argument_and_no_environment(tmp_path: Path) -> None:
    canary = new_canary()
    script = (
        "cat > out; for one in $$ $PPID; do"
        " tr '\\0' '\\n' < /proc/$one/cmdline; tr '\\0' '\\n' < /proc/$one/environ; done > seen"
    )
    write(opened(tmp_path, script), canary)

    seen = (tmp_path / "seen").read_text(errors="replace")
    assert "CREDMGR_NAME=app/key" in seen
    assert not leaks(canary, seen)
    assert (tmp_path / "out").read_text() == canary


def test_no_shell_reads_the_arguments(tmp_path: Path) -> None:
    options = CommandOptions(write=("/usr/bin/touch", "a b", "$(id)", "; x"))
    write(FACTORY.open(options, a_context(tmp_path)))

    assert {"a b", "$(id)", "; x"} <= {one.name for one in tmp_path.iterdir()}


def test_a_program_need_not_read_its_input(tmp_path: Path) -> None:
    write(opened(tmp_path, "exit 0"), "x" * 65_536)
    write(opened(tmp_path, "exec <&-; true"), "x" * 65_536)


def test_what_a_program_leaves_running_is_not_waited_for(tmp_path: Path) -> None:
    began = time.monotonic()
    write(opened(tmp_path, "cat > out; sleep 15 & echo $! > pid"))
    os.kill(int((tmp_path / "pid").read_text()), 9)
    assert time.monotonic() - began < 15


# --- how it may end


@pytest.mark.parametrize(
    ("script", "error", "said"),
    [
        ("exit 3", ConfigError, "ended with status 3"),
        ("echo no room >&2; exit 1", ConfigError, "ended with status 1; it said: no room"),
        ("exit 75", BackendUnavailable, "asks for a later try"),
        ("kill -9 $$", BackendUnavailable, "got signal 9"),
    ],
)
def test_the_exit_status_counts(
    tmp_path: Path, script: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        write(opened(tmp_path, script))


def test_another_status_may_mean_a_later_try(tmp_path: Path) -> None:
    sink = FACTORY.open(CommandOptions(shell("exit 4"), retry_exit=4), a_context(tmp_path))
    with pytest.raises(BackendUnavailable):
        write(sink)


def test_a_program_that_takes_too_long_is_ended_with_what_it_started(tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match="took over"):
        write(hasty(tmp_path, "sleep 300 & echo $! > child; wait"))

    status = Path("/proc", (tmp_path / "child").read_text().strip(), "status")
    for _ in range(100):
        if not status.exists() or "State:\tZ" in status.read_text():
            return
        time.sleep(0.01)  # noqa: TID251 (what is dead is collected by init, when it likes)
    raise AssertionError("the child lives")


@pytest.mark.parametrize(
    "script",
    [
        "cat; exit 1",
        "cat >&2; exit 1",
        "cat | base64 -w0; exit 1",
        "head -c 20; exit 1",
        "cat | tail -c 12; exit 1",
        "cat; exit 75",
        'v=$(cat); i=0; while [ $i -lt 300 ]; do printf %s "$v"; i=$((i+1)); done; exit 1',
    ],
)
def test_the_secret_never_shows_in_what_a_program_said(tmp_path: Path, script: str) -> None:
    canary = new_canary()
    with pytest.raises((ConfigError, BackendUnavailable)) as caught:
        write(opened(tmp_path, script), canary)

    shown = everything_in(caught.value)
    assert "it said" in shown
    assert not leaks(canary, shown)
    assert all(canary[at : at + 6] not in shown for at in range(len(canary) - 6))


def test_a_program_that_says_much_is_cut(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        write(opened(tmp_path, "head -c 3000000 /dev/zero | tr '\\0' x; exit 1"))
    assert len(caught.value.message) < 600


@pytest.mark.parametrize("program", ["no-such-program", "./no-program", "./gone"])
def test_a_program_that_cannot_be_run_is_told(tmp_path: Path, program: str) -> None:
    (tmp_path / "no-program").write_text("only text")
    (tmp_path / "no-program").chmod(0o600)
    sink = FACTORY.open(CommandOptions((program,)), a_context(tmp_path))
    with pytest.raises(ConfigError, match=program.lstrip(".")):
        write(sink)
    with pytest.raises(ConfigError, match="no program that may be run"):
        sink.check()


def test_a_program_beside_the_manifest_is_found(tmp_path: Path) -> None:
    hook = tmp_path / "hook"
    hook.write_text("#!/bin/sh\ncat > out\n")
    hook.chmod(0o700)
    sink = FACTORY.open(CommandOptions(("./hook",)), a_context(tmp_path))
    sink.check()
    write(sink)

    assert (tmp_path / "out").read_text() == "value"


# --- looking back, and removing


def test_without_looking_back_every_write_is_made(tmp_path: Path) -> None:
    sink, version = opened(tmp_path, "cat >> out"), uuid4()
    write(sink, "a", version)
    write(sink, "a", version)

    assert sink.inspect(NAME) is None
    assert (tmp_path / "out").read_text() == "aa"


@pytest.mark.parametrize(
    ("printed", "state"),
    [
        ("", SinkState(None, intact=False)),
        (f"{UUID(int=5)}", SinkState(UUID(int=5), intact=True)),
        (f" {UUID(int=5)}  changed ", SinkState(UUID(int=5), intact=False)),
    ],
)
def test_a_program_says_what_is_there(tmp_path: Path, printed: str, state: SinkState) -> None:
    sink = opened(tmp_path, inspect=f"echo '{printed}'")

    assert sink.inspect(NAME) == state
    write(sink, "value", UUID(int=5))
    assert (tmp_path / "out").exists() is (state != SinkState(UUID(int=5), intact=True))


@pytest.mark.parametrize("script", ["echo yes", "echo $CREDMGR_NAME", "exit 2"])
def test_a_program_that_says_something_else_is_told(tmp_path: Path, script: str) -> None:
    with pytest.raises(ConfigError, match="`inspect`"):
        opened(tmp_path, inspect=script).inspect(NAME)


def test_a_copy_is_removed_by_a_program_or_not_at_all(tmp_path: Path) -> None:
    sink = opened(tmp_path, remove="echo $CREDMGR_NAME > removed")
    sink.remove(NAME)
    assert (tmp_path / "removed").read_text() == "app/key\n"

    opened(tmp_path).remove(NAME)
    with pytest.raises(ConfigError, match="`remove`"):
        opened(tmp_path, remove="exit 1").remove(NAME)


# --- options


@pytest.mark.parametrize(
    ("options", "option"),
    [
        (CommandOptions(()), "write"),
        (CommandOptions(("",)), "write"),
        (CommandOptions(("a",), inspect=("b\0",)), "inspect"),
        (CommandOptions(("a",), remove=("",)), "remove"),
        (CommandOptions(("a",), timeout=timedelta()), "timeout"),
        (CommandOptions(("a",), timeout=timedelta(hours=1)), "timeout"),
        (CommandOptions(("a",), retry_exit=0), "retry_exit"),
        (CommandOptions(("a",), retry_exit=256), "retry_exit"),
    ],
)
def test_options_that_cannot_be_are_told(options: CommandOptions, option: str) -> None:
    assert [mistake.option for mistake in FACTORY.validate(options)] == [option]


def test_usual_options_are_good() -> None:
    assert list(FACTORY.validate(CommandOptions(("hook", "")))) == []
