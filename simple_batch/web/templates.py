"""Pages for saved templates, their versions, and the difference of two versions."""

import difflib
import json
from collections.abc import Iterator

import msgspec
from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _

from .. import intake
from ..core.clock import give_way
from ..core.errors import InvalidInput
from ..intake import Template
from ..services import templates
from .downloads import attached
from .form_keys import once
from .forms import blame
from .labels import translated
from .new_template import saved_message
from .template_forms import SavedTemplateForm

blueprint = Blueprint("saved_templates", __name__, url_prefix="/templates")


@blueprint.get("")
def index():
    """All saved templates."""
    return render_template("saved/list.html", saved=templates.listed())


@blueprint.route("/new", methods=["GET", "POST"])
@once
def new():
    """The form for a new one; ``?of=<id>&version=<n>`` begins with what was saved before."""
    form = SavedTemplateForm()
    if form.validate_on_submit():
        try:
            version, is_new = templates.save(
                form.name.data or "", form.chosen(), form.note.data or ""
            )
        except InvalidInput as error:
            blame(form, error)
        else:
            flash(saved_message(version, is_new), "success" if is_new else "info")
            return redirect(_place(version), 303)
    old = request.args.get("of", type=int)
    if request.method == "GET" and old is not None:
        kept = templates.get(old)
        version = templates.version(kept, request.args.get("version", type=int))
        form = SavedTemplateForm.of(templates.template_of(version), kept.name)
    return render_template("saved/form.html", form=form), 400 if form.errors else 200


@blueprint.get("/<int:template_id>")
def show(template_id: int):
    """One of them: its versions, the text of one (``?version=<n>``, else the newest), and what that
    has different from another (``&against=<n>``, else the one before)."""
    return _page(template_id)


@blueprint.get("/<int:template_id>/file")
def download(template_id: int):
    """A version as the file that ``--template`` reads."""
    saved = templates.get(template_id)
    version = templates.version(saved, request.args.get("version", type=int))
    text = msgspec.json.format(version.text, indent=2) + "\n"
    return attached(text.encode(), f"{saved.name}.template.json")


@blueprint.post("/<int:template_id>/restore")
@once
def restore(template_id: int):
    """Make an older version the newest."""
    number = request.form.get("version", 0, type=int)
    version, is_new = templates.restore(template_id, number)
    flash(saved_message(version, is_new), "success" if is_new else "info")
    return redirect(_place(version), 303)


@blueprint.post("/<int:template_id>/rename")
def rename(template_id: int):
    """Rename it."""
    try:
        saved = templates.rename(template_id, request.form.get("name", ""))
    except InvalidInput as error:
        return _page(template_id, translated(error)), 400
    flash(_("Renamed to “%(name)s”.", name=saved.name), "success")
    return redirect(url_for("saved_templates.show", template_id=template_id), 303)


@blueprint.post("/<int:template_id>/delete")
def delete(template_id: int):
    """Remove it; jobs keep their copies."""
    name = templates.get(template_id).name
    templates.remove(template_id)
    flash(_("Deleted “%(name)s”.", name=name), "success")
    return redirect(url_for("saved_templates.index"), 303)


def _place(version) -> str:
    return url_for("saved_templates.show", template_id=version.saved_id, version=version.number)


def _page(template_id: int, name_error: str = ""):
    kept = templates.kept(template_id)
    version = templates.version(kept.saved, request.args.get("version", type=int))
    template = templates.template_of(version)
    against = request.args.get("against", version.number - 1, type=int)
    other = templates.version(kept.saved, against) if against else None
    return render_template(
        "saved/show.html",
        kept=kept,
        version=version,
        fields={field: shown(template, field) for field in FIELDS},
        columns=intake.columns_needed(template),
        other=other,
        latest_job=templates.latest_job(kept.saved),
        changes=differences(templates.template_of(other), template) if other else [],
        name=request.form.get("name", kept.saved.name),
        name_error=name_error,
    )


FIELDS = ("url", "system", "user", "images", "parameters", "custom_id", "sheet")
CONTEXT = 3  # lines that are the same, around a difference
COMPARED = 2_000  # lines; of a longer text the old lines all go and the new ones all come


def differences(old: Template, new: Template) -> list[dict]:
    """For each field that differs its name and ``lines``: pairs of ``-`` (removed), ``+`` (added),
    `` `` (the same) or ``…`` (lines left out), and the line."""
    found = []
    for field in FIELDS:
        if (before := shown(old, field)) != (after := shown(new, field)):
            lines = list(_lines(before.split("\n"), after.split("\n")))
            found.append({"field": field, "lines": lines})
            give_way()  # long texts take a while
    return found


def shown(template: Template, field: str) -> str:
    """A field as text; empty where it says nothing."""
    value = getattr(template, field)
    if field == "custom_id" and value == "":
        return '""'  # numbered in any case, which is not the same as None
    if isinstance(value, list):
        return "\n".join(value)
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, indent=2) if value else ""
    return value or ""


def _lines(before: list[str], after: list[str]) -> Iterator[tuple[str, str]]:
    before, after = _empty(before), _empty(after)
    if max(len(before), len(after)) > COMPARED:
        yield from (("-", line) for line in before)
        yield from (("+", line) for line in after)
        return
    groups = difflib.SequenceMatcher(None, before, after).get_grouped_opcodes(CONTEXT)
    for number, group in enumerate(groups):
        if number or group[0][1]:
            yield "…", ""
        for kind, b1, b2, a1, a2 in group:
            if kind == "equal":
                yield from ((" ", line) for line in before[b1:b2])
            else:
                yield from (("-", line) for line in before[b1:b2])
                yield from (("+", line) for line in after[a1:a2])
    if group[-1][2] < len(before):
        yield "…", ""


def _empty(lines: list[str]) -> list[str]:
    return [] if lines == [""] else lines
