"""What a page may do to a job: POST, CSRF token, 303."""

from collections.abc import Callable
from typing import TypeVar

from flask import Blueprint, flash, redirect, request, url_for
from flask_babel import gettext as _
from flask_babel import ngettext

from ..core.errors import Conflict, InvalidInput, UploadRejected
from ..core.messages import translatable
from ..core.request_input import whole, with_large_field
from ..services import (
    answer_scores,
    batch_service,
    drafts,
    faster,
    job_retry,
    jobs,
    new_from_rows,
    sharing,
)
from ..store.request_filter import RequestFilter
from ..store.requeue import Changes
from ..store.row_selection import MAX_ROWS, Selection
from .deleted_jobs import flash_deleted
from .draft_forms import WORKBENCH
from .form_keys import once, undone
from .job_requests import Edit, here, request_page
from .job_results import back_to_grid
from .labels import translated

blueprint = Blueprint("job_actions", __name__)

Number = TypeVar("Number", int, float)

_SIMPLE = {
    "pause": jobs.pause,
    "cancel": jobs.cancel,
    "reset": jobs.reset,
    "send_rest_now": batch_service.send_rest_now,
    "try_faster": faster.try_faster,
}


@blueprint.post(
    "/jobs/<int:job_id>/<any(pause, resume, cancel, reset, send_rest_now, try_faster):action>"
)
def change(job_id: int, action: str):
    """Pause, resume, cancel, reset, send the rest now, or try faster. With ``leave_out``, a job is resumed without these parameters."""
    try:
        if action == "resume":
            jobs.resume(job_id, leave_out=request.form.getlist("leave_out"))
        else:
            _SIMPLE[action](job_id)
    except (Conflict, InvalidInput) as error:
        flash(translated(error), "warning")
    return _back(job_id)


@blueprint.post("/jobs/<int:job_id>/retry")
@once
def retry(job_id: int):
    """Run failed requests again, another way if one is given: those selected (``index``), or of the rows
    of the results that match those that may be retried, else the failed ones that the filters name."""
    selection = _selection(job_id)
    try:
        other = _other()
        _check_named(selection)
        if selection.indices and not selection.conditions:
            count = job_retry.retry_requests(job_id, list(selection.indices), other)
        elif selection.conditions or "query" in request.form:
            count = job_retry.retry_selected(job_id, _wanted(), selection, other)
        else:
            count = job_retry.retry(job_id, _wanted(), other)
    except (Conflict, InvalidInput) as error:
        undone()
        flash(translated(error), "warning")
    else:
        text = ngettext("Retrying %(num)s request.", "Retrying %(num)s requests.", count)
        selected = request.form.get("selected", type=int) or len(selection.indices)
        left = _left_as_they_are(selected - count) if selected <= MAX_ROWS else []
        flash(" ".join([text, *left]), "success")
    return back_to_grid(job_id) if "query" in request.form else _back(job_id)


def _check_named(selection: Selection) -> None:
    """Raises InvalidInput where a form of selected rows (``selection``, or with the ``query`` of the grid)
    names none: all are not meant then."""
    named = selection or _wanted() != RequestFilter() or "all" in request.form
    if not named and not {"query", "selection"}.isdisjoint(request.form):
        raise InvalidInput(translatable("Select the requests first."), "rows")


def _left_as_they_are(count: int) -> list[str]:
    """What is said of selected rows that need no retry."""
    if count <= 0:
        return []
    return [
        ngettext(
            "%(num)s selected row is not retried: it is pending, or its answer is OK.",
            "%(num)s selected rows are not retried: they are pending, or their answers are OK.",
            count,
        )
    ]


@blueprint.post("/jobs/<int:job_id>/again")
@once
def new_job_of(job_id: int):
    """Rows of this job, as the filters name them, as the data of a new one."""
    selection = _selection(job_id)
    try:
        _check_named(selection)
        begun = new_from_rows.begin(job_id, _wanted(), selection)
    except (InvalidInput, UploadRejected) as error:
        undone()
        flash(translated(error), "warning")
        return _back(job_id)
    if begun.notes:
        flash(" ".join(map(translated, begun.notes)), "info")
    drafts.begin(begun.upload.id, WORKBENCH, begun.options)
    return redirect(url_for("workbench.screen", upload_id=begun.upload.id), 303)


@blueprint.post("/jobs/<int:job_id>/columns")
@once
def columns_of(job_id: int):
    """A new job that reads the answers, as the filters name them, and gives each a score and a reason."""
    selection = _selection(job_id)
    try:
        _check_named(selection)
        upload, names = answer_scores.stage(job_id, _wanted(), selection)
    except (InvalidInput, UploadRejected) as error:
        undone()
        flash(translated(error), "warning")
        return _back(job_id)
    begun = answer_scores.options(
        job_id,
        names,
        _("%(name)s: scores", name=jobs.get(job_id).name)[:200],
        _(
            "You rate answers of a language model. Give a score from 1 (useless) to 5 (excellent), and the "
            "reason in one sentence. Answer in JSON with “score” and “reason”."
        ),
        (_("The request:"), _("The answer:")),
    )
    drafts.begin(upload.id, WORKBENCH, begun)
    return redirect(url_for("workbench.screen", upload_id=upload.id), 303)


@blueprint.post("/jobs/<int:job_id>/requests/<int:index>/send")
@with_large_field
@once
def send_again(job_id: int, index: int):
    """One request, edited, once more. What cannot be sent comes back in the editor."""
    text = request.form.get("body", "").replace("\r\n", "\n")  # as the editor counts characters
    try:
        job_retry.send_again(job_id, index, text)
    except (Conflict, InvalidInput) as error:
        edit = Edit(text, translated(error), getattr(error, "place", None))
        status = 409 if isinstance(error, Conflict) else 422
        return request_page(job_id, index, edit), status
    flash(_("Sent again. The new answer replaces the old one."), "success")
    return redirect(here(job_id, index), 303)


@blueprint.get("/jobs/<int:job_id>/requests/<int:index>/send")
def sent(job_id: int, index: int):
    """The page of the request, for a browser that loads the address of the form again."""
    return redirect(here(job_id, index), 303)


def _wanted() -> RequestFilter:
    """The filter in the form, whose names may not be those of the changes."""
    return RequestFilter.parse(
        {name: text for name, text in request.form.items() if not name.startswith("new_")}
    )


def _selection(job_id: int) -> Selection:
    """The conditions on columns and the single requests in the form."""
    return Selection.parse(request.form, jobs.get(job_id))


def _other() -> Changes:
    """The changes in the form. Raises InvalidInput."""
    return Changes(
        _number("config", whole),
        _number("timeout_s", float),
        _number("max_tokens", whole),
        request.form.get("new_double_max_tokens") == "1",
    )


def _number(name: str, parse: Callable[[str], Number]) -> Number | None:
    """The number in the field ``new_`` + name; None where it is empty. Raises InvalidInput."""
    text = request.form.get(f"new_{name}", "").strip()
    try:
        return parse(text) if text else None
    except ValueError:
        raise InvalidInput(
            translatable("%(name)s: %(text)r is not a number.", name=name, text=text[:60]), name
        ) from None


@blueprint.post("/jobs/<int:job_id>/share")
def share(job_id: int):
    """Set who else sees the job, as ``sharing`` says."""
    wanted = request.form.get("sharing", "")
    if sharing.share(job_id, wanted):
        flash(_("Sharing: %(level)s.", level=translated(sharing.word(wanted))), "success")
    return _back(job_id)


@blueprint.post("/jobs/<int:job_id>/delete")
def delete(job_id: int):
    """Delete the job with everything in it; it can be restored while it is in the bin."""
    name = jobs.get(job_id).name
    jobs.delete(job_id)
    flash_deleted([job_id], _("Deleted “%(name)s”.", name=name))
    return redirect(url_for("jobs_list.index"), 303)


def _back(job_id: int):
    return redirect(url_for("job_pages.overview", job_id=job_id), 303)
