"""What each of several API configs did for a job."""

from ..store.models import ApiConfig, Job, JobConfig
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
