"""A Key Vault as a `SecretBackend`.

    NAME          every version that was ever current; native readers get the newest
    NAME-next--   what is staged; its newest version, if it is enabled, is `next`

Each version carries our mark and our version id in its tags; a version that is current also says
which one it replaced, and that is how `previous` is found. Of several versions with one id of ours
(a write that was applied twice, a rollback) the newest counts and the others get disabled.

Key Vault has no compare-and-set. `promote` reads, compares, writes, reads back, and finds out
afterwards whether somebody else wrote in between: of two that overlap at least one is told.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final
from uuid import UUID

from credmgr.backends.azure_key_vault.naming import Naming, Spelled
from credmgr.backends.azure_key_vault.options import LIMITS
from credmgr.backends.azure_key_vault.permissions import permissions_of
from credmgr.backends.azure_key_vault.shelves import Shelf, Shelves
from credmgr.backends.azure_key_vault.tagging import Entry, Link, staged_tags_of, tags_of
from credmgr.backends.azure_key_vault.vault import Copy, Vault
from credmgr.errors import Conflict, LimitExceeded, NotOurs, SecretNotFound
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.model.version import Stage
from credmgr.plugins.backend import Held, HeldVersion, Permission

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_NEWEST_FIRST: Final = {Stage.NEXT: 3, Stage.CURRENT: 2, Stage.PREVIOUS: 1, None: 0}
"""Among versions of one second; the vault's times are no finer."""


class AzureBackend:
    """Secrets in one Key Vault. Thread-safe; safe between processes as far as the module says."""

    def __init__(self, vault: Vault, shelves: Shelves, naming: Naming) -> None:
        self._vault = vault
        self._shelves = shelves
        self._naming = naming

    def read(self, name: Name, stage: Stage = Stage.CURRENT) -> Held:
        """The copy at `stage`; a disabled one is as good as none. May be repeated.

        Raises:
            SecretNotFound: Nothing is at that stage.
            NotOurs: What is there was not written by credmgr.
        """
        spelled = self._naming.of(name)
        match stage:
            case Stage.CURRENT:
                held = self._held(self._shelves.newest(spelled.main, name))
            case Stage.PREVIOUS:
                held = self._previous(name, spelled)
            case Stage.NEXT:
                held = self._next(name, spelled)
        if held is None:
            raise SecretNotFound(f"{name} has no {stage} secret")
        return Held(held[0], stage, held[1])

    def stage(self, name: Name, secret: Secret, version: UUID) -> None:
        """Write `secret` as `next`. Repeating it with the same version and value changes nothing.

        Raises:
            Conflict: `version` exists already with another value.
            LimitExceeded: The value or the name is too long, or the value is not Unicode text.
            NotOurs: The name holds something that credmgr did not write.
        """
        _check(secret)
        spelled = self._naming.of(name)
        main = self._shelves.look(spelled.main, name)
        if self._is_held(spelled, main, secret, version):
            return
        sibling = self._shelves.look(spelled.sibling, name)
        if sibling.version == version and sibling.newest:
            _must_equal(sibling.secret, secret, version)
            keep = sibling.newest.entry.id
        else:
            tags = staged_tags_of(name, version)
            keep = self._shelves.write(spelled.sibling, name, secret, tags)[0].id
        replaced = [entry for entry in sibling.enabled() if entry.id != keep]
        self._shelves.disable(spelled.sibling, replaced)

    def promote(self, name: Name, version: UUID, expect: UUID | None) -> None:
        """Make `version` current, if `current` is `expect`. May be repeated.

        Raises:
            Conflict: `current` is neither `expect` nor `version`, or somebody else wrote at the
                same time; then either of the two may be current.
            SecretNotFound: `version` is neither `next` nor `previous`.
            NotOurs: The name holds something that credmgr did not write.
            BackendUnavailable: What was written does not show yet.
        """
        spelled = self._naming.of(name)
        main = self._shelves.look(spelled.main, name)
        if main.version == version and main.newest:
            self._tidy(name, spelled, main, version, main.newest.entry.id)
            return
        if main.version != expect:
            raise Conflict(f"{name} has the current version {main.version}, not {expect}")
        secret = self._promotable(name, spelled, main, version)
        replaced = main.newest.entry if main.newest and main.version else None
        tags = tags_of(name, version, replaced)
        written, revived = self._shelves.write(spelled.main, name, secret, tags)
        known = revived.union(entry.id for entry in main.entries)
        self._confirm(name, spelled, version, written, known)
        self._tidy(name, spelled, main, version, written.id)

    def discard(self, name: Name, version: UUID) -> None:
        """Disable a version that is not current; a staged one is soft-deleted too. May be repeated.

        Key Vault cannot destroy one version. What is disabled is given to nobody, but who may
        update secrets can enable it again.

        Raises:
            Conflict: `version` is current.
            NotOurs: The name holds something that credmgr did not write.
        """
        spelled = self._naming.of(name)
        main = self._shelves.look(spelled.main, name)
        if main.version == version:
            raise Conflict(f"version {version} of {name} is current")
        self._shelves.disable(spelled.main, main.enabled(version))
        sibling = self._shelves.look(spelled.sibling, name)
        self._shelves.disable(spelled.sibling, sibling.enabled(version))
        if any(entry.version == version for entry in sibling.entries):
            self._delete_if_empty(spelled.sibling)

    def versions(self, name: Name) -> Sequence[HeldVersion]:
        """Every version that the vault gives out, newest first. May be repeated.

        Raises:
            NotOurs: What is there was not written by credmgr.
        """
        spelled = self._naming.of(name)
        main = self._shelves.look(spelled.main, name)
        sibling = self._shelves.look(spelled.sibling, name)
        staged = sibling.version if sibling.version != main.version else None
        stages = {_previous_of(main): Stage.PREVIOUS, staged: Stage.NEXT}
        stages[main.version] = Stage.CURRENT
        written: dict[UUID, datetime] = {}
        for entry in (*main.enabled(), *sibling.enabled()):
            if entry.name == name and entry.version:
                last = written.get(entry.version, entry.written_at)
                written[entry.version] = max(last, entry.written_at)
        held = [HeldVersion(version, stages.get(version), at) for version, at in written.items()]
        return sorted(held, key=lambda h: (h.written_at, _NEWEST_FIRST[h.stage]), reverse=True)

    def current(self, name: Name) -> UUID | None:
        """The version that readers get, without a look at what is staged. May be repeated.

        Raises:
            NotOurs: What is there was not written by credmgr.
        """
        held = self._held(self._shelves.newest(self._naming.of(name).main, name))
        return held[0] if held else None

    def delete(self, name: Name) -> None:
        """Disable every version, then soft-delete the name. An absent one is no error.

        To undo it within the vault's retention, recover both objects and enable their newest
        versions.

        Raises:
            NotOurs: The name holds something that credmgr did not write.
        """
        spelled = self._naming.of(name)
        for place in (spelled.main, spelled.sibling):
            shelf = self._shelves.look(place, name)
            if shelf.newest:
                self._shelves.disable(place, shelf.enabled())
                self._vault.delete(place)

    def date(self, name: Name, version: UUID, expires_at: datetime) -> None:
        """Set the attribute `exp` of the current version, if it is `version`. May be repeated."""
        main = self._naming.of(name).main
        newest = self._shelves.newest(main, name)
        if newest is not None and newest.entry.version == version:
            self._vault.date(main, newest.entry.id, expires_at)

    def glance(self, name: Name) -> str:
        """A hash of which versions there are, and which of them are enabled. May be repeated.

        Raises:
            NotOurs: No version of the object was written by credmgr.
        """
        entries = self._vault.versions(self._naming.of(name).main)
        self._shelves.require_ours(entries, name)
        told = sorted(f"{entry.id}{'+' if entry.enabled else '-'}" for entry in entries)
        return sha256(" ".join(told).encode()).hexdigest()[:32] if told else ""

    def salvage(self, name: Name) -> Secret:
        """The value that readers see now, whoever wrote it. May be repeated.

        Raises:
            SecretNotFound: They see none.
        """
        found = self._vault.get(self._naming.of(name).main).secret
        if found is None:
            raise SecretNotFound(f"{name} has no current secret")
        return found

    def mend(self, name: Name, secret: Secret, version: UUID) -> None:
        """Make `secret` what readers see, over what somebody wrote since.

        Raises:
            NotOurs: No version of the object was written by credmgr.
            LimitExceeded: The value is too long or no Unicode text.
            BackendUnavailable: What was written does not show yet.
        """
        _check(secret)
        main = self._naming.of(name).main
        entries = self._vault.versions(main)
        if entries and all(entry.name != name for entry in entries):
            raise NotOurs(f"the object of {name} in Key Vault was not written by credmgr")
        with suppress(SecretNotFound):
            shown = self._vault.get(main)
            if shown.entry.version == version and shown.secret == secret:
                return
        written, revived = self._shelves.write(main, name, secret, tags_of(name, version, None))
        known = revived.union(entry.id for entry in entries)
        self._shelves.wait_until_newest(main, written, known)
        ours = [entry for entry in entries if entry.enabled and entry.name == name]
        self._shelves.disable(main, ours)

    def check(self) -> None:
        """Prove that we can sign in, get and list. May be repeated.

        Whether we may write is not tried: it would leave something behind each time.

        Raises:
            AccessDenied: Signing in or a permission is refused; the message names the action.
            BackendUnavailable: The vault does not answer.
        """
        probe = self._naming.probe
        self._vault.versions(probe)
        with suppress(SecretNotFound):
            self._vault.get(probe)

    @property
    def ahead(self) -> timedelta | None:
        """How far the vault's clock was ahead of ours at its last answer."""
        return self._vault.server.ahead

    def permissions(self, names: Sequence[Name]) -> Sequence[Permission]:
        """What calls that cannot succeed show; nothing is changed.

        Beyond the secrets of this vault it cannot be known: the management API tells that, for who
        may read assignments, at another address and with other rights than credmgr has.

        Raises:
            BackendError: The vault cannot be asked at all.
        """
        return permissions_of(self._vault, self._naming, names)

    def close(self) -> None:
        """Close the connections; may be repeated."""
        self._vault.close()

    def _next(self, name: Name, spelled: Spelled) -> tuple[UUID, Secret] | None:
        held = self._held(self._shelves.newest(spelled.sibling, name))
        current = self._held(self._shelves.newest(spelled.main, name))
        promoted = held and current and held[0] == current[0]
        return None if promoted else held

    def _previous(self, name: Name, spelled: Spelled) -> tuple[UUID, Secret] | None:
        newest = self._shelves.newest(spelled.main, name)
        return self._linked(spelled, newest.entry.previous) if newest else None

    def _linked(self, spelled: Spelled, link: Link | None) -> tuple[UUID, Secret] | None:
        if link is None:
            return None
        return self._held(self._shelves.by_id(spelled.main, link.id, link.version))

    @staticmethod
    def _held(copy: Copy | None) -> tuple[UUID, Secret] | None:
        if copy is None or copy.secret is None or copy.entry.version is None:
            return None
        return copy.entry.version, copy.secret

    def _is_held(self, spelled: Spelled, main: Shelf, secret: Secret, version: UUID) -> bool:
        """Whether `version` is current or previous already; its value must be the same."""
        if main.version == version:
            _must_equal(main.secret, secret, version)
            return True
        for entry in main.enabled(version):
            copy = self._shelves.by_id(spelled.main, entry.id, version)
            if copy:
                _must_equal(copy.secret, secret, version)
        return _previous_of(main) == version

    def _promotable(self, name: Name, spelled: Spelled, main: Shelf, version: UUID) -> Secret:
        held = self._held(self._shelves.newest(spelled.sibling, name))
        if (held is None or held[0] != version) and main.newest:
            held = self._linked(spelled, main.newest.entry.previous)
        if held is None or held[0] != version:
            raise SecretNotFound(f"{name} has no version {version} to promote")
        return held[1]

    def _confirm(
        self, name: Name, spelled: Spelled, version: UUID, written: Entry, known: frozenset[str]
    ) -> None:
        """Read back what readers get, and whether anybody wrote between our look and now."""
        newest = self._shelves.wait_until_newest(spelled.main, written, known)
        others = [newest.entry, *self._vault.versions(spelled.main)]
        if any(other.id not in known and other.version != version for other in others):
            raise Conflict(f"{name} was written by somebody else at the same time")

    def _tidy(self, name: Name, spelled: Spelled, main: Shelf, version: UUID, keep: str) -> None:
        """Disable every other copy of what is current now."""
        doubles = [entry for entry in main.enabled(version) if entry.id != keep]
        self._shelves.disable(spelled.main, doubles)
        staged = self._shelves.look(spelled.sibling, name).enabled(version)
        self._shelves.disable(spelled.sibling, staged)

    def _delete_if_empty(self, sibling: str) -> None:
        # Read again: between the look and now somebody may have staged something else.
        if not any(entry.enabled for entry in self._vault.versions(sibling)):
            self._vault.delete(sibling)


def _previous_of(main: Shelf) -> UUID | None:
    link = main.newest.entry.previous if main.newest else None
    enabled = {entry.id for entry in main.enabled()}
    return link.version if link and link.id in enabled else None


def _must_equal(held: Secret | None, secret: Secret, version: UUID) -> None:
    if held != secret:
        raise Conflict(f"version {version} exists already with another value")


def _check(secret: Secret) -> None:
    text = secret.reveal()
    # A search, not a failed encoding: its exception would carry the value.
    if _SURROGATE.search(text):
        raise LimitExceeded("the value is not Unicode text")
    size = len(text.encode())
    if size > LIMITS.value_bytes:
        raise LimitExceeded(f"the value has {size} bytes; at most {LIMITS.value_bytes} fit")
