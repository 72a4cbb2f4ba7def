"""Forms of a draft: what stands in them is saved as it was typed, and comes back the same way."""

from collections.abc import Mapping

from flask import request
from flask_babel import gettext as _
from flask_wtf.csrf import generate_csrf
from werkzeug.datastructures import MultiDict
from wtforms import BooleanField, FileField, MultipleFileField, SelectField, SelectMultipleField

from ..core.errors import InvalidInput
from ..services import drafts
from ..services.drafts import DraftConflict, Launched
from ..store.models import Upload
from .form_fields import PageForm
from .form_keys import FIELD
from .forms import LaunchForm, unix
from .labels import translated
from .sample_form import SampleForm
from .template_forms import TemplateForm

VERSION = "draft_version"  # the field of a form with the version that its page began with
TEMPLATE, OPTIONS = "template", "options"  # the parts of a draft, and the steps to continue with
READING = "reading"  # the step before, where the encoding has to be chosen
WORKBENCH = "workbench"  # the screen in place of the steps, and what it has besides their parts
FORMS: dict[str, type[PageForm]] = {
    TEMPLATE: TemplateForm,
    OPTIONS: LaunchForm,
    WORKBENCH: SampleForm,
}
_CSRF = "csrf_token"


def typed(form: PageForm) -> drafts.Values:
    """The texts of the present request for the fields of a form; neither files nor a CSRF token."""
    values = {
        field.name: [unix(text) for text in request.form.getlist(field.name)]
        for field in form
        if field.name in request.form
        and field.name != _CSRF
        and not isinstance(field, FileField | MultipleFileField)
    }
    if "schema" in values:  # a valid form has that of its file
        values["schema"] = [unix(form["schema"].data)]
    return values


def save(upload_id: int, part: str, form: PageForm, step: str = "") -> int:
    """Save the form of the present request as a part of the draft; returns its version. Raises
    DraftConflict, Launched, NotFound, InvalidInput."""
    return drafts.save(
        upload_id,
        part,
        typed(form),
        step=step,
        based_on=based_on(),
        page=request.form.get(FIELD, ""),
    )


def kept(upload_id: int, part: str, form: PageForm) -> bool:
    """``save`` for a step that was sent. Returns False, with the error in the form, where another tab
    has changed the draft: sent once more, the form replaces that version."""
    try:
        save(upload_id, part, form)
    except Launched:  # with the browser's Back; the job has its choices
        return True
    except DraftConflict:
        text = _(
            "This draft was changed in another tab. Send the form again to replace that version."
        )
        form.form_errors = [*form.form_errors, text]
        return False
    except InvalidInput as error:
        form.form_errors = [*form.form_errors, translated(error)]
        return False
    return True


def save_filled(upload_id: int, part: str, form: PageForm) -> None:
    """Save a form that the server filled in as a part of the draft. Raises Launched, NotFound,
    InvalidInput."""
    values = {
        field.name: ["" if field.data is None else str(field.data)]
        for field in form
        if field.name != _CSRF and not isinstance(field, FileField | MultipleFileField)
    }
    drafts.save(upload_id, part, values, page=request.form.get(FIELD, ""))


def saved(upload: Upload, part: str) -> PageForm | None:
    """The form with what was typed; None where nothing was saved. It is validated once its choices
    are set, so that errors are shown again."""
    found = drafts.load(upload).part(part)
    if found is None:
        return None
    return filled(part, found.values)


def values_of(form: PageForm) -> drafts.Values:
    """What a form that the server filled in would send."""
    found: drafts.Values = {}
    for field in form:
        if field.name == _CSRF or isinstance(field, FileField | MultipleFileField):
            continue
        if isinstance(field, BooleanField):
            texts = ["y"] if field.data else []
        elif isinstance(field, SelectMultipleField):
            texts = [str(value) for value in field.data or ()]
        elif isinstance(field, SelectField):
            texts = [] if field.data is None else [str(field.data)]
        else:
            texts = [field._value()] if field.data is not None else [""]
        if texts:
            found[field.name] = [unix(text) for text in texts]
    return found


def filled(part: str, values: Mapping[str, list[str]]) -> PageForm:
    """The form of a part with these texts."""
    given: MultiDict[str, str] = MultiDict(
        (name, text) for name, texts in values.items() for text in texts
    )
    given[_CSRF] = generate_csrf()
    return FORMS[part](formdata=given)


def version(upload_id: int, part: str) -> int:
    """The version of a part now."""
    upload = Upload.get_or_none(Upload.id == upload_id)
    return drafts.load(upload).version(part) if upload is not None else 0


def based_on() -> int | None:
    given = request.form.get(VERSION, "")
    return int(given) if given.isdecimal() and len(given) < 10 else None
