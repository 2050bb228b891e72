"""What the vault lets us do, as far as reading shows it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Final

from credmgr.backends.azure_key_vault.vault import DELETE, GET, LIST, RECOVER, SET, UPDATE, Vault
from credmgr.errors import AccessDenied, SecretNotFound
from credmgr.plugins.backend import Permission

_ACTION: Final = "Microsoft.KeyVault/vaults/secrets/"
_GRANT: Final = "assign the role of policies/backends/azure-role.json at the scope of the vault"
_UNKNOWN: Final = "only a write or the role assignments show it; compare them with azure-role.json"


def permissions_of(vault: Vault, names: Sequence[str]) -> Sequence[Permission]:
    """What is needed; each name is read, but only until one is refused."""
    return list(_found(vault, names))


def _found(vault: Vault, names: Sequence[str]) -> Iterator[Permission]:
    asking: dict[str, Callable[[str], object]] = {LIST: vault.versions, GET: vault.get}
    for action, ask in asking.items():
        yield _asked(action, ask, names)
    for action in (SET, UPDATE, DELETE, RECOVER):
        yield Permission(f"{_ACTION}{action}", needed=True, granted=None, fix=_UNKNOWN)
    yield Permission(f"anything beyond {_ACTION}", needed=False, granted=None, fix=_UNKNOWN)


def _asked(action: str, ask: Callable[[str], object], names: Sequence[str]) -> Permission:
    for name in names:
        try:
            with suppress(SecretNotFound):
                ask(name)
        except AccessDenied as error:
            what = f"{_ACTION}{action} ({error.message})"
            return Permission(what, needed=True, granted=False, fix=error.hint or _GRANT)
    return Permission(f"{_ACTION}{action}", needed=True, granted=True)
