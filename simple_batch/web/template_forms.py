"""The forms of templates: over a table at hand, and without one."""

import json

from flask_babel import lazy_gettext as _
from wtforms import Field, HiddenField, SelectField, StringField, TextAreaField, ValidationError
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than the stubs
from wtforms.validators import Optional
from wtforms.widgets import HiddenInput

from .. import intake
from ..intake import Template
from .form_fields import PageForm, WholeField, json_object
from .forms import unix


class _Texts:
    """What every template has, and the name it is saved under."""

    url = SelectField(
        _("Endpoint"),
        choices=[SelectChoice(url, url) for url in intake.ENDPOINTS],
        default=intake.CHAT,
    )
    system = TextAreaField(_("System message"))
    user = TextAreaField(_("User message"))
    images = TextAreaField(_("Images"))
    parameters = TextAreaField(_("Parameters of a request (JSON)"))
    conversation: Field  # that of each form
    name = StringField(_("Name"))
    note = StringField(_("Note"))

    def validate_user(self, _field) -> None:
        """Before anything is read in texts that are too long."""
        texts = (self.system.data, self.user.data, self.images.data, self.parameters.data)
        if sum(len(text or "") for text in texts) > intake.MAX_TEMPLATE_BYTES:
            raise ValidationError(
                _("Longer than %(most)s bytes in all.", most=f"{intake.MAX_TEMPLATE_BYTES:,}")
            )

    def validate_parameters(self, field) -> None:
        json_object(field)

    def texts(self) -> dict:
        """What the fields say, by the names of Template."""
        return {
            "url": self.url.data,
            "user": unix(self.user.data),
            "system": unix(self.system.data),
            "images": [line for line in unix(self.images.data).split("\n") if line.strip()],
            "parameters": json.loads(self.parameters.data or "{}"),
            "conversation": (self.conversation.data or "").strip(),
        }

    @staticmethod
    def of_texts(template: Template) -> dict:
        """The same the other way round."""
        parameters = template.parameters
        return {
            "url": template.url,
            "system": template.system,
            "user": template.user,
            "images": "\n".join(template.images),
            "parameters": json.dumps(parameters, ensure_ascii=False) if parameters else "",
            "conversation": template.conversation,
        }


class TemplateForm(_Texts, PageForm):
    """Step two where the data is a table: what makes a request of a row. ``origin`` is the id of the
    version of a saved template that it began with."""

    conversation = SelectField(_("Conversation column"), default="", validate_choice=False)
    custom_id = SelectField(_("Use as custom_id"))
    origin = WholeField(validators=[Optional()], widget=HiddenInput())

    @classmethod
    def of(
        cls, template: Template, columns: list[str], origin: int | None = None
    ) -> "TemplateForm":
        """Filled in with a template, as the columns have it."""
        named = "custom_id" if "custom_id" in columns else ""
        data = {
            **cls.of_texts(template),
            "custom_id": named if template.custom_id is None else template.custom_id,
            "origin": origin,
        }
        form = cls(formdata=None, data=data).offering(columns)
        if data["custom_id"] not in ("", *columns):
            form.custom_id.data = named
        return form

    def offering(self, columns: list[str]) -> "TemplateForm":
        """With these columns to choose from."""
        numbered = ("", _("numbered: request-1, request-2, …"))
        self.custom_id.choices = [numbered, *((name, name) for name in columns)]
        self.conversation.choices = [("", _("none")), *((name, name) for name in columns)]
        return self

    def fitting(self, columns: list[str]) -> "TemplateForm":
        """``offering``, where another sheet, or another reading of the file, may have left out the
        chosen one."""
        for field in (self.custom_id, self.conversation):
            if field.data not in ("", *columns):
                field.data = ""
        return self.offering(columns)

    def chosen(self, sheet: str = "") -> Template:
        """What the form says, for a workbook's ``sheet``. Call it once the form is valid."""
        return Template(**self.texts(), sheet=sheet, custom_id=self.custom_id.data or "")


class SavedTemplateForm(_Texts, PageForm):
    """A template to be saved, without a table at hand."""

    custom_id = StringField(_("Column used as custom_id"))
    sheet = StringField(_("Sheet of a workbook"))
    conversation = StringField(_("Conversation column"))
    numbered = HiddenField()  # the template numbers the requests, whatever the columns are

    @classmethod
    def of(cls, template: Template, name: str) -> "SavedTemplateForm":
        """Filled in with what was saved before."""
        own = {"name": name, "custom_id": template.custom_id or "", "sheet": template.sheet}
        numbered = "1" if template.custom_id == "" else ""
        return cls(formdata=None, data={**cls.of_texts(template), **own, "numbered": numbered})

    def chosen(self) -> Template:
        """What the form says. Call it once the form is valid."""
        named = (self.custom_id.data or "").strip() or ("" if self.numbered.data else None)
        return Template(**self.texts(), custom_id=named, sheet=(self.sheet.data or "").strip())
