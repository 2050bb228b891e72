"""A checkpoint of the audit chain in a file, outside the database that it watches over.

The file is sealed with the audit key, so nobody without the key makes one that a cut chain agrees
with. An older file put back in place is not noticed here: keep copies where the attacker is not.
"""

import hashlib
import hmac
import json
import os
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Final

from credmgr.errors import AuditBroken, StateUnavailable
from credmgr.model.audit import Checkpoint
from credmgr.store.codec import canonical, moment_text

_DOMAIN: Final = "credmgr.audit.checkpoint.1"


def write_checkpoint(file: Path, checkpoint: Checkpoint, key: bytes) -> None:
    """Replace the file in one step, readable by us alone, on the disk when this returns.

    Raises:
        StateUnavailable: It cannot be written; the old file is untouched.
    """
    fields = {
        "sequence": checkpoint.sequence,
        "mac": checkpoint.mac,
        "at": moment_text(checkpoint.at),
        "seal": _seal(checkpoint, key),
    }
    try:
        _replace(file, canonical(fields) + "\n")
    except OSError as error:
        raise StateUnavailable(
            f"the checkpoint {file} cannot be written: {error.strerror}"
        ) from error


def read_checkpoint(file: Path, key: bytes) -> Checkpoint | None:
    """The checkpoint of the file; None when there is no file.

    Raises:
        AuditBroken: The file is damaged, or was not sealed with this key.
        StateUnavailable: It cannot be read.
    """
    try:
        text = file.read_text()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateUnavailable(f"the checkpoint {file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise AuditBroken(f"the checkpoint {file} is damaged") from error
    try:
        fields = json.loads(text)
        at = datetime.fromisoformat(fields["at"])
        checkpoint = Checkpoint(int(fields["sequence"]), str(fields["mac"]), at)
        sealed = hmac.compare_digest(str(fields["seal"]), _seal(checkpoint, key))
    except (LookupError, TypeError, ValueError) as error:
        raise AuditBroken(f"the checkpoint {file} is damaged") from error
    if not sealed:
        raise AuditBroken(
            f"the checkpoint {file} was not sealed with our key",
            hint="somebody wrote it by hand, or the keyring is another one",
        )
    return checkpoint


def _seal(checkpoint: Checkpoint, key: bytes) -> str:
    said = [_DOMAIN, checkpoint.sequence, checkpoint.mac, moment_text(checkpoint.at)]
    return hmac.new(key, canonical(said).encode(), hashlib.sha256).hexdigest()


def _replace(file: Path, text: str) -> None:
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")  # mode 0600
    fresh = Path(name)
    try:
        with os.fdopen(handle, "w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(file)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)  # without it a power loss may bring the old name back
    finally:
        os.close(folder)
