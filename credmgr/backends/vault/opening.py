"""Options and context become a session."""

import ssl
from datetime import timedelta
from pathlib import Path
from typing import Any

from credmgr.backends.vault.connection import Connection
from credmgr.backends.vault.documents import layout_of
from credmgr.backends.vault.entries import Entries
from credmgr.backends.vault.methods import Door
from credmgr.backends.vault.options import VaultOptions
from credmgr.backends.vault.session import VaultBackend
from credmgr.backends.vault.tokens import Tokens
from credmgr.backends.vault.transport import Transport
from credmgr.backends.vault.wire import client_of
from credmgr.errors import ConfigError
from credmgr.plugins.clocks import ServerClock
from credmgr.plugins.context import PluginContext


def opened(
    options: VaultOptions, context: PluginContext, transport: Transport | None = None
) -> VaultBackend:
    """A session; it signs in when it is first used.

    Args:
        options: Without mistakes.
        context: Surroundings.
        transport: The way out; None makes one.

    Raises:
        ConfigError: A CA bundle or client certificate cannot be read, or no sign-in is given.
    """
    if len(options.sign_ins) != 1:
        raise ConfigError("a vault backend needs exactly one way to sign in")
    way_out = transport or transport_of(options, context)

    def clients(token: str) -> Any:
        return client_of(way_out, token, options.namespace)

    door = Door(options.sign_ins[0], context, clients)
    patience = max(context.deadline, _deadline(options, context))
    tokens = Tokens(door, clients, context.clock, patience)
    connection = Connection(way_out, tokens, options.mount)
    entries = Entries(connection, options.mount, layout_of(options))
    return VaultBackend(connection, entries, options)


def transport_of(
    options: VaultOptions, context: PluginContext, kind: type[Transport] = Transport
) -> Transport:
    """The connections with the server of the options.

    Raises:
        ConfigError: A CA bundle or client certificate cannot be read.
    """
    deadline = _deadline(options, context)
    tls = _tls(options, context.home)
    server = ServerClock(context.clock)
    return kind(options.address, context.workers, deadline.total_seconds(), tls, server)


def _deadline(options: VaultOptions, context: PluginContext) -> timedelta:
    """The longest that one call may take; what the operator says counts, shorter or longer."""
    return options.timeout or context.deadline


def _tls(options: VaultOptions, home: Path) -> ssl.SSLContext:
    bundle = home / options.ca_bundle if options.ca_bundle else None
    try:
        tls = ssl.create_default_context(cafile=bundle)
    except OSError as error:
        raise ConfigError(f"the CA bundle {bundle} cannot be used: {error}") from error
    if options.cert is not None:
        certificate, key = home / options.cert.certificate, home / options.cert.key
        try:
            # An encrypted key would make OpenSSL ask at the terminal.
            tls.load_cert_chain(certificate, key, password="")
        except OSError as error:
            raise ConfigError(f"{certificate} and {key} cannot be used: {error}") from error
    return tls
