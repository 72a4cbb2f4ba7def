"""When a job with a deadline must give up its batches, so that calls can still send what is left.

A batch takes as long as most of the latest of the same config did: 90 of 100 ended within that time. As long
as nothing is known, an hour is assumed: providers promise a day, but most batches end much sooner. What is left then takes as long as calls were
seen to take, and before that batches that are open are cancelled.
"""

import math
import time
from collections.abc import Sequence

import msgspec

from ..core.clock import iso, now_ms
from ..core.domain import Service
from ..core.messages import Message, translatable
from ..core.settings import Settings
from ..engine.batch_api.profiles import profile_of
from ..store import part_history
from ..store.database import retry_while_unavailable
from ..store.models import ApiConfig, Job
from ..store.part_history import DEADLINE, Left, Took

SHARE = 0.9
FEW = 3  # batches that say little: the next may take twice as long
ALIKE = 4.0  # batches of a size that differs by no more than this factor are preferred
ENOUGH = 5  # of them
ASSUMED_S = 3600.0  # where no batch has ended yet
WINDOW_S = 24 * 3600.0  # where a provider does not say
# "cancelling for up to 10 minutes": platform.openai.com/docs/api-reference/batch/cancel, read 2026-11-28
CANCEL_S = 600.0
ANSWER_S = 10.0  # of a call whose speed is not known
SLACK = 1.25  # calls may be slower than they were
LEAST_S = 60.0  # to send the rest
LOOK_S = 5.0  # between two looks at the history


class DeadlinePlan(msgspec.Struct, frozen=True):
    """``rest_now_at`` (epoch ms): when the rest must be sent now. ``part_s``: how long a batch takes, by
    ``batches`` that have ended (0: as assumed). ``sending_s``: how long calls take for the
    rest, ``cancel_s`` the end of a batch before."""

    deadline_at: int
    rest_now_at: int
    part_s: float
    batches: int
    sending_s: float
    cancel_s: float

    def allows_part(self, now: int) -> bool:
        """Whether a batch that is created now would probably end in time."""
        return now + 1000 * self.part_s <= self.rest_now_at

    def is_due(self, now: int, under_way: bool) -> bool:
        """Whether the rest must be sent now: at the last moment, or where nothing is in a batch and a new
        one would miss the deadline."""
        return now >= self.rest_now_at or (not under_way and not self.allows_part(now))

    @property
    def why(self) -> Message:
        """For pages and events."""
        values = {
            "deadline": _moment(self.deadline_at),
            "moment": _moment(self.rest_now_at),
            "batch": _minutes(self.part_s),
            "sending": _minutes(self.sending_s),
            "cancel": _minutes(self.cancel_s),
        }
        if self.batches:
            return translatable(
                "Deadline %(deadline)s UTC: what is not ready at %(moment)s UTC is sent now, because that may "
                "take %(sending)s min, and cancelling batches %(cancel)s min. 9 of 10 batches took at most "
                "%(batch)s min.",
                **values,
            )
        return translatable(
            "Deadline %(deadline)s UTC: what is not ready at %(moment)s UTC is sent now, because that may take "
            "%(sending)s min, and cancelling batches %(cancel)s min. How long a batch takes is not known yet: "
            "%(batch)s min are assumed.",
            **values,
        )


class Look(msgspec.Struct, frozen=True):
    """``creates``: new parts may be made. ``due``: the rest is sent now."""

    creates: bool = True
    due: bool = False


class BatchDeadline:
    """Of one job; without a deadline, or where the service is batch alone, it never comes."""

    def __init__(self, job: Job, settings: Settings):
        self._job_id = job.id
        self._settings = settings
        self._applies = Service(job.service) is Service.BATCH_THEN_NOW
        self._looked_at = -math.inf
        self._look = Look()

    def look(self) -> Look:
        """As it stands now; the job goes over to calls where it is due."""
        if self._applies and time.monotonic() - self._looked_at >= LOOK_S:
            self._looked_at = time.monotonic()
            self._look = retry_while_unavailable(self._new_look)
        return self._look

    def _new_look(self) -> Look:
        job = Job.get_by_id(self._job_id)
        left = part_history.left(job.id)
        plan = plan_of(job, left, self._settings)
        if plan is None or not left.requests:
            return Look()
        now = now_ms()
        due = plan.is_due(now, left.under_way)
        if due:
            part_history.send_rest_now(job.id, DEADLINE, plan.why)
        return Look(plan.allows_part(now), due)


def plan_of(job: Job, left: Left, settings: Settings) -> DeadlinePlan | None:
    """The plan for a job; None where it has no deadline."""
    if job.deadline_at is None or Service(job.service) is not Service.BATCH_THEN_NOW:
        return None
    config = job.config
    model = left.model or config.model
    took = part_history.took(config.id, model)
    calls_s = sending_s(left.requests, config, settings)
    return DeadlinePlan(
        deadline_at=job.deadline_at,
        rest_now_at=job.deadline_at - round(1000 * (calls_s + CANCEL_S)),
        part_s=planned_seconds(took, left.requests, window_s(config)),
        batches=len(took),
        sending_s=calls_s,
        cancel_s=CANCEL_S,
    )


def part_seconds(took: Sequence[Took], requests: int, window_s: float) -> float:
    """How long a batch of ``requests`` takes: the 90th percentile, by those of a similar size where
    there are enough; never longer than the provider's window."""
    alike = [one for one in took if 1 / ALIKE <= max(1, one.requests) / max(1, requests) <= ALIKE]
    seconds = sorted(one.seconds for one in (alike if len(alike) >= ENOUGH else took))
    if not seconds:
        return window_s
    if len(seconds) < FEW:
        return min(window_s, 2 * seconds[-1])
    return min(window_s, seconds[math.ceil(SHARE * len(seconds)) - 1])


def planned_seconds(took: Sequence[Took], requests: int, window_s: float) -> float:
    """The same for plans, which assume a time where none is known."""
    return part_seconds(took, requests, window_s if took else min(window_s, ASSUMED_S))


def window_s(config: ApiConfig) -> float:
    """The time within which the provider promises to end a batch, in seconds."""
    profile = profile_of(config.provider)
    hours = profile.window_h if profile is not None else None
    return 3600.0 * hours if hours else WINDOW_S


def sending_s(requests: int, config: ApiConfig, settings: Settings) -> float:
    """How long calls take for ``requests``."""
    speed = part_history.speed(config.id)
    if speed is None:
        speed = (config.concurrency or settings.DEFAULT_CONCURRENCY) / ANSWER_S
    return max(LEAST_S, SLACK * requests / speed)


def _moment(at: int) -> str:
    return (iso(at) or "")[:16].replace("T", " ")


def _minutes(seconds: float) -> int:
    return math.ceil(seconds / 60)
