"""A call with the token of the moment, repeated once when that token has died."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from credmgr.backends.vault.faults import Nonsense, Refused, translated
from credmgr.backends.vault.methods import SignInRefused
from credmgr.backends.vault.tokens import SignedIn, Tokens
from credmgr.backends.vault.transport import Transport
from credmgr.errors import AccessDenied, BackendError, BackendUnavailable

_DENIED: Final = 403
_KV: Final = "kv"


class Connection:
    """The mount, through whichever token is good. Thread-safe.

    Args:
        transport: The way out, closed with this.
        tokens: Gives the token.
        mount: Path of the KV v2 mount.
    """

    def __init__(self, transport: Transport, tokens: Tokens, mount: str) -> None:
        self._transport = transport
        self._tokens = tokens
        self._mount = mount
        self._known: bool | None = None
        """None before the first look; False while it must be looked at again."""

    def call(self, path: str, capability: str, request: Callable[[Any], Any]) -> Any:
        """Make the call that `request` makes of an hvac client.

        Raises:
            AccessDenied: The token lives and may not do this; the hint says what is missing.
            BackendError: As `faults.translated` has it.
        """
        try:
            if not self._known:  # many threads may ask at once: it harms nobody
                self.mount_is_kv2()
                self._known = True
            return self._send(path, capability, request)
        except BackendUnavailable:
            # Who knows what is mounted there when the server is back?
            self._known = False if self._known is not None else None
            raise

    def mount_is_kv2(self) -> None:
        """Prove it; KV v1 answers our reads with the same 404 as a KV v2 mount without the secret.

        Raises:
            BackendError: It is something else; the message says what.
        """
        # The server lets everybody ask this whose policies reach anything in the mount.
        path = f"sys/internal/ui/mounts/{self._mount}"
        try:
            found = self._send(path, "read", lambda client: client.adapter.get(f"/v1/{path}"))
        except SignInRefused:
            raise
        except AccessDenied as error:
            meaning = AccessDenied if self._known is None else BackendUnavailable
            raise meaning(
                f"{self._mount}: nothing is mounted there, or no policy reaches into it",
                hint=f'see policies/backends/vault.hcl, with "{self._mount}" in its paths',
            ) from error
        data = found.get("data") if isinstance(found, dict) else None
        if not isinstance(data, dict):
            raise BackendUnavailable(f"{path}: the answer is not what the API says")
        options = data.get("options") or {}
        kind, version = data.get("type"), options.get("version")
        if kind != _KV:
            raise BackendError(f"{self._mount} is a mount of type {kind!s:.20}, not kv")
        if version != "2":
            raise BackendError(
                f"{self._mount} is KV version 1, which has no versions and no compare-and-set",
                hint=f"bao kv enable-versioning {self._mount}",
            )

    @property
    def ahead(self) -> timedelta | None:
        """How far the server's clock was ahead of ours at its last answer."""
        return self._transport.server.ahead

    @property
    def again(self) -> timedelta | None:
        """How long the token lives after a renewal, if it ends for good without the next."""
        return self._tokens.again

    def close(self) -> None:
        """Revoke a token of ours, close connections."""
        self._tokens.let_go()
        self._transport.close()

    def _send(self, path: str, capability: str, request: Callable[[Any], Any]) -> Any:
        with translated(f"{path}: {capability}", f'`{capability}` on "{path}"'):
            used = self._tokens.current()
            try:
                return request(used.client)
            except Refused as error:
                fresh = self._other(used, error)
                if fresh is None:
                    raise
            return request(fresh.client)

    def _other(self, used: SignedIn, error: Refused) -> SignedIn | None:
        return self._tokens.after_refusal(used) if error.status == _DENIED else None


def part(answer: Any, *keys: str) -> Any:
    """What stands below `keys` in an answer.

    Raises:
        Nonsense: Nothing does.
    """
    for key in keys:
        if not isinstance(answer, dict) or key not in answer:
            raise Nonsense
        answer = answer[key]
    return answer
