"""Recipes: the options of a job as a file, to reuse them for another job."""

from decimal import Decimal

import msgspec

from ..core.domain import Spread
from ..core.errors import InvalidInput, NotFound
from ..core.messages import translatable
from ..intake import Template
from . import configs, job_options

VERSION = 1
MAX_BYTES = 400_000


class _Recipe(msgspec.Struct, forbid_unknown_fields=True):
    simple_batch_recipe: int
    config: str
    name: str = ""
    parameters: dict = {}
    timeout_s: float | None = None
    concurrency: int | None = None
    max_retries: int | None = None
    hours: str = ""
    zone: str = "UTC"
    priority: int = 0
    ask_once: bool = False
    reuse_hours: float | None = None
    inputs_per_call: int | msgspec.UnsetType = msgspec.UNSET
    also: str = ""
    spread: Spread = Spread.FAST
    weight: float = 1.0
    spend_cap: Decimal | None = None
    template: Template | msgspec.UnsetType = msgspec.UNSET
    schema: dict | msgspec.UnsetType = msgspec.UNSET
    schema_mode: str | msgspec.UnsetType = msgspec.UNSET
    schema_retry: bool | msgspec.UnsetType = msgspec.UNSET


def dump(new: job_options.JobOptions) -> bytes:
    """The choices as JSON to be kept: the config by its alias, no key, no data."""
    kept = _Recipe(
        simple_batch_recipe=VERSION,
        config=configs.get(new.config).alias,
        name=new.name,
        parameters=new.params,
        timeout_s=new.timeout_s,
        concurrency=new.concurrency,
        max_retries=new.max_retries,
        hours=new.hours,
        zone=new.zone,
        priority=new.priority,
        ask_once=new.ask_once,
        reuse_hours=new.reuse_hours,
        inputs_per_call=new.inputs_per_call or msgspec.UNSET,
        also=job_options.also_text(new),
        spread=new.spread,
        weight=new.weight,
        spend_cap=new.spend_cap,
        template=new.template or msgspec.UNSET,
    )
    if new.schema is not None:
        for name in ("schema", "schema_mode", "schema_retry"):
            setattr(kept, name, getattr(new, name))
    return msgspec.json.format(msgspec.json.encode(kept), indent=2) + b"\n"


def load(data: bytes) -> job_options.JobOptions:
    """The choices that ``dump`` kept. Raises InvalidInput where it is none, or where its API
    config is not known here."""
    try:
        kept = msgspec.json.decode(data, type=_Recipe)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(
            translatable("This is no recipe of Simple Batch: %(error)s.", error=error), "recipe"
        ) from None
    if kept.simple_batch_recipe != VERSION:
        raise InvalidInput(
            translatable(
                "The recipe has version %(version)s; this program reads %(known)s.",
                version=kept.simple_batch_recipe,
                known=VERSION,
            ),
            "recipe",
        )
    try:
        config = configs.get(kept.config)
    except NotFound:
        raise InvalidInput(
            translatable(
                "The recipe names the API config %(config)r: make one with that alias first.",
                config=kept.config,
            ),
            "recipe",
        ) from None
    new = job_options.JobOptions(
        config=config.id,
        name=kept.name,
        concurrency=kept.concurrency,
        max_retries=kept.max_retries,
        params=kept.parameters,
        timeout_s=kept.timeout_s,
        hours=kept.hours,
        zone=kept.zone,
        priority=kept.priority,
        ask_once=kept.ask_once,
        reuse_hours=kept.reuse_hours,
        inputs_per_call=kept.inputs_per_call or None,
        also=job_options.also_of(kept.also),
        spread=kept.spread,
        weight=kept.weight,
        spend_cap=kept.spend_cap,
        template=kept.template or None,
        schema=kept.schema or None,
        schema_mode=kept.schema_mode or "send",
        schema_retry=bool(kept.schema_retry),
    )
    job_options.shares(new)
    job_options.columns(new, "recipe")  # wrong values are said now, not at the launch
    return new
