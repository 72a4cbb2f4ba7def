"""The limiters that each call has to pass before it may start, in one fixed order."""

from collections.abc import Callable
from typing import Protocol

import msgspec

from .answer_memory import Answers
from .classify import Classification
from .governor import Flow, Governor
from .limit_types import Ticket
from .semaphore import ResizableSemaphore


class Permit(msgspec.Struct):
    """Lets a call with a body of ``size`` bytes start; to be settled when the call has ended."""

    size: int
    ticket: Ticket | None = None  # the governor's


class Dismissed(Exception):
    """The call was dismissed while it waited: it may not start."""


class Limiter(Protocol):
    """One condition for the start of a call."""

    def acquire(self, permit: Permit) -> None:
        """Block until the call may start. Raises CapReached, or Dismissed."""

    def settle(self, permit: Permit, finding: Classification | None, latency_ms: int) -> None:
        """Release what was acquired. ``finding`` is None if the call was given up, or did not start."""

    def ready(self) -> bool:
        """Returns False if this process lacks a shared resource that a call needs. It then asks for
        it."""
        return True


class SpendGuard(Protocol):
    """Checked before each call, charged after it."""

    def acquire(self) -> None:
        """Block until a call may start. Raises CapReached."""

    def check(self) -> None:
        """Raises CapReached if no call may start now."""

    def ready(self) -> bool:
        """Returns False if there is no spend left for a call now, though no cap is reached; it then
        asks for more."""

    def settle(self, finding: Classification | None, latency_ms: int) -> None:
        """The call has ended. ``finding`` is None if it was given up."""


class Limiters:
    """Limits the calls of one job on one provider. ``slots`` limits the calls of the job over all its
    providers, ``worker_slots`` those of the process over all its jobs; ``flow`` is the job's in the
    governor, which the jobs on a provider share."""

    def __init__(
        self,
        governor: Governor,
        flow: Flow,
        slots: ResizableSemaphore,
        worker_slots: ResizableSemaphore | None = None,
        spend: SpendGuard | None = None,
        answers: Answers | None = None,
    ):
        self._governor = governor
        self._flow = flow
        order = (
            # memory for the answer, first: a call that waits for it must hold nothing that others need
            _Check(answers.wait_for_room) if answers is not None else None,
            # the job's own concurrency: it delays no other job
            _Slots(slots),
            # spend caps, before the governor: what that admits has to start at once
            _Spend(spend) if spend is not None else None,
            # concurrency and rates of the API config, which the jobs on it share fairly
            _RateLimits(governor, flow),
            # concurrency of the worker, last: a call that waits for its endpoint must not use a shared slot
            _Slots(worker_slots) if worker_slots is not None else None,
            # spend caps once more: calls were charged while this one waited
            _Check(spend.check) if spend is not None else None,
        )
        self._order: tuple[Limiter, ...] = tuple(one for one in order if one is not None)
        self._release_order = self._order[::-1]

    @property
    def limit(self) -> int:
        """Calls that the governor allows at a time now, here."""
        return self._governor.limit

    def acquire(self, size: int) -> Permit:
        """Block until a call with a body of ``size`` bytes may start. Raises CapReached, or Dismissed."""
        permit = Permit(size)
        passed = 0
        try:
            for limiter in self._order:
                limiter.acquire(permit)
                passed += 1
        except BaseException:
            for limiter in reversed(self._order[:passed]):
                limiter.settle(permit, None, 0)
            raise
        return permit

    def settle(self, permit: Permit, finding: Classification | None, latency_ms: int) -> None:
        """The call has ended; ``finding`` is None where it was given up."""
        for limiter in self._release_order:
            limiter.settle(permit, finding, latency_ms)

    def ready(self) -> bool:
        """Returns False if this process lacks a shared resource that a call needs: a share of the
        limits, or spend. It then asks for all that it lacks."""
        ready = [limiter.ready() for limiter in self._order]  # each asks
        return all(ready)

    def dismiss(self) -> None:
        """Dismiss the calls that wait for the governor."""
        self._governor.dismiss(self._flow)

    def cooldown_left_s(self) -> float:
        return self._governor.cooldown_left_s()


class _Check(Limiter):
    """Holds nothing. ``check()`` blocks or raises."""

    def __init__(self, check: Callable[[], None]):
        self._check = check

    def acquire(self, permit: Permit) -> None:
        self._check()

    def settle(self, permit: Permit, finding: Classification | None, latency_ms: int) -> None:
        pass


class _Slots(Limiter):
    def __init__(self, slots: ResizableSemaphore):
        self._slots = slots

    def acquire(self, permit: Permit) -> None:
        self._slots.acquire()

    def settle(self, permit: Permit, finding: Classification | None, latency_ms: int) -> None:
        self._slots.release()

    def ready(self) -> bool:
        return self._slots.ready()


class _Spend(Limiter):
    def __init__(self, guard: SpendGuard):
        self._guard = guard

    def acquire(self, permit: Permit) -> None:
        self._guard.acquire()

    def settle(self, permit: Permit, finding: Classification | None, latency_ms: int) -> None:
        self._guard.settle(finding, latency_ms)

    def ready(self) -> bool:
        return self._guard.ready()


class _RateLimits(Limiter):
    def __init__(self, governor: Governor, flow: Flow):
        self._governor = governor
        self._flow = flow

    def acquire(self, permit: Permit) -> None:
        permit.ticket = self._governor.admit(self._flow, permit.size)
        if permit.ticket is None:
            raise Dismissed

    def settle(self, permit: Permit, finding: Classification | None, latency_ms: int) -> None:
        if permit.ticket is not None:
            if finding is not None and finding.tier_refused:
                finding = None  # no limit was reached
            self._governor.settle(permit.ticket, finding, latency_ms)

    def ready(self) -> bool:
        return self._governor.ready()
