"""The way forward: create, stage, verify, promote. One function for each state.

Every step gathers what is true outside, decides, and acts; it is safe to enter again after a crash
at any point, because it looks before it acts. What a step raises is answered by `failures`.
"""

from dataclasses import replace
from typing import Final
from uuid import UUID, uuid4

from credmgr.errors import (
    Conflict,
    InvalidAnswer,
    IssuerRefused,
    IssuerUnavailable,
    NoFreeSlot,
    OutcomeUnknown,
    ScopeRefused,
    SecretRejected,
)
from credmgr.model.rotation import Rotation, State
from credmgr.model.version import Stage, Version, VersionStatus
from credmgr.plugins.issuer import Issued, IssuerClass, Proof
from credmgr.rotation.orphans import end_strays, strays
from credmgr.rotation.work import Move, Supplied, Wait, Work

MAX_ATTEMPTS: Final = 3
_UNSEEN: Final = (
    "{} shows the new secret already, which this state database did not do:"
    " was it restored from a backup?"
)
PROOFS_WHEN_SLOW: Final = 3
"""Logins wanted of an issuer that needs time to spread a secret: one replica may lag behind."""


def create(work: Work) -> Move | Wait:
    """INTENT: have the issuer, or a person, make a secret that carries this attempt's label.

    The baseline is written just before the call. Finding it written means that an earlier process
    may have called already: then whatever carries our label is revoked and the attempt is over, for
    a label is never used twice.
    """
    if foreign := _foreign(work):
        return parked(work.rotation, foreign)
    listed = work.issuer.list(work.credential)
    lost = strays(work, listed)
    end_strays(work, lost)
    row, gone = work.rotation, {one.secret_id for one in lost}
    if row.baseline is not None:
        return next_attempt(work, "an earlier process may have created a secret")
    left = tuple(one.secret_id for one in listed if one.secret_id not in gone)
    if work.supplied is not None:
        return _created(work, _brought(work, work.supplied))
    _require_slot(work, left)
    if work.issuer.traits.issuer_class is IssuerClass.MANUAL:
        return _created(work, work.issuer.create(work.credential, row.label))
    return _ask(work, left)


def stage(work: Work) -> Move | Wait:
    """CREATED: write the new value as `next` into every copy.

    The value is in hand, or in the store already; otherwise it died with the process that had it,
    and the secret is an orphan.
    """
    row = work.rotation
    value = work.in_hand or work.copies.kept(Stage.NEXT, row.new_version)
    if value is None and (shown := places_showing(work, row.new_version)):
        return parked(row, _UNSEEN.format(shown))
    if value is None:
        lost = [one for one in (work.version(row.new_version),) if one is not None]
        end_strays(work, lost)
        return next_attempt(work, "the new value was lost before it was staged")
    places = ", ".join(str(place) for place in work.copies.stage(value, row.new_version))
    work.in_hand = None
    version = work.version(row.new_version)
    return Move(
        replace(row, state=State.STAGED),
        f"staged in {places}",
        facts={"version": str(row.new_version), "fingerprint": row.fingerprint},
        versions=() if version is None else (replace(version, status=VersionStatus.STAGED),),
    )


def verify(work: Work) -> Move | Wait:
    """STAGED: read every copy back and really log in with what was read."""
    row = work.rotation
    held = work.copies.read(Stage.NEXT, row.new_version)
    true = {
        place: value
        for place, value in held.items()
        if value is not None and work.tools.fingerprinter.of(value) == row.fingerprint
    }
    wrong = [str(place) for place in held if place not in true]
    if wrong and (shown := places_showing(work, row.new_version)):
        return parked(row, _UNSEEN.format(shown))
    if wrong:
        return aborting(row, f"{', '.join(wrong)} does not hold what was staged there")
    try:
        proof = work.issuer.verify(work.credential, true[work.credential.store])
    except SecretRejected as error:
        return _not_yet(work, error)
    except ScopeRefused as error:
        return aborting(row, f"the new secret lacks scopes: {error}")
    return _proven(work, proof)


def promote(work: Work) -> Move | Wait:
    """VERIFIED: make the new secret current, store first, then every target."""
    if work.rotation.promoting_at is None:
        work.record("moving the pointers", promoting_at=work.now())
    row = work.rotation
    try:
        work.copies.promote(row.new_version, row.old_version)
    except Conflict as error:
        return aborting(row, f"somebody else changed a copy: {error}")
    new, old = work.version(row.new_version), work.version(row.old_version)
    date(work, new)
    versions = [replace(new, status=VersionStatus.CURRENT)] if new else []
    versions += [replace(old, status=VersionStatus.PREVIOUS)] if old else []
    target = State.OVERLAP if row.old_version else State.REVOKING
    return Move(
        replace(row, state=target, overlap_from=work.now()),
        "promoted: consumers read the new secret now",
        facts={"version": str(row.new_version), "fingerprint": row.fingerprint},
        versions=tuple(versions),
    )


def date(work: Work, version: Version | None) -> None:
    """Note beside every copy of a version that readers see now when it dies by itself."""
    if version is not None and version.expires_at:
        work.copies.date(version.id, version.expires_at)


def next_attempt(work: Work, reason: str) -> Move:
    """INTENT again under a new label and version; or ABORTING when the attempts are used up.

    It waits first, so that a call that is still on its way can arrive and be found by its label.
    """
    row = work.rotation
    if row.attempt >= MAX_ATTEMPTS:
        return aborting(row, f"{reason}; {MAX_ATTEMPTS} attempts are used up")
    fresh = replace(
        row,
        state=State.INTENT,
        attempt=row.attempt + 1,
        new_version=uuid4(),
        new_secret_id=None,
        fingerprint="",
        baseline=None,
        proofs=0,
    )
    return Move(
        fresh,
        f"{reason}; attempt {fresh.attempt} of {MAX_ATTEMPTS}",
        after=work.credential.policy.retry.first * 2**row.attempt,
    )


def aborting(row: Rotation, reason: str, *, clears_request: bool = False) -> Move:
    """Give the rotation up."""
    return Move(
        replace(row, state=State.ABORTING, reason=reason),
        f"giving up: {reason}",
        clears_request=clears_request,
    )


def parked(row: Rotation, reason: str) -> Move:
    """Leave it to a person, and say so once."""
    return Move(
        replace(row, state=State.OPERATOR, parked_from=row.state, reason=reason),
        f"needs an operator: {reason}",
        facts={"parked_from": row.state.value},
    )


def places_showing(work: Work, version: UUID) -> str:
    """The places whose readers see a version, in words; empty when none do."""
    return ", ".join(str(place) for place in work.copies.showing(version))


def _foreign(work: Work) -> str:
    """A place whose readers see a version that the state database does not call current, in words.

    Then the database was restored from an old backup, or somebody else manages the same name;
    rotating on would revoke the wrong secret.
    """
    for place, held in work.copies.current().items():
        if held not in (None, work.rotation.old_version):
            return f"{place} holds version {held}, which the state database does not call current"
    return ""


def _ask(work: Work, present: tuple[str, ...]) -> Move:
    """Have the issuer make one, with the intent written before and the doubt resolved after."""
    work.record(f"asking {work.credential.issuer} for a new secret", baseline=present)
    try:
        issued = work.issuer.create(work.credential, work.rotation.label)
    except (IssuerUnavailable, IssuerRefused):
        work.record("nothing was created", baseline=None)
        raise
    except (OutcomeUnknown, InvalidAnswer) as error:
        return next_attempt(work, f"unknown whether a secret was created: {error}")
    return _created(work, issued)


def _require_slot(work: Work, taken: tuple[str, ...]) -> None:
    allowed = work.issuer.traits.max_active
    if allowed is not None and len(taken) >= allowed:
        raise NoFreeSlot(
            f"{work.credential.issuer} allows {allowed} secrets and holds {', '.join(taken)}",
            hint="revoke the one that nobody uses, then"
            f" `credmgr resolve {work.credential.name} --retry`",
        )


def _brought(work: Work, supplied: Supplied) -> Issued:
    """What a person brought, as if it had just been issued."""
    work.supplied = None
    return Issued(supplied.secret_id or work.rotation.label, supplied.secret, work.now())


def _created(work: Work, issued: Issued) -> Move:
    row, work.in_hand = work.rotation, issued.secret
    fingerprint = work.tools.fingerprinter.of(issued.secret)
    version = Version(
        id=row.new_version,
        credential=row.credential,
        secret_id=issued.secret_id,
        label=row.label,
        status=VersionStatus.ISSUED,
        fingerprint=fingerprint,
        issued_at=issued.issued_at,
        expires_at=issued.expires_at,
        key_type=work.issuer.traits.key_type(issued.secret),
    )
    return Move(
        replace(
            row,
            state=State.CREATED,
            new_secret_id=issued.secret_id,
            fingerprint=fingerprint,
            reason="",
        ),
        f"new secret issued: {issued.secret_id}",
        facts={"secret_id": issued.secret_id, "label": row.label, "fingerprint": fingerprint},
        versions=(version,),
    )


def _not_yet(work: Work, error: SecretRejected) -> Move | Wait:
    deadline = work.rotation.entered_at + work.credential.policy.retry.verify_for
    if work.now() >= deadline:
        return aborting(work.rotation, f"the new secret never logged in: {error}")
    pause = work.patience_for(work.rotation.entered_at)
    return Wait(work.now() + pause, "the new secret is not accepted yet")


def _proven(work: Work, proof: Proof) -> Move | Wait:
    row, propagation = work.rotation, work.issuer.traits.propagation
    shown = work.credential.scopes if proof.scopes is None else proof.scopes
    missing = work.credential.scopes - shown
    if missing:
        return aborting(row, f"the new secret lacks the scopes {', '.join(sorted(missing))}")
    wanted = PROOFS_WHEN_SLOW if propagation else 1
    if row.proofs + 1 < wanted:
        work.record(f"logged in, {row.proofs + 1} of {wanted} times", proofs=row.proofs + 1)
        return Wait(work.now() + propagation / wanted, "letting the new secret spread")
    return Move(
        replace(row, state=State.VERIFIED, proofs=row.proofs + 1),
        "proven by a real login",
        facts={"logins": str(row.proofs + 1), "scopes": " ".join(sorted(proof.scopes or ()))},
    )
