"""Secrets that credmgr made and lost: found by their label, ended, and never forgotten."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from uuid import uuid5

from credmgr.errors import OperatorNeeded
from credmgr.model.finding import Severity
from credmgr.model.version import Version, VersionStatus
from credmgr.plugins.issuer import Listed
from credmgr.rotation.work import Work


def strays(work: Work, listed: Iterable[Listed]) -> list[Version]:
    """Secrets at the issuer that carry one of this credential's labels and that nobody uses.

    What a copy shows to its readers is in use, whatever the state database thinks of it. Ours are
    those whose label names a rotation of this credential in this state database: another
    installation's are left alone (I5), and so is whatever has no such label.
    """
    row = work.rotation
    known = {one.secret_id: one for one in work.versions.values()}
    used = {one.secret_id for one in known.values() if one.status is VersionStatus.CURRENT}
    used |= {row.old_secret_id or "", row.new_secret_id or ""}
    unused = [one for one in listed if one.secret_id not in used]
    if not unused:
        return []
    ours = {f"credmgr-{one.hex}-" for one in work.tools.ledger.rotation_ids(row.credential)}
    found = [
        known.get(one.secret_id) or _unknown(work, one)
        for one in unused
        if one.label.rpartition("-")[0] + "-" in ours
    ]
    return [one for one in found if not work.copies.showing(one.id)]


def end_strays(work: Work, found: Sequence[Version]) -> None:
    """Record each as an orphan, then revoke it, then record that.

    Where only a person can revoke it, the record stays and the owner is told.
    """
    for one in found:
        orphan = replace(one, status=VersionStatus.ORPHAN)
        work.record(f"orphan {one.secret_id} found, revoking it", versions=(orphan,))
        try:
            work.issuer.revoke(work.credential, one.secret_id)
        except OperatorNeeded as needed:
            text = f"the lost secret {one.secret_id} must be revoked by hand"
            work.record(
                text, versions=(orphan,), alert=(Severity.CRITICAL, text), steps=needed.steps
            )
            continue
        gone = replace(orphan, status=VersionStatus.REVOKED, ended_at=work.now())
        work.record(f"orphan {one.secret_id} revoked", versions=(gone,))


def _unknown(work: Work, one: Listed) -> Version:
    return Version(
        id=uuid5(work.rotation.id, one.secret_id),
        credential=work.rotation.credential,
        secret_id=one.secret_id,
        label=one.label,
        status=VersionStatus.ORPHAN,
        fingerprint="",
        issued_at=one.issued_at,
    )
