"""Answers that may be a moment old: what a crowd asks over and over is found out once a moment."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable


class TtlCache:
    """Answers by their questions, for ``seconds``, at most ``most`` of them: the first ones go first.
    None is no answer, and not kept."""

    def __init__(self, seconds: float, most: int, clock: Callable[[], float] = time.monotonic):
        self._seconds, self._most, self._clock = seconds, most, clock
        self._kept: OrderedDict[Hashable, tuple[float, object]] = OrderedDict()

    def recalled(self, question: Hashable):
        """The answer, None where it is not known any more."""
        until, answer = self._kept.get(question, (0.0, None))
        return answer if self._clock() < until else None

    def found(self, question: Hashable, find: Callable):
        """What ``find()`` says now, kept from the moment when it was asked."""
        kept, now = self._kept, self._clock()
        answer = find()
        if answer is None:
            kept.pop(question, None)
            return None
        # where all was forgotten meanwhile, this is kept where nobody looks
        kept[question] = now + self._seconds, answer
        kept.move_to_end(question)
        while len(kept) > self._most:
            kept.popitem(last=False)
        return answer

    def forget(self, *_sender, **_what) -> None:
        self._kept = OrderedDict()
