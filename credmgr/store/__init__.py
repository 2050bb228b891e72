"""The state database: what is declared, what is going on, what was done; never a secret."""

from credmgr.store.store import Store, open_store

__all__ = ["Store", "open_store"]
