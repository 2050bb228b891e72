"""The deadline of an answer, at the one moment that a socket's own timeout cannot see."""

import io
import socket
import time

import pytest

from credmgr.transport import _DeadlineReader


def test_nothing_is_read_after_the_end_although_it_has_arrived() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"late")
        raw = ours.makefile("rb", buffering=0)
        assert isinstance(raw, io.RawIOBase)
        with _DeadlineReader(raw, ours, time.monotonic()) as reader:
            assert reader.readable()
            with pytest.raises(TimeoutError):
                reader.read(4)
