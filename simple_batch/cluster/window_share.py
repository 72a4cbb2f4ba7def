"""One process's part of a limit that counts calls in windows of a minute (engine/call_window.py).

In any minute it starts no more calls than its part. All times are seconds of one monotonic clock.
"""

from collections import deque

from ..engine.call_window import KEPT_STARTS, LATE_S, WINDOW_S


class WindowShare:
    """``part`` is the number of calls that may start in a window; None while no window is known."""

    def __init__(self) -> None:
        self.part: int | None = None
        self._starts: deque[float] = deque(maxlen=KEPT_STARTS)  # the last ones, ascending
        self._most = 0  # the largest part of the last minute …
        self._most_until = float("-inf")  # … which counts until then

    def set(self, count: int | None, share: float, now: float) -> None:
        """Apply what is known: calls of all processes in a window, and this one's share (0 to 1). Each
        process that has a share may start one call."""
        part = None
        if count is not None:
            part = max(int(count * share + 1e-6), 1 if share > 0.0 else 0)
            if now >= self._most_until:
                self._most = part if self.part is None else min(self.part, part)
            # others may have used up in this minute what the part has grown by
            self._starts.extend([now] * max(0, part - self._most))
            if part >= self._most:
                self._most, self._most_until = part, now + WINDOW_S
        self.part = part

    def wait_s(self, now: float) -> float:
        """How long the part makes a call wait."""
        starts = self._starts
        while starts and starts[0] <= now - WINDOW_S - LATE_S:
            starts.popleft()
        if self.part is None or len(starts) < self.part:
            return 0.0
        if not self.part:
            return WINDOW_S
        return starts[len(starts) - self.part] + WINDOW_S + LATE_S - now

    def started(self, now: float) -> None:
        self._starts.append(now)

    def refused(self, started: float) -> None:
        """A call that started then was not admitted."""
        if started in self._starts:
            self._starts.remove(started)
