"""Which connections have a batch API of their provider that a job can be sent through, and whether a
deadline suits it."""

import math
from collections.abc import Collection, Iterable

from ..core import context
from ..core.clock import iso, now_ms
from ..core.domain import Endpoint, Service
from ..core.errors import InvalidInput
from ..core.messages import Message, translatable
from ..engine.batch_api import opening
from ..engine.batch_api.profiles import BatchProfile
from ..runner import batch_deadline
from ..store import part_history
from ..store.configs import defaults_of
from ..store.models import ApiConfig, Job
from .job_option_fields import JobOptions

HOUR_MS = 3_600_000
_LATE_MS = 300_000  # a deadline may be this much shorter than a window: it was chosen a moment ago
_MIDDLE = 0.5


def profile_of(config: ApiConfig) -> BatchProfile | None:
    """What is known of a connection's batch API; None where it has none that this program speaks."""
    profile = _profile(config)
    return profile if profile is not None and profile.kind in opening.KINDS else None


def _profile(config: ApiConfig) -> BatchProfile | None:
    named = Endpoint(
        config_id=config.id or 0,
        alias=config.alias,
        base_url=config.base_url,
        key="",
        defaults=defaults_of(config),
        provider=config.provider,
        batch_api=config.batch_api,
    )
    return opening.profile_to_use(named)


def why_not(config: ApiConfig, urls: Collection[str] = ()) -> Message | None:
    """Why requests to these ``urls`` cannot go through the batch API of a connection; None: they can."""
    if config.batch_api == opening.NONE:
        return translatable(
            "The connection “%(alias)s” says that its batch API is not to be used.",
            alias=config.alias,
        )
    found = _profile(config)
    if found is None:
        return translatable(
            "The provider of “%(alias)s” has no batch API that is known here. If it has one, choose "
            "its kind in the connection (--batch-api).",
            alias=config.alias,
        )
    if found.kind not in opening.KINDS:
        return translatable(
            "“%(alias)s”: batch APIs of the kind %(kind)s are not supported yet.",
            alias=config.alias,
            kind=found.kind,
        )
    offered = found.limits.urls
    missing = sorted(set(urls) - set(offered)) if offered else []
    if missing:
        return translatable(
            "The batch API of “%(alias)s” takes no requests to %(url)s, only to %(offered)s.",
            alias=config.alias,
            url=missing[0],
            offered=", ".join(offered),
        )
    return None


def check(new: JobOptions, on: Iterable[ApiConfig], urls: Collection[str] = ()) -> None:
    """Raises InvalidInput where a job cannot be sent on these connections as it says."""
    if Service(new.service) is Service.NOW:
        return
    for config in on:
        reason = why_not(config, urls)
        if reason is not None:
            raise InvalidInput(
                translatable(
                    "Service: %(reason)s Choose another connection, or the service “now”.",
                    reason=reason,
                ),
                "service",
            )


def check_deadline(new: JobOptions, on: Iterable[ApiConfig], requests: int = 0) -> None:
    """Raises InvalidInput where the deadline of a new job does not suit its service."""
    service = Service(new.service)
    if service is Service.NOW:
        return
    if new.deadline_at is None:
        if service is Service.BATCH_THEN_NOW:
            raise _no_deadline()
        return
    for config in on:
        if service is Service.BATCH:
            _check_window(new.deadline_at, config)
        elif not _cancels(config):
            raise _no_cancel(config)
        else:
            _check_time_for_batches(new, config, requests)


def check_edited_deadline(job: Job, deadline_at: int | None) -> None:
    """Raises InvalidInput where a job that needs its deadline is to have none."""
    if Service(job.service) is Service.BATCH_THEN_NOW and deadline_at is None and job.deadline_at:
        raise InvalidInput(
            translatable(
                "Deadline: this job sends by calls before it what batches have not answered, so it needs one. "
                "Set a later one, or send the rest now."
            ),
            "deadline_at",
        )


def _no_deadline() -> InvalidInput:
    return InvalidInput(
        translatable(
            "Deadline: the service “batch-then-now” needs one. Set when the results have to be there, or "
            "choose “batch”."
        ),
        "deadline_at",
    )


def _cancels(config: ApiConfig) -> bool:
    profile = profile_of(config)
    return profile is None or profile.cancel != "none"


def _no_cancel(config: ApiConfig) -> InvalidInput:
    return InvalidInput(
        translatable(
            "Service: the provider of “%(alias)s” can't cancel a batch, so requests that it has taken can't be "
            "sent by calls before the deadline. Choose “batch” or “now”.",
            alias=config.alias,
        ),
        "service",
    )


def _check_window(deadline_at: int, config: ApiConfig) -> None:
    hours = batch_deadline.window_s(config) / 3600
    if deadline_at - now_ms() >= hours * HOUR_MS - _LATE_MS:
        return
    raise InvalidInput(
        translatable(
            "Deadline: the provider of “%(alias)s” promises results of a batch within %(hours)g hours, "
            "so requests might expire unanswered. Set a later deadline, or choose “batch-then-now”.",
            alias=config.alias,
            hours=hours,
        ),
        "deadline_at",
    )


def _check_time_for_batches(new: JobOptions, config: ApiConfig, requests: int) -> None:
    """A deadline that leaves no time for any batch would send all by calls, at their full price."""
    assert new.deadline_at is not None
    took = part_history.took(config.id, _model(config, new))
    part_s = batch_deadline.planned_seconds(took, requests, batch_deadline.window_s(config))
    sending_s = batch_deadline.sending_s(requests, config, context.settings())
    earliest = now_ms() + round(1000 * (part_s + sending_s + batch_deadline.CANCEL_S))
    if new.deadline_at >= earliest - 1000:
        return
    raise InvalidInput(
        translatable(
            "Deadline: no batch of “%(alias)s” would probably end in time, so all requests would be sent "
            "by calls. A batch is expected to take up to %(batch)s, and some time is kept to send the rest. Set "
            "%(earliest)s UTC or later, or choose “now”.",
            alias=config.alias,
            batch=_hours(part_s),
            earliest=(iso(earliest + 59_999) or "")[:16].replace("T", " "),
        ),
        "deadline_at",
    )


def _model(config: ApiConfig, new: JobOptions) -> str:
    return defaults_of(config).under(new.params).model


def _hours(seconds: float) -> Message:
    if seconds < 2 * 3600:
        return translatable("%(count)s min", count=math.ceil(seconds / 60))
    return translatable("%(count)g hours", count=round(seconds / 3600, 1))


def batch_seconds(config: ApiConfig, new: JobOptions, requests: int) -> tuple[float, float, int]:
    """The 50th and the 90th percentile of how long batches take, and how many have ended; of none, what
    the provider promises."""
    took = part_history.took(config.id, _model(config, new))
    most = batch_deadline.part_seconds(took, requests, batch_deadline.window_s(config))
    seconds = sorted(one.seconds for one in took)
    middle = seconds[math.ceil(_MIDDLE * len(seconds)) - 1] if seconds else most
    return middle, most, len(seconds)
