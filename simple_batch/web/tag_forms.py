"""The tags of a job, changed on its pages; web/jobs.py changes those of several jobs."""

from flask import Blueprint, flash, redirect, request, url_for
from flask_babel import gettext as _

from ..core.errors import InvalidInput
from ..services import job_tags
from ..services.tags import tags_of
from .labels import translated

blueprint = Blueprint("job_tags", __name__)


@blueprint.post("/jobs/<int:job_id>/tags")
def save(job_id: int):
    """Give the job the tags that the form names."""
    try:
        job_tags.replace(job_id, tags_of(request.form.get("tags", "")))
        flash(_("Tags saved."), "success")
    except InvalidInput as error:
        flash(translated(error), "warning")
    return redirect(url_for("job_pages.overview", job_id=job_id), 303)
