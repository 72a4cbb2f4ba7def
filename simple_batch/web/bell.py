"""The bell of the navigation: the finished jobs of a user, as a list there and as a page."""

from flask import Blueprint, Flask, current_app, render_template, request

from ..core import identity
from ..services import finished_jobs

blueprint = Blueprint("finished_jobs", __name__)

IN_LIST, ON_PAGE = 10, 50  # more where more are new


@blueprint.get("/finished")
def index():
    """The jobs that ended last, those that are new to the user marked; with ``fragment`` as the bell shows
    them. They count as seen from then on, so all that the bell counts are among them."""
    caller = identity.current()
    seen_at, new = finished_jobs.seen_at(caller), finished_jobs.unseen(caller)
    fragment = "fragment" in request.args
    jobs = finished_jobs.latest(max(new, IN_LIST if fragment else ON_PAGE))
    finished_jobs.mark_seen()
    current_app.extensions["simple_batch_feed"].finished_seen()
    template = "finished/list.html" if fragment else "finished/page.html"
    return render_template(template, jobs=jobs, seen_at=seen_at)


@blueprint.record_once
def _register(state) -> None:
    app: Flask = state.app
    app.add_template_global(lambda: finished_jobs.unseen(identity.current()), "unseen_jobs")
    app.jinja_env.globals["most_unseen_jobs"] = finished_jobs.MOST_UNSEEN
