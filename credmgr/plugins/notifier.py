"""The interface of a notifier: one channel by which a person hears of an alert."""

from collections.abc import Iterable
from typing import Any, Protocol

from credmgr.errors import NotifierError
from credmgr.model.finding import Alert
from credmgr.plugins.backend import Mistake
from credmgr.plugins.context import PluginContext


class NotifierRefused(NotifierError):
    """The channel does not want this message; another one may be welcome."""

    code = "notifier_refused"
    retryable = False


class Notifier(Protocol):
    """An open channel. Thread-safe."""

    def deliver(self, alert: Alert) -> None:
        """Hand the alert over. At least once: `alert.id` lets the receiver drop repeats.

        One that sums up others has them as its `items`.

        Raises:
            NotifierError: It was not delivered; repeat it later.
            NotifierRefused: Nor will it be: the channel works, and does not want this message.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class NotifierFactory(Protocol):
    """Validates a notifier's options, opens channels.

    Attributes:
        options: A frozen dataclass of its options, as of a backend.
    """

    @property
    def options(self) -> type[Any]: ...  # noqa: D102

    def validate(self, options: Any) -> Iterable[Mistake]:
        """What the types alone cannot say. Touches nothing outside the process."""
        ...

    def open(self, options: Any, context: PluginContext) -> Notifier:
        """A channel; may connect lazily.

        Raises:
            ConfigError: A reference leads nowhere.
        """
        ...
