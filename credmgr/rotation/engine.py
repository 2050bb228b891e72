"""Moves rotations through their states.

    INTENT ──► CREATED ──► STAGED ──► VERIFIED ──► OVERLAP ──► REVOKING ──► DONE
      │ ▲         │           │           │           │            │
      │ └─────────┘           ▼           ▼           ▼            ▼
      │  next attempt      ABORTING ◄─────┴───────────┘         OPERATOR
      └────────────────────►  │                                 (parked: a person resolves)
                              └──► ABORTED

Each step looks at what is true outside, does the one thing that its state is for, and answers with
the next state or a `Wait`; the answer is written before the next step begins, under
`WHERE id = ? AND state = ? AND epoch = ?`. Restarting is the same code as running.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from itertools import count
from threading import Event
from typing import Final

import structlog

from credmgr.errors import CredmgrError, LeaseHeld, NotAllowedNow, StateError
from credmgr.model.audit import Event as AuditEvent
from credmgr.model.credential import Credential, CredentialStatus, Enrolled
from credmgr.model.names import Name
from credmgr.model.rotation import MOVING, Lease, Request, Rotation, State, Trigger
from credmgr.model.version import Version
from credmgr.plugins.issuer import Issuer
from credmgr.rotation import ending, steps
from credmgr.rotation.bringing import require_fit
from credmgr.rotation.due import Due, due
from credmgr.rotation.failures import answer
from credmgr.rotation.opening import current_version, open_rotation
from credmgr.rotation.ports import Copies, Outside
from credmgr.rotation.resolving import Resolution, resolved
from credmgr.rotation.work import Move, Supplied, Tools, Wait, Work

Step = Callable[[Work], Move | Wait]

TRANSITIONS: Final[Mapping[State, Step]] = {
    State.INTENT: steps.create,
    State.CREATED: steps.stage,
    State.STAGED: steps.verify,
    State.VERIFIED: steps.promote,
    State.OVERLAP: ending.overlap,
    State.REVOKING: ending.revoke,
    State.ABORTING: ending.abort,
}
ABORTABLE: Final = frozenset({State.INTENT, State.CREATED, State.STAGED, State.VERIFIED})

_turns: Final = count(1)
_log = structlog.get_logger("credmgr.rotation")


class Engine:
    """The one place that moves rotations; safe to use from many threads and processes at once."""

    def __init__(self, tools: Tools, outside: Outside, owner: str, lease: timedelta) -> None:
        self.tools = tools
        self.outside = outside
        self._owner = owner
        self._lease = lease
        self.stopping = Event()

    def tend(self, name: Name) -> Rotation | None:
        """Do what is next for one credential: go on with its rotation, or open one if it is due.

        Returns:
            The rotation as it stands, or None when there was nothing to do.

        Raises:
            LeaseHeld: Another process is at it.
            LeaseLost: Another process took over meanwhile.
            StateUnavailable: The state database cannot be written.
        """
        with self.leased(name) as lease:
            row = self.tools.ledger.open_rotation(name) or self._open_if_due(name, lease)
            if row is None or row.not_before > self.tools.clock.now():
                return row
            return self._advance(row, lease)

    def start(self, name: Name, trigger: Trigger, supplied: Supplied | None = None) -> Rotation:
        """Open a rotation now, whatever the schedule says, and take it as far as it goes.

        Raises:
            RotationOpen: One is open.
            NotAllowedNow: The credential's status forbids it, or the issuer lists its secrets and
                the supplied id is none of them.
            SecretRejected: The supplied secret does not log in; nothing was opened.
        """
        with self.leased(name) as lease:
            enrolled = self.tools.ledger.enrolled(name)
            self._sessions(enrolled.credential)
            if supplied is not None:
                require_fit(self.tools, self.outside, name, supplied, waited_for=False)
            row = open_rotation(self.tools, enrolled, trigger, lease)
            return self._advance(row, lease, supplied)

    def supply(self, row: Rotation, supplied: Supplied) -> Rotation:
        """Go on with a rotation that waits in INTENT for a person's secret.

        Raises:
            NotAllowedNow: It does not wait for one.
            SecretRejected: The secret does not log in; nothing was changed.
        """
        with self.leased(row.credential) as lease:
            require_fit(self.tools, self.outside, row.credential, supplied, waited_for=True)
            row = self.tools.ledger.rotation(row.id)
            if row.state is not State.INTENT:
                raise NotAllowedNow(f"the rotation is in {row.state} and waits for no secret")
            return self._advance(row, lease, supplied)

    def resolve(self, name: Name, resolution: Resolution, reason: str) -> Rotation:
        """Carry out what a person decided about a rotation that waits for one, and go on.

        Raises:
            NotAllowedNow: There is none, or this decision does not fit its state.
        """
        with self.leased(name) as lease:
            row = self.tools.ledger.open_rotation(name)
            if row is None:
                raise NotAllowedNow(f"{name} has no open rotation")
            work = self._work(row, lease)
            work.move(resolved(work, resolution, reason))
            return self._advance(work.rotation, lease)

    def _advance(self, row: Rotation, lease: Lease, supplied: Supplied | None = None) -> Rotation:
        """Take a rotation through as many states as it will go now."""
        work = self._work(row, lease, supplied)
        while work.rotation.state in MOVING and not self._pausing(work):
            outcome = self._step(work)
            self._write(work, outcome)
            self._keep_lease(work)
            if work.rotation.not_before > work.now():
                break
        self._wake_if_redeclared(work.enrolled)
        return work.rotation

    def _work(self, row: Rotation, lease: Lease, supplied: Supplied | None = None) -> Work:
        enrolled = self.tools.ledger.enrolled(row.credential)
        issuer, copies = self._sessions(enrolled.credential)
        return Work(enrolled, row, lease, issuer, copies, self.tools, supplied)

    def _sessions(self, credential: Credential) -> tuple[Issuer, Copies]:
        """What a rotation works with, opened before it is; so a missing token opens none."""
        return self.outside.issuer(credential), self.outside.copies(credential)

    def _keep_lease(self, work: Work) -> None:
        if work.lease.until - work.now() < self._lease / 2:
            work.lease = self.tools.ledger.renew(work.lease, work.now(), self._lease)

    def leased(self, name: Name) -> "Leased":
        """Hold a credential's lease for the length of a `with` block."""
        return Leased(self.tools, name, self._owner, self._lease)

    def _pausing(self, work: Work) -> bool:
        """Whether to stop between two steps; never while a value is only in this process."""
        return self.stopping.is_set() and work.in_hand is None

    def _step(self, work: Work) -> Move | Wait:
        row = work.rotation
        if row.request is Request.ROLLBACK and row.state in ABORTABLE:
            return steps.aborting(row, "called off by an operator", clears_request=True)
        try:
            return TRANSITIONS[row.state](work)
        except StateError:
            raise  # nothing can be written; whoever owns the rotation next starts from the row
        except CredmgrError as error:
            return answer(work, error)

    def _write(self, work: Work, outcome: Move | Wait) -> None:
        if isinstance(outcome, Move):
            work.move(outcome)
            text, log = outcome.text, _log.info
        else:
            work.wait(outcome)
            text, log = outcome.reason, _log.warning if outcome.failures else _log.info
        row = work.rotation
        log(text, credential=str(row.credential), state=row.state.value, rotation=str(row.id)[:8])

    def _open_if_due(self, name: Name, lease: Lease) -> Rotation | None:
        enrolled = self.tools.ledger.enrolled(name)
        current = current_version(self.tools, name)
        verdict = due(enrolled, current, self.tools.clock.now())
        if not isinstance(verdict, Due):
            if current is not None and enrolled.status is CredentialStatus.ACTIVE:
                self._fill(enrolled.credential, current)
            self.tools.ledger.postpone(name, verdict.until)
            self._wake_if_redeclared(enrolled)
            return None
        trigger = Trigger.FIRST if current is None else Trigger.SCHEDULE
        self._sessions(enrolled.credential)
        _log.info("rotation due", credential=str(name), why=verdict.reason.value)
        return open_rotation(self.tools, enrolled, trigger, lease)

    def _fill(self, credential: Credential, current: Version) -> None:
        """A target that was declared since the last rotation gets its copy."""
        copies = self.outside.copies(credential)
        if filled := copies.fill(current.id):
            if current.expires_at:
                copies.date(current.id, current.expires_at)
            places = ", ".join(str(place) for place in filled)
            facts = {"places": places, "version": str(current.id)}
            self.tools.ledger.note(
                AuditEvent(self.tools.actor, "copies.filled", credential.name, facts)
            )
            _log.info(f"written to {places}", credential=str(credential.name))

    def _wake_if_redeclared(self, seen: Enrolled) -> None:
        """A declaration applied meanwhile made it due now; our answer knew only the old one."""
        name = seen.credential.name
        if self.tools.ledger.enrolled(name).applied_at != seen.applied_at:
            self.tools.ledger.postpone(name, self.tools.clock.now())


class Leased:
    """A credential's lease as a context manager; released at the end.

    Each one is an owner of its own, so that two threads of one process exclude each other too.
    """

    def __init__(self, tools: Tools, name: Name, owner: str, ttl: timedelta) -> None:
        self._tools, self._name, self._ttl = tools, name, ttl
        self._owner = f"{owner}#{next(_turns)}"
        self._lease: Lease

    def __enter__(self) -> Lease:
        """Take the lease, also from a process that is surely gone, or raise `LeaseHeld`."""
        try:
            self._lease = self._acquire()
        except LeaseHeld as held:
            if not self._tools.is_gone(held.owner):
                raise
            left = Lease(self._name, held.owner, held.epoch, self._tools.clock.now())
            self._tools.ledger.release(left)
            self._lease = self._acquire()
        return self._lease

    def _acquire(self) -> Lease:
        now = self._tools.clock.now()
        return self._tools.ledger.acquire(self._name, self._owner, now, self._ttl)

    def __exit__(self, *_: object) -> None:
        """Give it back, unless somebody took it; what cannot be given back runs out by itself."""
        try:
            self._tools.ledger.release(self._lease)
        except StateError as error:
            _log.warning("lease not given back", credential=str(self._name), why=error.message)
