"""The processes beside the demo: a sandbox and a daemon, which end with it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from credmgr.cli.home import MANIFEST
from credmgr.errors import CredmgrError

DAEMON_LOG: Final = "daemon.log"
"""What the daemon of the story says, in the demo's folder."""
_PATIENCE_SECONDS: Final = 20


class ChildFailed(CredmgrError):
    """A process that belongs to the demo has ended."""

    code = "child_failed"


@contextmanager
def sandbox(home: Path, port: int) -> Iterator[str]:
    """A sandbox with its state in `home`, in a session of its own so that Ctrl-C is not its matter.

    Yields:
        Its URL.

    Raises:
        ChildFailed: It did not start; standard error says why.
    """
    arguments = ["--log-level", "warning", "sandbox", "--json", "--until-eof", "--port", str(port)]
    child = _start(home, arguments, stdout=subprocess.PIPE)
    with child:
        try:
            line = child.stdout.readline() if child.stdout else b""
            if not line:
                raise ChildFailed("the sandbox did not start")
            yield str(json.loads(line)["url"])
        finally:
            if child.stdin:
                child.stdin.close()
            _ended(child)


def last_words(log: Path) -> str:
    """The last line of a log that says anything."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


@contextmanager
def daemon(home: Path, log: IO[bytes]) -> Iterator["subprocess.Popen[bytes]"]:
    """A daemon on the manifest in `home`; killed at the end unless it was stopped."""
    arguments = ["--log-format", "json", "run", "--apply", "--until-eof"]
    with _start(home, arguments, stderr=log) as child:
        try:
            yield child
        finally:
            if child.poll() is None:
                child.kill()


def stop(child: "subprocess.Popen[bytes]") -> int:
    """Ask for an orderly end; the exit code."""
    child.send_signal(signal.SIGTERM)
    return _ended(child)


def _start(
    home: Path,
    arguments: Sequence[str],
    *,
    stdout: int | None = None,
    stderr: IO[bytes] | None = None,
) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(  # noqa: S603 (our own program)
        [sys.executable, "-m", "credmgr", *arguments],
        env={**_clean(os.environ), "CREDMGR_MANIFEST": str(home / MANIFEST)},
        start_new_session=True,
        stdin=subprocess.PIPE,  # its end is theirs
        stdout=stdout,
        stderr=stderr,
    )


def _clean(environ: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in environ.items() if not key.startswith("CREDMGR_")}


def _ended(child: "subprocess.Popen[bytes]") -> int:
    try:
        return child.wait(_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()
