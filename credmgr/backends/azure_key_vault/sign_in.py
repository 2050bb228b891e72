"""The credential that signs in to Microsoft Entra, for each way of signing in."""

from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any, Final, assert_never

from azure.core.credentials import AccessToken, AccessTokenInfo, TokenCredential
from azure.core.exceptions import ServiceRequestTimeoutError
from azure.identity import (
    CertificateCredential,
    ClientSecretCredential,
    DefaultAzureCredential,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)

from credmgr.backends.azure_key_vault.options import AzureAuth
from credmgr.backends.azure_key_vault.transport import left, refused
from credmgr.errors import ConfigError
from credmgr.plugins.context import PluginContext


def credential_of(
    auth: AzureAuth, context: PluginContext, settings: Mapping[str, Any]
) -> TokenCredential:
    """The credential, for many threads; nothing is asked of anybody yet.

    Args:
        auth: The way of signing in.
        context: Resolves references; relative paths start at its home.
        settings: What every pipeline of the SDK is given.

    Raises:
        ConfigError: A reference leads nowhere, or the certificate or the token file is no use.
    """
    try:
        return OneSignIn(_made(auth, context, settings))
    except (ValueError, OSError, TypeError) as error:
        problem = ConfigError(f"auth of {context.name}: {auth.method} cannot be used", hint=_HINT)
        problem.add_note(type(error).__name__)
    raise problem  # outside of `except`: what was wrong may quote the password


_ANEW: Final = "{}"
"""Claims that ask for nothing; with any, the SDK does not take a token out of its cache."""


class OneSignIn:
    """A credential by which one thread at a time signs in, and the others get what it got.

    The SDK's own gives a token that the vault refused again and again, until it ends, unless the
    vault says which claims it misses.

    Args:
        credential: The SDK's.
    """

    def __init__(self, credential: Any) -> None:
        self._credential = credential
        self._given: AccessTokenInfo | None = None
        self._lock = Lock()

    def get_token_info(self, *scopes: str, options: Any = None) -> AccessTokenInfo:
        """A token that was not refused in this call.

        Raises:
            ClientAuthenticationError: Signing in failed.
            ServiceRequestTimeoutError: Another thread is still at it.
        """
        wanted, old = dict(options or {}), refused()
        if not self._lock.acquire(timeout=left()):
            raise ServiceRequestTimeoutError("signing in takes too long")
        try:
            if old and self._given and self._given.token != old:
                return self._given
            if old:
                wanted["claims"] = wanted.get("claims") or _ANEW
            self._given = self._credential.get_token_info(*scopes, options=wanted)
            return self._given
        finally:
            self._lock.release()

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """The same for who knows no other way of asking."""
        found = self.get_token_info(*scopes, options=options)
        return AccessToken(found.token, found.expires_on)

    def close(self) -> None:
        """Close the connections."""
        self._credential.close()


_HINT = "look at the file, its password and the ids"


def _made(auth: AzureAuth, context: PluginContext, settings: Mapping[str, Any]) -> Any:
    match auth.method:
        case "default":
            return _default(auth, context, settings)
        case "managed-identity":
            return ManagedIdentityCredential(client_id=auth.client_id or None, **settings)
        case "client-secret":
            secret = context.references.resolve(auth.client_secret or "").reveal()
            return ClientSecretCredential(auth.tenant_id, auth.client_id, secret, **settings)
        case "certificate":
            return _certificate(auth, context, settings)
        case "workload-identity":
            return WorkloadIdentityCredential(
                tenant_id=auth.tenant_id or None,
                client_id=auth.client_id or None,
                token_file_path=str(context.home / auth.token_file) if auth.token_file else None,
                **settings,
            )
        case _:
            assert_never(auth.method)


def _default(
    auth: AzureAuth, context: PluginContext, settings: Mapping[str, Any]
) -> TokenCredential:
    chosen = {"managed_identity_client_id": auth.client_id} if auth.client_id else {}
    seconds = max(int(context.deadline.total_seconds()), 1)
    return DefaultAzureCredential(process_timeout=seconds, **chosen, **settings)


def _certificate(
    auth: AzureAuth, context: PluginContext, settings: Mapping[str, Any]
) -> TokenCredential:
    password = auth.certificate_password
    return CertificateCredential(
        auth.tenant_id,
        auth.client_id,
        str(context.home / Path(auth.certificate).expanduser()),
        password=context.references.resolve(password).reveal() if password else None,
        **settings,
    )
