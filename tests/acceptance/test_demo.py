"""`credmgr demo` and `credmgr sandbox`."""

import json
import re
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest
import urllib3

from tests.acceptance.installation import COMMAND, Installation


@pytest.mark.slow
def test_the_story_holds_and_leaves_nothing_behind(home: Installation) -> None:
    with tempfile.TemporaryDirectory() as folder:  # a socket's path may not be as long as pytest's
        home.environ["TMPDIR"] = folder

        said = home.run("demo").out

        assert list(Path(folder).iterdir()) == []
    assert "All of it held." in said
    assert "resolved: key too old, scope too broad, API key in production" in said
    assert "and told that each has ended" in said
    assert "✗ " not in said.replace("✗ ABORTED", "")


def test_a_daemon_that_ends_tells_the_story_why(home: Installation, tmp_path: Path) -> None:
    home.environ["TMPDIR"] = str(tmp_path / ("long" * 20))
    Path(home.environ["TMPDIR"]).mkdir()

    said = home.run("demo", code=1)

    assert "the daemon has ended" in said.err
    assert "choose a shorter `api.socket`" in said.err


@pytest.mark.slow
def test_the_demo_that_keeps_running_stops_with_ctrl_c_and_goes_on_the_next_time(
    home: Installation,
) -> None:
    home.environ.pop("CREDMGR_MANIFEST", None)
    with home.background("demo", "--serve", "--home", "kept", "--port", "0") as demo:
        said = demo.wait_for("first secret in place", times=2)
        assert f"export CREDMGR_MANIFEST={home.folder}/kept/credmgr.yaml" in said
        assert "credmgr status" in said
        first = home.run("--manifest", "kept/credmgr.yaml", "status", "--json").data
        assert demo.stop(signal.SIGINT) == 0
    url = re.search(r"http://127\.0\.0\.1:\d+", said)
    assert url is not None
    with pytest.raises(urllib3.exceptions.HTTPError):
        urllib3.request("GET", url[0], retries=False, timeout=2)

    port = url[0].rpartition(":")[2]
    with home.background("demo", "--serve", "--home", "kept", "--port", port) as demo:
        demo.wait_for('"started"')
        again = home.run("--manifest", "kept/credmgr.yaml", "status", "--json").data
        assert demo.stop() == 0
    ids = [[one["secret_id"] for one in told["credentials"]] for told in (first, again)]
    assert ids[0] == ids[1]


def test_a_sandbox_that_cannot_listen_ends_the_demo(home: Installation) -> None:
    port = home.box.url.rpartition(":")[2]

    said = home.run("demo", "--serve", "--home", "kept", "--port", port, code=1)

    assert f"nothing can listen on 127.0.0.1 port {port}" in said.err
    assert "the sandbox did not start" in said.err


def test_the_sandbox_says_where_it_is_and_answers(home: Installation) -> None:
    arguments = ("sandbox", "--port", "0", "--token-lifetime", "90s", "--database", "box.db")
    with home.background(*arguments, "--admin-token-file", "box.token") as box:
        said = box.wait_for("Ctrl-C")
        url = said.split()[2]
        token = (home.folder / "box.token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        secrets = f"{url}/manage/v1/applications/app_8v3k9m/secrets"
        made = urllib3.request("POST", secrets, headers=headers, json={}).json()
        form = {
            "grant_type": "client_credentials",
            "client_id": "app_8v3k9m",
            "client_secret": made["value"],
        }
        with urllib3.PoolManager() as http:
            answer = http.request(
                "POST", f"{url}/oauth/token", fields=form, encode_multipart=False
            ).json()
        assert answer["expires_in"] == 90
        assert "box.token" in said
        assert box.stop(signal.SIGINT) == 0


def test_a_sandbox_ends_with_whoever_holds_its_input(home: Installation) -> None:
    with subprocess.Popen(  # noqa: S603 (our own command)
        [COMMAND, "sandbox", "--port", "0", "--json", "--until-eof"],
        env=home.env(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        assert json.loads(child.stdout.readline())["url"].startswith("http://127.0.0.1:")
        child.stdin.close()
        assert child.wait(30) == 0


def test_a_life_that_is_none_is_told(home: Installation) -> None:
    said = home.run("sandbox", "--token-lifetime", "soon", code=2)

    assert "--token-lifetime: not a duration" in said.err
