"""Notices a secret that is written more often than AWS can bear."""

from datetime import timedelta
from threading import Lock
from typing import Final

import structlog

from credmgr.model.clock import Clock

WINDOW: Final = timedelta(hours=1)
SUSTAINED: Final = 6
"""Writes in `WINDOW` that are one every 10 minutes, the most that AWS wants in the long run: "you
will create more versions than Secrets Manager removes" (PutSecretValue)."""


class Pace:
    """Counts the writes of each secret in the running hour, and warns once in it. Thread-safe."""

    def __init__(self, clock: Clock, backend: str) -> None:
        self._clock = clock
        self._log = structlog.stdlib.get_logger("credmgr.backends.aws_secrets_manager").bind(
            backend=backend
        )
        self._lock = Lock()
        self._since = clock.monotonic()
        self._writes: dict[str, int] = {}

    def wrote(self, name: str) -> None:
        """Count one new version of `name`."""
        with self._lock:
            now = self._clock.monotonic()
            if now - self._since >= WINDOW:
                self._since, self._writes = now, {}
            count = self._writes[name] = self._writes.get(name, 0) + 1
        if count == SUSTAINED + 1:
            self._log.warning("secret written too often for AWS", name=name, writes=count)
