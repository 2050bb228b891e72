"""The failpoints themselves: they must not be the reason that a test passes."""

import pytest

from credmgr.testing.failpoints import Crash, Failpoints, Point, When


class Session:
    colour = "blue"

    def __init__(self) -> None:
        self.done: list[str] = []

    def stage(self, what: str) -> str:
        self.done.append(what)
        return "staged"

    def read(self) -> str:
        return "read"


def test_points_are_counted_before_and_after_each_effect() -> None:
    points, session = Failpoints(), Session()
    watched = points.backend("first", session)  # type: ignore[arg-type]
    assert watched.stage("a") == "staged"  # type: ignore[call-arg, func-returns-value, arg-type]
    assert watched.read() == "read"  # type: ignore[call-arg, comparison-overlap]
    assert points.reached == [
        Point("backend-first.stage", When.BEFORE),
        Point("backend-first.stage", When.AFTER),
    ]
    assert watched.colour == "blue"  # type: ignore[attr-defined]


@pytest.mark.parametrize(("at", "done"), [(0, []), (1, ["a"])])
def test_a_crash_comes_on_the_right_side_of_the_effect(at: int, done: list[str]) -> None:
    points, session = Failpoints(at=at), Session()
    watched = points.watch(session, "s", frozenset({"stage"}))
    with pytest.raises(Crash):
        watched.stage("a")
    assert session.done == done


def test_a_dead_process_does_nothing_any_more() -> None:
    points, session = Failpoints(at=0), Session()
    watched = points.watch(session, "s", frozenset({"stage"}))
    for _ in range(2):
        with pytest.raises(Crash):
            watched.stage("a")
    assert session.done == []
    assert len(points.reached) == 1


def test_an_error_leaves_the_process_alive() -> None:
    def fail(_: Point) -> None:
        raise ValueError("no")

    points, session = Failpoints(at=0, react=fail), Session()
    watched = points.watch(session, "s", frozenset({"stage"}))
    with pytest.raises(ValueError, match="no"):
        watched.stage("a")
    assert watched.stage("b") == "staged"
    assert str(points.reached[0]) == "s.stage:before"
