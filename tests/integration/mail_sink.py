"""A real SMTP server on loopback that keeps what it takes."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from apprise.plugins.email import NotifyEmail

from credmgr.testing import Received


@dataclass
class MailSink:
    """Takes mail from whoever signs in with `user` and the password.

    Attributes:
        password: What it takes.
        mails: What it took, oldest first.
        answer: What it says to a message.
        swallows: Whether it takes a message and hangs up without saying so.
    """

    password: str
    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    answer: str = "250 taken"
    controller: Controller | None = None

    @property
    def url(self) -> str:
        query = "from=credmgr@example.org&to=ops@example.org&mode=insecure"
        return f"mailto://user:{self.password}@127.0.0.1:{self.port}?{query}"

    def start(self) -> None:
        if not self.port:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]
        self.controller = Controller(
            self,
            hostname="127.0.0.1",
            port=self.port,
            server_hostname="localhost",
            authenticator=self.lets_in,
            auth_require_tls=False,
        )
        self.controller.start()

    def stop(self) -> None:
        if self.controller is not None:
            self.controller.stop()
            self.controller = None

    def lets_in(self, *given: Any) -> AuthResult:
        signed_in = given[-1] == LoginPassword(b"user", self.password.encode())
        return AuthResult(success=signed_in, handled=signed_in)

    async def handle_DATA(self, _server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if not session.authenticated:
            return "530 sign in"
        if self.answer.startswith("250"):
            parsed: Any = BytesParser(policy=policy.default).parsebytes(envelope.content)
            self.mails.append(parsed)
        return self.answer

    def received(self) -> Sequence[Received]:
        return [
            Received({name: str(value) for name, value in mail.items()}, text_of(mail))
            for mail in list(self.mails)
        ]

    @contextmanager
    def down(self) -> Iterator[None]:
        self.stop()
        yield
        self.start()

    @contextmanager
    def failing(self) -> Iterator[None]:
        self.answer = "451 try again later"
        yield
        self.answer = "250 taken"


def text_of(mail: EmailMessage) -> str:
    """What its reader sees."""
    part: Any = mail.get_body(("plain",))
    return str(part.get_content()).replace("\r\n", "\n")


@contextmanager
def mail_sink(password: str) -> Iterator[MailSink]:
    """A server, to which Apprise may send at once and smtplib without asking for its own name."""
    sink = MailSink(password)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getfqdn", lambda *_: "localhost")
        patch.setattr(NotifyEmail, "request_rate_per_sec", 0.0)
        sink.start()
        try:
            yield sink
        finally:
            sink.stop()
