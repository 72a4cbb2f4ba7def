"""The draft of a new job: saved while it is typed, listed, discarded, restored; and what the steps show
for an upload that is no draft any more."""

from datetime import timedelta

from flask import Blueprint, flash, jsonify, redirect, render_template, request, url_for
from flask_babel import format_timedelta
from flask_babel import gettext as _

from ..core import context
from ..core.clock import now_ms
from ..services import drafts, job_options, uploads
from ..services.drafts import DraftConflict, Launched
from ..store.models import Upload
from . import draft_forms
from .form_keys import FIELD
from .labels import translated

blueprint = Blueprint("new_draft", __name__, url_prefix="/jobs/new/<int:upload_id>/draft")

_SHOWN = 5  # the rest of a longer list is folded


@blueprint.get("")
def state(upload_id: int):
    """Whether a page out of the browser's history still has its draft: draft, discarded, launched."""
    upload, _found = uploads.staged(upload_id)
    return jsonify(state=_state(upload))


@blueprint.post("/template")
def save_template(upload_id: int):
    """Save what stands in the template step's form now."""
    return _saved(upload_id, draft_forms.TEMPLATE)


@blueprint.post("/options")
def save_options(upload_id: int):
    """Save what stands in the launch form now."""
    return _saved(upload_id, draft_forms.OPTIONS)


def _saved(upload_id: int, part: str):
    """The version that is saved now; 409 where another tab has changed the draft, with the version
    that this form may replace."""
    upload, _found = uploads.staged(upload_id)
    form = draft_forms.FORMS[part]()
    try:
        version = draft_forms.save(upload_id, part, form)
    except DraftConflict as error:
        return jsonify(error=translated(error), version=error.version), 409
    except Launched:
        return jsonify(error=launched_sentence(upload)), 409
    return jsonify({"version": version} | notice(upload))


def notice(upload: Upload) -> dict[str, str]:
    """What the page that saves should say, as a part of the answer."""
    if upload.discarded_at is None:
        return {}
    return {"notice": _("This upload was discarded. It comes back when you continue.")}


@blueprint.post("/restore")
def restore(upload_id: int):
    """Undo discarding, and go on with the step that was reached."""
    drafts.restore(upload_id)
    upload = uploads.unread(upload_id)
    flash(_("Restored “%(name)s”.", name=upload.filename), "success")
    return redirect(address(upload_id, drafts.load(upload).step), 303)


def address(upload_id: int, step: str) -> str:
    """The page to go on with: the choice of an encoding, else the workbench, whatever step was reached."""
    page = "reading_options.choose" if step == draft_forms.READING else "workbench.screen"
    return url_for(page, upload_id=upload_id)


def first_step(upload_id: int) -> str:
    """Where an upload begins: the choice of its encoding, or the workbench."""
    read = uploads.unread(upload_id).preview
    return draft_forms.WORKBENCH if read else draft_forms.READING


def listed() -> dict:
    """The drafts of the current user for the page that starts a new job."""
    found = [
        {
            "draft": draft,
            "url": address(draft.id, draft.step),
            "ago": _ago(draft.changed_at),
            "step": _step_name(draft.step),
        }
        for draft in drafts.listed()
    ]
    return {
        "drafts": found[:_SHOWN],
        "older_drafts": found[_SHOWN:],
        "keep_hours": context.settings().UPLOAD_KEEP_HOURS,
    }


def led():
    """Before each view of the steps: a page about an upload that was discarded or launched. Sending a
    form of a discarded one restores it."""
    upload = Upload.get_or_none(Upload.id == (request.view_args or {}).get("upload_id"))
    if upload is None or "HX-Request" in request.headers:
        return None
    state = _state(upload)
    if request.method == "POST":
        if state == "discarded" and request.endpoint != "new_job.discard":
            drafts.restore(upload.id)
            flash(_("“%(name)s” had been discarded. It is back.", name=upload.filename), "info")
        return None
    if state == "discarded":
        return discarded_page(upload)
    if not upload.preview and request.blueprint != "reading_options":
        return redirect(address(upload.id, draft_forms.READING), 303)
    return _launched_page(upload) if state == "launched" else None


def discarded(upload_id: int | None) -> Upload | None:
    """An upload that can be restored; None for any other."""
    upload = Upload.get_or_none(Upload.id == upload_id) if upload_id is not None else None
    return upload if upload is not None and _state(upload) == "discarded" else None


def discarded_page(upload: Upload):
    """What stands in place of a step, with the undo."""
    return render_template(
        "jobs/discarded.html", upload=upload, removed_at=drafts.removed_at(upload)
    )


def begun_again(upload_id: int) -> int:
    """The id of the draft to go on with: of the same upload, or where a job was made of that, of a copy
    of it. Raises NotFound."""
    if not drafts.is_launched(upload_id):
        return upload_id
    sent_before = drafts.written_by(request.form.get(FIELD, ""))
    if sent_before is not None and sent_before.id != upload_id:
        return sent_before.id
    upload, _found = uploads.staged(upload_id)
    job = drafts.job_of(upload_id)
    begun = job_options.of(job) if job is not None else None
    made = drafts.copy(upload, draft_forms.WORKBENCH, begun)
    new = _("This is a new draft.")
    flash(f"{launched_sentence(upload)} {new}", "info")
    return made.id


def _launched_page(upload: Upload):
    """In place of a step, after a launch."""
    clone = request.args.get("clone", type=int)
    if clone is not None:
        return redirect(url_for("new_job.start", clone=clone), 303)
    return render_template(
        "jobs/launched.html", sentence=launched_sentence(upload), job=drafts.job_of(upload.id)
    )


def launched_sentence(upload: Upload) -> str:
    """What became of the upload."""
    job = drafts.job_of(upload.id)
    if job is None:
        return _("“%(name)s” was launched, and its job was deleted.", name=upload.filename)
    return _(
        "“%(file)s” was launched as job %(id)s, “%(name)s”.",
        file=upload.filename,
        id=job.id,
        name=job.name,
    )


def _state(upload: Upload) -> str:
    if drafts.is_launched(upload.id):
        return "launched"
    return "draft" if upload.discarded_at is None else "discarded"


def _ago(ms: int) -> str:
    passed = timedelta(milliseconds=max(0, now_ms() - ms))
    if passed < timedelta(minutes=1):
        return _("just now")
    return format_timedelta(-passed, granularity="minute", add_direction=True)


def _step_name(step: str) -> str:
    return _("Encoding") if step == draft_forms.READING else _("Workbench")
