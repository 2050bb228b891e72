"""The interface of a sink: a place that copies are written to and never read from."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.plugins.backend import Limits, Mistake
from credmgr.plugins.context import PluginContext


@dataclass(frozen=True, slots=True)
class SinkState:
    """What a sink knows of a copy without revealing it.

    Attributes:
        version: The version that was written there; None when nothing of ours is there.
        intact: Whether what is there is still what was written; False when it was changed or
            deleted behind credmgr's back, and where there is no version.
    """

    version: UUID | None
    intact: bool


class Sink(Protocol):
    """An open session with a place that is written only. Thread-safe.

    A sink knows one copy under each name: the current one. Nothing is staged in it; a rotation
    writes it when the new version is promoted. What does not carry credmgr's mark is never changed
    or deleted (`NotOurs`). Besides what each method lists, all of them may raise
    `BackendUnavailable` (repeat it), `AccessDenied` and `ConfigError` (do not).
    """

    def write(self, name: Name, secret: Secret, version: UUID) -> None:
        """Make `secret` what readers find: they see the old copy or the new one, never a part.

        What is there already is not written again, so it may be repeated.

        Raises:
            LimitExceeded: The value or the name does not fit.
            NotOurs: The name holds something that credmgr did not write.
        """
        ...

    def inspect(self, name: Name) -> SinkState | None:
        """What is there now; None from a sink that cannot look back. May be repeated."""
        ...

    def remove(self, name: Name) -> None:
        """Take the copy away, a changed one too. An absent one is no error.

        Raises:
            NotOurs: The name holds something that credmgr did not write.
        """
        ...

    def check(self) -> None:
        """Prove that writing will work: reachable, permitted. May be repeated.

        Raises:
            BackendError: It will not; the message says what to mend.
        """
        ...

    def close(self) -> None:
        """Let go of connections and files."""
        ...


class SinkFactory(Protocol):
    """Validates a sink's options, opens sessions.

    Attributes:
        options: A frozen dataclass of its options, as of a backend.
        limits: What its sessions can hold.
    """

    @property
    def options(self) -> type[Any]: ...  # noqa: D102
    @property
    def limits(self) -> Limits: ...  # noqa: D102

    def validate(self, options: Any) -> Iterable[Mistake]:
        """What the types alone cannot say. Touches nothing outside the process."""
        ...

    def open(self, options: Any, context: PluginContext) -> Sink:
        """A session; may connect lazily.

        Raises:
            ConfigError: A reference leads nowhere.
            BackendError: The place cannot be used.
        """
        ...
