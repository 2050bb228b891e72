"""Who is calling: a consumer by its bearer or its user id, or an operator of this machine."""

import asyncio
import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

import structlog

from credmgr.api.work import Work
from credmgr.bootstrap import App
from credmgr.model.bearers import PREFIX
from credmgr.model.consumer import Consumer, Grant
from credmgr.model.names import Name

_OVERFLOW: Final = Path("/proc/sys/kernel/overflowuid")
_NOBODY: Final = 65_534
_PREFIX: Final = PREFIX.encode()
_AGAIN: Final = 0.5
"""Seconds between two looks for a bearer that is not known."""
_log = structlog.get_logger("credmgr.api")


@dataclass(frozen=True, slots=True, eq=False)
class Caller:
    """Somebody whose identity is proven.

    Attributes:
        consumer: Which consumer; None for the user that credmgr itself runs as, or root, who can
            read the keyring anyway.
        actor: Whom the audit log names; for these two only, since consumers' reads are counted.
    """

    consumer: Consumer | None
    actor: str = ""

    @property
    def operator(self) -> bool:
        """Whether it sees what concerns all credentials."""
        return self.consumer is None or self.consumer.operator

    @property
    def name(self) -> Name | None:
        """The consumer's name."""
        return None if self.consumer is None else self.consumer.name

    def grant(self, credential: Name) -> Grant | None:
        """Its grant for a credential; None when it has none, or needs none."""
        return None if self.consumer is None else self.consumer.grant(credential)

    def sees(self, credential: Name) -> bool:
        """Whether it may know that there is such a credential."""
        return self.operator or self.grant(credential) is not None


@dataclass(frozen=True, slots=True)
class _Known:
    by_digest: Mapping[bytes, Caller]
    by_uid: Mapping[int, Caller]


class Callers:
    """Everybody who may come in, read from manifest and state database every now and then."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._nobody = _overflow_uid()
        self._known = _Known({}, {})
        self._facts: object = None
        self._looked = 0.0
        self.generation = 0
        """Grows by one whenever anything changes in who may come in, or ask what."""

    def refresh(self) -> None:
        """Look again who may come in. Blocks on the state database.

        Raises:
            StateUnavailable: It does not answer; who was let in before still is.
        """
        consumers = self._app.manifest.consumers
        bearers = self._app.store.ledger.bearers(self._app.clock.now())
        held = frozenset((one.consumer, one.digest) for one in bearers)
        facts = (consumers, held)
        if facts == self._facts:
            return
        callers = {name: Caller(consumer) for name, consumer in consumers.items()}
        by_digest = {
            bytes.fromhex(digest): callers[name] for name, digest in held if name in callers
        }
        self._known = _Known(by_digest, self._by_uid(callers))
        self._facts = facts
        self.generation += 1

    def by_bearer(self, value: bytes) -> Caller | None:
        """Whose bearer this is.

        It is looked up by its hash, so that the time it takes tells nothing of the values known.
        """
        return self._known.by_digest.get(sha256(value).digest())

    async def identify(self, bearer: bytes, work: Work) -> Caller | None:
        """The same; one that is not known may be new: it is looked again, twice a second at most.

        Raises:
            Refusal: 503; too many calls wait already.
        """
        caller = self.by_bearer(bearer)
        now = asyncio.get_running_loop().time()
        if caller is None and bearer.startswith(_PREFIX) and now - self._looked > _AGAIN:
            self._looked = now
            await work.share(self, self.refresh)
            caller = self.by_bearer(bearer)
        return caller

    def by_uid(self, uid: int) -> Caller | None:
        """Who is at the other end of the Unix socket, as the kernel says."""
        if uid == self._nobody:
            return None  # somebody whom the kernel has no number for in this namespace
        return self._known.by_uid.get(uid)

    def _by_uid(self, callers: Mapping[Name, Caller]) -> Mapping[int, Caller]:
        found: dict[int, Caller] = {}
        for name, caller in callers.items():
            uid = _uid(caller.consumer) if caller.consumer else None
            if uid is not None and found.setdefault(uid, caller) is not caller:
                _log.error("two consumers are one user; the first is taken", consumer=name)
        people = {uid: Caller(None, f"operator:uid {uid}@api") for uid in (0, os.geteuid())}
        return {**people, **found}


def _uid(consumer: Consumer) -> int | None:
    if consumer.user is None:
        return consumer.uid
    try:
        return pwd.getpwnam(consumer.user).pw_uid
    except KeyError:
        _log.warning("there is no such user", consumer=consumer.name, user=consumer.user)
        return None


def _overflow_uid() -> int:
    try:
        return int(_OVERFLOW.read_text())
    except (OSError, ValueError):
        return _NOBODY
