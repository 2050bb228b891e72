"""What a person may decide about a rotation that waits for one."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Final

from credmgr.errors import NotAllowedNow
from credmgr.model.rotation import Request, State
from credmgr.model.version import VersionStatus
from credmgr.rotation.steps import aborting
from credmgr.rotation.work import Move, Work


class Resolution(StrEnum):
    """The decisions."""

    RETRY = "retry"
    """The cause is mended: go on where it was parked."""
    ABORT = "abort"
    """Give the rotation up: pointers back first, then the new secret is revoked."""
    REVOKED = "revoked"
    """The secret was revoked by hand: prove it, or take the operator's word where nothing can."""
    CLOSE = "close"
    """End it as it is: what the store shows is current, what else may live stays on record."""


_OVERLAPPING: Final = frozenset({State.OVERLAP, State.REVOKING})
_PAST_ABORT: Final = frozenset({State.REVOKING, State.ABORTING})


def resolved(work: Work, resolution: Resolution, reason: str) -> Move:
    """The move that carries a decision out.

    Raises:
        NotAllowedNow: It does not fit the rotation's state.
    """
    return _DECISIONS[resolution](work, reason)


def _retry(work: Work, reason: str) -> Move:
    row = work.rotation
    if row.parked_from is None or row.state is not State.OPERATOR:
        raise NotAllowedNow(f"the rotation is in {row.state}, not parked; it goes on by itself")
    back = replace(row, state=row.parked_from, parked_from=None, reason="")
    if row.parked_from in _OVERLAPPING and row.overlap_from and row.disabled_at is None:
        # a copy may have shown its readers the old secret until now: they get a whole overlap
        work.tools.patience.forget(row.id)
        back = replace(back, state=State.OVERLAP, overlap_from=work.now())
    return Move(back, f"taken up again by an operator: {reason}")


def _abort(work: Work, reason: str) -> Move:
    row = work.rotation
    where = row.parked_from or row.state
    if where in _PAST_ABORT:
        raise NotAllowedNow(
            f"the rotation is past the point of no return ({where})",
            hint="`--retry` goes on, `--close` ends it as it is"
            if row.state is State.OPERATOR
            else "`--revoked` when it was revoked by hand",
        )
    return aborting(replace(row, parked_from=None), f"by an operator: {reason}")


def _revoked(work: Work, reason: str) -> Move:
    row = work.rotation
    where = row.parked_from or row.state
    if where not in _PAST_ABORT:
        raise NotAllowedNow(f"the rotation is in {where} and does not wait for a revocation")
    said = replace(row, state=where, parked_from=None, request=Request.REVOKED)
    return Move(said, f"an operator says that it was revoked: {reason}")


def _close(work: Work, reason: str) -> Move:
    row = work.rotation
    if row.state is not State.OPERATOR:
        raise NotAllowedNow(f"the rotation is in {row.state}, not parked; it goes on by itself")
    new, old = work.version(row.new_version), work.version(row.old_version)
    shown = work.copies.current()[work.credential.store]
    done = row.retires or shown == row.new_version
    kept, left = (new, old) if done else (old, new)
    standing = () if kept is None else (replace(kept, status=VersionStatus.CURRENT),)
    lost = () if left is None else (replace(left, status=VersionStatus.ORPHAN),)
    return Move(
        replace(row, state=State.DONE if done else State.ABORTED, reason=reason),
        f"closed by an operator: {reason}",
        facts={"unaccounted": left.secret_id if left else ""},
        versions=standing + lost,
    )


_DECISIONS: Final[Mapping[Resolution, Callable[[Work, str], Move]]] = {
    Resolution.RETRY: _retry,
    Resolution.ABORT: _abort,
    Resolution.REVOKED: _revoked,
    Resolution.CLOSE: _close,
}
