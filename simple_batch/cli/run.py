"""run-job and watch-job."""

from collections.abc import Iterable

import click

from ..core import context
from ..core.domain import FINAL_STATUSES, JobStatus
from ..core.errors import Conflict, InvalidInput
from ..services import jobs, lifecycle
from .base import ExitStatus, command, counted, patched, run_patched, say
from .ending import stopping_line
from .export import format_for, write_file
from .follow import follow
from .jobs import create
from .option_fields import given
from .options import job_options, new_job

NO_WORKER = f"No worker runs: the job waits for one. Start it with: {lifecycle.WORKER_COMMAND}"


@command("run-job")
@click.argument("job", metavar="JOB_ID|FILE")
@click.option("--config", help="Name of a connection, for a FILE.")
@job_options
@click.option(
    "-o", "--output", help="Write the results to this file at the end (.csv, .xlsx, .json, …)."
)
def run_job(job, config, output, **fields):
    """Run a job in this process to its end. If a server or workers run the jobs of this database, it is
    started there and followed."""
    if not patched():
        run_patched()
    if output:
        format_for(output)  # complain before, not after the work
    job_id = _wanted(job, config, fields)
    status = run_here(job_id, fields["fail_on"])
    if output and status in (ExitStatus.DONE, ExitStatus.SOME_FAILED, ExitStatus.CANCELLED):
        write_file(job_id, output, format_for(output), "all")
        say(f"Results: {output}")
    return status


def run_here(
    job_id: int, fail_on: Iterable[str] | None = None, continues: str | None = None
) -> ExitStatus:
    """Run one job in this process, or follow it where another process runs the jobs; for ``fail_on``
    see ``follow``. ``continues`` is the command that continues it after Ctrl-C."""
    services = lifecycle.Services(context.settings())
    where = services.start(only=job_id)
    if where == "elsewhere":
        say("The job runs in the server or the workers of this database.")
    if where == "none":
        say(NO_WORKER)
    try:
        if jobs.get(job_id).status in (JobStatus.PAUSED, JobStatus.SCHEDULED):
            jobs.resume(job_id, actor="cli")
        return follow(job_id, fail_on=fail_on)
    except KeyboardInterrupt:
        if where == "here":
            say(stopping_line(continues or f"flask run-job {job_id}"))
        else:
            _say_unwatched(job_id)
        raise
    finally:
        services.stop()


def _say_unwatched(job_id: int) -> None:
    """After Ctrl-C, of a job that this process only follows."""
    if jobs.get(job_id).status in FINAL_STATUSES:
        return
    if lifecycle.runner_state() == "none" and not lifecycle.by_workers():
        say(f"Job {job_id} waits: nothing runs it. To continue: flask run-job {job_id}")
    else:
        say(f"Job {job_id} goes on without this. To follow it again: flask watch-job {job_id}")


def _wanted(job: str, config: str | None, fields: dict) -> int:
    if not job.isdigit():
        if not config:
            raise click.UsageError("Give --config with a FILE.")
        images, confirmed = fields.pop("images"), fields.pop("yes")
        created = create(job, new_job(config, **fields), images, confirmed)
        say(f"Job {created.id} “{created.name}”: {counted(created.total, 'request')}.")
        return created.id
    return to_run(job, config, fields)


def to_run(job: str, config: str | None, fields: dict) -> int:
    """The id of an existing job. Raises InvalidInput where options are given that it has already,
    NotFound, Conflict."""
    others = (value for name, value in fields.items() if name not in ("fail_on", "yes"))
    if config or any(map(given, others)):
        raise InvalidInput(
            "An existing job keeps its connection and settings: leave the options out, less --fail-on."
        )
    found = jobs.get(int(job))
    if found.status in FINAL_STATUSES:
        raise Conflict(
            f"Job {found.id} is {found.status}: run its failed requests again with flask retry-job, "
            "or all of them after flask reset-job."
        )
    return found.id


@command("watch-job")
@click.argument("job_id", type=int)
@click.option("--interval", type=click.FloatRange(min=0.1), default=0.5, help="Seconds.")
def watch_job(job_id, interval):
    """Follow a job that runs elsewhere."""
    if jobs.get(job_id).status not in FINAL_STATUSES and lifecycle.runner_state() == "none":
        say("No server or worker is running: the job waits for one.")
    try:
        return follow(job_id, interval)
    except KeyboardInterrupt:
        _say_unwatched(job_id)
        raise


COMMANDS = (run_job, watch_job)
