"""What the demo says in a terminal, before and after its job."""

import os
from pathlib import Path

from ..core import context
from ..core.errors import SimpleBatchError
from ..services import configs
from ..store.models import ApiConfig, Job
from .base import ExitStatus, say
from .export import write_file


def offer_environment() -> None:
    """Create a config for the endpoint in the environment variables. Nothing is sent to it."""
    key, base_url = os.environ.get("OPENAI_API_KEY"), os.environ.get("OPENAI_BASE_URL")
    if not key and not base_url:
        return
    try:
        if ApiConfig.get_or_none(ApiConfig.alias == "env") is None:
            configs.create(
                configs.ConfigFields(
                    alias="env",
                    base_url=base_url or "https://api.openai.com/v1",
                    model=os.environ.get("OPENAI_MODEL", "gpt-4o-mini"),
                    key=key,
                    notes="From OPENAI_API_KEY and OPENAI_BASE_URL.",
                )
            )
        say(
            "OPENAI_API_KEY or OPENAI_BASE_URL is set and was saved as the connection “env”. Nothing"
        )
        say("is sent to it until you start a job with it.")
    except SimpleBatchError as error:
        say(f"OPENAI_BASE_URL or OPENAI_API_KEY cannot be used: {error}")


def finish(job: Job, status: ExitStatus) -> Path | None:
    """Write the export. None if the job has not ended."""
    if status not in (ExitStatus.DONE, ExitStatus.SOME_FAILED):
        return None
    path = context.settings().exports / f"demo-{job.id}.jsonl"
    write_file(job.id, str(path), "jsonl", "all")
    return path
