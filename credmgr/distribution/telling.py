"""What a person should know of a copy: a finding that opens once and ends when it is mended."""

from typing import Final

from credmgr.distribution.looking import where
from credmgr.distribution.ports import Ledger
from credmgr.model.audit import Event
from credmgr.model.clock import Clock
from credmgr.model.copy import Condition, Copy
from credmgr.model.credential import Credential, Target
from credmgr.model.finding import Alert, Finding, Severity

DRIFT: Final = "drift"
"""What the key of a finding begins with when a copy was changed,"""
FAILING: Final = "copy"
"""and when one cannot be kept; the credential and the place follow."""
_QUIET: Final = frozenset({Condition.CURRENT, Condition.UNSEEN})
PATIENCE: Final = 3
"""How many failures in a row are no news while a place does not answer."""


class Teller:
    """Opens and resolves the findings of copies. Thread-safe."""

    def __init__(self, ledger: Ledger, clock: Clock, actor: str) -> None:
        self._ledger, self._clock, self._actor = ledger, clock, actor

    def tell(self, credential: Credential, target: Target | None, before: Copy, now: Copy) -> None:
        """Say what changed between two looks at a copy.

        Raises:
            StateUnavailable: The state database does not take it.
        """
        kind, was = _kind(now), _kind(before)
        if now.condition is Condition.CURRENT and before.condition not in _QUIET:
            self._end(DRIFT, now)
            self._end(FAILING, now)
        elif kind == DRIFT and was == FAILING:
            self._end(FAILING, now)
        if kind is not None and (was != kind or before.reason != now.reason):
            self._open(kind, credential, target, now)
        if now.repaired_at != before.repaired_at:
            self._repaired(credential, now)

    def _end(self, kind: str, copy: Copy) -> None:
        self._ledger.resolve_finding(_key(kind, copy), self._actor, self._clock.now())

    def _repaired(self, credential: Credential, copy: Copy) -> None:
        """Nothing is left to do, but somebody did it: told once, without a finding."""
        text = f"{credential.name}: the copy in {copy.place} was changed, and is repaired"
        self._queue(f"drift-repaired/{credential.name}/{where(copy.place)}", text, credential, copy)

    def _open(self, kind: str, credential: Credential, target: Target | None, copy: Copy) -> None:
        severe = target is None or target.required or kind == DRIFT
        severity = Severity.CRITICAL if severe else Severity.WARNING
        text = f"{credential.name}: the copy in {copy.place} is {_told(copy)}"
        finding = Finding(_key(kind, copy), severity, text, self._clock.now())
        if self._ledger.open_finding(finding, self._actor):
            self._queue(finding.key, text, credential, copy, severity)

    def _queue(
        self,
        key: str,
        text: str,
        credential: Credential,
        copy: Copy,
        severity: Severity | None = None,
    ) -> None:
        alert = Alert(
            key=key,
            severity=severity or Severity.WARNING,
            owner=credential.owner,
            title=text,
            body=f"{text}.\n{_advice(copy, credential)}",
            at=self._clock.now(),
            facts={"credential": credential.name, "place": str(copy.place)},
            environment=credential.environment,
            once=severity is None,
        )
        facts = {"place": str(copy.place), "condition": copy.condition.value}
        event = Event(self._actor, "copy.told", credential.name, facts)
        self._ledger.queue_alerts([alert], event)


def _key(kind: str, copy: Copy) -> str:
    return f"{kind}/{copy.credential}/{where(copy.place)}"


def _kind(copy: Copy) -> str | None:
    """Which finding a copy is worth; None for none."""
    match copy.condition:
        case Condition.DRIFTED:
            return DRIFT
        case Condition.REFUSED:
            return FAILING
        case Condition.UNREACHABLE if copy.failures >= PATIENCE:
            return FAILING
        case _:
            return None


def _told(copy: Copy) -> str:
    if copy.condition is Condition.DRIFTED:
        return f"not what credmgr wrote: {copy.reason}"
    return f"{copy.condition}: {copy.reason}"


def _advice(copy: Copy, credential: Credential) -> str:
    match copy.condition:
        case Condition.CURRENT:
            return "Who changed it? The store's own audit log knows."
        case Condition.DRIFTED:
            return (
                f"`credmgr drift {credential.name}` shows it; with `--repair` it is written anew."
                " Who changed it? The store's own audit log knows."
            )
        case _:
            return (
                f"It is tried again by itself; `credmgr distribute {credential.name}` tries it"
                " now, and `credmgr doctor` says what to mend."
            )
