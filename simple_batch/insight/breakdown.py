"""What each of several API configs or workers did for a job, and what a config has spent."""

import time
from typing import TypedDict

from ..core import context, time_windows
from ..store import spending
from ..store.models import ApiConfig, Job, JobConfig, JobWorker
from .summary import live_of


class ConfigFigures(TypedDict):
    """What one API config did for a job."""

    alias: str
    model: str
    weight: float | None  # of its share
    succeeded: int  # requests
    failed: int  # requests
    input_tokens: int
    output_tokens: int
    cost_nano: int | None  # nano-units of the currency; None where the config has another one
    currency: str
    state: str  # why the load balancer leaves it out now; empty where it does not
    governor: dict | None  # the fields of core.domain.GovernorState


class WorkerFigures(TypedDict):
    """What one worker did for a job."""

    name: str
    succeeded: int  # requests
    failed: int  # requests
    attempts: int  # calls


class Spent(TypedDict):
    """Nano-units of a config's currency, by jobs and by rows tried."""

    day: int
    month: int


def by_config(job: Job) -> list[ConfigFigures]:
    """Figures per config, in order; empty for a job with one config."""
    rows = (
        JobConfig.select(JobConfig, ApiConfig)
        .join(ApiConfig)
        .where(JobConfig.job == job.id)
        .order_by(JobConfig.place, JobConfig.config)
    )
    live = live_of(job).get("configs", {})
    return [
        {
            "alias": row.config.alias,
            "model": row.config.model,
            "weight": row.weight,
            "succeeded": row.succeeded,
            "failed": row.failed,
            "input_tokens": row.input_tokens,
            "output_tokens": row.output_tokens,
            "cost_nano": row.cost_nano if row.config.currency == job.currency else None,
            "currency": job.currency,
            "state": live.get(row.config.alias, {}).get("state", ""),
            "governor": live.get(row.config.alias, {}).get("governor"),
        }
        for row in rows
    ]


def by_worker(job: Job) -> list[WorkerFigures]:
    """Figures per worker, by name; empty where one process made the calls."""
    rows = JobWorker.select().where(JobWorker.job == job.id).order_by(JobWorker.name)
    fields = JobWorker.name, JobWorker.succeeded, JobWorker.failed, JobWorker.attempts
    return list(rows.select(*fields).dicts())


def spent_now(config: ApiConfig) -> Spent:
    """What was spent on a config in the present day and month."""
    now = time_windows.at(time.time(), context.settings().TIMEZONE)
    return {"day": _spent_since(config, now.day), "month": _spent_since(config, now.month)}


def _spent_since(config: ApiConfig, begin_s: int) -> int:
    return sum(spending.since(config.id, config.currency, begin_s))
