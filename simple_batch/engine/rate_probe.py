"""When a learned rate is probed for more, and what a refused probe shows.

A rate is held for a plateau and then grows until a call is refused. Probes cost refusals, so the longer a rate
has held the rarer they are, except where a higher one held of late.
"""

from .admitted_calls import AdmittedCalls
from .estimators import (
    COSTLY,
    PLATEAU_CALLS,
    PLATEAU_MOVED_S,
    PLATEAU_QUIET_S,
    PLATEAU_S,
    RateEstimator,
)

LONGEST_S = 60.0  # of a plateau
MOVED = 0.8  # a rate below this share of the highest one has moved, and may move back …
LOWERED_BY_CHANCE = 0.98  # … or below this one, where more calls than …
CHANCE = 0.011  # … this share of them are refused by chance …
MOVED_S = 300.0  # … for this long

TOO_MANY = 2  # refusals between two probes: the rate is above what was admitted …
LEAST_OF_PROVEN = 0.95  # … by no more than this: a wait may be part of the time …
LEAST_OF_FAR = 0.85  # … and this, where what the provider had saved up was part of it
NOISY = 0.015  # with more stray refusals, one that ends a probe says little …
MUCH_FARTHER = 2.8  # times the proven rate: it was offered for long where decisions are delayed
RISEN = (
    1.015  # times the rate before was measured: the provider may have had room that was not used
)
FAR = 1.4  # times the measured rate was offered before the refusal: the limit is not there …
BORNE = 0.65  # … but at this share of it, at least


class RateProbe:
    """Rates in calls per second, times in seconds of one monotonic clock. ``refused`` counts the calls that
    were refused since the rate was measured."""

    def __init__(self) -> None:
        self.refused = 0
        self.confirmed = False  # whether several refusals ended the probe
        self._rising = (
            False  # whether the last probe raised the rate: the limit may be still higher
        )
        self._far = False  # whether the rate was measured while far more was offered
        self._best = 0.0  # the highest rate of late …
        self._best_until = float("-inf")  # … and until when it counts

    def clear(self) -> None:
        """Forget the highest rate."""
        self._best, self._best_until = 0.0, float("-inf")

    def note_best(self, proven: float, now: float) -> None:
        """A rate has held."""
        if proven > self._best or now > self._best_until:
            self._best, self._best_until = proven, now + MOVED_S

    def plateau(
        self, per_s: float, proven: float, chance: float, cooldown_s: float, now: float
    ) -> float:
        """How many good answers a value is held for, at ``per_s`` a second. ``chance`` is the share of calls
        (0 to 1) that may be refused by chance, ``cooldown_s`` what a refusal costs."""
        lower = LOWERED_BY_CHANCE if chance > CHANCE else MOVED
        moved = now < self._best_until and proven < lower * self._best
        held_s = PLATEAU_S if chance > CHANCE else PLATEAU_QUIET_S
        seconds = PLATEAU_MOVED_S if moved or self._rising else held_s
        return max(PLATEAU_CALLS, per_s * min(LONGEST_S, max(seconds, COSTLY * cooldown_s)))

    def shown(
        self,
        rate: RateEstimator,
        admitted: AdmittedCalls,
        started: float,
        just_now: float,
        stray_share: float,
        chance: float,
        delayed: bool,
    ) -> float:
        """The rate that is learned from a probe whose call, begun at ``started``, was refused. ``just_now``:
        calls per second that were offered; ``stray_share``, ``chance``: the shares of calls (0 to 1) that are
        and that may be refused by chance; ``delayed``: decisions take a while to hold for all calls."""
        offered, proven = rate.value or rate.proven, rate.proven
        measured = admitted.measured(started) or proven
        far = admitted.measured_far(started)
        is_too_high = self.confirmed or (self.refused >= TOO_MANY and chance <= CHANCE)
        least = LEAST_OF_PROVEN if is_too_high else 1.0
        least, self._far = (LEAST_OF_FAR if self._far else least), False
        if far is not None and offered > FAR * measured:
            self._far = far > measured
            measured = max(measured, far)
        doubtful = rate.unconfirmed or stray_share > NOISY
        doubtful |= delayed and offered > MUCH_FARTHER * proven
        if doubtful and offered > FAR * measured:
            measured = max(measured, BORNE * just_now)  # far more was admitted of late
        shown = max(measured, least * proven)
        self._rising = shown > RISEN * proven
        return shown
