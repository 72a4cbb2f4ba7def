"""What someone sees who has just installed the program: three steps, and a demo at a click."""

from flask import Blueprint, flash, redirect, url_for

from ..core.errors import Conflict
from ..services import configs, demo_job, drafts
from .form_keys import once, undone
from .labels import translated

blueprint = Blueprint("first_steps", __name__)


@blueprint.post("/demo")
@once
def run_demo():
    """Run the demo in this server; redirect to its job."""
    try:
        job = demo_job.run()
    except Conflict as error:
        undone()
        flash(translated(error), "warning")
        return redirect(url_for("jobs_list.index"), 303)
    return redirect(url_for("job_pages.overview", job_id=job.id), 303)


def done_steps() -> dict[str, bool]:
    """Which of the steps to the first job are done, and whether the demo can be run."""
    return {
        "connected": bool(configs.list_all(active=True)),
        "brought": bool(drafts.listed()),
        "demo": demo_job.offered(),
    }
