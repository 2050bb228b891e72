"""What the acceptance tests share: an installation in a folder, and the installed command."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import dropwhile
from pathlib import Path
from threading import Event
from typing import Any

import urllib3

from credmgr.bootstrap import build
from credmgr.manifest import load
from credmgr.model.names import Name
from credmgr.model.rotation import Trigger
from credmgr.rotation.runbook import Runbook
from credmgr.sandbox import RunningSandbox

COMMAND = Path(sys.executable).with_name("credmgr")
KEY, CLIENT, PARTNER = "caseforge/api-key", "caseforge/client-secret", "partner/api-key"
MANIFEST = """\
version: 1
state: {{master_key: file:master.key}}
daemon: {{tick: 1s, drain: 10s, lease: 15s}}
backends:
  local: {{plugin: local}}
  standby: {{plugin: local, path: standby}}
issuers:
  caseforge: {{plugin: caseforge, url: "{url}", admin_token: file:sandbox.token}}
  dashboard:
    plugin: manual
    token_url: "{url}/oauth/token"
    probe_url: "{url}/v2/cases?status=open"
notifiers: {{log: {{plugin: log}}}}
defaults:
  environment: development
  store: local
  rotation: {{manual: true, overlap: {{minimum: "{overlap}", maximum: "{overlap}"}}}}
consumers:
  nightly-report:
    owner: reporting
    grants: [{{credential: caseforge/api-key, read: [secret]}}]
credentials:
  caseforge/api-key:
    kind: api-key
    issuer: caseforge
    owner: reporting
    scopes: ["cases:read"]
    targets: [standby]
  caseforge/client-secret:
    kind: oauth-client
    issuer: caseforge
    owner: investigations
    client_id: app_8v3k9m
    scopes: ["cases:read", "cases:write"]
  partner/api-key:
    kind: api-key
    issuer: dashboard
    owner: partners
"""


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """Its output, read as JSON."""
        return json.loads(self.out)


@dataclass
class Installation:
    """A folder with a manifest, against a sandbox."""

    folder: Path
    box: RunningSandbox
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def manifest(self) -> Path:
        return self.folder / "credmgr.yaml"

    def write(self, overlap: str = "60s") -> None:
        """Write the manifest."""
        self.manifest.write_text(MANIFEST.format(url=self.box.url, overlap=overlap))

    def edit(self, old: str, new: str) -> None:
        """Replace the first of these texts in the manifest."""
        text = self.manifest.read_text()
        assert old in text
        self.manifest.write_text(text.replace(old, new, 1))

    def take_out(self, name: str) -> None:
        """Take a credential out of the manifest."""
        before, found, rest = self.manifest.read_text().partition(f"  {name}:\n")
        assert found
        lines = rest.splitlines(keepends=True)
        left = list(dropwhile(lambda line: line.startswith("    "), lines))
        self.manifest.write_text(before + "".join(left))

    def env(self) -> dict[str, str]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("CREDMGR_")}
        return {**clean, "CREDMGR_MANIFEST": str(self.manifest), **self.environ}

    def run(self, *arguments: str, code: int = 0, given: str | bytes = b"") -> Said:
        """Run a command to its end, and expect its exit code."""
        done = subprocess.run(  # noqa: S603 (our own command)
            [COMMAND, *arguments],
            env=self.env(),
            cwd=self.folder,
            input=given.encode() if isinstance(given, str) else given,
            capture_output=True,
            timeout=120,
            check=False,
        )
        said = Said(done.returncode, done.stdout.decode(), done.stderr.decode())
        assert said.code == code, f"{arguments} exited {said.code}\n{said.out}\n{said.err}"
        assert "Traceback" not in said.out + said.err
        return said

    def json(self, *arguments: str, code: int = 0) -> Any:
        """Run a command with `--json`, and read what it says."""
        return self.run(*arguments, "--json", code=code).data

    @contextmanager
    def background(self, *arguments: str) -> Iterator["Background"]:
        """A command that keeps running; its output goes to files."""
        out, err = self.folder.parent / "out.txt", self.folder.parent / "err.txt"
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(  # noqa: S603 (our own command)
                [COMMAND, *arguments],
                env=self.env(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )
        running = Background(process, out, err)
        try:
            yield running
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()

    def grow(self) -> None:
        """Apply the manifest, and have the first secrets issued; in process, as it is quicker."""
        app = build(load(self.manifest))
        try:
            app.apply(app.plan())
            for name in (KEY, CLIENT):
                Runbook(app.engine).rotate(Name(name), Trigger.FIRST)
        finally:
            app.close()

    def call(self, method: str, path: str, **more: Any) -> urllib3.BaseHTTPResponse:
        """A call of the sandbox's management API."""
        headers = {"Authorization": f"Bearer {self.box.admin_token.reveal()}"}
        return urllib3.request(method, f"{self.box.url}{path}", headers=headers, **more)

    def new_key(self) -> dict[str, Any]:
        """A key that a person made in the dashboard."""
        body = {"name": "by-hand", "environment": "sandbox"}
        answer = self.call("POST", "/manage/v1/keys", json=body)
        assert answer.status == 201, answer.data
        made: dict[str, Any] = answer.json()
        return made

    def accepts(self, key: str) -> bool:
        """Whether the API serves this key."""
        headers = {"Authorization": f"Bearer {key}"}
        answer = urllib3.request("GET", f"{self.box.url}/v2/cases", headers=headers)
        return answer.status == 200


@dataclass
class Background:
    """A command that keeps running."""

    process: "subprocess.Popen[bytes]"
    out: Path
    err: Path

    def wait_for(self, text: str, times: int = 1) -> str:
        """Wait until it has said something so often; what it said so far."""
        for _ in range(600):
            said = self.out.read_text() + self.err.read_text()
            if said.count(text) >= times:
                return said
            assert self.process.poll() is None, f"it has ended:\n{said}"
            pause(0.1)
        raise AssertionError(f"it never said {text!r}:\n{said}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)


def pause(seconds: float) -> None:
    """A real moment: other processes are at work."""
    Event().wait(seconds)


def until(look: Any, seconds: float = 30) -> Any:
    """Look until there is something."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "it never came"
        pause(0.2)
    return found
