"""Tells whether too large a share of the calls is refused at a learned rate."""

from .refusal_evidence import evidence

AT_RATE_CALLS = 12  # at a learned rate fewer calls do not tell the share
AT_RATE_REFUSED = 3
AT_RATE_EVIDENCE = 3.2  # shows that it is too high …
USUAL_SHARE = 0.016  # … over this share
MANY_CALLS = 250
TOO_LARGE_SHARE = 0.015  # of that many calls are refused: the rate is a little too high …
TIMES_CHANCE = 1.6  # … if it is as many times what chance is known to bring


class RefusedShare:
    """``by_chance`` is the share of calls refused by chance (0 to 1), as far as a trial or the start
    showed. Calls are counted by their order."""

    def __init__(self) -> None:
        self.by_chance = 0.0
        self._since = 0  # the order of the last call before the rate that holds now
        self._refused = 0

    def restart(self, order: int) -> None:
        """Another rate holds for the calls after that one."""
        self._since, self._refused = order, 0

    def refused(self, order: int) -> tuple[int, int] | None:
        """A call was refused at the learned rate. Returns how many were refused and of how many calls,
        where chance does not explain it; else None."""
        calls = order - self._since
        if calls <= 0:
            return None
        self._refused += 1
        return (self._refused, calls) if self._are_too_many(calls) else None

    def _are_too_many(self, calls: int) -> bool:
        if calls >= MANY_CALLS:
            return self._refused / calls >= max(TOO_LARGE_SHARE, TIMES_CHANCE * self.by_chance)
        usual = max(USUAL_SHARE, self.by_chance)
        return (
            calls >= AT_RATE_CALLS
            and self._refused >= AT_RATE_REFUSED
            and evidence(self._refused, calls, usual) >= AT_RATE_EVIDENCE
        )
