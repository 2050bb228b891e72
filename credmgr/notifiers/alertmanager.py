"""The notifier that hands alerts to a Prometheus Alertmanager (API v2)."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

from credmgr.model.clock import Clock
from credmgr.model.finding import Alert, Severity
from credmgr.model.secret import Secret
from credmgr.notifiers.addresses import network_mistakes
from credmgr.notifiers.payload import cut, one_line
from credmgr.notifiers.posting import Post
from credmgr.plugins.backend import Mistake
from credmgr.plugins.context import PluginContext, Reference
from credmgr.plugins.notifier import Notifier
from credmgr.plugins.urls import url_mistakes

_PATH: Final = "/api/v2/alerts"


@dataclass(frozen=True, slots=True)
class AlertmanagerOptions:
    """Options of an Alertmanager.

    Attributes:
        url: Its address, without `/api/v2/alerts`; https, unless it is on this machine.
        token: A bearer for a proxy before it: a reference.
        keep: How long it goes on with an alert of which it hears no more; above `remind_every`.
        networks: Networks besides the public internet in which the host may be: 10.1.0.0/16.
        ca_bundle: PEM file of the authorities to trust instead of the system's.
    """

    url: str
    token: Annotated[str | None, Reference()] = None
    keep: timedelta = timedelta(hours=25)
    networks: tuple[str, ...] = ()
    ca_bundle: Path | None = None


class AlertmanagerNotifier:
    """One POST per message, each of its alerts as one of Alertmanager's. Thread-safe."""

    def __init__(self, post: Post, token: Secret | None, keep: timedelta, clock: Clock) -> None:
        self._post, self._token, self._keep, self._clock = post, token, keep, clock

    def deliver(self, alert: Alert) -> None:
        """Post what the alert tells.

        Raises:
            NotifierError: It did not arrive, or perhaps; repeat it later.
            NotifierRefused: Alertmanager does not want it.
        """
        now = self._clock.now()
        told = [
            one for item in alert.items or (alert,) for one in self._entries(item, alert.id, now)
        ]
        headers = {}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token.reveal()}"
        self._post.send(json.dumps(told).encode(), headers)

    def close(self) -> None:
        """Nothing is open."""

    def _entries(self, alert: Alert, identity: str, now: datetime) -> Iterator[Mapping[str, Any]]:
        """The alert, and the end of what it may have been under another severity.

        Labels make an alert of Alertmanager's what it is, and severity is one by which it routes.
        """
        for severity in Severity:
            ends = alert.resolved or severity is not alert.severity
            yield {
                "labels": _labels(alert, severity),
                "annotations": {
                    "summary": one_line(alert.title),
                    "description": cut(alert.body).encode(errors="replace").decode(),
                    "message": identity,
                },
                "startsAt": min(alert.at, now).isoformat(),
                "endsAt": (now if ends else now + self._keep).isoformat(),
            }


def _labels(alert: Alert, severity: Severity) -> dict[str, str]:
    """An empty label is none."""
    said = {
        "alertname": alert.rule or "credmgr",
        "severity": severity.value,
        "owner": alert.owner,
        "environment": alert.environment.value if alert.environment else "",
        "key": alert.key,
    }
    return {name: one_line(text) for name, text in said.items() if text}


class AlertmanagerNotifierFactory:
    """Opens Alertmanagers."""

    options = AlertmanagerOptions

    def validate(self, options: AlertmanagerOptions) -> Iterable[Mistake]:
        """The address and the networks."""
        yield from url_mistakes("url", options.url)
        yield from network_mistakes(options.networks)

    def open(self, options: AlertmanagerOptions, context: PluginContext) -> Notifier:
        """A notifier.

        Raises:
            ConfigError: The reference leads nowhere, or the bundle is none.
        """
        token = context.references.resolve(options.token) if options.token else None
        url = f"{options.url.rstrip('/')}{_PATH}"
        post = Post(url, options.networks, options.ca_bundle, context)
        return AlertmanagerNotifier(post, token, options.keep, context.clock)
