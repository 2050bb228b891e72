"""What the vault lets us do, by calls that cannot succeed.

The vault says 403 to who may not, and otherwise that there is no such object (404) or nothing to do
in the request (400). So each action is tried on a name of this moment, with 16 random bytes in it;
a secret is "set" without a value, and "restored" from nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final

from azure.keyvault.secrets import SecretClient

from credmgr.backends.azure_key_vault.failures import Call, Malformed
from credmgr.backends.azure_key_vault.naming import Naming
from credmgr.backends.azure_key_vault.vault import DELETE, GET, LIST, RECOVER, SET, UPDATE, Vault
from credmgr.errors import AccessDenied, SecretNotFound
from credmgr.model.names import Name
from credmgr.plugins.backend import Permission

_Vain = Callable[[SecretClient, str], object]
_ACTION: Final = "Microsoft.KeyVault/vaults/secrets/"
_GRANT: Final = "assign the role of policies/backends/azure-role.json at the scope of the vault"
_TAKE: Final = "assign a role without it, as policies/backends/azure-role.json is"
_UNKNOWN: Final = "only the role assignments show it; compare them with azure-role.json"
_NO_VERSION: Final = "0" * 32
_NEEDED: Final[Mapping[str, _Vain]] = {
    SET: lambda client, name: client.set_secret(name, None),  # type: ignore[arg-type] # in vain
    UPDATE: lambda client, name: client.update_secret_properties(name, _NO_VERSION, enabled=False),
    DELETE: lambda client, name: client.begin_delete_secret(name),
    RECOVER: lambda client, name: client.begin_recover_deleted_secret(name),
}
_BEYOND: Final[Mapping[str, _Vain]] = {
    "purge/action": lambda client, name: client.purge_deleted_secret(name),
    "backup/action": lambda client, name: client.backup_secret(name),
    "restore/action": lambda client, _: client.restore_secret_backup(b""),
}


def permissions_of(vault: Vault, naming: Naming, names: Sequence[Name]) -> Sequence[Permission]:
    """What is needed and what is beyond; each name is read, but only until one is refused."""
    return list(_found(vault, naming, names))


def _found(vault: Vault, naming: Naming, names: Sequence[Name]) -> Iterator[Permission]:
    places = [naming.probe, *(naming.of(name).main for name in names)]
    reading: dict[str, Callable[[str], object]] = {LIST: vault.versions, GET: vault.get}
    for action, ask in reading.items():
        yield _read(action, ask, places)
    for action, vain in _NEEDED.items():
        refused = _refused(vault, action, naming.unused, vain)
        yield _needed(action, refused)
    for action, vain in _BEYOND.items():
        granted = _refused(vault, action, naming.unused, vain) is None
        yield Permission(f"{_ACTION}{action}", needed=False, granted=granted, fix=_TAKE)
    yield Permission(f"anything beyond {_ACTION}", needed=False, granted=None, fix=_UNKNOWN)


def _read(action: str, ask: Callable[[str], object], places: Sequence[str]) -> Permission:
    for place in places:
        try:
            with suppress(SecretNotFound):
                ask(place)
        except AccessDenied as error:
            return _needed(action, error)
    return _needed(action, None)


def _needed(action: str, refused: AccessDenied | None) -> Permission:
    if refused is None:
        return Permission(f"{_ACTION}{action}", needed=True, granted=True)
    what = f"{_ACTION}{action} ({refused.message})"
    return Permission(what, needed=True, granted=False, fix=refused.hint or _GRANT)


def _refused(vault: Vault, action: str, name: str, vain: _Vain) -> AccessDenied | None:
    """The refusal; None when only the object or the value was missing."""
    try:
        vault.ask(Call(action, name), lambda client: vain(client, name))
    except AccessDenied as error:
        return error
    except (SecretNotFound, Malformed):
        return None
    return None
