"""Tells whether too large a share of the calls is refused at a learned rate."""

import math
from collections import deque
from itertools import pairwise

from .rate_history import Round
from .refusal_evidence import evidence

LAST_CALLS = 400  # of a rate that holds are counted
LONG_CALLS = 1_500  # at all rates that held
FEW_HELD = 60  # calls tell little
AT_RATE_CALLS = 12  # at a learned rate fewer calls do not tell the share
AT_RATE_REFUSED = 3
AT_RATE_EVIDENCE = 3.2  # shows that it is too high …
USUAL_SHARE = 0.016  # … over this share
MANY_CALLS = 150
TOO_LARGE_SHARE = 0.015  # of that many calls are refused: the rate is a little too high …
TIMES_CHANCE = 1.6  # … if it is as many times what chance is known to bring …
GAPS = (3, 6)  # … and the calls between refusals, of so few gaps and no more, are as even …
SHAPE = 3  # … as in a gamma distribution of this shape, rather than the exponential one of chance


class RefusedShare:
    """``by_chance`` is the share of calls refused by chance (0 to 1), as far as a trial or the start
    showed. Calls are counted by their order."""

    def __init__(self) -> None:
        self.by_chance = 0.0
        self._held_calls = self._held_refused = 0.0  # of earlier rates that held
        self._since = 0  # the order of the last call before those that are counted
        self._orders: deque[int] = deque()  # of the refused calls among them

    def explain(self, order: int) -> None:
        """A limit that was passed on purpose explains why that call was refused."""
        if order in self._orders:
            self._orders.remove(order)

    def held(self, calls: int, refused: int) -> None:
        """Count calls that were made at a rate that held; the refused ones among them were so by chance."""
        self._held_calls, self._held_refused = (
            self._held_calls + calls,
            self._held_refused + refused,
        )
        if self._held_calls > LONG_CALLS:
            self._held_calls, self._held_refused = self._held_calls / 2, self._held_refused / 2

    def at_held(self, order: int) -> float:
        """The share of calls refused at rates that hold (0 to 1), cautiously, as of the call of that order."""
        self._forget(order)
        calls = self._held_calls + order - self._since
        return max(0.0, self._held_refused + len(self._orders) - 1.0) / max(calls, FEW_HELD)

    def restart(self, order: int) -> None:
        """Another rate holds for the calls after that one."""
        self._since = order
        self._orders.clear()

    def round(self, per_s: float, order: int) -> Round:
        """The calls at the learned rate so far."""
        self._forget(order)
        return Round(per_s, order - self._since, len(self._orders))

    def refused(self, order: int) -> tuple[int, int] | None:
        """A call was refused at the learned rate. Returns how many were refused and of how many calls,
        where chance does not explain it; else None."""
        if order <= self._since:
            return None
        self._orders.append(order)
        self._forget(order)
        calls = order - self._since
        return (len(self._orders), calls) if self._are_too_many(calls) else None

    def _forget(self, order: int) -> None:
        """Count no more than the last calls: the limit may have changed since."""
        self._since = max(self._since, order - LAST_CALLS)
        while self._orders and self._orders[0] <= self._since:
            self._orders.popleft()

    def _are_too_many(self, calls: int) -> bool:
        refused = len(self._orders)
        if calls >= MANY_CALLS:
            too_large = max(TOO_LARGE_SHARE, TIMES_CHANCE * self.by_chance)
            if refused / calls >= too_large and self._are_regular():
                return True
        usual = max(USUAL_SHARE, self.by_chance)
        return (
            calls >= AT_RATE_CALLS
            and refused >= AT_RATE_REFUSED
            and evidence(refused, calls, usual) >= AT_RATE_EVIDENCE
        )

    def _are_regular(self) -> bool:
        """Whether the gaps between refusals are even, as at a limit: what is offered beyond it is refused.
        Chance refuses at any time."""
        orders = list(self._orders)[-GAPS[1] - 1 :]
        gaps = [max(1, later - earlier) for earlier, later in pairwise(orders)]
        if len(gaps) < GAPS[0]:
            return False
        mean = sum(gaps) / len(gaps)
        scale = SHAPE * math.log(SHAPE) - math.lgamma(SHAPE)
        return sum(scale + (SHAPE - 1) * (math.log(gap / mean) - gap / mean) for gap in gaps) > 0.0
