"""What may be changed while a job runs: its own limits, and those of its API config."""

from typing import Any

import msgspec
from flask import Blueprint, flash, redirect, render_template, url_for
from flask_babel import gettext as _

from ..core import identity
from ..core.domain import Role
from ..core.errors import InvalidInput
from ..services import configs, job_options, jobs
from ..services.fields import Field, Kind
from ..services.job_option_fields import EDITABLE, OPTIONS
from ..store.models import Job, database
from .filters import number, when
from .forms import SettingsForm
from .job import common
from .labels import translated
from .option_fields import described

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
    return render_template(
        "job/settings.html",
        tab="settings",
        form=form,
        config=config,
        shown=_shown(head["job"]),
        **head,
    )


def _shown(job: Job) -> list[tuple[str, str]]:
    """Names and values for those who can't change them."""
    chosen = job_options.of(job)
    found = {**EDITABLE, "sharing": OPTIONS["sharing"]}
    if not job.hours:
        del found["zone"]
    return [
        (translated(field.label), _word(field, getattr(chosen, name)))
        for name, field in found.items()
    ]


def _word(field: Field, value: Any) -> str:
    if value in (None, "", ()):
        return "–"
    if isinstance(value, tuple):
        return ", ".join(value)
    if field.kind is Kind.MOMENT:
        return when(value)
    return number(value) if field.kind is Kind.INTEGER else str(described(field, value))
