"""Proof that the policy suffices, by asking the server or by trying."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any, Final
from uuid import uuid4

from credmgr.backends.vault.connection import Connection, part
from credmgr.backends.vault.entries import SIBLING, Entries, up_to
from credmgr.errors import AccessDenied, Conflict
from credmgr.model.secret import Secret
from credmgr.plugins.backend import Permission

PROBE: Final = ".check"
"""An entry of the backend's own; no name begins with a dot."""
NEEDED: Final = {
    "data": ("create", "read", "update"),
    "metadata": ("delete", "update"),
    "destroy": ("update",),
}
_TRIED: Final = Secret('{"probe":"probe"}')
"""A value of every layout."""
_ASKING: Final = "sys/capabilities-self"
_HARMLESS: Final = frozenset({"deny", "list", "read", "scan"})
_PAGE: Final = 300
"""Paths of one question, so that neither it nor its answer is large."""
_FOREIGN: Final = "not-of-credmgr"
PAUSE: Final = timedelta(minutes=15)
"""How often the daemon looks at copies where nobody says otherwise: the longest between calls."""
LEAST_LIFE: Final = 3 * PAUSE
"""A renewal is due when a third of the life is left, and comes with the first call after that."""
_BLIND: Final = Permission(
    "anything beyond policies/backends/vault.hcl",
    needed=False,
    granted=None,
    fix='let it be asked: path "sys/capabilities-self" { capabilities = ["update"] }',
)


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


def permissions_of(
    connection: Connection, entries: Entries, mount: str, prefix: str, paths: Sequence[str]
) -> Sequence[Permission]:
    """What is needed for paths below the mount, and what is granted beyond.

    Raises:
        BackendError: The server cannot be asked at all.
    """
    below = f"{prefix}/" if prefix else ""
    asked = [f"{below}{PROBE}", *paths, *(f"{path}{SIBLING}" for path in paths)]
    ours = [f"{mount}/{kind}/{path}" for kind in NEEDED for path in asked]
    theirs = _beyond(mount, prefix)
    try:
        held = _capabilities(connection, [*ours, *theirs])
    except AccessDenied:
        return [_proven(entries, f"{below}{PROBE}"), *_lasting(connection), _BLIND]
    if any("root" in each for each in held.values()):
        fix = "give credmgr a token of its own with policies/backends/vault.hcl"
        return [Permission("everything: it is a root token", needed=False, granted=True, fix=fix)]
    found = [*_lasting(connection)]
    for kind, needed in NEEDED.items():
        kept = {path: held[path] for path in ours if path.startswith(f"{mount}/{kind}/")}
        whole = f"{mount}/{kind}/{below}*"
        found += [_one(kept, capability, whole) for capability in needed]
        found += _extra(kept, needed)
    for path in theirs:
        found += _extra({path: held[path]}, ())
    return found


def _lasting(connection: Connection) -> Iterator[Permission]:
    """Whether a brought token outlives the pauses, where that is not certain."""
    life = connection.again
    if life is None or life >= LEAST_LIFE:
        return
    what = f"whether its token, which ends {life} after its last renewal, outlives every pause"
    fix = (
        f"give it a `period` of {LEAST_LIFE} or more, three times the manifest's `daemon.copies`,"
        " or let credmgr sign in itself"
    )
    yield Permission(what, needed=True, granted=None, fix=fix)


def _beyond(mount: str, prefix: str) -> Sequence[str]:
    """Paths that are not ours."""
    foreign = [f"{mount}/{kind}/{_FOREIGN}/{PROBE}" for kind in NEEDED] if prefix else []
    rules = ("sys/policies/acl/credmgr", "sys/mounts/credmgr", "auth/token/create")
    return [*rules, f"{mount}/config", *foreign]


def _capabilities(connection: Connection, paths: Sequence[str]) -> dict[str, frozenset[str]]:
    held: dict[str, frozenset[str]] = {}
    for first in range(0, len(paths), _PAGE):
        page = list(paths[first : first + _PAGE])
        answer = connection.call(_ASKING, "update", partial(_asked, paths=page))
        held |= {path: frozenset(each) for path, each in answer.items()}
    return held


def _one(held: Mapping[str, frozenset[str]], capability: str, whole: str) -> Permission:
    lacking = [path for path, each in held.items() if capability not in each]
    if not lacking:
        return Permission(f'`{capability}` on "{whole}"', needed=True, granted=True)
    more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
    fix = f'add to its policy: path "{whole}" {{ capabilities = ["{capability}"] }}'
    what = f'`{capability}` on "{lacking[0]}"{more}'
    return Permission(what, needed=True, granted=False, fix=f"{fix}, as in vault.hcl")


def _extra(held: Mapping[str, frozenset[str]], needed: Sequence[str]) -> Iterator[Permission]:
    """What is granted and not needed; to read metadata harms nobody."""
    for path, each in held.items():
        harmless = _HARMLESS - {"read"} if "/data/" in path else _HARMLESS
        extra = sorted(each - set(needed) - harmless)
        if extra:
            what = f'`{"`, `".join(extra)}` on "{path}"'
            fix = "take it out of its policies; policies/backends/vault.hcl is all it needs"
            yield Permission(what, needed=False, granted=True, fix=fix)
            return


def _proven(entries: Entries, probe: str) -> Permission:
    try:
        _try_all(entries, probe)
    except AccessDenied as error:
        return Permission(error.message, needed=True, granted=False, fix=error.hint or "")
    return Permission("all of policies/backends/vault.hcl", needed=True, granted=True)


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
        entry = entries.write(entry, _TRIED, uuid4())
        entry = entries.write(entry, _TRIED, uuid4())
    entries.mark(entry)
    entries.destroy(probe, up_to(entry.number))
    entries.remove(probe)
