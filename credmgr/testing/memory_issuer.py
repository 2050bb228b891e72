"""An issuer in memory that passes `IssuerContract`; the ground truth of tests built on it."""

import secrets
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Lock
from typing import Final, Literal

from credmgr.errors import (
    IssuerError,
    IssuerRefused,
    NoFreeSlot,
    OperatorNeeded,
    ScopeRefused,
    SecretRejected,
)
from credmgr.model.clock import Clock
from credmgr.model.credential import Credential, Kind
from credmgr.model.secret import Secret
from credmgr.model.token import Token, TokenRequest
from credmgr.plugins.issuer import (
    Issued,
    IssuerClass,
    Listed,
    Proof,
    SecretStatus,
    Traits,
)

MANY_TRAITS: Final = Traits(
    issuer_class=IssuerClass.MANY,
    max_active=2,
    propagation=timedelta(0),
    lists=True,
    disables=True,
    catalogue={"cases:read": "Read cases.", "cases:write": "Change cases."},
)
MANUAL_TRAITS: Final = replace(
    MANY_TRAITS, issuer_class=IssuerClass.MANUAL, max_active=None, lists=False, disables=False
)

Method = Literal["create", "list", "disable", "revoke", "verify", "mint", "check"]


@dataclass(frozen=True, slots=True)
class Call:
    """One call that the issuer accepted and applied, whether or not its answer arrived.

    Attributes:
        at: When, by the injected clock.
        method: The method's name.
        credential: The credential's name; empty for `check`.
        secret_id: The secret that it was about; None for `list` and `check`.
    """

    at: datetime
    method: Method
    credential: str
    secret_id: str | None


@dataclass(slots=True)
class _Record:
    """One secret that was ever issued; `stopped_at` is when it was first disabled or revoked."""

    account: str
    issued: Issued
    label: str
    status: SecretStatus = SecretStatus.ACTIVE
    stopped_at: datetime | None = None

    def stop(self, status: SecretStatus, at: datetime) -> None:
        self.status = status
        self.stopped_at = self.stopped_at or at

    @property
    def listed(self) -> Listed:
        return Listed(self.issued.secret_id, self.label, self.status, self.issued.issued_at)


@dataclass(frozen=True, slots=True)
class _Fault:
    error: IssuerError
    when: Literal["before", "after"]


class MemoryIssuer:
    """An issuer whose whole world is this object. Thread-safe.

    Two credentials with one `client_id` share their secrets, as they would at a real issuer.

    Args:
        clock: Tells when a secret was made and when a change has become known everywhere.
        traits: `MANY_TRAITS`, `MANUAL_TRAITS` or a `dataclasses.replace` of one; `propagation`,
            `max_active`, `lists` and `disables` are acted upon.
        token_life: How long minted tokens live.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        traits: Traits = MANY_TRAITS,
        token_life: timedelta = timedelta(hours=1),
    ) -> None:
        self.traits = traits
        self._clock = clock
        self._token_life = token_life
        self._lock = Lock()
        self._records: dict[str, _Record] = {}
        self._calls: list[Call] = []
        self._faults: defaultdict[Method, deque[_Fault]] = defaultdict(deque)

    @property
    def calls(self) -> Sequence[Call]:
        """Every call accepted so far, oldest first."""
        with self._lock:
            return tuple(self._calls)

    def fail_next(
        self, method: Method, error: IssuerError, when: Literal["before", "after"] = "before"
    ) -> None:
        """Make the next call of `method` raise `error`; calls queue up when asked repeatedly.

        Args:
            method: Whose next call fails.
            error: What it raises.
            when: `before` leaves the call unapplied; `after` applies it and loses the answer.
        """
        with self._lock:
            self._faults[method].append(_Fault(error, when))

    def live(self, credential: Credential | None = None) -> Sequence[Listed]:
        """Every active secret, of one credential or of all, whatever `traits.lists` says."""
        with self._lock:
            return tuple(
                record.listed
                for record in self._records.values()
                if record.status is SecretStatus.ACTIVE
                and (credential is None or record.account == _account(credential))
            )

    def accepts(self, secret: Secret) -> bool:
        """Whether a login with `secret` succeeds now."""
        with self._lock:
            return self._find(secret) is not None

    def supply(self, credential: Credential, label: str = "") -> Issued:
        """Make a secret behind credmgr's back, as a person in a dashboard does.

        Raises:
            NoFreeSlot: The limit is reached for persons too.
        """
        with self._lock:
            return self._issue(credential, label)

    def withdraw(self, secret_id: str) -> None:
        """Revoke a secret behind credmgr's back, as a person in a dashboard does."""
        with self._lock:
            self._records[secret_id].stop(SecretStatus.REVOKED, self._clock.now())

    def create(self, credential: Credential, label: str) -> Issued:
        """Make a new secret that carries `label`.

        Raises:
            NoFreeSlot: `traits.max_active` is reached; disabled ones count.
            OperatorNeeded: The traits say that a person makes it.
        """
        with self._applying("create"):
            if self.traits.issuer_class is IssuerClass.MANUAL:
                raise _person(credential, f"create a secret named {label}", "import {name}")
            issued = self._issue(credential, label)
            self._log("create", credential, issued.secret_id)
            return issued

    def list(self, credential: Credential) -> Sequence[Listed]:
        """Every secret of the credential that is not revoked, oldest first."""
        with self._applying("list"):
            self._log("list", credential)
            if not self.traits.lists:
                return ()
            return tuple(record.listed for record in self._standing(credential))

    def disable(self, credential: Credential, secret_id: str) -> None:
        """Make one secret stop working; an unknown or dead one is no error.

        Raises:
            IssuerRefused: `traits.disables` is False.
        """
        with self._applying("disable"):
            if not self.traits.disables:
                raise IssuerRefused("this issuer has no way to disable a secret")
            self._stop(credential, secret_id, SecretStatus.DISABLED)
            self._log("disable", credential, secret_id)

    def revoke(self, credential: Credential, secret_id: str) -> None:
        """End one secret for good; an unknown or dead one is no error.

        Raises:
            OperatorNeeded: The traits say that a person ends it.
        """
        with self._applying("revoke"):
            if self.traits.issuer_class is IssuerClass.MANUAL:
                raise _person(credential, f"revoke the one {secret_id}", "resolve {name} --revoked")
            self._stop(credential, secret_id, SecretStatus.REVOKED)
            self._log("revoke", credential, secret_id)

    def verify(self, credential: Credential, secret: Secret) -> Proof:
        """Log in with `secret`; the proof shows the declared scopes.

        Raises:
            SecretRejected: It is unknown, stopped, not yet known everywhere, or another
                credential's.
        """
        with self._applying("verify"):
            self._login("verify", credential, secret)
            return Proof(scopes=credential.scopes)

    def mint(self, credential: Credential, secret: Secret, request: TokenRequest) -> Token:
        """Exchange the secret for a token with the scopes asked for, or else the declared ones.

        Raises:
            IssuerRefused: API keys are not exchanged.
            SecretRejected: The secret does not log in.
            ScopeRefused: More was asked for than is declared.
        """
        with self._applying("mint"):
            if credential.kind is not Kind.OAUTH_CLIENT:
                raise IssuerRefused("an API key is used as it is and not exchanged for a token")
            self._login("mint", credential, secret)
            if not request.scopes <= credential.scopes:
                raise ScopeRefused
            now = self._clock.now()
            return Token(
                value=Secret(secrets.token_urlsafe(32)),
                scopes=request.scopes or credential.scopes,
                issued_at=now,
                expires_at=now + self._token_life,
            )

    def check(self) -> None:
        """Succeed, unless told to fail."""
        with self._applying("check"):
            self._calls.append(Call(self._clock.now(), "check", "", None))

    def close(self) -> None:
        """Let go of nothing; the memory stays readable."""

    @contextmanager
    def _applying(self, method: Method) -> Iterator[None]:
        with self._lock:
            faults = self._faults[method]
            fault = faults.popleft() if faults else None
            if fault and fault.when == "before":
                raise fault.error
            yield
            if fault:
                raise fault.error

    def _issue(self, credential: Credential, label: str) -> Issued:
        limit = self.traits.max_active
        if limit is not None and len(self._standing(credential)) >= limit:
            raise NoFreeSlot
        issued = Issued(
            secret_id=f"mem-{len(self._records) + 1}",
            secret=Secret(secrets.token_urlsafe(32)),
            issued_at=self._clock.now(),
        )
        self._records[issued.secret_id] = _Record(_account(credential), issued, label)
        return issued

    def _standing(self, credential: Credential) -> Sequence[_Record]:
        account = _account(credential)
        return [
            record
            for record in self._records.values()
            if record.account == account and record.status is not SecretStatus.REVOKED
        ]

    def _stop(self, credential: Credential, secret_id: str, status: SecretStatus) -> None:
        for record in self._standing(credential):
            if record.issued.secret_id == secret_id:
                record.stop(status, self._clock.now())

    def _login(self, method: Method, credential: Credential, secret: Secret) -> None:
        record = self._find(secret)
        if record is None or record.account != _account(credential):
            raise SecretRejected
        self._log(method, credential, record.issued.secret_id)

    def _find(self, secret: Secret) -> _Record | None:
        known = self._clock.now() - self.traits.propagation
        for record in self._records.values():
            if record.issued.secret == secret:
                stopped = record.stopped_at is not None and record.stopped_at <= known
                return record if record.issued.issued_at <= known and not stopped else None
        return None

    def _log(self, method: Method, credential: Credential, secret_id: str | None = None) -> None:
        self._calls.append(Call(self._clock.now(), method, credential.name, secret_id))


def _account(credential: Credential) -> str:
    return credential.client_id or credential.name


def _person(credential: Credential, task: str, command: str) -> OperatorNeeded:
    name = credential.name
    steps = (f"For {name}: {task}.", f"Then run: credmgr {command.format(name=name)}")
    return OperatorNeeded(f"a person has to act for {name}: {task}", steps=steps)
