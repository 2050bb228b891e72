"""Proof that the policy suffices, by asking the server or by trying."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final
from uuid import uuid4

from credmgr.backends.vault.connection import Connection, part
from credmgr.backends.vault.entries import Entries, up_to
from credmgr.errors import AccessDenied, Conflict
from credmgr.model.secret import Secret

PROBE: Final = ".check"
"""An entry of the backend's own; no name begins with a dot."""
NEEDED: Final = {
    "data": ("create", "read", "update"),
    "metadata": ("delete", "update"),
    "destroy": ("update",),
}
_ASKING: Final = "sys/capabilities-self"


def prove_permissions(connection: Connection, entries: Entries, mount: str, prefix: str) -> None:
    """Ask `sys/capabilities-self`; where that is not permitted, try everything on a probe.

    Raises:
        AccessDenied: Something is missing; the message says what.
    """
    probe = f"{prefix}/{PROBE}" if prefix else PROBE
    wanted = {f"{mount}/{kind}/{probe}": needed for kind, needed in NEEDED.items()}
    try:
        answer = connection.call(_ASKING, "update", lambda client: _asked(client, list(wanted)))
    except AccessDenied:
        _try_all(entries, probe)
        return
    missing = list(_missing(wanted, answer))
    if missing:
        raise AccessDenied(
            f"the policy lacks {', '.join(missing)}", hint="see policies/backends/vault.hcl"
        )


def _asked(client: Any, paths: list[str]) -> Any:
    found = part(client.sys.get_capabilities(paths), "data")
    return {path: part(found, path) or [] for path in paths}


def _missing(wanted: dict[str, tuple[str, ...]], answer: dict[str, list[str]]) -> Iterator[str]:
    for path, needed in wanted.items():
        lacking = [one for one in needed if not {one, "root"} & set(answer[path])]
        if lacking:
            yield f'`{"`, `".join(lacking)}` on "{path}"'


def _try_all(entries: Entries, probe: str) -> None:
    entry = entries.read(probe)
    with suppress(Conflict):  # another session checks at the same moment
        entry = entries.write(entry, Secret("probe"), uuid4())
        entry = entries.write(entry, Secret("probe"), uuid4())
    entries.mark(entry)
    entries.destroy(probe, up_to(entry.number))
    entries.remove(probe)
