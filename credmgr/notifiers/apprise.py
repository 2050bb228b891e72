"""The notifier that reaches mail, chats and pagers through Apprise: one URL, one service.

The URL holds the service's secret, so it is a reference, and nothing that Apprise says of it (its
log, its exceptions) comes out of here.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

from credmgr.errors import ConfigError, NotifierError
from credmgr.model.finding import Alert, Severity
from credmgr.notifiers.payload import as_text, one_line
from credmgr.plugins.backend import Mistake
from credmgr.plugins.context import PluginContext, Reference
from credmgr.plugins.notifier import Notifier

if TYPE_CHECKING:
    from apprise import Apprise

_LOGGER: Final = "apprise"
_SILENT: Final = logging.CRITICAL + 1
_KINDS: Final = {
    Severity.INFO: "info",
    Severity.WARNING: "warning",
    Severity.CRITICAL: "failure",
}
_ENDED: Final = "success"


@dataclass(frozen=True, slots=True)
class AppriseOptions:
    """Options of a service that Apprise reaches.

    Attributes:
        url: Apprise's URL of the service, such as `mailto://…` or `slack://…`: a reference, since
            secrets stand in it.
    """

    url: Annotated[str, Reference()]


class AppriseNotifier:
    """One service. Thread-safe, as far as Apprise's plugin for it is."""

    def __init__(self, services: "Apprise", name: str) -> None:
        self._services, self._name = services, name

    def deliver(self, alert: Alert) -> None:
        """Hand the alert over.

        Raises:
            NotifierError: The service did not take it; Apprise does not say why. Repeat it later.
        """
        logging.getLogger(_LOGGER).setLevel(_SILENT)
        kind = _ENDED if alert.resolved else _KINDS[alert.severity]
        said: dict[str, Any] = {
            "body": as_text(alert),
            "title": one_line(_subject(alert)),
            "notify_type": kind,
            "body_format": "text",
        }
        if not self._services.notify(**said):  # which catches what the plugins of others raise
            raise NotifierError(
                f"{self._name} did not take the message",
                hint="Apprise gives no reason: look at the service, or try the URL with `apprise`",
            )

    def close(self) -> None:
        """Nothing is open."""


def _subject(alert: Alert) -> str:
    """The title with how bad it is, by which a mailbox can sort; an end says so itself."""
    return alert.title if alert.resolved else f"[{alert.severity}] {alert.title}"


class AppriseNotifierFactory:
    """Opens services through Apprise."""

    options = AppriseOptions

    def validate(self, options: AppriseOptions) -> Iterable[Mistake]:  # noqa: ARG002 (protocol)
        """What the reference leads to is seen when it is opened."""
        return ()

    def open(self, options: AppriseOptions, context: PluginContext) -> Notifier:
        """A notifier.

        Raises:
            ConfigError: Apprise is not installed, the reference leads nowhere, or to no URL.
        """
        try:
            import apprise  # noqa: PLC0415 (an extra)
        except ModuleNotFoundError as error:
            raise ConfigError(
                "the notifier apprise needs apprise", hint="pip install 'credmgr[apprise]'"
            ) from error
        logging.getLogger(_LOGGER).setLevel(_SILENT)
        asset = apprise.AppriseAsset(app_id="credmgr", app_desc="credmgr", secure_logging=True)
        for name, value in _ASSET.items():
            setattr(asset, name, value)
        url = context.references.resolve(options.url)
        service = apprise.Apprise.instantiate(url.reveal(), asset=asset, suppress_exceptions=True)
        if service is None:
            raise ConfigError(
                f"{options.url}: not a URL that Apprise knows",
                hint="one such as mailto://…; https://github.com/caronc/apprise lists them",
            )
        deadline = context.deadline.total_seconds()
        service.socket_connect_timeout = service.socket_read_timeout = deadline / 2
        service.overflow_mode = apprise.OverflowMode.TRUNCATE
        services = apprise.Apprise(asset=asset)
        services.add(service)
        return AppriseNotifier(services, one_line(str(service.service_name)))


_ASSET: Final = {"async_mode": False, "http_redirects": False, "pgp_autogen": False}
