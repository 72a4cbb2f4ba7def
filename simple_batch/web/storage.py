"""Disk usage, what the retention settings would remove, and the button that removes it."""

from flask import Blueprint, flash, redirect, render_template, url_for
from flask_babel import gettext as _

from ..core import context
from ..services import jobs, retention

blueprint = Blueprint("storage", __name__, url_prefix="/storage")

SHOWN = 50  # of each kind


@blueprint.get("")
def index():
    """Sizes, rules, and what would be removed now."""
    settings = context.settings()
    return render_template(
        "storage.html",
        sizes=retention.sizes(),
        rules=retention.rules(settings),
        auto=settings.RETENTION_AUTO,
        backup_hours=settings.BACKUP_EVERY_HOURS,
        plan=retention.plan(),
        shown=SHOWN,
    )


@blueprint.post("/clean")
def clean():
    """Remove what the rules select now, which may be more than the page showed."""
    going = retention.plan()
    jobs.clean(going)
    if going:
        flash(_("The deletion has started."), "success")
    else:
        flash(_("Nothing to delete."), "success")
    return redirect(url_for("storage.index"), 303)
