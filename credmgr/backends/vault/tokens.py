"""The token in use: renewed ahead of its end, replaced once for all threads."""

import logging
from dataclasses import dataclass, replace
from datetime import timedelta
from threading import Lock
from typing import Any, Final

from credmgr.backends.vault.faults import translated
from credmgr.backends.vault.methods import LOOK_UP, Clients, Door, Granted, granted
from credmgr.errors import AccessDenied, BackendError, BackendUnavailable, CredmgrError
from credmgr.model.clock import Clock

log = logging.getLogger(__name__)
RENEW_AT: Final = 2 / 3
"""Share of its life after which a token is renewed, as OpenBao's agent does."""
_RENEW = ("auth/token/renew-self: update", '`update` on "auth/token/renew-self"')


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A token in use.

    Attributes:
        client: hvac with this token.
        granted: The token as the server gave it last.
        full: The life it was born with.
        renew_at: When to see to a longer life, on the monotonic clock; None for never.
        ends: When it ends; None for never.
    """

    client: Any
    granted: Granted
    full: timedelta
    renew_at: timedelta | None
    ends: timedelta | None

    def ended(self, now: timedelta) -> bool:
        """Whether it is past its life."""
        return self.ends is not None and now >= self.ends

    def due(self, now: timedelta) -> bool:
        """Whether its life is to be prolonged."""
        return self.renew_at is not None and now >= self.renew_at


class Tokens:
    """Gives the token to use. Thread-safe.

    A thread that finds it due for renewal sees to it while the others go on; where it has ended or
    is refused, one thread signs in and the others wait, and share a failure as well.

    Args:
        door: Signs in.
        clients: Makes hvac clients.
        clock: Measures lives.
        patience: The longest that a thread waits for the one that signs in.
    """

    def __init__(self, door: Door, clients: Clients, clock: Clock, patience: timedelta) -> None:
        self._door = door
        self._clients = clients
        self._clock = clock
        self._patience = patience
        self._lock = Lock()
        self._held: SignedIn | None = None
        self._tries = 0
        self._failure: CredmgrError | None = None

    def current(self) -> SignedIn:
        """The token to use now.

        Raises:
            ConfigError: A reference leads nowhere.
            BackendError: Nobody could sign in.
        """
        held, now = self._held, self._clock.monotonic()
        if held is None or held.ended(now):
            return self._replaced(held)
        if held.due(now) and self._lock.acquire(blocking=False):
            try:
                if self._held is held:
                    held = self._held = self._prolonged(held)
            finally:
                self._lock.release()
        return held

    def after_refusal(self, used: SignedIn) -> SignedIn | None:
        """Another token when `used` is dead; None when it lives, so that the refusal was meant.

        The server says "permission denied" to a dead token and to a missing permission alike.

        Raises:
            ConfigError: A reference leads nowhere.
            BackendError: Nobody could sign in.
        """
        if self._held is used and _lives(used):
            return None
        return self._replaced(used)

    @property
    def again(self) -> timedelta | None:
        """How long the token in use lives after a renewal, if it ends for good without the next.

        None before the first use, and for a token that is not renewed or that we can replace.
        """
        return (self._held.granted.again or None) if self._held else None

    def let_go(self) -> None:
        """Revoke the token if it is ours; a failure leaves it to expire."""
        held, self._held = self._held, None
        if held is None or not held.granted.ours or held.ended(self._clock.monotonic()):
            return
        try:
            with translated("auth/token/revoke-self: update", "`update` on it"):
                held.client.auth.token.revoke_self()
        except BackendError as error:
            log.info("the token was not revoked and will expire: %s", error)

    def _replaced(self, dead: SignedIn | None) -> SignedIn:
        tries = self._tries
        if not self._lock.acquire(timeout=self._patience.total_seconds()):
            raise BackendUnavailable(f"another thread has been signing in for {self._patience}")
        try:
            if self._held is not None and self._held is not dead:
                return self._held
            if self._tries != tries and self._failure is not None:
                raise type(self._failure)(self._failure.message, hint=self._failure.hint)
            self._held = self._entered()
            return self._held
        finally:
            self._lock.release()

    def _entered(self) -> SignedIn:
        self._failure = None
        try:
            return self._in_use(self._door.enter())
        except CredmgrError as error:
            self._failure = error
            raise
        finally:
            self._tries += 1

    def _in_use(self, found: Granted, born: timedelta | None = None) -> SignedIn:
        now = self._clock.monotonic()
        # Of a brought token a part of its life may be over, so that it is due sooner or at once.
        whole = max(found.ttl, found.again) if born is None else found.ttl
        due = max(found.ttl - whole * (1 - RENEW_AT), timedelta())
        return SignedIn(
            client=self._clients(found.token.reveal()),
            granted=found,
            full=found.ttl if born is None else born,
            renew_at=now + due if found.ttl else None,
            ends=now + found.ttl if found.ttl else None,
        )

    def _prolonged(self, held: SignedIn) -> SignedIn:
        """The same with a longer life, or a new one; on failure the same, due again later."""
        try:
            return self._renewed(held) or self._in_use(self._door.enter())
        except CredmgrError as error:
            log.warning("the token was not renewed, it lives on for now: %s", error)
        now = self._clock.monotonic()
        left = (held.ends or now) - now
        return replace(held, renew_at=now + left / 3)

    def _renewed(self, held: SignedIn) -> SignedIn | None:
        """None when nothing is to be gained: near its greatest age a renewal adds little."""
        if not held.granted.renewable or held.granted.ttl < held.full / 2:
            return None
        try:
            with translated(*_RENEW):
                found = granted(held.client.auth.token.renew_self(), ours=held.granted.ours)
        except AccessDenied:
            return None
        return self._in_use(replace(found, again=held.granted.again), held.full)


def _lives(used: SignedIn) -> bool:
    try:
        with translated(*LOOK_UP):
            used.client.auth.token.lookup_self()
    except AccessDenied:
        return False
    return True
