"""What a user chooses for a job, and its rules."""

import json
import re
from decimal import Decimal
from pathlib import Path

import msgspec

from .. import intake
from ..core import context, price_rules, time_windows
from ..core.call_prices import Usage
from ..core.clock import now_ms
from ..core.domain import BATCH_TIER, EMBEDDINGS, Service, Sharing, Spread
from ..core.errors import InvalidInput, NotFound
from ..core.messages import translatable
from ..core.schema import Schema
from ..engine.structured_output import Structure
from ..runner import spend_caps
from ..runner.route import inputs_per_call as inputs_of
from ..store import configs
from ..store import requests as request_rows
from ..store.models import ApiConfig, Job
from ..store.requests import Share
from . import batch_offers, templates, validation, webhooks
from .fields import restored, stored
from .job_option_fields import (
    OPTIONS,
    PARAMETERS,
    ExtraConfig,
    JobOptions,
)

MAX_WEIGHT = 1_000
_EMAIL = re.compile(r"[^\s@<>,;:\"()\[\]\\\x00-\x1f]{1,64}@[^\s@<>,;:\"()\[\]\\\x00-\x1f]{1,180}")
_RESERVED = frozenset({"messages", "stream", "stream_options"})
_BY_RULE = {
    "spend_cap",
    "params",
    "schema",
    "spread",
    "email",
    "service_tier",
}  # columns with special checks
_PLAIN = {name: field for name, field in OPTIONS.items() if field.column and name not in _BY_RULE}
_PLAIN_EDITABLE = {name: field for name, field in _PLAIN.items() if field.editable}
_COPIED = {name: field for name, field in OPTIONS.items() if field.column and name != "start_at"}


class NewBatch(msgspec.Struct, kw_only=True):
    """A job by the Batch API: its file says the rest. ``window_s`` is how long it may take, and
    ``completion_window`` the same as it was given; ``output_keep_s`` is how long the result files
    are kept (None: until they are deleted)."""

    endpoint: str
    input_file_id: str
    completion_window: str
    window_s: int
    metadata: dict[str, str] | None = None
    output_keep_s: int | None = None
    service: Service = Service.NOW
    sharing: Sharing | None = None


def columns(new: JobOptions, filename: str) -> dict:
    """A new job's columns. Raises InvalidInput naming the field."""
    config = configs.get(new.config)
    if not config.active:
        raise InvalidInput(
            translatable("The connection “%(alias)s” is deactivated.", alias=config.alias), "config"
        )
    if new.start_at is not None and new.start_at < now_ms() - 60_000:
        raise InvalidInput(translatable("Start: that moment has passed."), "start_at")
    saved = templates.version_by_id(new.saved)
    on = [config, *further(new)]
    batch_offers.check(new, on)
    return {
        **{name: stored(field, getattr(new, name)) for name, field in _PLAIN.items()},
        **editable(new, Path(filename).stem),
        "config": config,
        "params": _params(new),
        "spend_cap": spend_cap(
            new.spend_cap, on, tier=new.service_tier or None, service=Service(new.service)
        ),
        "webhook": webhooks.get(new.webhook) if new.webhook is not None else None,
        "email": _email(new.email),
        "hold": new.hold,
        "service_tier": validation.service_tier(new.service_tier),
        "spread": new.spread if new.also else "",
        "currency": config.currency,
        "template": intake.template_text(new.template) if new.template is not None else None,
        "template_version": saved,
        "template_from": templates.label(saved),
        "schema": _schema(new),
    }


def inputs_per_call(job: Job) -> int | None:
    """How many inputs of a job of embeddings go in a call at most; None for another job."""
    if job.endpoint != EMBEDDINGS:
        return None
    return inputs_of(job, context.settings().EMBEDDINGS_PER_CALL)


def structure_of(new: JobOptions) -> Structure | None:
    """The shape that a new job's answers are to have. Raises InvalidInput."""
    if new.schema is None:
        return None
    return Structure(Schema(new.schema), new.schema_mode, new.schema_retry)


def _schema(new: JobOptions) -> str | None:
    if new.schema is None:
        return None
    structure_of(new)
    return json.dumps(new.schema, ensure_ascii=False)


def spend_cap(
    cap: Decimal | None,
    on: list[ApiConfig],
    job: Job | None = None,
    tier: str | None = None,
    service: Service = Service.NOW,
) -> int | None:
    """A spend cap as it is stored, of a job ``on`` these configs that is sent by a ``service`` and asks for
    a service ``tier``; ``job`` is the one whose cap is changed to it. Raises InvalidInput where what is
    spent cannot be counted."""
    nano = stored(OPTIONS["spend_cap"], cap)
    if nano is None or (job is not None and nano == job.spend_cap):
        return nano
    for config in on:
        if None in (config.input_price, config.output_price):
            raise InvalidInput(
                translatable(
                    "Spend cap: enter input and output prices of the connection “%(alias)s” first.",
                    alias=config.alias,
                ),
                "spend_cap",
            )
        _check_tier_price(config, tier or (job.service_tier if job is not None else None))
        if Service(job.service if job is not None else service) is not Service.NOW:
            _check_batch_price(config)
        if job is not None and job.currency != config.currency:
            raise InvalidInput(
                translatable(
                    "Spend cap: “%(alias)s” is now priced in %(currency)s, but this job in "
                    "%(own)s.",
                    alias=config.alias,
                    currency=config.currency,
                    own=job.currency,
                ),
                "spend_cap",
            )
    if job is not None and job.unpriced:
        raise InvalidInput(
            translatable("Spend cap: the cost of 1 call of this job is unknown.")
            if job.unpriced == 1
            else translatable(
                "Spend cap: the cost of %(count)s calls of this job is unknown.",
                count=f"{job.unpriced:,}",
            ),
            "spend_cap",
        )
    return nano


def _check_tier_price(config: ApiConfig, tier: str | None) -> None:
    named = tier or configs.defaults_of(config).service_tier
    if price_rules.from_json(config.price_rules).tier(named) is None:
        raise InvalidInput(
            translatable(
                "Spend cap: the price of the service tier %(tier)r is not known for the connection "
                "“%(alias)s”. Look its prices up in the price table first.",
                tier=named,
                alias=config.alias,
            ),
            "spend_cap",
        )


def _check_batch_price(config: ApiConfig) -> None:
    prices = configs.prices_of(config)
    if prices.cost_of(Usage(1, 1), now_ms(), BATCH_TIER) is None:
        raise InvalidInput(
            translatable(
                "Spend cap: what the batch API of “%(alias)s” costs is not known. Enter the price factor "
                "of its batches in the connection first (--batch-discount).",
                alias=config.alias,
            ),
            "spend_cap",
        )


def configs_of(job: Job) -> list[ApiConfig]:
    """All configs that a job goes to, but for single requests that were sent another way."""
    further = [share.config_id for share in request_rows.shares(job.id)] if job.spread else []
    return [configs.get(config_id) for config_id in dict.fromkeys((job.config_id, *further))]


def further(new: JobOptions) -> list[ApiConfig]:
    """The configs besides its own that a job goes to. Raises InvalidInput."""
    try:
        return [configs.get(also.config) for also in new.also]
    except NotFound as error:
        raise InvalidInput(error.text, "also") from None


def check_allowance(config: ApiConfig) -> None:
    """Raises InvalidInput where a spend cap of the config is reached."""
    stop = spend_caps.ConfigSpendLimit(config, context.settings().TIMEZONE).reached()
    if stop is not None:
        raise InvalidInput(stop.detail, "config")


def _email(address: str) -> str:
    address = (address or "").strip()
    if address and not _EMAIL.fullmatch(address):
        raise InvalidInput(
            translatable("E-mail: %(address)r is not a valid address.", address=address[:80]),
            "email",
        )
    if address and not context.settings().SMTP_HOST:
        raise InvalidInput(translatable("E-mail: no mail server is set (SMTP_HOST)."), "email")
    return address


def shares(new: JobOptions) -> list[Share]:
    """The configs over which a job is spread, the first its own; empty where it has one alone.
    Raises InvalidInput naming the field."""
    if not new.also:
        return []
    found: list[Share] = []
    for place, also in enumerate((ExtraConfig(new.config, new.weight), *new.also)):
        try:
            config = configs.get(also.config)
        except NotFound as error:
            raise InvalidInput(error.text, "also") from None
        if not config.active:
            raise InvalidInput(
                translatable("The connection “%(alias)s” is deactivated.", alias=config.alias),
                "also",
            )
        if config.id in {share.config_id for share in found}:
            raise InvalidInput(
                translatable("“%(alias)s” is given twice.", alias=config.alias), "also"
            )
        if not 0 < also.weight <= MAX_WEIGHT:
            raise InvalidInput(
                translatable(
                    "Weight of “%(alias)s”: %(weight)g is not over 0 and up to %(limit)s.",
                    alias=config.alias,
                    weight=also.weight,
                    limit=MAX_WEIGHT,
                ),
                "also",
            )
        found.append(Share(config.id, place, also.weight))
    currencies = {configs.get(share.config_id).currency for share in found}
    if len(currencies) > 1:
        raise InvalidInput(
            translatable(
                "These connections are priced in %(currencies)s. One job needs one currency.",
                currencies=" and ".join(sorted(currencies)),
            ),
            "also",
        )
    return found


def batch_columns(new: NewBatch, filename: str, model: str | None) -> dict:
    """The columns of a job by the Batch API whose first line names ``model``; the import sets the
    config right. Raises InvalidInput where there is no API config at all."""
    active = configs.list_all(active=True)
    if not active:
        raise InvalidInput(translatable("There is no active connection yet. Create one first."))
    created_at = now_ms()
    deadline_at = created_at + new.window_s * 1000
    config = (configs.by_model(model) if model else None) or active[0]
    chosen = JobOptions(
        config=config.id,
        name=Path(filename).stem[:200],
        service=new.service,
        deadline_at=deadline_at,
        sharing=new.sharing,
    )
    batch_offers.check(chosen, [config], [new.endpoint])
    batch_offers.check_deadline(chosen, [config])
    return {
        **columns(chosen, filename),
        "created_at": created_at,  # to the second, clients see the window between the two
        "endpoint": new.endpoint,
        "input_file_id": new.input_file_id,
        "completion_window": new.completion_window,
        "metadata": None if new.metadata is None else json.dumps(new.metadata),
        "output_keep_s": new.output_keep_s,
    }


def editable(new: JobOptions, default_name: str, deadline_kept: int | None = None) -> dict:
    """The columns that may be changed later too, except the spend cap; a deadline that is kept as
    it was is not looked at. Raises InvalidInput naming the field."""
    name = " ".join((new.name or default_name).split())
    if len(name) > 200 or not name.isprintable():
        raise InvalidInput(translatable("Name: up to 200 printable characters."), "name")
    earliest = max(now_ms(), new.start_at or 0)
    if new.deadline_at not in (None, deadline_kept) and new.deadline_at <= earliest:
        raise InvalidInput(
            translatable("Deadline: it is in the past or before the start."), "deadline_at"
        )
    span = time_windows.parse(new.hours, new.zone)
    return {
        **{name: stored(field, getattr(new, name)) for name, field in _PLAIN_EDITABLE.items()},
        "name": name or "job",
        "hours": "" if span is None else str(span),
        "zone": "" if span is None else span.zone,
    }


def of(job: Job) -> JobOptions:
    """What was chosen for a job, without its start time."""
    spread = request_rows.shares(job.id) if job.spread else []
    options = JobOptions(
        config=job.config_id,
        webhook=job.webhook_id,
        template=intake.template_of(job.template) if job.template else None,
        saved=job.template_version_id,
    )
    for name, field in _COPIED.items():
        setattr(options, name, restored(field, getattr(job, name)))
    options.zone = job.zone or "UTC"
    options.spread = Spread(job.spread or Spread.FAST)
    if spread:
        options.weight = spread[0].weight
        options.also = tuple(ExtraConfig(share.config_id, share.weight) for share in spread[1:])
    return options


def _params(new: JobOptions) -> str:
    params = {name: value for name, value in new.params.items() if value is not None}
    for name in params:
        if name in _RESERVED:
            raise InvalidInput(
                translatable("Parameters: %(name)r is set elsewhere.", name=name), "params"
            )
    for field in OPTIONS.values():
        if field.parameter and field.parameter in params and getattr(new, field.name) is not None:
            raise InvalidInput(
                translatable(
                    "Parameters: “%(option)s” already sets “%(name)s”. Remove one of them.",
                    option=field.label,
                    name=field.parameter,
                ),
                "params",
            )
    if "model" in params:
        params["model"] = str(params["model"])
    for name in PARAMETERS.keys() & params.keys():
        params[name] = stored(PARAMETERS[name], params[name])
    return validation.params_json(params)
