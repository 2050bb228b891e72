"""`/healthz` and `/readyz`: whether the process lives, and whether it can serve."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import Response

from credmgr.api.callers import Caller
from credmgr.api.house import House
from credmgr.api.operation import Access, Operation
from credmgr.api.problems import unavailable
from credmgr.api.rendering import as_json
from credmgr.errors import BackendError

PATIENCE: Final = timedelta(seconds=3)
"""How long a store may take to show that it works."""
FRESH: Final = timedelta(seconds=2)
"""How long that is believed, however many ask."""
SCHEMA: Final = {
    "type": "object",
    "required": ["status"],
    "properties": {"status": {"const": "ok"}},
}
_log = structlog.get_logger("credmgr.api")


class Health:
    """The routes of health."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._ready_at: timedelta | None = None

    def operations(self) -> Sequence[Operation]:
        """What may be asked."""
        return (
            Operation(
                "GET", "/healthz", Access.ANYBODY, self.lives, "The process lives.", {200: SCHEMA}
            ),
            Operation(
                "GET",
                "/readyz",
                Access.ANYBODY,
                self.ready,
                "It can serve: the state database and every store in use answer.",
                {200: SCHEMA},
                refusals=(503,),
            ),
        )

    async def lives(self, _request: Request, _caller: Caller | None) -> Response:
        """Always, when it answers at all."""
        return as_json({"status": "ok"})

    async def ready(self, _request: Request, _caller: Caller | None) -> Response:
        """When the state database answers and every store in use.

        Raises:
            Refusal: 503; which one does not is in the log only, since anybody may ask.
        """
        try:
            async with asyncio.timeout(PATIENCE.total_seconds()):
                await self._house.work.share("readyz", self._look)
        except TimeoutError:
            _log.warning("not ready: a store takes its time")
            raise unavailable("A store does not answer.") from None
        except BackendError as error:
            _log.warning("not ready", why=error.message)
            raise unavailable("A store does not answer.") from None
        return as_json({"status": "ok"})

    def _look(self) -> None:
        app = self._house.app
        now = app.clock.monotonic()
        if self._ready_at is not None and now - self._ready_at < FRESH:
            return
        app.store.ledger.heartbeats()
        for name in sorted({one.store.backend for one in app.manifest.credentials.values()}):
            app.outside.backends[name].check()
        self._ready_at = now
