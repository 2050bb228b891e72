"""The vault: one method for each call that is made, in our types and with our errors."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any, Final, TypeVar

from azure.core.credentials import TokenCredential
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.keyvault.secrets import SecretClient, SecretProperties

from credmgr.backends.azure_key_vault.failures import Call, SoftDeleted, Throttled, translated
from credmgr.backends.azure_key_vault.options import LIMITS, AzureOptions
from credmgr.backends.azure_key_vault.tagging import Entry, entry_of
from credmgr.backends.azure_key_vault.transport import BoundedTransport, within
from credmgr.errors import BackendUnavailable, CorruptSecret, LimitExceeded, SecretNotFound
from credmgr.model.clock import Clock
from credmgr.model.secret import Secret
from credmgr.plugins.clocks import ServerClock
from credmgr.plugins.context import PluginContext
from credmgr.plugins.templates import Template

_T = TypeVar("_T")
GET: Final = "getSecret/action"
LIST: Final = "readMetadata/action"
SET: Final = "setSecret/action"
UPDATE: Final = "update/action"
DELETE: Final = "delete"
RECOVER: Final = "recover/action"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SILENT: Final = logging.getLogger(f"{__name__}.silent")
_SILENT.disabled = True


def pipeline_settings(
    options: AzureOptions,
    context: PluginContext,
    heard: Callable[[str | None], None] = lambda _: None,
) -> dict[str, Any]:
    """What every pipeline of the SDK is given, the vault's and the sign-in's.

    Nothing is repeated or redirected, nothing is logged, and each has connections of its own.
    """
    bundle = str(context.home / options.ca_bundle) if options.ca_bundle else None
    return {
        "transport": BoundedTransport(context.workers, bundle, heard),
        "retry_total": 0,
        "permit_redirects": False,
        "logger": _SILENT,  # of HttpLoggingPolicy
        "logging_policy": SansIOHTTPPolicy(),  # in the place of NetworkTraceLoggingPolicy
    }


@dataclass(frozen=True, slots=True)
class Copy:
    """A version with its value; without one when the vault does not give it out."""

    entry: Entry
    secret: Secret | None


class Vault:
    """One Key Vault. Thread-safe; each method is one call, except that a list has pages."""

    def __init__(
        self, options: AzureOptions, context: PluginContext, credential: TokenCredential
    ) -> None:
        version = {"api_version": options.api_version} if options.api_version else {}
        self.server = ServerClock(context.clock)
        self._client = SecretClient(
            options.vault_url,
            credential,
            verify_challenge_resource=options.verify_challenge_resource,
            **version,
            **pipeline_settings(options, context, self.server.heard),
        )
        self._credential: TokenCredential | None = credential
        self._content_type = options.content_type
        self._template = Template.of(options.template or "{{ secret }}")
        self._tags = dict(options.tags)
        self._gate = _Gate(context.clock)
        self._clock = context.clock
        self._deadline = context.deadline

    def get(self, name: str, identifier: str | None = None) -> Copy:
        """A version with its value; the newest one, unless `identifier` says which.

        Raises:
            Disabled: It is there and disabled.
            SecretNotFound: There is none.
            CorruptSecret: It is ours and not as the template has it.
        """
        found = self._ask(Call(GET, name), lambda: self._client.get_secret(name, identifier))
        # a disabled one need not be refused: the attribute says it as well
        shown = found.value if found.properties.enabled is not False else None
        value, entry = self._template.inside(shown) if shown else None, _entry(found.properties)
        if shown and not value and entry.version:
            raise CorruptSecret(
                f"{name} does not hold what the option template says",
                hint="put the template back that it was written with, or delete it in the vault",
            )
        return Copy(entry, Secret(value) if value else None)

    def versions(self, name: str) -> Sequence[Entry]:
        """Every version, in no order; empty when there is none."""

        def pages() -> list[SecretProperties]:
            return list(self._client.list_properties_of_secret_versions(name))

        try:
            return [_entry(found) for found in self._ask(Call(LIST, name), pages)]
        except SecretNotFound:
            return ()

    def set(self, name: str, secret: Secret, tags: Mapping[str, str]) -> Entry:
        """Write a new version. Repeated, it makes two.

        Raises:
            SoftDeleted: The name has to be recovered first.
            Settling: It is being deleted or recovered.
            LimitExceeded: The template makes the value too long.
        """
        text = self._template.filled(secret.reveal())
        size = len(text.encode())
        if size > LIMITS.value_bytes:
            raise LimitExceeded(f"the value has {size} bytes; at most {LIMITS.value_bytes} fit")
        written = self._ask(
            Call(SET, name),
            lambda: self._client.set_secret(
                name,
                text,
                tags={**self._tags, **tags},
                content_type=self._content_type,
            ),
        )
        return _entry(written.properties)

    def disable(self, name: str, identifier: str) -> None:
        """Let the vault no longer give a version out. May be repeated."""
        self._ask(
            Call(UPDATE, name),
            lambda: self._client.update_secret_properties(name, identifier, enabled=False),
        )

    def date(self, name: str, identifier: str, expires_at: datetime) -> None:
        """Let a version say when it dies: the attribute `exp`, by which others are warned."""
        self._ask(
            Call(UPDATE, name),
            lambda: self._client.update_secret_properties(name, identifier, expires_on=expires_at),
        )

    def delete(self, name: str) -> None:
        """Begin to soft-delete an object with all of its versions. An absent one is no error."""
        try:
            self._ask(Call(DELETE, name), lambda: self._client.begin_delete_secret(name))
        except (SecretNotFound, SoftDeleted):
            return

    def deleted(self, name: str) -> Entry:
        """What a soft-deleted object's newest version says of itself.

        Raises:
            SecretNotFound: There is none, or not yet, or no longer.
        """
        found = self._ask(Call(LIST, name), lambda: self._client.get_deleted_secret(name))
        return _entry(found.properties)

    def recover(self, name: str) -> None:
        """Begin to recover a soft-deleted object.

        Raises:
            SecretNotFound: There is none.
        """
        self._ask(Call(RECOVER, name), lambda: self._client.begin_recover_deleted_secret(name))

    def ask(self, call: Call, ask: Callable[[SecretClient], object]) -> None:
        """Make a call whose answer does not matter.

        Raises:
            Malformed: The vault cannot do anything with it.
            SecretNotFound: There is no such object.
        """
        self._ask(call, lambda: ask(self._client))

    def close(self) -> None:
        """Close the connections, with the vault and those to sign in; may be repeated."""
        self._client.close()
        credential, self._credential = self._credential, None
        if credential is not None and (close := getattr(credential, "close", None)):
            close()  # the protocol lacks it, the SDK's credentials have it

    def _ask(self, call: Call, ask: Callable[[], _T]) -> _T:
        self._gate.check(call)
        try:
            with within(self._deadline):
                return translated(call, ask, self._clock.now)
        except Throttled as problem:
            self._gate.shut(problem.retry_after)
            raise


class _Gate:
    """Keeps every call back for as long as the vault asked for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._opens = timedelta()
        self._lock = Lock()

    def check(self, call: Call) -> None:
        with self._lock:
            left = self._opens - self._clock.monotonic()
        if left > timedelta():
            raise BackendUnavailable(
                f"{call}: not sent, the vault asks to wait {left.total_seconds():.1f} s more",
                retry_after=left,
            )

    def shut(self, wait: timedelta | None) -> None:
        if wait:
            with self._lock:
                self._opens = max(self._opens, self._clock.monotonic() + wait)


def _entry(found: SecretProperties) -> Entry:
    return entry_of(
        found.version or "",
        found.created_on or _EPOCH,
        found.tags,
        enabled=found.enabled is not False,
    )
