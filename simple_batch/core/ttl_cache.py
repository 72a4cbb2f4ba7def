"""A small cache with a time to live, for values that many requests need and that may be slightly old."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable


class TtlCache:
    """Caches values by key for ``seconds``. At most ``most`` entries are kept; the oldest is evicted
    first. None is not cached."""

    def __init__(self, seconds: float, most: int, clock: Callable[[], float] = time.monotonic):
        self._seconds, self._most, self._clock = seconds, most, clock
        self._kept: OrderedDict[Hashable, tuple[float, object]] = OrderedDict()

    def recalled(self, question: Hashable):
        """The cached value, or None if it is missing or expired."""
        until, answer = self._kept.get(question, (0.0, None))
        return answer if self._clock() < until else None

    def found(self, question: Hashable, find: Callable):
        """Call ``find()`` and cache its value. The time to live starts before the call."""
        kept, now = self._kept, self._clock()
        answer = find()
        if answer is None:
            kept.pop(question, None)
            return None
        # if ``forget`` ran during ``find()``, the value goes into the discarded dict
        kept[question] = now + self._seconds, answer
        kept.move_to_end(question)
        while len(kept) > self._most:
            kept.popitem(last=False)
        return answer

    def forget(self, *_sender, **_what) -> None:
        self._kept = OrderedDict()
