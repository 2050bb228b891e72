"""What must be true of a secret that a person brings, before anything is written."""

from credmgr.errors import NotAllowedNow, SecretRejected
from credmgr.model.credential import Credential
from credmgr.model.names import Name
from credmgr.model.version import VersionStatus
from credmgr.plugins.issuer import Issuer, IssuerClass
from credmgr.rotation.ports import Outside
from credmgr.rotation.work import Supplied, Tools


def require_fit(
    tools: Tools, outside: Outside, name: Name, supplied: Supplied, *, waited_for: bool
) -> None:
    """A wrong paste, a wrong id, or a secret that is known already is told at once.

    Args:
        tools: What every rotation works with.
        outside: The sessions.
        name: The credential.
        supplied: What the person brings.
        waited_for: Whether a rotation asked for it, so that its name at the issuer is our label.

    Raises:
        SecretRejected: It does not log in.
        NotAllowedNow: It is known already, or the issuer has it under an id that was not given.
    """
    credential = tools.ledger.enrolled(name).credential
    issuer = outside.issuer(credential)
    try:
        issuer.verify(credential, supplied.secret)
    except SecretRejected as error:
        raise SecretRejected(
            f"{credential.issuer} does not accept this secret for {name}; nothing was changed",
            hint="copy it again; a new one may take a moment until it works",
        ) from error
    _require_new(tools, name, supplied)
    _require_id(credential, issuer, supplied, waited_for=waited_for)


def _require_new(tools: Tools, name: Name, supplied: Supplied) -> None:
    """Replacing a secret by itself would end with revoking the one in use."""
    fingerprint = tools.fingerprinter.of(supplied.secret)
    others = tools.ledger.current_versions().values()
    for one in (*tools.ledger.versions(name), *others):
        if one.fingerprint == fingerprint and one.status is not VersionStatus.REVOKED:
            raise NotAllowedNow(
                f"this secret is known already: it is {one.secret_id} of {one.credential}",
                hint="make a new one at the issuer, and import that",
            )
        if one.credential == name and one.secret_id == supplied.secret_id:
            raise NotAllowedNow(f"{name} has a secret {one.secret_id} already, of another value")


def _require_id(
    credential: Credential, issuer: Issuer, supplied: Supplied, *, waited_for: bool
) -> None:
    """One day it is to be revoked, so it must be known by the name that the issuer has for it."""
    if issuer.traits.issuer_class is IssuerClass.MANUAL:
        if supplied.secret_id is None and not waited_for:
            raise NotAllowedNow(
                f"no rotation asked for it, so its name at {credential.issuer} is not known",
                hint="say it with `--secret-id NAME`, as the dashboard shows it",
            )
        return
    ids = [one.secret_id for one in issuer.list(credential)]
    if issuer.traits.lists and supplied.secret_id not in ids:
        raise NotAllowedNow(
            f"{credential.issuer} must know the secret by its id, to revoke it one day",
            hint=f"say with `--secret-id` which of {', '.join(ids)} it is",
        )
