"""The open sessions with backends, sinks, issuers and notifiers of one manifest."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from threading import Lock
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from credmgr.distribution.copies import CredentialCopies
from credmgr.distribution.together import on
from credmgr.errors import ConfigError
from credmgr.manifest.manifest import Configured, Manifest
from credmgr.model.credential import Credential, Place
from credmgr.model.names import Name
from credmgr.model.version import Stage
from credmgr.plugins.backend import Capability, Held, SecretBackend
from credmgr.plugins.context import DEADLINE, PluginContext
from credmgr.plugins.issuer import Issuer
from credmgr.plugins.notifier import Notifier
from credmgr.plugins.sink import Sink
from credmgr.rotation.ports import Ledger


class Session(Protocol):
    """What every open session has."""

    def close(self) -> None:
        """Let go of connections and files."""
        ...


@runtime_checkable
class Sealing(Protocol):
    """A store that seals values under our data keys, and can do so anew."""

    def reseal(self) -> None:
        """Seal every value anew under the newest data key."""
        ...


S = TypeVar("S", bound=Session)


class Sessions(Generic[S]):
    """The sessions of one kind, each opened when it is first used, by its name in the manifest."""

    def __init__(
        self,
        kind: str,
        configured: Mapping[Name, Configured[Any]],
        context: Callable[[Name], PluginContext],
        watch: Callable[[Name, S], S],
    ) -> None:
        self._kind, self._configured = kind, configured
        self._context, self._watch = context, watch
        self._open: dict[Name, S] = {}
        self._lock = Lock()

    def __getitem__(self, name: Name) -> S:
        """The session of this name.

        Raises:
            ConfigError: The manifest has none, or a reference in its options leads nowhere.
        """
        with self._lock:
            if name not in self._open:
                if name not in self._configured:
                    raise ConfigError(
                        f"the manifest has no {self._kind} {name}, which a credential uses",
                        hint="put it back, or change the credential and `credmgr apply`",
                    )
                found = self._configured[name]
                session = found.factory.open(found.options, self._context(name))
                self._open[name] = self._watch(name, session)
            return self._open[name]

    def __contains__(self, name: object) -> bool:
        """Whether the manifest has one of this name."""
        return name in self._configured

    def close(self) -> None:
        """Close those that were opened."""
        with self._lock:
            for session in self._open.values():
                session.close()
            self._open.clear()


@dataclass(frozen=True, slots=True)
class Watch:
    """Wraps what the engine is handed; tests put failpoints in, production nothing."""

    ledger: Callable[[Ledger], Ledger] = lambda ledger: ledger
    backend: Callable[[Name, SecretBackend], SecretBackend] = lambda _, backend: backend
    sink: Callable[[Name, Sink], Sink] = lambda _, sink: sink
    issuer: Callable[[Name, Issuer], Issuer] = lambda _, issuer: issuer


class OutsideWorld:
    """The sessions of one manifest; implements what rotation and broker call `Outside`."""

    def __init__(
        self,
        manifest: Manifest,
        context: Callable[[Name], PluginContext],
        watch: Watch,
        store_of: Callable[[Credential], Place] = lambda credential: credential.store,
    ) -> None:
        self._manifest, self._store_of = manifest, store_of
        self.backends: Sessions[SecretBackend] = Sessions(
            "backend", manifest.backends, context, watch.backend
        )
        self.sinks: Sessions[Sink] = Sessions("sink", manifest.sinks, context, watch.sink)
        self.issuers: Sessions[Issuer] = Sessions("issuer", manifest.issuers, context, watch.issuer)
        self.notifiers: Sessions[Notifier] = Sessions(
            "notifier", manifest.notifiers, context, lambda _, notifier: notifier
        )
        self._pool = ThreadPoolExecutor(manifest.daemon.spread, thread_name_prefix="copies")

    def issuer(self, credential: Credential) -> Issuer:
        """The session with the credential's issuer."""
        return self.issuers[credential.issuer]

    def copies(self, credential: Credential) -> CredentialCopies:
        """The credential's copies."""
        quarantine = self._quarantine(credential)
        together = on(self._pool)
        return CredentialCopies(credential, self.backends, self.sinks, quarantine, together)

    def held(self, credential: Credential, stage: Stage) -> Held:
        """The copy in the credential's store: where it is, whatever a manifest says it should be.

        Raises:
            SecretNotFound: Nothing is at that stage.
        """
        store = self._store_of(credential)
        return self.backends[store.backend].read(store.name, stage)

    def _quarantine(self, credential: Credential) -> timedelta:
        """Twice what a call and a lease may take, where a place cannot compare and set: a sink.

        Found by model checking: without it, a write of a paused process can point a store at a
        secret that has been revoked meanwhile.

        Best-effort targets have none. It helps because every required copy is read again after it
        and before the old secret ends, which no rotation does with them; and a leaked secret would
        wait for them too. A late write there is drift at the keeper's next look.
        """
        required = [target.place for target in credential.targets if target.required]
        used = [self._manifest.backends.get(p.backend) for p in (credential.store, *required)]
        if all(one and Capability.CAS in one.factory.capabilities for one in used):
            return timedelta()
        return 2 * (DEADLINE + self._manifest.daemon.lease)

    def close(self) -> None:
        """Close every session."""
        self._pool.shutdown()
        for sessions in (self.backends, self.sinks, self.issuers, self.notifiers):
            sessions.close()
