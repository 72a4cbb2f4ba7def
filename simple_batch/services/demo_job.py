"""The demo: an endpoint, a connection and a job, created through the same services as a user's."""

import io
import logging
from collections.abc import Iterator
from decimal import Decimal
from urllib.parse import urlsplit

from ..core.domain import FINAL_STATUSES
from ..core.errors import Conflict
from ..core.home import resource
from ..core.messages import translatable
from ..store.models import ApiConfig, Job
from . import configs, demo_endpoint, job_creation, jobs, lifecycle, uploads, validation

log = logging.getLogger(__name__)

QUESTIONS = resource("examples", "questions.jsonl")
REQUESTS = 640
FAIL = 0.05  # share of calls
ALIAS = "demo"
CONCURRENCY = 200  # as many as the endpoint answers without delay
PORT = 7862
_HERE = "127.0.0.1"

_own: demo_endpoint.DemoEndpoint | None = None  # of this process


def start_endpoint(fail: float = FAIL) -> demo_endpoint.DemoEndpoint:
    """The demo endpoint, on its usual port if that is free."""
    try:
        return demo_endpoint.start(port=PORT, fail=fail)
    except OSError:
        return demo_endpoint.start(fail=fail)


def prepare(base_url: str, requests: int = REQUESTS) -> Job:
    """Create a job of the first questions of examples/, on a connection to the demo endpoint."""
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


def offered() -> bool:
    """Whether this server can run the demo: it makes the calls itself, may call its own machine, and no
    connection of the user's has the demo's name."""
    here = lifecycle.runner_state() == "here" and validation.refusal(_HERE) is None
    return here and (_own is not None or _is_free(ApiConfig.get_or_none(ApiConfig.alias == ALIAS)))


def _is_free(known: ApiConfig | None) -> bool:
    return known is None or is_demo(known)


def is_demo(config: ApiConfig) -> bool:
    """Whether a connection leads to the demo endpoint, which answers only while a demo runs."""
    return config.model == demo_endpoint.MODEL and urlsplit(config.base_url).hostname == _HERE


def run() -> Job:
    """Start the endpoint in this process, if it does not run yet, and a job on it. Raises Conflict."""
    global _own
    if not offered():
        raise Conflict(translatable("This server can't run the demo. Use the command: flask demo"))
    if _own is None:
        _own = start_endpoint()
    return prepare(_own.base_url)


def resume() -> None:
    """After a restart: start the endpoint again where a job of the demo is not finished."""
    global _own
    config = ApiConfig.get_or_none(ApiConfig.alias == ALIAS)
    if _own is not None or config is None or not is_demo(config) or not offered():
        return
    unfinished = (Job.config == config) & Job.status.not_in(list(FINAL_STATUSES))
    if not Job.select().where(unfinished & Job.deleted_at.is_null()).exists():
        return
    try:
        _own = demo_endpoint.start(port=urlsplit(config.base_url).port or PORT, fail=FAIL)
    except OSError as error:  # its own process may serve it
        log.info("the demo endpoint is not started: %s", error)


def stop() -> None:
    """Stop the endpoint of this process."""
    global _own
    if _own is not None:
        _own.stop()
        _own = None


def _questions(count: int) -> Iterator[bytes]:
    """The first ``count`` lines of the examples. If there are fewer they are repeated, with other ids,
    which must be unique in a job."""
    lines = QUESTIONS.read_bytes().splitlines(keepends=True)
    for n in range(count):
        turn, place = divmod(n, len(lines))
        line = lines[place]
        yield line.replace(b'", ', b'-%d", ' % (turn + 1), 1) if turn else line
