"""The demo that keeps running: what `make run` starts."""

import os
import socket
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from credmgr.cli import home as homes
from credmgr.cli import run
from credmgr.cli.demo import children
from credmgr.cli.output import plain, say
from credmgr.manifest.loading import load
from credmgr.model.names import Name

LIFE: Final = {
    "every": "60s",
    "overlap": "20s",
    "longest": "30s",
    "console": 'every: "75s"',
}


def prepare(home: Path, port: int) -> tuple[Path, int]:
    """The manifest of the demo in `home`, made when it is missing, and its sandbox's port.

    Args:
        home: The folder.
        port: For a new manifest; 0 picks a free one. One that is there already keeps its own.

    Raises:
        UsageError: The folder cannot be used.
        ManifestError: The manifest that is there is wrong.
    """
    manifest = home.absolute() / homes.MANIFEST
    if not manifest.exists():
        port = port or _free()
        uid = str(os.getuid())
        address = f"http://127.0.0.1:{port}"
        homes.make(home, homes.starter("demo.yaml", url=address, uid=uid, **LIFE))
        return manifest, port
    issuer = load(manifest).issuers.get(Name("caseforge"))
    url = getattr(issuer.options, "url", "") if issuer else ""
    return manifest, urlsplit(url).port or port


def keep_running(manifest: Path, port: int) -> None:
    """A sandbox and a daemon, until Ctrl-C or SIGTERM.

    Raises:
        ChildFailed: The sandbox does not start.
        CredmgrError: The daemon does not.
    """
    with children.sandbox(manifest.parent, port) as url:
        say(f"[bold]CaseForge sandbox[/] on {url}; [dim]Ctrl-C stops everything[/]")
        say("In a second terminal:\n")
        say(f"  export CREDMGR_MANIFEST={plain(manifest)}")
        say("  credmgr status\n")
        run.serve(applies=True)


def _free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
