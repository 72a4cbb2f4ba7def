"""The demo: an endpoint, a config and a job, created through the same services as a user's."""

import io
import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from ..core import context
from ..core.errors import SimpleBatchError
from ..core.settings import PROJECT_ROOT
from ..services import configs, job_creation, jobs, uploads
from ..store.models import ApiConfig, Job
from . import demo_endpoint
from .base import ExitStatus, say
from .export import write_file

QUESTIONS = PROJECT_ROOT / "examples" / "questions.jsonl"
ALIAS = "demo"
CONCURRENCY = 200  # as many as the endpoint answers without delay
PORT = 7862


def start_endpoint(fail: float) -> demo_endpoint.DemoEndpoint:
    """The demo endpoint, on its usual port if that is free."""
    try:
        return demo_endpoint.start(port=PORT, fail=fail)
    except OSError:
        return demo_endpoint.start(fail=fail)


def prepare(base_url: str, requests: int) -> Job:
    """Create a job of the first questions of examples/, on a config for the demo endpoint."""
    fields = configs.ConfigFields(
        alias=ALIAS,
        base_url=base_url,
        model=demo_endpoint.MODEL,
        max_tokens=512,
        timeout_s=30,
        concurrency=CONCURRENCY,
        input_price=Decimal("0.50"),
        output_price=Decimal("1.50"),
        notes="The endpoint that ships with Simple Batch; its prices are invented.",
    )
    known = ApiConfig.get_or_none(ApiConfig.alias == ALIAS)
    if known is None:
        configs.create(fields)
    else:
        configs.update(known.id, fields)
    return job_creation.create_now(
        io.BufferedReader(uploads.Pieces(_questions(requests))),
        "questions.jsonl",
        jobs.JobOptions(config=ALIAS, name="demo"),
    )


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


def _questions(count: int) -> Iterator[bytes]:
    """The first ``count`` lines of the examples. If there are fewer they are repeated, with other ids,
    which must be unique in a job."""
    lines = QUESTIONS.read_bytes().splitlines(keepends=True)
    for n in range(count):
        turn, place = divmod(n, len(lines))
        line = lines[place]
        yield line.replace(b'", ', b'-%d", ' % (turn + 1), 1) if turn else line
