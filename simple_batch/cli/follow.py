"""Follows a job on stderr: with a progress bar on a terminal, else with a line from time to time."""

import sys
import time
from collections.abc import Iterable

import click

from .. import insight
from ..core.domain import FINAL_STATUSES, JobStatus
from ..insight.parts import PartSums
from ..services import adjusted_parameters, jobs
from ..store import jobs as job_rows
from . import manner
from .base import ExitStatus, counted, say
from .ending import end_completed

PLAIN_EVERY_S = 5.0
_BLOCKED = ("auth", "quota", "not_found")


def follow(
    job_id: int, interval_s: float = 0.5, fail_on: Iterable[str] | None = None
) -> ExitStatus:
    """Show a job's progress on stderr until it ends or is paused. Returns its ExitStatus; ``fail_on``
    stands over the outcomes that the job names for it."""
    if not manner.current.progress or manner.current.collects:
        _silently(job_id, interval_s)
    elif sys.stderr.isatty() and manner.current.as_program:
        from .progress_panel import follow_on_terminal  # what draws it takes time to load

        follow_on_terminal(job_id, interval_s)
    elif sys.stderr.isatty():
        _bar(job_id, interval_s)
    else:
        _lines(job_id, interval_s)
    return _ending(job_id, fail_on)


class Notes:
    """Says what a job notes about parameters that its model rejects, as it happens."""

    def __init__(self, job_id: int):
        self._job_id = job_id
        self._seen = job_rows.last_event(job_id)

    def new(self) -> list[str]:
        found = []
        for event in job_rows.events_after(job_id=self._job_id, event_id=self._seen):
            self._seen = event.id
            if event.reason == job_rows.ADJUSTED:
                found.append(f"job {self._job_id}: {event.detail}")
        return found

    def say(self) -> None:
        for line in self.new():
            say(line)


def _silently(job_id: int, interval_s: float) -> None:
    while not is_over(insight.progress(job_id)):
        time.sleep(interval_s)


def _bar(job_id: int, interval_s: float) -> None:
    notes = Notes(job_id)
    shown = insight.progress(job_id)
    with click.progressbar(
        length=max(1, shown["counts"]["total"]),
        label=f"job {job_id}",
        file=sys.stderr,
        show_eta=False,
        item_show_func=lambda item: item,
        update_min_steps=1,
    ) as bar:
        while True:
            shown = insight.progress(job_id)
            bar.length = max(1, shown["counts"]["total"])
            bar.update(done_of(shown) - bar.pos, _words(shown))
            bar.render_progress()
            notes.say()
            if is_over(shown):
                return
            time.sleep(interval_s)


def _lines(job_id: int, interval_s: float) -> None:
    said_at = 0.0
    notes = Notes(job_id)
    while True:
        shown = insight.progress(job_id)
        over = is_over(shown)
        if over or time.monotonic() - said_at >= PLAIN_EVERY_S:
            said_at = time.monotonic()
            say(
                f"job {job_id}: {done_of(shown):,} of {shown['counts']['total']:,}, {_words(shown)}"
            )
        notes.say()
        if over:
            return
        time.sleep(min(interval_s, 0.5))


def done_of(shown: insight.Progress) -> int:
    counts = shown["counts"]
    return counts["succeeded"] + counts["failed"] + counts["cancelled"]


def _words(shown: insight.Progress) -> str:
    counts = shown["counts"]
    words = f"{shown['status']}, {counts['succeeded']:,} succeeded, {counts['failed']:,} failed"
    if shown["waiting"]:
        waiting = shown["waiting"]
        return f"{words}, waiting for the endpoint: {waiting['reason']}"
    if shown["parts"] and shown["parts"]["count"]:
        words += f", {parts_in_words(shown['parts'])}"
    if shown["requests_per_second"]:
        words += f", {shown['requests_per_second']:.1f}/s"
    if shown["eta_s"]:
        words += f", about {shown['eta_s'] // 60}:{shown['eta_s'] % 60:02d} left"
    return words


def parts_in_words(parts: PartSums) -> str:
    named = (
        (parts["waiting"], "not sent yet"),
        (parts["open"], "at the provider"),
        (parts["ended"], "being merged"),
        (parts["merged"], "merged"),
    )
    found = [f"{count} {word}" for count, word in named if count]
    words = f"{counted(parts['count'], 'part')}: {', '.join(found) or 'none under way'}"
    if parts["oldest_s"] is not None:
        words += f" (since {parts['oldest_s'] // 60}:{parts['oldest_s'] % 60:02d})"
    return words


def is_over(shown: insight.Progress) -> bool:
    return shown["status"] in FINAL_STATUSES or shown["status"] == JobStatus.PAUSED


def _ending(job_id: int, fail_on: Iterable[str] | None) -> ExitStatus:
    job = jobs.get(job_id)
    if job.status == JobStatus.COMPLETED:
        return end_completed(job, fail_on)
    if job.status == JobStatus.CANCELLED:
        say(f"Job {job_id} was cancelled. Finished answers are kept.")
        return ExitStatus.CANCELLED
    say(f"Job {job_id} is {job.status} ({job.status_reason}). {job.status_detail}".rstrip())
    for name in adjusted_parameters.offered(job):
        say(f"To leave it out of all: flask resume-job {job_id} --leave-out {name}")
    blocked = job.status_reason in _BLOCKED
    return ExitStatus.CONFIGURATION if blocked else ExitStatus.ERROR
