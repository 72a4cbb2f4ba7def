"""How many calls and tokens went out in the last minute, by seconds."""

from collections import deque

WINDOW_S = 60.0


class SlidingWindow:
    """All times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._seconds: deque[list[int]] = deque()  # [second, starts, tokens]

    def note(self, now: float, starts: int, tokens: int) -> None:
        """Note what was used in this second, and forget what is a minute old."""
        second = int(now)
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append([second, 0, 0])
            while self._seconds[0][0] <= second - WINDOW_S:
                self._seconds.popleft()
        last = self._seconds[-1]
        last[1] += starts
        last[2] += tokens

    @property
    def starts(self) -> int:
        return sum(starts for _, starts, _ in self._seconds)

    @property
    def tokens(self) -> int:
        return max(0, sum(tokens for _, _, tokens in self._seconds))

    def just_now(self, now: float) -> float:
        """Calls started per second, in this second and the one before."""
        counts = [starts for second, starts, _ in self._seconds if second >= int(now) - 1]
        return sum(counts) / max(1.0, now - int(now) + 1.0)
