"""Entries of the mount: read, written by compare-and-set, marked, destroyed.

An entry is a KV v2 path with numbered versions. Each version that we write holds the value and,
under `credmgr_version`, credmgr's id of it: so a value and its id are written in one step, and
`kv rollback` brings back both. `custom_metadata` would not do: it belongs to the path and not to
the version, and on Vault it has no compare-and-set. There stands the mark, which never changes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from credmgr.backends.vault.connection import Connection, part
from credmgr.backends.vault.documents import Layout
from credmgr.backends.vault.faults import Nonsense, Refused
from credmgr.errors import BackendError, CorruptSecret, LimitExceeded
from credmgr.model.secret import Secret

MARK: Final[Mapping[str, str]] = {"managed-by": "credmgr"}
SIBLING: Final = ".next"
"""Ends the path that holds `next`; a name has no dot, so it is no other name's."""
KEPT: Final = 10
"""How many versions an entry keeps at least (of which we use two), whatever the mount's setting."""
MOST_NOTES: Final = 64
LONGEST_NOTE: Final = (128, 512)
"""Bytes of a key and of its value in `custom_metadata`, beyond which a server takes none of it."""
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Entry:
    """One version of a path, mostly the newest.

    Attributes:
        path: Path below the mount.
        number: The server's number of the version; 0 when the path does not exist.
        document: The fields; None when the version is deleted, destroyed or absent.
        version: credmgr's id in it; None when there is none.
        written_at: When it was written.
        notes: The path's `custom_metadata`.
    """

    path: str
    number: int = 0
    document: Mapping[str, Any] | None = field(default=None, repr=False)
    version: UUID | None = None
    written_at: datetime = _NEVER
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def marked(self) -> bool:
        """Whether the path carries our mark."""
        return MARK.items() <= self.notes.items()

    @property
    def foreign(self) -> bool:
        """Whether somebody else made the path."""
        return self.number > 0 and not self.marked and self.version is None

    @property
    def overwritten(self) -> bool:
        """Whether the version holds something that we did not write."""
        return self.document is not None and self.version is None


class Entries:
    """The calls to a mount that the backend makes. Thread-safe."""

    def __init__(self, connection: Connection, mount: str, layout: Layout) -> None:
        self._connection = connection
        self._mount = mount
        self._layout = layout

    def read(self, path: str, number: int | None = None) -> Entry:
        """A version of a path, the newest when `number` is None. May be repeated."""

        def request(client: Any) -> Entry:
            try:
                answer = client.secrets.kv.v2.read_secret_version(
                    path, version=number, mount_point=self._mount, raise_on_deleted_version=True
                )
            except Refused as error:
                if not error.absent:
                    raise
                if error.metadata is None:
                    return Entry(path)
                answer = {"data": {"data": None, "metadata": error.metadata}}
            return self._entry(path, answer)

        found = self._connection.call(f"{self._mount}/data/{path}", "read", request)
        assert isinstance(found, Entry)  # noqa: S101 (narrows the type)
        return found

    def newest(self, path: str) -> tuple[str, bool]:
        """Which version of a path is the newest and whether it still has a value, without it.

        Returns:
            The number, `4` or `4 gone`; `0` when the path does not exist; and whether somebody
            else may have made the path, since it has no mark. May be repeated.
        """

        def request(client: Any) -> tuple[str, bool]:
            try:
                answer = client.secrets.kv.v2.read_secret_metadata(path, mount_point=self._mount)
            except Refused as error:
                if not error.absent:
                    raise
                return "0", False
            number = part(answer, "data", "current_version")
            versions = part(answer, "data", "versions")
            newest = part(answer, "data", "versions", str(number)) if versions else {}
            notes = part(answer, "data").get("custom_metadata") or {}
            if not isinstance(newest, dict) or not isinstance(notes, dict):
                raise Nonsense
            gone = newest.get("deletion_time") or newest.get("destroyed")
            return f"{number} gone" if gone else str(number), not MARK.items() <= notes.items()

        told, unmarked = self._connection.call(f"{self._mount}/metadata/{path}", "read", request)
        return str(told), bool(unmarked)

    def value(self, entry: Entry) -> Secret:
        """The secret of a version that has one.

        Raises:
            CorruptSecret: It is not laid out as the options say.
        """
        value = self._layout.value(entry.document or {})
        if value is None:
            raise CorruptSecret(
                f"version {entry.number} of {entry.path} does not have the fields that it must",
                hint="have `layout` or `field` changed, or did somebody write over it?",
            )
        return value

    def write(self, over: Entry, secret: Secret, version: UUID) -> Entry:
        """A new version over the newest one, if that is still `over`; `mark` is to follow.

        Raises:
            Conflict: Somebody else wrote first.
            LimitExceeded: The secret does not fit the layout, or the mark does not fit the path.
        """
        document = self._layout.document(secret, version)
        markable(over)

        def request(client: Any) -> Entry:
            answer = client.secrets.kv.v2.create_or_update_secret(
                over.path, secret=document, cas=over.number, mount_point=self._mount
            )
            written = _newest(over.path, part(answer, "data"), document, version)
            if answer["data"].get("deletion_time"):
                raise BackendError(
                    f"{over.path}: the mount lets versions die by themselves",
                    hint="set delete_version_after of the mount to 0s",
                )
            return replace(written, notes=written.notes or over.notes)  # old servers tell none

        path = f"{self._mount}/data/{over.path}"
        written = self._connection.call(path, "update" if over.number else "create", request)
        assert isinstance(written, Entry)  # noqa: S101 (narrows the type)
        return written

    def mark(self, entry: Entry) -> None:
        """Put the mark on a path that has none, beside notes of other people. May be repeated.

        Raises:
            LimitExceeded: Their notes leave no room for it.
        """
        if entry.marked:
            return
        notes = markable(entry)

        def request(client: Any) -> None:
            client.secrets.kv.v2.update_metadata(
                entry.path,
                max_versions=KEPT,
                cas_required=True,
                mount_point=self._mount,
                custom_metadata=notes,
            )

        self._connection.call(f"{self._mount}/metadata/{entry.path}", "update", request)

    def destroy(self, path: str, numbers: Sequence[int]) -> None:
        """Destroy the values of versions for good; those that are gone already are no error."""
        if not numbers:
            return

        def request(client: Any) -> None:
            client.secrets.kv.v2.destroy_secret_versions(
                path, versions=list(numbers), mount_point=self._mount
            )

        self._connection.call(f"{self._mount}/destroy/{path}", "update", request)

    def remove(self, path: str) -> None:
        """Remove a path with all versions; an absent one is no error."""

        def request(client: Any) -> None:
            client.secrets.kv.v2.delete_metadata_and_all_versions(path, mount_point=self._mount)

        self._connection.call(f"{self._mount}/metadata/{path}", "delete", request)

    def _entry(self, path: str, answer: Any) -> Entry:
        metadata = part(answer, "data", "metadata")
        document = part(answer, "data", "data")
        if not (document is None or isinstance(document, dict)):
            raise Nonsense
        return _newest(path, metadata, document, self._layout.version(document or {}))


def markable(entry: Entry) -> Mapping[str, str]:
    """The notes of a path with our mark among them.

    Raises:
        LimitExceeded: The server would not take them.
    """
    notes = {**entry.notes, **MARK}
    if entry.marked or (len(notes) <= MOST_NOTES and all(map(_short, notes.items()))):
        return notes
    raise LimitExceeded(
        f"the custom_metadata of {entry.path} have no room for credmgr's mark",
        hint=f"{MOST_NOTES} pairs fit, of {LONGEST_NOTE[0]} and {LONGEST_NOTE[1]} bytes:"
        " take one out",
    )


def _short(note: tuple[str, str]) -> bool:
    sizes = (len(str(text).encode(errors="surrogatepass")) for text in note)
    return all(size <= most for size, most in zip(sizes, LONGEST_NOTE, strict=True))


def up_to(number: int) -> Sequence[int]:
    """The numbers of the versions at and before `number` that can still have a value."""
    return range(max(1, number - KEPT), number + 1)


def _newest(
    path: str, metadata: Any, document: Mapping[str, Any] | None, version: UUID | None
) -> Entry:
    number, notes = part(metadata, "version"), metadata.get("custom_metadata") or {}
    if not isinstance(number, int) or not isinstance(notes, dict):
        raise Nonsense
    return Entry(path, number, document, version, _moment(part(metadata, "created_time")), notes)


def _moment(text: Any) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise Nonsense from None
    return found.astimezone(UTC)
