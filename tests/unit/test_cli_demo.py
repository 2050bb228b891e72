"""The demo says what does not hold, and leaves no process behind."""

import subprocess
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from credmgr.cli.demo import children, story
from credmgr.cli.demo.consumer import Consumer
from credmgr.model.rotation import State
from credmgr.model.secret import Secret
from credmgr.testing.clock import FakeClock


def told(**daemon: Any) -> Any:
    app: Any = SimpleNamespace(clock=FakeClock(), store=SimpleNamespace(ledger=None))
    api: Any = None
    process: Any = SimpleNamespace(**daemon)
    return story.Story(app, api, process, ExitStack())


def test_what_does_not_hold_ends_the_story(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(story.StoryBroken, match="this did not hold: the key is refused"):
        told().expect(held=False, claim="the key is refused")

    assert "✗ the key is refused" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("log", "why"), [("one\nout of memory\n\n", "out of memory"), ("", "it said nothing")]
)
def test_a_daemon_that_died_is_not_waited_for(tmp_path: Path, log: str, why: str) -> None:
    (tmp_path / children.DAEMON_LOG).write_text(log)
    broken = told(poll=lambda: 1)
    broken.app.manifest = SimpleNamespace(home=tmp_path)

    with pytest.raises(story.StoryBroken, match=f"the daemon has ended: {why}"):
        broken.await_value(lambda: None, "it is due")


def test_what_never_holds_is_not_waited_for_for_ever() -> None:
    with pytest.raises(story.StoryBroken, match="this did not happen: the file is right"):
        told().await_true(lambda: False, "the file is right")


def test_what_does_not_come_is_not_waited_for_for_ever() -> None:
    with pytest.raises(story.StoryBroken, match="this did not happen"):
        told(poll=lambda: None).await_value(lambda: None, "it is due")


def test_a_rotation_that_ends_otherwise_ends_the_story() -> None:
    broken = told()
    row = SimpleNamespace(
        id=1, credential="x", state=State.ABORTED, open=False, reason="the issuer said no"
    )
    broken.app.store.ledger = SimpleNamespace(rotation=lambda _: row, journal=lambda _: [])

    with pytest.raises(story.StoryBroken, match="of x is ABORTED: the issuer said no"):
        broken.follow(row)


def test_sigterm_tidies_up_as_ctrl_c_does() -> None:
    with pytest.raises(KeyboardInterrupt):
        story._interrupted(15, None)


def test_a_child_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "_PATIENCE_SECONDS", 0.05)
    with subprocess.Popen(["/bin/sleep", "60"]) as child:
        assert children._ended(child) == -9


def test_a_consumer_counts_what_is_refused_even_when_read_anew() -> None:
    clock = FakeClock()
    api: Any = SimpleNamespace(accepts=lambda secret: secret.reveal() == "good")
    values = iter(["old", "good", "bad", "bad"])
    consumer = Consumer(api, lambda: Secret(next(values)), clock)
    consumer.turn()
    assert (consumer.calls, consumer.again, consumer.failures) == (1, 1, 0)
    clock.advance(story.PATIENCE)
    consumer.turn()
    assert (consumer.calls, consumer.again, consumer.failures) == (2, 1, 1)
