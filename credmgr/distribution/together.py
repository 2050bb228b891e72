"""Doing one thing at several places at once: a slow place holds up no other."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, wait
from typing import Protocol, TypeVar

T = TypeVar("T")

Task = Callable[[], T]


class Together(Protocol):
    """Runs tasks that do not depend on each other."""

    def __call__(self, tasks: Sequence[Task[T]], /) -> list[T]:
        """What each gave, in order; all have ended when one of their errors is raised."""
        ...


def in_turn(tasks: Sequence[Task[T]], /) -> list[T]:
    """One after the other, the first error ending it: what a test can foresee."""
    return [task() for task in tasks]


def on(pool: Executor) -> Together:
    """On a pool's threads and the caller's own; of several errors the first place's is raised."""

    def run(tasks: Sequence[Task[T]], /) -> list[T]:
        if len(tasks) <= 1:
            return in_turn(tasks)
        others = [pool.submit(task) for task in tasks[1:]]
        try:
            first = tasks[0]()
        finally:
            wait(others)
        return [first, *(other.result() for other in others)]

    return run
