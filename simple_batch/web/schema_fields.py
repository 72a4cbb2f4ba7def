"""The part of the launch form about the shape of answers."""

import json

from flask_babel import lazy_gettext as _
from wtforms import FileField, TextAreaField, ValidationError

from ..core.errors import InvalidInput
from ..core.schema import MAX_BYTES, Schema, parse
from .labels import translated


class SchemaFields:
    """A schema as text or from a file."""

    schema = TextAreaField(_("JSON Schema for the answers"))
    schema_file = FileField(_("Or from a file"))

    def validate_schema(self, field) -> None:
        file = self.schema_file.data
        try:
            if file is not None and getattr(file, "filename", None):
                field.data = _text(file.stream.read(MAX_BYTES + 1))
            if (field.data or "").strip():
                Schema(parse(field.data))
        except InvalidInput as error:
            raise ValidationError(translated(error)) from None

    def entered_schema(self) -> dict | None:
        """The schema in a valid form."""
        text = (self.schema.data or "").strip()
        return parse(text) if text else None

    @staticmethod
    def shown_schema(schema: dict | None) -> str:
        """A schema as the form shows it."""
        return "" if schema is None else json.dumps(schema, ensure_ascii=False, indent=2)


def _text(data: bytes) -> str:
    parse(data)
    return data.decode("utf-8-sig")
