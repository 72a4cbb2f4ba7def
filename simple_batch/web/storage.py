"""Disk usage, what the retention settings would remove, and the button that removes it."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext

from ..core import context
from ..core.errors import InvalidInput
from ..core.settings import Settings
from ..services import jobs, retention, retention_rules
from ..services.retention_rules import GB
from .labels import translated

blueprint = Blueprint("storage", __name__, url_prefix="/storage")

SHOWN = 50  # of each kind
RULES = {
    "RETENTION_JOBS_DAYS": lazy_gettext("Delete finished jobs after (days)"),
    "RETENTION_JOBS_MAX_BYTES": lazy_gettext(
        "Delete the oldest jobs while the database is larger than (GB)"
    ),
    "RETENTION_UPLOADS_DAYS": lazy_gettext("Delete uploads of finished jobs after (days)"),
    "RETENTION_UPLOADS_MAX_BYTES": lazy_gettext(
        "Delete the oldest uploads while they are larger than (GB)"
    ),
    "RETENTION_RESULTS_DAYS": lazy_gettext("Delete result files of the Batch API after (days)"),
    "RETENTION_EXPORTS_DAYS": lazy_gettext("Delete exports after (days)"),
    "RETENTION_EXPORTS_MAX_BYTES": lazy_gettext(
        "Delete the oldest exports while they are larger than (GB)"
    ),
}


@blueprint.get("")
def index():
    """Sizes, rules, and what would be removed now."""
    settings, rules = context.settings(), retention_rules.in_force()
    return render_template(
        "storage.html",
        sizes=retention.sizes(),
        rules=retention.rules(rules),
        auto=rules.RETENTION_AUTO,
        fields=_fields(rules),
        auto_fixed="RETENTION_AUTO" in retention_rules.fixed(),
        backup_hours=settings.BACKUP_EVERY_HOURS,
        plan=retention.plan(),
        shown=SHOWN,
    )


@blueprint.post("/rules")
def set_rules():
    """Set the rules of the form. What the environment or settings.toml sets stays as it is."""
    values: dict = {"RETENTION_AUTO": "RETENTION_AUTO" in request.form}
    for name in RULES:
        text = request.form.get(name, "").strip() or "0"
        values[name] = _bytes(text) if name.endswith("_BYTES") else text
    try:
        retention.set_rules(values)
        flash(_("Cleanup rules saved."), "success")
    except InvalidInput as error:
        flash(translated(error), "warning")
    return redirect(url_for("storage.index"), 303)


def _bytes(text: str) -> int | str:
    """Of a number of GB; what is none is returned as it is."""
    try:
        return round(float(text) * GB)
    except (ValueError, OverflowError):
        return text


def _fields(rules: Settings) -> list[dict]:
    """The rules as the form shows them, an empty field for one that is off."""
    fixed = retention_rules.fixed()
    found = []
    for name, label in RULES.items():
        value = getattr(rules, name) / (GB if name.endswith("_BYTES") else 1)
        shown = f"{value:.6f}".rstrip("0").rstrip(".") if value else ""
        found.append({"name": name, "label": label, "value": shown, "fixed": name in fixed})
    return found


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
