"""What the sandbox's tests share: a running sandbox whose clock is moved by hand, and a client."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import urllib3

from credmgr.sandbox import SEEDED_CLIENT_ID, RunningSandbox, SandboxConfig
from credmgr.testing.clock import FakeClock

APPLICATION = f"/manage/v1/applications/{SEEDED_CLIENT_ID}"
BEGINNING = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Box:
    """A running sandbox, and ways to talk to it over its real port."""

    sandbox: RunningSandbox
    clock: FakeClock
    http: urllib3.PoolManager

    def call(
        self,
        method: str,
        path: str,
        *,
        bearer: str | None = None,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> urllib3.BaseHTTPResponse:
        """Any request."""
        sent = dict(headers or {})
        if bearer is not None:
            sent["Authorization"] = f"Bearer {bearer}"
        return self.http.request(method, self.sandbox.url + path, headers=sent, **more)

    def manage(
        self, method: str, path: str, body: object = None, **more: Any
    ) -> urllib3.BaseHTTPResponse:
        """A request of the management API, with the admin token."""
        sent: dict[str, Any] = {} if body is None else {"json": body}
        bearer = self.sandbox.admin_token.reveal()
        return self.call(method, f"/manage/v1{path}", bearer=bearer, **sent, **more)

    def secret(self, label: str = "", client_id: str = SEEDED_CLIENT_ID) -> dict[str, Any]:
        """A new secret of an application."""
        answer = self.manage("POST", f"/applications/{client_id}/secrets", {"label": label})
        assert answer.status == 201, answer.data
        created: dict[str, Any] = answer.json()
        return created

    def key(self, name: str = "local-dev", **more: Any) -> dict[str, Any]:
        """A new API key."""
        answer = self.manage("POST", "/keys", {"name": name, "environment": "live", **more})
        assert answer.status == 201, answer.data
        created: dict[str, Any] = answer.json()
        return created

    def form(
        self,
        path: str,
        fields: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
    ) -> urllib3.BaseHTTPResponse:
        """A form sent to an OAuth endpoint."""
        return self.call("POST", path, headers=headers, fields=fields, encode_multipart=False)

    def ask_token(self, value: str, **more: str) -> urllib3.BaseHTTPResponse:
        """A token request of the seeded application with the secret `value`."""
        fields = {
            "grant_type": "client_credentials",
            "client_id": SEEDED_CLIENT_ID,
            "client_secret": value,
            **more,
        }
        return self.form("/oauth/token", fields)

    def token(self, value: str | None = None, **more: str) -> str:
        """An access token of the seeded application."""
        answer = self.ask_token(value or self.secret()["value"], **more)
        assert answer.status == 200, answer.data
        return str(answer.json()["access_token"])


@contextmanager
def running_box(**config: Any) -> Iterator[Box]:
    """A sandbox on a free port whose clock stands still until it is moved."""
    clock = FakeClock(BEGINNING)
    settings = replace(SandboxConfig(port=0), **config)
    timeout = urllib3.Timeout(total=10)
    with (
        RunningSandbox(settings, clock=clock) as sandbox,
        urllib3.PoolManager(retries=False, timeout=timeout) as http,
    ):
        yield Box(sandbox, clock, http)


def seconds(count: float) -> timedelta:
    """So many seconds."""
    return timedelta(seconds=count)
