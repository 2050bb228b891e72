"""The ASGI layer that makes requests go wrong as the armed faults say."""

import asyncio
from datetime import timedelta
from email.utils import format_datetime
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from credmgr.model.clock import Clock
from credmgr.sandbox.faults import DELAY_EFFECTS, Delays, Effect, Fault, Faults, When

TRANSPORT: Final = "credmgr.transport"
"""Scope extension under which the server hands over the connection's transport."""

FAULTS_PATH: Final = "/manage/v1/faults"
_PAGE: Final = (
    "<!doctype html><title>Just a moment</title>"
    "<h1>Checking your connection</h1><p>You will be taken to the service shortly.</p>"
)


class Exchange:
    """One request and its answer, which is held back until it is known what becomes of it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send
        self._held: list[Message] = []

    async def hold(self, message: Message) -> None:
        """Keep a part of the answer."""
        self._held.append(message)

    def cut(self) -> None:
        """Leave only the first half of the answer's body, as if it were all."""
        body = b"".join(message.get("body", b"") for message in self._held)
        start = self._held[0]
        half = body[: len(body) // 2]
        MutableHeaders(raw=start["headers"])["content-length"] = str(len(half))
        self._held = [start, {"type": "http.response.body", "body": half}]

    async def release(self) -> None:
        """Send what was held back."""
        for message in self._held:
            await self.send(message)

    async def answer(self, response: Response) -> None:
        """Send `response` instead."""
        await response(self.scope, self.receive, self.send)

    async def gone(self) -> None:
        """Wait until the caller has closed the connection."""
        while (await self.receive())["type"] != "http.disconnect":
            pass

    async def drop(self) -> None:
        """Close the connection without an answer."""
        self.scope["extensions"][TRANSPORT].abort()
        await self.gone()


class FaultLayer:
    """Wraps an application; the address of the faults themselves is never hit."""

    def __init__(self, app: ASGIApp, faults: Faults, clock: Clock, stopping: asyncio.Event) -> None:
        self._app = app
        self._faults = faults
        self._clock = clock
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or not."""
        if scope["path"].startswith(FAULTS_PATH):
            await self._app(scope, receive, send)
            return
        hits = self._faults.take(scope["method"], scope["path"])
        scope["state"]["faults"] = hits
        scope["state"]["delays"] = Delays.of(hits)
        acting = [fault for fault in hits if fault.effect not in DELAY_EFFECTS]
        await self._run(acting, Exchange(scope, receive, send))

    async def _run(self, faults: list[Fault], exchange: Exchange) -> None:
        after = [f for f in faults if f.when is When.AFTER or f.effect is Effect.TRUNCATE]
        for fault in faults:
            if fault not in after and await self._strike(fault, exchange):
                return
        if not after:
            await self._app(exchange.scope, exchange.receive, exchange.send)
            return
        await self._app(exchange.scope, exchange.receive, exchange.hold)
        for fault in after:
            if await self._strike(fault, exchange):
                return
        await exchange.release()

    async def _strike(self, fault: Fault, exchange: Exchange) -> bool:
        """Do what the fault says; True when the request is over with that."""
        match fault.effect:
            case Effect.LATENCY:
                await asyncio.sleep(fault.duration.total_seconds())
            case Effect.TRUNCATE:
                exchange.cut()
            case Effect.DROP:
                await exchange.drop()
            case Effect.HANG:
                await self._hang(fault, exchange)
            case _:
                await exchange.answer(self._instead(fault))
        return fault.effect not in (Effect.LATENCY, Effect.TRUNCATE)

    async def _hang(self, fault: Fault, exchange: Exchange) -> None:
        """Keep the caller waiting until it goes away, the time is up, or the sandbox stops."""
        ends = [
            asyncio.ensure_future(exchange.gone()),
            asyncio.ensure_future(self._stopping.wait()),
        ]
        seconds = fault.duration.total_seconds() or None
        await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
        await exchange.drop()

    def _instead(self, fault: Fault) -> Response:
        match fault.effect:
            case Effect.HTML:
                return HTMLResponse(_PAGE)
            case Effect.RATE_LIMIT:
                status, code = 429, "rate_limited"
            case _:
                status, code = fault.status, "server_error"
        headers = self._retry_after(fault)
        if fault.body is not None and fault.effect is Effect.SERVER_ERROR:
            return Response(fault.body, status, headers, media_type="text/plain")
        body = {"error": code, "error_description": "The sandbox was told to answer this."}
        return JSONResponse(body, status, headers)

    def _retry_after(self, fault: Fault) -> dict[str, str]:
        """RFC 9110 §10.2.3: seconds or an HTTP date; here also what is neither."""
        if fault.retry_after is None:
            return {}
        if fault.retry_after_as_date and isinstance(fault.retry_after, int):
            moment = self._clock.now() + timedelta(seconds=fault.retry_after)
            return {"Retry-After": format_datetime(moment, usegmt=True)}
        return {"Retry-After": str(fault.retry_after)}
