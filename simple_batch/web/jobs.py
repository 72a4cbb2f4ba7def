"""The list of jobs."""

from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import ngettext

from .. import insight
from ..auth import job_rights
from ..auth.job_rights import Right
from ..core import identity
from ..core.domain import JobStatus, Sharing
from ..core.errors import Conflict, Forbidden, InvalidInput, NotFound
from ..core.messages import translatable
from ..core.request_input import page_number
from ..insight.jobs import MINE, SHARED, JobRow, Whose
from ..services import configs, job_bin, job_retry, job_tags, jobs, sharing
from ..services.tags import tags_of
from .deleted_jobs import flash_deleted
from .first_steps import done_steps
from .form_keys import once
from .labels import translated

blueprint = Blueprint("jobs_list", __name__)

PER_PAGE = 50
RUNNING_SHOWN = 5
_BULK = {
    "pause": jobs.pause,
    "resume": jobs.resume,
    "cancel": jobs.cancel,
    "retry": job_retry.retry,
    "delete": jobs.delete,
    **{f"share-{level}": partial(sharing.share, wanted=level) for level in Sharing},
}
_OWNER_ONLY = {"delete", *(f"share-{level}" for level in Sharing)}
_TAGGING = {"tag": job_tags.add, "untag": job_tags.remove}


@blueprint.get("/")
def home():
    """Redirect to the list."""
    return redirect(url_for("jobs_list.index"), 303)


@blueprint.get("/jobs")
def index():
    """Jobs by the status they are shown with, name, config; htmx gets only the table."""
    wanted = {
        "status": request.args.get("status", ""),
        "q": request.args.get("q", "").strip(),
        "config": request.args.get("config", ""),
        "tag": request.args.get("tag", "").strip(),
        "sort": request.args.get("sort", "-created"),
        "whose": request.args.get("whose", ""),
    }
    if wanted["status"] and wanted["status"] not in set(JobStatus):
        raise InvalidInput(
            translatable(
                "status=%(status)r: use one of %(allowed)s.",
                status=wanted["status"],
                allowed=", ".join(JobStatus),
            )
        )
    whose = _whose(wanted["whose"])
    filters = {
        "viewer": identity.current().sees,
        "whose": whose,
        "q": wanted["q"],
        "config": wanted["config"] or None,
        "tag": wanted["tag"] or None,
    }
    page = insight.jobs_page(
        **filters,
        shown=wanted["status"] or None,
        sort=wanted["sort"],
        page=request.args.get("page", 1, type=page_number),
        per_page=PER_PAGE,
    )
    counts = insight.shown_counts(**filters)
    context = {
        "page": page,
        "wanted": wanted,
        "args": {name: value for name, value in wanted.items() if value},
        "counts": counts,
        "binned": job_bin.count(identity.current().sees),
        "aliases": configs.aliases(),
        "sharing_words": sharing.WORDS,
        "tags": insight.job_tags(identity.current().sees),
        "filtered": bool(whose) or any(wanted[name] for name in ("status", "q", "config", "tag")),
    }
    if wanted["status"] != JobStatus.RUNNING and counts.get(JobStatus.RUNNING):
        context["running"] = _running_now([row["id"] for row in page.rows], filters)
    if not counts and not context["filtered"]:
        context["steps"] = done_steps()
    if request.headers.get("HX-Request"):
        page = render_template("jobs/table.html", **context)
    else:
        page = render_template("jobs/list.html", **context)
    return page, {"Vary": "HX-Request, Cookie"}


def _whose(given: str) -> Whose | None:
    """The list that the URL asks for; None for all jobs."""
    if given not in ("", MINE, SHARED):
        raise InvalidInput(
            translatable(
                "whose=%(given)r: use one of %(allowed)s.",
                given=given[:40],
                allowed=", ".join((MINE, SHARED)),
            ),
            "whose",
        )
    return Whose(identity.current().user, given) if given else None


def _running_now(shown: list[int], filters: dict[str, Any]) -> list[JobRow]:
    """The latest running jobs that match, for the top of the page; none where the table begins with them."""
    found = insight.jobs_page(**filters, shown=JobStatus.RUNNING, per_page=RUNNING_SHOWN)
    running = {row["id"] for row in found.rows}
    return [] if running == set(shown[: len(running)]) else list(found.rows)


@blueprint.post("/jobs/bulk")
@once
def bulk():
    """Pause, resume, cancel, retry, share, delete, tag or untag (``tags``) the selected jobs."""
    action = request.form.get("action", "")
    if action not in _BULK and action not in _TAGGING:
        raise InvalidInput(
            translatable(
                "action=%(action)r: use one of %(allowed)s.",
                action=action,
                allowed=", ".join((*_BULK, *_TAGGING)),
            ),
            "action",
        )
    chosen = request.form.getlist("job", type=int)
    act = _BULK.get(action) or _tagging(action)
    done, refused = [], []
    for job_id in chosen:
        try:
            job_rights.need(job_id, Right.OWN if action in _OWNER_ONLY else Right.EDIT)
            act(job_id)
            done.append(job_id)
        except (Conflict, Forbidden, NotFound, InvalidInput) as error:
            refused.append(translated(error))
    if done and action == "delete":
        flash_deleted(done, ngettext("Deleted %(num)s job.", "Deleted %(num)s jobs.", len(done)))
    elif done:
        flash(ngettext("Done for %(num)s job.", "Done for %(num)s jobs.", len(done)), "success")
    for message in refused[:5]:
        flash(message, "warning")
    if len(refused) > 5:
        flash(_("and %(n)s more", n=len(refused) - 5), "warning")
    if not chosen:
        flash(_("Select jobs first."), "warning")
    back = request.form.get("back", "")
    listed = url_for("jobs_list.index")
    return redirect(back if back == listed or back.startswith(f"{listed}?") else listed, 303)


def _tagging(action: str) -> Callable[[int], object]:
    """Adds or removes the tags of the form. Raises InvalidInput where there are none."""
    tags = tags_of(request.form.get("tags", ""))
    if not tags:
        raise InvalidInput(translatable("Enter a tag first."), "tags")
    return partial(_TAGGING[action], tags=tags)


@blueprint.app_context_processor
def running() -> dict:
    """How many jobs run now, for the navigation."""
    return {"running_jobs": lambda: _running()}


def _running() -> int:
    return insight.job_counts(identity.current().sees).get(JobStatus.RUNNING, 0)
