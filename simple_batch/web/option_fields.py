"""Form fields made from the declarations of services/fields.py, and values to and from them."""

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from flask_babel import get_timezone, lazy_gettext
from wtforms import (
    BooleanField,
    DecimalField,
    FloatField,
    Form,
    SelectField,
    SelectMultipleField,
    StringField,
    TextAreaField,
    ValidationError,
)
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # stubs of 3.2
from wtforms.validators import InputRequired, Optional
from wtforms.widgets import CheckboxInput, ListWidget

from ..core import context
from ..core.errors import InvalidInput
from ..core.messages import Message, listed
from ..services.fields import Field, Kind
from .form_fields import MomentField, WholeField, json_object
from .i18n import epoch_ms
from .labels import translated

_MULTILINE = (Kind.LONG_TEXT, Kind.JSON, Kind.PAIRS)
_EMPTY = {Kind.TEXT: "", Kind.LIST: "", Kind.LONG_TEXT: None, Kind.JSON: None}
_WIDTHS = {"also": 12, "reuse_hours": 12}  # columns of twelve


def with_fields(fields: Iterable[Field], required: bool = False) -> Callable[[type], type]:
    """Adds form fields to a form class, except those that it writes out itself; ``required`` texts
    are asked for by the browser too."""

    def add(form: type[Form]) -> type[Form]:
        for field in fields:
            if not hasattr(form, field.name):
                setattr(form, field.name, _form_field(field, required))
        return form

    return add


def _form_field(field: Field, required: bool) -> Any:
    made: dict[str, Any] = {
        "label": _lazy(field.form_label or field.label),
        "description": _lazy(field.hint) if field.hint else "",
        "default": _default(field),
        "render_kw": _attributes(field),
    }
    match field.kind:
        case Kind.INTEGER:
            return WholeField(validators=[Optional()], **made)
        case Kind.NUMBER:
            return FloatField(validators=[Optional()], **made)
        case Kind.CAP | Kind.PRICE:
            return DecimalField(validators=[Optional()], places=None, **made)
        case Kind.MOMENT:
            return MomentField(validators=[Optional()], **made)
        case Kind.FLAG:
            return BooleanField(**made)
        case Kind.CHOICE | Kind.SWITCH:
            choices = [SelectChoice(it.value, _lazy(it.label)) for it in field.choices]
            return SelectField(coerce=_coerced(field), choices=choices, **made)
        case Kind.CHOICES:
            choices = [SelectChoice(it.value, _lazy(it.label)) for it in field.choices]
            boxes = {"widget": ListWidget(), "option_widget": CheckboxInput()}
            made |= {"default": list(field.default), "choices": choices, **boxes}
            return SelectMultipleField(coerce=_coerced(field), **made)
        case Kind.JSON:
            return TextAreaField(validators=[lambda _form, given: json_object(given)], **made)
        case Kind.LONG_TEXT:
            return TextAreaField(**made)
        case Kind.PAIRS:
            made["default"] = ""
            return TextAreaField(validators=[_readable(field)], **made)
        case Kind.LIST:
            return StringField(validators=[_readable(field)], **made)
    needed = [InputRequired()] if required and (field.max_length or field.default is None) else []
    return StringField(validators=needed, **made)


def _default(field: Field) -> Any:
    if field.kind is Kind.CHOICE and field.usual:
        return lambda: getattr(context.settings(), field.usual)
    return _EMPTY.get(field.kind, field.default)


def _lazy(text: Message) -> Any:
    return lazy_gettext(text.template)


def _attributes(field: Field) -> dict[str, Any]:
    """Of the input element."""
    found: dict[str, Any] = {"placeholder": field.placeholder} if field.placeholder else {}
    if field.kind in (Kind.NUMBER, Kind.CAP, Kind.PRICE):
        found |= {"step": "any", "min": 0}
    if field.kind in (Kind.JSON, Kind.PAIRS):
        found |= {"rows": 2, "spellcheck": "false"}
    return found


def _coerced(field: Field) -> Callable[[Any], Any]:
    """Reads what a browser sends for a choice."""
    values = {str(choice.value): choice.value for choice in field.choices}

    def coerce(given: Any) -> Any:
        if str(given) not in values:
            raise ValueError(given)
        return values[str(given)]

    return coerce


def _readable(field: Field) -> Callable[[Form, Any], None]:
    def check(_form: Form, given: Any) -> None:
        try:
            field.read(given.data or "")
        except InvalidInput as error:
            raise ValidationError(translated(error)) from None

    return check


def width(field: Field) -> str:
    """The class of the column that a field stands in."""
    wide = 12 if field.kind in _MULTILINE else 6
    return f"col-sm-{_WIDTHS.get(field.name, wide)}"


def described(field: Field, value: Any) -> Any:
    """A value as a page names it."""
    if field.kind is Kind.CHOICE:
        return translated(next(one.label for one in field.choices if one.value == value))
    if field.kind is Kind.CHOICES:
        return translated(listed(one.label for one in field.choices if one.value in value))
    return value


def shown(field: Field, value: Any) -> Any:
    """A value as the form field takes it."""
    if field.kind is Kind.CHOICE and field.usual and value is None:
        return getattr(context.settings(), field.usual)
    if field.kind is Kind.MOMENT:
        return None if value is None else _local(value)
    if field.kind in (Kind.CAP, Kind.PRICE):
        return plain(value)
    if field.kind in (Kind.LIST, Kind.PAIRS):
        return field.write(value)
    if field.kind is Kind.CHOICES:
        return list(value)
    if field.kind is Kind.JSON:
        return json.dumps(value, ensure_ascii=False) if value else ""
    return value


def entered(field: Field, data: Any) -> Any:
    """The value of what stands in a valid form field."""
    if field.kind is Kind.MOMENT:
        return None if data is None else epoch_ms(data)
    if field.kind in (Kind.LIST, Kind.PAIRS):
        return field.read(data or "")
    if field.kind is Kind.JSON:
        return json.loads(data or "{}")
    if field.kind in (Kind.TEXT, Kind.LONG_TEXT):
        return data or ""
    if field.kind is Kind.CHOICES:
        return tuple(data or ())
    return field.default if data is None else data


def _local(ms: int) -> datetime:
    """A moment as the user's clock shows it, without its zone."""
    moment = datetime.fromtimestamp(ms / 1000, get_timezone())
    return moment.replace(tzinfo=None, second=0, microsecond=0)


def plain(price: Decimal | None) -> Decimal | None:
    """Without an exponent: 1E+1 is no price for people."""
    return None if price is None else Decimal(f"{price:f}")
