"""list-jobs and show-job."""

import click

from .. import insight
from ..core.domain import JobStatus
from ..core.terminal import shown_line
from ..insight.summary import iso
from ..store import jobs
from .base import command, put_field, put_json, put_table


@command("list-jobs")
@click.option("--status", type=click.Choice([status.value for status in JobStatus]))
@click.option("--tag", metavar="TAG", help="Only jobs with this tag.")
@click.option("--deleted", is_flag=True, help="List the jobs in the bin instead.")
@click.option("--json", "as_json", is_flag=True)
def list_jobs(status, tag, deleted, as_json):
    """List jobs, newest first."""
    if deleted and (status or tag):
        other = "--status" if status else "--tag"
        raise click.UsageError(f"Give --deleted or {other}, not both.")
    if deleted:
        _list_deleted(as_json)
        return
    page, found = 1, []
    while True:
        rows = insight.jobs_page(status=status, tag=tag, page=page, per_page=500)
        found += rows.rows
        if page >= rows.pages:
            break
        page += 1
    if as_json:
        put_json([insight.summary(row["id"]) for row in found])
        return
    put_table(
        ["id", "name", "status", "total", "ok", "failed", "left", "tags"],
        [
            [
                row["id"],
                row["name"],
                row["outcome_status"] or row["status"],
                row["total"],
                row["succeeded"],
                row["failed"],
                row["total"] - row["succeeded"] - row["failed"] - row["cancelled"],
                ", ".join(row["tags"]),
            ]
            for row in found
        ],
    )


def _list_deleted(as_json: bool) -> None:
    """What is in the bin."""
    from ..services import job_bin  # here: it loads what runs jobs

    found = job_bin.listing()
    if as_json:
        times = ("deleted_at", "removed_at")
        rows = [job._asdict() | {name: iso(getattr(job, name)) for name in times} for job in found]
        put_json(rows)
        return
    header = ["id", "name", "status", "total", "ok", "failed", "deleted", "kept until"]
    put_table(
        header,
        [
            [
                *(job.id, job.name, job.outcome_status or job.status),
                *(job.total, job.succeeded, job.failed),
                *(iso(job.deleted_at), iso(job.removed_at)),
            ]
            for job in found
        ],
    )


@command("show-job")
@click.argument("job_id", type=int)
@click.option("--json", "as_json", is_flag=True)
def show_job(job_id, as_json):
    """Show the figures of a job."""
    found = insight.summary(job_id)
    if as_json:
        put_json(found)
        return
    for name, value in found.items():
        if isinstance(value, dict):
            value = ", ".join(
                f"{key} {'unknown' if part is None else part}"
                for key, part in value.items()
                if not isinstance(part, list)
            )
        elif isinstance(value, list):
            value = ", ".join(_item(item) for item in value) or "none"
        put_field(name, "" if value is None else shown_line(str(value)))
    template = jobs.get(job_id).template_from
    if template:
        put_field("template", template)


def _item(item: dict | str) -> str:
    """A tag, a cause with its count, what one way saved, or a part."""
    if isinstance(item, str):
        return item
    if "provider_id" in item:
        return _part(item)
    if "cause" in item:
        return f"{item['cause']} {item['count']}"
    amount = "unknown" if item["amount"] is None else item["amount"]
    return f"{item['by']} {item['calls']} calls {amount} {item['currency']}"


def _part(part: dict) -> str:
    done = f"{part['succeeded']} succeeded, {part['failed']} failed of {part['requests']}"
    return f"{part['id']} {part['provider_id'] or 'not sent'} {part['status']} ({done})"


COMMANDS = (list_jobs, show_job)
