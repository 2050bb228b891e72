"""Log lines: what they look like, and what never stands in them."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from credmgr.logs import REDACTED, Story, configure, looks_secret, redact, redacted
from credmgr.model.secret import Secret

SECRETS = [
    "cf_sand_0123456789abcdef",
    "cf_live_0123456789abcdef",
    "cf_secret_0123456789abcdef",
    "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhcHAifQ.c2lnbmF0dXJl",
    "hvs.CAESIJabcdefghijklmnopqrstuv",
    "s.abcdefghijklmnopqrstuvwx",
    "credmgr-master-key-v1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "Bearer abcdefghijklmnop",
    "Basic YXBwOnNlY3JldHNlY3JldA==",
    "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----",
]


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for chatty in ("apscheduler", "urllib3", "uvicorn", "alembic"):
        logging.getLogger(chatty).setLevel(logging.NOTSET)
    structlog.reset_defaults()


@pytest.mark.parametrize("secret", SECRETS)
def test_what_has_the_shape_of_a_secret_is_cut_out_wherever_it_stands(secret: str) -> None:
    value = (
        secret.rsplit(" ", maxsplit=1)[-1] if " " in secret and "BEGIN" not in secret else secret
    )
    event = {"event": f"got {secret} back", "deep": {"list": [secret, {"x": secret}]}, "n": 7}
    shown = str(redact(None, "", event))
    assert value not in shown
    assert REDACTED in shown
    assert looks_secret(secret) or secret.startswith("B")  # headers are words, too


@pytest.mark.parametrize("name", ["token", "client_secret", "PASSWORD", "api_key", "Authorization"])
def test_a_field_that_holds_a_secret_is_not_shown_whatever_its_value(name: str) -> None:
    assert redact(None, "", {name: "harmless"}) == {name: REDACTED}


def test_what_is_no_secret_stays_as_it_is() -> None:
    event = {"event": "key_8 revoked", "secret_id": "key_8", "n": 1, "none": None, "ok": True}
    assert redact(None, "", event) == event
    assert not looks_secret("caseforge/api-key")
    assert not looks_secret("the bearer authentication was wrong")
    assert redacted("token_url is wrong") == "token_url is wrong"


def test_a_secret_object_hides_itself() -> None:
    assert "0123" not in str(redact(None, "", {"value": Secret("0123")}))


def test_a_story_line_has_time_state_subject_and_text() -> None:
    line = Story(colour=False)(
        None,
        "",
        {
            "timestamp": "12:00:00",
            "level": "info",
            "state": "DONE",
            "credential": "a/b",
            "event": "key_1 revoked and refused",
            "rotation": "1234",
            "why": "age",
            "empty": "",
        },
    )
    assert line.split() == [
        "12:00:00",
        "●",
        "a/b",
        "key_1",
        "revoked",
        "and",
        "refused",
        "why=age",
    ]


def test_a_story_line_forges_no_other_line_and_moves_no_cursor() -> None:
    event = {"timestamp": "t", "event": "a\nb\x1b[2J\u202ec\td", "why": "x\r\ny"}
    line = Story(colour=False)(None, "", event)
    assert line.isprintable()
    assert "a\\nb\\u001b[2J\\u202ec d" in line


def test_a_story_line_is_coloured_only_where_asked() -> None:
    event = {"timestamp": "t", "level": "error", "event": "broken"}
    assert "\x1b[31mbroken" in Story(colour=True)(None, "", dict(event))
    assert "\x1b" not in Story(colour=False)(None, "", dict(event))


def test_json_lines_are_json_and_redacted_also_from_libraries() -> None:
    stream = io.StringIO()
    configure("DEBUG", "json", stream)
    structlog.get_logger("x").info("hello", key="cf_live_0123456789abcdef")
    logging.getLogger("urllib3").debug("sent %s", "Bearer abcdefghijklmnop")
    try:
        int("cf_sand_0123456789abcdef")
    except ValueError:
        structlog.get_logger("x").exception("broken")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["hello", f"sent Bearer {REDACTED}", "broken"]
    assert "0123456789" not in stream.getvalue()
    assert "ValueError" in lines[2]["exception"]


def test_auto_is_json_where_nobody_looks_and_a_story_on_a_terminal() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    plain, terminal = io.StringIO(), Terminal()
    configure("INFO", "auto", plain)
    structlog.get_logger("x").info("one")
    configure("INFO", "auto", terminal)
    structlog.get_logger("x").info("two")
    structlog.get_logger("x").debug("not this")
    assert json.loads(plain.getvalue())["event"] == "one"
    assert "two" in terminal.getvalue()
    assert "not this" not in terminal.getvalue()


def test_chatty_libraries_are_quiet_unless_debugging() -> None:
    stream = io.StringIO()
    configure("INFO", "console", stream)
    logging.getLogger("urllib3.connectionpool").info("connection")
    assert stream.getvalue() == ""
