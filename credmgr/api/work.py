"""What may block, done by a bounded number of threads; nothing queues without bound."""

import asyncio
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from credmgr.api.limits import QUEUE
from credmgr.api.problems import unavailable
from credmgr.manifest.manifest import API_THREADS

P = ParamSpec("P")
R = TypeVar("R")


class Work:
    """Threads for what waits on a backend, an issuer or the state database."""

    def __init__(self, workers: int = API_THREADS, queue: int = QUEUE) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="api")
        self._most = workers + queue
        self._under_way = 0
        self._closed = False
        self._shared: dict[Hashable, asyncio.Task[Any]] = {}

    @property
    def under_way(self) -> int:
        """How many calls run or wait for a thread."""
        return self._under_way

    async def do(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The result of a call that may block.

        Raises:
            Refusal: 503; too many calls wait already, or this process stops.
        """
        if self._closed:
            raise unavailable("credmgr stops.")
        if self._under_way >= self._most:
            raise unavailable("Too many calls wait already.")
        self._under_way += 1
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pool, lambda: call(*args, **kwargs))
        finally:
            self._under_way -= 1

    async def share(self, key: Hashable, call: Callable[[], R]) -> R:
        """The same, of which one runs for all who ask under one key meanwhile.

        Raises:
            Refusal: 503; too many calls wait already.
        """
        task = self._shared.get(key)
        if task is None:
            task = asyncio.ensure_future(self.do(call))
            self._shared[key] = task
            task.add_done_callback(lambda _: self._shared.pop(key, None))
        result: R = await asyncio.shield(task)  # whoever goes away cancels nobody else
        return result

    def close(self) -> None:
        """Begin nothing more; what runs is not waited for."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
