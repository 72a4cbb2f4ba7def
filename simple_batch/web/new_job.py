"""Making a job: upload → (template) → preview → launch."""

import io
from pathlib import Path

import msgspec
from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _

from ..auth.guard import must_see, sees_upload
from ..core import content, context
from ..core.errors import (
    ConfigurationError,
    InvalidInput,
    NotFound,
    SimpleBatchError,
    UploadRejected,
)
from ..core.home import resource
from ..core.request_input import with_large_field
from ..intake import Reading, Template
from ..services import (
    configs,
    drafts,
    job_clones,
    job_creation,
    job_options,
    jobs,
    readings,
    recipes,
    templates,
    uploads,
    webhooks,
)
from ..services import estimate as estimates
from ..services.template_advice import order_advice
from . import draft_forms, images, launch_options, new_draft, new_template
from .downloads import attached
from .draft_forms import OPTIONS, READING
from .form_keys import once
from .forms import LaunchForm, UploadForm, blame
from .labels import translated, webhook_place
from .template_forms import TemplateForm

blueprint = Blueprint("new_job", __name__, url_prefix="/jobs/new")
blueprint.before_request(new_draft.led)

EXAMPLES = resource("examples")
PASTED = "pasted"
_PASSED_ON = ("workbench", "template", "template_version")  # by the form of the data
SAMPLES = ("questions.jsonl", "questions.csv", "chat.json", "messages.json", "openai_batch.jsonl")


@blueprint.get("")
def start():
    """Choose the data, or continue with a draft. ``?clone=<id>`` makes a draft of the data and choices
    of an old job, ``?discarded=<id>`` offers to restore an upload."""
    clone = request.args.get("clone", type=int)
    if clone is not None:
        must_see(clone)
        fields, upload = jobs.clone_fields(clone)
        if upload is not None and upload.preview:
            return _cloned(clone, fields, *uploads.staged(upload.id))
        return _rebuilt(clone, fields)
    return _start_page(UploadForm(formdata=None))


def _goes_on(upload_id: int, step: str):
    """The page to go on with: the workbench, with a version of a saved template
    (``?template=<id>&template_version=<n>``), or the choice of an encoding before."""
    chosen = _chosen_template()
    if chosen is not None and step != READING:
        new_template.begin_with(upload_id, *chosen)
    return redirect(new_draft.address(upload_id, step), 303)


def _chosen_template() -> tuple[Template, int] | None:
    """The saved template that the URL names, and the id of its version."""
    saved = request.args.get("template", type=int)
    if saved is None:
        return None
    version = templates.version(
        templates.get(saved), request.args.get("template_version", type=int)
    )
    return templates.template_of(version), version.id


@blueprint.post("")
@with_large_field
def upload():
    """Keep and scan the data, then show what was found."""
    form = UploadForm()
    try:
        stream, name = _given(form)
        pasted = Reading("utf-8") if name == PASTED else Reading()  # as browsers send it
        staged = uploads.stage(stream, name, beside=images.given(), reading=pasted)
    except UploadRejected as error:
        return _start_page(form, error), error.http_status
    return _begun(staged.id)


@blueprint.get("/<int:upload_id>")
def preview(upload_id: int):
    """What the upload holds, and the choices for the job: those of the draft; ``?clone=<id>`` takes an
    old job's where there are none yet."""
    staged, found = _ready(upload_id)
    clone = request.args.get("clone", type=int)
    if clone is not None:
        must_see(clone)
    form = draft_forms.saved(staged, OPTIONS)
    if form is not None:
        offered(form).validate()
    else:
        form = offered(first_form(staged, found, clone))
    config = request.args.get("config", type=int)
    if config is not None:
        form.config.data = config
        _take_over(form)
    return _preview_page(form, staged, found)


def _take_over(form: LaunchForm) -> None:
    """What stands in the fields that another connection may change, and is not saved yet."""
    for name in ("service", "deadline_at"):
        if name in request.args:
            form[name].process(request.args)
    if "service" in request.args:  # a box that is not checked is not sent
        form.keep_remote_files.process(request.args)


def first_form(staged, found, clone: int | None) -> LaunchForm:
    """The form before anything was chosen in it."""
    begun = drafts.load(staged).begun
    if begun is not None:
        return LaunchForm.of(begun)
    if clone is not None:
        return LaunchForm.of(_copied(jobs.clone_fields(clone)[0]))
    name = Path(staged.filename).stem.split(".")[0]
    retries = context.settings().DEFAULT_MAX_RETRIES
    unknown = bool(found.columns) and not staged.template  # the template makes them
    ask_once = unknown or found.duplicates > 0
    asked = {"name": name, "max_retries": retries, "ask_once": ask_once}
    form = LaunchForm(formdata=None, data=asked)
    form.config.data = None
    return form


@blueprint.post("/<int:upload_id>")
@once
def launch(upload_id: int):
    """Create the job."""
    staged, found = _ready(upload_id)
    form = offered(LaunchForm())
    valid = form.validate_on_submit()
    if not draft_forms.kept(upload_id, OPTIONS, form):
        return _preview_page(form, staged, found), 409
    if valid:
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
    form = offered(LaunchForm())
    valid = form.validate_on_submit()
    if not draft_forms.kept(upload_id, OPTIONS, form):
        return _preview_page(form, staged, found), 409
    if valid:
        try:
            return recipe_file(form.chosen(), staged, form.name.data)
        except InvalidInput as error:
            blame(form, error)
    return _preview_page(form, staged, found), 400


@blueprint.post("/<int:upload_id>/load")
def load_recipe(upload_id: int):
    """The form, filled in from a recipe; the data is read as it says, a table through its template."""
    upload_id = new_draft.begun_again(upload_id)
    staged, found = uploads.staged(upload_id)
    try:
        new = given_recipe()
    except InvalidInput as error:
        flash(translated(error), "danger")
        return redirect(url_for("new_job.preview", upload_id=upload_id), 303)
    staged, found = read_as_recipe(staged, found, new)
    if found.columns and new.template is not None:
        try:
            uploads.apply_template(upload_id, new.template)
        except (InvalidInput, UploadRejected) as error:
            flash(translated(error), "danger")
            form = TemplateForm.of(new.template, found.columns)
            return new_template.page(form, staged, found), 400
    drafts.begin(upload_id, new_draft.first_step(upload_id), new)
    return _preview_page(offered(LaunchForm.of(new)), *_ready(upload_id))


def given_recipe() -> job_options.JobOptions:
    """The settings file in the form. Raises InvalidInput."""
    file = request.files.get("recipe")
    return recipes.load(file.stream.read(recipes.MAX_BYTES + 1) if file is not None else b"")


def read_as_recipe(staged, found, new: job_options.JobOptions):
    """Read an upload as a settings file says, where that is another way; the upload and its preview then."""
    wanted = readings.changed_by(staged, found, new.reading)
    if wanted is None:
        return staged, found
    try:
        uploads.read_as(staged.id, wanted)
    except UploadRejected as error:
        flash(translated(error), "warning")
    return uploads.staged(staged.id)


def recipe_file(new: job_options.JobOptions, staged, name: str | None):
    """Options as a settings file to download. Raises InvalidInput."""
    new.template = new.template or uploads.template_of(staged)
    new.reading = readings.of(staged)
    return attached(recipes.dump(new), f"{name or 'job'}.recipe.json")


@blueprint.post("/<int:upload_id>/try")
@once
def try_rows(upload_id: int):
    """Send the first rows for real and show the answers, with an estimate based on them."""
    staged, found = _ready(upload_id)
    form = offered(LaunchForm())
    valid = form.validate_on_submit()
    if not draft_forms.kept(upload_id, OPTIONS, form):
        return _preview_page(form, staged, found), 409
    if not valid:
        return _preview_page(form, staged, found), 400
    try:
        tried = estimates.try_rows(upload_id, form.chosen(), _rows_to_try())
    except (ConfigurationError, InvalidInput) as error:
        blame(form, InvalidInput(error.text, getattr(error, "field", None) or "config"))
        return _preview_page(form, staged, found), 400
    return _preview_page(form, staged, found, tried)


@blueprint.post("/<int:upload_id>/back")
def back(upload_id: int):
    """Keep the choices and go to the step before."""
    staged, found = _ready(upload_id)
    form = offered(LaunchForm())
    if not draft_forms.kept(upload_id, OPTIONS, form):
        return _preview_page(form, staged, found), 409
    if found.columns:
        return redirect(url_for("new_template.edit", upload_id=upload_id), 303)
    return redirect(url_for("new_job.start"), 303)


@blueprint.post("/<int:upload_id>/discard")
def discard(upload_id: int):
    """Hide the upload with its draft; the next page offers the undo."""
    try:
        drafts.discard(upload_id)
    except NotFound:  # gone already, which is what was asked for
        return redirect(url_for("new_job.start"), 303)
    return redirect(url_for("new_job.start", discarded=upload_id), 303)


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
        return io.BytesIO(pasted.encode("utf-8", "surrogatepass")), PASTED
    raise UploadRejected(_("Choose a file, paste text, or use an example."))


def _next_step(upload_id: int, found):
    """From the data to the template where it is a table, else to the choices."""
    step = "new_template.edit" if found.columns else "new_job.preview"
    clone = request.args.get("clone", type=int)
    return redirect(url_for(step, upload_id=upload_id, clone=clone), 303)


def _begun(upload_id: int):
    """The first step of a new upload, with the choices of the job that ``?clone=`` names."""
    clone = request.args.get("clone", type=int)
    begun = None
    if clone is not None:
        must_see(clone)
        begun = _copied(jobs.clone_fields(clone)[0])
    step = new_draft.first_step(upload_id)
    drafts.begin(upload_id, step, begun, clone)
    return _goes_on(upload_id, step)


def _cloned(clone: int, fields: job_options.JobOptions, staged, found):
    """The first step of a copy of an old job's upload."""
    step = new_draft.first_step(staged.id)
    made = drafts.copy(staged, step, _copied(fields), clone)
    return _goes_on(made.id, step)


def _rebuilt(clone: int, fields: job_options.JobOptions):
    """The same for a job without a file: from its stored requests, or the page that waits for them."""
    try:
        made = job_clones.prepare(clone)
        if made.error is not None:
            raise made.error
    except NotFound:
        raise
    except SimpleBatchError as error:
        flash(translated(error), "warning")
        return _start_page(UploadForm(formdata=None))
    if made.upload_id is None:
        return render_template("jobs/preparing.html", made=made, name=fields.name), {"Refresh": "2"}
    flash(" ".join(map(translated, made.notes)), "info")
    job_clones.forget(made)
    step = new_draft.first_step(made.upload_id)
    drafts.begin(made.upload_id, step, _copied(fields), clone, rebuilt=True)
    return _goes_on(made.upload_id, step)


def _copied(fields: job_options.JobOptions) -> job_options.JobOptions:
    return msgspec.structs.replace(fields, name=_("%(name)s (copy)", name=fields.name))


def _ready(upload_id: int):
    """A staged upload and its preview; a table without a template is led to that step."""
    staged, found = uploads.staged(upload_id)
    if found.columns and not staged.template:
        abort(_next_step(upload_id, found))
    return staged, found


def offered(form: LaunchForm) -> LaunchForm:
    """The form with the active configs to choose from."""
    active = configs.list_all(active=True)
    form.config.choices = [(config.id, f"{config.alias} ({config.model})") for config in active]
    hooks = [hook for hook in webhooks.listed() if hook.disabled_at is None and hook.token is None]
    form.webhook.choices = [(0, _("none")), *((hook.id, webhook_place(hook)) for hook in hooks)]
    return form


def _saved_template():
    """The version of a saved template for which the data is given."""
    chosen = _chosen_template()
    return templates.version_by_id(chosen[1]) if chosen is not None else None


def _start_page(form, error: UploadRejected | None = None):
    given = request.args.get("discarded", type=int)
    discarded = new_draft.discarded(given) if given is not None and sees_upload(given) else None
    return render_template(
        "jobs/new.html",
        form=form,
        error=error,
        samples=SAMPLES,
        clone=request.args.get("clone", type=int),
        discarded=discarded,
        asked={name: request.args[name] for name in _PASSED_ON if name in request.args},
        saved_template=_saved_template(),
        **new_draft.listed(),
    )


def _preview_page(form, staged, found, tried=()):
    first = [_previewed(item) for item in content.with_breaks(found.first, 1)]
    config = launch_options.config_of(form)
    estimate = None
    if config is not None:
        new = launch_options.options_of(form, config)
        estimate = estimates.estimate(staged, found, config, new, tried)
    urls = {item.url for item in found.first}
    return render_template(
        "jobs/preview.html",
        **launch_options.shown(form, config, urls, found.good, estimate),
        **images.of_upload(staged, [message for item in first for message in item["messages"]]),
        form=form,
        upload=staged,
        draft_version=draft_forms.version(staged.id, OPTIONS),
        preview=found,
        first=first,
        warnings=_warnings(staged, found),
        advice=_advice(staged, found, config),
        template_url=url_for("new_template.edit", upload_id=staged.id),
        tried=[_shown(row, config) for row in tried],
        rows_to_try=min(_rows_to_try(), found.good),
        max_rows_to_try=min(estimates.MAX_ROWS, found.good),
    )


def _warnings(staged, found):
    """What in the template of a table looks like a mistake."""
    template = uploads.template_of(staged) if found.columns else None
    return [] if template is None else templates.warnings(template, found.columns)


def _advice(staged, found, config):
    """What another order of the texts of a table's template would save."""
    template = uploads.template_of(staged) if found.columns else None
    return None if template is None else order_advice(template, found.columns, found.good, config)


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
        "cost": estimates.cost_of(config, row.usage, row.service_tier),
    }
