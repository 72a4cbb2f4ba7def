"""How often a password may be tried.

By address, and by name. The second would let a stranger lock out a user by guessing at the name; so
it does not hold for an address from which that user has logged in before, and it is over after a
minute. Such a user has an hourly allowance apart from that of the address, which all behind one NAT
share: a bad client there uses up its own. A try that is refused before its password is checked
counts nowhere.
"""

import hashlib
import hmac
import logging
import time

import redis
from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.storage import MemoryStorage, RedisStorage, Storage
from limits.strategies import FixedWindowRateLimiter

from ..core import redis_client
from . import audit_log

log = logging.getLogger(__name__)

BY_ADDRESS = RateLimitItemPerMinute(10)
BY_ADDRESS_AN_HOUR = RateLimitItemPerHour(60)  # of those that are not known there
BY_PAIR_AN_HOUR = RateLimitItemPerHour(60)  # of a name known at an address
BY_NAME = RateLimitItemPerMinute(20)
AUDITED = RateLimitItemPerMinute(1)
AGAIN_S = 5.0  # pause before an unreachable Redis is tried again

Key = tuple[RateLimitItem, str, str]  # a limit, of what, of which one


class Throttle:
    """Counts in the memory of this process and, where processes share a Redis, for all of them there.
    While that is away each holds to what it has counted itself. ``secret`` hides in Redis which names
    were tried: a password may have been typed into the field of the name."""

    def __init__(self, secret: str, redis_url: str = ""):
        self._secret = secret.encode()
        self._own = _Counts(MemoryStorage())
        self._common: _Counts | None = None
        self._away_until = 0.0
        if redis_url:
            pool = redis_client.client(redis_url).connection_pool
            self._common = _Counts(RedisStorage("redis://", connection_pool=pool))

    def count_attempt(self, name: str, address: str) -> int:
        """Count a try, before it is made; 0 where it may be, else how many seconds to wait: then it
        does not count."""
        return self._ask("count", self._keys(name, address))

    def uncount(self, name: str, address: str) -> None:
        """Uncount a successful try: correct logins do not use up the limits."""
        self._ask("uncount", self._keys(name, address))

    def is_first_refusal(self, address: str) -> bool:
        """Whether a refusal of this address is worth a line in the audit log: one a minute is."""
        return self._ask("count", [(AUDITED, "news", address)]) == 0

    def _ask(self, what: str, keys: list[Key]) -> int:
        """The longer of what the counts of this process and those of all of them say."""
        own = getattr(self._own, what)(keys)
        if own or self._common is None or time.monotonic() < self._away_until:
            return own
        try:
            waits = getattr(self._common, what)(keys)
        except redis.RedisError as error:
            self._away_until = time.monotonic() + AGAIN_S
            log.warning("Redis is away, tries of passwords are counted here alone: %s", error)
            return own
        if waits:
            self._own.uncount(keys)
        return waits

    def _keys(self, name: str, address: str) -> list[Key]:
        by_minute = (BY_ADDRESS, "address", address)
        if audit_log.known_address(name, address):
            return [by_minute, (BY_PAIR_AN_HOUR, "pair", self._hidden(f"{name}\n{address}"))]
        keys = [by_minute, (BY_ADDRESS_AN_HOUR, "address", address)]
        if name:  # the link of the start has none
            keys.append((BY_NAME, "name", self._hidden(name)))
        return keys

    def _hidden(self, text: str) -> str:
        return hmac.new(
            self._secret, text.encode("utf-8", "surrogatepass"), hashlib.sha256
        ).hexdigest()


class _Counts:
    """Tries in one place."""

    def __init__(self, storage: Storage):
        self._storage = storage
        self._limiter = FixedWindowRateLimiter(storage)

    def count(self, keys: list[Key]) -> int:
        """Count a try; 0, or how many seconds until all of the limits allow one: then none of them
        has counted it. All count first, so that tries at the same moment cannot pass together."""
        refused = [key for key in keys if not self._limiter.hit(*key)]
        if not refused:
            return 0
        self.uncount(keys)
        ends = max(self._limiter.get_window_stats(*key).reset_time for key in refused)
        return max(1, round(ends - time.time()))

    def uncount(self, keys: list[Key]) -> int:
        for limit, *key in keys:
            if self._limiter.get_window_stats(limit, *key).remaining < limit.amount:
                self._storage.incr(limit.key_for(*key), limit.get_expiry(), amount=-1)
        return 0
