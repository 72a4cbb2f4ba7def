"""The rows of a form for secret headers and query parameters: their values are written, never shown."""

from collections.abc import Iterable

from flask_babel import lazy_gettext as _
from wtforms import BooleanField, Form, PasswordField, SelectField, StringField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # stubs of 3.2

from ..services.configs import SecretShown

MOST_SECRETS = 110  # rows
_EMPTY_ROWS = 2


class SecretForm(Form):
    """One secret. An empty value keeps the one that is stored under this name."""

    place = SelectField(
        _("Kind"),
        choices=[
            SelectChoice("headers", _("header")),
            SelectChoice("query", _("query parameter")),
        ],
        default="headers",
    )
    name = StringField(_("Name"))
    value = PasswordField(_("Value"))
    masked = StringField()  # of a stored one: its last characters
    remove = BooleanField(_("Delete"))


def rows_of(stored: Iterable[SecretShown]) -> list[dict]:
    """A row for each secret that is stored, and some for new ones."""
    rows = [{"place": it.place, "name": it.name, "masked": it.masked} for it in stored]
    return [*rows, *({"place": "headers"} for _n in range(_EMPTY_ROWS))]


def changes(rows: list[dict], place: str) -> dict[str, str | None]:
    """What the rows change among the secrets of one place: a value, or None for one to be removed. A
    row without a name keeps its value, so that the check of the names reports it."""
    found: dict[str, str | None] = {}
    for row in rows:
        name, value = (row["name"] or "").strip(), (row["value"] or "").strip()
        if row["place"] == place and (value or (row["remove"] and name)):
            found[name] = None if row["remove"] else value
    return found
