"""An installation with three findings: its credentials at a sandbox, a daemon, and who hears of it.

The sandbox, the mail, the webhook and the log are real ones; only time is a test's.
"""

import io
import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from credmgr.bootstrap import App, build
from credmgr.cli.home import make
from credmgr.daemon import Daemon
from credmgr.manifest import load
from credmgr.model.names import Name
from credmgr.sandbox import SEEDED_CLIENT_ID
from credmgr.testing.clock import FakeClock
from tests.channel_world import Sink, http_sink, logging_to
from tests.integration.mail_sink import MailSink, mail_sink, text_of
from tests.sandbox_box import Box, running_box

OLD: Final = Name("caseforge/nightly-key")
BROAD: Final = Name("caseforge/reporting")
MISPLACED: Final = Name("caseforge/console-key")
CLIENT: Final = Name("caseforge/console")
MINUTE, DAY, PATIENCE = timedelta(minutes=1), timedelta(days=1), timedelta(seconds=20)
CHANNELS: Final = ("hook", "log", "mail")
MANIFEST: Final = """\
version: 1
state: {{master_key: file:master.key}}
backends: {{local: {{plugin: local}}}}
issuers: {{caseforge: {{plugin: caseforge, url: "{box}", admin_token: file:sandbox.token}}}}
policies: [default, caseforge]
notifiers:
  log: {{plugin: log}}
  mail: {{plugin: apprise, url: file:mail.url}}
  hook: {{plugin: webhook, url: "{hook}/hook", secret: file:hook.secret}}
defaults:
  environment: development
  store: local
  rotation: {{manual: true, overlap: {{minimum: 60s, maximum: 60s}}}}
consumers:
  nightly-report:
    owner: reporting
    grants: [{{credential: caseforge/nightly-key, read: [secret]}}]
credentials:
  caseforge/nightly-key:
    kind: api-key
    issuer: caseforge
    owner: reporting
    scopes: ["cases:read"]
"""
TOO_MUCH: Final = '["cases:read", "cases:write", "sar:read", "alerts:read", "subjects:read"]'
TOO_BROAD: Final = f"""\
  caseforge/reporting:
    kind: oauth-client
    issuer: caseforge
    owner: investigations
    client_id: {SEEDED_CLIENT_ID}
    scopes: {TOO_MUCH}
"""
KEY_IN_PRODUCTION: Final = """\
  caseforge/console-key:
    kind: api-key
    issuer: caseforge
    owner: console
    environment: production
    scopes: ["cases:read"]
"""
CLIENT_IN_PRODUCTION: Final = """\
  caseforge/console:
    kind: oauth-client
    issuer: caseforge
    owner: console
    environment: production
    client_id: {client_id}
    scopes: ["cases:read"]
"""


@dataclass(frozen=True)
class Case:
    """A finding: what whoever answers for the credential is to read of it."""

    key: str
    severity: str
    owner: str
    environment: str
    text: str
    remedy: str


AGED: Final = Case(
    f"default.max-age/{OLD}",
    "warning",
    "reporting",
    "development",
    f"{OLD}: its secret is from 2026-11-24 and older than 180 days",
    f"What to do: credmgr rotate {OLD}; then set `rotation: {{every: …}}` below the limit",
)
WIDE: Final = Case(
    f"caseforge.many-scopes/{BROAD}",
    "warning",
    "investigations",
    "development",
    f"{BROAD}: it has 5 scopes, 4 are the limit",
    f"What to do: take out of {BROAD} in the manifest what it does not need, and apply; or split it"
    " into applications of their own",
)
EXPOSED: Final = Case(
    f"caseforge.api-key-in-production/{MISPLACED}",
    "critical",
    "console",
    "production",
    f"{MISPLACED}: it is an API key in production",
    "What to do: register an OAuth application, declare it as `kind: oauth-client` under a name of"
    f" its own, move the consumers there; then take {MISPLACED} out of the manifest, apply, and"
    f" credmgr revoke {MISPLACED}",
)
CASES: Final = (AGED, WIDE, EXPOSED)
ALSO: Final = f"default.api-key-in-production/{MISPLACED}"
"""What the pack `default` calls the same cause."""


@dataclass(frozen=True)
class Heard:
    """What came through a channel, in the channel's own words."""

    title: str
    body: str
    facts: Mapping[str, str]
    resolved: bool

    @property
    def key(self) -> str:
        return self.facts["key"]

    def tells(self, case: Case) -> bool:
        """Whether it names the finding, how bad it is, whose, and where."""
        said = (self.key, self.facts["severity"], self.facts["owner"], self.facts["environment"])
        return said == (case.key, case.severity, case.owner, case.environment)


def _checker() -> Callable[..., bool]:
    """The check that docs/alerts.md tells receivers to make."""
    page = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text()
    (source,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(source, names)  # noqa: S102 (our own page)
    check: Callable[..., bool] = names["is_from_credmgr"]
    return check


IS_FROM_CREDMGR: Final = _checker()


@dataclass
class World:
    """An installation with a daemon, and those who hear of it."""

    home: Path
    box: Box
    mail: MailSink
    hook: Sink
    log: io.StringIO
    hook_secret: str
    app: App
    daemon: Daemon
    verified: int = 0
    values: set[str] = field(default_factory=set)

    @property
    def clock(self) -> FakeClock:
        return self.box.clock

    def run(self, span: timedelta) -> None:
        """Let time pass, with the daemon at work; whoever gets a webhook checks it at once."""
        end = self.clock.now() + span
        while self.clock.now() < end:
            self.daemon.tick()
            assert self.daemon._settle(PATIENCE)
            self.daemon.look()
            self.daemon.alerts()
            assert self.daemon._dispatcher.settle(PATIENCE)
            self._verify(self.clock.now())
            self.clock.advance(MINUTE / 2)

    def _verify(self, now: datetime) -> None:
        for headers, body in self.hook.heard[self.verified :]:
            signed = headers["Credmgr-Signature"]
            assert IS_FROM_CREDMGR(self.hook_secret, signed, body, now.timestamp())
            assert not IS_FROM_CREDMGR("x" * 64, signed, body, now.timestamp())
        self.verified = len(self.hook.heard)

    def apply(self, old: str, new: str) -> None:
        """Somebody edits the manifest, applies it, and has the daemon read it again."""
        path = self.home / "credmgr.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        with self.operator() as app:
            app.apply(app.plan())
        assert self.daemon.reload()

    @contextmanager
    def operator(self) -> Iterator[App]:
        """A command of somebody's, as it sees the installation."""
        app = build(load(self.home / "credmgr.yaml"), clock=self.clock, actor="operator:ann@desk")
        try:
            yield app
        finally:
            app.close()

    def value(self, name: Name) -> str:
        """The secret of a credential as it is now, which nobody may ever be told."""
        value = self.app.reveal(name).reveal()
        self.values.add(value)
        return value

    def serves(self, key: str) -> bool:
        """Whether the sandbox's API takes a key."""
        return self.box.call("GET", "/v2/cases", bearer=key).status == 200

    def heard(self, channel: str) -> list[Heard]:
        """What has come through a channel."""
        match channel:
            case "mail":
                return [_read(str(one["Subject"]), text_of(one)) for one in self.mail.mails]
            case "hook":
                bodies = [json.loads(body) for _, body in self.hook.heard]
                return [_heard(one["title"], one) for one in bodies]
            case _:
                lines = [json.loads(line) for line in self.log.getvalue().splitlines()]
                return [_heard(one["event"], one) for one in lines if one.get("notifier") == "log"]

    def about(self, case: Case, channel: str, *, resolved: bool) -> Heard:
        """The one message of a channel that a finding has opened, or that it has ended."""
        told = [one for one in self.heard(channel) if one.key == case.key]
        (found,) = [one for one in told if one.resolved is resolved]
        assert found.tells(case)
        return found

    def open_keys(self) -> set[str]:
        return {one.key for one in self.app.store.ledger.findings(open_only=True)}

    def history(self, key: str) -> list[str]:
        """What `credmgr findings show` tells of a finding."""
        records = self.app.store.audit.records(0, 100, key)
        return [one.event.action for one in records if one.event.action.startswith("finding.")]

    def everything(self) -> str:
        """All that left the installation or was logged, as it went and as it is read."""
        mails = [f"{one.as_string()}\n{text_of(one)}" for one in self.mail.mails]
        posted = [f"{headers}\n{body.decode()}" for headers, body in self.hook.heard]
        return "\n".join([*mails, *posted, self.log.getvalue()])


def _heard(title: str, said: Mapping[str, Any]) -> Heard:
    facts = {name: said[name] for name in ("key", "severity", "owner", "environment")}
    return Heard(title, said["body"], facts, said["resolved"])


def _read(subject: str, text: str) -> Heard:
    """A mail, as its reader takes it in."""
    body, _, about = text.strip().rpartition("\n\n")
    facts = dict(line.split(": ", 1) for line in about.splitlines())
    return Heard(subject, body, facts, subject.startswith(("Resolved: ", "Exempted: ")))


def private(path: Path, text: str) -> str:
    path.touch(mode=0o600)
    path.write_text(text)
    return text


@contextmanager
def findings_world(folder: Path) -> Iterator[World]:
    """An installation in which all three have just been opened."""
    home, log, password = folder / "home", io.StringIO(), f"cnry{secrets.token_hex(16)}"
    with ExitStack() as stack:
        box = stack.enter_context(running_box())
        mail = stack.enter_context(mail_sink(password))
        hook = stack.enter_context(http_sink())
        stack.enter_context(logging_to(log))
        make(home, MANIFEST.format(box=box.sandbox.url, hook=hook.url))
        admin = private(home / "sandbox.token", box.sandbox.admin_token.reveal())
        private(home / "mail.url", mail.url)
        signs = private(home / "hook.secret", f"cnry{secrets.token_hex(32)}")
        app = build(load(home / "credmgr.yaml"), clock=box.clock, actor="daemon@test")
        stack.callback(app.close)
        app.apply(app.plan())
        daemon = Daemon(app, lambda: load(home / "credmgr.yaml"), lambda _: None)
        stack.callback(daemon.drain)
        made = World(home, box, mail, hook, log, signs, app, daemon)
        made.values |= {password, admin, signs}
        _half_a_year(made)
        yield made


def _half_a_year(world: World) -> None:
    """A key grows too old, though it is used; then come a client and a key as they must not be."""
    world.run(MINUTE)
    world.clock.advance(100 * DAY)
    world.values.add(world.app.broker.secret(Name("nightly-report"), OLD).secret.reveal())
    world.app.broker.flush()
    world.run(MINUTE)
    assert world.open_keys() == set()
    world.clock.advance(80 * DAY)
    world.apply("credentials:\n", f"credentials:\n{TOO_BROAD}{KEY_IN_PRODUCTION}")
    world.run(2 * MINUTE)
    for name in (OLD, BROAD, MISPLACED):
        world.value(name)
