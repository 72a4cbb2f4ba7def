"""Tries a lower rate after refusals, to tell a limit from chance.

At a limit, fewer calls are refused when less is offered. By chance, as large a share is refused at any rate.
(BBR: Cardwell et al., Congestion-Based Congestion Control, 2016: model the delivered rate, do not react to
loss.)
"""

import enum

from .estimators import EstimatorState
from .rate_history import MOST_CHANCE, Round, chance_over_limit

EXPECTED = 9.0  # refusals that chance would bring in a round
ENOUGH_REFUSED = 4  # … end it before its time
ROUND_CALLS = (5, 200)
ROUND_S = 1.5  # … but a round lasts no longer, with …
SLOW_CALLS = 8  # … these calls at least …
LONGEST_S = 12.0  # … and where few are refused this long: nothing more is tried meanwhile
MOST_BELOW_KNOWN = 0.06  # a larger share below a rate that held until now is no chance
FEWER = 0.25  # of the refusals that chance would bring: the provider bears the rate
TOLD = 3.0  # times e: so much likelier does chance make the refusals of all rounds than any limit does …
LEANS = 1.0  # … and with this they lean to it
ALIKE = 0.75  # of the share of the rounds before …
UNLIKE = 2.0  # … and times that share, which are no chance: the limit has become lower …
ALIKE_ROUNDS = 2  # … after this many
ROUNDS = 2  # at a lower rate, before that is said
KEPT_ROUNDS = 8
LEAST_AT_RATE = 0.01  # share of calls that a limit refuses below a rate that held until now

Before = tuple[EstimatorState, dict[str, EstimatorState]]


class Verdict(enum.Enum):
    """What a round says."""

    OPEN = "open"  # too few calls yet
    LIMIT = "limit"  # the provider bears the rate
    SLOWER = "slower"  # it does not yet
    CHANCE = "chance"  # refusals do not depend on the rate
    KNOWN = "known"  # refusals do not depend on the rate below the one that was known


class RateTrial:
    """``before`` is what was known of width and rates, to return to; ``first`` are the calls that led to
    the trial; ``per_s`` calls start in a second now. What an ``earlier`` trial has seen counts too. ``known``
    is what held while the first calls were made, if that was a learned rate. Calls are numbered by their start;
    ``number`` is that of the last one before."""

    def __init__(
        self,
        before: Before,
        number: int,
        first: Round,
        per_s: float,
        now: float,
        earlier: "RateTrial | None" = None,
        known: Before | None = None,
    ):
        self.before = before
        self.known = known
        self.at_rate = first
        share = first.refused / max(1, first.calls)
        self.share = share  # of refused calls in the last round
        self.ended = number  # the last call of the trial
        self._expected = share
        # the first calls may have used up what a provider had saved: their share says too little
        self._rounds = list(earlier.rounds) if earlier is not None else []
        self._began_with = len(self._rounds)
        calls = min(max(int(EXPECTED / max(share, 1e-3)), ROUND_CALLS[0]), ROUND_CALLS[1])
        longest_s = min(ROUND_S / max(share, 1e-3), LONGEST_S)
        self._least = min(calls, max(SLOW_CALLS, int(longest_s * per_s)))
        self._limit_per_s = per_s
        self.begin_round(number, now)

    @property
    def stray_share(self) -> float:
        """Share of refused calls over all rounds at a lower rate (0 to 1)."""
        return sum(one.refused for one in self.tried) / max(1, sum(one.calls for one in self.tried))

    @property
    def tried(self) -> list[Round]:
        """The rounds of this trial, without the calls that led to it."""
        return self._rounds[self._began_with :]

    @property
    def rounds(self) -> list[Round]:
        """The last rounds of this trial and of those before."""
        return self._rounds[-KEPT_ROUNDS:]

    def begin_round(self, number: int, now: float, per_s: float | None = None) -> None:
        """Go on, at a lower rate if one is given."""
        self._limit_per_s = per_s or self._limit_per_s
        self.first, self._refused, self._began = number, 0, now

    def offered_per_s(self, number: int, now: float) -> float:
        """Calls that were started per second in this round."""
        return (number - self.first) / max(now - self._began, 0.05)

    def refused(self, number: int, now: float) -> Verdict:
        """A call of the trial was refused."""
        self._refused += 1
        calls = number - self.first
        enough = self._refused >= ENOUGH_REFUSED and calls >= SLOW_CALLS
        if calls < self._least and not enough:
            return Verdict.OPEN
        self.share = self._refused / calls
        chance = chance_over_limit([*self._rounds, self._round(number, now)])
        if self._few(calls) and chance >= LEANS:
            return Verdict.OPEN
        alike = self._is_alike()
        self._rounds.append(self._round(number, now))
        if self._few(calls):
            return Verdict.LIMIT
        told = chance >= TOLD and len(self._rounds) >= ROUNDS
        if (told or alike) and self.stray_share <= MOST_CHANCE:
            return Verdict.CHANCE
        return Verdict.KNOWN if self._is_chance_below_known() else Verdict.SLOWER

    def _is_chance_below_known(self) -> bool:
        """Whether chance explains the refusals at the known rate and at the lower ones."""
        if self.known is None or len(self.tried) < ROUNDS or self.stray_share > MOST_BELOW_KNOWN:
            return False
        return chance_over_limit([self.at_rate, *self.tried], LEAST_AT_RATE) >= TOLD

    def _is_alike(self) -> bool:
        """Whether as large a share is refused now as in the rounds before, at higher rates."""
        before = self.stray_share
        enough = len(self.tried) >= ALIKE_ROUNDS
        return enough and ALIKE * before <= self.share <= UNLIKE * before

    def delay(self, seconds: float) -> None:
        """No call starts for that long."""
        self._began += seconds

    def skip(self, number: int, now: float) -> None:
        """Nothing is admitted at present: that tells nothing about the rate."""
        self.begin_round(number, now)

    def passed(self, number: int, now: float) -> bool:
        """Whether enough calls were made, with few refusals."""
        calls = number - self.first
        if calls < self._least or not self._few(calls):
            return False
        borne = self._round(number, now)
        if chance_over_limit([*self._rounds, borne]) >= LEANS:
            return False
        self._rounds.append(borne)
        return True

    def _round(self, number: int, now: float) -> Round:
        # what was saved up in a wait goes out faster, but the provider has waited too
        per_s = min(self.offered_per_s(number, now), self._limit_per_s)
        return Round(per_s, number - self.first, self._refused)

    def _few(self, calls: int) -> bool:
        return self._refused < FEWER * self._expected * calls
