"""What calls at several rates show together: where the limit is, or that refusals are chance.

Chance refuses the same share at any rate. A limit refuses what is offered beyond it, and below it only what
chance refuses. A few calls say little of either, so those at earlier rates count, too, until the limit has
changed.
"""

import math
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

KEPT_CALLS = 500
KEPT_ROUNDS = 12  # the time to compare them grows with the cube of their number
CHANGED = 6.0  # two limits in turn make the refusals so much likelier than one (logarithm)
MOST_CHANCE = 0.5  # a larger share is no chance …
LEAST_REFUSED = 0.03  # share of calls that a limit refuses below it, and admits far above it
SHARES = (0.003, 0.01, 0.02, 0.03, 0.05)  # of calls that chance may refuse below a limit
PRIOR_CALLS, PRIOR_REFUSED = 200.0, 3.0  # before much is known of the share of chance


class Round(NamedTuple):
    """``refused`` of ``calls`` calls that were offered at ``per_s`` a second."""

    per_s: float
    calls: int
    refused: int


class RateHistory:
    """The rounds at rates that held."""

    def __init__(self) -> None:
        self._rounds: deque[Round] = deque(maxlen=KEPT_ROUNDS)

    def add(self, rounds: Iterable[Round]) -> None:
        """Rounds that were made after those known; the oldest are forgotten."""
        self._rounds.extend(one for one in rounds if one.calls > 0)
        calls = sum(one.calls for one in self._rounds)
        while self._rounds and calls - self._rounds[0].calls >= KEPT_CALLS:
            calls -= self._rounds.popleft().calls

    def clear(self) -> None:
        """The limit has changed."""
        self._rounds.clear()

    def share_with(self, rounds: Iterable[Round]) -> float:
        """The share of calls (0 to 1) that were refused at these rates and at those known."""
        every = [*self._rounds, *rounds]
        refused = sum(one.refused for one in every) + PRIOR_REFUSED
        return refused / (sum(one.calls for one in every) + PRIOR_CALLS)

    def limit_with(self, rounds: list[Round]) -> float | None:
        """The calls per second that a limit most likely allows, by these rounds and those known. None if
        the limit has changed between them."""
        limit, likely = _likeliest_limit([*self._rounds, *rounds])
        if self._rounds:
            _, likely_before = _likeliest_limit(list(self._rounds))
            _, likely_now = _likeliest_limit(rounds)
            if likely_before + likely_now - likely > CHANGED:
                return None
        return limit


def chance_over_limit(rounds: list[Round], least: float = LEAST_REFUSED) -> float:
    """The logarithm of how much likelier chance makes these refusals than the likeliest limit does.
    Chance refuses the same share at any rate, a limit what is offered beyond it, and the share ``least``
    below it."""
    calls = max(1, sum(one.calls for one in rounds))
    share = min(MOST_CHANCE, sum(one.refused for one in rounds) / calls)
    by_chance = sum(_likelihood(one, share, least) for one in rounds)
    return by_chance - max(_by_limit(rounds, limit, least) for limit in _limits(rounds))


def _likeliest_limit(rounds: list[Round]) -> tuple[float, float]:
    """(calls per second, the logarithm of how likely that limit makes the refusals). Where chance alone
    explains them best, it is the highest rate of all."""
    likely, limit = max(
        (_by_limit(rounds, limit, share), limit) for limit in _limits(rounds) for share in SHARES
    )
    return limit, likely


def _limits(rounds: list[Round]) -> set[float]:
    """The limits that may be."""
    admitted = {one.per_s * (1.0 - one.refused / max(1, one.calls)) for one in rounds}
    return admitted | {one.per_s for one in rounds}


def _by_limit(rounds: list[Round], limit: float, least: float) -> float:
    """The logarithm of how likely a limit makes these refusals."""
    return sum(_likelihood(one, 1.0 - limit / one.per_s, least) for one in rounds)


def _likelihood(one: Round, share: float, least: float) -> float:
    """The logarithm of the probability of its refusals, where that share of calls is refused."""
    share = min(max(share, least), 1.0 - least)
    return one.refused * math.log(share) + (one.calls - one.refused) * math.log(1.0 - share)
