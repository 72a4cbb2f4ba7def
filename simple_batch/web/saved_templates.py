"""Pages for saved templates and their versions."""

import msgspec
from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _

from .. import intake, saved_templates
from ..errors import InvalidInput
from .answers import attached
from .differences import FIELDS, differences, shown
from .forms import blame
from .new_template import told
from .once import once
from .template_forms import SavedTemplateForm
from .words import translated

blueprint = Blueprint("saved_templates", __name__, url_prefix="/templates")


@blueprint.get("")
def index():
    """All of them."""
    return render_template("saved/list.html", saved=saved_templates.listed())


@blueprint.route("/new", methods=["GET", "POST"])
@once
def new():
    """The form for a new one; ``?of=<id>&version=<n>`` begins with what was saved before."""
    form = SavedTemplateForm()
    if form.validate_on_submit():
        try:
            version, is_new = saved_templates.save(
                form.name.data or "", form.chosen(), form.note.data or ""
            )
        except InvalidInput as error:
            blame(form, error)
        else:
            flash(told(version, is_new), "success" if is_new else "info")
            return redirect(_place(version), 303)
    old = request.args.get("of", type=int)
    if request.method == "GET" and old is not None:
        kept = saved_templates.get(old)
        version = saved_templates.version(kept, request.args.get("version", type=int))
        form = SavedTemplateForm.of(saved_templates.template_of(version), kept.name)
    return render_template("saved/form.html", form=form), 400 if form.errors else 200


@blueprint.get("/<int:template_id>")
def show(template_id: int):
    """One of them: its versions, the text of one (``?version=<n>``, else the newest), and what that
    has different from another (``&against=<n>``, else the one before)."""
    return _page(template_id)


@blueprint.get("/<int:template_id>/file")
def download(template_id: int):
    """A version as the file that ``--template`` reads."""
    saved = saved_templates.get(template_id)
    version = saved_templates.version(saved, request.args.get("version", type=int))
    text = msgspec.json.format(version.text, indent=2) + "\n"
    return attached(text.encode(), f"{saved.name}.template.json")


@blueprint.post("/<int:template_id>/restore")
@once
def restore(template_id: int):
    """Make an older version the newest."""
    number = request.form.get("version", 0, type=int)
    version, is_new = saved_templates.restore(template_id, number)
    flash(told(version, is_new), "success" if is_new else "info")
    return redirect(_place(version), 303)


@blueprint.post("/<int:template_id>/rename")
def rename(template_id: int):
    """Call it something else."""
    try:
        saved = saved_templates.rename(template_id, request.form.get("name", ""))
    except InvalidInput as error:
        return _page(template_id, translated(error)), 400
    flash(_("It is called “%(name)s” now.", name=saved.name), "success")
    return redirect(url_for("saved_templates.show", template_id=template_id), 303)


@blueprint.post("/<int:template_id>/delete")
def delete(template_id: int):
    """Forget it; jobs keep their copies."""
    name = saved_templates.get(template_id).name
    saved_templates.remove(template_id)
    flash(_("Deleted “%(name)s”.", name=name), "success")
    return redirect(url_for("saved_templates.index"), 303)


def _place(version) -> str:
    return url_for("saved_templates.show", template_id=version.saved_id, version=version.number)


def _page(template_id: int, name_error: str = ""):
    kept = saved_templates.kept(template_id)
    version = saved_templates.version(kept.saved, request.args.get("version", type=int))
    template = saved_templates.template_of(version)
    against = request.args.get("against", version.number - 1, type=int)
    other = saved_templates.version(kept.saved, against) if against else None
    return render_template(
        "saved/show.html",
        kept=kept,
        version=version,
        fields={field: shown(template, field) for field in FIELDS},
        columns=intake.columns_asked(template),
        other=other,
        changes=differences(saved_templates.template_of(other), template) if other else [],
        name=request.form.get("name", kept.saved.name),
        name_error=name_error,
    )
