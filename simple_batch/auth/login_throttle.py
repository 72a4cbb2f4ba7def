"""Login throttle: limits how often passwords may be tried, by address and by name.

The limit by name would let a stranger lock out a user by guessing; so it does not hold for an address
from which that user has logged in before, and it is over after a minute. Such a user has an hourly
allowance apart from that of the address, which all behind one NAT share: a bad client there uses up its
own. An attempt that is refused before its password is checked counts nowhere, nor does a successful one.

Flask-Limiter cannot do both: it counts refused attempts against the limits it checked first, or, with
``deduct_when``, counts only after the response, so that any number of attempts at once pass.
"""

import hashlib
import hmac
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.storage import MemoryStorage, RedisStorage, Storage
from limits.strategies import FixedWindowRateLimiter

from ..core import extras, redis_client
from . import audit_log

if TYPE_CHECKING:
    import redis
else:
    redis = extras.Later("redis")

log = logging.getLogger(__name__)

BY_ADDRESS = RateLimitItemPerMinute(10)
BY_ADDRESS_AN_HOUR = RateLimitItemPerHour(60)  # for names that have not logged in from there
BY_PAIR_AN_HOUR = RateLimitItemPerHour(60)  # for a name that has
BY_NAME = RateLimitItemPerMinute(20)
AUDITED = RateLimitItemPerMinute(1)  # refusals of an address that go into the audit log
REDIS_RETRY_S = 5.0


class Counter(NamedTuple):
    """A limit and what it applies to; ``kind`` and ``value`` name the counter in the storage."""

    limit: RateLimitItem
    kind: str
    value: str


class Throttle:
    """Counts attempts in the memory of this process and, where processes share a Redis, there for all
    of them. While Redis is unreachable each process holds to its own counts. ``secret`` hides in Redis
    which names were tried: a password may have been typed into the field of the name."""

    def __init__(self, secret: str, redis_url: str = ""):
        self._secret = secret.encode()
        self._own = _Counters(MemoryStorage())
        self._shared: _Counters | None = None
        self._retry_at = 0.0
        if redis_url:
            pool = redis_client.client(redis_url).connection_pool
            self._shared = _Counters(RedisStorage("redis://", connection_pool=pool))

    def count_attempt(self, name: str, address: str) -> int:
        """Count an attempt before it is made. Returns 0 if it is allowed, else the seconds to wait: a
        refused attempt is not counted."""
        return self._count(self._counters(name, address))

    def uncount(self, name: str, address: str) -> None:
        """Uncount a successful attempt: correct logins do not use up the limits."""
        counters = self._counters(name, address)
        self._own.uncount(counters)
        self._with_redis(lambda shared: shared.uncount(counters))

    def is_first_refusal(self, address: str) -> bool:
        """Whether this is the first refusal of the address within a minute."""
        return self._count([Counter(AUDITED, "news", address)]) == 0

    def _count(self, counters: list[Counter]) -> int:
        wait_s = self._own.count(counters)
        if wait_s:
            return wait_s
        wait_s = self._with_redis(lambda shared: shared.count(counters))
        if wait_s:
            self._own.uncount(counters)
        return wait_s

    def _with_redis(self, work: Callable[["_Counters"], int]) -> int:
        """``work`` on the shared counters; 0 where there are none or Redis is unreachable."""
        if self._shared is None or time.monotonic() < self._retry_at:
            return 0
        try:
            return work(self._shared)
        except redis.RedisError as error:
            self._retry_at = time.monotonic() + REDIS_RETRY_S
            log.warning("Redis is away, tries of passwords are counted here alone: %s", error)
            return 0

    def _counters(self, name: str, address: str) -> list[Counter]:
        by_minute = Counter(BY_ADDRESS, "address", address)
        if audit_log.known_address(name, address):
            pair = self._hidden(f"{name}\n{address}")
            return [by_minute, Counter(BY_PAIR_AN_HOUR, "pair", pair)]
        counters = [by_minute, Counter(BY_ADDRESS_AN_HOUR, "address", address)]
        if name:  # the login link has none
            counters.append(Counter(BY_NAME, "name", self._hidden(name)))
        return counters

    def _hidden(self, text: str) -> str:
        encoded = text.encode("utf-8", "surrogatepass")
        return hmac.new(self._secret, encoded, hashlib.sha256).hexdigest()


class _Counters:
    """The counters of one storage."""

    def __init__(self, storage: Storage):
        self._storage = storage
        self._limiter = FixedWindowRateLimiter(storage)

    def count(self, counters: list[Counter]) -> int:
        """Count an attempt. Returns 0, or the seconds until all limits allow one: then none has counted
        it. All count first, so that attempts at the same moment cannot pass together."""
        refused = [one for one in counters if not self._limiter.hit(*one)]
        if not refused:
            return 0
        self.uncount(counters)
        ends = max(self._limiter.get_window_stats(*one).reset_time for one in refused)
        return max(1, round(ends - time.time()))

    def uncount(self, counters: list[Counter]) -> int:
        for limit, *names in counters:
            if self._limiter.get_window_stats(limit, *names).remaining < limit.amount:
                self._storage.incr(limit.key_for(*names), limit.get_expiry(), amount=-1)
        return 0
