"""Limit leases: one worker's share of the limits of an API config, or of a job's concurrency ceiling.

``ask`` builds the report to Redis, ``take`` applies the reply. The field names are those of
limit_coordinator.lua. Times are seconds of the governor's clock.
"""

import math
from collections.abc import Callable

import msgspec

from ..engine.learned_limits import Cooldown, Learned
from ..engine.semaphore import ResizableSemaphore
from .limit_learner import LimitLearner
from .shared_governor import SharedGovernor
from .shared_limits import ALL, Report

EVERY_S = 0.15  # between two exchanges where there is something to tell …
CALLS = 3  # … at least this many calls: a third of a command for each
SLOW_S = 2.0  # otherwise
SLOWER = 1.25  # backoff factor for each early exchange that changed nothing
URGENT_S = 0.03
LEARNER_S = 0.02  # the learner exchanges a little later than the workers that it learns from
LEAVE_S = 2.0  # a worker that is idle for this long gives up its share
LATE_S = 0.5  # later reports of a worker are learned from when they arrive
ASK_FIRST_S = 0.06  # after a cooldown one worker asks; the others wait until it would be refused
HEADROOM = 1.25  # over what one uses, where it has enough
USED_OVER_S = 2.0  # calls per second are averaged over
MORE = 1e9  # “as much as I can get”


class LimitLease:
    """``name`` is the key. ``wake`` is called when an exchange cannot wait. Subclasses define the calls in
    flight (``_busy``), whether calls wait (``_hungry``) and the share (``_share``)."""

    _urgent = False
    _calls = 0  # started since the last exchange, where it is reported

    def __init__(self, name: str, wake: Callable[[], None]):
        self.name = name
        self.leaving = False  # for good
        self._wake = wake
        self._wanted = False
        self._joined = False
        self._last = 0.0  # by Redis's clock
        self._at = -math.inf  # of the last exchange
        self._soon = 0  # how often it was told to come again soon, in a row
        self._nudged_at: float | None = None
        self._active_at = math.inf
        self._given_back: dict | None = None  # not heard yet whether it has arrived

    @property
    def joined(self) -> bool:
        return self._joined

    def due_at(self) -> float:
        """Time of the next exchange; infinity if none is needed."""
        if not self._joined:
            wanted = self._wanted or self._hungry or self._busy
            return self._at + URGENT_S if wanted else math.inf
        due = self._at + (EVERY_S if self._calls >= CALLS else SLOW_S)
        if self._soon:
            due = min(due, self._at + EVERY_S * SLOWER ** (self._soon - 1))
        if self._urgent:
            due = min(due, self._at + URGENT_S)
        if self._nudged_at is not None:
            due = min(due, max(self._nudged_at, self._at + URGENT_S))
        return due

    def nudge(self, now: float) -> None:
        """Another worker has news."""
        if self._nudged_at is None:
            self._nudged_at = now

    def ask(self, worker: str, now: float, away: bool) -> dict:
        """Build the report to Redis. While Redis is ``away``, no share is given up for good."""
        busy, hungry = self._busy, self._hungry
        if busy or hungry or self._wanted:
            self._active_at = now
        self._wanted, self._nudged_at = False, None
        if self.leaving or (now - self._active_at > LEAVE_S and not away):
            # not a call may start on it while it is given back
            self._given_back = self._share
            self._take({"grant": 0, "part": 0.0}, now)
            return {"name": self.name, "leave": True, **self._farewell(worker, now)}
        asked = {
            "name": self.name,
            "busy": busy,
            "hungry": hungry,
            "last": self._last,
            "want": MORE if hungry else busy * HEADROOM + 1,
            **self._asked(worker, hungry, now),
        }
        self._at = now
        return asked

    def take(self, asked: dict, reply: dict, server_now: float, now: float, offset: float) -> None:
        """Apply the reply. ``offset`` is that of Redis's clock over the governor's."""
        self._at = now
        self._given_back = None
        self._joined = "leave" not in asked
        self._last = server_now if self._joined else 0.0
        self._soon = self._soon + 1 if "soon" in reply else 0
        self._set_clock(offset)
        self._take(reply, now)

    def lost(self, now: float) -> None:
        """The exchange failed: calls continue with the last share."""
        if self._given_back is not None and not self.leaving:
            self._take(self._given_back, now)
        self._given_back = None

    def _set_clock(self, offset: float) -> None:
        """Hook for subclasses that report times."""

    def _woken(self) -> None:
        if not self._joined:
            self._wanted = True
            self._wake()


class JobLimitLease(LimitLease):
    """A lease on a job's concurrency ceiling."""

    def __init__(self, name: str, slots: ResizableSemaphore, wake: Callable[[], None]):
        super().__init__(name, wake)
        self._slots = slots
        self._grant = 0
        slots.share(self._woken)

    @property
    def _busy(self) -> int:
        return self._slots.taken if self._slots.limit is not None else 0

    @property
    def _hungry(self) -> bool:
        return self._slots.starved

    @property
    def _share(self) -> dict:
        return {"grant": self._grant, "part": 0.0}

    def _asked(self, worker: str, hungry: bool, now: float) -> dict:
        self._slots.starved = False
        part = {"had": self._grant, "part": 0.0, "want_part": 0.0}
        return {**part, "total": self._slots.limit or ALL}

    def _farewell(self, worker: str, now: float) -> dict:
        return {}

    def _take(self, reply: dict, now: float) -> None:
        if reply["grant"] != self._grant:
            self._grant = reply["grant"]
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
        self._tell = False  # Redis does not know what was learned
        self._news = False
        self._used = 0.0  # calls per second

    def _set_clock(self, offset: float) -> None:
        self._shared.offset = offset

    @property
    def _busy(self) -> int:
        return self._governor.in_flight

    @property
    def _hungry(self) -> bool:
        return self._governor.hungry

    @property
    def _urgent(self) -> bool:
        return self._news or (self._shared.refusal and not self._shared.alone)

    @property
    def _calls(self) -> int:
        return self._shared.starts

    @property
    def _share(self) -> dict:
        return {"grant": self._shared.grant, "part": self._shared.part}

    def nudge(self, now: float) -> None:
        super().nudge(now + (LEARNER_S if self._learns else 0.0))

    def _woken(self) -> None:
        if self._joined and self._shared.refusal:
            self._wake()
        super()._woken()

    def _asked(self, worker: str, hungry: bool, now: float) -> dict:
        shared = self._shared
        asked = {
            "had": shared.grant,
            "part": shared.part,
            "want_part": self._wanted_part(hungry, now),
            "total": shared.limits.concurrency,
            "ceiling": int(shared.width.highest),
            "learns": self._learns,
            **self._reported(worker, now),
            **self._cooldown(),
        }
        asked["version"] = self._version
        if self._learns and shared.limits.learned != self._published:
            self._published = shared.limits.learned
            self._version = asked["version"] = self._version + 1
            self._tell = True
        asked["news"] = self._news
        if self._tell:
            asked["learned"] = msgspec.json.encode(shared.limits.learned).decode()
        self._tell = self._news = False
        return asked

    def _wanted_part(self, hungry: bool, now: float) -> float:
        shared = self._shared
        took = max(1e-3, min(USED_OVER_S, now - self._at))
        self._used += took / USED_OVER_S * (shared.starts / took - self._used)
        shared.starts = 0
        most = self._governor.most_per_s
        if hungry or most is None:
            return MORE
        return HEADROOM * self._used / most + 0.02

    def _reported(self, worker: str, now: float) -> dict:
        shared = self._shared
        report = shared.report(worker, self._busy, now)
        shared.hungry = False
        if self._learner is not None:
            self._learner.hear(report, shared.offset)
        elif not shared.alone:
            return {"report": msgspec.json.encode(report).decode()}
        return {}

    def _farewell(self, worker: str, now: float) -> dict:
        self._learner, self._learns = None, False
        return self._reported(worker, now)

    def _cooldown(self) -> dict:
        shared = self._shared
        cooldown = self._governor.cooldown() if shared.refusal else None
        shared.refusal = False
        if cooldown is None:
            return {}
        until = cooldown.until + shared.offset
        told = {"until": until, "reason": cooldown.reason, "ask_s": cooldown.ask_s}
        return {"cool": {**told, "cut": shared.cut}}

    def _take(self, reply: dict, now: float) -> None:
        shared = self._shared
        if "learned" in reply:
            self._version = reply["version"]
            shared.limits.restore(msgspec.json.decode(reply["learned"], type=Learned), now)
            shared.follow(now)
        self._tell = reply.get("tell", False)
        if self._tell:
            self._soon += 1
        if "cool" in reply:
            self._cool(reply["cool"], now)
        self._learn(reply, now)
        if (reply["grant"], reply["part"]) != (shared.grant, shared.part):
            before = shared.part
            shared.take(reply["grant"], reply["part"], now)
            self._governor.take_up(before)

    def _cool(self, cool: dict, now: float) -> None:
        shared = self._shared
        if cool["own"]:
            return
        if cool["cut"] > shared.cut:
            shared.heard(cool["cut"], now)
        until = cool["until"] - shared.offset + cool["ask_s"] + ASK_FIRST_S
        self._governor.cool(Cooldown(until, cool["reason"], cool["ask_s"]))

    def _learn(self, reply: dict, now: float) -> None:
        self._learns = reply.get("learns", False)
        if not self._learns:
            self._learner = None
            return
        alone = reply["grant"] >= ALL
        if self._learner is None:
            if alone and "log" not in reply:
                return
            self._learner = LimitLearner(self._shared.limits)
        learner, offset = self._learner, self._shared.offset
        for report in reply.get("log", ()):
            learner.hear(msgspec.json.decode(report, type=Report), offset)
        learner.forget(learner.workers - set(reply["workers"]))
        until = math.inf if alone else max(reply["heard"] - offset, now - LATE_S)
        self._news = learner.learn(until)
        if learner.waits:
            self._soon += 1
        self._shared.follow(now)
        if alone:
            self._learner = None
