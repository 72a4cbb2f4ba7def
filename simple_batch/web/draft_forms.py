"""Forms of a draft: what stands in them is saved as it was typed, and comes back the same way."""

from flask import request
from flask_babel import gettext as _
from flask_wtf.csrf import generate_csrf
from werkzeug.datastructures import MultiDict
from wtforms import FileField, MultipleFileField

from ..core.errors import InvalidInput
from ..services import drafts
from ..services.drafts import DraftConflict, Launched
from ..store.models import Upload
from .form_fields import PageForm
from .form_keys import FIELD
from .forms import LaunchForm, unix
from .labels import translated
from .template_forms import TemplateForm

VERSION = "draft_version"  # the field of a form with the version that its page began with
TEMPLATE, OPTIONS = "template", "options"  # the parts of a draft, and the steps to continue with
READING = "reading"  # the step before, where the encoding has to be chosen
FORMS: dict[str, type[PageForm]] = {TEMPLATE: TemplateForm, OPTIONS: LaunchForm}
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
        based_on=_based_on(),
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
    values: MultiDict[str, str] = MultiDict(
        (name, text) for name, texts in found.values.items() for text in texts
    )
    values[_CSRF] = generate_csrf()
    return FORMS[part](formdata=values)


def version(upload_id: int, part: str) -> int:
    """The version of a part now."""
    upload = Upload.get_or_none(Upload.id == upload_id)
    return drafts.load(upload).version(part) if upload is not None else 0


def _based_on() -> int | None:
    given = request.form.get(VERSION, "")
    return int(given) if given.isdecimal() and len(given) < 10 else None
