"""How many calls were in flight when recent calls started, to tell a limit of concurrency from one of rate."""

import math
from collections import deque

LEVELS = 64  # calls in flight at recent starts that are kept
TELLING = 3  # refused calls among these tell
APART = 0.9  # share of pairs in which the refused call had more calls in flight


class CallLevels:
    """Calls are named by their order (their place among all that started), and their level is the number
    of calls in flight when they started, themselves included."""

    def __init__(self) -> None:
        self._started: deque[tuple[int, int, float]] = deque(maxlen=LEVELS)  # (order, level, when)
        self._refused: deque[tuple[int, int]] = deque(maxlen=LEVELS)
        self._most = 0  # most calls in flight among those answered since the last cut …
        self._answers = 0  # … and how many these are
        self._cut_at = 0  # the order of the last call before the cut

    def started(self, order: int, level: int, at: float) -> None:
        self._started.append((order, level, at))

    def refused(self, order: int, level: int) -> None:
        self._refused.append((order, level))

    def answered(self, level: int) -> None:
        self._most = max(self._most, level)
        self._answers += 1

    def cut(self) -> None:
        """A limit was lowered: earlier answers say nothing about it."""
        self._most = self._answers = 0
        self._cut_at = self._started[-1][0] if self._started else 0

    def most_admitted(self, before: float) -> int:
        """Most calls in flight among those admitted since the last cut, answered or not; see width_shown."""
        refused = {order for order, _ in self._refused}
        levels = [
            level
            for order, level, at in self._started
            if order > self._cut_at and order not in refused and at < before
        ]
        return max([self._most, *levels])

    @property
    def most_answered(self) -> int:
        """Most calls in flight among those answered since the last cut."""
        return self._most

    def is_above_answered(self, level: int) -> bool:
        """Whether more calls were in flight than at any answer, of which there were enough to tell."""
        return level > self._most and self._answers >= level

    def width_shown(self, first: int, last: int, before: float) -> float | None:
        """The width that the calls from that order on show: the refused ones had more calls in
        flight than the others. None where they do not tell. Calls that did not start ``before`` that time may
        still be refused."""
        refused, admitted = self._between(first, first - LEVELS, last, before)
        if not admitted:  # all started at once
            refused, admitted = self._between(first, first - LEVELS, last, math.inf)
        if not refused or (self._answers and self._answers < min(refused)):
            return None
        return _width(refused, admitted)

    def width_since(self, first: int, last: int) -> float | None:
        """The same from the calls from ``first`` on alone, all of which tell."""
        return _width(*self._between(first, first, last, math.inf))

    def width_of_last(self, last: int) -> float | None:
        """The same from the last LEVELS calls, where enough of them were refused."""
        refused, admitted = self._between(last - LEVELS, last - LEVELS, last, math.inf)
        return _width(refused, admitted) if len(refused) >= TELLING else None

    def _between(
        self, first: int, first_admitted: int, last: int, before: float
    ) -> tuple[list[int], list[int]]:
        """The levels of refused calls from ``first`` on, and of admitted ones before ``last``."""
        refused = [level for order, level in self._refused if order >= first]
        orders = {order for order, _ in self._refused}
        admitted = [
            level
            for order, level, at in self._started
            if first_admitted <= order < last and order not in orders and at < before
        ]
        return refused, admitted


def _width(refused: list[int], admitted: list[int]) -> float | None:
    if not refused or not admitted:
        return None
    apart = sum(more > less for more in refused for less in admitted)
    if apart < APART * len(refused) * len(admitted):
        return None
    return max(1.0, min(refused) - 1.0)
