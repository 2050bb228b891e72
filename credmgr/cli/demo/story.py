"""The demo told once through: each step is done for real, shown, and checked."""

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Event
from types import FrameType
from typing import TYPE_CHECKING, Final
from uuid import UUID

from credmgr.bootstrap import App, build
from credmgr.cli import home as homes
from credmgr.cli.demo import children
from credmgr.cli.demo.children import DAEMON_LOG
from credmgr.cli.demo.consumer import CaseForge, Consumer
from credmgr.cli.demo.misuse import three_findings
from credmgr.cli.output import length, plain, say, state
from credmgr.errors import CredmgrError
from credmgr.model.names import Name
from credmgr.model.rotation import Rotation, State, Trigger
from credmgr.model.secret import Secret
from credmgr.model.token import TokenRequest
from credmgr.model.version import VersionStatus
from credmgr.rotation.runbook import Runbook

if TYPE_CHECKING:
    import subprocess

KEY: Final = Name("caseforge/api-key")
CLIENT: Final = Name("caseforge/client-secret")
LIFE: Final = {"every": "12s", "overlap": "4s", "longest": "8s", "console": "manual: true"}
PATIENCE: Final = timedelta(seconds=40)
POLL: Final = timedelta(milliseconds=100)


class StoryBroken(CredmgrError):
    """A step of the demo did not do what it should."""

    code = "demo"


def tell() -> None:
    """The whole story, in a temporary folder that is removed at the end.

    Raises:
        StoryBroken: A step did not do what it should.
        CredmgrError: A step could not be done.
    """
    signal.signal(signal.SIGTERM, _interrupted)
    with tempfile.TemporaryDirectory(prefix="credmgr-demo-") as folder:
        with _stage(Path(folder)) as story:
            for chapter in (
                story.first_secrets,
                story.log_in,
                story.rotate_on_schedule,
                story.put_right,
                story.roll_back,
                story.leak,
                partial(three_findings, story),
                story.stop,
                story.account,
            ):
                chapter()
            passed = length(story.app.clock.monotonic() - story.began)
        say(f"\n[bold green]All of it held.[/] [dim]{passed}; nothing is left behind[/]")


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    """SIGTERM tidies up as Ctrl-C does."""
    raise KeyboardInterrupt


@contextmanager
def _stage(folder: Path) -> Iterator["Story"]:
    with ExitStack() as stack:
        url = stack.enter_context(children.sandbox(folder, 0))
        text = homes.starter("demo.yaml", url=url, uid=str(os.getuid()), **LIFE)
        app = build(homes.make(folder, text), actor="operator:demo")
        stack.callback(app.close)
        log = stack.enter_context((folder / DAEMON_LOG).open("wb"))
        daemon = stack.enter_context(children.daemon(folder, log))
        story = Story(app, CaseForge(url), daemon, stack)
        story.chapter("A new installation")
        story.tell(f"a CaseForge sandbox listens on {url}")
        story.tell(f"manifest, master key, keyring and state database are in {folder}")
        story.tell(f"the daemon runs as process {daemon.pid} and applies the manifest")
        yield story


@dataclass(slots=True)
class Story:
    """What the chapters share.

    Attributes:
        app: The operator's end, in this process.
        api: CaseForge as a consumer sees it.
        daemon: The background process that does the work.
        stack: Ends the consumer with the story.
        began: When.
        consumer: Who calls the API all the time.
        shown: How many lines of each rotation's journal were shown.
    """

    app: App
    api: CaseForge
    daemon: "subprocess.Popen[bytes]"
    stack: ExitStack
    began: timedelta = field(init=False)
    consumer: Consumer = field(init=False)
    shown: dict[UUID, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Start the watch."""
        self.began = self.app.clock.monotonic()

    def first_secrets(self) -> None:
        """The daemon issues what has no secret yet."""
        self.chapter("First secrets")
        for name in (KEY, CLIENT):
            self.tell(name)
            self.follow(self.await_value(partial(self.newest, name), f"{name} gets a secret"))
        self.consumer = self.stack.enter_context(
            Consumer(self.api, lambda: self.secret(KEY), self.app.clock)
        )
        self.tell("a consumer starts to call the API with the key, 20 times a second")

    def log_in(self) -> None:
        """A token made from the client secret opens the API."""
        self.chapter("A login")
        credential = self.app.store.ledger.enrolled(CLIENT).credential
        wanted = TokenRequest(frozenset({"cases:read"}))
        issuer = self.app.outside.issuer(credential)
        token = issuer.mint(credential, self.secret(CLIENT), wanted)
        life = length(token.expires_at - token.issued_at)
        self.tell(f"a token for cases:read was minted; it lives {life}")
        count = self.api.open_cases(token.value)
        self.expect(bool(count), f"GET /v2/cases answers with {count} open cases")

    def rotate_on_schedule(self) -> None:
        """The key comes of age; nobody notices."""
        self.chapter("A rotation by schedule, under load")
        old = self.secret(KEY)
        row = self.await_value(lambda: self.newest(KEY, Trigger.SCHEDULE), "the key is due")
        overlapping = self.follow(row, until=State.OVERLAP)
        new = self.secret(KEY)
        both = self.api.accepts(old) and self.api.accepts(new)
        self.expect(new != old and both, "both keys work while consumers move")
        self.follow(overlapping)
        self.expect(not self.api.accepts(old), "the old key is refused")
        self.expect(
            self.consumer.failures == self.consumer.again == 0,
            f"the consumer made {self.consumer.calls} calls without one refusal",
        )

    def put_right(self) -> None:
        """Somebody changes a copy; the daemon looks at it every two seconds."""
        self.chapter("A copy that somebody changed")
        file = self.app.manifest.home / "out" / "report.env"
        self.await_true(lambda: self.current_in(file), "the file has the current key")
        file.write_text("CASEFORGE_API_KEY=changed-by-hand\n")
        self.tell("out/report.env, which the nightly report reads, is written over")
        self.await_true(lambda: self.current_in(file), "the file is put right")
        self.expect(self.current_in(file), "the daemon has put the current key back, by itself")

    def roll_back(self) -> None:
        """An operator changes their mind during the overlap."""
        self.chapter("A rollback")
        old, runbook = self.secret(CLIENT), Runbook(self.app.engine)
        row = runbook.rotate(CLIENT)
        self.tell(f"`credmgr rotate {CLIENT}`")
        self.follow(row, until=State.OVERLAP)
        new = self.secret(CLIENT)
        self.tell(f"`credmgr rollback {CLIENT}`")
        ended = self.follow(runbook.rollback(CLIENT), end=State.ABORTED)
        self.expect(self.secret(CLIENT) == old != new, "consumers read the old secret again")
        issuer = self.app.outside.issuer(self.app.store.ledger.enrolled(CLIENT).credential)
        left = issuer.list(self.app.store.ledger.enrolled(CLIENT).credential)
        gone = ended.new_secret_id not in {one.secret_id for one in left}
        self.expect(gone, "the new one is revoked")

    def leak(self) -> None:
        """The key stands in a public repository."""
        self.chapter("A leaked key")
        leaked, since = self.secret(KEY), self.app.clock.monotonic()
        self.tell(f"`credmgr revoke {KEY} --leaked`")
        row = Runbook(self.app.engine).leaked(KEY, lambda _: None)
        passed = (self.app.clock.monotonic() - since).total_seconds()
        self.expect(row.state is State.DONE, f"replaced {passed:.1f} s later")
        self.expect(not self.api.accepts(leaked), "the leaked key is refused")
        self.expect(self.api.accepts(self.secret(KEY)), "its successor is served")

    def stop(self) -> None:
        """The daemon is told to stop."""
        self.chapter("The end")
        consumer = self.consumer
        self.expect(
            consumer.failures == 0,
            f"the consumer made {consumer.calls} calls; none failed, {consumer.again} had to read"
            " the key anew after the leak",
        )
        self.expect(children.stop(self.daemon) == 0, "the daemon finished what it began, and ended")

    def account(self) -> None:
        """Everything that lives is known, everything that was done is recorded."""
        for name in (KEY, CLIENT):
            credential = self.app.store.ledger.enrolled(name).credential
            living = {one.secret_id for one in self.app.outside.issuer(credential).list(credential)}
            known = {
                one.secret_id
                for one in self.app.store.ledger.versions(name)
                if one.status is not VersionStatus.REVOKED
            }
            self.expect(living == known, f"every live secret of {name} is known by id")
        head = self.app.verify_audit()
        self.expect(head.sequence > 0, f"the audit log verifies: {head.sequence} records")

    def chapter(self, title: str) -> None:
        """A new part."""
        say(f"\n[bold]{title}[/]")

    def tell(self, text: str) -> None:
        """Something that was done."""
        say(f"  [dim]·[/] {plain(text)}")

    def expect(self, held: bool, claim: str) -> None:  # noqa: FBT001 (reads as a sentence)
        """Something that must be true.

        Raises:
            StoryBroken: It is not.
        """
        if not held:
            say(f"  [red]✗ {plain(claim)}[/]")
            raise StoryBroken(f"this did not hold: {claim}")
        say(f"  [green]✓[/] {plain(claim)}")

    def secret(self, name: Name) -> Secret:
        """What a consumer reads now."""
        store = self.app.store.ledger.enrolled(name).credential.store
        return self.app.outside.backends[store.backend].read(store.name).secret

    def newest(self, name: Name, trigger: Trigger | None = None) -> Rotation | None:
        """The newest rotation, if it is the one that is waited for."""
        if name not in {one.credential.name for one in self.app.store.ledger.all_enrolled()}:
            return None
        found = self.app.store.ledger.rotations(name, 1)
        return found[0] if found and trigger in (None, found[0].trigger) else None

    def follow(
        self, row: Rotation, *, until: State | None = None, end: State = State.DONE
    ) -> Rotation:
        """Show the journal as it is written, until the rotation has ended or is in `until`."""
        while True:
            row = self.app.store.ledger.rotation(row.id)
            self._show_news(row)
            if row.state in (until, end):
                return row
            if not row.open or row.state is State.OPERATOR:
                raise StoryBroken(f"the rotation of {row.credential} is {row.state}: {row.reason}")
            self.rest()

    def _show_news(self, row: Rotation) -> None:
        journal = self.app.store.ledger.journal(row.id)
        for entry in journal[self.shown.get(row.id, 0) :]:
            if entry.event in ("opened", "moved"):
                say(f"  {state(entry.state, 9)} [dim]{plain(entry.text)}[/]")
        self.shown[row.id] = len(journal)

    def await_value(self, look: Callable[[], Rotation | None], what: str) -> Rotation:
        """Wait until there is something to see.

        Raises:
            StoryBroken: It did not come.
        """
        deadline = self.app.clock.monotonic() + PATIENCE
        while (found := look()) is None:
            if self.daemon.poll() is not None:
                said = children.last_words(self.app.manifest.home / DAEMON_LOG)
                raise StoryBroken(f"the daemon has ended: {said}")
            if self.app.clock.monotonic() > deadline:
                raise StoryBroken(f"this did not happen: {what}")
            self.rest()
        return found

    def await_true(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until something holds.

        Raises:
            StoryBroken: It did not come.
        """
        deadline = self.app.clock.monotonic() + PATIENCE
        while not holds():
            if self.app.clock.monotonic() > deadline:
                raise StoryBroken(f"this did not happen: {what}")
            self.rest()

    def current_in(self, file: Path) -> bool:
        """Whether a file has the current key."""
        return file.exists() and self.secret(KEY).reveal() in file.read_text()

    def rest(self) -> None:
        """A moment."""
        self.app.clock.wait(Event(), POLL)
