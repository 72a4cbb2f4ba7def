"""Limit leases: one worker's share of the limits of an API config, or of a job's concurrency ceiling.

``request`` builds the report to Redis, ``apply`` applies the reply (limit_protocol.py). Times are seconds
of the governor's clock.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import msgspec

from ..engine.limit_types import Cooldown, Learned
from ..engine.semaphore import ResizableSemaphore
from .limit_learner import LimitLearner
from .limit_protocol import (
    ConfigLeaseRequest,
    LeaseReply,
    LeaseRequest,
    ReleaseRequest,
    Request,
    SharedCooldown,
)
from .shared_governor import SharedGovernor
from .shared_limits import ALL, Report

EVERY_S = 0.15  # between two exchanges where there is something to report …
CALLS = 3  # … at least this many calls: a third of a command for each
SLOW_S = 2.0  # otherwise
SLOWER = 1.25  # backoff factor for each early exchange that changed nothing
URGENT_S = 0.03
REFUSED_S = 0.05  # between two exchanges that report refusals
LEARNER_S = 0.02  # the learner exchanges a little later than the workers that it learns from
LEAVE_S = 2.0  # a worker that is idle for this long gives up its share
LATE_S = 0.5  # later reports of a worker are learned from when they arrive
ASK_FIRST_S = 0.06  # after a cooldown one worker asks; the others wait until it would be refused
HEADROOM = 1.25  # over what one uses, where it has enough
USED_OVER_S = 2.0  # calls per second are averaged over
MORE = 1e9  # “as much as I can get”


class LimitLease(ABC):
    """``name`` is the key. ``wake`` is called when an exchange cannot wait."""

    def __init__(self, name: str, wake: Callable[[], None]):
        self.name = name
        self.leaving = False  # for good
        self._wake = wake
        self._wanted = False
        self._joined = False
        self._exchanged_at = 0.0  # of the last exchange, by Redis's clock …
        self._at = -math.inf  # … and by the governor's
        self._soon = 0  # how many replies in a row asked for an early exchange
        self._nudged_at: float | None = None
        self._active_at = math.inf
        self._given_back: LeaseReply | None = None  # the share, until Redis confirms its return

    @property
    def joined(self) -> bool:
        return self._joined

    def due_at(self) -> float:
        """Time of the next exchange; infinity if none is needed."""
        if not self._joined:
            wanted = self._wanted or self._starved or self._in_flight
            return self._at + URGENT_S if wanted else math.inf
        due = self._at + (EVERY_S if self._calls >= CALLS else SLOW_S)
        if self._soon:
            due = min(due, self._at + EVERY_S * SLOWER ** (self._soon - 1))
        if self._urgent:
            due = min(due, self._at + URGENT_S)
        elif self._soon_wanted:
            due = min(due, self._at + REFUSED_S)
        if self._nudged_at is not None:
            due = min(due, max(self._nudged_at, self._at + URGENT_S))
        return due

    def nudge(self, now: float) -> None:
        """Another worker has news."""
        if self._nudged_at is None:
            self._nudged_at = now

    def request(self, worker: str, now: float, away: bool) -> Request:
        """Build the report to Redis. While Redis is ``away``, no share is given up for good."""
        in_flight, starved = self._in_flight, self._starved
        if in_flight or starved or self._wanted:
            self._active_at = now
        self._wanted, self._nudged_at = False, None
        if self.leaving or (now - self._active_at > LEAVE_S and not away):
            # no call may start on the share while it is given back
            self._given_back = self._share
            self._set_share(LeaseReply(0, 0.0), now)
            return ReleaseRequest(name=self.name, leave=True, report=self._last_report(worker, now))
        wanted = MORE if starved else in_flight * HEADROOM + 1
        request = self._report(worker, in_flight, starved, wanted, now)
        self._at = now
        return request

    def apply(
        self, request: Request, reply: LeaseReply, server_now: float, now: float, offset: float
    ) -> None:
        """Apply the reply. ``offset`` is that of Redis's clock over the governor's."""
        self._at = now
        self._given_back = None
        self._joined = not isinstance(request, ReleaseRequest)
        self._exchanged_at = server_now if self._joined else 0.0
        self._soon = self._soon + 1 if reply.soon else 0
        self._set_clock(offset)
        self._set_share(reply, now)

    def lost(self, now: float) -> None:
        """The exchange failed: calls continue with the last share."""
        if self._given_back is not None and not self.leaving:
            self._set_share(self._given_back, now)
        self._given_back = None

    def _woken(self) -> None:
        if not self._joined:
            self._wanted = True
            self._wake()

    @property
    @abstractmethod
    def _in_flight(self) -> int:
        """Calls that run under the lease."""

    @property
    @abstractmethod
    def _starved(self) -> bool:
        """Whether a call waits for a share."""

    @property
    @abstractmethod
    def _share(self) -> LeaseReply:
        """The share in force."""

    @property
    def _calls(self) -> int:
        """Calls started since the last exchange, where they are reported."""
        return 0

    @property
    def _urgent(self) -> bool:
        """Whether something must be reported at once."""
        return False

    @property
    def _soon_wanted(self) -> bool:
        """Whether something should be reported without waiting for more."""
        return False

    @abstractmethod
    def _report(
        self, worker: str, in_flight: int, starved: bool, wanted: float, now: float
    ) -> LeaseRequest: ...

    def _last_report(self, worker: str, now: float) -> str | None:
        """Events not reported yet, when the share is given back."""
        return None

    def _set_clock(self, offset: float) -> None:  # noqa: B027
        """Hook for subclasses that report times."""

    @abstractmethod
    def _set_share(self, reply: LeaseReply, now: float) -> None: ...


class JobLimitLease(LimitLease):
    """A lease on a job's concurrency ceiling."""

    def __init__(self, name: str, slots: ResizableSemaphore, wake: Callable[[], None]):
        super().__init__(name, wake)
        self._slots = slots
        self._grant = 0
        slots.share(self._woken)

    @property
    def _in_flight(self) -> int:
        return self._slots.taken if self._slots.limit is not None else 0

    @property
    def _starved(self) -> bool:
        return self._slots.starved

    @property
    def _share(self) -> LeaseReply:
        return LeaseReply(self._grant, 0.0)

    def _report(
        self, worker: str, in_flight: int, starved: bool, wanted: float, now: float
    ) -> LeaseRequest:
        self._slots.starved = False
        return LeaseRequest(
            name=self.name,
            in_flight=in_flight,
            starved=starved,
            exchanged_at=self._exchanged_at,
            wanted=wanted,
            grant=self._grant,
            rate_share=0.0,
            wanted_rate_share=0.0,
            limit=self._slots.limit or ALL,
        )

    def _set_share(self, reply: LeaseReply, now: float) -> None:
        if reply.grant != self._grant:
            self._grant = reply.grant
            self._slots.grant(self._grant)


class ConfigLimitLease(LimitLease):
    """A lease on the limits of an API config. One of the workers learns for all."""

    def __init__(self, name: str, governor: SharedGovernor, wake: Callable[[], None]):
        super().__init__(name, wake)
        self._governor = governor
        self._shared = governor.share(self._woken)
        self._learns = False
        self._learner: LimitLearner | None = None  # where there are others
        self._version = 0
        self._published: Learned | None = None
        self._unpublished = False  # Redis does not know what was learned
        self._news = False
        self._calls_per_s = 0.0

    @property
    def _in_flight(self) -> int:
        return self._governor.in_flight

    @property
    def _starved(self) -> bool:
        return self._governor.starved

    @property
    def _share(self) -> LeaseReply:
        return LeaseReply(self._shared.grant, self._shared.rate_share)

    @property
    def _calls(self) -> int:
        return self._shared.starts

    @property
    def _urgent(self) -> bool:
        return self._news or (self._shared.refusal and not self._shared.alone)

    @property
    def _soon_wanted(self) -> bool:
        return self._shared.refused_here and not self._shared.alone

    def nudge(self, now: float) -> None:
        super().nudge(now + (LEARNER_S if self._learns else 0.0))

    def _woken(self) -> None:
        if self._joined and (self._shared.refusal or self._shared.refused_here):
            self._wake()
        super()._woken()

    def _report(
        self, worker: str, in_flight: int, starved: bool, wanted: float, now: float
    ) -> ConfigLeaseRequest:
        shared = self._shared
        refused = shared.refused_here and not shared.alone
        request = ConfigLeaseRequest(
            name=self.name,
            in_flight=in_flight,
            starved=starved,
            exchanged_at=self._exchanged_at,
            wanted=wanted,
            grant=shared.grant,
            rate_share=shared.rate_share,
            wanted_rate_share=self._wanted_rate_share(starved, now),
            limit=shared.limits.concurrency,
            ceiling=int(shared.width.highest),
            learns=self._learns,
            report=self._events(worker, now),
            cooldown=self._new_cooldown(),
            version=self._version,
            news=self._news,
            refused=refused,
        )
        self._publish_learned(request)
        return request

    def _publish_learned(self, request: ConfigLeaseRequest) -> None:
        learned = self._shared.limits.learned
        if self._learns and learned != self._published:
            self._published = learned
            self._version = request.version = self._version + 1
            self._unpublished = True
        if self._unpublished:
            request.learned = _to_shared(learned, self._shared.offset)
        self._unpublished = self._news = False

    def _wanted_rate_share(self, starved: bool, now: float) -> float:
        shared = self._shared
        took = max(1e-3, min(USED_OVER_S, now - self._at))
        self._calls_per_s += took / USED_OVER_S * (shared.starts / took - self._calls_per_s)
        shared.starts = 0
        limit_per_s = self._governor.max_per_s
        if starved or limit_per_s is None:
            return MORE
        return HEADROOM * self._calls_per_s / limit_per_s + 0.02

    def _events(self, worker: str, now: float) -> str | None:
        """The events since the last report: learned from here, or to be sent to the learner."""
        shared = self._shared
        report = shared.report(worker, self._in_flight, now)
        shared.starved = shared.refused_here = False
        if self._learner is not None:
            self._learner.add(report, shared.offset)
        elif not shared.alone:
            return msgspec.json.encode(report).decode()
        return None

    def _last_report(self, worker: str, now: float) -> str | None:
        self._stop_learning()
        self._learns = False
        return self._events(worker, now)

    def _new_cooldown(self) -> SharedCooldown | None:
        """A cooldown that began here since the last exchange."""
        shared = self._shared
        cooldown = self._governor.cooldown() if shared.refusal else None
        shared.refusal = False
        if cooldown is None:
            return None
        return SharedCooldown(
            until=cooldown.until + shared.offset,
            reason=cooldown.reason,
            ask_s=cooldown.ask_s,
            cut=self._at + shared.offset,
        )

    def _set_clock(self, offset: float) -> None:
        self._shared.offset = offset

    def _set_share(self, reply: LeaseReply, now: float) -> None:
        shared = self._shared
        if reply.learned is not None:
            self._version = reply.version
            learned = _from_shared(reply.learned, shared.offset)
            shared.limits.restore(learned, now)
            shared.few_elsewhere = learned.few
            shared.update_buckets(now)
        self._unpublished = reply.publish
        if self._unpublished:
            self._soon += 1
        if reply.cooldown is not None:
            self._cool(reply.cooldown, now)
        self._learn(reply, now)
        if (reply.grant, reply.rate_share) != (shared.grant, shared.rate_share):
            before = shared.rate_share
            shared.set_share(reply.grant, reply.rate_share, now)
            self._governor.apply_share(before)

    def _cool(self, cooldown: SharedCooldown, now: float) -> None:
        shared = self._shared
        if cooldown.own:
            return
        until = cooldown.until - shared.offset + cooldown.ask_s + ASK_FIRST_S
        self._governor.cool(Cooldown(until, cooldown.reason, cooldown.ask_s))

    def _learn(self, reply: LeaseReply, now: float) -> None:
        self._learns = reply.learns
        if not self._learns:
            self._stop_learning()
            return
        alone = reply.grant >= ALL
        if self._learner is None:
            if alone and not reply.reports:
                return
            self._learner = LimitLearner(self._shared.limits)
        learner, offset = self._learner, self._shared.offset
        for report in reply.reports:
            learner.add(msgspec.json.decode(report, type=Report), offset)
        learner.forget(learner.workers - set(reply.workers))
        until = math.inf if alone else max(reply.reported_until - offset, now - LATE_S)
        self._news = learner.learn(until, now)
        if learner.limit_reached:
            self._governor.cool_all()
        if learner.refusal_pending:
            self.nudge(now)
        self._shared.update_buckets(now)
        if alone:
            self._stop_learning()

    def _stop_learning(self) -> None:
        if self._learner is not None:
            self._learner.close()
        self._learner = None


def _to_shared(learned: Learned, offset: float) -> str:
    """As JSON, with times of the shared clock, which is ``offset`` seconds over this one."""
    if learned.opens_at is not None:
        learned = msgspec.structs.replace(learned, opens_at=learned.opens_at + offset)
    return msgspec.json.encode(learned).decode()


def _from_shared(learned: str, offset: float) -> Learned:
    found = msgspec.json.decode(learned, type=Learned)
    if found.opens_at is None:
        return found
    return msgspec.structs.replace(found, opens_at=found.opens_at - offset)
