"""What a user chooses for a job: each option is declared here once (see fields.py).

A new option is an attribute of JobOptions, a column of ``Job`` and what the program does with it.
"""

import re
from decimal import Decimal
from typing import Annotated

import msgspec

from ..core.domain import Outcome, Service, Sharing, Spread
from ..core.errors import InvalidInput
from ..core.messages import translatable
from ..engine import packing
from ..intake import Reading, Template
from ..store import configs
from .config_fields import ConfigFields
from .fields import Choice, Field, Kind, declared
from .tags import tags_of, tags_text

_OUTCOMES = (
    Choice(Outcome.CUT_OFF, translatable("cut off")),
    Choice(Outcome.REFUSED, translatable("refused")),
    Choice(Outcome.EMPTY, translatable("empty")),
    Choice(Outcome.TOOL_CALL, translatable("tool call")),
    Choice(Outcome.SCHEMA, translatable("doesn't match schema")),
)
MAX_SEED = 2**62  # the largest number that a form reads (core/request_input.py)


class ExtraConfig(msgspec.Struct, frozen=True):
    """One more config of a job, by id or alias."""

    config: int | str
    weight: float = 1.0


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
                translatable("%(part)r: the weight after = is not a number.", part=part.strip()),
                "also",
            ) from None
    return tuple(found)


def also_text(also: tuple[ExtraConfig, ...]) -> str:
    """The same the other way round."""
    names = [(configs.get(extra.config).alias, extra.weight) for extra in also]
    return ", ".join(alias if weight == 1 else f"{alias}={weight:g}" for alias, weight in names)


class JobOptions(msgspec.Struct, kw_only=True):
    """The options of a job. Attributes without a Field come from elsewhere than a form: the upload,
    a button, or a choice among rows of the database."""

    config: int | str  # id or alias
    name: Annotated[
        str,
        Field(
            kind=Kind.TEXT,
            label=translatable("Name"),
            group="main",
            flag="--name",
            recipe="name",
            editable=True,
        ),
    ] = ""
    tags: Annotated[
        tuple[str, ...],
        Field(
            kind=Kind.LIST,
            label=translatable("Tags"),
            read=tags_of,
            write=tags_text,
            form_label=translatable("Tags (optional)"),
            hint=translatable("Separated by commas."),
            group="main",
            flag="--tag",
            several=True,
            metavar="TAG",
            help="A tag of the job; can be repeated.",
            recipe="tags",
            editable=True,
        ),
    ] = ()
    concurrency: Annotated[
        int | None,  # None: learned
        Field(
            kind=Kind.INTEGER,
            label=translatable("Concurrency"),
            low=1,
            high="MAX_CONCURRENCY",
            form_label=translatable("Max concurrency (empty: automatic)"),
            group="main",
            flag="--concurrency",
            help="Maximum calls in flight; default: automatic.",
            recipe="concurrency",
            editable=True,
        ),
    ] = None
    max_retries: Annotated[
        int | None,
        Field(
            kind=Kind.INTEGER,
            label=translatable("Max retries"),
            high=100,
            usual="DEFAULT_MAX_RETRIES",
            group="main",
            flag="--max-retries",
            help="Calls after the first.",
            recipe="max_retries",
            editable=True,
        ),
    ] = None
    spend_cap: Annotated[
        Decimal | None,  # units of the config's currency; there the job pauses
        Field(
            kind=Kind.CAP,
            label=translatable("Spend cap"),
            form_label=translatable("Spend cap (optional)"),
            group="main",
            flag="--spend-cap",
            help="Pause at this amount, in the connection's currency.",
            recipe="spend_cap",
            editable=True,
        ),
    ] = None
    timeout_s: Annotated[
        float | None,  # None: the config's
        Field(
            kind=Kind.NUMBER,
            label=translatable("Timeout"),
            low=0.1,
            high=86_400,
            form_label=translatable("Timeout (seconds)"),
            group="how",
            recipe="timeout_s",
        ),
    ] = None
    seed: Annotated[
        int | None,  # sent with every chat request that does not set one
        Field(
            kind=Kind.INTEGER,
            label=translatable("Seed"),
            low=-MAX_SEED,
            high=MAX_SEED,
            parameter="seed",
            in_details=True,
            form_label=translatable("Seed (optional)"),
            hint=translatable("For reproducible answers, if the endpoint supports it."),
            group="how",
            flag="--seed",
            help="Sent with each request that sets none.",
            recipe="seed",
            recipe_if="seed",
        ),
    ] = None
    service: Annotated[
        Service,
        Field(
            kind=Kind.CHOICE,
            label=translatable("Service"),
            choices=(
                Choice(Service.NOW, translatable("Send now")),
                Choice(Service.BATCH, translatable("The provider's batch API")),
                Choice(
                    Service.BATCH_THEN_NOW,
                    translatable("The provider's batch API, the rest now before the deadline"),
                ),
            ),
            in_details=True,
            group="service",
            flag="--service",
            help="Send each request by a call, through the provider's batch API, or the rest of that by "
            "calls before the deadline; default: now.",
            recipe="service",
        ),
    ] = Service.NOW
    keep_remote_files: Annotated[
        bool,
        Field(
            kind=Kind.FLAG,
            label=translatable("Keep the files at the provider"),
            hint=translatable(
                "Otherwise they are deleted at the provider once their results are saved here."
            ),
            group="service",
            flag="--keep-remote-files",
            help="Keep the files of batches at the provider; default: delete them after the merge.",
            recipe="keep_remote_files",
        ),
    ] = False
    service_tier: Annotated[
        str | None,  # asked for by every request that names none; None: the config's
        Field(
            kind=Kind.TEXT,
            label=translatable("Service tier"),
            in_details=True,
            form_label=translatable("Service tier (optional)"),
            hint=translatable(
                "auto, default, flex, priority, or another name that the provider uses."
            ),
            group="how",
            flag="--service-tier",
            help="auto, default, flex, priority, or another name that the provider uses.",
            recipe="service_tier",
            recipe_if="service_tier",
        ),
    ] = None
    params: Annotated[
        dict,  # sent with every request that does not set them itself, over the config's
        Field(
            kind=Kind.JSON,
            label=translatable("Parameters"),
            form_label=translatable("More parameters (JSON)"),
            hint=translatable(
                "Leave fields empty to use the connection's values. A request's own "
                "parameters always win."
            ),
            placeholder='{"top_p": 0.9}',
            group="how",
            recipe="parameters",
        ),
    ] = msgspec.field(default_factory=dict)
    schema: Annotated[
        dict | None,  # JSON Schema that answers have to fit
        Field(
            kind=Kind.JSON,
            label=translatable("Schema"),
            parameter="response_format",
            flag="--schema",
            metavar="FILE",
            help="JSON Schema for the answers.",
            recipe="schema",
            recipe_if="schema",
        ),
    ] = None
    schema_mode: Annotated[
        str,  # how it is asked for (engine/structured_output.py)
        Field(
            kind=Kind.CHOICE,
            label=translatable("Schema mode"),
            choices=(
                Choice("send", translatable("send the schema")),
                Choice("object", translatable("request any JSON object")),
                Choice("check", translatable("don't send it, only validate answers")),
            ),
            form_label=translatable("How to request it"),
            group="schema",
            hint=translatable("Falls back to JSON mode if the endpoint doesn't support schemas."),
            flag="--schema-mode",
            help="How to request it.",
            recipe="schema_mode",
            recipe_if="schema",
        ),
    ] = "send"
    schema_retry: Annotated[
        bool,
        Field(
            kind=Kind.FLAG,
            label=translatable("If an answer doesn't match, ask the model to fix it"),
            hint=translatable("This counts as a retry and costs like any call."),
            group="schema",
            flag="--schema-retry",
            help="Ask the model to fix an answer that does not match.",
            recipe="schema_retry",
            recipe_if="schema",
        ),
    ] = False
    as_failed: Annotated[
        tuple[Outcome, ...],  # such answers are failed attempts
        Field(
            kind=Kind.CHOICES,
            label=translatable("Treat as failed"),
            choices=_OUTCOMES[:3],
            in_details=True,
            hint=translatable(
                "Answers like these are retried, and fail if the last one is like that too. Each "
                "retry costs like any call."
            ),
            group="how",
            flag="--as-failed",
            metavar="OUTCOMES",
            help="Treat these answers as failed: cut_off,refused,empty.",
            recipe="as_failed",
        ),
    ] = ()
    fail_on: Annotated[
        tuple[Outcome, ...],
        Field(
            kind=Kind.CHOICES,
            label=translatable("Exit with 3 on"),
            choices=_OUTCOMES,
            flag="--fail-on",
            metavar="OUTCOMES",
            help="Exit with 3 if there are such answers: cut_off,empty,refused.",
            recipe="fail_on",
        ),
    ] = ()
    start_at: Annotated[
        int | None,  # epoch ms
        Field(
            kind=Kind.MOMENT,
            label=translatable("Start"),
            form_label=translatable("Start at (optional)"),
            group="when",
            flag="--start-at",
            metavar="TIME",
            help="Do not start before: 2026-12-24T22:00 (zone optional).",
        ),
    ] = None
    deadline_at: Annotated[
        int | None,  # epoch ms; what is left then expires
        Field(
            kind=Kind.MOMENT,
            label=translatable("Deadline"),
            form_label=translatable("Deadline (optional)"),
            hint=translatable("Unfinished requests expire at this time."),
            group="when",
            flag="--deadline",
            metavar="TIME",
            help="Unanswered requests expire at this time.",
            editable=True,
        ),
    ] = None
    hours: Annotated[
        str,  # of the day, in which calls may be made (core/time_windows.py); empty: always
        Field(
            kind=Kind.TEXT,
            label=translatable("Hours"),
            form_label=translatable("Only send between (optional)"),
            hint=translatable("For example off-peak hours: 22:00-06:00."),
            group="when",
            flag="--hours",
            help="Only send between these hours: 22:00-06:00.",
            recipe="hours",
            editable=True,
        ),
    ] = ""
    zone: Annotated[
        str,
        Field(
            kind=Kind.TEXT,
            label=translatable("Time zone"),
            group="when",
            flag="--zone",
            help="Time zone of hours and times, for example Asia/Shanghai.",
            recipe="zone",
            editable=True,
        ),
    ] = "UTC"
    priority: Annotated[
        int,
        Field(
            kind=Kind.CHOICE,
            label=translatable("Priority"),
            choices=(
                Choice(1, translatable("high"), "high"),
                Choice(0, translatable("normal"), "normal"),
                Choice(-1, translatable("low"), "low"),
            ),
            group="when",
            flag="--priority",
            recipe="priority",
            editable=True,
        ),
    ] = 0
    ask_once: Annotated[
        bool,
        Field(
            kind=Kind.FLAG,
            label=translatable("Send identical requests once"),
            group="main",
            flag="--ask-once",
            help="Send identical requests once.",
            recipe="ask_once",
        ),
    ] = False
    cache_aware: Annotated[
        bool | None,  # None: where cached input is cheaper
        Field(
            kind=Kind.SWITCH,
            label=translatable("Prompt caches"),
            choices=(
                Choice(None, translatable("automatic")),
                Choice(True, translatable("wait for the first of each prefix")),
                Choice(False, translatable("send in file order")),
            ),
            hint=translatable(
                "Requests that share a long prefix wait for the first of them and then read it from "
                "the provider's cache. Automatic: if cached input is cheaper."
            ),
            group="how",
            flag="--cache-aware",
            help="Requests that share a prefix wait for the first; default: if cached input is cheaper.",
            recipe="cache_aware",
        ),
    ] = None
    inputs_per_call: Annotated[
        int | None,  # of embeddings; None: the setting
        Field(
            kind=Kind.INTEGER,
            label=translatable("Inputs per call"),
            low=1,
            high=packing.MAX_INPUTS,
            group="main",
            flag="--inputs-per-call",
            help="Maximum inputs of an embeddings call; 1: one each.",
            recipe="inputs_per_call",
            recipe_if="inputs_per_call",
        ),
    ] = None
    also: Annotated[
        tuple[ExtraConfig, ...],  # after ``config`` in order of preference
        Field(
            kind=Kind.LIST,
            label=translatable("Also send to"),
            read=also_of,
            write=also_text,
            column=False,
            hint=translatable("Names, separated by commas. name=2 sets a weight."),
            group="who",
            flag="--also",
            help="Also send to these connections: b, c; with weights: b=2, c=1.",
            recipe="also",
        ),
    ] = ()
    spread: Annotated[
        Spread,
        Field(
            kind=Kind.CHOICE,
            label=translatable("Distribution"),
            choices=(
                Choice(Spread.FAST, translatable("whichever is fastest")),
                Choice(Spread.WEIGHT, translatable("by weight")),
                Choice(Spread.ORDER, translatable("in order, next one on failure")),
            ),
            group="who",
            flag="--spread",
            help="Distribution over these connections; default: fast.",
            recipe="spread",
        ),
    ] = Spread.FAST
    weight: Annotated[
        float,
        Field(
            kind=Kind.NUMBER,
            label=translatable("Weight of the first connection"),
            column=False,
            group="who",
            flag="--weight",
            help="Weight of --config.",
            recipe="weight",
        ),
    ] = 1.0
    reuse_hours: Annotated[
        float | None,  # the age up to which answers of other jobs are taken; None: none are
        Field(
            kind=Kind.NUMBER,
            label=translatable("Reuse hours"),
            low=0.01,
            high=87_600,
            form_label=translatable("Reuse cached answers younger than (hours)"),
            hint=translatable(
                "Identical requests to the same connection are not sent again. Other jobs can reuse "
                "this job's answers too. Empty: no reuse."
            ),
            group="who",
            flag="--reuse-hours",
            help="Reuse answers of other jobs up to this age.",
            recipe="reuse_hours",
        ),
    ] = None
    webhook: Annotated[
        int | None,  # id of one that is notified of the end
        Field(
            kind=Kind.INTEGER,
            label=translatable("Webhook"),
            column=False,
            flag="--webhook",
            metavar="ID",
            help="Notify this webhook when the job ends (list-webhooks).",
        ),
    ] = None
    email: Annotated[
        str,
        Field(
            kind=Kind.TEXT,
            label=translatable("E-mail"),
            form_label=translatable("Notify by e-mail when the job ends"),
            group="who",
            flag="--email",
            help="Notify this address when the job ends.",
        ),
    ] = ""
    sharing: Annotated[
        Sharing | None,  # None: the setting
        Field(
            kind=Kind.CHOICE,
            label=translatable("Sharing"),
            usual="DEFAULT_SHARING",
            choices=(
                Choice(Sharing.PRIVATE, translatable("private")),
                Choice(Sharing.VIEW, translatable("team can view")),
                Choice(Sharing.EDIT, translatable("team can edit")),
            ),
            hint=translatable("Admins and viewers always see it."),
            group="team",
            flag="--share",
            help="Who else sees it: private, view (every user), edit (operators change it too).",
            recipe="sharing",
        ),
    ] = None
    skip_faulty: Annotated[
        bool,
        Field(
            kind=Kind.FLAG,
            label=translatable("Skip invalid lines"),
            flag="--skip-faulty",
            help="Skip invalid lines instead of refusing the file.",
        ),
    ] = False
    hold: bool = False  # paused after validation
    template: Template | None = None  # makes a request of each row of a table
    saved: int | None = None  # id of the version of a saved template that it is
    reading: Reading = Reading()  # how the file is read, where that was chosen


OPTIONS = declared(JobOptions)
DETAILS = {name: field for name, field in OPTIONS.items() if field.in_details}
EDITABLE = {name: field for name, field in OPTIONS.items() if field.editable}

# Members of ``params`` that have a separate form field, as in a config.
PARAMETERS = {name: declared(ConfigFields)[name] for name in ("model", "temperature", "max_tokens")}
