"""What `credmgr doctor` looks at: each part by itself, as far as it can when others are broken."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final, NoReturn, TypeVar

from credmgr.cli.backend_checks import looks
from credmgr.cli.status import SILENT
from credmgr.cli.verdicts import Check, Verdict
from credmgr.errors import CredmgrError, KeyringError, ManifestError
from credmgr.keyring import Keyring
from credmgr.manifest.loading import load
from credmgr.manifest.manifest import Manifest
from credmgr.manifest.plan import plan
from credmgr.model.clock import Clock
from credmgr.model.credential import Credential, Enrolled
from credmgr.model.names import Name
from credmgr.model.rotation import PARKED
from credmgr.opening import AUDIT_KEY, context_factory, open_keyring, open_state
from credmgr.outside import OutsideWorld, Watch
from credmgr.plugins.context import Keys
from credmgr.store import Store
from credmgr.store.checkpoint import read_checkpoint
from credmgr.store.heartbeats import Heartbeat

OTHERS: Final = 0o077
SKEW: Final = timedelta(seconds=5)
"""A daemon's clock that is ahead of ours by more than this makes leases and overlaps unreliable."""

T = TypeVar("T")


class Checkup:
    """Looks at one installation.

    Args:
        path: Its manifest.
        clock: Time.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path, self._clock = path, clock
        self._found: list[Check] = []
        self._credentials: list[Credential] = []

    def run(self) -> list[Check]:
        """Every check, in order."""
        manifest = self._manifest()
        if manifest is None:
            return self._found
        self._found += _modes(manifest)
        self._credentials += manifest.credentials.values()
        keyring = self._try("keyring", lambda: open_keyring(manifest), _keyring_words)
        self._state(manifest, keyring)
        self._outside(manifest, keyring or NoKeys())
        return self._found

    def _manifest(self) -> Manifest | None:
        try:
            manifest = load(self._path)
        except ManifestError as error:
            count = len(error.problems)
            detail = f"{count} {'mistake' if count == 1 else 'mistakes'}; the first: "
            self._add("manifest", Verdict.FAIL, f"{detail}{error.problems[0]}", "credmgr check")
            return None
        self._add("manifest", Verdict.OK, f"{len(manifest.credentials)} credentials declared")
        return manifest

    def _state(self, manifest: Manifest, keyring: Keyring | None) -> None:
        if keyring is None:
            self._add("database", Verdict.WARN, "not looked at without the keyring")
            return
        store = self._try(
            "database",
            lambda: open_state(manifest, keyring, self._clock, "doctor", migrate=False),
            lambda _: "open, and its schema is ours",
        )
        if store is None:
            return
        with store:
            self._try("database", lambda: self._write_nothing(store), lambda _: "can be written")
            self._try("audit", lambda: _verified(manifest, keyring, store), str)
            self._try("daemon", lambda: self._daemons(store), str)
            known = self._try("credentials", store.ledger.all_enrolled, _enrolled_words)
            self._credentials += [one.credential for one in known or ()]
            self._try("applied", lambda: self._differences(manifest, store), str)
            self._try("rotations", lambda: self._parked(store), str)

    def _outside(self, manifest: Manifest, keys: Keys) -> None:
        context = context_factory(manifest, self._clock, keys)
        world = OutsideWorld(manifest, context, Watch())
        try:
            for name in manifest.backends:
                self._backend(manifest, world, name)
            for name in manifest.sinks:
                self._try(f"sink {name}", partial(_check_sink, world, name), _works)
            for name in manifest.issuers:
                self._try(f"issuer {name}", partial(_check_issuer, world, name), _works)
            for name in manifest.notifiers:
                self._try(f"notifier {name}", partial(_open_notifier, world, name), _works)
            if not manifest.notifiers:
                fix = "declare a notifier, such as `log: {plugin: log}`"
                self._add("notifiers", Verdict.WARN, "nobody hears of alerts", fix)
        finally:
            world.close()

    def _backend(self, manifest: Manifest, world: OutsideWorld, name: Name) -> None:
        if self._try(f"backend {name}", partial(_check_backend, world, name), _works) is None:
            return
        places = {place for one in self._credentials for place in one.places}
        names = sorted(place.name for place in places if place.backend == name)
        self._found += looks(name, world.backends[name], manifest.backends[name], names)

    def _write_nothing(self, store: Store) -> None:
        """A write transaction with nothing in it."""
        store.ledger.enrol((), (), "doctor", self._clock.now())

    def _daemons(self, store: Store) -> "str | Check":
        now, daemons = self._clock.now(), store.ledger.heartbeats()
        if not daemons:
            return Check("daemon", Verdict.WARN, "none is running", "credmgr run")
        newest = daemons[0]
        if now - newest.seen_at > SILENT:
            fix = f"look at process {newest.pid} on {newest.host}"
            return Check("daemon", Verdict.FAIL, f"silent since {newest.seen_at:%H:%M:%S} UTC", fix)
        if newest.seen_at - now > SKEW:
            return Check("daemon", Verdict.FAIL, _ahead(newest, now - newest.seen_at), "use NTP")
        return f"{newest.host} pid {newest.pid} is alive, its clock agrees with ours"

    def _differences(self, manifest: Manifest, store: Store) -> "str | Check":
        planned = plan(manifest.credentials, store.ledger.all_enrolled())
        if not planned.changing:
            return "as the manifest declares"
        names = ", ".join(step.name for step in planned.changing)
        return Check("applied", Verdict.WARN, f"the manifest differs: {names}", "credmgr plan")

    def _parked(self, store: Store) -> "str | Check":
        rows = store.ledger.open_rotations()
        waiting = [one for one in rows if one.state in PARKED or one.steps]
        if not waiting:
            return f"{len(rows)} in flight, none waits for a person"
        names = ", ".join(one.credential for one in waiting)
        return Check("rotations", Verdict.WARN, f"a person has to act: {names}", "credmgr status")

    def _try(self, subject: str, look: Callable[[], T], words: Callable[[T], str]) -> T | None:
        """Look at something; what it raises is a failed check."""
        try:
            seen = look()
        except CredmgrError as error:
            self._add(subject, Verdict.FAIL, error.message, error.hint or "")
            return None
        if isinstance(seen, Check):
            self._found.append(seen)
        else:
            self._add(subject, Verdict.OK, words(seen))
        return seen

    def _add(self, subject: str, verdict: Verdict, detail: str, fix: str = "") -> None:
        self._found.append(Check(subject, verdict, detail, fix))


class NoKeys:
    """Stands in for a keyring that does not open: stores that seal fail, the rest is looked at."""

    def current(self, purpose: str) -> NoReturn:
        """No key.

        Raises:
            KeyringError: Always.
        """
        raise KeyringError(f"there is no key for {purpose}: the keyring does not open")

    def by_id(self, purpose: str, key_id: str) -> NoReturn:
        """No key.

        Raises:
            KeyringError: Always.
        """
        raise KeyringError(f"there is no key {key_id} for {purpose}: the keyring does not open")


def _check_backend(world: OutsideWorld, name: Name) -> bool:
    world.backends[name].check()
    return True


def _check_sink(world: OutsideWorld, name: Name) -> None:
    world.sinks[name].check()


def _check_issuer(world: OutsideWorld, name: Name) -> None:
    world.issuers[name].check()


def _open_notifier(world: OutsideWorld, name: Name) -> None:
    _ = world.notifiers[name]


def _works(_: object) -> str:
    return "works"


def _keyring_words(keyring: Keyring) -> str:
    return f"opens with the master key {keyring.master_key_id}"


def _enrolled_words(known: Sequence[Enrolled]) -> str:
    return f"{len(known)} are known"


def _verified(manifest: Manifest, keyring: Keyring, store: Store) -> str:
    key = keyring.current(AUDIT_KEY)[1]
    known = read_checkpoint(manifest.state.checkpoint, key)
    head = store.audit.verify(known)
    against = "" if known is None else f", checkpoint at {known.sequence}"
    return f"{head.sequence} records verify{against}"


def _ahead(newest: Heartbeat, behind: timedelta) -> str:
    seconds = -behind.total_seconds()
    return f"the clock of {newest.host} is {seconds:.0f} s ahead of ours"


def _modes(manifest: Manifest) -> Iterator[Check]:
    """Files that only we may reach."""
    open_to_others = [name for name, path in _private(manifest).items() if _shared(path)]
    for name in open_to_others:
        path = _private(manifest)[name]
        fix = f"chmod {'700' if path.is_dir() else '600'} {path}"
        yield Check("files", Verdict.FAIL, f"{name} is open to other users", fix)
    if not open_to_others:
        yield Check("files", Verdict.OK, "only we can read what is private")


def _private(manifest: Manifest) -> Mapping[str, Path]:
    state = manifest.state
    files = {"the folder": manifest.home, "the keyring": state.keyring}
    for what, reference in (("the master key", state.master_key),):
        if reference.startswith("file:"):
            files[what] = manifest.home / reference.removeprefix("file:")
    if state.database.startswith("sqlite:///"):
        files["the state database"] = Path(state.database.removeprefix("sqlite:///"))
    return files


def _shared(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & OTHERS) or path.stat().st_uid != os.geteuid()
    except OSError:
        return False  # what is missing is told by whoever opens it
