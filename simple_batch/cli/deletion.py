"""delete-job and restore-job."""

import click

from ..core import context
from ..services import job_bin, jobs
from .base import command, confirm, say


@command("delete-job")
@click.argument("job_id", type=int)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--now", is_flag=True, help="Do not keep it in the bin.")
def delete_job(job_id, yes, now):
    """Delete a job with its requests and results. It stays in the bin for a day."""
    hours = context.settings().DELETED_JOBS_KEEP_HOURS
    binned = now and job_bin.holds(job_id)
    name = f"job {job_id}" if binned else f"job {job_id} “{jobs.get(job_id).name}”"
    if now or not hours:
        confirm(yes, f"Delete {name} with everything in it, for good?")
    else:
        confirm(
            yes, f"Delete {name} with everything in it? You can restore it for {hours:g} hours."
        )
    if binned:
        job_bin.remove(job_id, actor="cli")
    elif jobs.delete(job_id, actor="cli", at_once=now):
        say(
            f"Job {job_id} is in the bin for {hours:g} hours. To restore it: flask restore-job {job_id}"
        )
        return
    say(f"Job {job_id} is deleted.")


@command("restore-job")
@click.argument("job_id", type=int)
def restore_job(job_id):
    """Restore a deleted job from the bin."""
    job = job_bin.restore(job_id, actor="cli")
    say(f"Job {job_id} “{job.name}” is restored: {job.status}.")


COMMANDS = (delete_job, restore_job)
