"""What goes wrong while signing in to AWS: told as ours, shared by who waits, soon over."""

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Final

import pytest

from credmgr.backends.aws_secrets_manager import AssumeRole
from credmgr.errors import AccessDenied, BackendUnavailable, SecretNotFound
from credmgr.model.clock import SystemClock
from credmgr.model.names import Name
from credmgr.testing.canaries import everything_in, leaks, new_canary
from tests.integration.aws import CHAIN, AwsServer, Fault, a_session, running, without_chain

if TYPE_CHECKING:
    from credmgr.backends.aws_secrets_manager.session import AwsBackend

NAME: Final = Name("caseforge/api-key")
ROLE: Final = AssumeRole("arn:aws:iam::123456789012:role/credmgr")
DEADLINE: Final = timedelta(seconds=0.8)
THREADS: Final = 8


@pytest.fixture(scope="module")
def server() -> Iterator[AwsServer]:
    with running() as started:
        yield started


@pytest.fixture
def aws(server: AwsServer) -> AwsServer:
    server.reset()
    return server


@pytest.fixture(autouse=True)
def _no_chain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_chain(monkeypatch, tmp_path)


Run = Callable[[str], "AwsBackend"]


@pytest.fixture
def run(aws: AwsServer, tmp_path: Path) -> Iterator[Run]:
    """A session that signs in with what a program prints; the program may be changed later."""
    opened: list[AwsBackend] = []

    def open_session(script: str) -> "AwsBackend":
        program = tmp_path / "program"
        (tmp_path / "config").write_text(f"[default]\ncredential_process = {program}\n")
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o700)
        if not opened:
            opened.append(a_session(aws, **CHAIN))
        return opened[0]

    yield open_session
    for each in opened:
        each.close()


def printing(*, ends_in: timedelta) -> str:
    ends = (SystemClock().now() + ends_in).isoformat()
    keys = '"Version": 1, "AccessKeyId": "testing", "SecretAccessKey": "x", "SessionToken": "x"'
    return f"""echo '{{{keys}, "Expiration": "{ends}"}}'"""


def find_nothing(session: "AwsBackend") -> None:
    with pytest.raises(SecretNotFound):
        session.read(NAME)


# --- what is told


def test_a_missing_token_of_web_identity_is_told(
    aws: AwsServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE.role_arn)
    session = a_session(aws, **CHAIN)
    with pytest.raises(AccessDenied, match="FileNotFoundError") as caught:
        session.read(NAME)
    assert "AWS_WEB_IDENTITY_TOKEN_FILE" in (caught.value.hint or "")
    session.close()


def test_a_missing_program_is_told_with_the_first_call(aws: AwsServer, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[default]\ncredential_process = /nonexistent/program\n")
    session = a_session(aws, **CHAIN)
    with pytest.raises(AccessDenied, match="FileNotFoundError") as caught:
        session.read(NAME)
    assert "credential_process" in (caught.value.hint or "")
    session.close()


@pytest.mark.parametrize("begin", ["{", "[", '{"Version": 1, "Expiration": "', "{} \\377"])
def test_what_a_program_prints_goes_nowhere(
    run: Run, begin: str, caplog: pytest.LogCaptureFixture
) -> None:
    canary = new_canary()
    session = run(f"printf '{begin}{canary}'")
    with caplog.at_level(logging.DEBUG), pytest.raises(AccessDenied) as caught:
        session.read(NAME)
    assert "credential_process" in (caught.value.hint or "")
    assert not leaks(canary, everything_in(caught.value) + caplog.text)


@pytest.mark.parametrize("script", ["echo '{}'", "echo '{}' >&2; exit 1"])
@pytest.mark.parametrize("left", [timedelta(minutes=5), timedelta(minutes=12)])
def test_what_a_program_prints_at_a_renewal_goes_nowhere(
    run: Run, script: str, left: timedelta, caplog: pytest.LogCaptureFixture
) -> None:
    canary = new_canary()
    session = run(printing(ends_in=left))
    find_nothing(run(printing(ends_in=left)))
    run(script.format(canary))
    with caplog.at_level(logging.DEBUG):
        if left > timedelta(minutes=10):  # what is held is good for a while
            find_nothing(session)
        else:
            with pytest.raises((AccessDenied, BackendUnavailable)) as caught:
                session.read(NAME)
            assert not leaks(canary, everything_in(caught.value))
    assert "Refreshing temporary credentials failed" in caplog.text
    assert not leaks(canary, caplog.text)
    assert not any(record.exc_info for record in caplog.records)


def test_credentials_that_come_expired_are_an_outage(run: Run) -> None:
    session = run(printing(ends_in=-timedelta(hours=1)))
    with pytest.raises(BackendUnavailable, match="RuntimeError") as caught:
        session.read(NAME)
    assert "clock" in (caught.value.hint or "")
    run(printing(ends_in=timedelta(hours=1)))
    find_nothing(session)


def test_a_sign_in_that_failed_for_now_is_tried_again(run: Run) -> None:
    session = run("exit 1")
    for _ in range(2):
        with pytest.raises(BackendUnavailable, match="CredentialRetrievalError"):
            session.read(NAME)
    run(printing(ends_in=timedelta(hours=1)))
    find_nothing(session)


def test_credentials_that_come_later_are_found(aws: AwsServer, run: Run) -> None:
    session = a_session(aws, **CHAIN)
    with pytest.raises(AccessDenied, match="no usable AWS credentials"):
        session.read(NAME)
    session.close()
    find_nothing(run(printing(ends_in=timedelta(hours=1))))


# --- many threads


def together(session: "AwsBackend") -> list[tuple[type[Exception], float]]:
    """What all threads meet that read at once, and after how long."""

    def read(_: int) -> tuple[type[Exception], float]:
        begun = time.monotonic()
        with pytest.raises((BackendUnavailable, SecretNotFound)) as caught:
            session.read(NAME)
        return caught.type, time.monotonic() - begun

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(read, range(THREADS)))


def test_a_token_service_that_hangs_is_waited_for_once(aws: AwsServer) -> None:
    session = a_session(aws, deadline=DEADLINE, assume_role=ROLE)
    aws.faults.extend([("AssumeRole", Fault.TIMEOUT)] * THREADS)
    found = together(session)
    assert {kind for kind, _ in found} == {BackendUnavailable}
    assert max(took for _, took in found) < DEADLINE.total_seconds() * 1.5
    assert len(aws.faults) == THREADS - 1
    aws.faults.clear()
    find_nothing(session)
    session.close()


def test_a_refusal_is_of_all_who_waited(aws: AwsServer) -> None:
    session = a_session(aws, assume_role=ROLE)
    aws.before["AssumeRole"] = lambda: Event().wait(0.5)
    document = "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"
    aws.raw["AssumeRole"] = (403, document)

    def read(_: int) -> AccessDenied:
        with pytest.raises(AccessDenied, match="sts:AssumeRole is not allowed") as caught:
            session.read(NAME)
        return caught.value

    with ThreadPoolExecutor(THREADS) as pool:
        problems = list(pool.map(read, range(THREADS)))
    assert aws.calls == ["AssumeRole"]
    assert len({id(problem) for problem in problems}) == THREADS, "each thread has its own"
    assert len({problem.hint for problem in problems}) == 1
    session.close()


def nearly_over(left: timedelta) -> str:
    ends = (SystemClock().now() + left).isoformat()
    return (
        '<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>'
        "<Credentials><AccessKeyId>first</AccessKeyId><SecretAccessKey>up</SecretAccessKey>"
        f"<SessionToken>token</SessionToken><Expiration>{ends}</Expiration></Credentials>"
        "</AssumeRoleResult></AssumeRoleResponse>"
    )


@pytest.mark.parametrize("left", [timedelta(minutes=12), timedelta(minutes=5)])
def test_a_role_is_renewed_once_for_all_threads(aws: AwsServer, left: timedelta) -> None:
    session = a_session(aws, assume_role=ROLE)
    aws.raw["AssumeRole"] = (200, nearly_over(left))
    find_nothing(session)
    assert aws.calls.count("AssumeRole") == 1
    aws.before["AssumeRole"] = lambda: Event().wait(0.3)
    for _ in range(2):
        assert {kind for kind, _ in together(session)} == {SecretNotFound}
    assert aws.calls.count("AssumeRole") == 2
    session.close()


def test_a_renewal_that_fails_in_time_is_not_noticed(aws: AwsServer) -> None:
    session = a_session(aws, assume_role=ROLE)
    aws.raw["AssumeRole"] = (200, nearly_over(timedelta(minutes=12)))
    find_nothing(session)
    aws.faults.append(("AssumeRole", Fault.RESET))
    find_nothing(session)
    assert aws.faults == []
    session.close()


# --- one deadline


@pytest.mark.parametrize("fault", [Fault.TIMEOUT, Fault.DRIP])
def test_a_sign_in_that_hangs_ends_with_the_call(aws: AwsServer, fault: Fault) -> None:
    session = a_session(aws, deadline=DEADLINE, assume_role=ROLE)
    aws.faults.append(("AssumeRole", fault))
    assert [took < DEADLINE.total_seconds() * 1.3 for _, took in together(session)[:1]] == [True]
    session.close()


def test_a_slow_sign_in_and_a_call_that_hangs_have_one_deadline(aws: AwsServer) -> None:
    session = a_session(aws, deadline=DEADLINE, assume_role=ROLE)
    aws.before["AssumeRole"] = lambda: Event().wait(DEADLINE.total_seconds() * 0.7)
    aws.faults.append(("GetSecretValue", Fault.TIMEOUT))
    begun = time.monotonic()
    with pytest.raises(BackendUnavailable, match="within the deadline"):
        session.read(NAME)
    assert time.monotonic() - begun < DEADLINE.total_seconds() * 1.3
    session.close()


@pytest.mark.parametrize("usual", [timedelta(seconds=20), timedelta(seconds=0.2)])
def test_the_option_makes_the_deadline_shorter_or_longer(aws: AwsServer, usual: timedelta) -> None:
    session = a_session(aws, deadline=usual, timeout=DEADLINE)
    aws.faults.append(("GetSecretValue", Fault.TIMEOUT))
    begun = time.monotonic()
    with pytest.raises(BackendUnavailable, match="within the deadline"):
        session.read(NAME)
    assert 0.5 < (time.monotonic() - begun) / DEADLINE.total_seconds() < 1.3
    session.close()
