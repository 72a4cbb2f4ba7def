"""Spend limits: checked before each call, charged after it.

A running call is expected to cost the average of the calls so far, at the dearest price that can apply. Near a cap fewer calls run at a
time, so that together they hardly exceed it; few run until the cost of a first call is known. No
call starts once a cap is reached, so the overshoot is at most the cost of the calls in flight.
"""

import math
from collections.abc import Callable

import msgspec
from gevent.event import Event

from .breaker import PauseReason

RECENT = 50  # number of calls in the average
FEW = 5  # calls at a time until the cost of one is known


class CapReached(Exception):
    """A cap is reached: no call may start."""

    def __init__(self, stop: PauseReason):
        super().__init__(stop.detail)
        self.stop = stop


class Cap(msgspec.Struct):
    """``spent`` of ``limit`` (None: any sum), in nano-units. ``reserved`` is what batches that have not
    ended may cost."""

    limit: int | None
    spent: int
    reserved: int = 0

    def leaves(self, amount: float) -> bool:
        """Whether this amount is within the limit."""
        return self.limit is None or self.spent + self.reserved + amount <= self.limit


class SpendLimit:
    """Caps on the same calls, by name. ``stop(name, bound)`` gives the reason for which a reached cap
    stops a job. ``seen`` earlier calls have cost ``mean`` each. If other processes spend under the
    same caps, only the amount of a ``block`` may be spent; ``starved``: a call waits for more."""

    def __init__(
        self,
        caps: dict[str, Cap],
        stop: Callable[[str, Cap], PauseReason],
        mean: float = 0.0,
        seen: int = 0,
    ):
        self.caps = caps
        self._stop = stop
        self._mean = mean
        self._seen = seen
        self.in_flight = 0
        self.block: Cap | None = None
        self.starved = False
        self._counted = list(caps.values())
        self._changed = Event()
        self.set_limits()

    def set_limits(self, **limits: int | None) -> None:
        """Change caps, by name."""
        for name, amount in limits.items():
            self.caps[name].limit = amount
        self.bounded = any(cap.limit is not None for cap in self.caps.values())
        self._changed.set()

    def keep_to(self, block: Cap) -> None:
        """Spend at most the amount of the block, whatever the caps leave."""
        self.block = block
        self._counted.append(block)

    def expected(self, more: int = 0) -> float:
        """Expected cost of the running calls and ``more`` others."""
        return (self.in_flight + more) * self._mean

    def reached(self) -> PauseReason | None:
        """Why no call may start; None where one may."""
        for name, cap in self.caps.items():
            if cap.limit is not None and cap.spent + cap.reserved >= cap.limit:
                return self._stop(name, cap)
        return None

    def lacking(self, needed: float) -> PauseReason | None:
        """Why no call may start for which the caps must leave this amount (nano-units); None where one
        may."""
        for name, cap in self.caps.items():
            if not cap.leaves(needed):
                return self._stop(name, cap)
        return self.reached()

    def check(self) -> None:
        """Raises CapReached if a cap is reached."""
        if self.bounded:
            stop = self.reached()
            if stop is not None:
                raise CapReached(stop)

    def acquire(self) -> None:
        """Block until a call may start, then count it as running. Raises CapReached."""
        self.check()
        while self.bounded and not self._may_start():
            self._changed.clear()
            self._changed.wait()
            self.check()
        self.in_flight += 1

    def affords(self) -> bool:
        """Whether the caps leave enough for the running calls and one more."""
        expected = self.expected(1)
        return self.reached() is None and all(cap.leaves(expected) for cap in self.caps.values())

    def ready(self) -> bool:
        """Returns False if this process has no spend left; it then asks for more."""
        if not self.bounded or self._left_in_block() > 0:
            return True
        self.starved = True
        return False

    def _may_start(self) -> bool:
        left = self._left_in_block()
        if left <= 0 or (self.in_flight and self.expected(1) > left):
            self.starved = True
            return False
        return not self.in_flight or self._fits()

    def _left_in_block(self) -> float:
        block = self.block
        return math.inf if block is None or block.limit is None else block.limit - block.spent

    def _fits(self) -> bool:
        if not self._seen:
            return self.in_flight < FEW
        expected = self.expected(1)
        return all(cap.leaves(expected) for cap in self.caps.values())

    def charge(self, cost: int) -> None:
        """Count what requests in a batch have cost."""
        for cap in self._counted:
            cap.spent += cost
        self._changed.set()

    def reserve(self, amount: int) -> None:
        """Count what all batches that have not ended may cost."""
        for cap in self.caps.values():
            cap.reserved = amount
        self._changed.set()

    def settle(self, cost: int | None, dearest: int | None = None) -> None:
        """A call has ended. ``cost`` is None if it is unknown. Calls to come are expected to cost the
        ``dearest`` price that such a call can have: another tier may be used, the next hour may be dearer."""
        self.in_flight -= 1
        if cost is not None:
            self._seen += 1
            expected = max(cost, dearest or 0)
            self._mean += (expected - self._mean) * max(1.0 / self._seen, 1.0 / RECENT)
            for cap in self._counted:
                cap.spent += cost
        self._changed.set()
