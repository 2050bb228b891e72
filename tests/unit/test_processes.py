"""Which process a lease belongs to, and whether it still lives."""

import os
import socket
import subprocess
import sys

from credmgr.processes import is_gone, owner


def test_this_process_lives() -> None:
    assert owner().startswith(f"{socket.gethostname()}/{os.getpid()}/")
    assert owner() != owner()
    assert not is_gone(f"{owner()}#3")


def test_a_process_that_has_ended_is_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
        assert is_gone(f"{socket.gethostname()}/{ended.pid}/abcd#1")


def test_of_another_host_or_another_form_nothing_is_said() -> None:
    assert not is_gone("elsewhere/1/abcd#1")
    assert not is_gone("somebody")
    assert not is_gone(f"{socket.gethostname()}/x/abcd")


def test_a_process_of_somebody_else_counts_as_alive() -> None:
    assert not is_gone(f"{socket.gethostname()}/1/abcd")
