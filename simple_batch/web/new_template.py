"""The step of a new job that only tables have: a template makes a request of each row."""

import contextlib
import json

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _

from .. import intake
from ..auth.guard import must_see
from ..core import content
from ..core.domain import Fault
from ..core.errors import InvalidInput, NotFound, UploadRejected
from ..core.messages import Message
from ..intake import Template
from ..services import configs, drafts, jobs, templates, uploads
from ..services.drafts import Launched
from ..services.template_advice import order_advice
from . import draft_forms, new_draft
from . import images as pictures
from .draft_forms import OPTIONS, TEMPLATE
from .form_keys import once
from .forms import blame
from .labels import translated
from .template_forms import TemplateForm

blueprint = Blueprint("new_template", __name__, url_prefix="/jobs/new/<int:upload_id>/template")
blueprint.before_request(new_draft.led)

# what columns of questions, and of what stands before them, are often called
_ASKED = (
    "question",
    "prompt",
    "user",
    "query",
    "input",
    "instruction",
    "text",
    "content",
    "问题",
    "提问",
    "提示词",
    "提示",
    "输入",
    "文本",
    "内容",
)
_SHOWN = ("image", "photo", "picture", "img", "file", "filename", "图片", "照片", "图像", "文件名")
_TEXTS = ("messages", "input", "prompt", "instructions")  # of a request, by its endpoint
_BEFORE = ("system", "system_prompt", "系统", "系统提示", "系统提示词")


@blueprint.get("")
def edit(upload_id: int):
    """The editors, with what was there before: the texts of the draft, or the template that the upload
    begins with; with ``?saved=<id>&version=<n>`` a saved one."""
    staged, found = _table(upload_id)
    number = request.args.get("row", 1, type=int)
    if "saved" not in request.args:
        form = draft_forms.saved(staged, TEMPLATE)
        if form is not None:
            form.fitting(found.columns).validate()
            return page(form, staged, found, number)
    template, origin = beginning(staged, found)
    if template.custom_id and template.custom_id not in found.columns:
        text = _(
            "This table has no column “%(name)s”. Choose what to use as custom_id.",
            name=template.custom_id,
        )
        flash(text, "warning")
    form = TemplateForm.of(template, found.columns, origin)
    return page(form, staged, found, number)


def beginning(staged, found) -> tuple[Template, int | None]:
    """The template to begin with, and the id of the version that it is of a saved one."""
    saved = request.args.get("saved", type=int)
    if saved is not None:
        kept = templates.get(saved)
        version = templates.version(kept, request.args.get("version", type=int))
        return templates.template_of(version), version.id
    clone = request.args.get("clone", type=int)
    if clone is not None:
        must_see(clone)
    old = drafts.load(staged).begun
    if old is None and clone is not None:
        old = jobs.clone_fields(clone)[0]
    if old is not None and old.template is not None:
        return old.template, old.saved
    return uploads.template_of(staged) or _guess(found, staged.images), staged.template_version_id


def begin_with(upload_id: int, template: Template, version_id: int | None = None) -> None:
    """Put a template into the draft of a table. Raises Launched, NotFound, InvalidInput."""
    upload, found = uploads.staged(upload_id)
    if found.columns:
        form = TemplateForm.of(template, found.columns, version_id)
        draft_forms.save_filled(upload.id, TEMPLATE, form)


@blueprint.post("")
def save(upload_id: int):
    """Go on with the template. ``show``, and htmx, only ask for one row's example."""
    asks_only = "show" in request.form or "HX-Request" in request.headers
    if not asks_only:
        upload_id = new_draft.begun_again(upload_id)
    staged, found = _table(upload_id)
    form = TemplateForm().offering(found.columns)
    number = request.form.get("show", request.form.get("row", 1, type=int), type=int)
    if asks_only:
        form.validate()
        return page(form, staged, found, number=number)
    if not draft_forms.kept(upload_id, TEMPLATE, form):
        return page(form, staged, found, number), 409
    if "correct" in request.form:
        return page(_corrected(form, staged, found), staged, found, number=number)
    error = None
    if form.validate_on_submit():
        try:
            uploads.apply_template(upload_id, form.chosen(found.sheet), form.origin.data)
            drafts.reached(upload_id, OPTIONS)
        except InvalidInput as wrong:
            blame(form, wrong)
        except UploadRejected as rejected:
            error = rejected
        else:
            clone = request.args.get("clone", type=int)
            return redirect(url_for("new_job.preview", upload_id=upload_id, clone=clone), 303)
    return page(form, staged, found, number, error), 400


@blueprint.post("/back")
def back(upload_id: int):
    """Keep the texts and go to the step before."""
    staged, found = _table(upload_id)
    form = TemplateForm().offering(found.columns)
    if not draft_forms.kept(upload_id, TEMPLATE, form):
        return page(form, staged, found, request.form.get("row", 1, type=int)), 409
    return redirect(url_for("new_job.start"), 303)


def _corrected(form: TemplateForm, staged, found) -> TemplateForm:
    """The form with {{ column }} in place of the syntax of other tools, kept in the draft."""
    if not form.validate():
        return form
    template = templates.corrected(form.chosen(found.sheet), found.columns)
    form = TemplateForm.of(template, found.columns, form.origin.data)
    with contextlib.suppress(Launched):  # with the browser's Back
        draft_forms.save_filled(staged.id, TEMPLATE, form)
    return form


@blueprint.post("/save-as")
@once
def save_as(upload_id: int):
    """Keep what stands in the form as a saved template, or as the next version of one."""
    staged, found = _table(upload_id)
    form = TemplateForm().offering(found.columns)
    if not draft_forms.kept(upload_id, TEMPLATE, form):
        return page(form, staged, found, request.form.get("row", 1, type=int)), 409
    if form.validate_on_submit():
        sheet = "" if found.sheet in found.sheets[:1] else found.sheet
        texts, note = form.chosen(sheet), form.note.data or ""
        try:
            version, is_new = templates.save(
                form.name.data or "", texts, note, columns=found.columns
            )
        except InvalidInput as wrong:
            blame(form, wrong)
        else:
            flash(saved_message(version, is_new), "success" if is_new else "info")
            return redirect(_edited(upload_id, version), 303)
    return page(form, staged, found, request.form.get("row", 1, type=int)), 400


@blueprint.post("/saved")
def take(upload_id: int):
    """Go on with a saved template; of a workbook with its sheet, where there is one of that name."""
    _staged, found = _table(upload_id)
    number = request.form.get("version", type=int)
    try:
        kept = templates.get(request.form.get("saved", 0, type=int))
        version = templates.version(kept, number)
        sheet = templates.template_of(version).sheet
        if sheet in found.sheets:
            uploads.choose_sheet(upload_id, sheet)
    except (NotFound, UploadRejected) as error:
        flash(translated(error), "danger")
        return redirect(_edited(upload_id), 303)
    return redirect(_edited(upload_id, version), 303)


def _edited(upload_id: int, version=None) -> str:
    """Redirect to this step with a version of a saved template."""
    clone = request.args.get("clone", type=int)
    asked = {} if version is None else {"saved": version.saved_id, "version": version.number}
    return url_for("new_template.edit", upload_id=upload_id, clone=clone, **asked)


def saved_message(version, is_new: bool) -> str:
    """The message after saving."""
    values = {"name": version.saved.name, "n": version.number}
    if is_new:
        return _("Saved “%(name)s” as version %(n)s.", **values)
    return _("Version %(n)s of “%(name)s” is identical. Nothing was saved.", **values)


@blueprint.post("/sheet")
def choose_sheet(upload_id: int):
    """Take another sheet of a workbook."""
    staged, found = _table(upload_id)
    error = None
    sheet = request.form.get("sheet", "")
    if sheet in found.sheets:
        try:
            uploads.choose_sheet(upload_id, sheet)
        except UploadRejected as rejected:
            error = rejected
    clone = request.args.get("clone", type=int)
    if error is None:
        return redirect(url_for("new_template.edit", upload_id=upload_id, clone=clone), 303)
    form = TemplateForm.of(
        uploads.template_of(staged) or _guess(found, staged.images), found.columns
    )
    return page(form, staged, found, error=error), 400


@blueprint.post("/images")
def add_images(upload_id: int):
    """Further images beside the table; what was typed into the editors meanwhile stays in them."""
    _staged, found = _table(upload_id)
    form = TemplateForm().offering(found.columns)
    number = request.form.get("row", 1, type=int)
    if not draft_forms.kept(upload_id, TEMPLATE, form):
        return page(form, *uploads.staged(upload_id), number), 409
    files, error = pictures.given("more"), None
    if not files:
        flash(_("Choose images, or a ZIP archive of them."), "warning")
    try:
        if refusals := pictures.refusals(uploads.add_images(upload_id, files)):
            flash(refusals, "warning")
    except UploadRejected as rejected:
        error = rejected
    form.validate()
    return page(form, *uploads.staged(upload_id), number, error), 200 if error is None else 400


def page(form: TemplateForm, staged, found, number: int = 1, error: UploadRejected | None = None):
    """The step, with what the form makes of row ``number``."""
    rows = found.good + found.fault_count
    number = max(1, min(number, rows))
    example = _example(form, staged.id, found.sheet, number)
    return render_template(
        "jobs/template.html",
        form=form,
        upload=staged,
        draft_version=draft_forms.version(staged.id, TEMPLATE),
        preview=found,
        error=error,
        rows=rows,
        number=number,
        example=example,
        warnings=warnings_of(form, found),
        advice=_advice(form, staged, found),
        **pictures.of_upload(staged, example.get("messages", ())),
        clone=request.args.get("clone", type=int),
        saved=templates.listed(),
        begun_with=templates.version_by_id(form.origin.data),
    )


def _table(upload_id: int):
    """A staged table and its preview. Raises InvalidInput for another upload."""
    staged, found = uploads.staged(upload_id)
    if not found.columns:
        raise InvalidInput(_("This upload is not a table, so it needs no template."))
    return staged, found


def _guess(found, images: int) -> Template:
    """A first draft: the conversation, or the column with the longest texts; the columns with the usual
    names of a system message, of images and of an id whose values do not repeat."""
    conversation = intake.conversation_of(found.conversations)
    custom_id = found.id_column or None
    if conversation is not None:
        return Template(conversation=conversation, custom_id=custom_id)
    columns = found.columns
    folded = {column.casefold(): column for column in reversed(columns)}
    before = next((folded[name] for name in _BEFORE if name in folded), None)
    shown = next((folded[name] for name in _SHOWN if name in folded), None) if images else None
    asked = next((folded[name] for name in _ASKED if name in folded), columns[0])
    if found.longest and found.longest not in (before, shown):
        asked = found.longest
    return Template(
        user=f"{{{{{asked}}}}}",
        custom_id=custom_id,
        system=f"{{{{{before}}}}}" if before is not None else "",
        images=[f"{{{{{shown}}}}}"] if shown is not None else [],
    )


def warnings_of(form: TemplateForm, found) -> list[intake.Finding]:
    """What in the template looks like a mistake."""
    if any(field.errors for field in form):
        return []
    return templates.warnings(form.chosen(found.sheet), found.columns)


def _advice(form: TemplateForm, staged, found) -> Message | None:
    """What another order of the texts would save, at the prices of the API config that the draft names,
    else of the first."""
    if any(field.errors for field in form):
        return None
    begun = drafts.load(staged).begun
    active = configs.list_all(active=True)
    chosen = next((one for one in active if begun is not None and one.id == begun.config), None)
    rows = found.good + found.fault_count
    return order_advice(
        form.chosen(found.sheet), found.columns, rows, chosen or next(iter(active), None)
    )


def _example(form: TemplateForm, upload_id: int, sheet: str, number: int) -> dict:
    """The request of one row as text, or the error in it."""
    wrong = [error for field in form for error in field.errors]
    if wrong:
        return {"error": wrong[0]}
    try:
        made = uploads.example(upload_id, form.chosen(sheet), number)
    except InvalidInput as error:
        field = form._fields.get(error.field or "")
        return {
            "error": f"{field.label.text}: {translated(error)}"
            if field is not None
            else translated(error)
        }
    if isinstance(made, Fault):
        return {"line": made.line, "error": translated(made.text), "fault": made}
    shown = content.readable(made.body)
    body = shown.data or {}
    parameters = {name: value for name, value in body.items() if name not in _TEXTS}
    return {
        "line": made.line,
        "custom_id": made.custom_id,
        "messages": content.conversation_of(body),
        "bytes": shown.cut,
        "parameters": json.dumps(parameters, ensure_ascii=False, indent=2) if parameters else "",
    }
