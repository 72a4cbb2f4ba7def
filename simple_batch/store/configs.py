"""From a config's row to what the engine needs."""

import json
from collections.abc import Callable
from decimal import Decimal
from difflib import get_close_matches

import msgspec
from msgspec.structs import replace

from ..core import price_rules
from ..core.call_prices import Prices
from ..core.context import Vault
from ..core.domain import Adjustment, ApiFormat, Auth, Defaults, Endpoint, StreamMode
from ..core.errors import NotFound
from ..core.messages import translatable
from ..core.redaction import parts_of, remember
from .models import ApiConfig, Job, database, lock_config

_adjustments = msgspec.json.Decoder(tuple[Adjustment, ...]).decode


def prices_of(config: ApiConfig) -> Prices:
    return Prices(
        currency=config.currency,
        input=config.input_price,
        cached_input=config.cached_input_price,
        output=config.output_price,
        reasoning=config.reasoning_price,
        cache_write=config.cache_write_price,
        rules=_rules_of(config),
    )


def _rules_of(config: ApiConfig) -> price_rules.PriceRules:
    """The price rules; a batch discount of the config goes before theirs."""
    rules = price_rules.from_json(config.price_rules)
    if config.batch_discount is None:
        return rules
    return rules.with_batch(Decimal(str(config.batch_discount)))


def defaults_of(config: ApiConfig) -> Defaults:
    params = json.loads(config.params)
    tier = params.pop("service_tier", None)
    return Defaults(
        model=config.model,
        max_tokens=config.max_tokens,
        temperature=config.temperature,
        params=params,
        alias=config.alias,
        service_tier=config.service_tier or tier,
        api_format=ApiFormat(config.api_format),
        adjustments=adjustments_of(config),
    )


def adjustments_of(config: ApiConfig) -> tuple[Adjustment, ...]:
    """What was learned about parameters that the config's models reject, the oldest first."""
    return _adjustments(config.adjustments)


def learn(config_id: int, adjustment: Adjustment) -> ApiConfig:
    """Add an adjustment, unless there is one for the same parameter. Returns the config as it is
    then."""

    def added(known: tuple[Adjustment, ...]) -> tuple[Adjustment, ...]:
        same = any(one.key == adjustment.key for one in known)
        return known if same else (*known, adjustment)

    return _change_adjustments(config_id, added)


def forget(config_id: int, adjustments: Callable[[Adjustment], bool]) -> ApiConfig:
    """Remove the adjustments that a condition holds for. Returns the config as it is then."""
    return _change_adjustments(
        config_id, lambda known: tuple(one for one in known if not adjustments(one))
    )


def _change_adjustments(
    config_id: int, changed: Callable[[tuple[Adjustment, ...]], tuple[Adjustment, ...]]
) -> ApiConfig:
    with database.atomic():
        lock_config(config_id)
        config = get(config_id)
        known = adjustments_of(config)
        new = changed(known)
        if new != known:
            config.adjustments = msgspec.json.encode(new).decode()
            ApiConfig.update(adjustments=config.adjustments).where(
                ApiConfig.id == config_id
            ).execute()
        return config


def get(id_or_alias: int | str) -> ApiConfig:
    """The config with this id or alias. Raises NotFound."""
    wanted = ApiConfig.alias == id_or_alias
    if isinstance(id_or_alias, int):
        wanted = ApiConfig.id == id_or_alias
    config = ApiConfig.get_or_none(wanted)
    if config is None:
        raise _unknown(id_or_alias)
    return config


def _unknown(given: int | str) -> NotFound:
    """With the alias that may be meant."""
    aliases = (
        []
        if isinstance(given, int)
        else [it for (it,) in ApiConfig.select(ApiConfig.alias).tuples()]
    )
    close = get_close_matches(str(given), aliases, 1)
    if not close:
        return NotFound(
            translatable("There is no connection %(given)r.", given=given), "connection"
        )
    return NotFound(
        translatable(
            "There is no connection %(given)r. Did you mean %(close)r?", given=given, close=close[0]
        ),
        "connection",
    )


def list_all(active: bool | None = None) -> list[ApiConfig]:
    """Configs by alias; with ``active`` only those that are, or are not."""
    query = ApiConfig.select().order_by(ApiConfig.alias)
    if active is not None:
        query = query.where(ApiConfig.active == active)
    return list(query)


def aliases() -> list[str]:
    """Those of all configs, in order."""
    return [
        alias for (alias,) in ApiConfig.select(ApiConfig.alias).order_by(ApiConfig.alias).tuples()
    ]


def by_model(model: str) -> ApiConfig | None:
    """The active config with this alias, else the oldest with this model."""
    active = ApiConfig.select().where(ApiConfig.active)
    return (
        active.where(ApiConfig.alias == model).first()
        or active.where(ApiConfig.model == model).order_by(ApiConfig.id).first()
    )


def job_defaults(job: Job, defaults: Defaults) -> Defaults:
    """A config's defaults under what a job sets itself; the same object where it sets nothing. A
    seed is for requests that generate text, the parameters are for every endpoint."""
    params = json.loads(job.params)
    left_out = json.loads(job.left_out)
    if left_out:
        defaults = replace(defaults, left_out=tuple(left_out))
    if job.seed is not None:
        defaults = replace(defaults, params={**defaults.params, "seed": job.seed})
    if params:
        defaults = defaults.under(params)
    if job.service_tier:
        defaults = replace(defaults, service_tier=job.service_tier)
    return defaults


def endpoint_of(config: ApiConfig, vault: Vault) -> Endpoint:
    """The endpoint with its key and secrets opened: call this just before handing it to a transport.

    Raises ConfigurationError where the key cannot be opened.
    """
    secret = secrets_of(config, vault)
    return Endpoint(
        config_id=config.id or 0,
        alias=config.alias,
        base_url=config.base_url,
        key=vault.decrypt(config.key_encrypted),
        defaults=defaults_of(config),
        timeout_s=config.timeout_s,
        concurrency=config.concurrency,
        rpm=config.rpm,
        tpm=config.tpm,
        prices=prices_of(config),
        provider=config.provider,
        api_format=ApiFormat(config.api_format),
        auth=Auth(config.auth),
        headers=_pairs(config.headers, secret["headers"]),
        query=_pairs(config.query, secret["query"]),
        secrets=tuple(value for values in secret.values() for value in values.values()),
        stream=StreamMode(config.stream),
        stream_since=config.stream_since,
        service_tier=config.service_tier,
        batch_api=config.batch_api,
    )


def secrets_of(config: ApiConfig, vault: Vault) -> dict[str, dict[str, str]]:
    """The secret ``headers`` and ``query`` parameters by name, opened. Raises ConfigurationError where
    they cannot be."""
    found = json.loads(vault.decrypt(config.secrets_encrypted or b"") or "{}")
    for values in found.values():
        remember(*(part for value in values.values() for part in parts_of(value)))
    return {"headers": {}, "query": {}, **found}


def _pairs(plain: str, secret: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple({**json.loads(plain), **secret}.items())
