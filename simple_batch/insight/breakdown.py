"""What each of several API configs or workers did for a job, and what a config has spent."""

import time

from ..core import context, time_windows
from ..store import spending
from ..store.models import ApiConfig, Job, JobConfig, JobWorker
from .summary import live_of


def by_config(job: Job) -> list[dict]:
    """Figures per config, in order; empty for a job with one config. ``state`` says why one is left
    alone now, ``governor`` is what its governor shows of itself."""
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


def by_worker(job: Job) -> list[dict]:
    """Figures per worker, by name; empty where one process made the calls."""
    rows = JobWorker.select().where(JobWorker.job == job.id).order_by(JobWorker.name)
    fields = JobWorker.name, JobWorker.succeeded, JobWorker.failed, JobWorker.attempts
    return list(rows.select(*fields).dicts())


def spent_now(config: ApiConfig) -> dict:
    """Nano-units of the config's currency: ``day`` and ``month``, by jobs and by rows tried."""
    now = time_windows.at(time.time(), context.settings().TIMEZONE)
    return {
        name: sum(spending.since(config.id, config.currency, getattr(now, name)))
        for name in ("day", "month")
    }
