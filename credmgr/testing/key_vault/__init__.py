"""A Key Vault on loopback, for machines without an emulator; it needs nothing from Azure."""

from credmgr.testing.faults import Fault, Harm
from credmgr.testing.key_vault.server import FakeKeyVault
from credmgr.testing.key_vault.tokens import StaticToken, Token

__all__ = ["FakeKeyVault", "Fault", "Harm", "StaticToken", "Token"]
