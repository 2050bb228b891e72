"""Who may move a credential's rotation now: leases, and the epochs that fence off the past.

Every credential has a lease row from the day it is enrolled. The epoch grows whenever the lease is
taken anew (by another owner, after it ran out, after it was released) and never falls; so what a
former holder still means to write carries an epoch that no row has any more.
"""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import bindparam, select, update

from credmgr.errors import LeaseHeld, LeaseLost, UnknownCredential
from credmgr.model.audit import Event
from credmgr.model.names import Name
from credmgr.model.rotation import Lease
from credmgr.store.database import Transaction
from credmgr.store.tables import leases, open_only, rotations

NOBODY: Final = ""

_OURS: Final = (
    (leases.c.credential == bindparam("b_credential"))
    & (leases.c.owner == bindparam("b_owner"))
    & (leases.c.epoch == bindparam("b_epoch"))
)
_LOCK: Final = (
    select(leases.c.owner, leases.c.epoch, leases.c.until)
    .where(leases.c.credential == bindparam("b_credential"))
    .with_for_update()
)
_HOLD: Final = select(leases.c.epoch).where(_OURS).with_for_update()
_TAKE: Final = update(leases).where(leases.c.credential == bindparam("b_credential"))
_RENEW: Final = update(leases).where(_OURS)
_RELEASE: Final = update(leases).where(_OURS).values(owner=NOBODY, until=None)
_STAMP: Final = update(rotations).where(
    rotations.c.credential == bindparam("b_credential"), open_only
)


def acquire(tx: Transaction, name: Name, owner: str, now: datetime, ttl: timedelta) -> Lease:
    """Take or retake a lease; see `Ledger.acquire`. Only a take-over from another is audited."""
    row = tx.connection.execute(_LOCK, {"b_credential": name}).one_or_none()
    if row is None:
        raise UnknownCredential(f"no credential is called {name}")
    live = row.owner != NOBODY and row.until > now
    if live and row.owner != owner:
        raise LeaseHeld(
            f"{row.owner} is working on {name} until {row.until:%Y-%m-%d %H:%M:%S} UTC",
            owner=row.owner,
            epoch=row.epoch,
        )
    lease = Lease(name, owner, row.epoch if live else row.epoch + 1, now + ttl)
    taken = {"owner": owner, "epoch": lease.epoch, "until": lease.until}
    tx.connection.execute(_TAKE, {"b_credential": name, **taken})
    if lease.epoch != row.epoch:
        tx.connection.execute(_STAMP, {"b_credential": name, "epoch": lease.epoch})
    if row.owner not in (NOBODY, owner):
        facts = {"from": row.owner, "epoch": str(lease.epoch)}
        tx.record(Event(actor=owner, action="lease.taken-over", subject=name, facts=facts))
    return lease


def renew(tx: Transaction, lease: Lease, now: datetime, ttl: timedelta) -> Lease:
    """Prolong a lease; one that ran out but that nobody took is still ours. Not audited."""
    until = now + ttl
    if tx.connection.execute(_RENEW, {**_key(lease), "until": until}).rowcount == 0:
        raise _lost(lease)
    return Lease(lease.credential, lease.owner, lease.epoch, until)


def release(tx: Transaction, lease: Lease) -> None:
    """End a lease early and keep its epoch. Not audited."""
    tx.connection.execute(_RELEASE, _key(lease))


def hold(tx: Transaction, lease: Lease) -> None:
    """Make sure that the lease is ours, and keep everybody from taking it until the commit.

    Raises:
        LeaseLost: It is no longer ours.
    """
    if tx.connection.execute(_HOLD, _key(lease)).one_or_none() is None:
        raise _lost(lease)


def _key(lease: Lease) -> dict[str, object]:
    return {"b_credential": lease.credential, "b_owner": lease.owner, "b_epoch": lease.epoch}


def _lost(lease: Lease) -> LeaseLost:
    return LeaseLost(f"{lease.owner} no longer holds {lease.credential} (epoch {lease.epoch})")
