"""Creates, changes, tests and removes API configs."""

import json
import re
from decimal import Decimal
from urllib.parse import urlsplit

import msgspec
import peewee

from ..auth import audit_log
from ..core import context
from ..core.address_policy import AddressPolicy, AddressRefused
from ..core.clock import now_ms
from ..core.domain import NANO, Request
from ..core.errors import Conflict, InvalidInput, NotFound
from ..core.messages import Message, listed, translatable
from ..engine import probe
from ..engine.encoder import Encoder
from ..engine.structured_output import structure_of
from ..store import configs as config_rows
from ..store.configs import defaults_of, endpoint_of
from ..store.models import ApiConfig, Job, JobConfig, Override, database, lock_secrets
from .field_names import field_name

MAX_LIMIT = 1_000_000_000
MAX_CAP = 1_000_000_000
RESERVED_PARAMS = {"messages", "model", "stream", "max_tokens", "temperature"}


class ConfigFields(msgspec.Struct, kw_only=True):
    """What a user enters. ``key`` None or empty on an edit keeps the stored one; prices are per
    million tokens in units of ``currency``, None where unknown; the caps are what may be spent in a
    day and in a month."""

    alias: str
    base_url: str
    model: str
    key: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    timeout_s: float | None = None
    concurrency: int | None = None
    rpm: int | None = None
    tpm: int | None = None
    params: dict = msgspec.field(default_factory=dict)
    currency: str = "USD"
    input_price: Decimal | None = None
    cached_input_price: Decimal | None = None
    output_price: Decimal | None = None
    reasoning_price: Decimal | None = None
    day_cap: Decimal | None = None
    month_cap: Decimal | None = None
    notes: str = ""
    active: bool = True


def create(fields: ConfigFields) -> ApiConfig:
    """Store a new config. Raises InvalidInput naming the field."""
    now = now_ms()
    with database.atomic(), _unique_alias(fields.alias):  # see store/secrets.py
        lock_secrets()
        values = _validated(fields)
        config = ApiConfig.create(created_at=now, updated_at=now, **values)
    audit_log.note("config.create", f"config {config.alias}", config.base_url)
    return config


def update(config_id: int, fields: ConfigFields) -> ApiConfig:
    """Change a config; running jobs take the change up within a second."""
    config = get(config_id)
    with database.atomic(), _unique_alias(fields.alias):
        lock_secrets()
        values = _validated(fields)
        if not fields.key:
            values.pop("key_encrypted")
            values.pop("key_last4")
        ApiConfig.update(updated_at=now_ms(), **values).where(ApiConfig.id == config.id).execute()
    audit_log.note("config.update", f"config {config.alias}", _changes(config, values))
    return get(config.id)


def _changes(config: ApiConfig, values: dict) -> str:
    """The names of what is changed; a key's own is enough."""
    changed = {name for name, value in values.items() if getattr(config, name) != value}
    names = sorted({"key" if name.startswith("key_") else name for name in changed})
    return listed(map(field_name, names)) if names else ""


def set_active(config_id: int, active: bool) -> None:
    """An inactive config is not offered for new jobs; jobs on it are kept as they are."""
    config = get(config_id)
    ApiConfig.update(active=active, updated_at=now_ms()).where(ApiConfig.id == config.id).execute()
    audit_log.note("config.activate" if active else "config.deactivate", f"config {config.alias}")


def delete(config_id: int) -> None:
    """Remove a config. Raises Conflict, with the jobs' names, while jobs use it."""
    config = get(config_id)
    with database.atomic():
        jobs = Job.select(Job.id, Job.name).where(
            (Job.config == config.id)
            | Job.id.in_(Override.select(Override.job).where(Override.config == config.id))
            | Job.id.in_(JobConfig.select(JobConfig.job).where(JobConfig.config == config.id))
        )
        count = jobs.count()
        if count:
            names = ", ".join(f"{job.name} ({job.id})" for job in jobs.order_by(Job.id).limit(3))
            used = (
                translatable("%(count)s jobs", count=count) if count > 1 else translatable("1 job")
            )
            more = translatable(" and %(count)s more", count=count - 3) if count > 3 else ""
            raise Conflict(
                translatable(
                    "“%(alias)s” is used by %(jobs)s: %(names)s%(more)s. Delete them "
                    "first, or deactivate the config.",
                    alias=config.alias,
                    jobs=used,
                    names=names,
                    more=more,
                )
            )
        config.delete_instance()
    audit_log.note("config.remove", f"config {config.alias}")


def get(id_or_alias: int | str) -> ApiConfig:
    """The config with this id or alias. Raises NotFound."""
    wanted = ApiConfig.alias == id_or_alias
    if isinstance(id_or_alias, int):
        wanted = ApiConfig.id == id_or_alias
    config = ApiConfig.get_or_none(wanted)
    if config is None:
        raise NotFound(translatable("There is no API config %(given)r.", given=id_or_alias))
    return config


def by_model(model: str) -> ApiConfig | None:
    """The active config with this alias, else the oldest with this model; None where there is
    none."""
    return config_rows.by_model(model)


def list_all(active: bool | None = None) -> list[ApiConfig]:
    query = ApiConfig.select().order_by(ApiConfig.alias)
    if active is not None:
        query = query.where(ApiConfig.active == active)
    return list(query)


def body_sent(config: ApiConfig, job: Job, request: Request) -> bytes:
    """A request's body as a job sends it first on a config."""
    structure = structure_of(job.schema, job.schema_mode, job.schema_retry)
    asked = (structure.fields,) if structure is not None else ()
    return Encoder(defaults_of(config).under(json.loads(job.params)), *asked).encode(request)


def fields_of(config: ApiConfig) -> ConfigFields:
    """A config as its form shows it: without the key."""
    return ConfigFields(
        alias=config.alias,
        base_url=config.base_url,
        model=config.model,
        max_tokens=config.max_tokens,
        temperature=config.temperature,
        timeout_s=config.timeout_s,
        concurrency=config.concurrency,
        rpm=config.rpm,
        tpm=config.tpm,
        params=json.loads(config.params),
        currency=config.currency,
        input_price=units(config.input_price),
        cached_input_price=units(config.cached_input_price),
        output_price=units(config.output_price),
        reasoning_price=units(config.reasoning_price),
        day_cap=units(config.day_cap),
        month_cap=units(config.month_cap),
        notes=config.notes,
        active=config.active,
    )


def test(config_id: int) -> probe.ProbeResult:
    """Make one small call with the stored config and store its result."""
    config = get(config_id)
    found = probe.test_connection(endpoint_of(config, context.vault()), context.settings())
    ApiConfig.update(
        last_test_at=now_ms(), last_test_ok=found.ok, last_test_message=found.message
    ).where(ApiConfig.id == config.id).execute()
    audit_log.note(
        "config.test",
        f"config {config.alias}",
        translatable("answered") if found.ok else translatable("failed"),
    )
    return found


def test_fields(fields: ConfigFields, config_id: int | None = None) -> probe.ProbeResult:
    """The same before saving; the key of ``config_id`` is used where none was entered."""
    return probe.test_connection(_unsaved_endpoint(fields, config_id), context.settings())


def models(config_id: int) -> list[str]:
    """The endpoint's own list of models. Raises ConfigurationError saying why there is none."""
    return probe.list_models(endpoint_of(get(config_id), context.vault()), context.settings())


def models_of_fields(fields: ConfigFields, config_id: int | None = None) -> list[str]:
    return probe.list_models(_unsaved_endpoint(fields, config_id), context.settings())


def _unsaved_endpoint(fields: ConfigFields, config_id: int | None):
    """An endpoint of what stands in the form. A stored key is only ever sent to the base URL it
    was stored for: else a user who can edit the form could send it anywhere."""
    values = _validated(fields)
    if not fields.key and config_id is not None:
        stored = get(config_id)
        if stored.base_url != values["base_url"]:
            raise InvalidInput(
                translatable("The base URL was changed: enter the key again to use it there."),
                "key",
            )
        values["key_encrypted"] = stored.key_encrypted
    return endpoint_of(ApiConfig(**values), context.vault())


def _validated(fields: ConfigFields) -> dict:
    """The columns for these fields. Raises InvalidInput for the first field that is not valid."""
    settings = context.settings()
    key = (fields.key or "").strip()
    if any(ord(char) < 33 or ord(char) > 126 for char in key):
        raise InvalidInput(
            translatable("Key: it may hold printable ASCII only, without spaces."), "key"
        )
    return {
        "alias": required_text(fields.alias, "alias", 100),
        "base_url": valid_base_url(fields.base_url),
        "key_encrypted": context.vault().encrypt(key),
        "key_last4": key[-4:] if len(key) >= 12 else "",
        "model": required_text(fields.model, "model", 300),
        "max_tokens": within(fields.max_tokens, "max_tokens", 1, 10_000_000),
        "temperature": within(fields.temperature, "temperature", 0, 2),
        "timeout_s": within(
            settings.DEFAULT_TIMEOUT if fields.timeout_s is None else fields.timeout_s,
            "timeout_s",
            0.1,
            86_400,
        ),
        "concurrency": within(fields.concurrency, "concurrency", 1, settings.MAX_CONCURRENCY),
        "rpm": within(fields.rpm, "rpm", 1, MAX_LIMIT),
        "tpm": within(fields.tpm, "tpm", 1, MAX_LIMIT),
        "params": _params(fields.params),
        "currency": _currency(fields.currency),
        "input_price": _price_in(fields.input_price, "input_price"),
        "cached_input_price": _price_in(fields.cached_input_price, "cached_input_price"),
        "output_price": _price_in(fields.output_price, "output_price"),
        "reasoning_price": _price_in(fields.reasoning_price, "reasoning_price"),
        **_caps(fields),
        "notes": fields.notes[:10_000],
        "active": fields.active,
    }


def valid_base_url(url: str) -> str:
    """The URL without a trailing slash. Raises InvalidInput saying what is wrong with it."""
    url = (url or "").strip().rstrip("/")

    def wrong(why: Message) -> InvalidInput:
        return InvalidInput(
            translatable("Base URL: %(why)s, for example https://api.openai.com/v1.", why=why),
            "base_url",
        )

    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise wrong(translatable("it cannot be read; give scheme, host and path")) from None
    if parts.scheme not in ("http", "https"):
        raise wrong(translatable("it begins with http:// or https://"))
    if not parts.hostname or re.search(r"[\s\x00-\x1f\x7f\\]", url) or port == 0:
        raise wrong(translatable("give a host, and no spaces"))
    if refused := refusal(parts.hostname):
        raise InvalidInput(refused, "base_url")
    if parts.username or parts.password:
        raise wrong(translatable("leave user name and password out, the key has its own field"))
    if parts.query or parts.fragment:
        raise wrong(translatable("leave out what follows ? or #"))
    for ending in ("/chat/completions", "/completions", "/embeddings", "/responses"):
        if parts.path.endswith(ending):
            raise wrong(
                translatable("leave out %(ending)s, each request names its own path", ending=ending)
            )
    if len(url) > 2000:
        raise wrong(translatable("it is longer than 2,000 characters"))
    return url


def refusal(host: str) -> Message | None:
    """Why nothing may be sent to a host that is an address; of a name, only its address counts, when
    it is connected to."""
    try:
        AddressPolicy.of(context.settings().ALLOWED_PRIVATE_HOSTS).check(host)
    except AddressRefused as refused:
        return refused.text
    return None


_LABELS = {
    "alias": translatable("Alias"),
    "model": translatable("Model"),
    "max_tokens": translatable("Max tokens"),
    "temperature": translatable("Temperature"),
    "timeout_s": translatable("Timeout"),
    "concurrency": translatable("Concurrency"),
    "rpm": translatable("Rpm"),
    "tpm": translatable("Tpm"),
    "input_price": translatable("Input price"),
    "cached_input_price": translatable("Cached input price"),
    "output_price": translatable("Output price"),
    "reasoning_price": translatable("Reasoning price"),
    "spend_cap": translatable("Spend cap"),
    "day_cap": translatable("Daily spend cap"),
    "month_cap": translatable("Monthly spend cap"),
}


def _label(field: str) -> str:
    """What a field is called."""
    return _LABELS.get(field) or field.removesuffix("_s").replace("_", " ").capitalize()


def required_text(value: str, field: str, length: int) -> str:
    """The text without spaces around it. Raises InvalidInput naming the field."""
    value = (value or "").strip()
    label = _label(field)
    if not value:
        raise InvalidInput(translatable("%(label)s: it is required.", label=label), field)
    if len(value) > length or not value.isprintable():
        raise InvalidInput(
            translatable(
                "%(label)s: up to %(length)s printable characters.", label=label, length=length
            ),
            field,
        )
    return value


def within(value, field: str, low, high):
    """The number, if it lies within the bounds, or None. Raises InvalidInput naming the field."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise InvalidInput(
            translatable("%(field)s: %(value)r is not a number.", field=field, value=value), field
        )
    if value is not None and not low <= value <= high:
        label = _label(field)
        raise InvalidInput(
            translatable(
                "%(label)s: %(value)s is not from %(low)s to %(high)s.",
                label=label,
                value=value,
                low=f"{low:,}",
                high=f"{high:,}",
            ),
            field,
        )
    return value


def _params(params: dict) -> str:
    if not isinstance(params, dict):
        raise InvalidInput(
            translatable('Parameters: a JSON object, for example {"top_p": 0.9}.'), "params"
        )
    taken = sorted(RESERVED_PARAMS & params.keys())
    if taken:
        raise InvalidInput(
            translatable(
                "Parameters: %(name)s is set elsewhere, leave it out here.", name=taken[0]
            ),
            "params",
        )
    return params_json(params)


def params_json(params: dict) -> str:
    """Parameters as they are stored. Raises InvalidInput where they are no valid JSON."""
    try:
        text = json.dumps(params, ensure_ascii=False, allow_nan=False)
        text.encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError):
        raise InvalidInput(
            translatable("Parameters: a number or nesting in them is no valid JSON."), "params"
        ) from None
    if len(text) > 100_000:
        raise InvalidInput(translatable("Parameters: longer than 100,000 characters."), "params")
    return text


def _currency(currency: str) -> str:
    currency = (currency or "").strip().upper()
    if not re.fullmatch("[A-Z]{3}", currency):
        raise InvalidInput(
            translatable("Currency: three letters, for example USD or CNY."), "currency"
        )
    return currency


def _price_in(price: Decimal | None, field: str) -> int | None:
    if price is None:
        return None
    if not price.is_finite() or not 0 <= price <= 1_000_000:
        label = _label(field)
        raise InvalidInput(
            translatable(
                "%(label)s: %(price)s is not from 0 to 1,000,000.", label=label, price=price
            ),
            field,
        )
    return int((price * NANO).to_integral_value())


def _caps(fields: ConfigFields) -> dict:
    caps = {name: cap_nano(getattr(fields, name), name) for name in ("day_cap", "month_cap")}
    for name, cap in caps.items():
        if cap is not None and None in (fields.input_price, fields.output_price):
            raise InvalidInput(
                translatable(
                    "%(label)s: it needs an input and an output price, or nothing can be counted.",
                    label=_label(name),
                ),
                name,
            )
    return caps


def cap_nano(cap: Decimal | None, field: str) -> int | None:
    """A spend cap in nano-units. Raises InvalidInput naming the field."""
    if cap is None:
        return None
    if not cap.is_finite() or not 0 < cap <= MAX_CAP:
        raise InvalidInput(
            translatable(
                "%(label)s: %(cap)s is not over 0 and up to %(most)s.",
                label=_label(field),
                cap=cap,
                most=f"{MAX_CAP:,}",
            ),
            field,
        )
    return max(1, int((cap * NANO).to_integral_value()))


def units(nano: int | None) -> Decimal | None:
    """Money as people enter it."""
    return None if nano is None else (Decimal(nano) / NANO).normalize()


class _unique_alias:
    """Turns the database's complaint about a second config of the same alias into ours."""

    def __init__(self, alias: str):
        self.alias = alias

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if isinstance(error, peewee.IntegrityError):
            raise InvalidInput(
                translatable(
                    "Alias: “%(alias)s” is already used by another config.", alias=self.alias
                ),
                "alias",
            ) from None
