"""The connections of the AWS backend: kept between calls, bounded in number, waited for."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

import pytest
from botocore.awsrequest import AWSRequest

from credmgr.backends.aws_secrets_manager.wire import Wire
from credmgr.errors import BackendUnavailable
from credmgr.model.clock import SystemClock
from credmgr.plugins.clocks import ServerClock


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.accepted = 0
        self.go = Event()
        self.arrived = Event()

    def get_request(self) -> Any:
        self.accepted += 1
        return super().get_request()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.arrived.set()
        self.server.go.wait(5)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as started:
        Thread(target=started.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield started
        started.go.set()
        started.shutdown()


def ask(wire: Wire, server: Server) -> bytes:
    url = f"http://127.0.0.1:{server.server_port}/"
    content: bytes = wire.send(AWSRequest("POST", url, data=b"{}").prepare()).content
    return content


def test_connections_are_kept_one_for_each_worker(server: Server) -> None:
    server.go.set()
    wire = Wire(2, timedelta(seconds=5), None, ServerClock(SystemClock()))
    with ThreadPoolExecutor(2) as pool:
        assert set(pool.map(lambda _: ask(wire, server), range(40))) == {b"{}"}
    assert server.accepted <= 2
    wire.close()


def test_a_call_that_finds_no_free_connection_is_not_sent(server: Server) -> None:
    wire = Wire(1, timedelta(seconds=2), None, ServerClock(SystemClock()))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, wire, server)
        server.arrived.wait(5)
        with pytest.raises(BackendUnavailable, match="every connection was busy"):
            ask(wire, server)
        server.go.set()
        assert first.result() == b"{}"
    wire.close()


def test_proxies_of_the_environment_are_not_taken(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://192.0.2.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    server.go.set()
    wire = Wire(1, timedelta(seconds=2), None, ServerClock(SystemClock()))
    assert ask(wire, server) == b"{}"
    wire.close()
