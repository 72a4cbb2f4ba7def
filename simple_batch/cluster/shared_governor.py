"""A governor that admits calls only on its worker's share of a config's limits."""

from collections.abc import Callable

from ..core.domain import Cause
from ..engine.governor import Governor
from ..engine.learned_limits import Limits
from ..engine.limit_types import Cooldown, Ticket
from .shared_limits import SharedLimits

MIN_RATE_SHARE = 0.01  # of what may start in a minute, for waits that are computed from it


class SharedGovernor(Governor):
    """A Governor until ``share`` is called; then limited to the worker's share."""

    _shared: SharedLimits | None = None

    def share(self, wake: Callable[[], None]) -> SharedLimits:
        """Start calls only on a share of the limits from now on, at first on none. ``wake`` is
        called when a share is wanted, and when other workers have to hear of a refusal."""
        if not isinstance(self._limits, Limits):
            raise RuntimeError("the governor is shared already")
        self._shared = self._limits = SharedLimits(self._limits, wake)
        return self._shared

    @property
    def _share(self) -> SharedLimits:
        if self._shared is None:
            raise RuntimeError("call share() first")
        return self._shared

    @property
    def starved(self) -> bool:
        """Whether a call waits, or was held back since the last exchange."""
        return self._share.starved or bool(self._waiting)

    @property
    def max_per_s(self) -> float | None:
        """Calls per second that all workers together may start; None where no limit is known."""
        rpm, tpm = self._per_minute
        return self._share.max_per_s(rpm, tpm)

    def apply_share(self, rate_share_before: float) -> None:
        """Apply the changed share. ``rate_share_before`` is what it was of the calls per minute."""
        now, share = self._clock(), self._share.rate_share
        for bucket, amount in zip((self._requests, self._tokens), self._per_minute, strict=True):
            if bucket is not None and amount is not None and share > 0.0:
                bucket.set_rate(amount * share / 60, max(1.0, amount * share / 60), now)
                if not rate_share_before:
                    bucket.level = min(bucket.level, 0.0)  # other workers had it until now
        self._pump()

    def cool(self, cooldown: Cooldown) -> None:
        """Wait as long as another worker, which was refused."""
        self._cool_until(cooldown.until, cooldown.reason)

    def cool_all(self) -> None:
        """The calls of all workers together have reached a limit: start a cooldown, also for the
        others."""
        now = self._clock()
        if self.cooldown() is None:
            seconds = self._own_cooldown_s(now)
            self._share.cooled(seconds)
            self._cool_until(now + seconds, f"429 {Cause.RATE_LIMIT}")

    def ready(self) -> bool:
        return self._shared is None or self._shared.ready()

    def _ceilings_changed(self) -> None:
        if self._shared is None:
            self._pump()
        else:
            self.apply_share(0.0)

    def _call_ended(self, ticket: Ticket, now: float) -> None:
        if self._shared is not None:
            self._shared.ended(ticket, now)

    def _held_back(self) -> None:
        if self._shared is not None:
            self._shared.starved = True

    @property
    def _rate_share(self) -> float:
        return 1.0 if self._shared is None else max(MIN_RATE_SHARE, self._shared.rate_share)
