"""The way out: overlap, revoke, abort. One function for each state."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final

from credmgr.errors import OperatorNeeded, ScopeRefused, SecretRejected
from credmgr.model.credential import Place
from credmgr.model.rotation import Request, State
from credmgr.model.secret import Secret
from credmgr.model.version import Stage, Version, VersionStatus
from credmgr.rotation.orphans import end_strays, strays
from credmgr.rotation.steps import aborting, date, parked, places_showing
from credmgr.rotation.work import Move, Wait, Work

LOOK_AGAIN: Final = timedelta(minutes=1)
"""How often to look whether the last consumer has moved on,"""
DRIFT_LOOK: Final = timedelta(minutes=15)
"""and whether every copy still is what it should be, while the overlap lasts."""
NONE: Final = timedelta()


def overlap(work: Work) -> Move | Wait:
    """OVERLAP: wait until nobody needs the old secret; rollback is still possible.

    A target that holds nothing is filled: it was declared meanwhile, or its copy was deleted. One
    that shows another value is a person's business: its readers need the old secret.
    """
    work.refresh()
    row, policy = work.rotation, work.credential.policy.overlap
    if row.request is Request.ROLLBACK:
        return aborting(row, "rolled back by an operator", clears_request=True)
    if filled := work.copies.fill(row.new_version):
        date(work, work.version(row.new_version))
        work.record(f"written to {', '.join(str(place) for place in filled)}")
    if differing := _differing(work):
        return parked(row, f"not revoking: {differing} does not hold the new secret")
    shortest, longest = (NONE, NONE) if row.urgent else (policy.minimum, policy.maximum)
    shortest = max(shortest, work.copies.quarantine)
    if left := _left(work, shortest):
        until = work.now() + left
        text = f"both secrets work until {until:%Y-%m-%d %H:%M:%S} UTC"
        return Wait(min(until, work.now() + DRIFT_LOOK), text)
    if (ceiling := _left(work, longest)) and (behind := [*_behind(work), *_late(work)]):
        names = ", ".join(behind)
        return Wait(work.now() + min(ceiling, LOOK_AGAIN), f"still on the old secret: {names}")
    work.tools.patience.forget(row.id)
    return Move(replace(row, state=State.REVOKING), "overlap is over", clears_request=row.urgent)


def revoke(work: Work) -> Move | Wait:
    """REVOKING: end exactly the recorded old secret and prove that it is refused."""
    row = work.rotation
    if row.old_version is None or row.old_secret_id is None:
        return _finish(work)
    if row.old_secret_id == row.new_secret_id:
        return parked(row, f"not revoking {row.old_secret_id}: it is the new secret as well")
    if not row.retires and (differing := _differing(work)):
        return parked(row, f"not revoking: {differing} does not hold the new secret")
    stage = Stage.CURRENT if row.retires else Stage.PREVIOUS
    kept = work.copies.kept(stage, row.old_version)
    return _end(work, row.old_secret_id, kept) or _finish(work)


def abort(work: Work) -> Move | Wait:
    """ABORTING: pointers first, then the new secret."""
    if work.rotation.promoting_at is not None and work.rotation.restored_at is None:
        work.copies.restore(work.rotation.new_version, work.rotation.old_version)
        date(work, work.version(work.rotation.old_version))
        work.record("consumers read the old secret again", restored_at=work.now())
        work.tools.patience.forget(work.rotation.id)
    row, stage = work.rotation, Stage.NEXT
    if shown := places_showing(work, row.new_version):
        return parked(row, f"not revoking {row.new_secret_id}: {shown} shows it to consumers")
    if row.restored_at is not None and row.old_version is not None:
        stage = Stage.PREVIOUS
        settle = max(work.credential.policy.overlap.minimum, work.copies.quarantine)
        if left := work.tools.patience.left(row.id, row.restored_at, settle):
            return Wait(work.now() + left, "letting consumers go back to the old secret")
    if row.new_secret_id is not None and (
        answer := _end(work, row.new_secret_id, work.copies.kept(stage, row.new_version))
    ):
        return answer
    work.copies.discard(row.new_version)
    end_strays(work, strays(work, work.issuer.list(work.credential)))
    return Move(
        replace(work.rotation, state=State.ABORTED),
        f"aborted: {row.reason}",
        versions=_after_abort(work),
        clears_request=True,
    )


def _left(work: Work, length: timedelta) -> timedelta:
    since = work.rotation.overlap_from or work.rotation.entered_at
    return work.tools.patience.left(work.rotation.id, since, length)


def _behind(work: Work) -> list[str]:
    """Consumers last seen on the old secret.

    Who read it may hold it still, however long ago that was: only the ceiling ends the wait. A
    token made from it counts as long as this looks back.
    """
    row = work.rotation
    old = row.old_version or row.new_version
    since = (row.overlap_from or row.entered_at) - work.credential.policy.overlap.maximum
    return [str(one) for one in work.tools.ledger.consumers_on(old, since)]


def _late(work: Work) -> list[str]:
    """Best-effort targets that do not hold the new secret yet; the ceiling waits for none."""
    optional = {target.place for target in work.credential.targets if not target.required}
    if not optional:
        return []
    behind = work.tools.ledger.copies_behind(work.credential.name, work.rotation.new_version)
    return [str(place) for place in behind if place in optional]


def _differing(work: Work) -> str:
    """The places whose readers do not see the new secret, in words; empty when all do."""
    row = work.rotation
    held: Mapping[Place, Secret | None] = work.copies.read(Stage.CURRENT, row.new_version)
    wrong = [
        place
        for place, value in held.items()
        if value is None or work.tools.fingerprinter.of(value) != row.fingerprint
    ]
    return ", ".join(str(place) for place in (*wrong, *work.copies.lacking(row.new_version)))


def _end(work: Work, secret_id: str, value: Secret | None) -> Move | Wait | None:
    """Disable and revoke one secret and prove it refused; None when that is done."""
    if work.issuer.traits.disables and work.rotation.disabled_at is None:
        work.issuer.disable(work.credential, secret_id)
        work.record(f"{secret_id} disabled", disabled_at=work.now())
    try:
        work.issuer.revoke(work.credential, secret_id)
    except OperatorNeeded as needed:
        if _refused(work, value) or _taken_at_word(work, value):
            return None
        if work.rotation.request is not Request.REVOKED:
            raise
        still = f"{secret_id} is said to be revoked, and is still accepted"
        return Wait(work.now() + LOOK_AGAIN, still, steps=needed.steps)
    if value is None or _refused(work, value):
        return None
    if work.rotation.disabled_at is None:
        work.record(f"{secret_id} revoked", disabled_at=work.now())
    entered = work.rotation.entered_at
    since = max(work.rotation.disabled_at or entered, entered)
    if work.now() - since >= work.credential.policy.retry.verify_for:
        return parked(work.rotation, f"{secret_id} was revoked and is still accepted")
    return Wait(work.now() + work.patience_for(since), f"{secret_id} is revoked, not refused yet")


def _taken_at_word(work: Work, value: Secret | None) -> bool:
    """Whether an operator says it is revoked and nothing is left to prove it with."""
    return value is None and work.rotation.request is Request.REVOKED


def _refused(work: Work, value: Secret | None) -> bool:
    if value is None:
        return False
    try:
        work.issuer.verify(work.credential, value)
    except SecretRejected:
        return True
    except ScopeRefused:  # it logs in, though not with all scopes
        return False
    return False


def _finish(work: Work) -> Move:
    """Tidy up, so that a finished rotation leaves one secret and nothing staged (I4)."""
    row = work.rotation
    if row.retires:
        work.copies.delete()
    else:
        work.copies.keep_only(row.new_version)
    end_strays(work, strays(work, work.issuer.list(work.credential)))
    old = work.version(row.old_version)
    work.tools.patience.forget(row.id)
    return Move(
        replace(work.rotation, state=State.DONE),
        "first secret in place" if old is None else f"{old.secret_id} revoked and refused",
        facts={"old_secret_id": row.old_secret_id or "", "secret_id": row.new_secret_id or ""},
        versions=() if old is None else (_revoked(work, old),),
        clears_request=True,
    )


def _after_abort(work: Work) -> tuple[Version, ...]:
    new, old = work.version(work.rotation.new_version), work.version(work.rotation.old_version)
    ended = () if new is None else (_revoked(work, new),)
    kept = () if old is None else (replace(old, status=VersionStatus.CURRENT),)
    return ended + kept


def _revoked(work: Work, version: Version) -> Version:
    return replace(version, status=VersionStatus.REVOKED, ended_at=work.now())
