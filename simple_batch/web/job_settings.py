"""What may be changed while a job runs: its own limits, and those of its API config."""

import msgspec
from flask import Blueprint, flash, redirect, render_template, url_for
from flask_babel import gettext as _

from ..core import identity
from ..core.domain import Role
from ..core.errors import InvalidInput
from ..services import configs, job_options, jobs
from ..store.models import database
from .forms import SettingsForm
from .job import common
from .labels import translated

blueprint = Blueprint("job_settings", __name__)


@blueprint.get("/jobs/<int:job_id>/settings")
def index(job_id: int):
    """The form, filled in."""
    job = jobs.get(job_id)
    config = configs.get(job.config_id)
    limits = {"api_concurrency": config.concurrency, "rpm": config.rpm, "tpm": config.tpm}
    return _page(job_id, SettingsForm.of(job_options.of(job), **limits))


@blueprint.post("/jobs/<int:job_id>/settings")
def save(job_id: int):
    """Change the job, and the config only if one of its limits differs."""
    form = SettingsForm()
    job = jobs.get(job_id)
    if not form.validate_on_submit():
        return _page(job_id, form), 400
    config = configs.get(job.config_id)
    limits = {}
    if identity.current().may(Role.ADMIN):  # the config is everybody's
        limits = {
            "concurrency": form.api_concurrency.data,
            "rpm": form.rpm.data,
            "tpm": form.tpm.data,
        }
    fields = msgspec.structs.replace(configs.fields_of(config), **limits)
    place = "concurrency"  # the field that an error about a concurrency is about
    try:
        with database.atomic():  # both or neither
            jobs.edit(job_id, form.chosen(job_options.of(job)))
            place = "api_concurrency"
            if fields != configs.fields_of(config):
                configs.update(config.id, fields)
    except InvalidInput as error:
        return _refused(job_id, form, place, error)
    flash(_("Saved. Takes effect within a second."), "success")
    return redirect(url_for("job_settings.index", job_id=job_id), 303)


def _refused(job_id: int, form: SettingsForm, concurrency: str, error: InvalidInput):
    name = concurrency if error.field == "concurrency" else error.field
    field = form._fields.get(name or "")
    (field.errors if field is not None else form.form_errors).append(translated(error))
    return _page(job_id, form), 400


def _page(job_id: int, form: SettingsForm):
    head = common(job_id)
    config = configs.get(head["job"].config_id)
    return render_template("job/settings.html", tab="settings", form=form, config=config, **head)
