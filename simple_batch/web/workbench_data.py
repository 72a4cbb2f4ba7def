"""What the workbench does with its data and its form as a whole: how the file is read, its sheet and images,
saved templates and settings files. Each button keeps the form first."""

from collections.abc import Callable

from flask import Blueprint, flash, redirect, request
from flask_babel import gettext as _

from ..core.errors import InvalidInput, NotFound, UploadRejected
from ..core.request_input import with_large_field
from ..services import drafts, readings, templates, uploads
from . import (
    draft_forms,
    images,
    new_draft,
    new_job,
    new_template,
    reading_options,
    workbench_forms,
)
from .draft_forms import TEMPLATE, WORKBENCH
from .labels import translated
from .template_forms import TemplateForm
from .workbench import here, page, with_kept_form
from .workbench_forms import Screen

blueprint = Blueprint("workbench_data", __name__, url_prefix="/jobs/new/<int:upload_id>/workbench")
blueprint.before_request(new_draft.led)


@blueprint.post("/reading")
@with_large_field
@with_kept_form
def read(shown: Screen):
    """Read the file in another way: ``header`` (1 or 0), ``lines`` (1 or 0)."""
    wanted = reading_options.asked(readings.of(shown.upload))
    return _reread(shown, lambda: uploads.read_as(shown.upload.id, wanted))


@blueprint.post("/sheet")
@with_large_field
@with_kept_form
def choose_sheet(shown: Screen):
    """Take another sheet of a workbook."""
    sheet = request.form.get("sheet", "")
    if sheet not in shown.found.sheets:
        return redirect(here(shown.upload.id), 303)
    return _reread(shown, lambda: uploads.choose_sheet(shown.upload.id, sheet))


def _reread(shown: Screen, change: Callable[[], None]):
    """Other columns: a template that was not changed yet begins again with these."""
    untouched = workbench_forms.is_guess(shown)
    try:
        change()
    except (InvalidInput, UploadRejected) as error:
        return page(shown, translated(error)), 400
    if untouched:
        drafts.save_parts(shown.upload.id, {TEMPLATE: {}}, WORKBENCH)
    return redirect(here(shown.upload.id), 303)


@blueprint.post("/images")
@with_large_field
@with_kept_form
def add_images(shown: Screen):
    """Further images beside the table."""
    files = images.given("more")
    if not files:
        return page(shown, _("Choose images, or a ZIP archive of them.")), 400
    try:
        refused = images.refusals(uploads.add_images(shown.upload.id, files))
    except (InvalidInput, UploadRejected) as error:
        return page(shown, translated(error)), 400
    if refused:
        flash(refused, "warning")
    return redirect(here(shown.upload.id), 303)


@blueprint.post("/saved")
@with_large_field
@with_kept_form
def take(shown: Screen):
    """Go on with a saved template; of a workbook with its sheet, where there is one of that name."""
    try:
        saved = templates.get(request.form.get("saved", 0, type=int))
        version = templates.version(saved, request.form.get("version", type=int))
        template = templates.template_of(version)
        if template.sheet in shown.found.sheets:
            uploads.choose_sheet(shown.upload.id, template.sheet)
        new_template.begin_with(shown.upload.id, template, version.id)
    except (NotFound, UploadRejected) as error:
        return page(shown, translated(error)), 400
    return redirect(here(shown.upload.id), 303)


@blueprint.post("/correct")
@with_large_field
@with_kept_form
def correct(shown: Screen):
    """Put {{ column }} in place of the syntax of other tools."""
    form, found = shown.template, shown.found
    if form is None or any(field.errors for field in form):
        return page(shown), 400
    template = templates.corrected(form.chosen(found.sheet), found.columns)
    corrected = TemplateForm.of(template, found.columns, form.origin.data)
    draft_forms.save_filled(shown.upload.id, TEMPLATE, corrected)
    return redirect(here(shown.upload.id), 303)


@blueprint.post("/settings-file")
@with_large_field
@with_kept_form
def save_recipe(shown: Screen):
    """The choices in the form as a file."""
    if not shown.valid:
        return page(shown), 400
    try:
        return new_job.recipe_file(shown.chosen(), shown.upload, shown.options.name.data)
    except InvalidInput as error:
        shown.blame(error)
        return page(shown), 400


@blueprint.post("/load")
@with_large_field
@with_kept_form
def load_recipe(shown: Screen):
    """The form, filled in from a settings file; the data is read as that says."""
    try:
        new = new_job.given_recipe()
    except InvalidInput as error:
        return page(shown, translated(error)), 400
    upload, found = new_job.read_as_recipe(shown.upload, shown.found, new)
    if found.columns and new.template is not None:
        try:
            uploads.apply_template(upload.id, new.template)
        except (InvalidInput, UploadRejected) as error:
            flash(translated(error), "danger")
    drafts.begin(upload.id, WORKBENCH, new)
    return redirect(here(upload.id), 303)
