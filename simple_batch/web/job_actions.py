"""What a page may do to a job: POST, CSRF token, 303."""

from flask import Blueprint, flash, redirect, request, url_for
from flask_babel import gettext as _
from flask_babel import ngettext

from .. import jobs
from ..errors import Conflict
from ..store.filters import RequestFilter

blueprint = Blueprint("job_actions", __name__)

_SIMPLE = {"pause": jobs.pause, "resume": jobs.resume, "cancel": jobs.cancel, "reset": jobs.reset}


@blueprint.post("/jobs/<int:job_id>/<any(pause, resume, cancel, reset):action>")
def change(job_id: int, action: str):
    """Pause, resume, cancel or reset."""
    try:
        _SIMPLE[action](job_id)
    except Conflict as error:
        flash(str(error), "warning")
    return _back(job_id)


@blueprint.post("/jobs/<int:job_id>/retry")
def retry(job_id: int):
    """Run failed requests again: those selected (``index``), else those that the filters name."""
    indices = request.form.getlist("index", type=int)
    try:
        if indices:
            count = jobs.retry_requests(job_id, indices)
        else:
            count = jobs.retry(job_id, RequestFilter.parse(request.form))
    except Conflict as error:
        flash(str(error), "warning")
    else:
        text = ngettext(
            "%(num)s request will be run again.", "%(num)s requests will be run again.", count
        )
        flash(text, "success")
    return _back(job_id)


@blueprint.post("/jobs/<int:job_id>/delete")
def delete(job_id: int):
    """Delete the job with everything in it."""
    name = jobs.get(job_id).name
    jobs.delete(job_id)
    flash(_("Deleted “%(name)s”.", name=name), "success")
    return redirect(url_for("jobs_list.index"), 303)


def _back(job_id: int):
    return redirect(url_for("job_pages.overview", job_id=job_id), 303)
