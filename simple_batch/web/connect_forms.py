"""The forms that connect to a provider of the gallery."""

from flask import request
from flask_babel import lazy_gettext as _
from werkzeug.datastructures import MultiDict
from wtforms import PasswordField, SelectField, StringField
from wtforms.validators import InputRequired

from ..core import context
from ..services.config_fields import FIELDS, ConfigFields
from ..services.connections import usual_fields
from ..services.provider_gallery import GalleryEntry
from .form_fields import PageForm
from .forms import ConfigForm
from .option_fields import shown
from .secret_fields import rows_of


class ConnectForm(ConfigForm):
    """Key and model, and under *Advanced* every other field, filled in with what the provider needs. The
    key is never filled in."""

    region = SelectField(_("Region"), validate_choice=False)
    base_url = StringField(_("Base URL"))
    model = StringField(_("Model"), [InputRequired(_("Enter the name of a model."))])
    alias = StringField(_("Name"))
    currency = StringField(_("Currency"))
    entry: GalleryEntry

    @classmethod
    def offered(cls, entry: GalleryEntry, labels: dict, **filled_in: str) -> "ConnectForm":
        """As it is shown first."""
        data = {**_usual(entry), **filled_in, "secrets": rows_of([])}
        return cls(formdata=None, data=data)._of(entry, labels)

    @classmethod
    def sent(cls, entry: GalleryEntry, labels: dict) -> "ConnectForm":
        """What the request says; a field that it does not name is as it would be shown."""
        usual = {name: str(value) for name, value in _usual(entry).items() if value is not None}
        return cls(formdata=MultiDict({**usual, **request.form.to_dict(flat=False)}))._of(
            entry, labels
        )

    def _of(self, entry: GalleryEntry, labels: dict) -> "ConnectForm":
        self.entry = entry
        self.region.choices = [(name, labels.get(name, name)) for name in entry.regions]
        return self

    def fields(self) -> ConfigFields:
        """The same; it belongs to the provider, and is active."""
        found = super().fields()
        found.provider, found.active = usual_fields(self.entry).provider, True
        return found

    @property
    def names_more(self) -> bool:
        shown_above = {"key", "model", "region", "csrf_token"}
        if self.entry.asks_base_url:
            shown_above.add("base_url")
        return any(self[name].errors for name in self._fields if name not in shown_above)


def _usual(entry: GalleryEntry) -> dict:
    """The fields of a new connection as the form shows them."""
    fields = usual_fields(entry)
    found = {name: shown(field, getattr(fields, name)) for name, field in FIELDS.items()}
    timeout_s = fields.timeout_s or context.settings().DEFAULT_TIMEOUT
    if entry.id == "custom":
        found["auth"] = ""  # by the API format, which the user chooses
    return {**found, "timeout_s": timeout_s, "params": "{}", "active": "y"}


class RepairForm(PageForm):
    """Another key or model for a config whose test failed; without a key the stored one stays."""

    key = PasswordField(_("API key"))
    model = StringField(_("Model"), [InputRequired(_("Enter the name of a model."))])
