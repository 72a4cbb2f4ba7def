"""Making a job: upload → (template) → preview → launch."""

import contextlib
import io
from pathlib import Path

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _

from ..auth.guard import must_see
from ..core import content, context
from ..core.domain import EMBEDDINGS
from ..core.errors import ConfigurationError, InvalidInput, NotFound, UploadRejected
from ..core.request_input import with_large_field
from ..core.settings import PROJECT_ROOT
from ..services import configs, job_creation, job_options, jobs, recipes, templates, uploads, webhooks
from ..services import estimate as estimates
from . import images, new_template
from .downloads import attached
from .form_keys import once
from .forms import LaunchForm, UploadForm, blame
from .labels import translated, webhook_place
from .template_forms import TemplateForm

blueprint = Blueprint("new_job", __name__, url_prefix="/jobs/new")

EXAMPLES = PROJECT_ROOT / "examples"
SAMPLES = ("questions.jsonl", "questions.csv", "chat.json", "messages.json", "openai_batch.jsonl")


@blueprint.get("")
def start():
    """Choose the data. ``?clone=<id>`` goes on with the data and choices of an old job."""
    clone = request.args.get("clone", type=int)
    if clone is not None:
        must_see(clone)
        _fields, upload = jobs.clone_fields(clone)
        if upload is not None and upload.preview:
            return _next_step(*uploads.staged(upload.id))
        flash(_("The file of that job was deleted. Upload it again."), "warning")
    return _start_page(UploadForm(formdata=None))


@blueprint.post("")
@with_large_field
def upload():
    """Keep and scan the data, then show what was found."""
    form = UploadForm()
    try:
        stream, name = _given(form)
        staged = uploads.stage(stream, name, beside=images.given())
    except UploadRejected as error:
        return _start_page(form, error), error.http_status
    return _next_step(*uploads.staged(staged.id))


@blueprint.get("/<int:upload_id>")
def preview(upload_id: int):
    """What the upload holds, and the choices for the job; ``?clone=<id>`` takes an old job's."""
    staged, found = _ready(upload_id)
    config = request.args.get("config", type=int)
    clone = request.args.get("clone", type=int)
    if clone is not None:
        must_see(clone)
        fields, _upload = jobs.clone_fields(clone)
        form = LaunchForm.of(fields, name=_("%(name)s (copy)", name=fields.name))
    else:
        name = Path(staged.filename).stem.split(".")[0]
        retries = context.settings().DEFAULT_MAX_RETRIES
        asked = {"name": name, "max_retries": retries, "ask_once": found.duplicates > 0}
        form = LaunchForm(formdata=None, data=asked)
        form.config.data = config
    return _preview_page(_offered(form), staged, found)


@blueprint.post("/<int:upload_id>")
@once
def launch(upload_id: int):
    """Create the job."""
    staged, found = _ready(upload_id)
    form = _offered(LaunchForm())
    if form.validate_on_submit():
        new = form.chosen()
        new.hold = "hold" in request.form
        new.skip_faulty = "skip_faulty" in request.form
        try:
            job = job_creation.launch(upload_id, new)
        except InvalidInput as error:
            blame(form, error)
        else:
            return redirect(url_for("job_pages.overview", job_id=job.id), 303)
    return _preview_page(form, staged, found), 400


@blueprint.post("/<int:upload_id>/recipe")
def save_recipe(upload_id: int):
    """The choices in the form as a file."""
    staged, found = _ready(upload_id)
    form = _offered(LaunchForm())
    if form.validate_on_submit():
        try:
            new = form.chosen()
            new.template = uploads.template_of(staged)
            return attached(recipes.dump(new), f"{form.name.data or 'job'}.recipe.json")
        except InvalidInput as error:
            blame(form, error)
    return _preview_page(form, staged, found), 400


@blueprint.post("/<int:upload_id>/load")
def load_recipe(upload_id: int):
    """The form, filled in from a recipe; a table is read through the recipe's template."""
    staged, found = uploads.staged(upload_id)
    file = request.files.get("recipe")
    data = file.stream.read(recipes.MAX_BYTES + 1) if file is not None else b""
    try:
        new = recipes.load(data)
    except InvalidInput as error:
        flash(translated(error), "danger")
        return redirect(url_for("new_job.preview", upload_id=upload_id), 303)
    if found.columns and new.template is not None:
        try:
            uploads.apply_template(upload_id, new.template)
        except (InvalidInput, UploadRejected) as error:
            flash(translated(error), "danger")
            form = TemplateForm.of(new.template, found.columns)
            return new_template.page(form, staged, found), 400
    return _preview_page(_offered(LaunchForm.of(new)), *_ready(upload_id))


@blueprint.post("/<int:upload_id>/try")
@once
def try_rows(upload_id: int):
    """Send the first rows for real and show the answers, with an estimate based on them."""
    staged, found = _ready(upload_id)
    form = _offered(LaunchForm())
    if not form.validate_on_submit():
        return _preview_page(form, staged, found), 400
    try:
        tried = estimates.try_rows(upload_id, form.chosen(), _rows_to_try())
    except (ConfigurationError, InvalidInput) as error:
        blame(form, InvalidInput(error.text, getattr(error, "field", None) or "config"))
        return _preview_page(form, staged, found), 400
    return _preview_page(form, staged, found, tried)


@blueprint.post("/<int:upload_id>/discard")
def discard(upload_id: int):
    """Go back: forget the upload."""
    with contextlib.suppress(NotFound):  # gone already, which is what was asked for
        job_creation.discard_upload(upload_id)
    return redirect(url_for("new_job.start"), 303)


def _given(form: UploadForm):
    """(stream, name) of the upload. Raises UploadRejected without one."""
    sample = request.form.get("sample")
    if sample in SAMPLES:
        return (EXAMPLES / sample).open("rb"), sample
    file = request.files.get("file")
    if file is not None and file.filename:
        return file.stream, file.filename
    pasted = form.pasted.data or ""
    if pasted.strip():
        return io.BytesIO(pasted.encode("utf-8", "surrogatepass")), "pasted"
    raise UploadRejected(_("Choose a file, paste text, or use an example."))


def _next_step(staged, found):
    """From the data to the template where it is a table, else to the choices."""
    step = "new_template.edit" if found.columns else "new_job.preview"
    clone = request.args.get("clone", type=int)
    return redirect(url_for(step, upload_id=staged.id, clone=clone), 303)


def _ready(upload_id: int):
    """A staged upload and its preview; a table without a template is led to that step."""
    staged, found = uploads.staged(upload_id)
    if found.columns and not staged.template:
        abort(_next_step(staged, found))
    return staged, found


def _offered(form: LaunchForm) -> LaunchForm:
    """The form with the active configs to choose from."""
    active = configs.list_all(active=True)
    form.config.choices = [(config.id, f"{config.alias} ({config.model})") for config in active]
    hooks = [hook for hook in webhooks.listed() if hook.disabled_at is None and hook.token is None]
    form.webhook.choices = [(0, _("none")), *((hook.id, webhook_place(hook)) for hook in hooks)]
    return form


def _start_page(form, error: UploadRejected | None = None):
    clone = request.args.get("clone", type=int)
    return render_template("jobs/new.html", form=form, error=error, samples=SAMPLES, clone=clone)


def _preview_page(form, staged, found, tried=()):
    first = [_previewed(item) for item in content.with_breaks(found.first, 1)]
    config = _chosen_config(form)
    estimate = None
    if config is not None:
        new = job_options.JobOptions(config=config.id) if form.errors else form.chosen()
        estimate = estimates.estimate(staged, found, config, new, tried)
    return render_template(
        "jobs/preview.html",
        **images.of_upload(staged, [message for item in first for message in item["messages"]]),
        form=form,
        upload=staged,
        preview=found,
        first=first,
        embeds=any(item.url == EMBEDDINGS for item in found.first),
        usual_inputs=context.settings().EMBEDDINGS_PER_CALL,
        estimate=estimate,
        warnings=_warnings(staged, found),
        template_url=url_for("new_template.edit", upload_id=staged.id),
        chosen=config,
        tried=[_shown(row, config) for row in tried],
        rows_to_try=min(_rows_to_try(), found.good),
        max_rows_to_try=min(estimates.MAX_ROWS, found.good),
    )


def _warnings(staged, found):
    """What in the template of a table looks like a mistake."""
    template = uploads.template_of(staged) if found.columns else None
    return [] if template is None else templates.warnings(template, found.columns)


def _previewed(item) -> dict:
    body = content.readable(item.body)
    return {
        "line": item.line,
        "custom_id": item.custom_id,
        "messages": content.conversation_of(body.data),
        "raw": body.text,
        "bytes": body.cut,
    }


def _rows_to_try() -> int:
    try:
        asked = request.form.get("rows_to_try", estimates.ROWS, type=int)
    except InvalidInput:
        asked = estimates.ROWS
    return max(1, min(asked, estimates.MAX_ROWS))


def _chosen_config(form):
    """The config that the form names, else the first; None without configs."""
    if not form.config.choices:
        return None
    known = {value for value, _label in form.config.choices}
    wanted = form.config.data
    return configs.get(wanted if wanted in known else form.config.choices[0][0])


def _shown(row, config) -> dict:
    return {
        "custom_id": row.request.custom_id,
        "line": row.request.line,
        "latency_ms": row.latency_ms,
        "cause": row.cause,
        "http_status": row.http_status,
        "message": row.message,
        "answer": content.answer_of(content.readable(row.response).data)
        if row.cause is None
        else "",
        "usage": row.usage,
        "cost": estimates.cost_of(config, row.usage),
    }
