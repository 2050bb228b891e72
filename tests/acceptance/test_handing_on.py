"""`token` and `exec`: a credential goes to one program, and is seen nowhere else."""

import os
import pty
import signal
import subprocess
from contextlib import suppress

import urllib3

from tests.acceptance.installation import CLIENT, COMMAND, KEY, Installation, until

SHOW = "printf %s "


def opens(home: Installation, header: str) -> bool:
    name, _, value = header.strip().partition(": ")
    answer = urllib3.request("GET", f"{home.box.url}/v2/cases", headers={name: value})
    return answer.status == 200


def actions(home: Installation) -> list[str]:
    lines = home.run("log", "export").out.splitlines()
    return [word for word in ("token.read", "secret.read") for line in lines if word in line]


def test_without_a_daemon_a_token_is_minted_here(grown: Installation) -> None:
    said = grown.run("token", CLIENT, "--scope", "cases:read", "--header")
    assert opens(grown, said.out)
    assert actions(grown) == ["token.read"]
    told = grown.json("token", CLIENT, "--scope", "cases:read cases:write")
    assert told["scope"] == "cases:read cases:write"
    assert 3500 < told["expires_in"] <= 3600


def test_with_a_daemon_all_get_the_same_token(grown: Installation) -> None:
    with grown.background("run") as running:
        running.wait_for("started")
        until((grown.folder / "run/credmgr.sock").exists)
        first = grown.run("token", CLIENT).out
        assert grown.run("token", CLIENT).out == first
    assert opens(grown, f"Authorization: Bearer {first}")


def test_a_socket_that_nobody_serves_stands_in_no_ones_way(grown: Installation) -> None:
    (grown.folder / "run").mkdir()
    (grown.folder / "run/credmgr.sock").touch()
    assert opens(grown, grown.run("token", CLIENT, "--header").out)


def test_what_cannot_be_had_is_told(grown: Installation) -> None:
    assert "API key" in grown.run("token", KEY, code=1).err
    assert "nobody" in grown.run("token", "caseforge/nobody", code=2).err
    wide = grown.run("token", CLIENT, "--scope", "all:write", code=1)
    assert "all:write" in wide.err


def test_a_token_is_not_printed_on_a_terminal_unasked(grown: Installation) -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(  # noqa: S603 (our own command)
        [COMMAND, "token", CLIENT],
        env=grown.env(),
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(theirs)
    with suppress(OSError):
        assert os.read(ours, 100) == b""
    os.close(ours)
    assert done.returncode == 2
    assert b"--show" in done.stderr


def test_a_program_finds_it_in_its_environment(grown: Installation) -> None:
    value = grown.run("get", KEY).out
    said = grown.run("exec", KEY, "--", "sh", "-c", SHOW + '"$CASEFORGE_API_KEY"')
    assert said.out == value
    both = grown.run("exec", f"{KEY},{CLIENT}", "--", "env").out
    assert {"CASEFORGE_API_KEY", "CASEFORGE_CLIENT_SECRET"} <= {
        line.partition("=")[0] for line in both.splitlines()
    }
    assert actions(grown) == ["secret.read"] * 4


def test_the_manifest_names_the_variable(grown: Installation) -> None:
    grown.edit("    targets: [standby]\n", "    targets: [standby]\n    env: REPORT_KEY\n")
    said = grown.run("exec", KEY, "--", "sh", "-c", SHOW + '"$REPORT_KEY/$CASEFORGE_API_KEY"')
    assert said.out == grown.run("get", KEY).out + "/"


def test_with_token_it_finds_a_token(grown: Installation) -> None:
    line = SHOW + '"Authorization: Bearer $CASEFORGE_ACCESS_TOKEN"'
    said = grown.run("exec", CLIENT, "--token", "--scope", "cases:read", "--", "sh", "-c", line)
    assert opens(grown, said.out)


def test_exit_code_and_input_are_the_programs_own(grown: Installation) -> None:
    assert grown.run("exec", KEY, "--", "sh", "-c", "exit 7", code=7).out == ""
    assert grown.run("exec", KEY, "--", "cat", given="what was typed").out == "what was typed"
    killed = grown.run("exec", KEY, "--", "sh", "-c", "kill -TERM $$", code=-signal.SIGTERM)
    assert killed.err == ""


def test_a_signal_reaches_the_program(grown: Installation) -> None:
    script = "trap 'echo caught; exit 3' TERM; echo ready; while :; do sleep 0.1; done"
    with grown.background("exec", KEY, "--", "sh", "-c", script) as running:
        running.wait_for("ready")
        assert running.stop(signal.SIGTERM) == 3
        assert "caught" in running.out.read_text()


def test_a_broken_pipe_ends_the_program_as_ever(grown: Installation) -> None:
    line = "yes | head -n 1; echo ${PIPESTATUS[0]}"
    said = grown.run("exec", KEY, "--", "bash", "-c", line)
    assert said.out == "y\n141\n"


def test_the_value_stands_in_no_argument(grown: Installation) -> None:
    value = grown.run("get", KEY).out
    said = grown.run("exec", KEY, "--", "sh", "-c", "tr '\\0' ' ' < /proc/$$/cmdline")
    assert value not in said.out


def test_what_makes_no_sense_is_refused_before_anything_is_read(grown: Installation) -> None:
    assert "no command" in grown.run("exec", KEY, "--", "no-such-program", code=2).err
    assert "--token" in grown.run("exec", KEY, "--scope", "a", "--", "true", code=2).err
    twice = grown.run("exec", f"{KEY},{KEY}", "--", "true", code=2)
    assert "CASEFORGE_API_KEY" in twice.err
    assert actions(grown) == []
    (grown.folder / "broken").write_text("#!/nowhere/at/all\n")
    (grown.folder / "broken").chmod(0o700)
    assert "cannot be run" in grown.run("exec", KEY, "--", "./broken", code=1).err
