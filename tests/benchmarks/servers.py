"""Servers of their own process for the benchmarks, so that they take no time of ours.

`python -m tests.benchmarks.servers aws|azure|sandbox` prints where it is as a line of JSON, and
ends with its standard input.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from credmgr.logs import configure
from credmgr.sandbox import RunningSandbox, SandboxConfig
from credmgr.testing.key_vault import FakeKeyVault
from tests.integration.aws import running

ROOT: Final = Path(__file__).parents[2]


@contextmanager
def server(kind: str) -> Iterator[dict[str, Any]]:
    """Start one, and give what it says of itself."""
    command = [sys.executable, "-m", "tests.benchmarks.servers", kind]
    with subprocess.Popen(  # noqa: S603 (ourselves)
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        try:
            yield json.loads(child.stdout.readline())
        finally:
            child.stdin.close()


def _say(**facts: object) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()
    sys.stdin.read()


def main() -> None:
    """Be a server until nobody needs it."""
    if sys.argv[1] == "aws":
        with running() as aws:
            _say(url=aws.url)
        return
    if sys.argv[1] == "sandbox":
        configure("ERROR", "console")
        with RunningSandbox(SandboxConfig(port=0)) as box:
            _say(url=box.url, token=box.admin_token.reveal())
        return
    with FakeKeyVault() as vault:
        token = vault.credential.get_token("").token
        _say(url=vault.url, ca_file=str(vault.ca_file), token=token)


if __name__ == "__main__":
    main()
