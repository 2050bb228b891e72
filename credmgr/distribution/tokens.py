"""Keeps a fresh access token where consumers can only read: renewed in time, gone when undeclared.

One process keeps each place; when it dies, another takes over within a minute. What a place holds
is known in this process alone, so after a start every token is written anew.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol
from uuid import uuid4

import structlog

from credmgr.distribution.looking import where
from credmgr.distribution.writing import Pen
from credmgr.errors import CredmgrError, StateError
from credmgr.model.audit import Event
from credmgr.model.clock import Clock
from credmgr.model.credential import Credential, Place
from credmgr.model.finding import Alert, Finding, Severity
from credmgr.model.names import Name
from credmgr.model.secret import Secret
from credmgr.model.token import Token, TokenForm, TokenPlace

HOLD: Final = timedelta(minutes=1)
PREFIX: Final = "token-copy"
"""What the keys of these findings begin with; the credential and the place follow."""
FIRST_RETRY: Final = timedelta(seconds=5)
LONGEST_RETRY: Final = timedelta(minutes=5)
PATIENCE: Final = 3
"""How many failures in a row are no news."""
_log = structlog.get_logger("credmgr.tokens")


class Book(Protocol):
    """Where tokens were written. All methods may raise `StateUnavailable`."""

    def declare(self, places: Sequence[TokenPlace], now: datetime) -> None:
        """Know places that are declared."""
        ...

    def hold(self, owner: str, now: datetime, ttl: timedelta) -> Sequence[tuple[Name, Place]]:
        """Take the places that nobody keeps; all that are ours then."""
        ...

    def forget(self, credential: Name, place: Place) -> None:
        """Know nothing of a place any more."""
        ...


class Ledger(Protocol):
    """The state database. All methods may raise `StateUnavailable`."""

    def open_finding(self, finding: Finding, actor: str) -> bool:
        """Open a finding, or renew the open one; True when that was news."""
        ...

    def resolve_finding(self, key: str, actor: str, now: datetime) -> bool:
        """End the open finding of this key; False when there is none."""
        ...

    def queue_alerts(self, raised: Sequence[Alert], event: Event) -> None:
        """Put alerts into the outbox."""
        ...

    def note(self, event: Event) -> None:
        """Put a deed outside the state database into the audit chain."""
        ...


@dataclass(frozen=True, slots=True)
class Minting:
    """What the keeping of tokens works with.

    Attributes:
        token: A token that is valid now, by place; raises `CredmgrError`.
        ledger: The state database.
        book: Where tokens were written.
        clock: Time.
        owner: This process.
        actor: Who acts, for the audit chain.
    """

    token: Callable[[TokenPlace], Token]
    ledger: Ledger
    book: Book
    clock: Clock
    owner: str
    actor: str


@dataclass(slots=True)
class _Kept:
    """What this process knows of one place."""

    written: Secret | None = None
    failures: int = 0
    retry_at: timedelta = timedelta()


class TokenKeeper:
    """Looks after the places. One `turn` at a time; a timer calls it."""

    def __init__(self, means: Minting) -> None:
        self._means = means
        self._pen: Pen
        self._declared: dict[tuple[Name, Place], tuple[Credential, TokenPlace]] = {}
        self._kept: dict[tuple[Name, Place], _Kept] = {}

    def adopt(
        self,
        credentials: Mapping[Name, Credential],
        places: Mapping[Name, Sequence[TokenPlace]],
        pen: Pen,
    ) -> None:
        """Take a manifest into use."""
        self._pen = pen
        self._declared = {
            (name, one.place): (credentials[name], one)
            for name, several in places.items()
            for one in several
        }

    def turn(self) -> int:
        """Write what is not fresh, and remove what is declared no more; how many were written.

        Raises:
            StateError: The state database does not answer; nothing is lost.
        """
        means = self._means
        means.book.declare([one for _, one in self._declared.values()], means.clock.now())
        written = 0
        for name, place in means.book.hold(means.owner, means.clock.now(), HOLD):
            kept = self._kept.setdefault((name, place), _Kept())
            if means.clock.monotonic() < kept.retry_at:
                continue
            try:
                written += self._tended(name, place, kept)
            except StateError:
                raise
            except CredmgrError as error:
                self._failed(name, place, kept, error)
        return written

    def _tended(self, name: Name, place: Place, kept: _Kept) -> bool:
        declared = self._declared.get((name, place))
        if declared is None:
            self._removed(name, place)
            return False
        token = self._means.token(declared[1])
        if kept.written == token.value:
            return False
        self._pen.write(place, _written(token, declared[1].form), uuid4())
        self._pen.tidy(place)
        kept.written = token.value
        if kept.failures:
            self._means.ledger.resolve_finding(
                _key(name, place), self._means.actor, self._means.clock.now()
            )
        kept.failures, kept.retry_at = 0, timedelta()
        _log.info("token written", credential=str(name), place=str(place))
        return True

    def _removed(self, name: Name, place: Place) -> None:
        means = self._means
        self._pen.remove(place)
        means.book.forget(name, place)
        means.ledger.resolve_finding(_key(name, place), means.actor, means.clock.now())
        means.ledger.note(Event(means.actor, "token.removed", name, {"place": str(place)}))
        self._kept.pop((name, place), None)

    def _failed(self, name: Name, place: Place, kept: _Kept, error: CredmgrError) -> None:
        kept.failures += 1
        pause = min(FIRST_RETRY * (1 << min(kept.failures - 1, 10)), LONGEST_RETRY)
        kept.retry_at = self._means.clock.monotonic() + pause
        _log.info("token not written", place=str(place), why=error.message, failures=kept.failures)
        if kept.failures == PATIENCE or (kept.failures == 1 and not error.retryable):
            self._tell(name, place, error)

    def _tell(self, name: Name, place: Place, error: CredmgrError) -> None:
        means, now, key = self._means, self._means.clock.now(), _key(name, place)
        text = f"{name}: no fresh token in {place}: {error.message}"
        if not means.ledger.open_finding(Finding(key, Severity.CRITICAL, text, now), means.actor):
            return
        declared = self._declared.get((name, place))
        alert = Alert(
            key=key,
            severity=Severity.CRITICAL,
            owner=declared[0].owner if declared else "",
            title=text,
            body=f"{text}.\nWho reads there keeps a token that dies. It is tried again by itself.",
            at=now,
            facts={"credential": name, "place": str(place)},
            environment=declared[0].environment if declared else None,
        )
        means.ledger.queue_alerts(
            [alert], Event(means.actor, "token.unwritten", name, {"place": str(place)})
        )


def _written(token: Token, form: TokenForm) -> Secret:
    if form is TokenForm.RAW:
        return token.value
    facts = {
        "access_token": token.value.reveal(),
        "token_type": "Bearer",
        "expires_at": token.expires_at.astimezone(UTC).isoformat(timespec="seconds"),
        "scope": " ".join(sorted(token.scopes)),
    }
    return Secret(json.dumps(facts))


def _key(name: Name, place: Place) -> str:
    return f"{PREFIX}/{name}/{where(place)}"
