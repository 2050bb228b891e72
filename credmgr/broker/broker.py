"""The broker: who asks gets a token that is true now, as narrow as asked, minted once for all."""

import hmac
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from datetime import timedelta
from threading import Lock
from typing import Final

import structlog

from credmgr.broker.asking import Ask, Key, Wanted
from credmgr.broker.calendar import Calendar
from credmgr.broker.counting import Counting
from credmgr.broker.flights import Flights
from credmgr.broker.grants import Grants
from credmgr.broker.life import Live
from credmgr.broker.minting import Mint
from credmgr.broker.notices import Notices
from credmgr.broker.observing import Sightings
from credmgr.broker.ports import Ledger, Outside
from credmgr.broker.purging import Purger
from credmgr.broker.slots import REJECTING, Failure, Flight, Slot
from credmgr.broker.telling import LATER, SOON, told
from credmgr.broker.versions import Versions
from credmgr.errors import BrokerError, CredmgrError, SecretRejected, TokenUnavailable
from credmgr.model.clock import Clock
from credmgr.model.consumer import Consumer
from credmgr.model.credential import Credential
from credmgr.model.names import Name
from credmgr.model.token import Token
from credmgr.model.version import Stage
from credmgr.plugins.backend import Held

PATIENCE: Final = timedelta(seconds=15)
"""How long `token` waits for the issuer, the way to the store included."""
MOST_KEYS: Final = 256
"""Different tokens of one credential at once: by scopes and audience."""
MOST_ASKS: Final = 100_000
"""Asks whose key is remembered."""
SETTLING: Final = timedelta(seconds=5)
"""Over this, tokens of an old version are replaced after its secret has changed."""
SWEEP: Final = timedelta(minutes=1)
"""How often what has ended is let go of."""

_log = structlog.get_logger("credmgr.broker")


class Broker:
    """Hands out tokens and secrets to whom they are granted. Thread-safe; one per process.

    Nothing here asks again by itself: `tend` renews ahead, `flush` writes down who used what; a
    timer calls both.

    Args:
        ledger: The state database.
        outside: The sessions with issuers and stores.
        clock: Time.
        jitter: Gives 0 to 1.
        actor: Who notes findings, in the audit chain.
        workers: Requests to one issuer at once.
    """

    def __init__(
        self,
        ledger: Ledger,
        outside: Outside,
        clock: Clock,
        jitter: Callable[[], float],
        actor: str,
        workers: int = 8,
    ) -> None:
        self._ledger, self._clock, self._jitter = ledger, clock, jitter
        self._grants = Grants({}, {})
        self._versions = Versions(ledger, clock)
        self._sightings = Sightings(ledger)
        self._mint = Mint(outside, clock, jitter, self._sightings.minted)
        self._calendar: Calendar[Slot] = Calendar(jitter)
        self._counting = Counting()
        self._notices = Notices(ledger, clock, actor)
        self._purger = Purger(ledger, self.forget)
        self._lock = Lock()
        self._answers: dict[Ask, Slot] = {}
        self._slots: dict[Name, dict[Key, Slot]] = {}
        self._gone: list[Live] = []
        self._flights = Flights(self._lock, self._minted, self._landed, clock, workers)
        self._swept_at = clock.monotonic()
        self._writing = Lock()
        self._outcomes: Counter[tuple[Name, str]] = Counter()

    def adopt(
        self,
        credentials: Mapping[Name, Credential],
        consumers: Mapping[Name, Consumer],
        outside: Outside,
    ) -> None:
        """Take a manifest into use: its grants hold from now on.

        Tokens of credentials that it declares as before stay.
        """
        with self._lock:
            self._grants = Grants(credentials, consumers)
            self._answers = {}
            self._mint.outside = outside
            for name, slots in list(self._slots.items()):
                if any(s.wanted.credential != credentials.get(name) for s in slots.values()):
                    self._forget(name)
                    del self._slots[name]

    def cached(self, ask: Ask) -> Token | None:
        """The token if it is at hand. Never waits and takes no lock; a use is counted."""
        slot = self._answers.get(ask)
        live = slot.live if slot else None
        if live is None:
            return None
        steady, now = self._clock.monotonic(), self._clock.now()
        if steady >= live.until or now >= live.ends:
            return None
        live.asked_at = steady
        if ask.consumer is not None:
            live.mark(ask.consumer, now)
        return live.token

    def token(self, ask: Ask, patience: timedelta = PATIENCE) -> Token:
        """The token, from the cache or the issuer.

        Args:
            ask: Who wants what.
            patience: How long to wait; giving up disturbs nobody else.

        Raises:
            NotGranted: There is no such credential, or no grant.
            ScopeNotGranted: A scope that was asked for may not be had.
            TokenUnavailable: Not now.
        """
        if self._versions.stale:
            self._look()
        known = self.cached(ask)
        if known is not None:
            return known
        try:
            return self.request(ask).result(patience.total_seconds())
        except TimeoutError:
            raise TokenUnavailable("the issuer takes its time", retry_after=SOON) from None

    def request(self, ask: Ask) -> Future[Token]:
        """The token when it is there; for who must not block. Cancelling it has no effect.

        The future raises what `token` raises.

        Raises:
            NotGranted: As of `token`, and so on; what is known at once is raised at once.
        """
        with self._lock:
            wanted = self._grants.wanted(ask)
            slot = self._slot(wanted)
            if len(self._answers) >= MOST_ASKS:
                self._answers.clear()
            self._answers[ask] = slot
            token = self.cached(ask)
            if token is None:
                if slot.flight is None:
                    self._require_sense(slot)
                return self._flights.join(slot, ask.consumer)
        future: Future[Token] = Future()
        future.set_result(token)
        return future

    def reject(self, ask: Ask, token: str) -> bool:
        """Drop a token that an API refused; whether it was, since only the cached one counts.

        At most once in ten seconds for each key, however many report.

        Raises:
            NotGranted: As of `token`.
            ScopeNotGranted: As of `token`.
        """
        with self._lock:
            slot = self._slots.get(ask.credential, {}).get(self._grants.wanted(ask).key)
            now = self._clock.monotonic()
            if slot is None or slot.live is None:
                return False
            held = slot.live.token.value.reveal()
            if not hmac.compare_digest(held.encode(), token.encode(errors="replace")):
                return False
            if slot.rejected_at is not None and now - slot.rejected_at < REJECTING:
                return False
            slot.rejected_at = now
            self._drop(slot)
        _log.info("token rejected by its API", credential=ask.credential, consumer=ask.consumer)
        return True

    def secret(self, consumer: Name | None, credential: Name) -> Held:
        """The current secret, read from its store; the use is counted.

        Raises:
            NotGranted: There is no such credential, or no grant for its secret.
            BackendError: The store does not give it.
        """
        found = self._mint.outside.held(self._grants.readable(consumer, credential), Stage.CURRENT)
        if consumer is not None:
            self._counting.read(consumer, credential, found.version, self._clock.now())
        return found

    def choose(
        self, consumer: Name | None, scopes: frozenset[str] | None, audience: str | None
    ) -> Ask:
        """What is meant where a client says no more than scopes and an audience.

        Raises:
            NotGranted: The consumer may have no token at all.
            ScopeNotGranted: None of its tokens has the scopes.
            Ambiguous: Several have.
        """
        return self._grants.choose(consumer, scopes, audience)

    def forget(self, credential: Name) -> int:
        """Drop every token of a credential, and what is on its way; how many there were.

        What its issuer refused may be tried again.
        """
        with self._lock:
            return self._forget(credential)

    def tend(self) -> int:
        """Notice new versions, renew ahead, sweep; how many requests were begun."""
        self._look()
        begun = 0
        for slot in self._calendar.due(self._clock.monotonic(), self._flights.spare):
            with self._lock:
                begun += self._renew(slot)
        self._sweep()
        return begun

    def purge(self) -> int:
        """Drop what another process asked everybody to drop, and say so; how many wishes.

        Raises:
            StateUnavailable: The state database does not answer.
        """
        return self._purger.turn()

    def flush(self) -> int:
        """Write down what was used and what a person should know; how many kinds of uses.

        Nothing is lost when it fails.

        Raises:
            StateUnavailable: The state database does not take it now.
        """
        with self._lock:
            gone, self._gone = self._gone, []
            lives = [*gone, *(slot.live for slot in self._all() if slot.live is not None)]
        self._counting.gather(lives)
        with self._writing:  # two at once would write the same uses twice
            batch = self._counting.batch()
            if batch:
                self._ledger.record_use(batch)
                self._counting.written(batch)
            self._notices.write()
        self._sightings.write()
        return len(batch)

    def outcomes(self) -> Mapping[tuple[Name, str], int]:
        """How many requests to each issuer ended how: `minted`, or the code of an error."""
        with self._lock:
            return dict(self._outcomes)

    def close(self) -> None:
        """Stop: those who wait are told so."""
        self._flights.close()

    def _all(self) -> list[Slot]:
        return [slot for slots in self._slots.values() for slot in slots.values()]

    def _look(self) -> None:
        changed = self._versions.refresh()
        if not changed:
            return
        now = self._clock.monotonic()
        with self._lock:
            for slot in self._all():
                name = slot.wanted.credential.name
                live = slot.live
                if name in changed:
                    slot.failure = None
                    if live is not None and live.version != self._versions[name]:
                        self._renew_at(slot, now + SETTLING * self._jitter())

    def _slot(self, wanted: Wanted) -> Slot:
        slots = self._slots.setdefault(wanted.credential.name, {})
        slot = slots.get(wanted.key)
        if slot is None:
            if len(slots) >= MOST_KEYS:
                raise TokenUnavailable("too many different tokens", retry_after=LATER)
            slot = slots[wanted.key] = Slot(wanted)
        return slot

    def _require_sense(self, slot: Slot) -> None:
        """Refuse at once what would be refused on its way."""
        now, credential = self._clock.monotonic(), slot.wanted.credential
        if slot.failure is not None and now < slot.failure.until:
            raise slot.failure.error.with_traceback(None)
        try:
            self._mint.require_hope(credential.name, self._versions[credential.name])
        except SecretRejected as error:
            raise told(error, now).error from None
        self._mint.breaker(credential.issuer).require_closed()

    def _minted(self, slot: Slot) -> Live:
        credential = slot.wanted.credential
        try:
            live = self._mint.mint(slot.wanted, self._versions[credential.name])
        except CredmgrError as error:
            self._notices.refused(credential, error)
            raise
        self._notices.fine(credential.name)
        return live

    def _landed(self, slot: Slot, flight: Flight, outcome: Live | Failure) -> None:
        how = outcome.error.code if isinstance(outcome, Failure) else "minted"
        self._outcomes[slot.wanted.credential.issuer, how] += 1
        if isinstance(outcome, Failure):
            slot.failure = outcome
            if slot.live is not None:
                self._renew_at(slot, self._clock.monotonic() + self._pause(outcome.error))
            return
        if slot.live is not None:
            self._gone.append(slot.live)
            outcome.asked_at = slot.live.asked_at
        slot.live, slot.failure = outcome, None
        if flight.joined:
            outcome.asked_at = outcome.began
        now = self._clock.now()
        for consumer in flight.joined:
            if consumer is not None:
                outcome.mark(consumer, now)
        latest, life = outcome.renewed_by, outcome.life
        slot.renew_at = self._calendar.spread(slot, outcome.began, latest, life)

    def _pause(self, error: BrokerError) -> timedelta:
        wait = error.retry_after if isinstance(error, TokenUnavailable) else LATER
        return wait * (1 + self._jitter() / 2)

    def _renew_at(self, slot: Slot, at: timedelta) -> None:
        slot.renew_at = at
        self._calendar.enter(slot, at)

    def _renew(self, slot: Slot) -> bool:
        """Begin to replace a token ahead of its end, if it is worth it."""
        live, now = slot.live, self._clock.monotonic()
        if live is None or slot.flight is not None or slot.renew_at is None or slot.renew_at > now:
            return False
        if live.idle(now) or now >= live.until:
            return False
        try:
            self._require_sense(slot)
            self._flights.launch(slot)
        except BrokerError as error:
            self._renew_at(slot, now + self._pause(error))
            return False
        return True

    def _sweep(self) -> None:
        """Let go of tokens that have ended and of slots that hold nothing."""
        now = self._clock.monotonic()
        if now - self._swept_at < SWEEP:
            return
        self._swept_at = now
        with self._lock:
            for name, slots in list(self._slots.items()):
                for slot in slots.values():
                    if slot.live is not None and now >= slot.live.until:
                        self._drop(slot)
                kept = {key: slot for key, slot in slots.items() if slot.used(now)}
                self._slots[name] = kept
                if not kept:
                    del self._slots[name]

    def _drop(self, slot: Slot) -> None:
        if slot.live is not None:
            self._gone.append(slot.live)
        slot.live = slot.renew_at = None

    def _forget(self, name: Name) -> int:
        self._mint.forget(name)
        dropped = 0
        for slot in self._slots.get(name, {}).values():
            dropped += slot.live is not None
            slot.generation += 1
            slot.failure = None
            self._drop(slot)
        return dropped
