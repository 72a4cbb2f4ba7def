"""What a user chooses for a job, and its rules."""

import json
import re
from decimal import Decimal
from pathlib import Path

import msgspec

from .. import intake
from ..core import context, time_windows
from ..core.clock import now_ms
from ..core.domain import EMBEDDINGS, Spread
from ..core.errors import InvalidInput, NotFound
from ..core.messages import translatable
from ..core.schema import Schema
from ..engine import packing
from ..engine.structured_output import MODES as SCHEMA_MODES
from ..engine.structured_output import Structure
from ..intake import Template
from ..runner import spend_caps
from ..runner.route import inputs_per_call as inputs_of
from ..store import configs
from ..store import requests as request_rows
from ..store.models import ApiConfig, Job
from ..store.requests import Share
from . import templates, validation, webhooks

MAX_WEIGHT = 1_000
PRIORITIES = (-1, 0, 1)
_EMAIL = re.compile(r"[^\s@<>,;:\"()\[\]\\\x00-\x1f]{1,64}@[^\s@<>,;:\"()\[\]\\\x00-\x1f]{1,180}")
_RESERVED = frozenset({"messages", "stream", "stream_options"})


class ExtraConfig(msgspec.Struct, frozen=True):
    """One more config of a job, by id or alias."""

    config: int | str
    weight: float = 1.0


class JobOptions(msgspec.Struct, kw_only=True):
    """``config`` is an id or an alias; ``concurrency`` None is learned, ``max_retries`` None is the
    default; ``params`` are sent with every request that does not say them itself, over the
    config's; ``timeout_s`` None is the config's; ``start_at`` (epoch ms) schedules the job, at
    ``deadline_at`` what is left expires, ``hours`` (core/time_windows.py) are those of the day in ``zone`` in
    which calls may be made; ``priority`` is from -1 to 1; ``webhook`` (an id) and ``email`` are
    notified of the end; at ``spend_cap`` (units of the config's currency) the job pauses; of identical
    requests one is sent where they are to ``ask_once``, and answers of other jobs that are not older
    than ``reuse_hours`` are taken; ``inputs_per_call`` is how many inputs of embeddings go in one call (None: as
    the settings say); ``hold`` keeps the job paused after
    validation; ``template`` makes requests of a table's rows, ``saved`` is the id of the version of a
    saved one that it is; ``also`` are further configs, after
    ``config`` in order of preference, over which the job is ``spread``; ``weight`` is that of
    ``config`` beside theirs; ``schema`` is the JSON Schema that answers are to fit,
    ``schema_mode`` how it is asked for (engine/structured_output.py), and with ``schema_retry`` an answer
    that does not fit is sent back with the complaint."""

    config: int | str
    name: str = ""
    concurrency: int | None = None
    max_retries: int | None = None
    params: dict = msgspec.field(default_factory=dict)
    timeout_s: float | None = None
    start_at: int | None = None
    deadline_at: int | None = None
    hours: str = ""
    zone: str = "UTC"
    priority: int = 0
    webhook: int | None = None
    email: str = ""
    ask_once: bool = False
    reuse_hours: float | None = None
    inputs_per_call: int | None = None
    spend_cap: Decimal | None = None
    hold: bool = False
    skip_faulty: bool = False
    template: Template | None = None
    saved: int | None = None
    also: tuple["ExtraConfig", ...] = ()
    spread: Spread = Spread.FAST
    weight: float = 1.0
    schema: dict | None = None
    schema_mode: str = "send"
    schema_retry: bool = False


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


def columns(new: JobOptions, filename: str) -> dict:
    """A new job's columns. Raises InvalidInput naming the field."""
    config = configs.get(new.config)
    if not config.active:
        raise InvalidInput(
            translatable("The API config “%(alias)s” is deactivated.", alias=config.alias), "config"
        )
    if new.start_at is not None and new.start_at < now_ms() - 60_000:
        raise InvalidInput(translatable("Start: that moment has passed."), "start_at")
    saved = templates.version_by_id(new.saved)
    return {
        **editable(new, Path(filename).stem),
        "config": config,
        "params": _params(new.params),
        "timeout_s": validation.within(new.timeout_s, "timeout_s", 0.1, 86_400),
        "start_at": new.start_at,
        **timing(new),
        "spend_cap": spend_cap(new.spend_cap, [config, *further(new)]),
        "webhook": webhooks.get(new.webhook) if new.webhook is not None else None,
        "email": _email(new.email),
        "ask_once": new.ask_once,
        "reuse_hours": validation.within(new.reuse_hours, "reuse_hours", 0.01, 87_600),
        "inputs_per_call": validation.within(
            new.inputs_per_call, "inputs_per_call", 1, packing.MOST
        ),
        "hold": new.hold,
        "spread": new.spread if new.also else "",
        "skip_faulty": new.skip_faulty,
        "currency": config.currency,
        "template": intake.template_text(new.template) if new.template is not None else None,
        "template_version": saved,
        "template_from": templates.label(saved),
        **_shape(new),
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


def _shape(new: JobOptions) -> dict:
    if new.schema is None:
        return {"schema": None}
    if new.schema_mode not in SCHEMA_MODES:
        raise InvalidInput(
            translatable(
                "Schema mode: %(mode)r is none of %(allowed)s.",
                mode=new.schema_mode[:40],
                allowed=", ".join(SCHEMA_MODES),
            ),
            "schema_mode",
        )
    if "response_format" in new.params:
        raise InvalidInput(
            translatable(
                "Parameters: the schema sets “response_format”; leave one of the two out."
            ),
            "params",
        )
    structure_of(new)
    return {
        "schema": json.dumps(new.schema, ensure_ascii=False),
        "schema_mode": new.schema_mode,
        "schema_retry": new.schema_retry,
    }


def timing(new: JobOptions, deadline_kept: int | None = None) -> dict:
    """The columns that say when a job works; they may be changed later, where a deadline that is
    kept as it was is not looked at. Raises InvalidInput."""
    earliest = max(now_ms(), new.start_at or 0)
    if new.deadline_at not in (None, deadline_kept) and new.deadline_at <= earliest:
        raise InvalidInput(
            translatable("Deadline: it has passed, or comes before the start."), "deadline_at"
        )
    if new.priority not in PRIORITIES:
        raise InvalidInput(
            translatable("Priority: %(priority)s is not from -1 to 1.", priority=new.priority),
            "priority",
        )
    span = time_windows.parse(new.hours, new.zone)
    return {
        "deadline_at": new.deadline_at,
        "hours": "" if span is None else str(span),
        "zone": "" if span is None else span.zone,
        "priority": new.priority,
    }


def spend_cap(cap: Decimal | None, on: list[ApiConfig], job: Job | None = None) -> int | None:
    """A spend cap as it is stored, of a job ``on`` these configs; ``job`` is the one whose cap is
    changed to it. Raises InvalidInput where what is spent cannot be counted."""
    nano = validation.cap_nano(cap, "spend_cap")
    if nano is None or (job is not None and nano == job.spend_cap):
        return nano
    for config in on:
        if None in (config.input_price, config.output_price):
            raise InvalidInput(
                translatable(
                    "Spend cap: the API config “%(alias)s” has no input and output price: enter "
                    "them first.",
                    alias=config.alias,
                ),
                "spend_cap",
            )
        if job is not None and job.currency != config.currency:
            raise InvalidInput(
                translatable(
                    "Spend cap: “%(alias)s” is priced in %(currency)s by now, this job in %(own)s.",
                    alias=config.alias,
                    currency=config.currency,
                    own=job.currency,
                ),
                "spend_cap",
            )
    if job is not None and job.unpriced:
        raise InvalidInput(
            translatable(
                "Spend cap: what %(count)s calls of this job have cost is not known.",
                count=f"{job.unpriced:,}",
            ),
            "spend_cap",
        )
    return nano


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
            translatable("E-mail: %(address)r is no address.", address=address[:80]), "email"
        )
    if address and not context.settings().SMTP_HOST:
        raise InvalidInput(translatable("E-mail: no mail server is set here (SMTP_HOST)."), "email")
    return address


def also_of(text: str) -> tuple[ExtraConfig, ...]:
    """Further configs as a user writes them: aliases with commas between, ``alias=2`` with a weight.
    Raises InvalidInput."""
    found = []
    for part in re.split("[,，]", text or ""):
        alias, _, weight = part.strip().rpartition("=")
        if not alias:
            alias, weight = weight, "1"
        if not alias:
            continue
        try:
            found.append(ExtraConfig(alias.strip(), float(weight)))
        except ValueError:
            raise InvalidInput(
                translatable("%(part)r: what follows = is no weight.", part=part.strip()), "also"
            ) from None
    return tuple(found)


def also_text(new: JobOptions) -> str:
    """The same the other way round."""
    names = [(configs.get(also.config).alias, also.weight) for also in new.also]
    return ", ".join(alias if weight == 1 else f"{alias}={weight:g}" for alias, weight in names)


def shares(new: JobOptions) -> list[Share]:
    """The configs over which a job is spread, the first its own; empty where it has one alone.
    Raises InvalidInput naming the field."""
    if not new.also:
        return []
    found = []
    for place, also in enumerate((ExtraConfig(new.config, new.weight), *new.also)):
        try:
            config = configs.get(also.config)
        except NotFound as error:
            raise InvalidInput(error.text, "also") from None
        if not config.active:
            raise InvalidInput(
                translatable("The API config “%(alias)s” is deactivated.", alias=config.alias),
                "also",
            )
        if config.id in {share.config_id for share in found}:
            raise InvalidInput(
                translatable("“%(alias)s” is given twice.", alias=config.alias), "also"
            )
        if not 0 < also.weight <= MAX_WEIGHT:
            raise InvalidInput(
                translatable(
                    "Weight of “%(alias)s”: %(weight)g is not over 0 and up to %(most)s.",
                    alias=config.alias,
                    weight=also.weight,
                    most=MAX_WEIGHT,
                ),
                "also",
            )
        found.append(Share(config.id, place, also.weight))
    currencies = {configs.get(share.config_id).currency for share in found}
    if len(currencies) > 1:
        raise InvalidInput(
            translatable(
                "These API configs are priced in %(currencies)s: one job adds up one currency.",
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
        raise InvalidInput(translatable("There is no active API config here yet: make one first."))
    config = (configs.by_model(model) if model else None) or active[0]
    return {
        **columns(JobOptions(config=config.id, name=Path(filename).stem[:200]), filename),
        "endpoint": new.endpoint,
        "input_file_id": new.input_file_id,
        "completion_window": new.completion_window,
        "deadline_at": now_ms() + new.window_s * 1000,
        "metadata": None if new.metadata is None else json.dumps(new.metadata),
        "output_keep_s": new.output_keep_s,
    }


def editable(new: JobOptions, default_name: str) -> dict:
    """The columns that may be changed later too. Raises InvalidInput naming the field."""
    settings = context.settings()
    name = " ".join((new.name or default_name).split())
    if len(name) > 200 or not name.isprintable():
        raise InvalidInput(translatable("Name: up to 200 printable characters."), "name")
    retries = settings.DEFAULT_MAX_RETRIES if new.max_retries is None else new.max_retries
    if not 0 <= retries <= 100:
        raise InvalidInput(
            translatable("Max retries: %(retries)s is not from 0 to 100.", retries=retries),
            "max_retries",
        )
    most = settings.MAX_CONCURRENCY
    if new.concurrency is not None and not 1 <= new.concurrency <= most:
        raise InvalidInput(
            translatable(
                "Concurrency: %(concurrency)s is not from 1 to %(most)s.",
                concurrency=new.concurrency,
                most=f"{most:,}",
            ),
            "concurrency",
        )
    return {"name": name or "job", "concurrency": new.concurrency, "max_retries": retries}


def of(job: Job) -> JobOptions:
    """What was chosen for a job, without its start time."""
    spread = request_rows.shares(job.id) if job.spread else []
    return JobOptions(
        config=job.config_id,
        name=job.name,
        concurrency=job.concurrency,
        max_retries=job.max_retries,
        params=json.loads(job.params),
        timeout_s=job.timeout_s,
        deadline_at=job.deadline_at,
        hours=job.hours,
        zone=job.zone or "UTC",
        priority=job.priority,
        webhook=job.webhook_id,
        email=job.email,
        also=tuple(ExtraConfig(share.config_id, share.weight) for share in spread[1:]),
        spread=Spread(job.spread or Spread.FAST),
        weight=spread[0].weight if spread else 1.0,
        ask_once=job.ask_once,
        reuse_hours=job.reuse_hours,
        inputs_per_call=job.inputs_per_call,
        spend_cap=validation.units(job.spend_cap),
        skip_faulty=job.skip_faulty,
        template=intake.template_of(job.template) if job.template else None,
        saved=job.template_version_id,
        schema=json.loads(job.schema) if job.schema else None,
        schema_mode=job.schema_mode,
        schema_retry=job.schema_retry,
    )


def _params(given: dict) -> str:
    params = {name: value for name, value in given.items() if value is not None}
    for name in params:
        if name in _RESERVED:
            raise InvalidInput(
                translatable("Parameters: %(name)r is set elsewhere.", name=name), "params"
            )
    if "model" in params:
        params["model"] = validation.required_text(str(params["model"]), "model", 300)
    for name, low, high in (("max_tokens", 1, 10_000_000), ("temperature", 0, 2)):
        if name in params:
            validation.within(params[name], name, low, high)
    return validation.params_json(params)
