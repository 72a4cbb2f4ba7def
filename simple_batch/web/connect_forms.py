"""The forms that connect to a provider of the gallery."""

from flask_babel import lazy_gettext as _
from wtforms import PasswordField, SelectField, StringField
from wtforms.validators import InputRequired

from ..services.provider_gallery import GalleryEntry
from .form_fields import PageForm


class ConnectForm(PageForm):
    """Key and model; the key is never filled in."""

    region = SelectField(_("Region"), validate_choice=False)
    base_url = StringField(_("Base URL"))
    key = PasswordField(_("API key"))
    model = StringField(_("Model"), [InputRequired(_("Enter the name of a model."))])
    alias = StringField(_("Name"))

    def offer(self, entry: GalleryEntry, labels: dict) -> None:
        """The regions of a provider; call this before the form is shown."""
        self.region.choices = [(name, labels.get(name, name)) for name in entry.regions]


class RepairForm(PageForm):
    """Another key or model for a config whose test failed; without a key the stored one stays."""

    key = PasswordField(_("API key"))
    model = StringField(_("Model"), [InputRequired(_("Enter the name of a model."))])
