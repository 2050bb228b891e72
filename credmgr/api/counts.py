"""What was asked so far, counted for the metrics."""

from collections import Counter


class Counts:
    """Requests by route, method and status; of one thread, the event loop's."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, int]] = Counter()
        self.hits = 0
        """Tokens that were given out at once, which are counted in `requests` too."""

    def count(self, route: str, method: str, status: int) -> None:
        """One more. `route` is a route's path as declared, so that nobody can make up new ones."""
        self.requests[route, method, status] += 1
