"""The suite's own rules are kept: see tests/conftest.py."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROBE = """
import socket
import pytest

def test_skipped_for_an_allowed_reason():
    pytest.skip("this issuer declares no limit")

@pytest.mark.skip(reason="not today")
def test_skipped_silently():
    pass

def test_reaches_out():
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
            channel.connect(("203.0.113.7", 9))  # RFC 5737: an address for documentation
    except BaseException:
        pass

def test_looks_a_name_up():
    with pytest.raises(BaseException, match="beyond this machine"):
        socket.getaddrinfo("credmgr.example", 443)

def test_stays_here():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
"""


@pytest.fixture
def verdicts(tmp_path: Path) -> str:
    """What pytest says in CI about a file of tests that break the rules."""
    folder = tmp_path / "probe"
    folder.mkdir()
    (folder / "conftest.py").write_text((ROOT / "tests/conftest.py").read_text())
    (folder / "test_probe.py").write_text(PROBE)
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", str(folder)]
    done = subprocess.run(  # noqa: S603 (pytest itself)
        [*command, "--rootdir", str(folder), "-c", "/dev/null"],
        env={"CI": "true", "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    return done.stdout


def test_in_ci_a_skip_needs_a_reason_on_the_list(verdicts: str) -> None:
    assert "ERROR test_probe.py::test_skipped_silently" in verdicts
    assert "not on the list of tests/conftest.py: not today" in verdicts
    assert "test_skipped_for_an_allowed_reason" not in verdicts.partition("short test summary")[2]


def test_a_connection_beyond_this_machine_fails_the_test(verdicts: str) -> None:
    assert "ERROR test_probe.py::test_reaches_out" in verdicts
    assert "ERROR test_probe.py::test_looks_a_name_up" in verdicts
    assert "PASSED test_probe.py::test_stays_here" in verdicts
