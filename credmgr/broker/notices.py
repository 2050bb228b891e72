"""What a person should know of tokens that were not had: findings, told once and taken back."""

from collections.abc import Mapping
from threading import Lock
from typing import Final

from credmgr.broker.ports import Ledger
from credmgr.errors import CredmgrError, InvalidAnswer, ScopeRefused, SecretRejected
from credmgr.model.audit import Event
from credmgr.model.clock import Clock
from credmgr.model.credential import Credential
from credmgr.model.finding import Alert, Finding, Severity
from credmgr.model.names import Name

PREFIX: Final = "token/"
"""What the keys of these findings begin with; a credential's name follows."""
_SEVERITIES: Final[Mapping[type[CredmgrError], Severity]] = {
    SecretRejected: Severity.CRITICAL,
    InvalidAnswer: Severity.WARNING,
    ScopeRefused: Severity.WARNING,
}


class Notices:
    """Collects in the threads that mint, writes when a timer asks. Thread-safe."""

    def __init__(self, ledger: Ledger, clock: Clock, actor: str) -> None:
        self._ledger, self._clock, self._actor = ledger, clock, actor
        self._lock = Lock()
        self._open: set[str] | None = None
        self._waiting: dict[str, tuple[Credential, CredmgrError] | None] = {}

    def refused(self, credential: Credential, error: CredmgrError) -> None:
        """No token came, for a reason that does not pass by itself."""
        if type(error) in _SEVERITIES:
            with self._lock:
                self._waiting[_key(credential.name)] = (credential, error)

    def fine(self, name: Name) -> None:
        """A token came."""
        with self._lock:
            self._waiting[_key(name)] = None

    def write(self) -> None:
        """Open and resolve findings.

        Raises:
            StateUnavailable: The state database does not take it now; what is left waits.
        """
        if self._open is None:
            found = self._ledger.findings(open_only=True)
            self._open = {one.key for one in found if one.key.startswith(PREFIX)}
        with self._lock:
            waiting = dict(self._waiting)
        for key, what in waiting.items():
            if what is not None:
                self._tell(key, *what)
                self._open.add(key)
            elif key in self._open:
                self._ledger.resolve_finding(key, self._actor, self._clock.now())
                self._open.discard(key)
            with self._lock:
                if self._waiting.get(key) is what:
                    del self._waiting[key]

    def _tell(self, key: str, credential: Credential, error: CredmgrError) -> None:
        now, name = self._clock.now(), credential.name
        text = f"{name}: no token: {error.message}"
        finding = Finding(key, _SEVERITIES[type(error)], text, now)
        if self._ledger.open_finding(finding, self._actor):
            body = (
                f"{text}\nConsumers get none until it is mended; `credmgr show {name}` says more."
            )
            alert = Alert(
                key=key,
                severity=finding.severity,
                owner=credential.owner,
                title=text,
                body=body,
                at=now,
                facts={"credential": name, "reason": error.code},
                environment=credential.environment,
            )
            event = Event(self._actor, "token.refused", name, {"reason": error.code})
            self._ledger.queue_alerts([alert], event)


def _key(name: Name) -> str:
    return f"{PREFIX}{name}"
