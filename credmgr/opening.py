"""Opening what a manifest refers to: the keyring, the state database, a plugin's surroundings."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

from credmgr.errors import UnknownCredential
from credmgr.keyring import Keyring
from credmgr.manifest.manifest import Manifest
from credmgr.manifest.references import References
from credmgr.model.clock import Clock
from credmgr.model.credential import Credential, Place
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.plugins.context import Keys, PluginContext
from credmgr.store import Store, open_store
from credmgr.store.ledger import SqlLedger

AUDIT_KEY: Final = "audit"


def open_keyring(manifest: Manifest) -> Keyring:
    """Open the keyring with the master key that the manifest refers to.

    Raises:
        KeyringError: It does not open.
    """
    reference = manifest.state.master_key
    kind, _, rest = reference.partition(":")
    if kind == "file":
        return Keyring.open(manifest.state.keyring, Path(manifest.home, rest))
    return Keyring.open(manifest.state.keyring, References(manifest.home).resolve(reference))


def open_state(
    manifest: Manifest, keyring: Keyring, clock: Clock, owner: str, *, migrate: bool
) -> Store:
    """Open the state database.

    Raises:
        StateError: It cannot be used.
        ConfigError: Its password's reference leads nowhere.
    """
    state = manifest.state
    url = state.database
    if state.database_password:
        url = _with_password(url, References(manifest.home).resolve(state.database_password))
    key = keyring.current(AUDIT_KEY)[1]
    return open_store(url, clock=clock, audit_key=key, owner=owner, migrate=migrate)


def _with_password(url: str, password: Secret) -> str:
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    place = f"{user}:{quote(password.reveal(), safe='')}@{host}"
    return urlunsplit(parts._replace(netloc=place))


def context_factory(
    manifest: Manifest, clock: Clock, keyring: Keys
) -> Callable[[Name], PluginContext]:
    """What makes the context of each plugin instance."""
    shared = PluginContext(
        name="",
        home=manifest.home,
        clock=clock,
        keys=keyring,
        references=References(manifest.home),
        workers=manifest.daemon.at_once,
    )
    return lambda name: replace(shared, name=name)


def store_as_applied(ledger: SqlLedger) -> Callable[[Credential], Place]:
    """What knows a credential's store from the state database; from the manifest if it is new."""

    def store_of(credential: Credential) -> Place:
        try:
            return ledger.enrolled(credential.name).credential.store
        except UnknownCredential:
            return credential.store

    return store_of
