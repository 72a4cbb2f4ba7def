"""Creates, changes, tests and removes API configs; the look-ups of the store are here too."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import peewee

from ..auth import audit_log
from ..core import context, price_rules
from ..core.clock import now_ms
from ..core.domain import Endpoint, Request
from ..core.errors import Conflict, InvalidInput
from ..core.messages import listed, translatable
from ..engine import capabilities, probe
from ..engine.capabilities import Capability as Capability
from ..engine.capabilities import Report as Report
from ..engine.encoder import Encoder
from ..engine.structured_output import structure_of
from ..store import configs as store_configs
from ..store.configs import aliases as aliases
from ..store.configs import by_model as by_model
from ..store.configs import defaults_of, endpoint_of, job_defaults
from ..store.configs import get as get
from ..store.configs import list_all as list_all
from ..store.models import ApiConfig, Job, JobConfig, Override, database, lock_secrets
from . import adjusted_parameters, provider_gallery
from .base_url_query import check_api_version
from .base_url_query import put_in_place as put_in_place
from .config_fields import FIELDS, ConfigFields
from .config_secrets import SecretShown as SecretShown
from .config_secrets import changed_secrets, last4
from .config_secrets import secrets_shown as secrets_shown
from .field_names import field_name
from .fields import restored, stored
from .header_checks import checked_headers, checked_query
from .other_base_urls import keeps_secrets, with_suggestion
from .validation import currency_code, params_json, provider_id, service_tier, valid_base_url

_AUDITED = {"key_encrypted": "key", "key_last4": "key", "secrets_encrypted": "secrets"}
RESERVED_PARAMS = {"messages", "model", "stream", "max_tokens", "temperature"}


def create(fields: ConfigFields) -> ApiConfig:
    """Store a new config. Raises InvalidInput naming the field."""
    now = now_ms()
    put_in_place(fields)
    with database.atomic(), _unique_alias(fields.alias):  # see store/secrets.py
        lock_secrets()
        values = _validated(fields)
        config = ApiConfig.create(created_at=now, updated_at=now, **values)
        _take_up_rules(config)
    audit_log.note("config.create", f"config {config.alias}", config.base_url)
    return config


def update(config_id: int, fields: ConfigFields) -> ApiConfig:
    """Change a config; running jobs take the change up within a second. A stored key or secret is only
    ever kept for the base URL that it was stored for. Raises InvalidInput naming the field."""
    put_in_place(fields)
    with database.atomic(), _unique_alias(fields.alias):
        lock_secrets()
        config = get(config_id)
        values = _validated(fields, config)
        if config.base_url != values["base_url"]:
            # another provider may accept what this one rejects
            store_configs.forget(config.id, lambda adjustment: True)
        ApiConfig.update(updated_at=now_ms(), **values).where(ApiConfig.id == config.id).execute()
        _take_up_rules(get(config.id))
    audit_log.note("config.update", f"config {config.alias}", _changes(config, values))
    return get(config.id)


def _take_up_rules(config: ApiConfig) -> None:
    entry = provider_gallery.entry_of(config.provider)
    if entry is not None:
        adjusted_parameters.take_up(config, entry.params)


def initial_values() -> dict[str, Any]:
    """What a new config has where the user says nothing else: the settings that the user has set. An
    empty field is not sent."""
    settings = context.settings()
    names = {"max_tokens": "DEFAULT_MAX_TOKENS", "temperature": "DEFAULT_TEMPERATURE"}
    return {
        field: getattr(settings, name) for field, name in names.items() if name in settings.given
    }


def _changes(config: ApiConfig, values: dict) -> str:
    """The names of what is changed; of keys and secrets they are enough."""
    changed = {name for name, value in values.items() if getattr(config, name) != value}
    names = sorted({_AUDITED.get(name, name) for name in changed})
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
        jobs = Job.select(Job.id, Job.name, Job.binned_at).where(
            (Job.config == config.id)
            | Job.id.in_(Override.select(Override.job).where(Override.config == config.id))
            | Job.id.in_(JobConfig.select(JobConfig.job).where(JobConfig.config == config.id))
        )
        count = jobs.count()
        if count:
            names = listed(_named(job) for job in jobs.order_by(Job.id).limit(3))
            used = (
                translatable("%(count)s jobs", count=count) if count > 1 else translatable("1 job")
            )
            more = translatable(" and %(count)s more", count=count - 3) if count > 3 else ""
            raise Conflict(
                translatable(
                    "“%(alias)s” is used by %(jobs)s: %(names)s%(more)s. Delete them "
                    "first, or deactivate the connection.",
                    alias=config.alias,
                    jobs=used,
                    names=names,
                    more=more,
                )
            )
        config.delete_instance()
    audit_log.note("config.remove", f"config {config.alias}")


def _named(job: Job) -> str:
    """A job by its name and id, and whether it is in the bin, where no list shows it."""
    if job.binned_at is None:
        return f"{job.name} ({job.id})"
    return translatable("%(name)s (%(id)s, in the bin)", name=job.name, id=job.id)


def body_sent(config: ApiConfig, job: Job, request: Request) -> bytes:
    """A request's body as a job sends it first on a config."""
    structure = structure_of(job.schema, job.schema_mode, job.schema_retry)
    asked = (structure.fields,) if structure is not None else ()
    return Encoder(job_defaults(job, defaults_of(config)), *asked).encode(request)


def fields_of(config: ApiConfig) -> ConfigFields:
    """A config as its form shows it: without key and secrets."""
    found = {name: restored(field, getattr(config, name)) for name, field in FIELDS.items()}
    return ConfigFields(**{**found, "service_tier": config.service_tier or ""})


def test(config_id: int) -> probe.ProbeResult:
    """Make one small call with the stored config and store its result."""
    config = get(config_id)
    path = provider_gallery.path_of_test(config.provider)
    endpoint = endpoint_of(config, context.vault())
    found = probe.test_connection(endpoint, context.settings(), path)
    _keep_test(config, found)
    return with_suggestion(found, endpoint, path)


def report(config_id: int) -> Report:
    """The same with a few more calls, which show what the model accepts."""
    config = get(config_id)
    path = provider_gallery.path_of_test(config.provider)
    endpoint = endpoint_of(config, context.vault())
    found = capabilities.report(endpoint, context.settings(), path)
    _keep_test(config, found.result)
    return msgspec.structs.replace(found, result=with_suggestion(found.result, endpoint, path))


def _keep_test(config: ApiConfig, found: probe.ProbeResult) -> None:
    for adjustment in found.adjustments:
        store_configs.learn(config.id, adjustment)
    ApiConfig.update(
        last_test_at=now_ms(), last_test_ok=found.ok, last_test_message=found.message
    ).where(ApiConfig.id == config.id).execute()
    audit_log.note(
        "config.test",
        f"config {config.alias}",
        translatable("answered") if found.ok else translatable("failed"),
    )


def test_fields(fields: ConfigFields, config_id: int | None = None) -> probe.ProbeResult:
    """The same before saving; the key of ``config_id`` is used where none was entered."""
    endpoint = _unsaved_endpoint(fields, config_id)
    return with_suggestion(probe.test_connection(endpoint, context.settings()), endpoint)


def models(config_id: int) -> list[str]:
    """The endpoint's own list of models. Raises ConfigurationError saying why there is none."""
    return probe.list_models(endpoint_of(get(config_id), context.vault()), context.settings())


def models_of_fields(fields: ConfigFields, config_id: int | None = None) -> list[str]:
    return probe.list_models(_unsaved_endpoint(fields, config_id), context.settings())


def unsaved(fields: ConfigFields, **columns) -> ApiConfig:
    """A config that is not stored. Raises InvalidInput naming the field."""
    put_in_place(fields)
    return ApiConfig(**{**_validated(fields), **columns})


def _unsaved_endpoint(fields: ConfigFields, config_id: int | None) -> Endpoint:
    """An endpoint of what stands in the form. A stored key is only ever sent to the base URL it
    was stored for: else a user who can edit the form could send it anywhere."""
    put_in_place(fields)
    stored = get(config_id) if config_id is not None else None
    values = _validated(fields, stored)
    if stored is not None:
        kept = ("key_encrypted", "secrets_encrypted", "adjustments", "price_rules")
        values = {**{name: getattr(stored, name) for name in kept}, **values}
    return endpoint_of(ApiConfig(**values), context.vault())


def _validated(fields: ConfigFields, config: ApiConfig | None = None) -> dict:
    """The columns for these fields, those of key and secrets only where they change. Raises InvalidInput
    for the first field that is not valid."""
    values = {name: stored(field, getattr(fields, name)) for name, field in FIELDS.items()}
    _check_caps(fields)
    base_url = valid_base_url(fields.base_url)
    check_api_version(base_url, (*fields.query, *fields.secret_query))
    fields.headers = checked_headers(fields.headers.items(), "headers")
    fields.query = checked_query(fields.query.items(), "query")
    secrets = changed_secrets(config, fields, base_url)
    return {
        **values,
        "base_url": base_url,
        **_key(fields, config, base_url),
        **({} if secrets is None else {"secrets_encrypted": secrets}),
        "params": _params(fields.params),
        **_price_rules(fields),
        "currency": currency_code(fields.currency),
        "provider": provider_id(fields.provider),
        "service_tier": service_tier(fields.service_tier),
        "headers": json.dumps(fields.headers, ensure_ascii=False),
        "query": json.dumps(fields.query, ensure_ascii=False),
    }


def _key(fields: ConfigFields, config: ApiConfig | None, base_url: str) -> dict:
    """The columns of the key, none where the stored one stays."""
    key = (fields.key or "").strip()
    if any(ord(char) < 33 or ord(char) > 126 for char in key):
        raise InvalidInput(
            translatable("Key: use printable ASCII characters only, without spaces."), "key"
        )
    if not key and not fields.remove_key and config is not None:
        if config.key_encrypted and not keeps_secrets(config.base_url, base_url):
            raise InvalidInput(
                translatable("The base URL has changed. Enter the key again."), "key"
            )
        return {}
    return {"key_encrypted": context.vault().encrypt(key), "key_last4": last4(key)}


def _price_rules(fields: ConfigFields) -> dict:
    """The column of the price rules, none where the stored ones stay. Raises InvalidInput."""
    if fields.price_rules is None:
        return {}
    return {"price_rules": price_rules.from_json(fields.price_rules).to_json()}


def _params(params: dict) -> str:
    if not isinstance(params, dict):
        raise InvalidInput(
            translatable('Parameters: a JSON object, for example {"top_p": 0.9}.'), "params"
        )
    taken = sorted(RESERVED_PARAMS & params.keys())
    if taken:
        raise InvalidInput(
            translatable("Parameters: remove %(name)s. It is set elsewhere.", name=taken[0]),
            "params",
        )
    return params_json(params)


def _check_caps(fields: ConfigFields) -> None:
    for name in ("day_cap", "month_cap"):
        priced = None not in (fields.input_price, fields.output_price)
        if getattr(fields, name) is not None and not priced:
            raise InvalidInput(
                translatable(
                    "%(label)s: enter an input and an output price first.",
                    label=FIELDS[name].label,
                ),
                name,
            )


@contextlib.contextmanager
def _unique_alias(alias: str) -> Iterator[None]:
    """Turns the database's complaint about a second config of the same alias into ours."""
    try:
        yield
    except peewee.IntegrityError:
        raise InvalidInput(
            translatable("Name: “%(alias)s” is already used by another connection.", alias=alias),
            "alias",
        ) from None
