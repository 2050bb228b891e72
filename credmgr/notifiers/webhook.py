"""The notifier that posts alerts to a URL as signed JSON."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from credmgr.errors import ConfigError
from credmgr.model.clock import Clock
from credmgr.model.finding import Alert
from credmgr.model.secret import Secret
from credmgr.notifiers.addresses import network_mistakes
from credmgr.notifiers.payload import as_json
from credmgr.notifiers.posting import Post
from credmgr.notifiers.signing import HEADER, signature
from credmgr.plugins.backend import Mistake
from credmgr.plugins.context import PluginContext, Reference
from credmgr.plugins.notifier import Notifier
from credmgr.plugins.urls import url_mistakes

MESSAGE: Final = "Credmgr-Message"
"""The header with the message's id, by which a receiver drops repetitions."""
SHORTEST: Final = 32
"""Characters of a secret to sign with: 16 random bytes in hexadecimal have as many."""


@dataclass(frozen=True, slots=True)
class WebhookOptions:
    """Options of a webhook.

    Attributes:
        url: Where to post; https, unless it is on this machine.
        secret: Signs every message, at least 32 characters: a reference.
        networks: Networks besides the public internet in which the host may be: 10.1.0.0/16.
        ca_bundle: PEM file of the authorities to trust instead of the system's.
    """

    url: str
    secret: Annotated[str, Reference()]
    networks: tuple[str, ...] = ()
    ca_bundle: Path | None = None


class WebhookNotifier:
    """One POST per message. Thread-safe."""

    def __init__(self, post: Post, secret: Secret, clock: Clock) -> None:
        self._post, self._secret, self._clock = post, secret, clock

    def deliver(self, alert: Alert) -> None:
        """Post the alert.

        Raises:
            NotifierError: It did not arrive, or perhaps; repeat it later.
            NotifierRefused: The receiver does not want it: 400, 413, 415 or 422.
        """
        body = as_json(alert)
        signed = signature(self._secret, self._clock.now(), body)
        identity = alert.id or "test"
        self._post.send(body, {HEADER: signed, MESSAGE: identity})

    def close(self) -> None:
        """Nothing is open."""


class WebhookNotifierFactory:
    """Opens webhooks."""

    options = WebhookOptions

    def validate(self, options: WebhookOptions) -> Iterable[Mistake]:
        """The address and the networks."""
        yield from url_mistakes("url", options.url, query=True)
        yield from network_mistakes(options.networks)

    def open(self, options: WebhookOptions, context: PluginContext) -> Notifier:
        """A notifier.

        Raises:
            ConfigError: The reference leads nowhere or to a short secret, or the bundle is none.
        """
        secret = context.references.resolve(options.secret)
        if len(secret.reveal()) < SHORTEST:
            raise ConfigError(
                f"{options.secret}: too short to sign with",
                hint=f"at least {SHORTEST} characters, such as `openssl rand -hex 32` makes",
            )
        post = Post(options.url, options.networks, options.ca_bundle, context)
        return WebhookNotifier(post, secret, context.clock)
