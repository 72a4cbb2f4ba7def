"""Ratings of answers: forms in the drawer, on the request page and over the results grid."""

from flask import Blueprint, Response, flash, redirect, render_template, request, url_for
from flask_babel import ngettext

from .. import insight
from ..core.errors import Conflict, InvalidInput
from ..core.messages import translatable
from ..services import jobs, judging
from ..store.models import Job
from ..store.ratings import Change
from ..store.request_filter import RequestFilter
from ..store.row_selection import Selection
from .job_results import back_to_grid
from .labels import translated
from .rating_view import rating_context

blueprint = Blueprint("job_ratings", __name__)


@blueprint.post("/jobs/<int:job_id>/requests/<int:index>/rating")
def rate(job_id: int, index: int):
    """Rate one answer: ``set_score``, ``add_label`` and ``remove_label``, ``set_note``; with
    ``fragment`` the answer is the form as it is then."""
    job = jobs.get(job_id)
    fragment = request.form.get("fragment") == "1"
    try:
        answered_at = request.form.get("answered", type=int)
        judging.rate(job_id, index, _change(job), answered_at)
    except (Conflict, InvalidInput) as error:
        if fragment:
            status = 409 if isinstance(error, Conflict) else 400
            return Response(translated(error), status, content_type="text/plain; charset=utf-8")
        flash(translated(error), "warning")
    if fragment:
        found = insight.request_detail(job_id, index)
        return render_template("job/rating.html", job=job, **rating_context(job, found))
    return redirect(url_for("job_requests.detail", job_id=job_id, index=index), 303)


def _change(job: Job) -> Change:
    return judging.change(
        job,
        request.form.get("set_score"),
        [part for text in request.form.getlist("add_label") for part in text.split(",")],
        request.form.getlist("remove_label"),
        request.form.get("set_note"),
    )


@blueprint.post("/jobs/<int:job_id>/ratings")
def rate_all(job_id: int):
    """Rate the answers that are selected, or all that the filters name; ``query`` is that of the grid."""
    job = jobs.get(job_id)
    try:
        wanted, selection = RequestFilter.parse(request.form), Selection.parse(request.form, job)
        if not selection and wanted == RequestFilter() and request.form.get("all") != "1":
            raise InvalidInput(translatable("Select the answers to rate first."), "rows")
        count = judging.rate_all(job_id, wanted, selection, _change(job))
    except (Conflict, InvalidInput) as error:
        flash(translated(error), "warning")
    else:
        flash(ngettext("Rated %(num)s answer.", "Rated %(num)s answers.", count), "success")
    return back_to_grid(job_id)


@blueprint.post("/jobs/<int:job_id>/ratings/settings")
def set_up(job_id: int):
    """Choose the scale and the labels that answers of the job are rated with."""
    jobs.get(job_id)
    labels = request.form.get("labels_offered", "").replace(",", "\n").splitlines()
    try:
        judging.set_up(job_id, request.form.get("scale", ""), labels)
    except (Conflict, InvalidInput) as error:
        flash(translated(error), "warning")
    return back_to_grid(job_id)
