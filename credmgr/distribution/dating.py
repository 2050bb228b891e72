"""Noting beside a copy when it dies by itself, where its store can say so."""

from datetime import datetime
from uuid import UUID

from credmgr.model.credential import Place
from credmgr.plugins.backend import Dated, SecretBackend


def date(backend: SecretBackend, place: Place, version: UUID, expires_at: datetime | None) -> None:
    """Note it, if it is known and `version` is what readers see. May be repeated.

    A store forgets it with every write that makes another version current, a rollback included.

    Raises:
        BackendError: The store does not take it.
    """
    if expires_at is not None and isinstance(backend, Dated):
        backend.date(place.name, version, expires_at)
