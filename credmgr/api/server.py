"""The API's server: uvicorn in a thread of the daemon, on sockets that are ours."""

import asyncio
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import partial
from threading import Event, Thread
from typing import Final

import structlog
import uvicorn

from credmgr.api.callers import Callers
from credmgr.api.fast import FastTokens
from credmgr.api.front import Front
from credmgr.api.house import House
from credmgr.api.limits import CONNECTIONS, IDLE, LAST_WORDS
from credmgr.api.protocol import Guarded, sweep
from credmgr.api.routes import operations, router
from credmgr.api.sockets import BACKLOG, UnixListener, listen_tcp, listen_unix, make_room
from credmgr.bootstrap import App
from credmgr.errors import CredmgrError, NotAllowedNow

NAMES: Final = ("localhost", "credmgr")
"""What the Host header may say on the Unix socket, where there is no host."""
_TICKS: Final = 10
"""uvicorn's ticks in a second."""
_log = structlog.get_logger("credmgr.api")


class Api:
    """The API of one App.

    Args:
        app: Everything wired.
    """

    def __init__(self, app: App) -> None:
        self._settings = app.manifest.api
        self.house = House(app, Callers(app))
        self.fast = FastTokens(self.house, self._hosts())
        self.operations = operations(self.house, self.fast)
        self.front = Front(self.fast, router(self.house, self.operations))
        self.url = ""
        """What it is reached at over TCP, if at all."""
        self._open = ExitStack()
        self._server: _Server | None = None
        self._thread: Thread | None = None

    def start(self) -> None:
        """Listen, and serve from a thread of its own; returns when connections are taken.

        Raises:
            NotAllowedNow: Another process serves the Unix socket.
            ConfigError: It cannot be listened on.
            StateUnavailable: The state database does not answer.
        """
        self.house.callers.refresh()
        make_room(2 * CONNECTIONS)  # each is a file, and there are others
        with ExitStack() as stack:
            unix = listen_unix(self._settings.socket)
            stack.callback(unix.close)
            sockets: list[socket.socket] = []
            if self._settings.listen is not None:
                sockets.append(stack.enter_context(listen_tcp(self._settings.listen)))
                self.fast.hosts |= self._own_names(sockets[0])
                self.url = f"http://{_told(sockets[0])}"
            self._open = stack.pop_all()
        ready = Event()
        self._server = _Server(self, unix, ready)
        self._thread = Thread(target=self._server.run, args=(sockets,), name="api", daemon=True)
        self._thread.start()
        ready.wait()
        _log.info("serving", socket=str(unix.path), addresses=[_told(one) for one in sockets])

    def stop(self, patience: timedelta) -> None:
        """Take no more requests, finish those that are under way, and let go of the sockets."""
        if self._server is not None and self._thread is not None:
            self._server.config.timeout_graceful_shutdown = int(patience.total_seconds()) or 1
            self._server.should_exit = True
            self._thread.join(patience.total_seconds() + 1)
        self.house.work.close()
        self._open.close()

    def _hosts(self) -> Sequence[str]:
        return (*NAMES, *(host.lower() for host in self._settings.hosts))

    def _own_names(self, listener: socket.socket) -> frozenset[bytes]:
        told = _told(listener)
        return frozenset({told.encode(), f"localhost:{told.rpartition(':')[2]}".encode()})


@contextmanager
def served(app: App) -> Iterator[None]:
    """The API while the daemon runs; without it where another process serves already.

    Raises:
        ConfigError: It cannot be listened on.
        StateUnavailable: The state database does not answer.
    """
    api = Api(app)
    try:
        api.start()
    except NotAllowedNow as error:
        _log.warning("the API is not served by this process", why=error.message)
    try:
        yield
    finally:
        api.stop(LAST_WORDS)


class _Server(uvicorn.Server):
    """A server that leaves signals alone, listens on the Unix socket too, and keeps the time."""

    def __init__(self, api: Api, unix: UnixListener, ready: Event) -> None:
        config = uvicorn.Config(
            api.front,
            http=partial(Guarded, fast=api.fast),  # type: ignore[arg-type]
            loop="uvloop",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",  # whatever a stranger sends is no news
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=int(IDLE.total_seconds()),
        )
        super().__init__(config)
        self._unix = unix
        self._ready = ready
        self._house = api.house
        self._fast = api.fast
        self._looking: asyncio.Task[None] | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the daemon's."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve what was bound, the Unix socket as well."""
        await super().startup(sockets or [])

        def connected() -> Guarded:
            return Guarded(self.config, self.server_state, self.lifespan.state, fast=self._fast)

        loop = asyncio.get_running_loop()
        served = await loop.create_unix_server(connected, sock=self._unix.socket, backlog=BACKLOG)
        self.servers.append(served)
        self._ready.set()

    async def on_tick(self, counter: int) -> bool:
        """Every second: end what is drawn out, and look who may come in."""
        if counter % _TICKS == 0:
            sweep(self.server_state.connections)
            if self._looking is None or self._looking.done():
                self._looking = asyncio.ensure_future(self._look())
        return await super().on_tick(counter)

    async def _look(self) -> None:
        try:
            await self._house.work.do(self._house.callers.refresh)
        except CredmgrError as error:
            _log.warning("cannot see who may come in; it stays as it was", why=error.message)


def _told(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
