"""Keeps every copy what it should be, each in its own time.

    look ──► GOOD ─────────────────────────────► current
      │ ──► BRING ──► write ───────────────────► current
      │ ──► DRIFTED ─┬ report ─────────────────► drifted: a person hears of it
      │              ├ repair, once in a day ──► current
      │              └ import ─────────────────► a rotation makes it the secret everywhere
      └ ─► an error ───────────────────────────► refused (your configuration)
                                                 unreachable (their outage): tried again, slower

A rotation writes the store and the required targets itself; while it moves, they are left alone.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from credmgr.distribution.looking import Eyes, Verdict, judged
from credmgr.distribution.ports import Book, Ledger, Outside, Rotations
from credmgr.distribution.telling import Teller
from credmgr.distribution.writing import Pen
from credmgr.errors import CredmgrError, LeaseHeld, StateError, UnknownCredential
from credmgr.model.audit import Event
from credmgr.model.clock import Clock
from credmgr.model.copy import Condition, Copy
from credmgr.model.credential import Credential, CredentialStatus, Drift, Enrolled, Target
from credmgr.model.names import Name
from credmgr.model.rotation import Rotation, State
from credmgr.model.secret import Fingerprinter
from credmgr.model.subject import Topic
from credmgr.model.version import Version, VersionStatus

HOLD: Final = timedelta(minutes=2)
"""After this, another process may take a copy that this one has not let go: it has died."""
SOON: Final = timedelta(seconds=10)
"""When to look again while a rotation moves."""
FIRST_RETRY: Final = timedelta(seconds=5)
LONGEST_RETRY: Final = timedelta(minutes=15)
REFUSAL_FACTOR: Final = 12
"""What needs a person is tried that much more rarely than what may pass by itself."""
ONE_INCIDENT: Final = timedelta(days=1)
"""A copy that drifts again within this after a repair is a person's business: no tug of war."""
_AT_REST: Final = frozenset({State.OVERLAP, State.REVOKING})
"""While a rotation is in one of these, every required copy should show the new secret."""
_log = structlog.get_logger("credmgr.copies")


@dataclass(frozen=True, slots=True)
class Care:
    """How far one look goes.

    Attributes:
        deep: Whether the value is read even where metadata tell that nothing changed.
        repairs: Whether a drifted copy is written anew, whatever its policy says.
        writes: Whether anything is done about what is seen.
    """

    deep: bool = False
    repairs: bool = False
    writes: bool = True


ORDINARY: Final = Care()


@dataclass(frozen=True, slots=True)
class Case:
    """A copy, with all that decides about it.

    Attributes:
        copy: As last known.
        enrolled: Its credential.
        target: What it means to the credential; None for the store.
        versions: Every version of the credential.
        rotation: The one that has not ended.
        wanted: What readers should get; None for nothing.
    """

    copy: Copy
    enrolled: Enrolled
    target: Target | None
    versions: Sequence[Version]
    rotation: Rotation | None
    wanted: UUID | None

    @property
    def credential(self) -> Credential:
        """Whose copy it is."""
        return self.enrolled.credential

    @property
    def required(self) -> bool:
        """Whether a rotation answers for it."""
        return self.target is None or self.target.required

    @property
    def over(self) -> bool:
        """Whether the credential's last secret is gone."""
        return self.enrolled.status is CredentialStatus.REVOKED

    @property
    def left_alone(self) -> bool:
        """Whether a rotation is just about to write it."""
        moving = self.rotation is not None and self.rotation.state not in _AT_REST
        return self.required and moving

    @property
    def drift(self) -> Drift:
        """What is done when it has changed; about its store a person decides."""
        return self.target.drift if self.target else Drift.REPORT

    @property
    def dies(self) -> datetime | None:
        """When what readers should get dies by itself, if that is known."""
        return next((one.expires_at for one in self.versions if one.id == self.wanted), None)

    @property
    def fingerprints(self) -> dict[UUID, str]:
        """Of every version whose value was ever in hand."""
        return {one.id: one.fingerprint for one in self.versions if one.fingerprint}


@dataclass(frozen=True, slots=True)
class Means:
    """What a keeper works with.

    Attributes:
        ledger: The state database.
        book: What is known of each copy.
        rotations: Who moves rotations.
        clock: Time.
        jitter: Gives 0 to 1.
        fingerprinter: Tells equal values.
        actor: Who acts, for the audit chain.
    """

    ledger: Ledger
    book: Book
    rotations: Rotations
    clock: Clock
    jitter: Callable[[], float]
    fingerprinter: Fingerprinter
    actor: str


class Keeper:
    """Looks after copies. Thread-safe; one per process.

    Args:
        means: What it works with.
        outside: The open sessions.
        every: How often each copy is looked at.
    """

    def __init__(self, means: Means, outside: Outside, every: timedelta) -> None:
        self._ledger, self._book, self._rotations = means.ledger, means.book, means.rotations
        self._clock, self._jitter, self._actor = means.clock, means.jitter, means.actor
        self._fingerprinter = means.fingerprinter
        self._teller = Teller(means.ledger, means.clock, means.actor)
        self.adopt(outside, every)

    def adopt(self, outside: Outside, every: timedelta) -> None:
        """Take new sessions into use."""
        self._eyes = Eyes(outside.backends, outside.sinks, self._fingerprinter)
        self._pen = Pen(outside, self._fingerprinter)
        self._every = every

    def claim(self, limit: int) -> Sequence[Copy]:
        """Copies whose turn it is; each must be tended.

        Raises:
            StateUnavailable: The state database does not answer.
        """
        return self._book.claim(self._clock.now(), limit, HOLD)

    def claim_of(self, name: Name) -> Sequence[Copy]:
        """Every copy of a credential that nobody else is at; each must be tended.

        Raises:
            StateUnavailable: The state database does not answer.
        """
        return self._book.claim_of(name, self._clock.now(), HOLD)

    def tend(self, copy: Copy, care: Care = ORDINARY) -> Copy:
        """Look at one claimed copy, do what follows, write down how it is, and let it go.

        Raises:
            StateError: The state database does not take it; the claim runs out by itself.
        """
        try:
            case = self._case(copy)
        except UnknownCredential:
            self._book.forget(copy)
            return copy
        try:
            if case.copy.place not in case.credential.places:
                self._book.forget(copy)  # declared no more
                return copy
            found, after = self._cared(case, care)
        except LeaseHeld:
            found, after = replace(copy, checked_at=self._clock.now()), SOON
        except StateError:
            raise
        except CredmgrError as error:
            found, after = self._failed(case, error)
        if case.over and found.version is None:
            self._book.forget(copy)
            return found
        self._teller.tell(case.credential, case.target, copy, found)
        self._book.write(found, next_look=self._clock.now() + after)
        if Condition.DRIFTED in (copy.condition, found.condition):
            self._observe(copy.credential)
        return found

    def _observe(self, name: Name) -> None:
        """Let the policy's rules know which copies have drifted."""
        drifted = [c.place for c in self._book.of(name) if c.condition is Condition.DRIFTED]
        self._ledger.observe(name, Topic.DRIFTED, [str(place) for place in drifted])

    def _case(self, copy: Copy) -> Case:
        enrolled = self._ledger.enrolled(copy.credential)
        versions = self._ledger.versions(copy.credential)
        rotation = self._ledger.open_rotation(copy.credential)
        target = enrolled.credential.target(copy.place)
        wanted = _wanted(versions, rotation)
        return Case(copy, enrolled, target, versions, rotation, wanted)

    def _cared(self, case: Case, care: Care) -> tuple[Copy, timedelta]:
        if case.over:
            return self._removed(case, care), self._every
        if case.left_alone or case.wanted is None:
            again = SOON if case.left_alone else self._every
            return replace(case.copy, checked_at=self._clock.now()), again
        seen = self._eyes.look(case.copy, case.fingerprints, deep=care.deep)
        verdict, why = judged(case.copy, seen, case.wanted, {one.id for one in case.versions})
        if verdict is Verdict.GOOD:
            return self._good(case, seen.token, care), self._spread()
        if not care.writes:
            condition = Condition.BEHIND if verdict is Verdict.BRING else Condition.DRIFTED
            return self._now(case.copy, condition, why), timedelta()
        if verdict is Verdict.DRIFTED:
            return self._drifted(case, why, care), self._spread()
        self._bring(case)
        return self._good(case, "", care), self._spread()

    def _good(self, case: Case, token: str, care: Care) -> Copy:
        settled = case.rotation is None and not case.required
        if care.writes and (token != case.copy.token or not token):
            self._pen.date(case.copy.place, self._required(case), case.dies)
            if settled:
                self._pen.tidy(case.copy.place)
        found = self._now(case.copy, Condition.CURRENT, "")
        return replace(found, version=case.wanted, token=token, failures=0)

    def _bring(self, case: Case) -> None:
        place, version = case.copy.place, self._required(case)
        with self._held(case):
            value = self._pen.value(case.credential, version, case.fingerprints, place)
            self._pen.write(place, value, version)
        self._note("copy.written", case)
        _log.info("copy written", credential=str(case.credential.name), place=str(place))

    def _drifted(self, case: Case, why: str, care: Care) -> Copy:
        copy, now = case.copy, self._clock.now()
        recent = copy.repaired_at is not None and now - copy.repaired_at < ONE_INCIDENT
        drift = Drift.REPAIR if care.repairs else case.drift
        if drift is Drift.REPORT:
            return self._now(copy, Condition.DRIFTED, why)
        if drift is Drift.IMPORT:
            return self._imported(case, why)
        if recent and not care.repairs:
            return self._now(copy, Condition.DRIFTED, f"{why}, again after it was repaired")
        self._mend(case)
        fresh = self._now(copy, Condition.CURRENT, "")
        repairs = copy.repairs + 1 if recent else 1
        return replace(fresh, version=case.wanted, token="", repairs=repairs, repaired_at=now)

    def _mend(self, case: Case) -> None:
        place, version = case.copy.place, self._required(case)
        with self._held(case):
            value = self._pen.value(case.credential, version, case.fingerprints, place)
            self._pen.mend(place, value, version)
            self._pen.date(place, version, case.dies)
        self._note("copy.repaired", case)
        _log.info("copy repaired", credential=str(case.credential.name), place=str(place))

    def _imported(self, case: Case, why: str) -> Copy:
        """Take what is there for the new secret; a rotation proves it and brings it everywhere."""
        name = case.credential.name
        try:
            value = self._pen.salvage(case.copy.place)
            self._rotations.require_fit(name, value)
            self._mend(case)  # a rotation begins only where every copy shows the old secret
            self._rotations.take_over(name, value)
        except (LeaseHeld, StateError):
            raise
        except CredmgrError as error:
            text = f"{why}; it cannot be imported: {error.message}"
            return self._now(case.copy, Condition.DRIFTED, text)
        self._note("copy.imported", case)
        return self._now(case.copy, Condition.BEHIND, "what it holds becomes the new secret")

    def _removed(self, case: Case, care: Care) -> Copy:
        """The credential's last secret is gone; a rotation has removed the required copies."""
        if care.writes and not case.required and case.copy.version is not None:
            self._pen.remove(case.copy.place)
            self._note("copy.removed", case)
        return replace(self._now(case.copy, Condition.UNSEEN, ""), version=None, token="")

    def _failed(self, case: Case, error: CredmgrError) -> tuple[Copy, timedelta]:
        """An error of the place: whose it is, and how long to leave it alone."""
        condition = Condition.UNREACHABLE if error.retryable else Condition.REFUSED
        reason = f"{error.message}; {error.hint}" if error.hint else error.message
        found = self._now(case.copy, condition, reason)
        failures = case.copy.failures + 1
        pause = FIRST_RETRY * (1 << min(failures - 1, 10))
        if not error.retryable:
            pause *= REFUSAL_FACTOR
        pause = min(pause, LONGEST_RETRY) * (1 + self._jitter()) / 2
        asked = getattr(error, "retry_after", None) or timedelta()
        place = str(case.copy.place)
        _log.info("copy not kept", place=place, why=error.message, failures=failures)
        return replace(found, failures=failures), max(pause, min(asked, timedelta(hours=1)))

    def _now(self, copy: Copy, condition: Condition, reason: str) -> Copy:
        now = self._clock.now()
        since = copy.since if copy.condition is condition and copy.since else now
        return replace(copy, condition=condition, reason=reason, since=since, checked_at=now)

    def _held(self, case: Case) -> AbstractContextManager[object]:
        """A rotation writes required places too, so it must not move meanwhile."""
        if not case.required:
            return nullcontext()
        return self._rotations.leased(case.credential.name)

    def _required(self, case: Case) -> UUID:
        assert case.wanted is not None  # noqa: S101 (narrows: a verdict to write needs a version)
        return case.wanted

    def _spread(self) -> timedelta:
        return self._every * (1 - self._jitter() / 10)

    def _note(self, action: str, case: Case) -> None:
        facts = {"place": str(case.copy.place), "version": str(case.wanted)}
        self._ledger.note(Event(self._actor, action, case.credential.name, facts))


def _wanted(versions: Sequence[Version], rotation: Rotation | None) -> UUID | None:
    """What readers should get now; the old secret, once a rotation is given up after promoting."""
    if rotation is not None and rotation.restored_at is not None:
        return rotation.old_version
    current = (one.id for one in versions if one.status is VersionStatus.CURRENT)
    return next(current, None)
