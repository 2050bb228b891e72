"""The composition root: a manifest and a clock become a wired App."""

import getpass
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from credmgr import processes
from credmgr.broker.asking import Ask
from credmgr.broker.broker import Broker
from credmgr.broker.purging import Purged, purge
from credmgr.distribution.keeper import Keeper, Means
from credmgr.distribution.tokens import Minting, TokenKeeper
from credmgr.distribution.writing import Pen
from credmgr.errors import AuditBroken, ConfigError, NotAllowedNow
from credmgr.keyring import Keyring, create_master_key
from credmgr.manifest.manifest import Manifest, PackUse
from credmgr.manifest.plan import Plan, Retire, plan
from credmgr.manifest.references import References
from credmgr.manifest.tree import Spot
from credmgr.model.audit import Checkpoint, Event
from credmgr.model.clock import Clock, SystemClock
from credmgr.model.credential import Credential, CredentialStatus, Enrolled
from credmgr.model.names import Name
from credmgr.model.secret import Fingerprinter, Secret
from credmgr.model.token import Token, TokenPlace
from credmgr.model.version import VersionStatus
from credmgr.opening import (
    AUDIT_KEY,
    context_factory,
    open_keyring,
    open_state,
    store_as_applied,
)
from credmgr.outside import OutsideWorld, Sealing, Watch
from credmgr.packs import Rulebook, load_packs
from credmgr.policy.sweep import Sweep
from credmgr.rotation.engine import Engine
from credmgr.rotation.patience import Patience
from credmgr.rotation.runbook import Runbook
from credmgr.rotation.work import Tools
from credmgr.store import Store
from credmgr.store.checkpoint import read_checkpoint, write_checkpoint
from credmgr.store.credentials import Enrolment

FINGERPRINT_KEY: Final = "fingerprint"
DEFAULT_PACK: Final = "default"
_JITTER_STEPS: Final = 1 << 20


@dataclass(slots=True)
class App:
    """Everything wired; one per process.

    Attributes:
        manifest: What is declared.
        clock: Time.
        keyring: Data keys.
        store: The state database.
        outside: Sessions with backends, sinks, issuers and notifiers.
        engine: What moves rotations.
        owner: This process, in leases.
        actor: Who acts, in the audit chain.
        watch: What wraps the engine's surroundings.
        broker: What hands out tokens and secrets.
        keeper: What looks after copies.
        tokens: What keeps tokens where consumers can only read.
        rules: The rules in force, once they were asked for.
    """

    manifest: Manifest
    clock: Clock
    keyring: Keyring
    store: Store
    outside: OutsideWorld
    engine: Engine
    owner: str
    actor: str
    watch: Watch
    broker: Broker
    keeper: Keeper
    tokens: TokenKeeper
    rules: Rulebook | None = None

    def adopt(self, manifest: Manifest) -> None:
        """Take a newly read manifest into use, with new sessions; nothing may be in flight.

        Raises:
            ConfigError: Its `state` differs, which needs a restart, or a rule pack is wrong.
        """
        if manifest.state != self.manifest.state:
            raise ConfigError("the manifest's `state` has changed; restart to use it")
        self.rules = rulebook(manifest)
        old, context = self.outside, context_factory(manifest, self.clock, self.keyring)
        store_of = store_as_applied(self.store.ledger)
        self.manifest = manifest
        self.outside = OutsideWorld(manifest, context, self.watch, store_of)
        self.engine.outside = self.outside
        self.broker.adopt(manifest.credentials, manifest.consumers, self.outside)
        self.keeper.adopt(self.outside, manifest.daemon.copies)
        pen = Pen(self.outside, self.engine.tools.fingerprinter)
        self.tokens.adopt(manifest.credentials, manifest.tokens, pen)
        old.close()

    def plan(self, manifest: Manifest | None = None) -> Plan:
        """What applying a manifest would change; this App's unless given.

        Raises:
            StateUnavailable: The state database cannot be read.
        """
        declared = (manifest or self.manifest).credentials
        enrolled = self.store.ledger.all_enrolled()
        live = {known.credential.name for known in enrolled if self._alive(known, declared)}
        return plan(declared, enrolled, live)

    def apply(self, planned: Plan) -> Enrolment:
        """Make the manifest's credentials known and retire those it declares no more.

        Repeating it writes nothing.

        Raises:
            NotAllowedNow: The plan has steps that are refused; nothing was written.
            ManifestError: A rule pack is wrong; likewise.
            StateUnavailable: The state database cannot be written.
        """
        require_appliable(planned)
        self.rulebook()
        retire = [step.name for step in planned.steps if isinstance(step, Retire)]
        declared = self.manifest.credentials.values()
        return self.store.ledger.enrol(declared, retire, self.actor, self.clock.now())

    def rulebook(self) -> Rulebook:
        """The rules in force, read once.

        Raises:
            ManifestError: A rule pack is wrong.
        """
        if self.rules is None:
            self.rules = rulebook(self.manifest)
        return self.rules

    def sweep(self) -> Sweep:
        """What puts the rules to credentials.

        Raises:
            ManifestError: A rule pack is wrong.
            StateUnavailable: The state database cannot be written.
        """
        rules, ledger = self.rulebook(), self.store.ledger
        ledger.adopt_rules(rules.digest, self.clock.now())
        return Sweep(ledger, rules.judge(), self.clock, self.actor)

    def reveal(self, name: Name) -> Secret:
        """The current secret, read from the credential's store; recorded before it is given.

        Raises:
            UnknownCredential: There is none of this name.
            SecretNotFound: It has no secret yet, or none any more.
        """
        store = self.store.ledger.enrolled(name).credential.store
        held = self.outside.backends[store.backend].read(store.name)
        facts = {"place": str(store), "version": str(held.version)}
        self.store.audit.append(Event(self.actor, "secret.read", name, facts))
        return held.secret

    def purge(self, name: Name) -> Purged:
        """Have every live daemon drop the tokens of a credential; which ones have.

        Raises:
            StateUnavailable: Nobody could be asked.
        """
        return purge(self.store.ledger, name, self.actor, self.clock, processes.is_gone)

    def rekey(self, to: str | None) -> str:
        """Wrap the data keys under a new master key, and give its id.

        Args:
            to: Reference to the new master key; None makes a new one in the present file. A file
                that does not exist yet is made.

        Raises:
            KeyringError: The new key is missing or wrong, or the disk fails; the old one still
                opens the keyring.
        """
        self.keyring.rekey(None if to is None else self._new_master(to))
        identity = self.keyring.master_key_id
        facts = {"master_key": identity, "reference": to or self.manifest.state.master_key}
        self.store.audit.append(Event(self.actor, "keyring.rekeyed", "keyring", facts))
        return identity

    def rekey_data(self) -> tuple[Name, ...]:
        """Seal every value of every local store under a new data key, and name the stores.

        Raises:
            KeyringError: The keyring cannot be written; a repetition goes on where it was.
            BackendError: A value does not open; the old keys stay.
        """
        stores = {name: self.outside.backends[name] for name in self.manifest.backends}
        sealing = {name: one for name, one in stores.items() if isinstance(one, Sealing)}
        self.keyring.rekey_data({self._purpose(name): one.reseal for name, one in sealing.items()})
        facts = {"stores": " ".join(sealing)}
        self.store.audit.append(Event(self.actor, "keyring.data_rekeyed", "keyring", facts))
        return tuple(sealing)

    def write_checkpoint(self) -> None:
        """Keep the audit chain's head outside the database, so that a cut tail is noticed.

        Raises:
            AuditBroken: The chain does not agree with the last one, which is kept as evidence.
        """
        key, file = self.keyring.current(AUDIT_KEY)[1], self.manifest.state.checkpoint
        self.require_history()
        write_checkpoint(file, self.store.audit.checkpoint(), key)

    def require_history(self) -> None:
        """Make sure that the audit chain still has what the checkpoint saw.

        Raises:
            AuditBroken: It was cut or replaced, or the checkpoint is damaged.
        """
        key, file = self.keyring.current(AUDIT_KEY)[1], self.manifest.state.checkpoint
        known = read_checkpoint(file, key)
        if known is not None and not self.store.audit.holds(known):
            raise AuditBroken(
                f"the audit chain no longer has record {known.sequence}, which {file} saw",
                hint="was the state database lost, cut, or restored from a backup? Restore a whole"
                " one; or, when it is known why, move the checkpoint away: docs/operations.md",
            )

    def verify_audit(self) -> Checkpoint:
        """Check the whole audit chain, against the checkpoint if there is one.

        Raises:
            AuditBroken: Something was edited, deleted, reordered or cut.
        """
        key = self.keyring.current(AUDIT_KEY)[1]
        known = read_checkpoint(self.manifest.state.checkpoint, key)
        return self.store.audit.verify(known)

    def close(self) -> None:
        """Close sessions and the state database."""
        self.broker.close()
        self.outside.close()
        self.store.close()

    def _alive(self, known: Enrolled, declared: Mapping[Name, Credential]) -> bool:
        """Whether it has a secret that is not proven dead; asked only where the plan needs it."""
        name = known.credential.name
        if declared.get(name) == known.credential and known.status is CredentialStatus.ACTIVE:
            return True
        ledger = self.store.ledger
        versions = ledger.versions(name)
        living = any(one.status is not VersionStatus.REVOKED for one in versions)
        return living or ledger.open_rotation(name) is not None

    def _purpose(self, name: Name) -> str:
        """The purpose of a store's data keys: the plugin, then the instance."""
        return f"{self.manifest.backends[name].plugin}:{name}"

    def _new_master(self, reference: str) -> Path | Secret:
        kind, _, rest = reference.partition(":")
        if kind != "file":
            return References(self.manifest.home).resolve(reference)
        path = Path(self.manifest.home, rest)
        if not path.exists():
            create_master_key(path)
        return path


def rulebook(manifest: Manifest) -> Rulebook:
    """The rules that a manifest puts in force: the default pack, unless it names others.

    Raises:
        ManifestError: A rule pack is wrong; carries every mistake with its place.
    """
    uses = manifest.policies or (PackUse(DEFAULT_PACK, {}, Spot(str(manifest.files[0]), 1, 1)),)
    return load_packs(uses, manifest.home)


def require_appliable(planned: Plan) -> None:
    """Make sure that nothing in a plan is refused.

    Raises:
        NotAllowedNow: Something is.
    """
    if planned.refused:
        names = ", ".join(step.name for step in planned.refused)
        raise NotAllowedNow(
            f"the manifest cannot be applied: a live secret of {names} would be lost from sight",
            hint="`credmgr plan` says what is refused and what to do instead",
        )


def build(
    manifest: Manifest,
    *,
    clock: Clock | None = None,
    actor: str | None = None,
    migrate: bool = False,
    watch: Watch | None = None,
) -> App:
    """Wire an App from a manifest.

    Args:
        manifest: What is declared.
        clock: Time; the machine's unless given.
        actor: Who acts, for the audit chain; this operating-system user unless given.
        migrate: Whether to bring the state database's schema up to date.
        watch: What wraps the engine's surroundings.

    Raises:
        KeyringError: The master key is missing or does not open the keyring; nothing was written.
        StateError: The state database cannot be used.
    """
    clock, watch = clock or SystemClock(), watch or Watch()
    actor = actor or f"operator:{getpass.getuser()}@{socket.gethostname()}"
    owner = processes.owner()
    keyring = open_keyring(manifest)
    store = open_state(manifest, keyring, clock, owner, migrate=migrate)
    context, store_of = context_factory(manifest, clock, keyring), store_as_applied(store.ledger)
    outside = OutsideWorld(manifest, context, watch, store_of)
    tools = Tools(
        ledger=watch.ledger(store.ledger),
        clock=clock,
        fingerprinter=Fingerprinter(keyring.current(FINGERPRINT_KEY)[1]),
        patience=Patience(clock),
        actor=actor,
        jitter=_jitter,
        is_gone=processes.is_gone,
    )
    engine = Engine(tools, outside, owner, manifest.daemon.lease)
    broker = Broker(store.ledger, outside, clock, _jitter, actor, manifest.daemon.workers)
    broker.adopt(manifest.credentials, manifest.consumers, outside)
    app = App(
        manifest=manifest,
        clock=clock,
        keyring=keyring,
        store=store,
        outside=outside,
        engine=engine,
        owner=owner,
        actor=actor,
        watch=watch,
        broker=broker,
        keeper=_keeper(engine, store, outside, manifest.daemon.copies),
        tokens=_token_keeper(engine, store, broker, owner),
    )
    app.tokens.adopt(manifest.credentials, manifest.tokens, Pen(outside, tools.fingerprinter))
    if migrate and store.audit.checkpoint().sequence == 0:
        _refuse_lost_history(app)
    return app


def _keeper(engine: Engine, store: Store, outside: OutsideWorld, every: timedelta) -> Keeper:
    tools = engine.tools
    means = Means(
        ledger=store.ledger,
        book=store.copies,
        rotations=Runbook(engine),
        clock=tools.clock,
        jitter=tools.jitter,
        fingerprinter=tools.fingerprinter,
        actor=tools.actor,
    )
    return Keeper(means, outside, every)


def _token_keeper(engine: Engine, store: Store, broker: Broker, owner: str) -> TokenKeeper:
    def token(place: TokenPlace) -> Token:
        scopes = place.scopes or None
        return broker.token(Ask(None, place.credential, scopes, place.audience))

    tools = engine.tools
    return TokenKeeper(Minting(token, store.ledger, store.tokens, tools.clock, owner, tools.actor))


def _jitter() -> float:
    return secrets.randbelow(_JITTER_STEPS) / _JITTER_STEPS


def _refuse_lost_history(app: App) -> None:
    """An empty database beside a checkpoint was lost, and is not begun anew without a word."""
    try:
        app.require_history()
    except AuditBroken:
        app.close()
        raise
