"""The interface of a notifier: one channel by which a person hears of an alert."""

from collections.abc import Iterable
from typing import Any, Protocol

from credmgr.model.finding import Alert
from credmgr.plugins.backend import Mistake
from credmgr.plugins.context import PluginContext


class Notifier(Protocol):
    """An open channel. Thread-safe."""

    def deliver(self, alert: Alert) -> None:
        """Hand the alert over. At least once: `alert.key` lets the receiver drop repeats.

        Raises:
            NotifierError: It was not delivered; repeat it later.
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
