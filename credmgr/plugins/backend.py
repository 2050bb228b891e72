"""The interface of a secrets backend: a factory, and the session that it opens."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable
from uuid import UUID

from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.model.version import Stage
from credmgr.plugins.context import PluginContext


class Capability(StrEnum):
    """What a backend can do beyond the minimum; declared, never discovered by failure."""

    CAS = "cas"
    """`promote` compares and sets in one step; without it a quarantine comes before destruction."""
    VERSIONS = "versions"
    """The value before the current one stays readable until discarded, so that an aborted rotation
    can go back. A store must have it."""
    SOFT_DELETE = "soft-delete"
    """`delete` can be undone for a time."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a backend can hold; checked when the manifest loads, before anything is issued.

    Attributes:
        value_bytes: Longest value, UTF-8.
        name_length: Longest name, in the backend's own spelling.
    """

    value_bytes: int
    name_length: int


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing wrong in a plugin's options.

    Attributes:
        option: Dotted path of the option; empty means the options as a whole.
        what: One sentence.
        fix: The likely remedy, or None.
    """

    option: str
    what: str
    fix: str | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """A copy as a backend holds it.

    Attributes:
        version: credmgr's id of the version.
        stage: Which copy it is.
        secret: The value.
    """

    version: UUID
    stage: Stage
    secret: Secret


@dataclass(frozen=True, slots=True)
class HeldVersion:
    """The same without the value.

    Attributes:
        version: credmgr's id of the version.
        stage: Which copy it is; None for one that is kept but reachable under no stage.
        written_at: When it was written, by the backend's clock.
    """

    version: UUID
    stage: Stage | None
    written_at: datetime


class SecretBackend(Protocol):
    """An open session with a store of secrets. Thread-safe.

    A consumer that reads the store natively under `name` always sees `current`; staging never
    shows. Every object that it writes carries credmgr's mark; an object without it is never changed
    or deleted (`NotOurs`). Besides what each method lists, all of them may raise
    `BackendUnavailable` (repeat it) and `AccessDenied` (do not).
    """

    def read(self, name: Name, stage: Stage = Stage.CURRENT) -> Held:
        """The copy at `stage`. May be repeated.

        Raises:
            SecretNotFound: Nothing is at that stage.
            CorruptSecret: What is there does not authenticate.
            NotOurs: What is there was not written by credmgr.
        """
        ...

    def stage(self, name: Name, secret: Secret, version: UUID) -> None:
        """Write `secret` as `next`. Repeating it with the same version and value changes nothing.

        A `next` of another version is replaced.

        Raises:
            Conflict: `version` exists already with another value.
            LimitExceeded: The value or the name is too long.
            NotOurs: The name holds something that credmgr did not write.
        """
        ...

    def promote(self, name: Name, version: UUID, expect: UUID | None) -> None:
        """Make `version` (now `next` or `previous`) `current`, if `current` is `expect`.

        What was current becomes `previous`; None expects that nothing is current. When `version` is
        current already, nothing changes and no error is raised; so it may be repeated.

        Raises:
            Conflict: `current` is neither `expect` nor `version`.
            SecretNotFound: `version` is neither `next` nor `previous`.
            NotOurs: The name holds something that credmgr did not write.
        """
        ...

    def discard(self, name: Name, version: UUID) -> None:
        """Destroy the value of a version that is not current. An absent one is no error.

        Raises:
            Conflict: `version` is current.
            NotOurs: The name holds something that credmgr did not write.
        """
        ...

    def versions(self, name: Name) -> Sequence[HeldVersion]:
        """Every version held, newest first; empty when the name is unknown. May be repeated."""
        ...

    def delete(self, name: Name) -> None:
        """Remove the name with all of its versions. An absent one is no error.

        Raises:
            NotOurs: The name holds something that credmgr did not write.
        """
        ...

    def check(self) -> None:
        """Prove that the session works: signed in, reachable, permitted. May be repeated.

        Raises:
            BackendError: It does not; the message says what to mend.
        """
        ...

    def close(self) -> None:
        """Let go of connections and files."""
        ...


@dataclass(frozen=True, slots=True)
class Permission:
    """One thing that a session may do at its store, or may not.

    Attributes:
        what: In the store's own words.
        needed: Whether credmgr cannot work without it; otherwise it is more than credmgr needs.
        granted: Whether it is granted; None where that cannot be known without changing something.
        fix: What to do when it is not as it should be.
    """

    what: str
    needed: bool
    granted: bool | None
    fix: str = ""


@runtime_checkable
class Permissions(Protocol):
    """A session that can tell what it may do. Optional."""

    def permissions(self, names: Sequence[Name]) -> Sequence[Permission]:
        """What is needed for these names, and what is granted beyond; changes nothing of theirs.

        Raises:
            BackendError: The store cannot be asked at all.
        """
        ...


@runtime_checkable
class Timed(Protocol):
    """A session that knows its server's clock. Optional."""

    @property
    def ahead(self) -> timedelta | None:
        """How far that was ahead of ours at the last answer; None before the first."""
        ...


@runtime_checkable
class Dated(Protocol):
    """A session whose store can say when what it holds dies by itself. Optional."""

    def date(self, name: Name, version: UUID, expires_at: datetime) -> None:
        """Note beside the current copy when it dies, if it is `version`. May be repeated."""
        ...


@runtime_checkable
class Glancing(Protocol):
    """A session that tells, without reading a value, whether a copy was touched. Optional."""

    def glance(self, name: Name) -> str:
        """A text that is another one whenever what readers see there has changed.

        From one call for metadata, so that it is cheap and leaves no trace of a read secret in an
        audit log. May be repeated.

        Raises:
            NotOurs: What is there was not written by credmgr.
        """
        ...


@runtime_checkable
class Pointing(Protocol):
    """A session that tells which version readers see at less cost than `versions`. Optional."""

    def current(self, name: Name) -> UUID | None:
        """The version that `versions` calls current; None where there is none. May be repeated.

        Raises:
            NotOurs: What is there was not written by credmgr.
        """
        ...


@runtime_checkable
class Mending(Protocol):
    """A session that can tell and undo what somebody wrote over one of its copies. Optional.

    Without it, what is there counts as any other version: it is staged and promoted over.
    """

    def salvage(self, name: Name) -> Secret:
        """The value that readers see now, whoever wrote it. May be repeated.

        Raises:
            SecretNotFound: They see none.
            CorruptSecret: What they see is no value of the form that is written here.
        """
        ...

    def mend(self, name: Name, secret: Secret, version: UUID) -> None:
        """Make `secret` what readers see, over what somebody wrote since. May be repeated.

        Raises:
            NotOurs: The name as a whole is somebody else's, not the last change only.
        """
        ...


class BackendFactory(Protocol):
    """Validates a backend's options, declares what it can do, opens sessions.

    Attributes:
        options: A frozen dataclass with a type and default for each option; the manifest and its
            JSON Schema are bound to it. Fields that hold a secret are references (`file:…`).
        capabilities: What its sessions can do beyond the minimum.
        limits: What its sessions can hold.
    """

    @property
    def options(self) -> type[Any]: ...  # noqa: D102
    @property
    def capabilities(self) -> frozenset[Capability]: ...  # noqa: D102
    @property
    def limits(self) -> Limits: ...  # noqa: D102

    def validate(self, options: Any) -> Iterable[Mistake]:
        """What the types alone cannot say. Touches nothing outside the process."""
        ...

    def open(self, options: Any, context: PluginContext) -> SecretBackend:
        """A session; may connect lazily.

        Raises:
            ConfigError: A reference leads nowhere.
            BackendError: The store cannot be used.
        """
        ...


@runtime_checkable
class Spelling(Protocol):
    """A factory whose backend does not take names as they are written. Optional."""

    def spelled(self, options: Any, name: Name) -> str:
        """The longest name under which anything of `name` is kept there."""
        ...


def spelled(factory: object, options: Any, name: Name) -> str:
    """A name as a backend spells it, which `Limits.name_length` bounds."""
    return factory.spelled(options, name) if isinstance(factory, Spelling) else name
