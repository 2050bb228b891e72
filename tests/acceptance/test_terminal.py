"""What a person at a terminal sees: prompts, help, completion, and harmless text."""

import os
import pty
import re
import select
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from credmgr.bootstrap import build
from credmgr.cli.commands import app
from credmgr.manifest.loading import load
from credmgr.model.audit import Event
from tests.acceptance.installation import COMMAND, KEY, PARTNER, Installation


def at_terminal(
    home: Installation, *arguments: str, typed: Sequence[tuple[str, str]] = (), width: int = 100
) -> tuple[int, str]:
    """Run a command in a terminal: whenever it has shown a text, type the answer."""
    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover (the child)
        environ = {**home.env(), "TERM": "xterm-256color", "COLUMNS": str(width)}
        os.execve(COMMAND, [str(COMMAND), *arguments], environ)  # noqa: S606
    shown, answers = "", list(typed)
    while True:
        if not select.select([terminal], [], [], 60)[0]:
            raise AssertionError(f"it hangs:\n{shown}")
        try:
            data = os.read(terminal, 4096)
        except OSError:  # the other end is closed
            break
        shown += data.decode(errors="replace")
        if answers and answers[0][0] in shown:
            os.write(terminal, answers.pop(0)[1].encode())
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), shown


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)


def test_apply_asks_and_takes_no_for_an_answer(home: Installation) -> None:
    code, shown = at_terminal(home, "apply", typed=[("Apply this?", "n\r")])
    assert code == 1
    assert "Aborted" in shown
    assert home.json("status")["credentials"] == []

    code, shown = at_terminal(home, "apply", typed=[("Apply this?", "y\r")])
    assert code == 0
    assert "applied" in shown


def test_the_secret_typed_at_the_prompt_is_not_shown(home: Installation) -> None:
    home.run("apply", "--yes")
    made = home.new_key()

    code, shown = at_terminal(
        home,
        "import",
        PARTNER,
        "--secret-id",
        made["id"],
        typed=[("Secret of partner/api-key", f"{made['value']}\r")],
    )

    assert code == 0, shown
    assert made["value"] not in shown
    assert home.run("get", PARTNER).out == made["value"]


def test_get_shows_a_secret_on_a_terminal_only_when_told_to(grown: Installation) -> None:
    code, shown = at_terminal(grown, "get", KEY)
    assert code == 2
    assert "scrollback" in shown
    assert "cf_sand_" not in shown

    code, shown = at_terminal(grown, "get", KEY, "--show")
    assert code == 0
    assert shown.startswith("cf_sand_")


@pytest.mark.parametrize("width", [60, 80, 100])
def test_no_screen_is_wider_than_the_terminal(grown: Installation, width: int) -> None:
    grown.run("rotate", PARTNER, code=4)
    grown.edit("  partner/api-key:", "  partner/a-very-long-name-of-a-key:")
    commands = ("status", "list", "plan", f"show {KEY}", f"history {KEY}", "log show", "doctor")
    for command in commands:
        _, shown = at_terminal(grown, *command.split(), width=width)
        assert max(map(len, plain(shown).splitlines())) <= width, command


def test_control_characters_and_markup_from_outside_are_harmless(grown: Installation) -> None:
    evil = "[red]x[/red]\x1b]0;title\x07\u202e"
    grown.edit("owner: partners", 'owner: "[bold]mallory[/bold]"')
    grown.run("apply", "--yes")
    grown.run("rotate", PARTNER, code=4)
    grown.run("resolve", PARTNER, "--abort", "--reason", evil, code=1)

    for command in ("history", "show"):
        _, shown = at_terminal(grown, command, PARTNER)
        assert "\x1b]0" not in shown
        assert "\u202e" not in shown
    assert "[red]x[/red]" in plain(at_terminal(grown, "history", PARTNER)[1])
    assert "[bold]mallory[/bold]" in plain(at_terminal(grown, "show", PARTNER)[1])
    assert "\u202e" not in grown.run("history", PARTNER, "--json").out


@pytest.mark.parametrize(
    "arguments",
    [
        ["rotate", "cf_live_0123456789abcdef"],
        ["import", PARTNER, "cf_sand_0123456789abcdef"],
        ["import", PARTNER, "--secret-id", "eyJhbGciOiJI.eyJzdWIiOiIx.abc"],
        ["import", PARTNER, "hunter2"],
        ["import", PARTNER, "--", "-----"],
    ],
)
def test_a_secret_as_an_argument_is_refused_and_not_repeated(
    home: Installation, arguments: list[str]
) -> None:
    said = home.run(*arguments, code=2)

    assert "every process on the machine can read it" in said.err
    assert "--file PATH" in said.err
    assert arguments[-1] not in said.out + said.err


def test_a_mistyped_command_or_option_is_told_the_right_one(home: Installation) -> None:
    assert "Did you mean 'status'" in home.run("stauts", code=2).err
    assert "--wait" in home.run("rotate", KEY, "--wiat", code=2).err


def every_command() -> Mapping[str, str]:
    """Each command with its help text."""
    found = {str(one.name): one.callback.__doc__ or "" for one in app.registered_commands}
    for group in app.registered_groups:
        for one in group.typer_instance.registered_commands if group.typer_instance else ():
            found[f"{group.name} {one.name}"] = one.callback.__doc__ or ""
    return found


def test_every_commands_help_shows_an_example_of_it() -> None:
    for name, text in every_command().items():
        example = text.partition("[dim]Example:[/]")[2]
        assert re.search(rf"credmgr ([^|]*)?{name}\b", example), name


def test_help_and_version_are_there(home: Installation) -> None:
    said = home.run("--help").out
    assert all(name.split()[0] in said for name in every_command())
    assert "Example: credmgr rotate" in home.run("rotate", "-h").out
    assert re.fullmatch(r"credmgr \d+\.\d+\.\d+\n", home.run("--version").out)
    assert "Usage" in home.run(code=2).out


def test_names_are_completed_from_the_manifest(home: Installation) -> None:
    def completed(line: str) -> list[str]:
        words = {"_CREDMGR_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": line}
        home.environ = words
        return re.findall(r'"([a-z]+/[a-z-]+)"', home.run().out)

    assert completed("credmgr show ") == [KEY, "caseforge/client-secret", PARTNER]
    assert completed("credmgr rotate par") == [PARTNER]
    home.manifest.unlink()
    assert completed("credmgr show ") == []


def test_a_reader_that_goes_away_is_no_error(grown: Installation) -> None:
    command = f"{COMMAND} log export | head -n 1"
    done = subprocess.run(  # noqa: S603 (our own command)
        ["/bin/bash", "-c", command], env=grown.env(), capture_output=True, check=True
    )

    assert done.stderr == b""
    assert done.stdout.count(b"\n") == 1


def left_alone(home: Installation, *arguments: str) -> tuple[int, bytes]:
    """Run a command whose output has no reader any more; its exit code and its complaints."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(  # noqa: S603 (our own command)
            [COMMAND, *arguments],
            env=home.env(),
            cwd=home.folder,
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writer)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--version",),
        ("--help",),
        ("status",),
        ("status", "--json"),
        ("history", KEY),
        ("history", KEY, "--json"),
        ("get", KEY),
        ("log", "export"),
    ],
    ids=" ".join,
)
def test_output_that_nobody_reads_any_more_is_no_error(
    grown: Installation, arguments: Sequence[str]
) -> None:
    assert left_alone(grown, *arguments) == (0, b"")


def test_what_was_asked_for_is_done_though_nobody_reads_of_it(grown: Installation) -> None:
    before = grown.run("get", KEY).out
    assert left_alone(grown, "rotate", KEY) == (0, b"")
    assert grown.run("get", KEY).out != before
    code, complaint = left_alone(grown, "rotate", "no/such")
    assert (code, complaint[:5]) == (2, b"error")


@pytest.mark.parametrize(
    "arguments",
    [("log", "show", "--limit", "1000"), ("log", "show", "--limit", "1000", "--json")],
    ids=" ".join,
)
def test_output_longer_than_a_pipe_may_be_left_in_the_middle(
    grown: Installation, arguments: Sequence[str]
) -> None:
    with closing(build(load(grown.manifest))) as state:
        for number in range(600):
            state.store.ledger.note(Event("operator:test", "tested", KEY, {"n": f"{number:0200}"}))
    command = [str(COMMAND), *arguments]
    with subprocess.Popen(  # noqa: S603 (our own command)
        command, env=grown.env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline()
        process.stdout.close()
        assert (process.wait(60), process.stderr.read()) == (0, b"")


def test_output_that_does_not_fit_on_the_disk_is_told(grown: Installation) -> None:
    for arguments in (("list",), ("list", "--json")):
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(  # noqa: S603 (our own command)
                [COMMAND, *arguments], env=grown.env(), stdout=full, stderr=-1, check=False
            )
        assert (done.returncode, done.stderr) == (
            1,
            b"error the output cannot be written: No space left on device\n",
        )
