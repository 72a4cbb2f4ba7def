"""From a config's row to what the engine needs."""

import json

from msgspec.structs import replace

from ..core.context import Vault
from ..core.domain import Defaults, Endpoint, Prices
from ..core.errors import NotFound
from ..core.messages import translatable
from .models import ApiConfig, Job


def prices_of(config: ApiConfig) -> Prices:
    return Prices(
        currency=config.currency,
        input=config.input_price,
        cached_input=config.cached_input_price,
        output=config.output_price,
        reasoning=config.reasoning_price,
        cache_write=config.cache_write_price,
    )


def defaults_of(config: ApiConfig) -> Defaults:
    return Defaults(
        model=config.model,
        max_tokens=config.max_tokens,
        temperature=config.temperature,
        params=json.loads(config.params),
        alias=config.alias,
    )


def get(id_or_alias: int | str) -> ApiConfig:
    """The config with this id or alias. Raises NotFound."""
    wanted = ApiConfig.alias == id_or_alias
    if isinstance(id_or_alias, int):
        wanted = ApiConfig.id == id_or_alias
    config = ApiConfig.get_or_none(wanted)
    if config is None:
        raise NotFound(translatable("There is no API config %(given)r.", given=id_or_alias))
    return config


def list_all(active: bool | None = None) -> list[ApiConfig]:
    """Configs by alias; with ``active`` only those that are, or are not."""
    query = ApiConfig.select().order_by(ApiConfig.alias)
    if active is not None:
        query = query.where(ApiConfig.active == active)
    return list(query)


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
    if job.seed is not None:
        defaults = replace(defaults, params={**defaults.params, "seed": job.seed})
    return defaults.under(params) if params else defaults


def endpoint_of(config: ApiConfig, vault: Vault) -> Endpoint:
    """The endpoint with its key opened: call this just before handing it to a transport.

    Raises ConfigurationError where the key cannot be opened.
    """
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
    )
