"""The part of the launch form about the shape of answers."""

import json

from flask_babel import lazy_gettext as _
from wtforms import BooleanField, FileField, SelectField, TextAreaField, ValidationError
from wtforms.fields.choices import SelectChoice

from ..core.errors import InvalidInput
from ..core.schema import MAX_BYTES, Schema, parse
from ..services.job_options import JobOptions
from .labels import translated


class SchemaFields:
    """A schema as text or from a file, and how it is asked for."""

    schema = TextAreaField(_("JSON Schema for the answers"))
    schema_file = FileField(_("or from a file"))
    schema_mode = SelectField(
        _("How it is asked for"),
        choices=[
            SelectChoice("send", _("the schema is sent along")),
            SelectChoice("object", _("any JSON object is asked for")),
            SelectChoice("check", _("not at all: answers are only checked")),
        ],
        default="send",
    )
    schema_retry = BooleanField(_("Send an answer that does not fit back with the complaint"))

    def validate_schema(self, field) -> None:
        file = self.schema_file.data
        try:
            if file is not None and getattr(file, "filename", ""):
                field.data = _text(file.stream.read(MAX_BYTES + 1))
            if (field.data or "").strip():
                Schema(parse(field.data))
        except InvalidInput as error:
            raise ValidationError(translated(error)) from None

    def shape(self) -> dict:
        """What the fields say, by the names of NewJob."""
        text = (self.schema.data or "").strip()
        return {
            "schema": parse(text) if text else None,
            "schema_mode": self.schema_mode.data,
            "schema_retry": self.schema_retry.data,
        }

    @staticmethod
    def of_shape(new: JobOptions) -> dict:
        """The same the other way round."""
        schema = new.schema
        return {
            "schema": "" if schema is None else json.dumps(schema, ensure_ascii=False, indent=2),
            "schema_mode": new.schema_mode,
            "schema_retry": new.schema_retry,
        }


def _text(data: bytes) -> str:
    parse(data)
    return data.decode("utf-8-sig")
