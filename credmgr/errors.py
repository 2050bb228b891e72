"""Every error that credmgr raises, in one tree.

CredmgrError
├── UsageError                  the operator asked for something that cannot be done
│   ├── InvalidName
│   ├── UnknownCredential
│   ├── UnknownConsumer
│   ├── RotationOpen            one rotation at a time
│   ├── NotAllowedNow           the state of the thing forbids it
│   └── SecretInArguments
├── ConfigError                 settings, manifest or plugin options are wrong
│   ├── ManifestError           carries every problem with its place
│   └── PluginError             a plugin is missing, broken or claimed twice
├── KeyringError
│   ├── MasterKeyMissing
│   └── MasterKeyWrong
├── StateError                  the state database
│   ├── StateUnavailable  (r)   locked, full, unreachable
│   ├── SchemaTooNew
│   ├── LeaseLost               somebody else owns the rotation now
│   ├── LeaseHeld         (r)   somebody else owns it; try later
│   └── AuditBroken             the chain does not verify
├── BackendError
│   ├── SecretNotFound
│   ├── Conflict                compare-and-set was refused
│   ├── NotOurs                 the object does not carry our mark
│   ├── LimitExceeded
│   ├── AccessDenied
│   ├── CorruptSecret           wrong key, swapped or damaged
│   └── BackendUnavailable (r)
├── IssuerError
│   ├── IssuerRefused           the issuer said no; by plugins/issuer.py, AudienceRefused
│   │   ├── SecretRejected      this secret does not (or no longer) log in
│   │   ├── ScopeRefused
│   │   └── NoFreeSlot
│   ├── InvalidAnswer           an answer that is not what the protocol says
│   ├── OutcomeUnknown    (r)   the call may have been applied
│   ├── OperatorNeeded          a person has to act; carries the task
│   └── IssuerUnavailable (r)   carries retry_after
├── NotifierError         (r)   by plugins/notifier.py, NotifierRefused: this message is not wanted
└── BrokerError                 a consumer asked for a token or a secret
    ├── NotGranted              it may not, or there is none: the two look alike
    ├── ScopeNotGranted         wider than it may
    ├── Ambiguous               several credentials would do
    └── TokenUnavailable  (r)   carries retry_after

(r) marks `retryable`: the same call may succeed later with nothing changed. No message ever
contains a secret value; whoever raises passes names, ids and fingerprints only. The docstring of a
class is its default message.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar


class CredmgrError(Exception):
    """Something went wrong in credmgr."""

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str | None = None, *, hint: str | None = None) -> None:
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        self.hint = hint
        super().__init__(self.message)


class _Unavailable(CredmgrError):
    """Somebody outside does not answer.

    Attributes:
        retry_after: How long they asked to be left alone, or None.
    """

    retryable = True

    def __init__(
        self,
        message: str | None = None,
        *,
        hint: str | None = None,
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class UsageError(CredmgrError):
    """This cannot be done."""

    code = "usage"


class InvalidName(UsageError):
    """The name is outside the grammar."""

    code = "invalid_name"


class UnknownCredential(UsageError):
    """No credential has this name."""

    code = "unknown_credential"


class UnknownConsumer(UsageError):
    """No consumer has this name."""

    code = "unknown_consumer"


class RotationOpen(UsageError):
    """A rotation of this credential is already open."""

    code = "rotation_open"


class NotAllowedNow(UsageError):
    """The state of the credential does not allow this now."""

    code = "not_allowed_now"


class SecretInArguments(UsageError):
    """A secret was given as an argument, where every process on the machine can read it."""

    code = "secret_in_arguments"


class ConfigError(CredmgrError):
    """The configuration is wrong."""

    code = "config"


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a manifest: where, what, and how to mend it.

    Attributes:
        file: Path as the user gave it.
        line: 1-based; 0 when the problem is about the file as a whole.
        column: 1-based; 0 likewise.
        what: One sentence without a full stop.
        fix: The likely remedy, or None.
    """

    file: str
    line: int
    column: int
    what: str
    fix: str | None = None

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.what}" + (f"; {self.fix}" if self.fix else "")


class ManifestError(ConfigError):
    """The manifest is wrong."""

    code = "manifest"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda p: (p.file, p.line, p.column)))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class PluginError(ConfigError):
    """A plugin cannot be used."""

    code = "plugin"


class KeyringError(CredmgrError):
    """The keyring cannot be used."""

    code = "keyring"


class MasterKeyMissing(KeyringError):
    """The master key is missing."""

    code = "master_key_missing"


class MasterKeyWrong(KeyringError):
    """The master key does not open this keyring."""

    code = "master_key_wrong"


class StateError(CredmgrError):
    """The state database cannot be used."""

    code = "state"


class StateUnavailable(StateError):
    """The state database is locked, full or unreachable."""

    code = "state_unavailable"
    retryable = True


class SchemaTooNew(StateError):
    """The state database was written by a newer credmgr."""

    code = "schema_too_new"


class LeaseLost(StateError):
    """Another process has taken over; what this one still meant to write was refused."""

    code = "lease_lost"


class LeaseHeld(StateError):
    """Another process is working on this credential.

    Attributes:
        owner: That process, as in its lease.
        epoch: The lease's number.
    """

    code = "lease_held"
    retryable = True

    def __init__(self, message: str | None = None, *, owner: str = "", epoch: int = 0) -> None:
        super().__init__(message)
        self.owner = owner
        self.epoch = epoch


class AuditBroken(StateError):
    """The audit chain does not verify."""

    code = "audit_broken"


class BackendError(CredmgrError):
    """The backend failed."""

    code = "backend"


class SecretNotFound(BackendError):
    """The backend holds no such secret."""

    code = "secret_not_found"


class Conflict(BackendError):
    """The backend holds another version than expected."""

    code = "conflict"


class NotOurs(BackendError):
    """The object does not carry credmgr's mark, so it is left alone."""

    code = "not_ours"


class LimitExceeded(BackendError):
    """The backend cannot hold a value or name of this size."""

    code = "limit_exceeded"


class AccessDenied(BackendError):
    """The backend denied access."""

    code = "access_denied"


class CorruptSecret(BackendError):
    """The stored value does not authenticate: damaged, moved, or sealed under another key."""

    code = "corrupt_secret"


class BackendUnavailable(_Unavailable, BackendError):
    """The backend does not answer."""

    code = "backend_unavailable"


class IssuerError(CredmgrError):
    """The issuer failed."""

    code = "issuer"


class IssuerRefused(IssuerError):
    """The issuer refused."""

    code = "issuer_refused"


class SecretRejected(IssuerRefused):
    """The issuer does not accept this secret."""

    code = "secret_rejected"


class ScopeRefused(IssuerRefused):
    """The issuer does not grant these scopes."""

    code = "scope_refused"


class NoFreeSlot(IssuerRefused):
    """The issuer allows no further secret for this credential."""

    code = "no_free_slot"


class InvalidAnswer(IssuerError):
    """The issuer's answer is not what its protocol says."""

    code = "invalid_answer"


class OutcomeUnknown(IssuerError):
    """The issuer did not answer; the call may have been applied."""

    code = "outcome_unknown"
    retryable = True


class OperatorNeeded(IssuerError):
    """A person has to act.

    Attributes:
        steps: What to do, in order, as sentences.
    """

    code = "operator_needed"

    def __init__(self, message: str | None = None, *, steps: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.steps = tuple(steps)


class IssuerUnavailable(_Unavailable, IssuerError):
    """The issuer does not answer."""

    code = "issuer_unavailable"


class NotifierError(CredmgrError):
    """The alert was not delivered."""

    code = "notifier"
    retryable = True


class BrokerError(CredmgrError):
    """The broker has nothing to give."""

    code = "broker"


class NotGranted(BrokerError):
    """Nothing of this name may be read."""

    code = "not_granted"


class ScopeNotGranted(BrokerError):
    """A scope that was asked for may not be had."""

    code = "scope_not_granted"


class Ambiguous(BrokerError):
    """More than one credential fits; name the one that is meant."""

    code = "ambiguous"


class TokenUnavailable(BrokerError):
    """No token can be had now.

    Attributes:
        retry_after: When asking again may help; never zero.
    """

    code = "token_unavailable"
    retryable = True

    def __init__(self, message: str | None = None, *, retry_after: timedelta) -> None:
        super().__init__(message)
        self.retry_after = retry_after
