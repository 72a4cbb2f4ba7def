"""Spend caps while jobs run: of a job, and of an API config by the day and by the month.

The process that makes the calls counts each cost as its answer comes, before it is
committed. It starts from the spend that the database holds.
"""

import math
import time
from collections.abc import Callable
from typing import Protocol

from ..core import time_windows
from ..core.call_prices import Prices, in_units
from ..core.clock import now_ms
from ..core.domain import Service
from ..core.messages import translatable
from ..engine.breaker import PauseReason
from ..engine.classify import Classification
from ..engine.limiters import SpendGuard
from ..engine.spend_limit import RECENT, Cap, CapReached, SpendLimit
from ..store import spend_leases, spending
from ..store.models import ApiConfig, Job

SPEND_CAP = "spend_cap"  # a job paused for this goes on by itself once there is room
UNKNOWN = "spend_unknown"  # paused since what an answer cost cannot be told
_UNKNOWN_COST = PauseReason(
    UNKNOWN,
    translatable(
        "An answer came without token counts or prices that tell what it cost in the "
        "currency of the spend cap: the cap cannot be kept. Resume to go on without "
        "counting such answers, or remove the cap first."
    ),
)


class JobSpendLimit(SpendLimit):
    """Spend limit of one job with ``per_call`` requests in a call."""

    def __init__(self, job: Job, per_call: int = 1):
        self._job_id = job.id
        self._currency = job.currency
        self.unknown = False  # the cost of a call of this run is unknown
        calls = job.attempts / per_call  # answers that were shared or reused cost nothing
        cap = Cap(job.spend_cap, job.cost_nano)
        if job.service != Service.NOW:
            cap.reserved = spend_leases.reserved(self.account())
        # as if they had run at the dearest hour and tier, and by themselves
        cost = job.cost_nano + job.saved_tier_nano + job.saved_hours_nano + job.saved_batch_nano
        super().__init__(
            {"job": cap}, self._why, cost / max(1, calls), min(math.ceil(calls), RECENT)
        )

    def account(self) -> spend_leases.Account:
        """The account from which workers lease this spend."""
        return spend_leases.Account(spend_leases.JOB, self._job_id)

    def _why(self, _name: str, cap: Cap) -> PauseReason:
        limit, spent = (in_units(sum_ or 0, self._currency) for sum_ in (cap.limit, cap.spent))
        return PauseReason(
            SPEND_CAP,
            translatable(
                "The job's spend cap of %(most)s is reached: %(spent)s spent. It goes on when "
                "you raise or remove the cap on its Settings tab.",
                most=limit,
                spent=spent,
            ),
        )


class ConfigSpendLimit(SpendLimit):
    """Spend limit of an API config for all jobs together, by day and month in time zone ``zone``
    (empty: UTC)."""

    def __init__(self, config: ApiConfig, zone: str):
        self._zone = zone
        self._periods = time_windows.at(time.time(), zone)
        super().__init__({"day": Cap(None, 0), "month": Cap(None, 0)}, self._why)
        self._currency = ""
        self.renew(config)

    def renew(self, config: ApiConfig) -> None:
        """Take up an edited config."""
        self._config_id, self._alias = config.id, config.alias
        if config.currency != self._currency:
            self._currency = config.currency
            self._tried = self._read_tried()
            for name, cap in self.caps.items():
                cap.spent = sum(self._since(name))
            self.reserve(spend_leases.reserved(self.account()))
        self.set_limits(day=config.day_cap, month=config.month_cap)

    def refresh(self) -> None:
        """Take up what rows tried before a launch, perhaps in another process, have cost."""
        if not self.bounded:
            return
        self._roll()
        self.reserve(spend_leases.reserved(self.account()))
        if self.block is not None:  # a block's answers tell all that is spent
            return
        tried = self._read_tried()
        for name, cap in self.caps.items():
            cap.spent += tried[name] - self._tried[name]
        self._tried = tried

    def account(self) -> spend_leases.Account:
        """The account from which workers lease this spend today."""
        self._roll()
        days = self._periods.day, self._periods.month
        return spend_leases.Account(spend_leases.CONFIG, self._config_id, self._currency, *days)

    def reached(self) -> PauseReason | None:
        self._roll()
        return super().reached()

    def settle(self, cost: int | None, dearest: int | None = None) -> None:
        self._roll()
        super().settle(cost, dearest)

    def _roll(self) -> None:
        """Begin a new day or month when it is time."""
        now = time.time()
        if now < self._periods.day_ends:
            return
        former, self._periods = self._periods, time_windows.at(now, self._zone)
        self._begin("day")
        if former.month != self._periods.month:
            self._begin("month")

    def _begin(self, name: str) -> None:
        self.caps[name].spent = self._tried[name] = 0

    def _since(self, name: str) -> tuple[int, int]:
        return spending.since(self._config_id, self._currency, getattr(self._periods, name))

    def _read_tried(self) -> dict[str, int]:
        return {name: self._since(name)[1] for name in self.caps}

    def _why(self, name: str, cap: Cap) -> PauseReason:
        limit, spent = (in_units(sum_ or 0, self._currency) for sum_ in (cap.limit, cap.spent))
        which, when = (translatable("daily"), translatable("tomorrow"))
        if name != "day":
            which, when = translatable("monthly"), translatable("next month")
        return PauseReason(
            SPEND_CAP,
            translatable(
                "The %(which)s spend cap of %(most)s of the connection “%(alias)s” is reached: "
                "%(spent)s spent. The job goes on %(when)s (%(zone)s), or when you raise or "
                "remove that cap.",
                which=which,
                most=limit,
                alias=self._alias,
                spent=spent,
                when=when,
                zone=self._zone or "UTC",
            ),
            self._config_id,
        )


class ChargedProvider(Protocol):
    """What the spend guard needs of a provider."""

    spend_limit: ConfigSpendLimit
    prices: Prices


class JobSpendGuard(SpendGuard):
    """Spend guard of a job's calls on one provider: charges the job's and the config's spend limits.
    ``ready()`` blocks while no call may start for a reason other than spend."""

    def __init__(
        self,
        job_limit: JobSpendLimit,
        provider: ChargedProvider,
        currency: str,
        ready: Callable[[], None] | None = None,
    ):
        self._job_limit = job_limit
        self._provider = provider
        self._job_currency = currency
        self._unknown = False
        self._ready = ready or (lambda: None)

    def acquire(self) -> None:
        self._ready()
        self._check_unknown()
        self._job_limit.acquire()
        try:
            self._provider.spend_limit.acquire()
        except BaseException:
            self._job_limit.settle(None)
            raise

    def check(self) -> None:
        self._ready()
        self._job_limit.check()
        self._provider.spend_limit.check()
        self._check_unknown()

    def ready(self) -> bool:
        try:
            self.check()
        except CapReached:
            return True  # what stops the job is found where a call is to start
        return all([self._job_limit.ready(), self._provider.spend_limit.ready()])

    def _check_unknown(self) -> None:
        in_job = self._job_limit.unknown and self._job_limit.bounded
        if in_job or (self._unknown and self._provider.spend_limit.bounded):
            raise CapReached(_UNKNOWN_COST)

    def affords(self) -> bool:
        """Whether the caps leave enough for a call at the standard tier."""
        return self._job_limit.affords() and self._provider.spend_limit.affords()

    def settle(self, finding: Classification | None, latency_ms: int = 0) -> None:
        usage = finding.usage if finding is not None else None
        tier = finding.service_tier if finding is not None else None
        prices, now = self._provider.prices, now_ms()
        cost = prices.cost_of(usage, now, tier, now - latency_ms)
        dearest = None if usage is None else prices.dearest(usage, tier)
        in_job = cost if prices.currency == self._job_currency else None
        self._job_limit.settle(in_job, dearest)
        self._provider.spend_limit.settle(cost, dearest)
        if finding is not None and (finding.cause is None or usage is not None):
            self._job_limit.unknown |= in_job is None
            self._unknown |= cost is None


class SpendLimits:
    """Tracks the spend caps of a single process. Running totals live in memory."""

    def __init__(self, zone: str):
        self._zone = zone

    def job_limit(self, job: Job, per_call: int = 1) -> JobSpendLimit:
        """Spend limit for one run of the job."""
        return JobSpendLimit(job, per_call)

    def config_limit(self, config: ApiConfig) -> ConfigSpendLimit:
        """Spend limit for the provider of the config."""
        return ConfigSpendLimit(config, self._zone)

    def has_room(self, spend_limit: JobSpendLimit | ConfigSpendLimit, needed: int = 0) -> bool:
        """Whether a job that was paused at these caps can go on; ``needed`` (nano-units) is what they must
        leave."""
        return spend_limit.lacking(needed) is None


def held(job: Job, zone: str) -> PauseReason | None:
    """Why a job paused at a spend cap cannot go on yet, as the database has it; None where it
    can."""
    if job.status_reason != SPEND_CAP:
        return None
    if job.capped_by is None:
        return JobSpendLimit(job).lacking(job.spend_needed)
    config = ApiConfig.get_or_none(ApiConfig.id == job.capped_by)
    return ConfigSpendLimit(config, zone).lacking(job.spend_needed) if config is not None else None
