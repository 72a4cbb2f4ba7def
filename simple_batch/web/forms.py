"""The forms, with the same rules as the doors they lead to: those have the last word."""

import json
from datetime import datetime
from decimal import Decimal

import msgspec
from flask_babel import get_timezone
from flask_babel import lazy_gettext as _
from wtforms import (
    BooleanField,
    DecimalField,
    FileField,
    FloatField,
    MultipleFileField,
    PasswordField,
    SelectField,
    StringField,
    TextAreaField,
    ValidationError,
)
from wtforms.fields.choices import SelectChoice
from wtforms.validators import InputRequired, Optional

from ..core import context
from ..core.domain import Role, Spread
from ..core.errors import InvalidInput
from ..services import configs, job_options
from ..services.job_options import JobOptions
from .form_fields import MomentField, PageForm, WholeField
from .i18n import epoch_ms
from .labels import ROLES, translated
from .schema_fields import SchemaFields


class ConfigForm(PageForm):
    """An API config. The key is write-only: it is never filled in."""

    alias = StringField(_("Alias"), [InputRequired()])
    base_url = StringField(_("Base URL"), [InputRequired()])
    key = PasswordField(_("API key"))
    model = StringField(_("Model"), [InputRequired()])
    max_tokens = WholeField(_("Max tokens"), [Optional()])
    temperature = FloatField(_("Temperature"), [Optional()])
    timeout_s = FloatField(_("Timeout (seconds)"), [Optional()])
    concurrency = WholeField(_("Concurrency (empty: learned)"), [Optional()])
    rpm = WholeField(_("Requests per minute"), [Optional()])
    tpm = WholeField(_("Tokens per minute"), [Optional()])
    params = TextAreaField(_("Further parameters (JSON)"))
    currency = StringField(_("Currency"), default="USD")
    input_price = DecimalField(_("Input price per million"), [Optional()], places=None)
    cached_input_price = DecimalField(_("Cached input per million"), [Optional()], places=None)
    output_price = DecimalField(_("Output price per million"), [Optional()], places=None)
    reasoning_price = DecimalField(_("Reasoning per million"), [Optional()], places=None)
    day_cap = DecimalField(_("Spend cap a day"), [Optional()], places=None)
    month_cap = DecimalField(_("Spend cap a month"), [Optional()], places=None)
    notes = TextAreaField(_("Notes"))
    active = BooleanField(_("Active"), default=True)

    @classmethod
    def blank(cls) -> "ConfigForm":
        settings = context.settings()
        return cls(
            formdata=None,
            data={
                "max_tokens": settings.DEFAULT_MAX_TOKENS,
                "temperature": settings.DEFAULT_TEMPERATURE,
                "timeout_s": settings.DEFAULT_TIMEOUT,
                "currency": "USD",
                "params": "{}",
                "active": True,
            },
        )

    @classmethod
    def of(cls, config) -> "ConfigForm":
        fields = configs.fields_of(config)
        data = {name: getattr(fields, name) for name in fields.__struct_fields__}
        data["params"] = json.dumps(fields.params, ensure_ascii=False)
        for name in (
            *("input_price", "cached_input_price", "output_price", "reasoning_price"),
            *("day_cap", "month_cap"),
        ):
            data[name] = _plain(data[name])
        return cls(formdata=None, data=data)

    def validate_params(self, field) -> None:
        json_object(field)

    def fields(self) -> configs.ConfigFields:
        data = {name: value for name, value in self.data.items() if name != "csrf_token"}
        data["params"] = json.loads(data["params"] or "{}")
        data["notes"] = data["notes"] or ""
        return configs.ConfigFields(**data)


class UploadForm(PageForm):
    """Step one of a new job: a file, pasted text, or an example."""

    file = FileField(_("File"))
    images = MultipleFileField(_("Images that a table names (files, or a ZIP archive of them)"))
    pasted = TextAreaField(_("or paste it here"))
    sample = StringField()


class _Timing:
    """Fields that say when a job works; they may be changed later too."""

    deadline_at = MomentField(_("Deadline (empty: none)"), [Optional()])
    hours = StringField(_("Hours of the day in which calls are made (empty: any)"))
    zone = StringField(_("Zone of these hours"))
    priority = SelectField(
        _("Priority"),
        coerce=int,
        choices=[
            SelectChoice(1, _("high")),
            SelectChoice(0, _("normal")),
            SelectChoice(-1, _("low")),
        ],
        default=0,
    )

    def timing(self) -> dict:
        """What the fields say, by the names of NewJob."""
        moment = self.deadline_at.data
        return {
            "deadline_at": None if moment is None else epoch_ms(moment),
            "hours": self.hours.data or "",
            "zone": (self.zone.data or "").strip() or str(get_timezone()),
            "priority": self.priority.data,
        }

    @staticmethod
    def of_timing(new: JobOptions) -> dict:
        """The same the other way round."""
        shown = {
            "hours": new.hours,
            "zone": new.zone if new.hours else "",
            "priority": new.priority,
        }
        if new.deadline_at is not None:
            shown["deadline_at"] = _local(new.deadline_at)
        return shown


class LaunchForm(_Timing, SchemaFields, PageForm):
    """The last step: the choices for the job."""

    name = StringField(_("Name"))
    config = SelectField(_("API config"), coerce=int)
    concurrency = WholeField(_("Concurrency (empty: learned)"), [Optional()])
    max_retries = WholeField(_("Max retries"), [Optional()])
    model = StringField(_("Model"))
    temperature = FloatField(_("Temperature"), [Optional()])
    max_tokens = WholeField(_("Max tokens"), [Optional()])
    timeout_s = FloatField(_("Timeout (seconds)"), [Optional()])
    params = TextAreaField(_("Further parameters (JSON)"))
    start_at = MomentField(_("Start at (empty: now)"), [Optional()])
    inputs_per_call = WholeField(_("Inputs per call"), [Optional()])
    ask_once = BooleanField(_("Send identical requests once"))
    reuse_hours = FloatField(_("Reuse cached answers younger than (hours)"), [Optional()])
    also = StringField(_("Further APIs, in order"))
    spread = SelectField(
        _("How they share"),
        choices=[
            SelectChoice("fast", _("each as fast as it can")),
            SelectChoice("weight", _("by weight")),
            SelectChoice("order", _("in order, the next where one fails")),
        ],
        default="fast",
    )
    weight = FloatField(_("Weight of the first API"), [Optional()], default=1.0)
    webhook = SelectField(_("Tell the end to a webhook"), coerce=int, default=0)
    email = StringField(_("Tell the end by e-mail to"))
    spend_cap = DecimalField(_("Spend cap (empty: none)"), [Optional()], places=None)

    @classmethod
    def of(cls, new: JobOptions, **data) -> "LaunchForm":
        """Filled in with what was chosen before; ``data`` says what is different."""
        params = dict(new.params)
        own = {name: params.pop(name, None) for name in ("model", "temperature", "max_tokens")}
        shown = {
            **{name: getattr(new, name) for name in ("name", "config", "concurrency")},
            "max_retries": new.max_retries,
            "timeout_s": new.timeout_s,
            "inputs_per_call": new.inputs_per_call,
            "ask_once": new.ask_once,
            "reuse_hours": new.reuse_hours,
            "also": job_options.also_text(new),
            "spread": new.spread.value,
            "weight": new.weight,
            "webhook": new.webhook or 0,
            "email": new.email,
            "spend_cap": _plain(new.spend_cap),
            **cls.of_timing(new),
            **cls.of_shape(new),
            **own,
            "params": json.dumps(params, ensure_ascii=False) if params else "",
        }
        return cls(formdata=None, data={**shown, **data})

    def validate_params(self, field) -> None:
        json_object(field)

    def validate_also(self, field) -> None:
        try:
            job_options.also_of(field.data or "")
        except InvalidInput as error:
            raise ValidationError(translated(error)) from None

    def chosen(self) -> JobOptions:
        """What the form says. Call it once the form is valid."""
        params = json.loads(self.params.data or "{}")
        for name in ("model", "temperature", "max_tokens"):
            if getattr(self, name).data not in (None, ""):
                params[name] = getattr(self, name).data
        moment = self.start_at.data
        return JobOptions(
            config=self.config.data,
            name=self.name.data or "",
            concurrency=self.concurrency.data,
            max_retries=self.max_retries.data,
            params=params,
            timeout_s=self.timeout_s.data,
            start_at=None if moment is None else epoch_ms(moment),
            inputs_per_call=self.inputs_per_call.data,
            ask_once=self.ask_once.data,
            reuse_hours=self.reuse_hours.data,
            also=job_options.also_of(self.also.data or ""),
            spread=Spread(self.spread.data),
            weight=1.0 if self.weight.data is None else self.weight.data,
            webhook=self.webhook.data or None,
            email=self.email.data or "",
            spend_cap=self.spend_cap.data,
            **self.timing(),
            **self.shape(),
        )

    def says_more(self, group: str) -> bool:
        """Whether any of the choices that few need is made, in a part of the form."""
        return any(getattr(self, name).data or getattr(self, name).errors for name in _MORE[group])


_MORE = {
    "how": ("model", "temperature", "max_tokens", "timeout_s", "params", "schema"),
    "when": ("start_at", "deadline_at", "hours", "priority"),
    "who": ("also", "reuse_hours", "webhook", "email"),
}


class TokenForm(PageForm):
    """A new token."""

    name = StringField(_("Name"), [InputRequired()])
    scope = SelectField(
        _("It may"),
        choices=[
            SelectChoice("run", _("make batches, read results")),
            SelectChoice("read", _("read only")),
        ],
        default="run",
    )
    sees_all = BooleanField(_("It sees everything that its owner sees"))


class LoginForm(PageForm):
    """Name and password."""

    name = StringField(_("Name"), [InputRequired()])
    password = PasswordField(_("Password"), [InputRequired()])


class PasswordForm(PageForm):
    """One's own new password."""

    old = PasswordField(_("Present password"), [InputRequired()])
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
    token = SelectField(_("Of which jobs"), coerce=int, default=0)


class SettingsForm(_Timing, PageForm):
    """What may be changed while a job runs; the limits of the API belong to its config."""

    name = StringField(_("Name"))
    concurrency = WholeField(_("Max concurrency for this job (optional)"), [Optional()])
    max_retries = WholeField(_("Max retries"), [Optional()])
    spend_cap = DecimalField(_("Spend cap (empty: none)"), [Optional()], places=None)
    api_concurrency = WholeField(_("Concurrency (empty: learned)"), [Optional()])
    rpm = WholeField(_("Requests per minute (empty: learned)"), [Optional()])
    tpm = WholeField(_("Tokens per minute (empty: learned)"), [Optional()])

    @classmethod
    def of(cls, new: JobOptions, **data) -> "SettingsForm":
        """Filled in with what holds now; ``data`` are the config's limits."""
        own = {name: getattr(new, name) for name in ("name", "concurrency", "max_retries")}
        own["spend_cap"] = _plain(new.spend_cap)
        return cls(formdata=None, data={**own, **cls.of_timing(new), **data})

    def chosen(self, new: JobOptions) -> JobOptions:
        """``new`` with what the form says of it."""
        retries = self.max_retries.data
        if retries is None:
            retries = context.settings().DEFAULT_MAX_RETRIES
        return msgspec.structs.replace(
            new,
            name=self.name.data or "",
            concurrency=self.concurrency.data,
            max_retries=retries,
            spend_cap=self.spend_cap.data,
            **self.timing(),
        )


def blame(form: PageForm, error: InvalidInput) -> None:
    """Show a door's complaint at the field it is about."""
    field = form._fields.get(error.field or "")
    if field is None:
        form.form_errors = [*form.form_errors, translated(error)]
    else:
        field.errors = [*field.errors, translated(error)]


def unix(text: str | None) -> str:
    """Without the line ends that browsers send."""
    return (text or "").replace("\r\n", "\n")


def _local(ms: int) -> datetime:
    """A moment as the user's clock shows it, without its zone."""
    moment = datetime.fromtimestamp(ms / 1000, get_timezone())
    return moment.replace(tzinfo=None, second=0, microsecond=0)


def json_object(field) -> None:
    try:
        parsed = json.loads(field.data or "{}")
    except (ValueError, RecursionError) as error:
        raise ValidationError(_("Not valid JSON: %(why)s", why=str(error)[:100])) from None
    if not isinstance(parsed, dict):
        raise ValidationError(_('A JSON object, for example {"top_p": 0.9}.'))


def _plain(price: Decimal | None) -> Decimal | None:
    """Without an exponent: 1E+1 is no price for people."""
    return None if price is None else Decimal(f"{price:f}")
