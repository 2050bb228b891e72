"""One rotation in one pair of hands: what a step sees, answers and writes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from credmgr.model.audit import Event
from credmgr.model.clock import Clock
from credmgr.model.credential import Credential, Enrolled
from credmgr.model.finding import Alert, Severity
from credmgr.model.rotation import ENDED, Change, JournalEntry, Lease, Request, Rotation, State
from credmgr.model.secret import Fingerprinter, Secret
from credmgr.model.version import Version, VersionStatus
from credmgr.plugins.issuer import Issuer
from credmgr.rotation.due import NotDue, due
from credmgr.rotation.patience import Patience
from credmgr.rotation.ports import Copies, Ledger

AFTER_ABORT: Final = timedelta(hours=1)
"""How long an aborted rotation's credential is left alone; cert-manager's first step."""

_ALERTS: Final = "rotation/{}/"


@dataclass(frozen=True, slots=True)
class Move:
    """Go to another state.

    Attributes:
        row: The rotation with the fields that change; `state` is where it goes.
        text: What happened, for a person, one line.
        facts: Ids, fingerprints and times that prove it.
        versions: Versions to write with it.
        clears_request: Whether the operator's request was carried out.
        after: How long to stay before the state's step is taken.
    """

    row: Rotation
    text: str
    facts: Mapping[str, str] = field(default_factory=dict)
    versions: tuple[Version, ...] = ()
    clears_request: bool = False
    after: timedelta = timedelta()


@dataclass(frozen=True, slots=True)
class Wait:
    """Stay in the state and look again at `until`.

    Attributes:
        until: When.
        reason: For what, one line.
        steps: What a person is asked to do meanwhile.
        failures: Failures in a row, this one included; 0 for a wait that is no failure.
    """

    until: datetime
    reason: str
    steps: tuple[str, ...] = ()
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Supplied:
    """A secret that a person brings.

    Attributes:
        secret: The value.
        secret_id: The issuer's id for it, where it has one; None takes the label instead.
    """

    secret: Secret
    secret_id: str | None = None


@dataclass(frozen=True, slots=True)
class Tools:
    """What every rotation works with.

    Attributes:
        ledger: The state database.
        clock: Time.
        fingerprinter: Keyed hash of secrets.
        patience: Long waits that no clock jump shortens.
        actor: Who acts, for the audit chain.
        jitter: Gives fractions, evenly over 0 to 1, that spread retries.
        is_gone: Whether the process that owns a lease surely lives no more.
    """

    ledger: Ledger
    clock: Clock
    fingerprinter: Fingerprinter
    patience: Patience
    actor: str
    jitter: Callable[[], float]
    is_gone: Callable[[str], bool] = lambda _: False


@dataclass(slots=True)
class Work:
    """One rotation while this process holds its lease.

    Attributes:
        in_hand: The new value between create and stage: the only time that it is nowhere else.
        supplied: The value that a person brought, until the create has taken it.
    """

    enrolled: Enrolled
    rotation: Rotation
    lease: Lease
    issuer: Issuer
    copies: Copies
    tools: Tools
    supplied: Supplied | None = None
    in_hand: Secret | None = None
    _versions: dict[UUID, Version] | None = None

    @property
    def credential(self) -> Credential:
        """What is rotated."""
        return self.enrolled.credential

    def now(self) -> datetime:
        """The wall clock."""
        return self.tools.clock.now()

    def refresh(self) -> None:
        """Read the row again, to see what an operator asked meanwhile."""
        self.rotation = self.tools.ledger.rotation(self.rotation.id)

    def record(
        self,
        text: str,
        *,
        versions: tuple[Version, ...] = (),
        alert: tuple[Severity, str] | None = None,
        **fields: Any,
    ) -> None:
        """Write something within the state, before an effect or between two."""
        row = replace(self.rotation, **fields)
        self._write(
            Change(
                rotation=row,
                came_from=row.state,
                next_due_at=row.not_before,
                entry=self._entry(row, "recorded", text, {}),
                event=self._event("rotation.recorded", row, {"text": text}),
                versions=versions,
                alerts=() if alert is None else (self._lasting_alert(row, *alert),),
            )
        )

    def move(self, outcome: Move) -> None:
        """Write a move to another state, with what its end means for the credential."""
        row = replace(
            outcome.row,
            entered_at=self.now(),
            not_before=self.now() + outcome.after,
            failures=0,
            waiting=outcome.text if outcome.after else "",
            steps=(),
            reminded_at=None,
        )
        facts = {"from": self.rotation.state.value, **outcome.facts}
        self._write(
            Change(
                rotation=row,
                came_from=self.rotation.state,
                next_due_at=self._next_due(row, outcome.versions),
                entry=self._entry(row, "moved", outcome.text, facts),
                event=self._event("rotation.moved", row, facts),
                versions=outcome.versions,
                withdraws=_ALERTS.format(row.credential),
                alerts=self._alerts_of(row, outcome.text),
                clears_request=outcome.clears_request,
                ends_credential=row.state is State.DONE and row.retires,
            )
        )

    def wait(self, outcome: Wait) -> None:
        """Write a wait; the journal and the owner hear of it only when it is news."""
        told = self.rotation.reminded_at
        tell = bool(outcome.steps) and (told is None or self.now() - told >= timedelta(days=1))
        row = replace(
            self.rotation,
            not_before=outcome.until,
            waiting=outcome.reason,
            steps=outcome.steps,
            failures=outcome.failures,
            reminded_at=self.now() if tell else told,
        )
        news = tell or outcome.reason != self.rotation.waiting or outcome.failures > 0
        facts = {"until": outcome.until.isoformat(timespec="seconds")}
        self._write(
            Change(
                rotation=row,
                came_from=row.state,
                next_due_at=outcome.until,
                entry=self._entry(row, "waiting", outcome.reason, facts) if news else None,
                event=self._event("rotation.waiting", row, facts) if news else None,
                alerts=(self._alert(row, Severity.WARNING, outcome.reason),) if tell else (),
            )
        )

    def patience_for(self, since: datetime) -> timedelta:
        """How long to wait before asking again for something that should come soon.

        One second at first, then a quarter of the time waited so far: quick where the issuer is
        quick, polite where it is slow.
        """
        return timedelta(seconds=1) + max(self.now() - since, timedelta()) / 4

    @property
    def versions(self) -> Mapping[UUID, Version]:
        """Every version ever issued; read once, for only who holds the lease writes them."""
        if self._versions is None:
            known = self.tools.ledger.versions(self.credential.name)
            self._versions = {one.id: one for one in known}
        return self._versions

    def version(self, version: UUID | None) -> Version | None:
        """One of the credential's versions, by credmgr's id."""
        return None if version is None else self.versions.get(version)

    def _write(self, change: Change) -> None:
        self.tools.ledger.move(change, self.lease)
        if self._versions is not None:
            self._versions |= {one.id: one for one in change.versions}
        self.rotation = change.rotation
        if change.clears_request:
            self.rotation = replace(change.rotation, request=Request.NONE)

    def _next_due(self, row: Rotation, versions: tuple[Version, ...]) -> datetime | None:
        if row.state is State.OPERATOR:
            return None
        if row.state not in ENDED:
            return row.not_before
        known = {**self.versions, **{one.id: one for one in versions}}.values()
        current = next((one for one in known if one.status is VersionStatus.CURRENT), None)
        answer = due(self.enrolled, current, self.now())
        if isinstance(answer, NotDue):
            return answer.until
        return self.now() + AFTER_ABORT if row.state is State.ABORTED else self.now()

    def _entry(
        self, row: Rotation, event: str, text: str, facts: Mapping[str, str]
    ) -> JournalEntry:
        return JournalEntry(self.now(), row.id, row.state, event, text, facts)

    def _event(self, action: str, row: Rotation, facts: Mapping[str, str]) -> Event:
        where = {"rotation": str(row.id), "state": row.state.value}
        return Event(self.tools.actor, action, row.credential, {**where, **facts})

    def _alerts_of(self, row: Rotation, text: str) -> tuple[Alert, ...]:
        match row.state:
            case State.OPERATOR:
                return (self._alert(row, Severity.CRITICAL, text),)
            case State.ABORTED:
                return (self._alert(row, Severity.WARNING, text),)
            case _:
                return ()

    def _lasting_alert(self, row: Rotation, severity: Severity, text: str) -> Alert:
        """One that the rotation does not take back when it moves on."""
        key = f"orphan/{row.credential}/{row.label}"
        return replace(self._alert(row, severity, text), key=key, once=True)

    def _alert(self, row: Rotation, severity: Severity, text: str) -> Alert:
        return Alert(
            key=_ALERTS.format(row.credential) + row.state.value.lower(),
            severity=severity,
            owner=self.credential.owner,
            title=f"{row.credential}: {text}",
            body="\n".join(f"{number}. {step}" for number, step in enumerate(row.steps, 1)),
            at=self.now(),
            facts={"credential": row.credential, "rotation": str(row.id)},
            environment=self.credential.environment,
        )
