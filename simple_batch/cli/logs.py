"""The verb logs: what happened to a job, and which calls failed."""

import time

import click

from .. import insight
from ..core.domain import FINAL_STATUSES
from ..core.terminal import shown_line
from ..insight.summary import iso
from ..services import jobs
from .base import command, put, put_json

_EVERY_S = 0.5


@command("logs")
@click.argument("job_id", type=int)
@click.option("-n", "--failures", type=click.IntRange(0, 1000), default=10, show_default=True)
@click.option("-f", "--follow", "follows", is_flag=True, help="Go on until the job has ended.")
@click.option("--json", "as_json", is_flag=True)
def logs(job_id, failures, follows, as_json):
    """Print the changes of a job's status and its last failed calls (--failures), the oldest first."""
    if as_json and follows:
        raise click.UsageError("Give --json or --follow, not both.")
    failed = insight.attempts_page(job_id, per_page=failures).rows if failures else []
    happened = insight.events(job_id)
    if as_json:
        put_json(
            {
                "events": [{**event, "at": iso(event["at"])} for event in happened],
                "failures": [{**call, "started_at": iso(call["started_at"])} for call in failed],
            }
        )
        return
    lines = [(event["at"], _event(event)) for event in happened]
    lines += [(call["started_at"], _failure(call)) for call in failed]
    for at, line in sorted(lines, key=lambda one: one[0]):
        _put(at, line)
    if follows:
        _follow(job_id, len(happened), _newest(failed))


def _follow(job_id: int, known: int, newest: int) -> None:
    """Print what is added. ``known`` events and the failures up to ``newest`` are printed already."""
    while True:
        over = jobs.get(job_id).status in FINAL_STATUSES
        happened = insight.events(job_id)
        lines = [(event["at"], _event(event)) for event in happened[known:]]
        known = len(happened)
        failed = [one for one in insight.attempts_page(job_id).rows if one["id"] > newest]
        newest = max(newest, _newest(failed))
        lines += [(call["started_at"], _failure(call)) for call in failed]
        for at, line in sorted(lines, key=lambda one: one[0]):
            _put(at, line)
        if over:
            return
        time.sleep(_EVERY_S)


def _newest(failed: list[insight.FailedAttempt]) -> int:
    """The id of the one recorded last; 0 where there is none."""
    return max((call["id"] for call in failed), default=0)


def _put(at: int, line: str) -> None:
    put(f"{iso(at)}  {shown_line(line)}")


def _event(event: insight.Event) -> str:
    change = f"{event['from']} → {event['to']}" if event["from"] != event["to"] else event["to"]
    words = change if event["from"] else event["to"]
    more = ": ".join(filter(None, (event["reason"], event["detail"])))
    return f"{words}{f' ({more})' if more else ''}, by {event['actor']}"


def _failure(call: insight.FailedAttempt) -> str:
    status = f" {call['http_status']}" if call["http_status"] else ""
    again = f", again after {call['wait_ms']} ms" if call["wait_ms"] else ""
    return (
        f"request {call['index'] + 1}, call {call['number']}: {call['cause']}{status} "
        f"{call['message'][:200]}{again}"
    )
