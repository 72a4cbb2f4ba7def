"""A limit that counts calls in a window of a minute: a number of calls, then none until the window is over.

Providers count in fixed windows, and in windows that slide. No more than the number in any minute satisfies
both. All times are seconds of one monotonic clock.
"""

import math
from collections import deque

WINDOW_S = 60.0
LATE_S = 0.3  # clocks of providers, and the way there
LEAST_CLOSED_S = 4.0  # what is closed for less shows no window
TOOK_S = (45.0, 80.0)  # a window of a minute, with the time until a call found it open
CLEAR = 2.0  # times the time when a call was still refused: about then it was open
AGREE = 0.1  # times between single calls that differ by less are the same
KEPT_STARTS = 10_000
FULL_WINDOWS = 3  # this many windows used in full without a refusal: try a larger one …
LARGER = 1.1  # … by this factor


class CallWindow:
    """``count`` is the number of calls in a window; None while no window is known."""

    def __init__(self) -> None:
        self.count: int | None = None
        self._starts: deque[float] = deque()  # of the last calls
        self._began: float | None = None  # the first call since the window was open
        self._calls = 0  # admitted since then
        self._refused_s = 0.0  # how long after it began the last call was refused
        self._took_s: float | None = None  # how long after it began it opened, the last time …
        self._opens_s: float | None = None  # … and is expected to, this time
        self._single_s = 0.0  # the same, where only one call was admitted
        self._closed_at: float | None = None
        self._told = False  # whether the provider has said when it opens
        self._closed_again: float | None = None  # before the calls admitted meanwhile were answered
        self._since_closed: deque[float] = deque(maxlen=KEPT_STARTS)
        self._unrefused = 0  # calls since the last refusal or change
        self._full_windows = FULL_WINDOWS

    @property
    def opens_at(self) -> float | None:
        """When a window that is closed now is open again at the latest; None if none is closed."""
        if self._closed_at is None or self._began is None:
            return None
        longest_s = WINDOW_S + LATE_S
        return self._began + min(longest_s, self._opens_s or longest_s)

    def wait_s(self, now: float) -> float:
        """How long the known window makes a call wait."""
        if self.count is None or len(self._starts) < self.count:
            return 0.0
        return max(0.0, self._starts[-self.count] + WINDOW_S + LATE_S - now)

    def started(self, now: float) -> None:
        self._calls += 1
        if self._began is None:
            self._began = now
        if self._closed_at is not None:
            self._since_closed.append(now)
        if self.count is None:
            return
        self._unrefused += 1
        if self._unrefused >= self._full_windows * self.count:
            self._unrefused = 0
            self.count = max(self.count + 1, int(LARGER * self.count))
        self._starts.append(now)
        while len(self._starts) > 2 * self.count:  # several processes may start more than that
            self._starts.popleft()

    def refused(self, started: float) -> None:
        """A call that started then was refused. The window is smaller than known, if one is."""
        self._calls -= 1
        if self._began is not None:
            self._refused_s = max(self._refused_s, started - self._began)
            if self._opens_s is not None and self._refused_s >= self._opens_s:
                self._opens_s = self._took_s
        if started in self._since_closed:
            self._since_closed.remove(started)
        if self.count is None or not self._starts:
            return
        self._starts.pop()
        within = sum(start > started - WINDOW_S for start in self._starts)
        if within < self.count:
            self.count = max(1, within)
            self._unrefused = 0
            self._full_windows = min(100, 2 * self._full_windows)

    def closed(self, now: float, told: bool = False) -> None:
        """Nothing is admitted any more. ``told``: the provider says until when."""
        self._told = told
        if self._closed_at is not None:
            self._closed_again = now
        elif self._calls > 0:
            self._closed_at = now
            self._since_closed.clear()

    def opened(self, started: float) -> float | None:
        """A call that started then was admitted, after nothing had been. Returns the seconds between calls,
        where twice a single call was admitted after the same time, and not long before that."""
        closed_at, began = self._closed_at, self._began
        if closed_at is None or began is None or started < closed_at:
            return None
        calls = self._calls - len(self._since_closed)
        # the calls since then, as those that were refused are not among them
        admitted, self._since_closed = self._since_closed, deque(maxlen=KEPT_STARTS)
        began_now = min(admitted, default=started)
        took = began_now - began
        again, self._closed_again = self._closed_again, None
        self._closed_at = again if again is not None and again > began_now else None
        self._began, self._calls = began_now, len(admitted)
        refused_s, self._refused_s = self._refused_s, 0.0
        if began_now - closed_at < LEAST_CLOSED_S:
            return None
        clear = self._told or took <= CLEAR * refused_s
        self._took_s = took
        self._opens_s = took if clear else math.sqrt(max(refused_s, LATE_S) * took)
        if calls >= 1 and TOOK_S[0] <= took <= TOOK_S[1]:
            self.count, self._unrefused = calls, 0
            self._starts = deque(sorted(admitted))
            return None
        self.count = None
        before, self._single_s = self._single_s, took if calls == 1 else 0.0
        alike = calls == 1 and abs(took - before) <= AGREE * before
        return took if alike and clear else None
