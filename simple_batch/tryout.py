"""Before a launch: a few rows sent for real, and what the whole will use and cost.

Without a try the number of tokens is assumed from bytes; with one it is scaled from
what the rows tried have used. An unknown price leaves the cost unknown.
"""

import msgspec

from . import choices, runtime, uploads
from .choices import NewJob
from .domain import Usage
from .engine import probe
from .intake import Preview
from .store.configs import defaults_of, endpoint_of, prices_of
from .store.models import ApiConfig

ROWS = 3
BYTES_PER_TOKEN = 4.0  # of JSON in English or Chinese, roughly
ASSUMED_OUTPUT = (50, 300)  # tokens an answer, low and expected, where nothing was tried
DEFAULT_MOST = 4096  # where the config sets no max_tokens
SPREAD = 0.3  # of an input that was counted by bytes alone
TRIED_SPREAD = 0.1


class Range(msgspec.Struct, frozen=True):
    """Low, expected, high."""

    low: int
    expected: int
    high: int


class Estimate(msgspec.Struct, frozen=True):
    """Of a whole upload. ``cost`` is in billionths of the currency's unit, None where a price is
    not known; ``tried`` says whether it stands on rows that were sent."""

    input_tokens: Range
    output_tokens: Range
    cost: Range | None
    currency: str
    tried: bool


def try_rows(upload_id: int, new: NewJob) -> list[probe.Tried]:
    """Send the first rows of a staged upload as the job would, once each. It costs what it costs:
    nothing of it is kept. Raises NotFound, InvalidInput, ConfigurationError."""
    upload, preview = uploads.staged(upload_id)
    chosen = choices.columns(new, upload.filename)
    endpoint = endpoint_of(chosen["config"], runtime.vault())
    endpoint = msgspec.structs.replace(
        endpoint,
        defaults=endpoint.defaults.under(new.params),
        timeout_s=new.timeout_s or endpoint.timeout_s,
    )
    shape = choices.structure_of(new)
    return probe.send(endpoint, runtime.settings(), preview.first[:ROWS], shape)


def cost_of(config: ApiConfig, usage: Usage | None) -> int | None:
    """What one call cost, in billionths of the config's currency."""
    return prices_of(config).cost(usage)


def estimate(
    preview: Preview, config: ApiConfig, params: dict, tried: list[probe.Tried] = ()
) -> Estimate:
    """What all requests of an upload will use and cost on a config, with a job's parameters."""
    used = [(len(row.request.body), row.usage) for row in tried if row.usage is not None]
    if used:
        per_byte = sum(usage.input for _, usage in used) / max(1, sum(size for size, _ in used))
        spread, output = TRIED_SPREAD, _scaled([usage.output for _, usage in used], preview.good)
    else:
        per_byte, spread = 1.0 / BYTES_PER_TOKEN, SPREAD
        most = defaults_of(config).under(params).max_tokens or DEFAULT_MOST
        low, expected = (min(assumed, most) for assumed in ASSUMED_OUTPUT)
        output = Range(low * preview.good, expected * preview.good, most * preview.good)
    whole = per_byte * preview.body_bytes
    into = Range(round(whole * (1 - spread)), round(whole), round(whole * (1 + spread)))
    costs = [
        prices_of(config).cost(Usage(getattr(into, name), getattr(output, name)))
        for name in ("low", "expected", "high")
    ]
    known = Range(*costs) if None not in costs else None
    return Estimate(into, output, known, config.currency, bool(used))


def _scaled(seen: list[int], count: int) -> Range:
    """From a few answers to all: the mean, and as far as the shortest and the longest seen."""
    mean = sum(seen) / len(seen)
    return Range(
        round(min(min(seen), 0.8 * mean) * count),
        round(mean * count),
        round(max(max(seen), 1.25 * mean) * count),
    )
