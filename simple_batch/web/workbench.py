"""The workbench: a prompt is written, tried on sample rows over several connections, and launched, on one
screen. It works without scripts too: every button is one of its form."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Blueprint, flash, jsonify, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import ngettext

from ..core.errors import Conflict, InvalidInput, UploadRejected
from ..core.request_input import with_large_field
from ..services import drafts, job_creation, prompt_versions, templates, trials, uploads
from ..services.drafts import DraftConflict, Launched
from ..services.template_advice import order_advice
from . import (
    draft_forms,
    images,
    launch_options,
    new_draft,
    new_template,
    workbench_forms,
    workbench_grid,
)
from .draft_forms import OPTIONS, TEMPLATE, WORKBENCH
from .form_keys import once
from .forms import blame
from .labels import translated
from .word_diff import pieces
from .workbench_forms import PARTS, Screen

blueprint = Blueprint("workbench", __name__, url_prefix="/jobs/new/<int:upload_id>/workbench")
# a page sends them by itself
_BEHIND = {"workbench.save", "workbench.preview", "workbench.estimate"}


@blueprint.before_request
def _led():
    """See new_draft.led; what a page sends by itself restores no discarded upload."""
    return None if request.endpoint in _BEHIND else new_draft.led()


def with_kept_form(view: Callable[[Screen], Any]) -> Callable[..., Any]:
    """The view gets the posted form, when the draft has it; else the answer says why it could not be kept."""

    @wraps(view)
    def kept(upload_id: int):
        shown = _posted(upload_id)
        return _kept(shown) or view(shown)

    return kept


@blueprint.get("")
def screen(upload_id: int):
    """The screen, with what the draft says."""
    return page(workbench_forms.saved(*uploads.staged(upload_id)))


@blueprint.post("/open")
def enter(upload_id: int):
    """Keep what stands in another step's form, named by ``part``, and open the workbench."""
    upload, _found = uploads.staged(upload_id)
    part = request.form.get("part", "")
    if part in (TEMPLATE, OPTIONS):
        form = draft_forms.FORMS[part]()
        if not draft_forms.kept(upload.id, part, form):
            flash(" ".join(map(str, form.form_errors)), "warning")
    return redirect(here(upload_id), 303)


@blueprint.post("/draft")
@with_large_field
def save(upload_id: int):
    """Save what stands in the form now; see new_draft.save_template."""
    shown = _posted(upload_id)
    try:
        answer = {"version": shown.save()}
    except DraftConflict as error:
        return jsonify(error=translated(error), version=error.version), 409
    except Launched:
        return jsonify(error=new_draft.launched_sentence(shown.upload)), 409
    return jsonify(answer | new_draft.notice(shown.upload))


@blueprint.post("/preview")
@with_large_field
def preview(upload_id: int):
    """The grid for what stands in the form now, saved or not."""
    return render_template("workbench/grid.html", **_grid(_posted(upload_id)))


@blueprint.post("/estimate")
@with_large_field
def estimate(upload_id: int):
    """The figures on top, the ways to send and the tokens for what stands in the form now."""
    shown = _posted(upload_id)
    return render_template(
        "workbench/estimate.html",
        upload=shown.upload,
        preview=shown.found,
        options=shown.options,
        **_outlook(shown),
    )


@blueprint.post("/apply")
@with_large_field
def apply(upload_id: int):
    """Keep the form and show what it says: what a page without scripts does on each change."""
    shown = _posted(upload_id)
    return _kept(shown) or redirect(here(upload_id), 303)


@blueprint.post("/run")
@with_large_field
@with_kept_form
def run(shown: Screen):
    """Send the cells that changed; with ``again`` all of them. Answers with JSON where that is accepted."""
    number, sentence, status = _started(shown)
    if "application/json" in request.headers.get("Accept", ""):
        found = {"version": number, "message": sentence}
        found["draft_version"] = workbench_forms.version(_upload(shown.upload.id))
        return jsonify(found), status
    if status != 200:
        return page(shown, sentence), status
    if sentence:
        flash(sentence, "info")
    return redirect(here(shown.upload.id), 303)


def _started(shown: Screen) -> tuple[int | None, str, int]:
    """The number of the new version, if there is one, what to say, and the status."""
    if not shown.valid:
        return None, "\n".join(shown.errors), 400
    try:
        planned = workbench_grid.planned(shown)
        number = trials.start(shown.upload, planned, shown.values, "again" in request.form)
    except InvalidInput as error:
        return None, translated(error), 400
    except UploadRejected as error:
        return None, translated(error), 400
    except Conflict as error:
        return None, translated(error), 409
    if number is None and not planned.cells:
        return None, _("No row of the sample is a valid request."), 400
    if number is None:
        return None, _("Nothing has changed: every cell has its answer."), 200
    return number, "", 200


@blueprint.post("/stop")
def stop(upload_id: int):
    """Cancel the calls of the run that goes on."""
    stopped = prompt_versions.stop(_upload(upload_id).id)
    if "application/json" in request.headers.get("Accept", ""):
        return jsonify(stopped=stopped)
    return redirect(here(upload_id), 303)


@blueprint.post("/launch")
@with_large_field
@once
@with_kept_form
def launch(shown: Screen):
    """Make the job of all rows."""
    if not shown.valid:
        return _refused(shown)
    error = _applied(shown)
    if error:
        return page(shown, error), 400
    new = shown.chosen()
    found = uploads.staged(shown.upload.id)[1]  # as the template makes it
    new.ask_once = new.ask_once and (found.duplicates > 0 or not found.duplicates_exact)
    new.hold = "hold" in request.form
    new.skip_faulty = "skip_faulty" in request.form
    try:
        job = job_creation.launch(shown.upload.id, new)
    except InvalidInput as wrong:
        shown = _posted(shown.upload.id)  # what the template makes of the table is known now
        shown.blame(wrong)
        return _refused(shown)
    return redirect(url_for("job_pages.overview", job_id=job.id), 303)


# a program that posts the choices to where an upload has redirected it
blueprint.add_url_rule("", "launch_here", launch, methods=["POST"])


def _refused(shown: Screen):
    """The screen with all that is wrong on top: the fields may be far below, or folded."""
    return page(shown, "\n".join(shown.errors)), 400


@blueprint.post("/save-as")
@with_large_field
@once
@with_kept_form
def save_as(shown: Screen):
    """Keep the prompt as a saved template, or as the next version of one."""
    form = shown.template
    if form is None or any(field.errors for field in form):
        return page(shown), 400
    sheet = "" if shown.found.sheet in shown.found.sheets[:1] else shown.found.sheet
    name, note = (request.form.get(f"template_{field}", "") for field in ("name", "note"))
    try:
        texts = form.chosen(sheet)
        version, is_new = templates.save(name, texts, note, columns=shown.found.columns)
    except InvalidInput as error:
        blame(form, InvalidInput(error.text))
        return page(shown), 400
    new_template.begin_with(shown.upload.id, texts, version.id)
    flash(new_template.saved_message(version, is_new), "success" if is_new else "info")
    return redirect(here(shown.upload.id), 303)


@blueprint.post("/restore")
def restore(upload_id: int):
    """Put the prompt and the options of a version back; the sample rows stay."""
    upload = _upload(upload_id)
    version = prompt_versions.get(upload_id, request.form.get("number", 0, type=int))
    kept = drafts.load(upload).values(WORKBENCH)
    values = dict(version.texts)
    if kept is not None:
        same = {name: kept[name] for name in kept if not name.startswith("compare_")}
        other = {n: v for n, v in values.get(WORKBENCH, {}).items() if n.startswith("compare_")}
        values[WORKBENCH] = {**same, **other}
    try:
        drafts.save_parts(upload_id, values, WORKBENCH)
    except Launched:
        flash(new_draft.launched_sentence(upload), "warning")
        return redirect(here(upload_id), 303)
    flash(_("Version %(n)s is back in the editor.", n=version.number), "success")
    return redirect(here(upload_id), 303)


@blueprint.get("/compare")
def compare(upload_id: int):
    """Two versions: the words that differ, and the answers side by side (``a`` and ``b``; the last two
    where they are not given)."""
    upload, found = uploads.staged(upload_id)
    versions = prompt_versions.listed(upload_id)
    numbers = [version.number for version in versions]
    newest = numbers[0] if numbers else 0
    second = request.args.get("b", newest, type=int)
    first = request.args.get("a", max(second - 1, 1), type=int)
    a, b = (prompt_versions.get(upload_id, number) for number in (first, second))
    return render_template(
        "workbench/compare.html",
        upload=upload,
        found=found,
        versions=versions,
        a=a,
        b=b,
        changes=_changes(a, b),
        rows=workbench_grid.side_by_side(upload_id, a, b),
    )


def _changes(a: prompt_versions.Version, b: prompt_versions.Version) -> list[dict]:
    """The fields that differ, with the pieces of both texts."""
    found = []
    for part in (TEMPLATE, OPTIONS):
        form = draft_forms.FORMS[part](formdata=None)
        before, after = a.texts.get(part, {}), b.texts.get(part, {})
        for field in form:
            texts = ["\n".join(values.get(field.name, [])) for values in (before, after)]
            if texts[0] != texts[1] and field.name not in ("origin", "csrf_token"):
                found.append({"label": field.label.text, "pieces": pieces(*texts)})
    return found


# --- the page ---------------------------------------------------------------------------------


def here(upload_id: int) -> str:
    return url_for("workbench.screen", upload_id=upload_id)


def _upload(upload_id: int):
    return uploads.staged(upload_id)[0]


def _posted(upload_id: int) -> Screen:
    return workbench_forms.posted(*uploads.staged(upload_id))


def _kept(shown: Screen):
    """Save the form; the answer that says why it was not, else None."""
    try:
        shown.save()
    except DraftConflict:
        error = _(
            "This draft was changed in another tab. Send the form again to replace that version."
        )
    except Launched:
        error = new_draft.launched_sentence(shown.upload)
    except InvalidInput as wrong:
        error = translated(wrong)
    else:
        return None
    if "application/json" in request.headers.get("Accept", ""):
        return jsonify(message=error), 409
    return page(shown, error), 409


def _applied(shown: Screen) -> str:
    """Read the whole table through the template; why that cannot be, else empty."""
    if shown.template is None:
        return ""
    origin = shown.template.origin.data
    try:
        uploads.apply_template(shown.upload.id, shown.template.chosen(shown.found.sheet), origin)
    except InvalidInput as error:
        shown.blame(error)
        return translated(error)
    except UploadRejected as error:
        return translated(error)
    return ""


def _grid(shown: Screen) -> dict:
    grid = workbench_grid.grid_of(shown)
    messages = [message for row in grid.rows for message in row.messages]
    return {
        "grid": grid,
        "upload": shown.upload,
        "screen": shown,
        **_findings(shown),
        "run_label": ngettext("Run (%(num)s call)", "Run (%(num)s calls)", grid.unsent)
        if grid.unsent
        else _("Run"),
        **images.of_upload(shown.upload, messages),
    }


def _findings(shown: Screen) -> dict:
    """What in the template looks like a mistake, and what another order of its texts would save."""
    form, found = shown.template, shown.found
    if form is None or any(field.errors for field in form):
        return {}
    config = launch_options.config_of(shown.options)
    rows = found.good + found.fault_count
    advice = order_advice(form.chosen(found.sheet), found.columns, rows, config)
    return {"warnings": new_template.warnings_of(form, found), "advice": advice}


def _outlook(shown: Screen) -> dict:
    """The figures of all rows, and the ways to send them on the connection of the job."""
    overall = workbench_grid.overall(shown)
    estimate = overall.outlooks[0].estimate if overall.outlooks else None
    config = launch_options.config_of(shown.options)
    requests = overall.rows - overall.invalid
    ways = launch_options.shown(shown.options, config, shown.urls, requests, estimate)
    return {"overall": overall, **ways}


def page(shown: Screen, error: str = ""):
    """The screen, with why something was refused."""
    upload = shown.upload
    return render_template(
        "workbench/screen.html",
        error=error,
        found=shown.found,
        preview=shown.found,
        form=shown.template,
        options=shown.options,
        sample=shown.sample,
        draft_version=workbench_forms.version(_upload(upload.id)),
        versions=prompt_versions.listed(upload.id),
        **_outlook(shown),
        saved=templates.listed() if shown.template is not None else [],
        begun_with=templates.version_by_id(shown.template.origin.data) if shown.template else None,
        parts=PARTS,
        **_grid(shown),
    )
