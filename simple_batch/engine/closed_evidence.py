"""Tells whether a provider admits nothing any more from calls refused in a row.

Where a share of calls is refused by chance, some are refused in a row, too. What the calls before the row show
decides which it is.
"""

import bisect
import math
from itertools import pairwise

CALLS = 64  # before the row, at most, whose share counts …
PRIOR_CALLS = 5.0  # … with a prior of this many calls …
PRIOR_REFUSED = 0.5  # … and refusals
ENOUGH = 3.0  # the logarithm of how much likelier a closed limit makes the row than chance does


class ClosedEvidence:
    """Calls are named by the order of their start."""

    def __init__(self) -> None:
        self._orders: list[int] = []  # of refused calls, ascending

    def refused(self, order: int) -> None:
        """Note a refused call."""
        bisect.insort(self._orders, order)
        while self._orders[0] < order - 2 * CALLS:
            del self._orders[0]

    def is_enough(self) -> bool:
        """Whether chance hardly explains the last refusals in a row."""
        first = last = self._orders[-1]
        at = len(self._orders) - 1
        while at > 0 and self._orders[at - 1] == first - 1:
            first, at = first - 1, at - 1
        row, calls = last - first + 1, min(CALLS, first - 1)
        before = self._orders[bisect.bisect_left(self._orders, first - calls) : at]
        # an earlier row may have been a closed limit: it counts once
        rows = len(before) - sum(later == earlier + 1 for earlier, later in pairwise(before))
        share = (rows + PRIOR_REFUSED) / (calls - (len(before) - rows) + PRIOR_CALLS)
        return row * -math.log(share) >= ENOUGH
