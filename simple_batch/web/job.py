"""One job: overview, errors, events, export."""

import csv
import io

from flask import Blueprint, jsonify, render_template, request
from flask_babel import lazy_gettext as _

from .. import export, insight
from ..auth import audit_log
from ..auth.guard import current_right
from ..auth.job_rights import Right
from ..core import content, identity
from ..core.clock import now_ms
from ..core.domain import FINAL_STATUSES, Cause, Role
from ..core.errors import InvalidInput
from ..core.messages import listed, translatable
from ..export.csv_file import safe
from ..insight.parts import next_attempt_at, reported
from ..insight.summary import iso
from ..services import (
    adjusted_parameters,
    batch_offers,
    batch_service,
    configs,
    job_options,
    jobs,
    lifecycle,
    readings,
    recipes,
    sharing,
    webhooks,
)
from ..services.job_option_fields import DETAILS, JobOptions
from ..store.models import ApiConfig, BatchPart, Job
from ..store.request_filter import RequestFilter
from ..store.row_selection import Selection
from ..store.savings import saved
from . import labels
from .downloads import attached
from .option_fields import described
from .unanswered import no_answer

blueprint = Blueprint("job_pages", __name__)


_RIGHTS = {"clone": Right.SEE, "delete": Right.OWN, "reset": Right.OWN}  # the others: EDIT
ERROR_COLUMNS = (
    *("cause", "http_status", "message", "count", "share", "first_at", "last_at"),
    *("failed", "recovered"),
)
FORMAT_NAMES = {
    "json": "JSON",
    "jsonl": "JSONL",
    "csv": "CSV",
    "xlsx": "XLSX (Excel)",
    "parquet": "Parquet",
    "openai": "OpenAI JSONL",
    "requests": _("Requests (to upload again)"),
}


def common(of: Job | int) -> dict:
    """Template variables for the head of every page of a job."""
    job = jobs.known(of)
    return {
        "job": job,
        "progress": insight.progress(job),
        "allowed": _allowed(job),
        "extra_cost": batch_service.extra_cost(job) if batch_service.may_send_rest(job) else None,
        "shared": insight.by_config(job),
        "workers": insight.by_worker(job),
        "runner": lifecycle.runner_state(),
        "storage_fault": lifecycle.storage_fault(),
        "outcomes_known": insight.outcomes_known(job),
        "others": _others(job),
        "rejected": adjusted_parameters.offered(job),
        "left_out": adjusted_parameters.left_out(job),
        "waits_for_share": insight.waits_for_share(job),
        "sharing_words": sharing.WORDS,
        "formats": export.FORMATS,
        "format_names": FORMAT_NAMES,
    }


def _allowed(job: Job) -> set[str]:
    """What the caller may do with the job now."""
    if not identity.current().may(Role.OPERATOR):
        return set()
    more = {"send_rest_now"} if batch_service.may_send_rest(job) else set()
    right = current_right() or Right.SEE
    return {
        action
        for action in jobs.allowed_actions(job) | more
        if right >= _RIGHTS.get(action, Right.EDIT)
    }


def _others(job: Job) -> list[ApiConfig]:
    """The API configs that requests of the job can be retried with, besides its own."""
    found = configs.list_all(active=True)
    return [it for it in found if it.currency == job.currency and it.id != job.config_id]


@blueprint.get("/jobs/<int:job_id>")
def overview(job_id: int):
    """The state of the job: throughput, largest error groups, latest results."""
    job = jobs.get(job_id)
    chosen = job_options.of(job)
    groups = insight.error_groups(job)
    return render_template(
        "job/overview.html",
        tab="overview",
        groups=groups,
        no_answer=no_answer(groups, job.status in FINAL_STATUSES) if not job.succeeded else "",
        buckets=insight.buckets(job, points=120),
        chosen=chosen,
        details=_details(chosen),
        savings=saved(job),
        inputs_per_call=job_options.inputs_per_call(job),
        schema=content.pretty(job.schema.encode()) if job.schema else None,
        template=content.pretty(job.template.encode()) if job.template else None,
        outcome_words={code: str(word) for code, word in labels.OUTCOMES.items()},
        cause_words={code: str(word) for code, word in labels.CAUSES.items()},
        **common(job),
    )


def _details(chosen: JobOptions) -> list[tuple[str, object]]:
    """Names and values of further options that a job sets."""
    found = [(field, getattr(chosen, name)) for name, field in DETAILS.items()]
    return [
        (labels.translated(field.label), described(field, value))
        for field, value in found
        if value not in (None, (), field.default)
    ]


@blueprint.get("/jobs/<int:job_id>/progress.json")
def progress(job_id: int):
    """The figures as JSON, for clients that poll."""
    return jsonify(insight.progress(job_id))


@blueprint.get("/jobs/<int:job_id>/errors")
def errors(job_id: int):
    """Groups of similar failures, and the newest failed attempts."""
    cause = request.args.get("cause") or None
    if cause is not None and cause not in set(Cause):
        raise InvalidInput(
            translatable(
                "cause=%(cause)r: use one of %(allowed)s.", cause=cause, allowed=", ".join(Cause)
            ),
            "cause",
        )
    group = request.args.get("group") or None
    return render_template(
        "job/errors.html",
        tab="errors",
        groups=insight.error_groups(job_id),
        attempts=insight.attempts_page(job_id, cause, group, request.args.get("before", type=int)),
        cause=cause,
        group=group,
        causes=list(Cause),
        configs=configs.list_all(active=True),
        **common(job_id),
    )


@blueprint.get("/jobs/<int:job_id>/errors.csv")
def error_table(job_id: int):
    """The groups as CSV; times are ISO 8601 in UTC."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(ERROR_COLUMNS)
    for group in insight.error_groups(job_id):
        shown = {name: iso(group[name]) for name in ("first_at", "last_at")}
        shown["message"] = safe(group["message"])
        writer.writerow({**group, **shown}[name] for name in ERROR_COLUMNS)
    return attached(text.getvalue().encode(), f"job-{job_id}-errors.csv", "text/csv; charset=utf-8")


@blueprint.get("/jobs/<int:job_id>/parts")
def parts(job_id: int):
    """The batches of a job at a provider, the newest first."""
    job = jobs.get(job_id)
    found, more = insight.parts_page(job_id, request.args.get("before", type=int))
    profile = batch_offers.profile_of(job.config)
    return render_template(
        "job/parts.html",
        tab="parts",
        parts=[_part(part) for part in found],
        more=more,
        counts_at_end=profile is not None and profile.counts_at_end,
        cancels=profile is None or profile.cancel != "none",
        **common(job),
    )


def _part(part: BatchPart) -> dict:
    succeeded, failed = reported(part)
    until = part.ended_at or part.merged_at or now_ms()
    return {
        "part": part,
        "succeeded": succeeded,
        "failed": failed,
        "next_attempt_at": next_attempt_at(part),
        "age_s": max(0, (until - (part.sent_at or part.created_at)) // 1000),
    }


@blueprint.get("/jobs/<int:job_id>/events")
def events(job_id: int):
    """Every change of status."""
    return render_template(
        "job/events.html",
        tab="events",
        events=insight.events(job_id),
        deliveries=webhooks.deliveries(job_id),
        **common(job_id),
    )


@blueprint.get("/jobs/<int:job_id>/export")
def download(job_id: int):
    """The results as a file, streamed: all, succeeded, failed, or what the filters name."""
    job = jobs.get(job_id)
    form, only = request.args.get("format", "jsonl"), request.args.get("only", "all")
    raw = request.args.get("cells") == "raw"
    wanted, selection = RequestFilter.parse(request.args), Selection.parse(request.args, job)
    with_ratings = {"1": True, "0": False}.get(request.args.get("ratings", ""))
    pieces = export.export(job_id, form, only, wanted, raw, selection, with_ratings)
    name = export.filename(job, form, only)
    audit_log.note("job.export", f"job {job_id}", listed((form, translatable(only))))
    return attached(pieces, name, export.content_type(form))


@blueprint.get("/jobs/<int:job_id>/recipe")
def recipe(job_id: int):
    """Download the options of the job as a recipe."""
    job = jobs.get(job_id)
    new = job_options.of(job)
    if job.upload is not None:
        new.reading = readings.of(job.upload)
    return attached(recipes.dump(new), f"{job.name}.recipe.json")
