"""What stands on the workbench: one form on the page, three parts of the draft. The template and the options
are those of the steps, so that a draft can go on in either place; options that the workbench does not show
stay as they are."""

from typing import cast

from flask import request
from wtforms import BooleanField, SelectMultipleField

from ..core.errors import InvalidInput
from ..intake import Preview, Template
from ..services import configs, drafts, prompt_versions, sample_rows
from ..services.job_options import JobOptions
from ..store.models import ApiConfig, Upload
from . import draft_forms, new_job, new_template
from .draft_forms import OPTIONS, TEMPLATE, WORKBENCH
from .form_fields import PageForm
from .form_keys import FIELD
from .forms import LaunchForm, blame
from .sample_form import SampleForm
from .template_forms import TemplateForm

PARTS = (TEMPLATE, OPTIONS, WORKBENCH)
_OF_SAVING = ("name", "note")  # fields of a template that the workbench does not show


class Screen:
    """The forms of an upload, with the texts that ``values`` says for each part. ``template`` is None where
    the upload is no table."""

    def __init__(self, upload: Upload, found: Preview, values: prompt_versions.Texts):
        self.upload, self.found, self.values = upload, found, values
        self.template: TemplateForm | None = None
        if found.columns:
            form = draft_forms.filled(TEMPLATE, values[TEMPLATE])
            assert isinstance(form, TemplateForm)
            self.template = form.fitting(found.columns)
        options = draft_forms.filled(OPTIONS, values[OPTIONS])
        assert isinstance(options, LaunchForm)
        self.options = new_job.offered(options)
        sample = draft_forms.filled(WORKBENCH, values[WORKBENCH])
        assert isinstance(sample, SampleForm)
        modes = [one for one in sample_rows.MODES if sample_rows.is_offered(upload, one)]
        known = cast(list[tuple[int, str]], self.options.config.choices or [])
        self.sample = sample.offering(modes, known)
        valid = [form.validate() for form in self.forms]  # each, for the errors of all
        self.valid = all(valid)
        if not self.options.config.choices:  # the page says that there is none
            self.options.config.errors = []

    @property
    def forms(self) -> list:
        forms = (self.template, self.options, self.sample)
        return [form for form in forms if form is not None]

    @property
    def errors(self) -> list[str]:
        """What is wrong in the forms, each with the name of its field, where it is about one."""
        found = [
            f"{field.label.text}: {error}"
            for form in self.forms
            for field in form
            for error in field.errors
        ]
        return [*found, *(str(error) for form in self.forms for error in form.form_errors)]

    def blame(self, error: InvalidInput) -> None:
        """Show a refusal at its field."""
        form: PageForm = self.options
        if self.template is not None and error.field not in self.options._fields:
            form = self.template
        blame(form, error)
        self.valid = False

    @property
    def urls(self) -> set[str]:
        """Where the first requests go."""
        if self.template is not None:
            return {self.template.url.data or ""}
        return {item.url for item in self.found.first}

    def text(self) -> Template | None:
        """The template. Call it once its form is valid."""
        return None if self.template is None else self.template.chosen(self.found.sheet)

    def chosen(self) -> JobOptions:
        """The options, with the template where that is valid. Call it once their form is valid."""
        new = self.options.chosen()
        form = self.template
        if form is not None and not any(field.errors for field in form):
            new.template = self.text()
        return new

    def others(self) -> list[ApiConfig]:
        """The connections besides that of the job."""
        own = self.options.config.data
        return [configs.get(one) for one in dict.fromkeys(self.sample.compared) if one != own]

    def save(self) -> int:
        """Save all parts as one; returns the version. Raises DraftConflict, Launched, NotFound,
        InvalidInput."""
        page = request.form.get(FIELD, "")
        based_on = draft_forms.based_on()
        return drafts.save_parts(
            self.upload.id, self.values, WORKBENCH, based_on=based_on, page=page
        )


def version(upload: Upload) -> int:
    """The version of the draft, for a page that shows all parts."""
    return drafts.load(upload).version_of(PARTS)


def saved(upload: Upload, found: Preview) -> Screen:
    """What the draft says; where it says nothing yet, what the steps would begin with."""
    return Screen(upload, found, _kept(upload, found))


def posted(upload: Upload, found: Preview) -> Screen:
    """The same with what the present request sends."""
    kept = _kept(upload, found)
    template = _typed(TEMPLATE, kept, [name for name in kept[TEMPLATE] if name in _OF_SAVING])
    form = LaunchForm(formdata=None)
    options = _typed(OPTIONS, kept, [name for name in kept[OPTIONS] if _stays(form, name)])
    sample = _typed(WORKBENCH, kept, [])
    if request.form.get("use", "").isdecimal():
        _use(request.form["use"], options, sample)
    return Screen(upload, found, {TEMPLATE: template, OPTIONS: options, WORKBENCH: sample})


def _stays(form: LaunchForm, name: str) -> bool:
    """Whether an option that a form does not send is as it was: a box that is not checked, and the service
    where a connection has one only, are not sent."""
    sent = name in form and name != "service"
    return sent and not isinstance(form[name], BooleanField | SelectMultipleField)


def is_guess(shown: Screen) -> bool:
    """Whether the template is what the workbench began with, untouched."""
    values, begun = shown.values[TEMPLATE], _template(shown.upload, shown.found)
    return all(values[name] == begun.get(name) for name in values)


def _typed(part: str, kept: prompt_versions.Texts, as_kept: list[str]) -> drafts.Values:
    """The texts of the request for a part; those of ``as_kept`` stay."""
    form = draft_forms.FORMS[part]()
    typed = draft_forms.typed(form)
    if part == TEMPLATE:
        typed = {name: texts for name, texts in typed.items() if name not in _OF_SAVING}
    return {**{name: kept[part][name] for name in as_kept}, **typed}


def _use(config_id: str, options: drafts.Values, sample: drafts.Values) -> None:
    """Launch with another of the shown connections: the two change places."""
    own = options.get("config", [""])
    for name in ("compare_1", "compare_2"):
        if sample.get(name) == [config_id]:
            sample[name], options["config"] = own, [config_id]
            return


def _kept(upload: Upload, found: Preview) -> dict[str, drafts.Values]:
    draft = drafts.load(upload)
    values: dict[str, drafts.Values] = {}
    for part, begun in ((TEMPLATE, _template), (OPTIONS, _options), (WORKBENCH, _sample)):
        known = draft.values(part)
        values[part] = known or begun(upload, found)
    return values


def _template(upload: Upload, found: Preview) -> drafts.Values:
    if not found.columns:
        return {}
    text, origin = new_template.beginning(upload, found)
    return draft_forms.values_of(TemplateForm.of(text, found.columns, origin))


def _options(upload: Upload, found: Preview) -> drafts.Values:
    form = new_job.first_form(upload, found, None)
    values = draft_forms.values_of(form)
    if form.config.data is None:
        active = configs.list_all(active=True)
        values["config"] = [str(active[0].id)] if active else []
    return values


def _sample(upload: Upload, _found: Preview) -> drafts.Values:
    """The failed rows of a job whose prompt is improved, else the first ones."""
    form = SampleForm(formdata=None)
    if drafts.load(upload).clone is not None:
        form.mode.data = "failed"
    return draft_forms.values_of(form)
