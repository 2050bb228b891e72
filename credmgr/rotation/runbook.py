"""What an operator does to a credential, from the command line or the API.

Each goes through the same leases and the same engine as the daemon, so it works when the daemon is
down and is safe when it is up.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from threading import Event
from typing import Final

from credmgr.errors import LeaseHeld, NotAllowedNow
from credmgr.model.audit import Event as AuditEvent
from credmgr.model.names import Name
from credmgr.model.rotation import PARKED, Request, Rotation, State, Trigger
from credmgr.model.secret import Secret
from credmgr.rotation.bringing import require_fit
from credmgr.rotation.engine import Engine, Leased
from credmgr.rotation.resolving import Resolution
from credmgr.rotation.work import Supplied

PATIENCE: Final = timedelta(seconds=15)
"""How long an operator's command waits for another process to give the lease back."""
POLL: Final = timedelta(milliseconds=200)
_ROLLS_BACK: Final = frozenset(
    {State.INTENT, State.CREATED, State.STAGED, State.VERIFIED, State.OVERLAP}
)
_TOO_LATE: Final = frozenset({State.REVOKING, State.DONE})

Seen = Callable[[Rotation], None]


class Runbook:
    """The operator's moves. Each raises what the engine raises."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._ledger = engine.tools.ledger
        self._clock = engine.tools.clock

    def rotate(self, name: Name, trigger: Trigger = Trigger.OPERATOR) -> Rotation:
        """Open a rotation now and take it as far as it goes.

        Raises:
            RotationOpen: One is open already.
            NotAllowedNow: The credential is retired.
        """
        return self._patiently(lambda: self._engine.start(name, trigger))

    def rollback(self, name: Name) -> Rotation:
        """Give the open rotation up and go back to the old secret.

        Raises:
            NotAllowedNow: None is open, or the old secret is being revoked already.
        """
        row = self._open(name)
        where = row.parked_from or row.state
        if where not in _ROLLS_BACK:
            raise NotAllowedNow(
                f"the rotation of {name} is in {where}: too late to roll back",
                hint=f"`credmgr rotate {name}` issues another one",
            )
        if row.state in PARKED:
            return self.resolve(name, Resolution.ABORT, "rolled back")
        asked = self._ask(row, Request.ROLLBACK)
        if asked.state in _TOO_LATE:
            raise NotAllowedNow(f"it came too late: the rotation of {name} is in {asked.state}")
        return asked

    def hurry(self, name: Name) -> Rotation:
        """End the overlap now, whoever still uses the old secret.

        Raises:
            NotAllowedNow: No rotation is open.
        """
        return self._ask(self._open(name), Request.HURRY)

    def leaked(self, name: Name, seen: Seen, *, stop: Event | None = None) -> Rotation:
        """Replace a leaked secret and revoke it at once, without an overlap.

        An open rotation is hurried to its end first; when it had replaced the leaked secret
        already, that is all there is to do. It returns when the rotation has ended or is parked, or
        when `stop` is set; then the daemon goes on with it.
        """
        row = self._ledger.open_rotation(name)
        if row is None:
            return self.follow(self.rotate(name, Trigger.LEAKED), seen, stop=stop)
        replaced = row.promoting_at is not None
        ended = self.follow(self.hurry(name), seen, stop=stop)
        if ended.open or not replaced:
            return ended
        return self.follow(self.rotate(name, Trigger.LEAKED), seen, stop=stop)

    def retire(self, name: Name) -> Rotation:
        """Revoke the last secret of a credential that the manifest no longer declares.

        Raises:
            NotAllowedNow: The manifest still declares it, or it has no live secret.
        """
        return self.rotate(name, Trigger.RETIRE)

    def bring(self, name: Name, supplied: Supplied) -> Rotation:
        """Go on with a secret that a person brought, opening a rotation if none waits for it.

        Raises:
            SecretRejected: It does not log in; nothing was changed.
            NotAllowedNow: The open rotation waits for no secret.
        """
        row = self._ledger.open_rotation(name)
        if row is None:
            return self._patiently(lambda: self._engine.start(name, Trigger.IMPORT, supplied))
        return self._patiently(lambda: self._engine.supply(row, supplied))

    def require_fit(self, name: Name, secret: Secret) -> Supplied:
        """Make sure that a secret found somewhere could be the new one; nothing is changed.

        Returns:
            It, with the id that the issuer must have for it: the one that is not known here yet.

        Raises:
            SecretRejected: It does not log in.
            NotAllowedNow: It is known already, or it cannot be told which one it is.
        """
        engine = self._engine
        credential = self._ledger.enrolled(name).credential
        known = {one.secret_id for one in self._ledger.versions(name)}
        listed = engine.outside.issuer(credential).list(credential)
        unknown = [one.secret_id for one in listed if one.secret_id not in known]
        supplied = Supplied(secret, unknown[0] if len(unknown) == 1 else None)
        require_fit(engine.tools, engine.outside, name, supplied, waited_for=False)
        return supplied

    def take_over(self, name: Name, secret: Secret) -> Rotation:
        """Take a secret that was found somewhere for the new one, if it fits.

        Raises:
            SecretRejected: It does not log in; nothing was changed.
            NotAllowedNow: It is known already, or it cannot be told which one it is.
        """
        return self.bring(name, self.require_fit(name, secret))

    def leased(self, name: Name) -> Leased:
        """Hold a credential's lease for the length of a `with` block."""
        return self._engine.leased(name)

    def resolve(self, name: Name, resolution: Resolution, reason: str) -> Rotation:
        """Carry out what a person decided about a rotation that waits for one.

        Raises:
            NotAllowedNow: None is open, or the decision does not fit.
        """
        return self._patiently(lambda: self._engine.resolve(name, resolution, reason))

    def follow(self, row: Rotation, seen: Seen, *, stop: Event | None = None) -> Rotation:
        """Keep at a rotation until it has ended, is parked, or waits for a person.

        Args:
            row: The rotation.
            seen: Called with the row whenever it has changed.
            stop: Set to give up waiting; the rotation goes on without us.
        """
        stop = stop or Event()
        seen(row)
        while row.open and row.state not in PARKED and not row.steps and not stop.is_set():
            pause = min(max(row.not_before - self._clock.now(), POLL), timedelta(seconds=1))
            self._clock.wait(stop, pause)
            before, row = row, self._look(row)
            if (row.state, row.waiting) != (before.state, before.waiting):
                seen(row)
        return row

    def _look(self, row: Rotation) -> Rotation:
        """Push it on if nobody else does, then read where it stands."""
        with suppress(LeaseHeld):  # another process is at it
            self._engine.tend(row.credential)
        return self._ledger.rotation(row.id)

    def _ask(self, row: Rotation, request: Request) -> Rotation:
        tools = self._engine.tools
        event = AuditEvent(tools.actor, "rotation.requested", row.credential, {"request": request})
        self._ledger.ask(row.id, request, event, self._clock.now())
        return self._patiently(lambda: self._look_once(row))

    def _look_once(self, row: Rotation) -> Rotation:
        self._engine.tend(row.credential)
        return self._ledger.rotation(row.id)

    def _open(self, name: Name) -> Rotation:
        self._ledger.enrolled(name)
        row = self._ledger.open_rotation(name)
        if row is None:
            raise NotAllowedNow(f"{name} has no open rotation")
        return row

    def _patiently(self, act: Callable[[], Rotation]) -> Rotation:
        """Try again while another process holds the lease, for a while."""
        deadline, never = self._clock.monotonic() + PATIENCE, Event()
        while True:
            try:
                return act()
            except LeaseHeld:
                if self._clock.monotonic() >= deadline:
                    raise
                self._clock.wait(never, POLL)
