"""Tries a lower rate after refusals, to tell a limit from chance.

At a limit, fewer calls are refused when less is offered. By chance, as large a share is refused at any rate.
(BBR: Cardwell et al., Congestion-Based Congestion Control, 2016: model the delivered rate, do not react to
loss.)
"""

import enum

from .estimators import EstimatorState

EXPECTED = 9.0  # refusals that chance would bring in a round
ENOUGH_REFUSED = 4  # … end it before its time
ROUND_CALLS = (5, 200)
ROUND_S = 1.5  # … but a round lasts no longer, with …
SLOW_CALLS = 8  # … these calls at least
MOST_CHANCE = 0.4  # a larger share is no chance
FEWER = 0.25  # of the refusals that chance would bring: the provider bears the rate
ALIKE = 0.75  # of the share of the rounds before
UNLIKE = 2.0  # times that share is no chance: the limit has become lower
ROUNDS = 3  # as often at a lower rate, as large a share: it is chance

Before = tuple[EstimatorState, dict[str, EstimatorState]]


class Verdict(enum.Enum):
    """What a round says."""

    OPEN = "open"  # too few calls yet
    LIMIT = "limit"  # the provider bears the rate
    SLOWER = "slower"  # it does not yet
    CHANCE = "chance"  # refusals do not depend on the rate


class RateTrial:
    """``before`` is what was known of width and rates, to return to; ``share`` (0 to 1) of the calls
    was refused; ``per_s`` calls start in a second now. Calls are numbered by their start; ``number`` is that of the last one before."""

    def __init__(self, before: Before, number: int, share: float, per_s: float, now: float):
        self.before = before
        self.share = share  # of refused calls in the last round
        self.ended = number  # the last call of the trial
        self._expected = share
        self._rounds = 0
        self._all_calls = self._all_refused = 0
        calls = min(max(int(EXPECTED / max(share, 1e-3)), ROUND_CALLS[0]), ROUND_CALLS[1])
        self._least = min(calls, max(SLOW_CALLS, int(ROUND_S * per_s / max(share, 1e-3))))
        self.begin_round(number, now)

    @property
    def stray_share(self) -> float:
        """Share of refused calls over all rounds (0 to 1)."""
        return self._all_refused / max(1, self._all_calls)

    def begin_round(self, number: int, now: float) -> None:
        """Go on at a lower rate."""
        self.first, self._refused, self._began = number, 0, now

    def offered_per_s(self, number: int, now: float) -> float:
        """Calls that were started per second in this round."""
        return (number - self.first) / max(now - self._began, 0.05)

    def refused(self, number: int) -> Verdict:
        """A call of the trial was refused."""
        self._refused += 1
        calls = number - self.first
        enough = self._refused >= ENOUGH_REFUSED and calls >= SLOW_CALLS
        if calls < self._least and not enough:
            return Verdict.OPEN
        self.share = self._refused / calls
        if self._few(calls):
            return Verdict.LIMIT
        self._rounds += 1
        as_before = self.share >= ALIKE * self.stray_share
        self._all_calls += calls
        self._all_refused += self._refused
        as_before = as_before and self.share <= UNLIKE * self.stray_share
        chance = self._rounds >= ROUNDS and as_before and self.stray_share <= MOST_CHANCE
        return Verdict.CHANCE if chance else Verdict.SLOWER

    def delay(self, seconds: float) -> None:
        """No call starts for that long."""
        self._began += seconds

    def skip(self, number: int, now: float) -> None:
        """Nothing is admitted at present: that tells nothing about the rate."""
        self.begin_round(number, now)

    def passed(self, number: int) -> bool:
        """Whether enough calls were made, with few refusals."""
        calls = number - self.first
        return calls >= self._least and self._few(calls)

    def _few(self, calls: int) -> bool:
        return self._refused < FEWER * self._expected * calls
