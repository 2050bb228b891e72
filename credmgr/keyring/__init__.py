"""The data keys of one installation, wrapped at rest by a master key (docs/keyring.md)."""

from credmgr.keyring.disk import Disk, NotAPlainFile, NotPrivate
from credmgr.keyring.keyring import Keyring
from credmgr.keyring.master import Master, MasterKey, create_master_key

__all__ = [
    "Disk",
    "Keyring",
    "Master",
    "MasterKey",
    "NotAPlainFile",
    "NotPrivate",
    "create_master_key",
]
