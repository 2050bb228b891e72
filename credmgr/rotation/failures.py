"""What to do about an error: wait, give the rotation up, or leave it to a person."""

from datetime import timedelta
from typing import Final

from credmgr.errors import (
    BackendUnavailable,
    CredmgrError,
    IssuerError,
    IssuerUnavailable,
    NoFreeSlot,
    OperatorNeeded,
)
from credmgr.model.credential import Retry
from credmgr.model.rotation import Rotation, State
from credmgr.rotation.steps import aborting, parked
from credmgr.rotation.work import Move, Wait, Work

LONGEST_RETRY_AFTER: Final = timedelta(hours=1)
"""However long an issuer asks to be left alone; MSAL caps at the same."""
LONGEST_AFTER_REFUSAL: Final = timedelta(hours=1)
REFUSAL_FACTOR: Final = 60
"""A no is repeated this much more slowly than a transport failure,"""
REFUSALS: Final = 5
"""and at most this often."""
PERSON_LOOK: Final = (timedelta(minutes=1), timedelta(hours=1))
"""Shortest and longest time between two looks whether a person has done what was asked."""
URGENT_SHARE: Final = 10
"""Near expiry, a retry waits at most this part of the time left."""
LEAST_JITTER: Final = 0.05
_UNUSED: Final = frozenset({State.CREATED, State.STAGED, State.VERIFIED})


def answer(work: Work, error: CredmgrError) -> Move | Wait:
    """What follows from an error raised by the step of the rotation's state.

    A person's task waits for the person. Transport failures and refusals of the issuer are
    repeated, the latter more slowly and less often; everything else, and the bound, ends in
    ABORTING while the new secret has not replaced the old one, and in OPERATOR where giving up is
    not safe or would change nothing.
    """
    row = work.rotation
    if isinstance(error, OperatorNeeded):
        shortest, longest = PERSON_LOOK
        pause = min(max(work.patience_for(row.entered_at), shortest), longest)
        return Wait(work.now() + pause, error.message, steps=error.steps)
    failures, policy = row.failures + 1, work.credential.policy.retry
    if failures >= _bound(policy, error):
        return _given_up(row, _in_words(error, failures))
    ceiling = backoff(policy, failures, error, _time_left(work))
    pause = ceiling * max(work.tools.jitter(), LEAST_JITTER)
    return Wait(
        work.now() + max(pause, _asked(error)), _in_words(error, failures), failures=failures
    )


def backoff(
    policy: Retry, failures: int, error: CredmgrError, time_left: timedelta | None
) -> timedelta:
    """The longest wait before the next try: doubling, bounded, shorter near expiry."""
    doubled = policy.first * (1 << min(failures - 1, 20))
    pause = (
        min(doubled, policy.ceiling)
        if error.retryable
        else min(doubled * REFUSAL_FACTOR, LONGEST_AFTER_REFUSAL)
    )
    return pause if time_left is None else min(pause, time_left / URGENT_SHARE)


def _bound(policy: Retry, error: CredmgrError) -> int:
    """How many failures in a row are borne."""
    if error.retryable:
        return policy.attempts
    if isinstance(error, IssuerError) and not isinstance(error, NoFreeSlot):
        return min(policy.attempts, REFUSALS)
    return 1


def _given_up(row: Rotation, reason: str) -> Move:
    return aborting(row, reason) if row.state in _UNUSED else parked(row, reason)


def _in_words(error: CredmgrError, failures: int) -> str:
    times = "" if failures == 1 else f" ({failures} times in a row)"
    return f"{error.message}{times}" + (f"; {error.hint}" if error.hint else "")


def _asked(error: CredmgrError) -> timedelta:
    """How long the issuer or backend asked to be left alone, within reason."""
    both = IssuerUnavailable | BackendUnavailable
    asked = error.retry_after if isinstance(error, both) else None
    return min(max(asked or timedelta(), timedelta()), LONGEST_RETRY_AFTER)


def _time_left(work: Work) -> timedelta | None:
    """How long the old secret still lives by itself; None where it does not end, or has ended."""
    old = work.version(work.rotation.old_version)
    if old is None or old.expires_at is None or old.expires_at <= work.now():
        return None
    return old.expires_at - work.now()
