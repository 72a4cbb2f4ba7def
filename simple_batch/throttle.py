"""How often a password may be tried.

By address, and by name. The second would let a stranger keep somebody out by guessing at their
name; so it does not hold for an address from which that user has logged in before, and it is over
after a minute.
"""

import time

from limits import RateLimitItemPerHour, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from . import audit

BY_ADDRESS = (RateLimitItemPerMinute(10), RateLimitItemPerHour(60))
BY_NAME = (RateLimitItemPerMinute(20),)


class Throttle:
    """Counts in the memory of this process, which is the only one that serves."""

    def __init__(self):
        self._storage = MemoryStorage()
        self._limiter = FixedWindowRateLimiter(self._storage)

    def wait_s(self, name: str, address: str) -> int:
        """Count a try, before it is made; 0 where it may be, else how many seconds to wait."""
        refused = [key for key in _keys(name, address) if not self._limiter.hit(*key)]
        if not refused:
            return 0
        ends = max(self._limiter.get_window_stats(*key).reset_time for key in refused)
        return max(1, round(ends - time.time()))

    def give_back(self, name: str, address: str) -> None:
        """The try was a good one: those who know their passwords keep nobody waiting."""
        for limit, *key in _keys(name, address):
            if self._limiter.get_window_stats(limit, *key).remaining < limit.amount:
                self._storage.incr(limit.key_for(*key), limit.get_expiry(), amount=-1)

    def is_news(self, address: str) -> bool:
        """Whether a refusal of this address is worth a line in the audit log: one a minute is."""
        return self._limiter.hit(RateLimitItemPerMinute(1), "news", address)


def _keys(name: str, address: str) -> list[tuple]:
    keys = [(limit, "address", address) for limit in BY_ADDRESS]
    if not audit.known_address(name, address):
        keys += [(limit, "name", name) for limit in BY_NAME]
    return keys
