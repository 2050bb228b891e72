"""What tokens were really like, beside what was asked: what the policy's rules look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from threading import Lock
from typing import Protocol

from credmgr.model.names import Name
from credmgr.model.subject import Topic
from credmgr.model.token import Token, TokenRequest


class Witness(Protocol):
    """Where it is kept; the state database."""

    def observe(self, name: Name, topic: Topic, details: Sequence[str]) -> bool:
        """Keep what was seen of a credential; whether that was news."""
        ...


@dataclass(slots=True)
class _Seen:
    unasked: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()
    life: timedelta = timedelta()

    def compared(self, request: TokenRequest, token: Token) -> None:
        """A scope stays in doubt until a token comes that has it right."""
        if request.scopes:
            self.unasked = (self.unasked & token.scopes) | (token.scopes - request.scopes)
            self.missing = (self.missing | request.scopes) - token.scopes
        self.life = token.expires_at - token.issued_at

    def told(self) -> dict[Topic, tuple[str, ...]]:
        return {
            Topic.UNASKED: tuple(sorted(self.unasked)),
            Topic.MISSING: tuple(sorted(self.missing)),
            Topic.TOKEN_LIFE: (str(self.life.total_seconds()),),
        }


class Sightings:
    """Compares each token with what was asked, in the threads that mint; written by a timer."""

    def __init__(self, witness: Witness) -> None:
        self._witness = witness
        self._lock = Lock()
        self._seen: dict[Name, _Seen] = {}
        self._written: dict[Name, dict[Topic, tuple[str, ...]]] = {}

    def minted(self, name: Name, request: TokenRequest, token: Token) -> None:
        """An issuer answered, whether the token is fit to be shared or not."""
        with self._lock:
            self._seen.setdefault(name, _Seen()).compared(request, token)

    def write(self) -> None:
        """Write down what is another than before.

        Raises:
            StateUnavailable: The state database does not take it now; the next call does.
        """
        with self._lock:
            now = {name: seen.told() for name, seen in self._seen.items()}
        for name, told in now.items():
            known = self._written.setdefault(name, {})
            for topic, details in told.items():
                if known.get(topic) != details:
                    self._witness.observe(name, topic, details)
                    known[topic] = details
