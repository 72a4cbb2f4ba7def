"""Creates, changes, tests and removes API configs; the look-ups of the store are here too."""

import contextlib
import json
from collections.abc import Iterator
from decimal import Decimal

import msgspec
import peewee

from ..auth import audit_log
from ..core import context
from ..core.clock import now_ms
from ..core.domain import Endpoint, Request
from ..core.errors import Conflict, InvalidInput
from ..core.messages import translatable
from ..engine import probe
from ..engine.encoder import Encoder
from ..engine.structured_output import structure_of
from ..store.configs import by_model as by_model
from ..store.configs import defaults_of, endpoint_of
from ..store.configs import get as get
from ..store.configs import list_all as list_all
from ..store.models import ApiConfig, Job, JobConfig, Override, database, lock_secrets
from .validation import (
    cap_nano,
    currency_code,
    label_of,
    params_json,
    price_nano,
    required_text,
    units,
    valid_base_url,
    within,
)

MAX_LIMIT = 1_000_000_000
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
    return ", ".join(sorted({"key" if name.startswith("key_") else name for name in changed}))


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
    """Make one small call with the stored config and keep what came of it."""
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


def _unsaved_endpoint(fields: ConfigFields, config_id: int | None) -> Endpoint:
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
        "key_encrypted": context.vault().seal(key),
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
        "currency": currency_code(fields.currency),
        "input_price": price_nano(fields.input_price, "input_price"),
        "cached_input_price": price_nano(fields.cached_input_price, "cached_input_price"),
        "output_price": price_nano(fields.output_price, "output_price"),
        "reasoning_price": price_nano(fields.reasoning_price, "reasoning_price"),
        **_caps(fields),
        "notes": fields.notes[:10_000],
        "active": fields.active,
    }


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


def _caps(fields: ConfigFields) -> dict:
    caps = {name: cap_nano(getattr(fields, name), name) for name in ("day_cap", "month_cap")}
    for name, cap in caps.items():
        if cap is not None and None in (fields.input_price, fields.output_price):
            raise InvalidInput(
                translatable(
                    "%(label)s: it needs an input and an output price, or nothing can be counted.",
                    label=label_of(name),
                ),
                name,
            )
    return caps


@contextlib.contextmanager
def _unique_alias(alias: str) -> Iterator[None]:
    """Turns the database's complaint about a second config of the same alias into ours."""
    try:
        yield
    except peewee.IntegrityError:
        raise InvalidInput(
            translatable("Alias: “%(alias)s” is already used by another config.", alias=alias),
            "alias",
        ) from None
