"""Tells refusals that show a limit from stray ones.

A provider at its limit refuses in clusters: what is offered beyond the limit is refused. Stray refusals
hit any call with the same small chance. The test is a scan statistic: among the calls that started close
together, is the share of refused ones too high for chance? (Kulldorff's likelihood ratio, for a series of
Bernoulli trials.)

Pure arithmetic: it reads no clock and never waits.
"""

import bisect
import math

LEAST_STRAY = 0.01  # share of stray refusals that is assumed at least
PRIOR_CALLS = 25.0  # before anything is known it weighs as much as this many calls …
PRIOR_REFUSED = 0.5  # … and refusals
KEPT_CALLS = 1_000.0  # calls over which the share is averaged
KEPT_REFUSALS = 48
RECENT_CALLS = 50
LEAST_SHARE = 0.15  # of a cluster's calls are refused, at least …
TIMES_STRAY = 1.5  # … and this many times as many as by chance


class Cluster:
    """The densest cluster of refusals: ``refused`` of ``calls`` calls in a row, and the logarithm of how
    much likelier a limit makes it than chance does."""

    __slots__ = ("calls", "evidence", "refused")

    def __init__(self, refused: int, calls: int, evidence: float):
        self.refused, self.calls, self.evidence = refused, calls, evidence

    @property
    def share(self) -> float:
        """The share of refused calls (0 to 1), cautiously where there are few."""
        return (self.refused + 0.5) / (self.calls + 1.0)


NO_CLUSTER = Cluster(0, 0, 0.0)


class RefusalEvidence:
    """Calls are numbered in the order of their start."""

    def __init__(self) -> None:
        self._number = 0  # of the last call
        self._refused: list[int] = []  # numbers of recently refused calls, ascending
        self._calls = self._strays = 0.0

    def started(self) -> int:
        """A call starts; returns its number."""
        self._number += 1
        self._calls += 1.0
        if self._calls > KEPT_CALLS:
            self._calls, self._strays = self._calls / 2, self._strays / 2
        return self._number

    @property
    def number(self) -> int:
        """Of the last call that started."""
        return self._number

    @property
    def stray_share(self) -> float:
        """Share of calls (0 to 1) that are refused by chance."""
        return self._stray_share(len(self._refused) // 2, 0)  # the last ones may show a limit

    def recent(self) -> tuple[int, int]:
        """How many were refused of the last calls, and how many calls these are."""
        last = self._refused[-1] if self._refused else self._number
        calls = max(1, min(RECENT_CALLS, last))
        return sum(number > last - calls for number in self._refused), calls

    def stray_share_before(self, calls: int) -> float:
        """The same without the last ``calls`` calls."""
        first = self._number - calls
        return self._stray_share(sum(number <= first for number in self._refused), calls)

    def _stray_share(self, refused: int, later: int) -> float:
        """The same, by the first of the recent refusals, without that many later calls."""
        calls = max(0.0, self._calls - later) + PRIOR_CALLS
        return max(LEAST_STRAY, (self._strays + refused + PRIOR_REFUSED) / calls)

    def refused(self, number: int) -> Cluster:
        """A call was refused. Returns the densest cluster that ends with the latest refused call."""
        bisect.insort(self._refused, number)
        oldest = self._number - KEPT_CALLS
        while self._refused and (len(self._refused) > KEPT_REFUSALS or self._refused[0] < oldest):
            del self._refused[0]
            self._strays += 1.0
        return self._densest() if self._refused else NO_CLUSTER

    def explain(self, number: int) -> None:
        """A limit explains why that call was refused."""
        if number in self._refused:
            self._refused.remove(number)

    def single(self) -> None:
        """The recent refusals may be explained by a limit, and may be chance."""
        self._strays += len(self._refused)
        self._refused.clear()

    def clear(self) -> None:
        """The recent refusals are explained by a limit."""
        self._refused.clear()

    def expect(self, share: float) -> None:
        """Calls are refused by chance as often as this (0 to 1)."""
        self._refused.clear()
        self._calls = max(self._calls, 100.0)
        self._strays = share * self._calls

    def _densest(self) -> Cluster:
        found = NO_CLUSTER
        last = self._refused[-1]
        for at in range(len(self._refused) - 2, -1, -1):
            # the first refusal is where we look; how many of the calls after it were refused?
            more, calls = len(self._refused) - 1 - at, last - self._refused[at]
            shown = 0.0
            stray = self._stray_share(at, calls)
            if more / max(more, calls) >= max(LEAST_SHARE, TIMES_STRAY * stray):
                shown = evidence(more, calls, stray)
            if shown > found.evidence:
                found = Cluster(more, calls, shown)
        return found


def evidence(refused: int, calls: int, chance: float) -> float:
    """The logarithm of how much likelier ``refused`` of ``calls`` calls are at that share than by
    chance; 0 where chance would bring more."""
    calls = max(calls, refused)
    share = refused / calls
    if share <= chance:
        return 0.0
    found = refused * math.log(share / chance)
    if refused < calls:
        found += (calls - refused) * math.log((1.0 - share) / (1.0 - chance))
    return found
