"""What a user enters for an API config: each field is declared here once (see fields.py)."""

from decimal import Decimal
from typing import Annotated

import msgspec

from ..core.messages import translatable
from ..engine.batch_api.opening import KINDS, NONE
from .fields import Choice, Field, Kind, declared
from .header_lines import header_lines, query_lines, read_headers, read_query

MAX_LIMIT = 1_000_000_000
_BATCH_APIS = {
    "openai": translatable("OpenAI's"),
    "anthropic": translatable("Anthropic's"),
    "gemini": translatable("Gemini's"),
    "mistral": translatable("Mistral's"),
    "openrouter": translatable("OpenRouter's"),
}


class ConfigFields(msgspec.Struct, kw_only=True):
    """The fields of a config. Prices are per million tokens in units of ``currency``, None where
    unknown. Secret headers and query parameters are changes by name: a value is stored, None removes
    the stored one; those that are not named stay as they are."""

    alias: Annotated[str, Field(kind=Kind.TEXT, label=translatable("Name"), max_length=100)]
    base_url: Annotated[str, Field(kind=Kind.TEXT, label=translatable("Base URL"))]
    model: Annotated[str, Field(kind=Kind.TEXT, label=translatable("Model"), max_length=300)]
    key: str | None = None  # None or empty on an edit keeps the stored one
    price_rules: str | None = (
        None  # JSON of core/price_rules.PriceRules; None on an edit keeps them
    )
    remove_key: bool = False
    secret_headers: dict[str, str | None] = msgspec.field(default_factory=dict)
    secret_query: dict[str, str | None] = msgspec.field(default_factory=dict)
    max_tokens: Annotated[
        int | None,
        Field(
            kind=Kind.INTEGER,
            label=translatable("Max tokens"),
            low=1,
            high=10_000_000,
            flag="--max-tokens",
        ),
    ] = None
    temperature: Annotated[
        float | None,
        Field(kind=Kind.NUMBER, label=translatable("Temperature"), high=2, flag="--temperature"),
    ] = None
    timeout_s: Annotated[
        float | None,
        Field(
            kind=Kind.NUMBER,
            label=translatable("Timeout"),
            low=0.1,
            high=86_400,
            usual="DEFAULT_TIMEOUT",
            form_label=translatable("Timeout (seconds)"),
            flag="--timeout",
            help="Seconds for one call.",
        ),
    ] = None
    concurrency: Annotated[
        int | None,
        Field(
            kind=Kind.INTEGER,
            label=translatable("Concurrency"),
            low=1,
            high="MAX_CONCURRENCY",
            form_label=translatable("Max concurrency (empty: automatic)"),
            flag="--concurrency",
            help="Maximum calls in flight; default: automatic.",
        ),
    ] = None
    rpm: Annotated[
        int | None,
        Field(
            kind=Kind.INTEGER,
            label=translatable("Rpm"),
            low=1,
            high=MAX_LIMIT,
            form_label=translatable("Requests per minute"),
            flag="--rpm",
            help="Maximum requests per minute.",
        ),
    ] = None
    tpm: Annotated[
        int | None,
        Field(
            kind=Kind.INTEGER,
            label=translatable("Tpm"),
            low=1,
            high=MAX_LIMIT,
            form_label=translatable("Tokens per minute"),
            flag="--tpm",
            help="Maximum tokens per minute.",
        ),
    ] = None
    params: Annotated[
        dict,
        Field(
            kind=Kind.JSON,
            label=translatable("Parameters"),
            form_label=translatable("More parameters (JSON)"),
        ),
    ] = msgspec.field(default_factory=dict)
    currency: Annotated[
        str,
        Field(
            kind=Kind.TEXT,
            label=translatable("Currency"),
            flag="--currency",
            help="Default: USD.",
        ),
    ] = "USD"
    input_price: Annotated[
        Decimal | None,
        Field(
            kind=Kind.PRICE,
            label=translatable("Input price"),
            form_label=translatable("Input price per million"),
            flag="--input-price",
            help="Per million tokens.",
        ),
    ] = None
    cached_input_price: Annotated[
        Decimal | None,
        Field(
            kind=Kind.PRICE,
            label=translatable("Cached input price"),
            form_label=translatable("Cached input per million"),
            flag="--cached-input-price",
            help="Per million tokens; default: the input price.",
        ),
    ] = None
    cache_write_price: Annotated[
        Decimal | None,
        Field(
            kind=Kind.PRICE,
            label=translatable("Cache write price"),
            form_label=translatable("Cache writes per million"),
            flag="--cache-write-price",
            help="Per million tokens; default: the input price.",
        ),
    ] = None
    output_price: Annotated[
        Decimal | None,
        Field(
            kind=Kind.PRICE,
            label=translatable("Output price"),
            form_label=translatable("Output price per million"),
            flag="--output-price",
            help="Per million tokens.",
        ),
    ] = None
    reasoning_price: Annotated[
        Decimal | None,
        Field(
            kind=Kind.PRICE,
            label=translatable("Reasoning price"),
            form_label=translatable("Reasoning per million"),
            flag="--reasoning-price",
            help="Per million tokens; default: the output price.",
        ),
    ] = None
    batch_discount: Annotated[
        float | None,
        Field(
            kind=Kind.NUMBER,
            label=translatable("Batch discount"),
            form_label=translatable("Price factor in the provider's batch"),
            high=1,
            placeholder="0.5",
            flag="--batch-discount",
            metavar="FACTOR",
            help="Share of the price in the provider's batch, as 0.5; default: as the price rules say.",
        ),
    ] = None
    day_cap: Annotated[
        Decimal | None,
        Field(
            kind=Kind.CAP,
            label=translatable("Daily spend cap"),
            form_label=translatable("Daily spend cap"),
            flag="--day-cap",
            help="Spend cap per day.",
        ),
    ] = None
    month_cap: Annotated[
        Decimal | None,
        Field(
            kind=Kind.CAP,
            label=translatable("Monthly spend cap"),
            form_label=translatable("Monthly spend cap"),
            flag="--month-cap",
            help="Spend cap per month.",
        ),
    ] = None
    provider: Annotated[str, Field(kind=Kind.TEXT, label=translatable("Provider"))] = ""
    api_format: Annotated[
        str,
        Field(
            kind=Kind.CHOICE,
            label=translatable("API format"),
            choices=(
                Choice("openai", translatable("OpenAI")),
                Choice("anthropic", translatable("Anthropic (Messages API)")),
            ),
            flag="--api-format",
            help="API that the endpoint speaks; default: openai.",
        ),
    ] = "openai"
    auth: Annotated[
        str,
        Field(
            kind=Kind.CHOICE,
            label=translatable("Authentication"),
            form_label=translatable("Send the key as"),
            choices=(
                Choice("bearer", translatable("Authorization: Bearer")),
                Choice("api-key", translatable("api-key header")),
                Choice("x-api-key", translatable("x-api-key header")),
                Choice("none", translatable("don't send it")),
            ),
            flag="--auth",
            help="How the key is sent; default: bearer.",
        ),
    ] = "bearer"
    headers: Annotated[
        dict[str, str],
        Field(
            kind=Kind.PAIRS,
            label=translatable("Headers"),
            read=read_headers,
            write=header_lines,
            placeholder="X-Title: reviews",
        ),
    ] = msgspec.field(default_factory=dict)
    query: Annotated[
        dict[str, str],
        Field(
            kind=Kind.PAIRS,
            label=translatable("Query parameters"),
            read=read_query,
            write=query_lines,
            placeholder="api-version=2024-10-21",
        ),
    ] = msgspec.field(default_factory=dict)
    stream: Annotated[
        str,
        Field(
            kind=Kind.CHOICE,
            label=translatable("Streaming"),
            choices=(
                Choice("auto", translatable("automatic (if needed)")),
                Choice("always", translatable("always")),
                Choice("never", translatable("never")),
            ),
            flag="--stream",
            help="Whether answers are read as streams; default: auto.",
        ),
    ] = "auto"
    service_tier: Annotated[
        str,
        Field(
            kind=Kind.TEXT,
            label=translatable("Service tier"),
            placeholder="flex",
            flag="--service-tier",
            metavar="T",
            help="For example flex or priority; default: the provider's.",
        ),
    ] = ""
    batch_api: Annotated[
        str,
        Field(
            kind=Kind.CHOICE,
            label=translatable("Batch API"),
            form_label=translatable("The provider's batch API"),
            choices=(
                Choice("", translatable("automatic (by the provider)"), "auto"),
                *(Choice(kind, _BATCH_APIS[kind]) for kind in KINDS),
                Choice(NONE, translatable("don't use one")),
            ),
            flag="--batch-api",
            help="Which batch API the provider has; default: auto, by the provider; none: use no batch API.",
        ),
    ] = ""
    notes: Annotated[
        str, Field(kind=Kind.LONG_TEXT, label=translatable("Notes"), max_length=10_000)
    ] = ""
    active: Annotated[bool, Field(kind=Kind.FLAG, label=translatable("Active"))] = True


FIELDS = declared(ConfigFields)


def usual_auth(api_format: str) -> str:
    """How an API takes a key where the user has not chosen: Anthropic's in x-api-key
    (https://platform.claude.com/docs/en/api/overview, read 2026-11-28)."""
    return "x-api-key" if api_format == "anthropic" else "bearer"
