"""What `credmgr doctor` asks of one backend besides whether it works."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

from credmgr.cli.verdicts import Check, Verdict
from credmgr.errors import CredmgrError
from credmgr.manifest.manifest import Configured
from credmgr.model.names import Name
from credmgr.outside import Sealing
from credmgr.plugins.backend import (
    BackendFactory,
    Permission,
    Permissions,
    SecretBackend,
    Timed,
    spelled,
)

SKEW: Final = timedelta(seconds=60)
"""A server whose clock differs by more than this signs in and expires at other times than we do."""
NAMED: Final = 3
"""How many broken values are named before the others are counted."""


def looks(
    name: Name,
    backend: SecretBackend,
    configured: Configured[BackendFactory],
    names: Sequence[Name],
) -> Iterator[Check]:
    """Permissions, clock, limits and sealed values, as far as the backend has them.

    Args:
        name: What the manifest calls the backend.
        backend: A session that works.
        configured: Its factory and options.
        names: The names that credentials use there.
    """
    if isinstance(backend, Permissions):
        yield from _permissions(f"backend {name} permissions", backend, names)
    if isinstance(backend, Timed) and backend.ahead is not None:
        yield _clock(f"backend {name} clock", backend.ahead)
    yield _limits(f"backend {name} limits", configured, names)
    if isinstance(backend, Sealing):
        yield _values(f"backend {name} values", backend, names)


def _permissions(subject: str, backend: Permissions, names: Sequence[Name]) -> Iterator[Check]:
    try:
        found = backend.permissions(names)
    except CredmgrError as error:
        yield Check(subject, Verdict.FAIL, error.message, error.hint or "")
        return
    amiss = list(_amiss(subject, found))
    yield from amiss
    unknown = [one for one in found if one.granted is None]
    if unknown:
        yield Check(subject, Verdict.WARN, _unknown(unknown), unknown[0].fix)
    elif not amiss:
        yield Check(subject, Verdict.OK, f"{len(found)} needed and granted, nothing beyond")


def _amiss(subject: str, found: Sequence[Permission]) -> Iterator[Check]:
    for one in found:
        if one.needed and one.granted is False:
            yield Check(subject, Verdict.FAIL, f"missing: {one.what}", one.fix)
        elif not one.needed and one.granted:
            yield Check(subject, Verdict.WARN, f"more than it needs: {one.what}", one.fix)


def _unknown(unknown: Sequence[Permission]) -> str:
    return f"cannot be known: {', '.join(one.what for one in unknown)}"


def _clock(subject: str, ahead: timedelta) -> Check:
    seconds = round(abs(ahead).total_seconds())
    if abs(ahead) <= SKEW:
        return Check(subject, Verdict.OK, f"agrees with ours to {max(seconds, 1)} s")
    side = "ahead of" if ahead > timedelta() else "behind"
    detail = f"its server's clock is {seconds} s {side} ours"
    return Check(subject, Verdict.WARN, detail, "use NTP here and there")


def _limits(subject: str, configured: Configured[BackendFactory], names: Sequence[Name]) -> Check:
    factory, options = configured.factory, configured.options
    limits = factory.limits
    longest = max((len(spelled(factory, options, name)) for name in names), default=0)
    detail = (
        f"values to {limits.value_bytes:,} bytes, names to {limits.name_length} characters;"
        f" {len(names)} in use, the longest has {longest}"
    )
    return Check(subject, Verdict.OK, detail)


def _values(subject: str, backend: SecretBackend, names: Sequence[Name]) -> Check:
    """Open every sealed value; what it is leaves no trace."""
    broken: dict[Name, CredmgrError] = {}
    opened = 0
    for name in names:
        try:
            for held in backend.versions(name):
                if held.stage is not None:
                    backend.read(name, held.stage)
                    opened += 1
        except CredmgrError as error:
            broken[name] = error
    if not broken:
        return Check(subject, Verdict.OK, f"{opened} open under the keyring")
    told = [f"{name} ({error.code})" for name, error in list(broken.items())[:NAMED]]
    more = f" and {len(broken) - NAMED} more" if len(broken) > NAMED else ""
    fix = "restore the file from a backup, or rotate the credential: docs/keyring.md"
    return Check(subject, Verdict.FAIL, f"do not open: {', '.join(told)}{more}", fix)
