"""How many calls were in flight when recent calls started, to tell a limit of concurrency from one of rate."""

from collections import deque

LEVELS = 64  # calls in flight at recent starts that are kept
APART = 0.9  # share of pairs in which the refused call had more calls in flight


class CallLevels:
    """Calls are named by their order (their place among all that started), and their level is the number
    of calls in flight when they started, themselves included."""

    def __init__(self) -> None:
        self._started: deque[tuple[int, int]] = deque(maxlen=LEVELS)  # (order, level)
        self._refused: deque[tuple[int, int]] = deque(maxlen=LEVELS)
        self._most = 0  # most calls in flight among those answered since the last cut …
        self._answers = 0  # … and how many these are

    def started(self, order: int, level: int) -> None:
        self._started.append((order, level))

    def refused(self, order: int, level: int) -> None:
        self._refused.append((order, level))

    def answered(self, level: int) -> None:
        self._most = max(self._most, level)
        self._answers += 1

    def cut(self) -> None:
        """A limit was lowered: earlier answers say nothing about it."""
        self._most = self._answers = 0

    @property
    def most_answered(self) -> int:
        """Most calls in flight among those answered since the last cut."""
        return self._most

    def is_above_answered(self, level: int) -> bool:
        """Whether more calls were in flight than at any answer, of which there were enough to tell."""
        return level > self._most and self._answers >= level

    def width_shown(self, first: int, last: int) -> float | None:
        """The width that the calls from that order on show: the refused ones had more calls in
        flight than the others. None where they do not tell."""
        refused, admitted = self._between(first, first - LEVELS, last)
        if not refused or (self._answers and self._answers < min(refused)):
            return None
        return _width(refused, admitted)

    def width_since(self, first: int, last: int) -> float | None:
        """The same from the calls from ``first`` on alone."""
        return _width(*self._between(first, first, last))

    def _between(self, first: int, first_admitted: int, last: int) -> tuple[list[int], list[int]]:
        """The levels of refused calls from ``first`` on, and of admitted ones before ``last``."""
        refused = [level for order, level in self._refused if order >= first]
        orders = {order for order, _ in self._refused}
        admitted = [
            level
            for order, level in self._started
            if first_admitted <= order < last and order not in orders
        ]
        return refused, admitted


def _width(refused: list[int], admitted: list[int]) -> float | None:
    if not refused or not admitted:
        return None
    apart = sum(more > less for more in refused for less in admitted)
    if apart < APART * len(refused) * len(admitted):
        return None
    return max(1.0, min(refused) - 1.0)
