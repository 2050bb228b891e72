"""moto behind a layer of ours: strict where moto is lax, faults on demand, a record of calls.

moto 5.2 takes another value under one token, long values, odd names, writes to a secret that is
scheduled for deletion, any number of labels; it lists versions without pages and with the time of
the question as their date; and it is not atomic.
"""

import io
import json
import os
import re
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from socket import SHUT_RDWR, SO_LINGER, SOL_SOCKET
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

import pytest

from credmgr.backends.aws_secrets_manager import AwsBackendFactory, AwsOptions
from credmgr.model.clock import Clock, SystemClock
from credmgr.model.secret import Secret
from credmgr.plugins.context import PluginContext
from tests.integration.aws_strict import Answer, refusal, refused

if TYPE_CHECKING:
    from credmgr.backends.aws_secrets_manager.session import AwsBackend
    from tests.integration.aws_iam import Iam

JSON_TYPE: Final = "application/x-amz-json-1.1"
ACCOUNT: Final = "123456789012"
REGION: Final = "eu-central-1"
ADMINISTRATOR: Final = "the-administrator"
"""The access key id to which no policy applies."""
_CHANGES: Final = frozenset(
    {"PutSecretValue", "UpdateSecretVersionStage", "GetSecretValue", "DeleteSecret", "CreateSecret"}
)


class Fault(StrEnum):
    """What happens to one call; `FINE` lets it pass, to hit the one after it."""

    FINE = "fine"
    TIMEOUT = "timeout"
    RESET = "reset"
    BROKEN = "broken"
    THROTTLED = "throttled"
    LOST = "lost"
    DRIP = "drip"


@dataclass
class AwsServer:
    """A running moto with our layer in front.

    Attributes:
        url: Where it listens.
        strict: Whether it refuses what AWS refuses.
        iam: What the policy allows to all but the administrator; None allows everything.
        page: How many versions are on a page.
        calls: The operations asked for, oldest first.
        bodies: What was asked in each.
        faults: Operation and fault, each used once; the operation "*" is any.
        answers: Answers to give instead, by operation, each used once.
        before: What to do ahead of an operation, by operation, each done once.
        raw: The same as text of XML.
        odd: Bodies to answer with instead, each used once.
        released: Set when waiting handlers are to go home.
    """

    url: str = ""
    strict: bool = True
    iam: "Iam | None" = None
    page: int = 100
    calls: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    faults: list[tuple[str, Fault]] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    raw: dict[str, tuple[int, str]] = field(default_factory=dict)
    odd: list[str] = field(default_factory=list)
    before: dict[str, Callable[[], object]] = field(default_factory=dict)
    released: Event = field(default_factory=Event)

    def reset(self) -> None:
        from moto.moto_api._internal.models import moto_api_backend  # noqa: PLC0415

        moto_api_backend.reset()
        self.calls.clear()
        self.bodies.clear()
        self.faults.clear()
        self.answers.clear()
        self.before.clear()
        self.odd.clear()
        self.strict, self.page, self.iam = True, 100, None

    def secrets(self, region: str = REGION) -> Any:
        from moto.secretsmanager.models import secretsmanager_backends  # noqa: PLC0415

        return secretsmanager_backends[ACCOUNT][region].secrets

    def labels(self, name: str) -> dict[str, set[str]]:
        """Each labelled version with its labels, as a native reader finds them."""
        versions = self.secrets()[name].versions.items()
        return {each: set(it["version_stages"]) for each, it in versions if it["version_stages"]}

    def native(self, name: str, label: str = "AWSCURRENT") -> str | None:
        """What a consumer with AWS's SDK reads."""
        for version in self.secrets()[name].versions.values():
            if label in version["version_stages"]:
                return str(version["secret_string"])
        return None


class _Layer:
    """A WSGI application around moto's; one call at a time, as AWS is atomic per secret."""

    def __init__(self, inner: Any, state: AwsServer) -> None:
        self._inner = inner
        self._state = state
        self._lock = Lock()

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        operation = environ.get("HTTP_X_AMZ_TARGET", "").partition(".")[2]
        if not operation:
            found = re.search(rb"Action=([A-Za-z]+)", body)
            operation = found[1].decode() if found else ""
        fault = self._next_fault(operation)
        if fault in {Fault.TIMEOUT, Fault.RESET}:
            return self._drop(environ, fault)
        if fault in {Fault.BROKEN, Fault.THROTTLED}:
            return _say(start, _FAULTY[fault])
        status, headers, said = self._answer(environ, operation, body)
        if self._state.odd:
            said = self._state.odd.pop().encode()
            headers = [("Content-Type", "application/json"), ("Content-Length", str(len(said)))]
        if fault is Fault.LOST:
            return self._drop(environ, Fault.RESET)
        start(status, headers)
        return self._dripping(said) if fault is Fault.DRIP else [said]

    def _next_fault(self, operation: str) -> Fault | None:
        for number, (wanted, fault) in enumerate(self._state.faults):
            if wanted in {operation, "*"}:
                del self._state.faults[number]
                return fault
        return None

    def _drop(self, environ: dict[str, Any], fault: Fault) -> Iterable[bytes]:
        if fault is Fault.TIMEOUT:
            self._state.released.wait(5)
        sock = environ["werkzeug.socket"]
        sock.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        sock.shutdown(SHUT_RDWR)
        raise ConnectionResetError

    def _dripping(self, said: bytes) -> Iterator[bytes]:
        for byte in said:
            yield bytes([byte])
            if self._state.released.wait(0.1):
                return

    def _answer(
        self, environ: dict[str, Any], operation: str, body: bytes
    ) -> tuple[str, list[tuple[str, str]], bytes]:
        with self._lock:
            asked = json.loads(body) if body.startswith(b"{") else dict(parse_qsl(body.decode()))
            self._state.calls.append(operation)
            self._state.bodies.append(asked)
            if operation in self._state.before:
                self._state.before.pop(operation)()
            if operation in self._state.raw:
                return _xml(*self._state.raw.pop(operation))
            if operation == "SimulatePrincipalPolicy" and self._state.iam is not None:
                return _xml(*self._state.iam.simulated(asked))
            own = (
                self._state.answers.pop(operation, None)
                or self._denied(environ, operation, asked)
                or self._own(operation, asked)
            )
            if own is not None:
                return _encoded(own)
            self._mend(asked)
            return self._moto(environ, body)

    def _mend(self, asked: dict[str, Any]) -> None:
        """PutSecretValue takes AWSCURRENT from where moto last put it, not from where it is."""
        secret = self._state.secrets().get(asked.get("SecretId", ""))
        for version_id, version in getattr(secret, "versions", {}).items():
            if "AWSCURRENT" in version["version_stages"]:
                secret.default_version_id = version_id

    def _moto(
        self, environ: dict[str, Any], body: bytes
    ) -> tuple[str, list[tuple[str, str]], bytes]:
        from werkzeug.test import run_wsgi_app  # noqa: PLC0415

        said, status, headers = run_wsgi_app(
            self._inner, {**environ, "wsgi.input": io.BytesIO(body)}, buffered=True
        )
        whole = b"".join(said)
        # moto calls some of its JSON text/html
        headers["Content-Type"] = JSON_TYPE if whole.startswith(b"{") else "text/xml"
        return status, list(headers.items()), whole

    def _denied(
        self, environ: dict[str, Any], operation: str, asked: dict[str, Any]
    ) -> Answer | None:
        iam, signed_by = self._state.iam, environ.get("HTTP_AUTHORIZATION", "")
        if iam is None or f"={ADMINISTRATOR}/" in signed_by:
            return None
        secret = self._state.secrets().get(asked.get("SecretId", asked.get("Name", "")))
        lacking = iam.denies(operation, asked, secret)
        return refused("AccessDeniedException", lacking.action) if lacking else None

    def _own(self, operation: str, asked: dict[str, Any]) -> Answer | None:
        secret = self._state.secrets().get(asked.get("SecretId", asked.get("Name", "")))
        if operation == "ListSecretVersionIds":
            gone = secret is None  # which moto breaks at
            return refused("ResourceNotFoundException") if gone else self._versions(secret, asked)
        if not self._state.strict or operation not in _CHANGES:
            return None
        return refusal(operation, asked, secret)

    def _versions(self, secret: Any, asked: dict[str, Any]) -> Answer:
        held = [each for each in secret.versions.values() if each["version_stages"]]
        first = int(asked.get("NextToken", "0"))
        size = min(asked.get("MaxResults", 100), self._state.page)
        entries = [
            {
                "VersionId": each["version_id"],
                "VersionStages": each["version_stages"],
                "CreatedDate": each["createdate"],
            }
            for each in held[first : first + size]
        ]
        page: dict[str, Any] = {"ARN": secret.arn, "Name": secret.name, "Versions": entries}
        if first + size < len(held):
            page["NextToken"] = str(first + size)
        return 200, page


_FAULTY: Final = {
    Fault.BROKEN: refused("InternalServiceError", status=500),
    Fault.THROTTLED: refused("ThrottlingException"),
}


def _encoded(answer: Answer) -> tuple[str, list[tuple[str, str]], bytes]:
    status, document = answer
    said = json.dumps(document).encode()
    headers = [("Content-Type", JSON_TYPE), ("Content-Length", str(len(said)))]
    return f"{status} whatever", headers, said


def _say(start: Any, answer: Answer) -> Iterable[bytes]:
    status, headers, said = _encoded(answer)
    start(status, headers)
    return [said]


def _xml(status: int, text: str) -> tuple[str, list[tuple[str, str]], bytes]:
    return f"{status} whatever", [("Content-Type", "text/xml")], text.encode()


@contextmanager
def running(tls: tuple[str, str] | None = None) -> Iterator[AwsServer]:
    """A server of one test process; what keeps it from starting is a skip, and a failure in CI."""
    try:
        from moto.moto_server.werkzeug_app import (  # noqa: PLC0415
            DomainDispatcherApplication,
            create_backend_app,
        )
        from werkzeug.serving import WSGIRequestHandler, make_server  # noqa: PLC0415
    except ImportError as error:
        _missing(f"no moto: {error}")

    class Silent(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log(self, *_: Any) -> None:
            pass

    state = AwsServer()
    layer = _Layer(DomainDispatcherApplication(create_backend_app), state)
    server = make_server(
        "localhost", 0, layer, threaded=True, request_handler=Silent, ssl_context=tls
    )
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    state.url = f"{'https' if tls else 'http'}://localhost:{server.port}"
    try:
        state.reset()
        yield state
    finally:
        state.released.set()
        server.shutdown()
        server.server_close()


def _missing(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


class Written:
    """References that lead to what a test says."""

    def __init__(self, **values: str) -> None:
        self._values = values

    def resolve(self, reference: str) -> Secret:
        return Secret(self._values[reference.partition(":")[2]])


class NoKeys:
    def current(self, purpose: str) -> tuple[str, bytes]:
        raise AssertionError(purpose)

    def by_id(self, purpose: str, key_id: str) -> bytes:
        raise AssertionError(purpose, key_id)


SECRET_KEY: Final = "made-up-key-for-moto"  # noqa: S105


def a_context(
    *, deadline: timedelta = timedelta(seconds=20), clock: Clock | None = None
) -> PluginContext:
    return PluginContext(
        name="aws",
        home=Path("/nonexistent"),
        clock=clock or SystemClock(),
        keys=NoKeys(),
        references=Written(AWS_SECRET=SECRET_KEY, EXTERNAL="an-external-id"),
        workers=32,
        deadline=deadline,
    )


def options_for(server: AwsServer, **more: Any) -> AwsOptions:
    return AwsOptions(
        **{
            "region": REGION,
            "endpoint_url": server.url,
            "sts_endpoint_url": server.url,
            "access_key_id": "testing",
            "secret_access_key": "env:AWS_SECRET",
            **more,
        }
    )


def a_session(
    server: AwsServer, *, deadline: timedelta = timedelta(seconds=20), **more: Any
) -> "AwsBackend":
    return AwsBackendFactory().open(options_for(server, **more), a_context(deadline=deadline))


CHAIN: Final[dict[str, Any]] = {"access_key_id": None, "secret_access_key": None}
"""Options of a session that signs in with whatever the machine offers."""


def without_chain(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Nothing of the machine's own AWS configuration, and no metadata service."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "credentials"))
