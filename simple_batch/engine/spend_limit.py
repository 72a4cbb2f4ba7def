"""Money that may still be spent: asked before each call, told of what the call has cost.

A call that runs is expected to cost what calls have cost on the average so far: near a
bound fewer run at a time, so that together they hardly overshoot it; and few, until a
first one has told its cost. What is certain: no call starts once a bound is reached, so
the overshoot is at most what was in flight then.
"""

from collections.abc import Callable

import msgspec
from gevent.event import Event

from .breaker import PauseReason
from .classify import Classification

RECENT = 50  # calls over which the average goes
FEW = 5  # calls at a time until one has told its cost


class CapReached(Exception):
    """A bound is reached: no call may start."""

    def __init__(self, stop: PauseReason):
        super().__init__(stop.detail)
        self.stop = stop


class Cap(msgspec.Struct):
    """``spent`` of ``most`` (None: any sum), in nano-units."""

    most: int | None
    spent: int


class SpendLimit:
    """Bounds on the same calls, by name. ``stop(name, bound)`` says why one that is reached stops a
    job. ``seen`` calls of a time before have cost ``mean`` each. Where others spend under the same
    bounds, only the money of a ``block`` may be spent; ``hungry``: a call waits for more of it."""

    def __init__(
        self, bounds: dict[str, Cap], stop: Callable[[str, Cap], PauseReason], mean=0.0, seen=0
    ):
        self.bounds = bounds
        self._stop = stop
        self._mean = mean
        self._seen = seen
        self.flying = 0
        self.block: Cap | None = None
        self.hungry = False
        self._counted = list(bounds.values())
        self._changed = Event()
        self.limit()

    def limit(self, **most: int | None) -> None:
        """Set bounds anew, by their names."""
        for name, amount in most.items():
            self.bounds[name].most = amount
        self.bounded = any(bound.most is not None for bound in self.bounds.values())
        self._changed.set()

    def keep_to(self, block: Cap) -> None:
        """Spend no more than what the block holds, whatever the bounds leave."""
        self.block = block
        self._counted.append(block)

    def expected(self, more: int = 0) -> float:
        """What the calls that run and so many more are expected to cost."""
        return (self.flying + more) * self._mean

    def reached(self) -> PauseReason | None:
        """Why no call may start; None where one may."""
        for name, bound in self.bounds.items():
            if bound.most is not None and bound.spent >= bound.most:
                return self._stop(name, bound)
        return None

    def look(self) -> None:
        """Raises Spent where a bound is reached."""
        if self.bounded:
            stop = self.reached()
            if stop is not None:
                raise CapReached(stop)

    def take(self) -> None:
        """Block until a call may start, then count it as running. Raises Spent."""
        self.look()
        while self.bounded and not self._may_start():
            self._changed.clear()
            self._changed.wait()
            self.look()
        self.flying += 1

    def ready(self) -> bool:
        """False where this process holds no money; asks for some then."""
        if not self.bounded or self.block is None or self.block.most > self.block.spent:
            return True
        self.hungry = True
        return False

    def _may_start(self) -> bool:
        if self.block is not None and not self._in_block():
            self.hungry = True
            return False
        return not self.flying or self._fits()

    def _in_block(self) -> bool:
        left = self.block.most - self.block.spent
        return left > 0 and (not self.flying or self.expected(1) <= left)

    def _fits(self) -> bool:
        if not self._seen:
            return self.flying < FEW
        expected = self.expected(1)
        return all(
            bound.most is None or bound.spent + expected <= bound.most
            for bound in self.bounds.values()
        )

    def settle(self, cost: int | None) -> None:
        """A call has ended; ``cost`` None where nothing is known of it."""
        self.flying -= 1
        if cost is not None:
            self._seen += 1
            self._mean += (cost - self._mean) * max(1.0 / self._seen, 1.0 / RECENT)
            for bound in self._counted:
                bound.spent += cost
        self._changed.set()


class SpendGuard:
    """What the calls of a pool are paid from; this one lets them all go."""

    def take(self) -> None:
        """Block until a call may start. Raises Spent."""

    def look(self) -> None:
        """Raises Spent where none may start now."""

    def ready(self) -> bool:
        """False where there is no money for a call now, though no bound is reached; asks for some
        then."""
        return True

    def settle(self, finding: Classification | None) -> None:
        """The call has ended; ``finding`` None where it was given up."""
