"""One job: overview, errors, events, export."""

from urllib.parse import quote

from flask import Blueprint, Response, jsonify, render_template, request, stream_with_context

from .. import export, insight, jobs
from ..domain import Cause
from ..errors import InvalidInput

blueprint = Blueprint("job_pages", __name__)


def common(job_id: int) -> dict:
    """What the head of every page of a job shows."""
    job = jobs.get(job_id)
    return {
        "job": job,
        "progress": insight.progress(job_id),
        "allowed": jobs.allowed_actions(job),
        "runner": jobs.runner_state(),
        "storage_fault": jobs.storage_fault(),
        "formats": export.FORMATS,
    }


@blueprint.get("/jobs/<int:job_id>")
def overview(job_id: int):
    """Where the job stands: throughput, largest error groups, what finished last."""
    return render_template(
        "job/overview.html",
        tab="overview",
        groups=insight.error_groups(job_id)[:3],
        buckets=insight.buckets(job_id, points=120),
        **common(job_id),
    )


@blueprint.get("/jobs/<int:job_id>/progress.json")
def progress(job_id: int):
    """For clients whose socket is gone."""
    return jsonify(insight.progress(job_id))


@blueprint.get("/jobs/<int:job_id>/errors")
def errors(job_id: int):
    """Groups of failures alike, and the newest failed attempts."""
    cause = request.args.get("cause") or None
    if cause is not None and cause not in set(Cause):
        raise InvalidInput(f"cause={cause!r}: use one of {', '.join(Cause)}.", "cause")
    group = request.args.get("group") or None
    return render_template(
        "job/errors.html",
        tab="errors",
        groups=insight.error_groups(job_id),
        attempts=insight.attempts_page(job_id, cause, group, request.args.get("before", type=int)),
        cause=cause,
        group=group,
        causes=list(Cause),
        **common(job_id),
    )


@blueprint.get("/jobs/<int:job_id>/events")
def events(job_id: int):
    """Every change of status."""
    return render_template(
        "job/events.html", tab="events", events=insight.events(job_id), **common(job_id)
    )


@blueprint.get("/jobs/<int:job_id>/export")
def download(job_id: int):
    """The results as a file, streamed."""
    job = jobs.get(job_id)
    form, only = request.args.get("format", "jsonl"), request.args.get("only", "all")
    pieces = export.export(job_id, form, only)
    name = export.filename(job, form, only)
    ascii_name = name.encode("ascii", "replace").decode().replace("?", "_")
    disposition = f"attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(name)}"
    return Response(
        stream_with_context(pieces),
        content_type=export.content_type(form),
        headers={"Content-Disposition": disposition, "Cache-Control": "no-store"},
    )
