"""The forms of the pages; the services check what they send once more."""

from typing import ClassVar

import msgspec
from flask_babel import get_timezone, gettext, lazy_gettext
from flask_babel import lazy_gettext as _
from wtforms import (
    BooleanField,
    FieldList,
    FileField,
    FormField,
    HiddenField,
    MultipleFileField,
    PasswordField,
    SelectField,
    StringField,
    TextAreaField,
)
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # stubs of 3.2
from wtforms.validators import InputRequired, Optional

from ..core import context
from ..core.domain import Role
from ..core.errors import ConfigurationError, InvalidInput
from ..services import configs
from ..services.config_fields import FIELDS, ConfigFields, usual_auth
from ..services.fields import Field, Kind
from ..services.job_option_fields import EDITABLE, OPTIONS, PARAMETERS, JobOptions
from .form_fields import PageForm, WholeField
from .labels import ROLES, translated
from .option_fields import entered, shown, width, with_fields
from .schema_fields import SchemaFields
from .secret_fields import MOST_SECRETS, SecretForm, changes, rows_of


@with_fields(FIELDS.values(), required=True)
class ConfigForm(PageForm):
    """An API config. The key is write-only: it is never filled in."""

    key = PasswordField(_("API key"))
    auth = SelectField(
        _("Send the key as"),
        default="",
        choices=[
            SelectChoice("", _("automatic (by the API format)")),
            *(
                SelectChoice(it.value, lazy_gettext(it.label.template))
                for it in FIELDS["auth"].choices
            ),
        ],
    )
    price_rules = HiddenField()  # JSON, as it is stored or as the price table has it
    remove_price_rules = BooleanField(_("Remove these rules"))
    remove_key = BooleanField(_("Delete the stored key"))
    currency = StringField(_("Currency"), default="USD")
    secrets = FieldList(FormField(SecretForm), max_entries=MOST_SECRETS)

    @classmethod
    def blank(cls) -> "ConfigForm":
        settings = context.settings()
        return cls(
            formdata=None,
            data={
                **configs.initial_values(),
                "timeout_s": settings.DEFAULT_TIMEOUT,
                "currency": "USD",
                "params": "{}",
                "active": True,
                "auth": "",
                "secrets": rows_of([]),
            },
        )

    @classmethod
    def of(cls, config) -> "ConfigForm":
        fields = configs.fields_of(config)
        data = {name: shown(field, getattr(fields, name)) for name, field in FIELDS.items()}
        data["params"] = data["params"] or "{}"
        data["price_rules"] = config.price_rules
        try:
            data["secrets"] = rows_of(configs.secrets_shown(config))
        except ConfigurationError:  # no key opens them: they can be entered again
            data["secrets"] = rows_of([])
        return cls(formdata=None, data=data)

    def fields(self) -> ConfigFields:
        """What the form says. Raises ValueError, TypeError, RecursionError in a form that is not
        valid."""
        values = {name: entered(field, self[name].data) for name, field in FIELDS.items()}
        values["auth"] = values["auth"] or usual_auth(values["api_format"])
        rules = "{}" if self.remove_price_rules.data else self.price_rules.data or None
        return ConfigFields(
            key=self.key.data,
            price_rules=rules,
            remove_key=self.remove_key.data,
            secret_headers=changes(self.secrets.data, "headers"),
            secret_query=changes(self.secrets.data, "query"),
            **values,
        )

    @property
    def header_told(self) -> str:
        """Which header has the key, where the user left that to the program; else empty."""
        if self.auth.data or not self.key.data:
            return ""
        if usual_auth(self.api_format.data) == "bearer":
            return gettext("The key is sent as Authorization: Bearer.")
        return gettext("The key is sent in the header x-api-key.")

    @property
    def names_more(self) -> bool:
        """Whether a field of the part *Advanced* is not valid."""
        return any(self[name].errors for name in self._fields if name not in _ALWAYS_SHOWN)


_ALWAYS_SHOWN = {"alias", "base_url", "key", "model", "csrf_token"}


class UploadForm(PageForm):
    """Step one of a new job: a file, pasted text, or an example."""

    file = FileField(_("File"))
    images = MultipleFileField(_("Images referenced in the table (files or a ZIP)"))
    pasted = TextAreaField(_("Or paste it here"))
    sample = StringField()


class _OptionsForm(PageForm):
    """A form with options of a job."""

    options: ClassVar[dict[str, Field]] = {}

    @classmethod
    def shown_options(cls, new: JobOptions) -> dict:
        """The options as the fields take them; a zone without hours says nothing."""
        found = {name: shown(field, getattr(new, name)) for name, field in cls.options.items()}
        return {**found, "zone": new.zone if new.hours else ""}

    def entered_options(self) -> dict:
        """What a valid form says, by the names of JobOptions."""
        found = {name: entered(field, self[name].data) for name, field in self.options.items()}
        return {**found, "zone": found["zone"].strip() or str(get_timezone())}


_LAUNCH = {name: field for name, field in OPTIONS.items() if field.group}


@with_fields([*PARAMETERS.values(), *_LAUNCH.values()])
class LaunchForm(SchemaFields, _OptionsForm):
    """The last step: the choices for the job."""

    options = _LAUNCH
    config = SelectField(_("Connection"), coerce=int)
    webhook = SelectField(_("Notify a webhook when the job ends"), coerce=int, default=0)

    @classmethod
    def of(cls, new: JobOptions, **data) -> "LaunchForm":
        """Filled in with what was chosen before; ``data`` says what is different."""
        params = {name: value for name, value in new.params.items() if name not in PARAMETERS}
        shown_now = {
            **cls.shown_options(new),
            **{name: new.params.get(name) for name in PARAMETERS},
            "params": shown(OPTIONS["params"], params),
            "config": new.config,
            "webhook": new.webhook or 0,
            "schema": cls.shown_schema(new.schema),
        }
        return cls(formdata=None, data={**shown_now, **data})

    def chosen(self) -> JobOptions:
        """What the form says. Call it once the form is valid."""
        values = self.entered_options()
        for name in PARAMETERS:
            if self[name].data not in (None, ""):
                values["params"][name] = self[name].data
        return JobOptions(
            config=self.config.data,
            webhook=self.webhook.data or None,
            schema=self.entered_schema(),
            **values,
        )

    def in_group(self, group: str) -> list[tuple]:
        """The form fields of a part of the form, each with the class of its column."""
        found = [(self[name], field) for name, field in _LAUNCH.items() if field.group == group]
        return [(bound, width(field)) for bound, field in found]

    def says_more(self, group: str) -> bool:
        """Whether any of the choices that few need is made, in a part of the form."""
        further = [self[name] for name in _FURTHER[group]]
        return any(
            field.errors or field.data not in (None, "", field.default)
            for field in (*(field for field, _width in self.in_group(group)), *further)
        )


# Fields of a part of the form that are no options by themselves.
_FURTHER = {"how": (*PARAMETERS, "schema"), "when": (), "who": ("webhook",)}


class TokenForm(PageForm):
    """A new token."""

    name = StringField(_("Name"), [InputRequired()])
    scope = SelectField(
        _("Permissions"),
        choices=[
            SelectChoice("run", _("create batches and read results")),
            SelectChoice("read", _("read only")),
        ],
        default="run",
    )
    sees_all = BooleanField(_("Can see all of its owner's jobs"))


class LoginForm(PageForm):
    """Name and password."""

    name = StringField(_("Name"), [InputRequired()])
    password = PasswordField(_("Password"), [InputRequired()])


class PasswordForm(PageForm):
    """One's own new password."""

    old = PasswordField(_("Current password"), [InputRequired()])
    password = PasswordField(_("New password"), [InputRequired()])


class UserForm(PageForm):
    """A new user."""

    name = StringField(_("Name"), [InputRequired()])
    role = SelectField(_("Role"), default="operator")
    password = PasswordField(_("Password"), [InputRequired()])

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.role.choices = [SelectChoice(role.value, ROLES[role]) for role in Role]


class WebhookForm(PageForm):
    """A new webhook."""

    url = StringField(_("URL"), [InputRequired()])
    format = SelectField(_("Format"), default="")
    signing_secret = StringField(_("Signing secret (optional)"))
    token = SelectField(_("For which jobs"), coerce=int, default=0)


@with_fields(EDITABLE.values())
class SettingsForm(_OptionsForm):
    """What may be changed while a job runs; the limits of the API belong to its config."""

    options = EDITABLE
    concurrency = WholeField(_("Max concurrency for this job (optional)"), [Optional()])
    api_concurrency = WholeField(_("Max concurrency (empty: automatic)"), [Optional()])
    rpm = WholeField(_("Requests per minute (empty: automatic)"), [Optional()])
    tpm = WholeField(_("Tokens per minute (empty: automatic)"), [Optional()])

    @classmethod
    def of(cls, new: JobOptions, **data) -> "SettingsForm":
        """Filled in with what holds now; ``data`` are the config's limits."""
        return cls(formdata=None, data={**cls.shown_options(new), **data})

    def chosen(self, new: JobOptions) -> JobOptions:
        """``new`` with what the form says of it. A moment that stands as it was shown, without its seconds, is
        left as it is."""
        kept = {
            name: getattr(new, name)
            for name, before in self.shown_options(new).items()
            if self.options[name].kind is Kind.MOMENT and self[name].data == before
        }
        return msgspec.structs.replace(new, **{**self.entered_options(), **kept})


def blame(form: PageForm, error: InvalidInput) -> None:
    """Show a refusal at the field that it is about."""
    field = form._fields.get(error.field or "")
    if field is None:
        form.form_errors = [*form.form_errors, translated(error)]
    else:
        field.errors = [*field.errors, translated(error)]


def unix(text: str | None) -> str:
    """Without the line ends that browsers send."""
    return (text or "").replace("\r\n", "\n")
