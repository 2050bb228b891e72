"""Vault and OpenBao as a `SecretBackend`.

    <prefix>/<name>         newest version: `current`; the one before it: `previous`
    <prefix>/<name>.next    newest version: `next`, unless that has become current

A name has no dot, so a sibling is never another name's entry. The number that a promotion compares
and sets is that of the newest version; everything before `previous` is destroyed after it, and
whatever a crash left is destroyed when the call is repeated, or by the next one.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from uuid import UUID

from credmgr.backends.vault.connection import Connection
from credmgr.backends.vault.documents import layout_of
from credmgr.backends.vault.entries import SIBLING, Entries, Entry, markable, up_to
from credmgr.backends.vault.options import VaultOptions
from credmgr.backends.vault.permissions import permissions_of, prove_permissions
from credmgr.errors import Conflict, CorruptSecret, NotOurs, SecretNotFound
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.model.version import Stage
from credmgr.plugins.backend import Held, HeldVersion, Permission


class VaultBackend:
    """A KV v2 mount. Thread-safe, and safe between processes: every write compares and sets."""

    def __init__(self, connection: Connection, entries: Entries, options: VaultOptions) -> None:
        self._connection = connection
        self._entries = entries
        self._layout = layout_of(options)
        self._mount = options.mount
        self._prefix = options.prefix
        self._adopt = options.adopt

    def read(self, name: Name, stage: Stage = Stage.CURRENT) -> Held:
        """The copy at `stage`. May be repeated.

        Raises:
            SecretNotFound: Nothing is at that stage.
            CorruptSecret: Somebody wrote something else over it.
            NotOurs: What is there was not written by credmgr.
        """
        main = self._main(name)
        found = main if stage is Stage.CURRENT else self._beside(main, stage)
        if found is main and main.overwritten and not self._adopt:
            raise CorruptSecret(f"version {main.number} of {main.path} was not written by credmgr")
        if found is None or found.version is None:
            raise SecretNotFound(f"{name} has no {stage} secret")
        return Held(found.version, stage, self._entries.value(found))

    def stage(self, name: Name, secret: Secret, version: UUID) -> None:
        """Write `secret` as `next`. Repeating it with the same version and value changes nothing.

        Raises:
            Conflict: `version` exists already with another value, or somebody else staged first.
            LimitExceeded: The value does not fit, or credmgr's mark beside notes of other people.
            NotOurs: The name holds something that credmgr did not write.
        """
        self._layout.document(secret, version)
        main = self._main(name)
        markable(main)  # before anything is staged that could not be promoted
        sibling = self._owned(self._entries.read(_sibling(main)))
        for held in (main, sibling, self._before(main)):
            if held.version == version:
                self._same(held, secret, version)
                self._entries.mark(held)
                return
        if sibling.document is not None:
            self._unstage(sibling)
        try:
            sibling = self._entries.write(sibling, secret, version)
        except Conflict:
            sibling = self._entries.read(sibling.path)
            if sibling.version != version:
                raise
            self._same(sibling, secret, version)
        self._entries.mark(sibling)

    def promote(self, name: Name, version: UUID, expect: UUID | None) -> None:
        """Make `version` current, if `current` is `expect`. May be repeated.

        Raises:
            Conflict: `current` is neither `expect` nor `version`.
            SecretNotFound: `version` is neither `next` nor `previous`.
            LimitExceeded: Notes of other people leave no room for credmgr's mark.
            NotOurs: The name holds something that credmgr did not write.
        """
        main = self._main(name)
        if main.version == version:
            self._cleared(main, self._entries.read(_sibling(main)))
            return
        try:
            self._move(main, version, expect)
        except (Conflict, SecretNotFound):
            main = self._main(name)
            if main.version != version:
                raise
            # Somebody else has just done the same, and may have died before clearing up.
            self._cleared(main, self._entries.read(_sibling(main)), also=expect)

    def discard(self, name: Name, version: UUID) -> None:
        """Destroy the value of a version that is not current. An absent one is no error.

        Raises:
            Conflict: `version` is current.
            NotOurs: The name holds something that credmgr did not write.
        """
        main = self._main(name)
        if main.version == version:
            raise Conflict(f"version {version} of {name} is current")
        sibling = self._owned(self._entries.read(_sibling(main)))
        if sibling.version == version:
            self._unstage(sibling)
        if main.foreign:  # to be taken over by a promotion, and not before
            return
        is_previous = self._before(main).version == version
        self._entries.destroy(main.path, up_to(main.number - (1 if is_previous else 2)))

    def versions(self, name: Name) -> Sequence[HeldVersion]:
        """Every version held, newest first; empty when the name is unknown. May be repeated.

        Raises:
            NotOurs: What is there was not written by credmgr.
        """
        return sorted(self._staged(name), key=lambda held: held.written_at, reverse=True)

    def current(self, name: Name) -> UUID | None:
        """The version that readers see, from one read. May be repeated.

        Raises:
            NotOurs: What is there was not written by credmgr.
        """
        return self._main(name).version

    def delete(self, name: Name) -> None:
        """Remove the name with all of its versions, for good. An absent one is no error.

        Raises:
            NotOurs: The name holds something that credmgr did not write.
        """
        main = self._owned(self._main(name))
        sibling = self._owned(self._entries.read(_sibling(main)))
        for entry in (sibling, main):  # the name's own entry last, so that a repeat sees it
            if entry.number:
                self._entries.remove(entry.path)

    def glance(self, name: Name) -> str:
        """Which version is the newest and whether it has a value, from the path's metadata.

        Where the path has lost its mark, a second call looks whether the value has credmgr's id.
        May be repeated.

        Raises:
            NotOurs: What is there was not written by credmgr.
        """
        newest, unmarked = self._entries.newest(self._path(name))
        if unmarked:
            self._main(name)
        return newest

    def salvage(self, name: Name) -> Secret:
        """The value that readers see now, whoever wrote it. May be repeated.

        Raises:
            SecretNotFound: They see none.
            CorruptSecret: It is not laid out as the options say.
        """
        entry = self._entries.read(self._path(name))
        if entry.document is None:
            raise SecretNotFound(f"{name} has no current secret")
        return self._entries.value(entry)

    def mend(self, name: Name, secret: Secret, version: UUID) -> None:
        """Make `secret` what readers see, over what somebody wrote since. May be repeated.

        Raises:
            NotOurs: The path was not made by credmgr.
            Conflict: Somebody else wrote again in the meantime.
            LimitExceeded: The value does not fit, or credmgr's mark beside notes of other people.
        """
        main = self._main(name)
        if not self._shows(main, secret, version):
            try:
                main = self._entries.write(main, secret, version)
            except Conflict:
                main = self._main(name)
                if not self._shows(main, secret, version):
                    raise
        self._entries.mark(main)
        self._entries.destroy(main.path, up_to(main.number - 2))

    def check(self) -> None:
        """Prove that we are signed in, that the mount is KV v2 and that the policy suffices.

        Raises:
            BackendError: Something is amiss; message and hint say what to mend.
        """
        self._connection.mount_is_kv2()
        prove_permissions(self._connection, self._entries, self._mount, self._prefix)

    @property
    def ahead(self) -> timedelta | None:
        """How far the server's clock was ahead of ours at its last answer."""
        return self._connection.ahead

    def permissions(self, names: Sequence[Name]) -> Sequence[Permission]:
        """What the server says of our token; where it may not be asked, what a probe shows.

        Raises:
            BackendError: The server cannot be asked at all.
        """
        paths = [self._path(name) for name in names]
        return permissions_of(self._connection, self._entries, self._mount, self._prefix, paths)

    def close(self) -> None:
        """Revoke the token if this session made it, and close the connections."""
        self._connection.close()

    def _main(self, name: Name) -> Entry:
        entry = self._entries.read(self._path(name))
        return entry if self._adopt else self._owned(entry)

    def _path(self, name: Name) -> str:
        return f"{self._prefix}/{name}" if self._prefix else str(name)

    def _owned(self, entry: Entry) -> Entry:
        if entry.foreign:
            raise NotOurs(
                f"{self._mount}/{entry.path} was not written by credmgr",
                hint="choose another name, or set `adopt` to take it over",
            )
        return entry

    def _before(self, main: Entry) -> Entry:
        """The version before the newest one, if it still has a value of ours."""
        if main.number < 2:  # noqa: PLR2004 (the first has none before it)
            return Entry(main.path)
        entry = self._entries.read(main.path, main.number - 1)
        return Entry(main.path) if entry.version == main.version else entry

    def _beside(self, main: Entry, stage: Stage) -> Entry | None:
        if stage is Stage.PREVIOUS:
            return self._before(main)
        sibling = self._owned(self._entries.read(_sibling(main)))
        return None if sibling.version == main.version else sibling

    def _staged(self, name: Name) -> Iterator[HeldVersion]:
        main = self._main(name)
        if main.version:
            yield HeldVersion(main.version, Stage.CURRENT, main.written_at)
        for stage in (Stage.NEXT, Stage.PREVIOUS):
            entry = self._beside(main, stage)
            if entry is not None and entry.version:
                yield HeldVersion(entry.version, stage, entry.written_at)

    def _shows(self, held: Entry, secret: Secret, version: UUID) -> bool:
        """Whether it is that; a field that is gone or no string is another value, no error."""
        return held.version == version and self._layout.value(held.document or {}) == secret

    def _same(self, held: Entry, secret: Secret, version: UUID) -> None:
        if self._entries.value(held) != secret:
            raise Conflict(f"version {version} of {held.path} exists already with another value")

    def _move(self, main: Entry, version: UUID, expect: UUID | None) -> None:
        if main.overwritten and not self._adopt:
            raise Conflict(f"version {main.number} of {main.path} was not written by credmgr")
        if main.version != expect:
            raise Conflict(f"{main.path} has the current version {main.version}, not {expect}")
        sibling = self._owned(self._entries.read(_sibling(main)))
        found = sibling if sibling.version == version else self._before(main)
        if found.version != version:
            raise SecretNotFound(f"{main.path} has no version {version} to promote")
        now = self._entries.write(main, self._entries.value(found), version)
        self._cleared(now, sibling, also=main.version)

    def _cleared(self, main: Entry, sibling: Entry, also: UUID | None = None) -> None:
        """Mark the entry, destroy what is before `previous`, and what was `next`."""
        self._entries.mark(main)
        self._entries.destroy(main.path, up_to(main.number - 2))
        if sibling.version is not None and sibling.version in (main.version, also):
            self._unstage(sibling)

    def _unstage(self, sibling: Entry) -> None:
        self._entries.mark(sibling)  # first, since a destroyed version has no id to know it by
        self._entries.destroy(sibling.path, up_to(sibling.number))


def _sibling(main: Entry) -> str:
    return f"{main.path}{SIBLING}"
