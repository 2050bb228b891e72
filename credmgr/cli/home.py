"""An installation's folder: making a new one."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from credmgr.errors import UsageError

if TYPE_CHECKING:
    from credmgr.manifest.manifest import Manifest

MANIFEST: Final = "credmgr.yaml"
MASTER_KEY: Final = "master.key"
FILES: Final = (MANIFEST, MASTER_KEY, "keyring.json", "state.db", "audit.checkpoint", "secrets")
"""What an installation consists of, by the names that the starter's manifests give."""
_OTHERS: Final = 0o077


def starter(name: str, **values: str) -> str:
    """The text of a starter's manifest, with `$name` replaced by its value."""
    from importlib.resources import files
    from string import Template

    text = files("credmgr.cli.starter").joinpath(name).read_text(encoding="utf-8")
    return Template(text).substitute(values)


def make(folder: Path, text: str) -> "Manifest":
    """Make a new installation: manifest, master key, keyring, state database.

    Args:
        folder: Where; made with mode 0700. An existing one must be private or empty.
        text: What the manifest says.

    Raises:
        UsageError: Something of an installation is there already, or others can enter the folder;
            nothing was written.
        ManifestError: The text is wrong.
        KeyringError: The keys cannot be written.
        StateError: The state database cannot be made.
    """
    from credmgr.bootstrap import build
    from credmgr.keyring import Keyring, create_master_key
    from credmgr.manifest.loading import load

    folder = _private(folder)
    _write(folder / MANIFEST, text)
    manifest = load(folder / MANIFEST)
    create_master_key(folder / MASTER_KEY)
    Keyring.create(manifest.state.keyring, folder / MASTER_KEY)
    build(manifest, migrate=True).close()
    return manifest


def _private(folder: Path) -> Path:
    """The folder, made or found fit, absolute."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        present = {one.name for one in folder.iterdir()}
        if not present:
            folder.chmod(0o700)
        shared = folder.stat().st_mode & _OTHERS
    except OSError as error:
        raise UsageError(f"{folder} cannot be used: {error.strerror}") from error
    if taken := [name for name in FILES if name in present]:
        raise UsageError(
            f"{folder} already holds {', '.join(taken)}; nothing is overwritten",
            hint="choose another folder",
        )
    if shared:
        raise UsageError(f"{folder} is open to other users", hint=f"chmod 700 {folder}")
    return folder.absolute()


def _write(path: Path, text: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
