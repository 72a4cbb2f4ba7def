"""The list of jobs."""

from flask import Blueprint, redirect, render_template, request, url_for

from .. import configs, insight
from ..domain import JobStatus
from ..errors import InvalidInput

blueprint = Blueprint("jobs_list", __name__)

PER_PAGE = 50


@blueprint.get("/")
def home():
    """The list is the start."""
    return redirect(url_for("jobs_list.index"), 303)


@blueprint.get("/jobs")
def index():
    """Jobs by status, name, config; the table alone where a fragment is asked for."""
    wanted = {
        "status": request.args.get("status", ""),
        "q": request.args.get("q", "").strip(),
        "config": request.args.get("config", ""),
        "sort": request.args.get("sort", "-created"),
    }
    if wanted["status"] and wanted["status"] not in set(JobStatus):
        raise InvalidInput(f"status={wanted['status']!r}: use one of {', '.join(JobStatus)}.")
    page = insight.jobs_page(
        status=wanted["status"] or None,
        q=wanted["q"],
        config=wanted["config"] or None,
        sort=wanted["sort"],
        page=request.args.get("page", 1, type=int),
        per_page=PER_PAGE,
    )
    counts = insight.job_counts()
    context = {
        "page": page,
        "wanted": wanted,
        "args": {name: value for name, value in wanted.items() if value},
        "counts": counts,
        "filtered": bool(wanted["status"] or wanted["q"] or wanted["config"]),
    }
    if request.args.get("fragment"):
        return render_template("jobs/table.html", **context)
    return render_template("jobs/list.html", configs=configs.list_all(), **context)


@blueprint.app_context_processor
def running() -> dict:
    """How many jobs run now, for the navigation."""
    return {"running_jobs": lambda: insight.job_counts().get(JobStatus.RUNNING, 0)}
