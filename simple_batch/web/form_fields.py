"""Forms and fields with bounds that those of WTForms do not have."""

import json

from flask import request
from flask_babel import lazy_gettext as _
from flask_wtf import FlaskForm
from wtforms import DateTimeLocalField, IntegerField, ValidationError

from ..core import request_input
from ..core.json_faults import text_fault
from .labels import translated

LONGEST_JSON = 100_000  # characters
FIRST_YEAR, LAST_YEAR = 1971, 9998  # in every zone these begin and end within what a clock can show


class PageForm(FlaskForm):
    """Flask-WTF's, less its reading of JSON: what no page sends is no form."""

    class Meta(FlaskForm.Meta):
        def wrap_formdata(self, form, formdata):
            if formdata is None or request.is_json:
                return None
            return super().wrap_formdata(form, formdata)


class WholeField(IntegerField):
    """An integer that a database can hold."""

    def process_formdata(self, valuelist) -> None:
        self.data = None
        if valuelist:
            try:
                self.data = request_input.whole(valuelist[0])
            except ValueError:
                raise ValueError(self.gettext("Not a valid integer value.")) from None


class MomentField(DateTimeLocalField):
    """A moment on the page's clock, of a year that every zone can show."""

    def process_formdata(self, valuelist) -> None:
        super().process_formdata(valuelist)
        if self.data is not None and not FIRST_YEAR <= self.data.year <= LAST_YEAR:
            self.data = None
            raise ValueError(self.gettext("Not a valid datetime value."))


def json_object(field) -> None:
    """Raises ValidationError where a text is not empty and no JSON object."""
    if len(field.data or "") > LONGEST_JSON:
        raise ValidationError(_("Parameters: longer than 100,000 characters."))
    try:
        parsed = json.loads(field.data or "{}")
    except (ValueError, RecursionError):
        fault = text_fault(field.data)
        why = "" if fault is None else translated(fault)
        raise ValidationError(_("Not valid JSON: %(why)s", why=why)) from None
    if not isinstance(parsed, dict):
        raise ValidationError(_('A JSON object, for example {"top_p": 0.9}.'))
