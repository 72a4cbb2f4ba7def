"""A governor that admits calls only on its worker's share of a config's limits."""

from collections.abc import Callable

from ..engine.governor import Governor
from ..engine.learned_limits import Cooldown, Ticket
from .shared_limits import SharedLimits

LEAST_PART = 0.01  # of what may start in a minute, for waits that are computed from it


class SharedGovernor(Governor):
    """A Governor until ``share`` is called; then limited to the worker's share."""

    _shared: SharedLimits | None = None

    def share(self, wake: Callable[[], None]) -> SharedLimits:
        """Start calls only on a share of the limits from now on, at first on none. ``wake`` is
        called when a share is wanted, and when other workers have to hear of a refusal."""
        self._shared = self._limits = SharedLimits(self._limits, wake)
        return self._shared

    @property
    def hungry(self) -> bool:
        """Whether a call waits, or was held back since the last exchange."""
        return self._shared.hungry or bool(self._waiting)

    @property
    def most_per_s(self) -> float | None:
        """Calls per second that all workers together may start; None where no limit is known."""
        rpm, tpm = self._per_minute
        return self._shared.most_per_s(rpm, tpm)

    def take_up(self, part_before: float) -> None:
        """The share has changed, from this part of what may start in a minute."""
        now, part = self._clock(), self._shared.part
        for bucket, amount in zip((self._requests, self._tokens), self._per_minute, strict=True):
            if bucket is not None and part > 0.0:
                bucket.set_rate(amount * part / 60, max(1.0, amount * part / 60), now)
                if not part_before:
                    bucket.level = min(bucket.level, 0.0)  # other workers had it until now
        self._pump()

    def cool(self, cooldown: Cooldown) -> None:
        """Wait as long as another worker, which was refused."""
        self._cool_until(cooldown.until, cooldown.reason)

    def ready(self) -> bool:
        return self._shared is None or self._shared.ready()

    def _ceilings_changed(self) -> None:
        if self._shared is None:
            self._pump()
        else:
            self.take_up(0.0)

    def _call_ended(self, ticket: Ticket, now: float) -> None:
        if self._shared is not None:
            self._shared.ended(ticket, now)

    def _held_back(self) -> None:
        if self._shared is not None:
            self._shared.hungry = True

    @property
    def _rate_share(self) -> float:
        return 1.0 if self._shared is None else max(LEAST_PART, self._shared.part)
