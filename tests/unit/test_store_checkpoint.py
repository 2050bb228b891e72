"""The checkpoint's file: replaced in one step, private, and not to be forged."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from credmgr.errors import AuditBroken, StateUnavailable
from credmgr.model.audit import Checkpoint
from credmgr.store.checkpoint import read_checkpoint, write_checkpoint

KEY = bytes(32)
HEAD = Checkpoint(7, "ab" * 32, datetime(2026, 1, 1, 12, tzinfo=UTC))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "audit.checkpoint"


def test_it_comes_back_as_it_was_and_is_ours_alone(file: Path) -> None:
    before = os.umask(0)
    try:
        write_checkpoint(file, HEAD, KEY)
    finally:
        os.umask(before)
    assert read_checkpoint(file, KEY) == HEAD
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_newer_one_replaces_it_and_leaves_nothing_beside(file: Path) -> None:
    write_checkpoint(file, HEAD, KEY)
    newer = Checkpoint(8, "cd" * 32, HEAD.at)
    write_checkpoint(file, newer, KEY)
    assert read_checkpoint(file, KEY) == newer
    assert list(file.parent.iterdir()) == [file]


def test_where_there_is_no_file_there_is_no_checkpoint(file: Path) -> None:
    assert read_checkpoint(file, KEY) is None


@pytest.mark.parametrize(
    ("field", "value"), [("sequence", 6), ("mac", "cd" * 32), ("at", "2027-01-01T00:00:00+00:00")]
)
def test_an_edited_one_is_noticed(file: Path, field: str, value: object) -> None:
    write_checkpoint(file, HEAD, KEY)
    file.write_text(json.dumps(json.loads(file.read_text()) | {field: value}))
    with pytest.raises(AuditBroken, match="not sealed with our key"):
        read_checkpoint(file, KEY)


def test_one_of_another_key_is_noticed(file: Path) -> None:
    write_checkpoint(file, HEAD, KEY)
    with pytest.raises(AuditBroken, match="not sealed with our key"):
        read_checkpoint(file, b"x" * 32)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b"\xff", b'{"sequence":"x","mac":"","at":"now","seal":""}']
)
def test_a_damaged_one_is_said_to_be(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(AuditBroken, match="is damaged"):
        read_checkpoint(file, KEY)


def test_a_folder_that_is_gone_or_no_file_is_unavailable(file: Path) -> None:
    with pytest.raises(StateUnavailable, match="cannot be written"):
        write_checkpoint(file.parent / "gone" / file.name, HEAD, KEY)
    file.mkdir()
    with pytest.raises(StateUnavailable, match="cannot be read"):
        read_checkpoint(file, KEY)
    with pytest.raises(StateUnavailable, match="cannot be written"):
        write_checkpoint(file, HEAD, KEY)
    assert list(file.parent.iterdir()) == [file]
