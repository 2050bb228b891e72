"""`credmgr run`: signals, the manifest read anew, and other commands beside it."""

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.acceptance.installation import CLIENT, KEY, PARTNER, Installation, until


@pytest.fixture
def scheduled(home: Installation) -> Installation:
    """An installation whose client secret is rotated again and again."""
    home.write(overlap="1s")
    home.edit(
        "    client_id: app_8v3k9m\n",
        '    client_id: app_8v3k9m\n    rotation: {manual: false, every: "4s"}\n',
    )
    return home


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_rotates_until_it_is_told_to_stop_and_exits_0(
    scheduled: Installation, number: signal.Signals
) -> None:
    with scheduled.background("run", "--apply") as daemon:
        daemon.wait_for("revoked and refused")
        assert daemon.stop(number) == 0

    said = [json.loads(line) for line in daemon.err.read_text().splitlines()]
    events = [one["event"] for one in said]
    assert events[0] == "manifest applied"
    assert events[-2:] == ["stopping", "stopped"]
    assert scheduled.json("status")["daemons"] == []
    scheduled.run("log", "verify")


def test_it_goes_on_where_it_was(scheduled: Installation) -> None:
    with scheduled.background("run", "--apply") as daemon:
        daemon.wait_for("both secrets work")
        daemon.process.kill()

    with scheduled.background("run") as daemon:
        daemon.wait_for("revoked and refused")
        assert daemon.stop() == 0


def test_it_warns_of_a_manifest_that_is_not_applied(home: Installation) -> None:
    with home.background("run") as daemon:
        said = daemon.wait_for('"started"')
        assert "the manifest is not applied; `credmgr apply` does" in said
        assert daemon.stop() == 0
    assert home.json("status")["credentials"] == []


def test_sighup_takes_a_changed_manifest_over_and_a_wrong_one_not(scheduled: Installation) -> None:
    with scheduled.background("run", "--apply") as daemon:
        daemon.wait_for("promoted")
        good = scheduled.manifest.read_text()
        scheduled.edit("scopes:", "scpoes:")
        os.kill(daemon.process.pid, signal.SIGHUP)
        daemon.wait_for("the old one stays")

        scheduled.manifest.write_text(good)
        scheduled.take_out(PARTNER)
        os.kill(daemon.process.pid, signal.SIGHUP)
        daemon.wait_for("manifest taken over")
        retired = until(lambda: scheduled.run("list", "--status", "retired", "--names").out)
        assert retired == f"{PARTNER}\n"

        scheduled.edit("app_8v3k9m", "app_000000")
        os.kill(daemon.process.pid, signal.SIGHUP)
        daemon.wait_for("lost from sight")
        assert daemon.stop() == 0


def test_a_refused_manifest_starts_no_daemon(grown: Installation) -> None:
    grown.edit("app_8v3k9m", "app_000000")

    assert "lost from sight" in grown.run("run", "--apply", code=2).err


def test_other_commands_work_beside_it(scheduled: Installation) -> None:
    with scheduled.background("run", "--apply") as daemon:
        daemon.wait_for("first secret in place", times=2)
        with ThreadPoolExecutor(3) as pool:
            running = [
                pool.submit(scheduled.run, "rotate", KEY),
                pool.submit(scheduled.run, "status"),
                pool.submit(scheduled.run, "get", CLIENT),
            ]
            said = [one.result().out for one in running]
        assert "daemon" in said[1]
        old = scheduled.run("get", KEY).out
        scheduled.run("revoke", KEY, "--leaked", "--yes")
        assert not scheduled.accepts(old)
        assert '"verdict": "fail"' not in scheduled.run("doctor", "--json").out
        assert daemon.stop() == 0
    assert "Traceback" not in daemon.err.read_text()
    scheduled.run("log", "verify")
