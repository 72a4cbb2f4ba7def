"""The ways to send a job, what each costs and how long it takes; and the rest of a job that is sent now."""

import msgspec

from ..core.call_prices import Usage
from ..core.clock import now_ms
from ..core.domain import BATCH_TIER, JobStatus, Service
from ..core.errors import Conflict
from ..core.messages import translatable
from ..store import configs, part_history
from ..store.configs import prices_of
from ..store.models import ApiConfig, Job
from ..store.part_history import USER
from . import jobs
from .batch_offers import batch_seconds
from .estimate import Estimate, Range
from .job_option_fields import JobOptions


class Expected(msgspec.Struct, frozen=True):
    """How long all requests of a job will take, in seconds; None: not known. ``source`` is what that stands
    on: the ``speed`` of earlier calls, ``batches`` that have ended (``count`` of them), or the ``window``
    that the provider promises."""

    low: float | None = None
    high: float | None = None
    source: str = ""
    count: int = 0


class ServiceChoice(msgspec.Struct, frozen=True):
    """One way to send a job. ``cost`` is in billionths of the currency's unit, None where it is not known;
    ``share`` is what it costs compared with calls, as far as that is known."""

    service: Service
    cost: Range | None
    expected: Expected
    share: float | None = None


# --- what each choice costs and takes ---------------------------------------------------------


def choices(
    config: ApiConfig, new: JobOptions, requests: int, estimate: Estimate | None
) -> list[ServiceChoice]:
    """The three ways to send ``requests`` on a connection."""
    now = estimate.cost if estimate is not None else None
    batch = estimate.batch_cost if estimate is not None else None
    both = None if now is None or batch is None else Range(batch.low, batch.expected, now.high)
    share = batch.expected / now.expected if batch and now and now.expected else None
    calls, batches = calls_take(config, requests), _batches_take(config, new, requests)
    return [
        ServiceChoice(Service.NOW, now, calls),
        ServiceChoice(Service.BATCH, batch, batches, share),
        ServiceChoice(Service.BATCH_THEN_NOW, both, batches, share),
    ]


def calls_take(config: ApiConfig, requests: int) -> Expected:
    """How long calls take, by the speed of earlier jobs."""
    speed = part_history.speed(config.id)
    if not speed:
        return Expected()
    return Expected(requests / speed, requests / speed, "speed")


def _batches_take(config: ApiConfig, new: JobOptions, requests: int) -> Expected:
    middle, most, count = batch_seconds(config, new, requests)
    if not count:
        return Expected(None, most, "window")
    return Expected(min(middle, most), most, "batches", count)


# --- a job that runs --------------------------------------------------------------------------


def may_send_rest(job: Job) -> bool:
    """Whether ``send_rest_now`` would change anything."""
    return (
        Service(job.service) is not Service.NOW
        and job.status == JobStatus.RUNNING
        and job.rest_now_at is None
    )


def send_rest_now(job_id: int, actor: str | None = None) -> None:
    """Let what is left of a running job be sent by calls: its batches are cancelled, and what they have
    finished is kept. Raises Conflict."""
    job = jobs.get(job_id)
    if Service(job.service) is Service.NOW:
        raise Conflict(
            translatable("Job %(job_id)s sends its requests by calls already.", job_id=job_id)
        )
    if job.rest_now_at is not None:
        raise Conflict(
            translatable("The rest of job %(job_id)s is being sent already.", job_id=job_id)
        )
    detail = translatable("The rest is sent now: its batches are cancelled.")
    if not part_history.send_rest_now(job_id, USER, detail, jobs.acting(actor)):
        raise Conflict(
            translatable(
                "Job %(job_id)s is %(status)s: only the rest of a running job can be sent now.",
                job_id=job_id,
                status=translatable(str(jobs.get(job_id).status)),
            )
        )
    jobs.note("send_rest_now", job_id, actor=actor)
    jobs.wake()


def extra_cost(job: Job) -> int | None:
    """What the rest of a job costs more by calls than in batches, in billionths of the currency's unit, if
    its requests are like those that have been answered; None where that is not known."""
    done = job.succeeded + job.failed
    left = job.total - done - job.cancelled
    if not job.succeeded or left <= 0:
        return None
    prices = prices_of(configs.get(job.config_id))
    used = Usage(job.input_tokens, job.output_tokens, job.cached_tokens, job.reasoning_tokens)
    calls, batch = prices.cost_of(used, now_ms()), prices.cost_of(used, now_ms(), BATCH_TIER)
    if calls is None or batch is None:
        return None
    return max(0, calls - batch) * left // done
