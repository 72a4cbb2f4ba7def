"""How an upload is read: its encoding where that has to be chosen, one prompt per line, the header; and the
grid of a table's first rows."""

from pathlib import Path

import msgspec
from flask import Blueprint, flash, redirect, render_template, request, url_for

from .. import intake
from ..core import context
from ..core.domain import Fault
from ..core.errors import InvalidInput, UploadRejected
from ..services import drafts, readings, uploads
from . import draft_forms, new_draft, new_template
from .draft_forms import TEMPLATE
from .labels import translated
from .template_forms import TemplateForm

blueprint = Blueprint("reading_options", __name__, url_prefix="/jobs/new/<int:upload_id>/reading")
blueprint.before_request(new_draft.led)
GRID_ROWS = 20
_LONGEST = 300  # characters of a cell in the grid; the page clamps it further


@blueprint.get("")
def choose(upload_id: int):
    """The encodings that fit, each with a sample of the text, and all others."""
    return _page(uploads.unread(upload_id))


@blueprint.post("")
def read(upload_id: int):
    """Read the upload in another way: ``encoding``, ``header`` (1 or 0), ``lines`` (1 or 0). The texts
    of the template step, where they are sent too, are kept."""
    upload_id = new_draft.begun_again(upload_id)
    upload = uploads.unread(upload_id)
    if draft_forms.VERSION in request.form:
        form = TemplateForm()
        if not draft_forms.kept(upload_id, TEMPLATE, form):
            staged, found = uploads.staged(upload_id)
            return new_template.page(form.offering(found.columns), staged, found), 409
    try:
        uploads.read_as(upload_id, asked(readings.of(upload)))
    except (InvalidInput, UploadRejected) as error:
        if not upload.preview or "encoding" in request.form:
            return _page(upload, error), 400
        flash(translated(error), "danger")
    step = new_draft.first_step(upload_id)
    drafts.reached(upload_id, step)
    return redirect(new_draft.address(upload_id, step), 303)


def asked(reading: intake.Reading) -> intake.Reading:
    """The reading with what the form changes."""
    encoding = request.form.get("other") or request.form.get("encoding")
    if encoding:
        # the text is another one: what its first line is has to be seen again
        return intake.Reading(intake.encoding_named(encoding))
    if "header" in request.form:
        header = request.form["header"] == "1"
        return msgspec.structs.replace(reading, header=header, lines=False)
    if "lines" in request.form:
        return msgspec.structs.replace(reading, lines=request.form["lines"] == "1", header=None)
    return reading


def _page(upload, error=None):
    found = intake.detected_in(Path(upload.path), context.settings())
    now = readings.of(upload).encoding
    names = found.candidates or [name for name in (now,) if name]
    return render_template(
        "jobs/reading.html",
        upload=upload,
        error=error,
        choices=[(name, intake.encoding_label(name), found.shown(name)) for name in names],
        others=[(name, text) for name, text in intake.ENCODINGS.items() if name not in names],
        now=now,
        back=new_draft.address(upload.id, new_draft.first_step(upload.id))
        if upload.preview
        else url_for("new_job.start"),
    )


@blueprint.app_template_global()
def reading_of(upload):
    """The reading of an upload, with the name and a sample of an encoding that is not UTF-8."""
    reading = readings.of(upload)
    sample = ""
    if reading.encoding not in ("", "utf-8"):
        found = intake.detected_in(Path(upload.path), context.settings())
        sample = found.shown(reading.encoding, 80)
    return {
        "lines": reading.lines,
        "header": reading.header is not False,
        "encoding": reading.encoding,
        "label": intake.encoding_label(reading.encoding),
        "sample": sample,
    }


@blueprint.app_template_global()
def grid_of(upload, preview):
    """The first rows of a staged table: (line, cells, fault)."""
    try:
        rows = intake.first_rows(
            Path(upload.path), context.settings(), GRID_ROWS, readings.of(upload), preview.sheet
        )
    except UploadRejected:  # said elsewhere
        return []
    return [
        (row.line, [], row.text)
        if isinstance(row, Fault)
        else (row.line, [cell[:_LONGEST] for cell in row.cells], None)
        for row in rows
    ]
