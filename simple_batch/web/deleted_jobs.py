"""The bin: deleted jobs that can be restored."""

from collections.abc import Callable

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import ngettext

from ..auth import job_rights
from ..auth.job_rights import Right
from ..core import context, identity
from ..core.errors import Conflict, Forbidden, InvalidInput, NotFound
from ..core.messages import translatable
from ..services import job_bin
from .form_keys import once, undone
from .labels import translated
from .undo import flash_with_undo

blueprint = Blueprint("job_bin", __name__, url_prefix="/jobs/bin")

SHOWN = 500  # jobs on the page, those deleted last
_FLASH_IDS = 200  # jobs that a cookie has room for
_ACTIONS: dict[str, Callable[[int], object]] = {
    "restore": job_bin.restore,
    "remove": job_bin.remove,
}


@blueprint.get("")
def index():
    """The deleted jobs that the caller may see, those deleted last first."""
    found = job_bin.listing(identity.current().sees)
    return render_template(
        "jobs/bin.html",
        jobs=found[:SHOWN],
        more=max(0, len(found) - SHOWN),
        hours=context.settings().DELETED_JOBS_KEEP_HOURS,
    )


@blueprint.post("")
@once
def change():
    """Restore the selected jobs, or delete them for good (``remove``, or ``empty`` for all)."""
    action = request.form.get("action", "")
    if action == "empty":
        count = job_bin.remove_all(identity.current().sees)
        flash(_emptied(count), "success")
    elif action in _ACTIONS:
        _apply(action, request.form.getlist("job", type=int))
    else:
        allowed = ", ".join((*_ACTIONS, "empty"))
        raise InvalidInput(
            translatable(
                "action=%(action)r: use one of %(allowed)s.", action=action, allowed=allowed
            ),
            "action",
        )
    back = url_for("jobs_list.index" if request.form.get("back") == "list" else "job_bin.index")
    return redirect(back, 303)


def _apply(action: str, chosen: list[int]) -> None:
    done = 0
    for job_id in chosen:
        try:
            job_rights.need(job_id, Right.OWN)
            _ACTIONS[action](job_id)
            done += 1
        except (Conflict, Forbidden, NotFound) as error:
            flash(translated(error), "warning")
    if done:
        flash(_restored(done) if action == "restore" else _emptied(done), "success")
    else:
        undone()
    if not chosen:
        flash(_("Select jobs first."), "warning")


def _restored(count: int) -> str:
    return ngettext("Restored %(num)s job.", "Restored %(num)s jobs.", count)


def _emptied(count: int) -> str:
    return ngettext("Deleted %(num)s job for good.", "Deleted %(num)s jobs for good.", count)


@blueprint.app_context_processor
def keeping() -> dict:
    """How many hours deleted jobs can be restored, for the questions before."""
    return {"bin_hours": lambda: context.settings().DELETED_JOBS_KEEP_HOURS}


def flash_deleted(job_ids: list[int], text: str) -> None:
    """Report that jobs were deleted, with a button that restores them where they are in the bin."""
    if not context.settings().DELETED_JOBS_KEEP_HOURS or len(job_ids) > _FLASH_IDS:
        flash(text, "success")
        return
    fields = [("action", "restore"), ("back", "list"), *(("job", job_id) for job_id in job_ids)]
    flash_with_undo(text, url_for("job_bin.change"), fields)
