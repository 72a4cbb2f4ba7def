"""Limits the memory that the answers of all calls use together, from the first byte read until the
result is committed.

An answer that finds no free memory is paused: TCP backpressure holds its sender up. The oldest answer
goes first. If the unfinished answers use up the bound, none of them could end, so one at a time, the
oldest, is read on beyond the bound. The next one follows when that answer has been committed. Memory
in use never exceeds the sum of the bound, one answer, and a small answer for each call.
"""

import heapq
import logging
import time

from gevent.event import Event

from .deadline import Deadline

log = logging.getLogger(__name__)

SMALL = 131_072  # bytes: an answer up to this size waits for no larger one
SMALL_PART = 8  # this part of the bound (one in 8) is left to these
WARN_EVERY_S = 60.0


class Answers:
    """``limit`` bytes, of one process. ``used`` are held now, ``peak_used`` were at the same time."""

    def __init__(self, limit: int):
        self.limit = limit
        self.used = self.peak_used = 0
        self._large = limit - limit // SMALL_PART
        self._opened = 0
        self._exempt = False  # one answer is read beyond the bound
        self._queue: list[_Waiting] = []
        self._blocked_calls = 0  # calls that are not begun
        self._has_memory = Event()
        self._warned_at = 0.0

    @property
    def waiting(self) -> int:
        """The number of answers that are paused for lack of memory."""
        return len(self._queue)

    def begin(self) -> "Held":
        """The part of an answer that begins."""
        self._opened += 1
        return Held(self, self._opened)

    def wait_for_room(self) -> None:
        """Block while no further call may start."""
        while self._queue or self.used >= self._large:
            self._blocked_calls += 1
            try:
                self._has_memory.clear()
                self._has_memory.wait()
            finally:
                self._blocked_calls -= 1

    def take(self, held: "Held", size: int) -> bool:
        """Have an answer hold ``size`` bytes, if it may now."""
        more = size - held.size
        used = self.used + more
        fits = (used <= self._large and not self._queue) or (size <= SMALL and used <= self.limit)
        if fits or held.exempt:
            self.count(held, more)
        return fits or held.exempt

    def wait(self, held: "Held", size: int, deadline: Deadline) -> None:
        """The same as soon as it may. The deadline stands still."""
        waiting = _Waiting(held, size)
        heapq.heappush(self._queue, waiting)
        self._look()
        if waiting.granted.is_set():
            return
        self._warn()
        try:
            with deadline.paused():
                waiting.granted.wait()
        except BaseException:
            if not waiting.granted.is_set():
                self._queue.remove(waiting)
                heapq.heapify(self._queue)
                self._look()
            raise

    def count(self, held: "Held", more: int) -> None:
        """An answer holds ``more`` bytes more; fewer where it is negative."""
        self._add(held, more)
        if more < 0 and (self._queue or self._blocked_calls):
            self._look()

    def end(self, held: "Held") -> None:
        """Free all memory of an answer."""
        if held.exempt:
            held.exempt = self._exempt = False
        self.count(held, -held.size)

    def _add(self, held: "Held", more: int) -> None:
        held.size += more
        self.used += more
        if self.used > self.peak_used:
            self.peak_used = self.used

    def _look(self) -> None:
        """Grant what may be granted, in order."""
        while self._queue:
            first = self._queue[0]
            more = first.size - first.held.size
            if self.used + more > self._large:
                if self._exempt:
                    return
                first.held.exempt = self._exempt = True
            heapq.heappop(self._queue)
            self._add(first.held, more)
            first.granted.set()
        if self._blocked_calls and self.used < self._large:
            self._has_memory.set()

    def _warn(self) -> None:
        now = time.monotonic()
        if now - self._warned_at > WARN_EVERY_S or not self._warned_at:
            self._warned_at = now
            log.warning(
                "answers fill the %s bytes of MAX_ANSWERS_BYTES: they are read one after the other, "
                "and no further call begins meanwhile",
                f"{self.limit:,}",
            )


class Held:
    """One answer's part of the room. It travels with the answer; when the last one that has it drops
    it, the room is free. ``close`` frees it at once."""

    __slots__ = ("_answers", "exempt", "order", "size")

    def __init__(self, answers: Answers, order: int):
        self._answers = answers
        self.order = order
        self.size = 0
        self.exempt = False  # read beyond the bound

    def reserve(self, size: int, deadline: Deadline) -> None:
        """Hold ``size`` bytes before they are read, as soon as there is room."""
        if size > self.size and not self._answers.take(self, size):
            self._answers.wait(self, size, deadline)

    def settle(self, size: int) -> None:
        """Hold exactly the ``size`` bytes that were read."""
        if size != self.size:
            self._answers.count(self, size - self.size)

    def close(self) -> None:
        if self.size or self.exempt:
            self._answers.end(self)

    __del__ = close


class _Waiting:
    __slots__ = ("granted", "held", "size")

    def __init__(self, held: Held, size: int):
        self.held = held
        self.size = size
        self.granted = Event()

    def __lt__(self, other: "_Waiting") -> bool:
        return self.held.order < other.held.order
