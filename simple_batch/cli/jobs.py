"""create-job and the commands that change a job's state (job_figures.py shows jobs, deletion.py removes them)."""

import sys
from pathlib import Path

import click
import msgspec

from ..core.call_prices import in_units
from ..core.domain import Cause, JobStatus, Sharing
from ..core.errors import InvalidInput
from ..services import (
    batch_service,
    configs,
    job_creation,
    job_retry,
    job_tags,
    jobs,
    lifecycle,
    readings,
    table_choices,
)
from ..services import job_options as choices
from ..services.job_options import JobOptions
from ..services.sharing import share
from ..services.sharing import word as sharing_word
from ..services.tags import tags_of
from ..store.request_filter import RequestFilter
from ..store.requeue import Changes
from .base import PRICE, command, confirm, counted, put, say
from .options import job_options, new_job

_job_id = click.argument("job_id", type=int)


def create(file: str, new: JobOptions, images: str | None = None, confirmed: bool = False):
    """A job from a file or from standard input (``-``), imported before this returns; ``images`` is
    the folder of those that it names. A template that looks like a mistake has to be ``confirmed``."""
    folder = Path(images) if images is not None else None
    if folder is not None and not folder.is_dir():
        raise InvalidInput(f"There is no folder {images}.")
    if file == "-":
        source, name = sys.stdin.buffer, "stdin"
    else:
        source, name = Path(file), Path(file).name
        if not source.is_file():
            raise InvalidInput(f"There is no file {file}.")
    job = job_creation.create_now(source, name, new, images_in=folder, confirmed=confirmed)
    for note in [*readings.notes(job.upload), *table_choices.notes_of(job.id)]:
        say(note)
    return job


@command("create-job")
@click.argument("file")
@click.option("--config", required=True, help="Name of a connection.")
@job_options
@click.option(
    "--start/--no-start", default=True, help="--no-start: create it paused; resume it to start."
)
def create_job(file, config, start, images, yes, **fields):
    """Create a job from FILE (or - for standard input) and print its id."""
    job = create(file, new_job(config, hold=not start, **fields), images, yes)
    put(str(job.id))
    say(f"Job {job.id} “{job.name}”: {counted(job.total, 'request')}, {job.status}.")
    if start and lifecycle.runner_state() == "none":
        if lifecycle.by_workers():
            say(f"No worker is running: start one with {lifecycle.WORKER_COMMAND}")
        else:
            say(
                f"Nothing runs jobs now: start the server (python run.py), or flask run-job {job.id}."
            )


@command("share-job")
@_job_id
@click.argument("sharing", type=click.Choice([level.value for level in Sharing]))
def share_job(job_id, sharing):
    """Set who else sees a job: private, view (every user), edit (operators change it too)."""
    share(job_id, sharing, actor="cli")
    say(f"Job {job_id}: {sharing_word(sharing)}.")


@command("tag-job")
@_job_id
@click.option("--add", multiple=True, metavar="TAG", help="Give the job this tag; can be repeated.")
@click.option("--remove", multiple=True, metavar="TAG", help="Take this tag away; can be repeated.")
def tag_job(job_id, add, remove):
    """Change the tags of a job; without options they are printed."""
    now = tags_of(jobs.get(job_id).tags)
    if not add and not remove:
        for tag in now:
            put(tag)
        return
    rest = job_tags.without(now, tags_of(",".join(remove)))
    job_tags.replace(job_id, (*rest, *tags_of(",".join(add))), actor="cli")
    tags = jobs.get(job_id).tags
    say(f"Job {job_id}: {tags}." if tags else f"Job {job_id} has no tags.")


@command("pause-job")
@_job_id
def pause_job(job_id):
    """Pause a job: no new calls; those in flight finish."""
    jobs.pause(job_id, actor="cli")
    say(f"Job {job_id} is paused.")


@command("resume-job")
@_job_id
@click.option("--spend-cap", type=PRICE, help="First set the spend cap to this.")
@click.option(
    "--leave-out",
    multiple=True,
    metavar="PARAMETER",
    help="Send no request of this job with this parameter. May be repeated.",
)
def resume_job(job_id, spend_cap, leave_out):
    """Resume a paused job."""
    if spend_cap is not None:
        now = choices.of(jobs.get(job_id))
        jobs.edit(job_id, msgspec.structs.replace(now, spend_cap=spend_cap), actor="cli")
    if spend_cap is None or leave_out or jobs.get(job_id).status == JobStatus.PAUSED:
        jobs.resume(job_id, actor="cli", leave_out=leave_out)
    say(f"Job {job_id} is queued.")


@command("cancel-job")
@_job_id
def cancel_job(job_id):
    """Cancel a job. Finished answers are kept."""
    jobs.cancel(job_id, actor="cli")
    say(f"Job {job_id} is {jobs.get(job_id).status}.")


@command("send-rest-now")
@_job_id
@click.option("--yes", is_flag=True, help="Do not ask.")
def send_rest_now(job_id, yes):
    """Send the rest of a job by calls: its batches are cancelled, finished answers are kept."""
    job = jobs.get(job_id)
    if batch_service.may_send_rest(job):
        extra = batch_service.extra_cost(job)
        more = "more" if extra is None else f"about {in_units(extra, job.currency)} more"
        confirm(yes, f"Send the rest of job {job_id} “{job.name}” by calls? It costs {more}.")
    batch_service.send_rest_now(job_id, actor="cli")
    say(f"The rest of job {job_id} is sent now.")


@command("retry-job")
@_job_id
@click.option("--cause", type=click.Choice([cause.value for cause in Cause]))
@click.option(
    "--outcome",
    type=click.Choice(sorted(one.value for one in job_retry.RETRIABLE)),
    help="Requests with such answers, also those that succeeded.",
)
@click.option(
    "--double-max-tokens", is_flag=True, help="With --outcome: twice what each request had."
)
@click.option("--config", metavar="ALIAS", help="Send them to this connection.")
def retry_job(job_id, cause, outcome, double_max_tokens, config):
    """Run failed requests again: all, those of one cause, or those whose answers have an outcome."""
    if double_max_tokens and outcome is None:
        raise click.UsageError("--double-max-tokens needs --outcome, for example cut_off.")
    other = Changes(
        config_id=None if config is None else configs.get(config).id,
        double_max_tokens=double_max_tokens,
    )
    wanted = RequestFilter(cause=cause, outcome=outcome)
    count = job_retry.retry(job_id, wanted, other, actor="cli")
    say(f"{counted(count, 'request')} of job {job_id} will be run again.")


@command("reset-job")
@_job_id
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset_job(job_id, yes):
    """Delete all results. The job waits until you resume it."""
    confirm(yes, f"Forget all results of job {job_id} “{jobs.get(job_id).name}”?")
    jobs.reset(job_id, actor="cli")
    say(f"Job {job_id} has no results any more. To start it: flask resume-job {job_id}")


COMMANDS = (
    create_job,
    share_job,
    tag_job,
    pause_job,
    resume_job,
    cancel_job,
    send_rest_now,
    retry_job,
    reset_job,
)
