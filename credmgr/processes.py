"""Which process this is, and whether another one still lives."""

import os
import secrets
import socket


def owner() -> str:
    """This process, as leases and heartbeats name it: host, process id and a random part."""
    return f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"


def is_gone(owner: str) -> bool:
    """Whether the process that is named so ran on this host and surely lives no more.

    An id that another process has meanwhile counts as alive: then its lease runs out by itself.
    """
    host, _, rest = owner.partition("/")
    pid = rest.partition("/")[0]
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
