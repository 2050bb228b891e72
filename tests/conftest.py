"""What holds for every test: no network, no silent skip, a time limit, one Hypothesis profile."""

import ipaddress
import logging
import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

CI: Final = os.environ.get("CI") == "true"

ALLOWED_SKIPS: Final = {
    "CREDMGR_LOWKEY_JAR names no lowkey-vault jar": "the emulator is in no package registry; the"
    " fake passes the same contract",
    "nothing plants a foreign object": "a command alone knows whose its place is",
    "nothing tells whether a copy was written again": "a command that does not look back writes it"
    " each time",
    "only root can give a file away": "CI runs as root, where it does run",
    "this backend does not promise compare-and-set": "a capability, declared and so testable",
    "this backend is not ": "an interface that a session need not have; each has one that does",
    "this backend gives no fixture `faulty`": "a store that is not reached over a network",
    "this backend gives no fixture `foreign`": "a place that nobody else can write to",
    "this backend gives no fixture `reopen`": "a store that lives in one process only",
    "this issuer declares no limit": "a trait, declared and so testable",
    "this issuer declares that it does not disable": "a trait, declared and so testable",
    "this channel cannot be ": "the log, which has no other end, and mail, which has no 503",
    "this notifier has no secret of its own": "the log signs in nowhere",
    "this suite has no way to lose an answer": "an issuer that a person plays loses none",
    "prometheus-alertmanager is not on this machine": "`.ci/run` installs it where apt-get is; a"
    " server of ours takes the same requests",
    "promtool is not on this machine": "`make test` unpacks it where apt-get is; what the rules"
    " speak of is tested without it",
    "systemd-analyze is not on this machine": "the units are read by the other tests as well",
}
"""How the reason of a skip that CI allows begins, each with why it is right."""

SECONDS: Final = {"unit": 300, "contract": 120, "integration": 300, "acceptance": 300}
"""The longest that one test may take, by folder; far above what any takes, to end a hang."""

settings.register_profile(
    "ci",
    derandomize=True,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("dev", deadline=None)
settings.register_profile("quick", deadline=None, derandomize=True, max_examples=15)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if CI else "dev"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test its folder's time limit, unless it names its own.

    A test's id is the same in every process, or pytest-xdist runs none of them.
    """
    root = Path(__file__).parent
    for item in items:
        if " object at 0x" in item.nodeid:
            raise pytest.UsageError(f"name the parameters of this test: {item.nodeid}")
        folder = item.path.relative_to(root).parts[0] if item.path.is_relative_to(root) else ""
        if folder in SECONDS and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(SECONDS[folder]))
    items.sort(key=_is_short)


def _is_short(item: pytest.Item) -> bool:
    """What asked for more time goes first, or one worker is at it when all else is done."""
    own = item.get_closest_marker("timeout")
    return own is None or own.args[0] <= max(SECONDS.values())


# --- no skip that nobody sees


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI, a skip whose reason is not on the list is a failure."""
    report = yield
    if CI and report.skipped and not hasattr(report, "wasxfail"):
        _fail_unless_allowed(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a module that skips itself as a whole."""
    report = yield
    if CI and report.skipped:
        _fail_unless_allowed(report)
    return report


def _fail_unless_allowed(report: pytest.TestReport | pytest.CollectReport) -> None:
    where = report.longrepr
    text = where[2] if isinstance(where, tuple) else str(where)
    reason = text.removeprefix("Skipped: ")
    if not any(reason.startswith(allowed) for allowed in ALLOWED_SKIPS):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, and not on the list of tests/conftest.py: {reason}"


# --- what one test sets in the process, the next does not find


@pytest.fixture(autouse=True)
def _loggers_as_before() -> Iterator[None]:
    """`credmgr.logs.configure` quietens libraries; a test that listens to them comes later."""
    yield
    for name in ("alembic", "apscheduler", "urllib3", "uvicorn"):
        logging.getLogger(name).setLevel(logging.NOTSET)


# --- no network but this machine

_reached: list[str] = []


def _guard(event: str, args: tuple[object, ...]) -> None:
    """An audit hook: it sees every connection of this process, whichever library makes it."""
    if event in {"socket.connect", "socket.sendto"}:
        address = args[1]
        host = address[0] if isinstance(address, tuple) and address else None
    elif event == "socket.getaddrinfo":
        host = args[0]
    else:
        return
    if host is not None and not _here(host.decode() if isinstance(host, bytes) else str(host)):
        _reached.append(f"{event} to {host}")
        pytest.fail(f"a test reaches beyond this machine: {_reached[-1]}")


def _here(host: str) -> bool:
    if host in {"", "localhost", "0.0.0.0", "::"}:  # noqa: S104 (unspecified means this machine)
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


sys.addaudithook(_guard)


@pytest.fixture(autouse=True)
def _no_network() -> Iterator[None]:
    """Fail the test even if something swallowed the guard's exception."""
    _reached.clear()
    yield
    reached = list(_reached)
    _reached.clear()
    assert not reached, reached
