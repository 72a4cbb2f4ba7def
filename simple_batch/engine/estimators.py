"""Finds a limit that is not configured or announced, from calls alone (docs/engine.md).

Two things are learned at once, because a provider may enforce either: how many
calls may be in flight (ConcurrencyEstimator), and how many may start in a second
(RateEstimator, one for requests and one for tokens). Both grow along the same curve: fast at the
beginning, flat around a value that held, faster again the longer it holds.

Pure arithmetic: it reads no clock and never waits. All times are seconds.
"""

import math

import msgspec

PLATEAU_CALLS = 50  # at least this many calls between two probes for more
PLATEAU_S = 30.0
PLATEAU_QUIET_S = 45.0  # where hardly a call is refused by chance: the value is right
PLATEAU_MOVED_S = 6.0  # where the limit was higher a few minutes ago
MIN_PLATEAU_CALLS = 20
GROWTH_CALLS = 60  # after a longer plateau a value grows no slower than after one of these calls
NEAR = 0.25  # two measured limits closer than this are the same
STEP = 0.02  # how far from the proven value the curve begins and first goes
COSTLY = 15  # probes for more may cost a fifteenth of the time in cooldowns
DOUBLING_S = 1.0  # slow start doubles no faster than this
FAR_DOUBLING_S = 8.0  # a rate already twice what was proven
SATURATED_AT = 1.5  # compare throughput when the width has grown by this factor
ROUND_CALLS = 50  # throughput is measured over at least this many calls and two rounds
GAIN = 0.2  # of that growth must arrive as throughput


class EstimatorState(msgspec.Struct, frozen=True):
    """State of one estimator, to pass to another process: its current value, the proven value, and
    how often that was confirmed (Confidence)."""

    value: float | None
    proven: float | None
    found: float | None
    times: int
    burst_s: float = 1.0


def growth(calls: int, plateau: float) -> float:
    """CUBIC-like growth: the factor of a proven value after ``calls`` good answers. A little below one
    at first, one at the end of the plateau, then exponentially more."""
    if calls <= plateau:
        return 1.0 - STEP * (1.0 - calls / plateau)
    doublings: float = min(30.0, 6.0 * (calls - plateau) / min(plateau, GROWTH_CALLS))
    return 1.0 + STEP * (math.pow(2.0, doublings) - 1.0)


class Confidence:
    """Counts how often a value was confirmed. A new value is held for a few calls only, a value that
    was confirmed repeatedly for a whole plateau."""

    def __init__(self) -> None:
        self._value: float | None = None
        self._times = 0

    def found(self, value: float) -> None:
        near = self._value is not None and abs(value - self._value) <= NEAR * self._value
        self._times = self._times + 1 if near else 0
        self._value = value

    @property
    def known(self) -> tuple[float | None, int]:
        return self._value, self._times

    def restore(self, known: EstimatorState) -> None:
        self._value, self._times = known.found, known.times

    def plateau(self, whole: float, round_: float) -> float:
        return min(whole, max(MIN_PLATEAU_CALLS, round_) * 2.0 ** min(20, self._times))


class TokenBucket:
    """An allowance that refills steadily, ``rate`` a second, up to ``capacity``. It may be
    overdrawn by a call that cost more than was reserved."""

    __slots__ = ("at", "capacity", "level", "rate")

    def __init__(self, rate: float, capacity: float, level: float, now: float):
        self.rate, self.capacity, self.level, self.at = rate, capacity, level, now

    def wait_s(self, amount: float, now: float) -> float:
        self.level = min(self.capacity, self.level + (now - self.at) * self.rate)
        self.at = now
        needed = min(amount, self.capacity)
        return 0.0 if self.level >= needed else (needed - self.level) / self.rate

    def take(self, amount: float) -> None:
        self.level -= amount

    def set_rate(self, rate: float, capacity: float, now: float) -> None:
        self.wait_s(0.0, now)
        self.rate, self.capacity = rate, capacity
        self.level = min(self.level, capacity)


class RateEstimator:
    """Estimates the units per second that the provider accepts. ``value`` is None until it has refused once."""

    def __init__(self) -> None:
        self.value: float | None = None
        self._proven = 0.0
        self._bucket: TokenBucket | None = None
        self._confidence = Confidence()
        self.burst_s = 1.0  # seconds of unused rate that may be saved up and used at once

    def learn(self, measured: float, now: float) -> None:
        """Learn the rate that was measured between two refusals."""
        self._proven = max(measured, 1e-3)
        self._confidence.found(self._proven)
        self._set(self._proven * (1.0 - STEP), now)
        if self._bucket is not None:  # the provider has nothing left: what was saved up is void
            self._bucket.level = min(self._bucket.level, 0.0)

    @property
    def known(self) -> EstimatorState:
        return EstimatorState(self.value, self._proven, *self._confidence.known, self.burst_s)

    @property
    def proven(self) -> float:
        """The rate that was measured last; 0 where none was."""
        return self._proven

    @property
    def probing(self) -> bool:
        """Whether more is offered than was measured."""
        return self.value is not None and self.value > self._proven

    @property
    def unconfirmed(self) -> bool:
        """Whether the rate was measured only once."""
        return self._confidence.known[1] == 0

    def reset(self, known: EstimatorState, now: float) -> None:
        """Return to what was known, also if that is nothing."""
        self.value, self._bucket = None, None
        self.restore(known, now)

    def restore(self, known: EstimatorState, now: float) -> None:
        """Go on with what another process knows."""
        self._proven, self.burst_s = known.proven or 0.0, known.burst_s
        self._confidence.restore(known)
        if known.value is not None:
            self._set(known.value, now)

    def plateau(self, whole: float) -> float:
        """The number of calls for which the value is held, at most ``whole``."""
        return self._confidence.plateau(whole, 0.0)

    def grow(self, calls: int, plateau: float, now: float, doubling_s: float = DOUBLING_S) -> None:
        """Go on along the curve: ``calls`` good answers, of which ``plateau`` are the plateau."""
        if self.value is not None and self._bucket is not None:
            grown = self._proven * growth(calls, plateau)
            far = self.value > 2.0 * self._proven
            if far:
                doubling_s = FAR_DOUBLING_S
            step = 0.02 if doubling_s == DOUBLING_S else 0.0
            highest = self.value * 2.0 ** ((now - self._bucket.at) / doubling_s + step)
            self._set(min(grown, highest), now)

    def hold_at(self, times: float, now: float) -> None:
        """Offer no more than that many times the proven rate."""
        if self.value is not None and self._bucket is not None:
            self._set(min(self.value, times * self._proven), now)
            self._bucket.level = min(self._bucket.level, 0.0)

    def wait_s(self, amount: float, now: float) -> float:
        return 0.0 if self._bucket is None else self._bucket.wait_s(amount, now)

    def take(self, amount: float) -> None:
        if self._bucket is not None:
            self._bucket.take(amount)

    def _set(self, value: float, now: float) -> None:
        self.value = value
        if self._bucket is None:
            self._bucket = TokenBucket(value, value * self.burst_s, 0.0, now)
        else:
            self._bucket.set_rate(value, value * self.burst_s, now)


class ConcurrencyEstimator:
    """Estimates the calls in flight that the provider accepts: slow start up to the first refusal,
    then the curve. Steps back if more calls in flight only wait longer."""

    def __init__(self, start: float, highest: float):
        self.restart(start, highest)

    def restart(self, value: float, highest: float) -> None:
        """Restart from a value that is used in full."""
        self.value = value
        self.highest = highest
        self.calls = 0  # good answers since the last change, while the width was used in full
        self._proven: float | None = None  # None in slow start
        self._confidence = Confidence()
        self._doubled_at = float("-inf")
        self._cap = 2.0 * value
        self._round_at: float | None = None
        self._round_calls = 0
        self._round_width = value
        self._best: tuple[float, float] | None = None  # (width, throughput) to compare with

    @property
    def known(self) -> EstimatorState:
        return EstimatorState(self.value, self._proven, *self._confidence.known)

    def restore(self, known: EstimatorState) -> None:
        """Go on with what another process knows."""
        self.restart(min(known.value or self.value, self.highest), self.highest)
        self._proven = known.proven
        self._confidence.restore(known)

    @property
    def proven(self) -> float | None:
        """The width that the provider refused more than; None where it did not."""
        return self._proven

    def hold(self, value: float) -> None:
        """The provider refused above ``value``."""
        self.value = self._proven = max(1.0, min(value, self.highest))
        self._confidence.found(self.value)
        self.calls = 0
        self._round_at, self._best = None, None

    def answered(self, plateau: float, latency_s: float, now: float) -> None:
        """A good answer while the width was used in full."""
        self.calls += 1
        if now - self._doubled_at >= DOUBLING_S:
            self._doubled_at, self._cap = now, 2.0 * self.value
        grown = self.value + 1.0
        if self._proven is not None:
            held = self._confidence.plateau(plateau, 2.0 * self._proven)
            grown = max(self._proven, self._proven * growth(self.calls, held))
            compared = self._best[0] if self._best else self._proven
            grown = min(grown, max(compared * SATURATED_AT, compared + 1.0))
        self.value = min(grown, self._cap, self.highest)
        self._compare(latency_s, now)

    def _compare(self, latency_s: float, now: float) -> None:
        """Did more calls in flight bring more answers per second?"""
        if self._round_at is None:
            self._round_at, self._round_calls = now, 0
            self._round_width = self.value
            return
        self._round_calls += 1
        took = now - self._round_at
        whole = self._round_calls >= max(ROUND_CALLS, 2 * self._round_width)
        if not whole or took < max(DOUBLING_S, 2 * latency_s):
            return
        throughput = self._round_calls / took
        self._round_at = None
        if self._best is None:
            self._best = self.value, throughput
            return
        width, best = self._best
        if self.value < max(SATURATED_AT * width, width + 1.0) - 1e-6:
            return
        if throughput < best * (1.0 + GAIN * (self.value / width - 1.0)):
            self.hold(width)
            self._best = width, max(best, throughput)
        else:
            self._best = self.value, throughput
