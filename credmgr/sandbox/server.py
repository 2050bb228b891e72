"""Running a sandbox: in the foreground with signals, or in a thread of a test."""

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Event, Thread, current_thread, main_thread
from types import FrameType, TracebackType
from typing import Final, Self

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from credmgr.errors import ConfigError, NotAllowedNow
from credmgr.model.clock import Clock, SystemClock
from credmgr.model.secret import Secret
from credmgr.sandbox.accounts import Applications
from credmgr.sandbox.box import Box
from credmgr.sandbox.config import SandboxConfig, load_admin_token
from credmgr.sandbox.faults import Faults
from credmgr.sandbox.faulty import TRANSPORT
from credmgr.sandbox.issued import IssuedSecrets
from credmgr.sandbox.log import GroundTruth

_DRAIN_SECONDS: Final = 3
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def serve(
    config: SandboxConfig,
    *,
    stop: Event | None = None,
    ready: Callable[[str], None] | None = None,
    clock: Clock | None = None,
) -> None:
    """Run a sandbox until `stop` is set or, in the main thread, SIGINT or SIGTERM arrives.

    Requests under way are finished, three seconds at most. May be called again: with a database
    file it goes on where it was.

    Args:
        config: How it is set up.
        stop: Ends it from another thread.
        ready: Called once with the base URL, when connections are accepted.
        clock: Tells the time; the machine's clock by default.

    Raises:
        ConfigError: The address cannot be listened on, or the admin token file is not private.
        StateError: The database cannot be used.
    """
    stop = stop or Event()
    admin_token = load_admin_token(config)
    with _listening(config) as (listener, base_url):
        box = Box(config, base_url, admin_token, clock or SystemClock())
        try:
            with _signals_set(stop):
                _run(box, listener, stop, ready)
        finally:
            box.close()


class RunningSandbox:
    """A sandbox in a thread of this process, for tests: `with RunningSandbox(config) as sandbox:`.

    Entering listens and returns when connections are accepted; leaving stops it. It may be entered
    again, and with a database file it goes on where it was.

    Attributes:
        config: How it is set up.
        clock: What tells its time.

    Raises:
        ConfigError: On entering: the address cannot be listened on, or the token file is not
            private.
        StateError: On entering: the database cannot be used.
    """

    def __init__(self, config: SandboxConfig | None = None, *, clock: Clock | None = None) -> None:
        self.config = config or SandboxConfig(port=0)
        self.clock = clock or SystemClock()
        self._running: _Running | None = None

    def __enter__(self) -> Self:
        self._running = _Running(self.config, self.clock)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._up.stop()
        self._running = None

    @property
    def url(self) -> str:
        """What it is reached at, without a slash at the end."""
        return self._up.box.base_url

    @property
    def admin_token(self) -> Secret:
        """The bearer of its management API."""
        return self._up.admin_token

    @property
    def log(self) -> GroundTruth:
        """Its ground truth."""
        return self._up.box.log

    @property
    def faults(self) -> Faults:
        """What shall go wrong."""
        return self._up.box.faults

    @property
    def secrets(self) -> IssuedSecrets:
        """What it has issued; `secrets.live()` is for checking invariants."""
        return self._up.box.secrets

    @property
    def applications(self) -> Applications:
        """What is registered with it."""
        return self._up.box.applications

    @property
    def _up(self) -> "_Running":
        if self._running is None:
            raise NotAllowedNow("the sandbox is not running")
        return self._running


class _Running:
    """One life of a `RunningSandbox`."""

    def __init__(self, config: SandboxConfig, clock: Clock) -> None:
        self._stop = Event()
        self._ready = Event()
        self.admin_token = load_admin_token(config)
        with ExitStack() as stack:
            listener, url = stack.enter_context(_listening(config))
            self.box = Box(config, url, self.admin_token, clock)
            self._open = stack.pop_all()
        self._thread = Thread(target=self._run, args=(listener,), name="sandbox", daemon=True)
        self._thread.start()
        self._ready.wait()

    def _run(self, listener: socket.socket) -> None:
        try:
            _run(self.box, listener, self._stop, lambda _url: self._ready.set())
        finally:
            self._ready.set()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self._open.close()
        self.box.close()


class _Protocol(HttpToolsProtocol):
    """Hands the transport to the application, so that a fault can cut the connection."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT: self.transport}  # type: ignore[dict-item]


class _Server(uvicorn.Server):
    """A server that leaves signals alone, stops with an event, and lets go of hanging requests."""

    def __init__(
        self, config: uvicorn.Config, box: Box, stop: Event, ready: Callable[[str], None]
    ) -> None:
        super().__init__(config)
        self._box = box
        self._stop = stop
        self._on_ready = ready

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready(self._box.base_url)

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or self._stop.is_set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._box.stopping.set()
        await super().shutdown(sockets)


def _run(
    box: Box, listener: socket.socket, stop: Event, ready: Callable[[str], None] | None
) -> None:
    config = uvicorn.Config(
        box.app(),
        http=_Protocol,
        loop="uvloop",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )
    _Server(config, box, stop, ready or _nobody_asked).run(sockets=[listener])


def _nobody_asked(_url: str) -> None:
    """Stand in for a `ready` that was not given."""


@contextmanager
def _listening(config: SandboxConfig) -> Iterator[tuple[socket.socket, str]]:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        listener = socket.create_server((config.host, config.port), family=family)
    except OSError as error:
        raise ConfigError(
            f"nothing can listen on {config.host} port {config.port}: {error.strerror}",
            hint="another sandbox may be running; choose another port",
        ) from error
    with listener:
        host = f"[{config.host}]" if family is socket.AF_INET6 else config.host
        yield listener, f"http://{host}:{listener.getsockname()[1]}"


@contextmanager
def _signals_set(stop: Event) -> Iterator[None]:
    """SIGINT and SIGTERM set `stop`; only a main thread may say so, and only while inside."""
    if current_thread() is not main_thread():
        yield
        return

    def stopped(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, stopped) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
