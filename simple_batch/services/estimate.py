"""Before a launch: a few rows sent for real, and what the whole will use and cost.

Input tokens are counted in the first requests (engine/token_count.py) and scaled by bytes to all; where the
config has answered before, or rows were tried, the count is set right by what those really used,
and the answers to come are taken to be like those. Else answers are assumed. An unknown price
leaves the cost unknown.
"""

from collections.abc import Callable, Sequence

import msgspec

from ..core import context
from ..core.call_prices import TOKENS_PER_PRICE, Usage
from ..core.clock import now_ms
from ..core.domain import BATCH_TIER, Request
from ..core.json_pieces import Breaks, beginning
from ..engine import probe, token_count
from ..engine.structured_output import Structure
from ..engine.usage import WITHOUT_OUTPUT
from ..intake import Preview, SharedPrefix, Template
from ..store import spending, usage_history
from ..store.configs import defaults_of, endpoint_of, job_defaults, prices_of
from ..store.models import ApiConfig, Job, Upload
from ..store.usage_history import Answered
from . import images, job_options, uploads
from .job_options import JobOptions

ROWS = 3  # default number of rows to try
MAX_ROWS = 20  # all are sent at once
LONGEST_TEXT = 100_000  # characters of a text that are counted
SAMPLE = 200, 1_000_000  # requests, bytes: in which tokens are counted
PAST = 40  # answers of each of the last jobs
ASSUMED_OUTPUT = (50, 300)  # tokens an answer, low and expected, where nothing was seen
DEFAULT_MAX_TOKENS = 4096  # where the config sets no max_tokens
SPREAD = {"tried": 0.1, "past": 0.1, "counted": 0.05, "assumed": 0.25}


class _Limits(msgspec.Struct):
    """The longest answer that a body allows; the other fields are skipped."""

    max_completion_tokens: msgspec.Raw = msgspec.Raw()
    max_tokens: msgspec.Raw = msgspec.Raw()
    max_output_tokens: msgspec.Raw = msgspec.Raw()


_limits = msgspec.json.Decoder(_Limits).decode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Range(msgspec.Struct, frozen=True):
    """Low, expected, high."""

    low: int
    expected: int
    high: int


class Estimate(msgspec.Struct, frozen=True):
    """Of a whole upload. ``cost`` is in billionths of the currency's unit, None where a price is
    not known; ``batch_cost`` is the same through the provider's batch API. ``input_from`` says what the input stands on: rows ``tried``, ``past`` answers of the
    config, ``counted`` by the model's vocabulary, or ``assumed`` from kinds of characters;
    ``output_from`` is tried, past or assumed, from ``answers`` answers."""

    input_tokens: Range
    output_tokens: Range
    cost: Range | None
    currency: str
    input_from: str
    output_from: str
    answers: int
    shared: "SharedInput | None" = None
    batch_cost: Range | None = None


class SharedInput(msgspec.Struct, frozen=True):
    """``requests`` (at least, where not ``exact``) of an upload share a prefix of about ``tokens`` in the
    mean. ``full`` is what that part costs at the input price, ``cached`` what it costs if all of it is read
    from the provider's cache, in billionths of the currency's unit; None where a price is not known, or
    where reading costs no less."""

    requests: int
    tokens: int
    exact: bool
    full: int | None = None
    cached: int | None = None


def try_rows(upload_id: int, new: JobOptions, count: int = ROWS) -> list[probe.Tried]:
    """Send the first ``count`` rows of a staged upload as the job would, once each. It costs what it costs, which counts for the config's spend caps; nothing else of it is kept. Raises NotFound,
    InvalidInput (also where a spend cap is reached), ConfigurationError."""
    upload, _preview = uploads.staged(upload_id)
    chosen = job_options.columns(new, upload.filename)
    config = chosen["config"]
    job_options.check_allowance(config)
    endpoint = endpoint_of(config, context.vault())
    endpoint = msgspec.structs.replace(
        endpoint,
        defaults=job_defaults(Job(**chosen), endpoint.defaults),
        timeout_s=new.timeout_s or endpoint.timeout_s,
    )
    shape = job_options.structure_of(new)
    rows = uploads.sample(upload, count, SAMPLE[1])
    tried = probe.send(endpoint, context.settings(), rows, shape, images.finish(upload))
    cost = sum(cost_of(config, row.usage, row.service_tier) or 0 for row in tried)
    if cost:
        spending.add_tried(config.id, config.currency, cost, now_ms())
    return tried


def cost_of(config: ApiConfig, usage: Usage | None, service_tier: str | None = None) -> int | None:
    """What one call that ended now cost, in billionths of the config's currency."""
    return prices_of(config).cost_of(usage, now_ms(), service_tier)


def estimate(
    upload: Upload,
    preview: Preview,
    config: ApiConfig,
    new: JobOptions,
    tried: Sequence[probe.Tried] = (),
    sample: list[Request] | None = None,
) -> Estimate:
    """What all requests of an upload will use and cost on a config, as a new job. Where it goes to
    others too, the low cost is the cheapest one's, the high the dearest's. ``sample`` are its first
    requests, where they are at hand."""
    shape = job_options.structure_of(new)
    seen = [Answered(_sent(row.request, shape), row.usage) for row in tried if row.usage]
    seen_from = "tried"
    if not seen:
        seen, seen_from = usage_history.answered(config.id, config.alias, PAST), "past"
    sample = sample or uploads.sample(upload, *SAMPLE) or preview.first
    defaults = defaults_of(config).under(new.params)
    into, input_from = _input(preview, sample, seen, defaults.model, shape)
    bound = defaults.max_tokens or DEFAULT_MAX_TOKENS
    output = _output(preview.good, sample, seen, bound)
    largest = max((len(request.body) for request in sample), default=0)
    calls = _Calls(
        new.start_at or now_ms(),
        new.service_tier,
        largest / max(1, preview.body_bytes),
    )
    on, shares = [config, *job_options.further(new)], _Shares.of(seen)
    in_batch = msgspec.structs.replace(calls, tier=BATCH_TIER)
    return Estimate(
        into,
        output,
        _cost(on, into, output, shares, calls),
        config.currency,
        seen_from if seen else input_from,
        seen_from if seen else "assumed",
        len(seen),
        _shared(preview, config, into),
        _cost(on, into, output, shares, in_batch),
    )


def with_template(
    upload: Upload, preview: Preview, template: Template | None
) -> tuple[Preview, uploads.Beginning]:
    """The preview of an upload as it would be with another template over its table, taken from the first
    rows, and these. Raises InvalidInput, UploadRejected."""
    first = uploads.beginning(upload, *SAMPLE, template)
    if template is None or not first.requests:
        return preview, first
    good = len(first.requests)
    rows = good if first.whole else preview.good + preview.fault_count - first.invalid
    size = sum(len(request.body) for request in first.requests)
    changed = msgspec.structs.replace(
        preview, good=rows, body_bytes=round(size / good * rows), shared=SharedPrefix()
    )
    return changed, first


def _shared(preview: Preview, config: ApiConfig, into: Range) -> SharedInput | None:
    found = preview.shared
    if found.requests < 2:
        return None
    tokens = round(found.bytes * into.expected / max(1, preview.body_bytes))
    whole = found.requests * tokens
    saving = cache_saving(config, whole)
    if saving is None:
        return SharedInput(found.requests, tokens, found.exact)
    # not as one call: that would be billed as a long context
    full = whole * (prices_of(config).input or 0) // TOKENS_PER_PRICE
    return SharedInput(found.requests, tokens, found.exact, full, full - saving)


def cache_saving(config: ApiConfig, tokens: int) -> int | None:
    """What input tokens cost less if they are read from the provider's cache, in billionths of the
    currency's unit; None where a price is not known, or reading costs no less."""
    prices = prices_of(config)
    if prices.input is None or prices.cached_input is None or prices.cached_input >= prices.input:
        return None
    return tokens * (prices.input - prices.cached_input) // TOKENS_PER_PRICE


def _input(
    preview: Preview, sample: list[Request], seen: list[Answered], model: str, shape
) -> tuple[Range, str]:
    exact = token_count.by_vocabulary(model)
    source = "counted" if exact is not None else "assumed"
    count = exact or token_count.by_characters
    size = sum(len(request.body) for request in sample)
    counted = _tokens([_sent(request, shape) for request in sample], count)
    whole = counted / max(1, size) * preview.body_bytes
    if seen:
        counted = _tokens([answer.body for answer in seen], count)
        whole *= sum(answer.usage.input for answer in seen) / max(1.0, counted)
    spread = SPREAD["past" if seen else source]
    low, high = whole * (1 - spread), whole * (1 + spread)
    return Range(round(low), round(whole), round(high)), source


def _sent(request: Request, shape: Structure | None) -> bytes:
    """A request's body with the schema that is sent along."""
    if shape is None:
        return request.body
    return msgspec.json.encode({**shape.fields(request.url), **_fields(request.body)})


def _tokens(bodies: list[bytes], count: Callable[[str], float]) -> float:
    """Of a body with very many values, and of a very long text, the beginning is counted and taken for
    the whole."""
    breaks = Breaks()

    def counted(text: str) -> float:
        breaks.take()
        return count(text[:LONGEST_TEXT]) * max(1.0, len(text) / LONGEST_TEXT)

    return sum(_tokens_of(body, counted) for body in bodies)


def _tokens_of(body: bytes, count: Callable[[str], float]) -> float:
    counted = beginning(body) or body
    found = token_count.of_request(msgspec.json.decode(counted), count)
    return found * len(body) / len(counted)


def _output(count: int, sample: list[Request], seen: list[Answered], usual: int) -> Range:
    if all(request.url in WITHOUT_OUTPUT for request in sample):
        return Range(0, 0, 0)
    bounds = [_max_tokens(request.body, usual) for request in sample]
    bound = sum(bounds) / len(bounds)
    if not seen:
        low, expected = (min(assumed, bound) for assumed in ASSUMED_OUTPUT)
        return Range(round(low * count), round(expected * count), round(bound * count))
    lengths = sorted(answer.usage.output for answer in seen)
    mean = sum(lengths) / len(lengths)
    low = min(_quantile(lengths, 0.1), 0.8 * mean)
    high = max(_quantile(lengths, 0.9), 1.25 * mean)
    return Range(*(round(min(each, max(bound, mean)) * count) for each in (low, mean, high)))


def _max_tokens(body: bytes, default: int) -> int:
    """The longest answer that a request allows."""
    limits = _limits(body)
    for raw in (limits.max_completion_tokens, limits.max_tokens, limits.max_output_tokens):
        if bytes(raw).isdigit() and (limit := int(bytes(raw)[:20])) > 0:
            return limit
    return default


def _quantile(lengths: list[int], share: float) -> int:
    return lengths[min(len(lengths) - 1, int(share * len(lengths)))]


class _Shares(msgspec.Struct, frozen=True):
    """The part of the input that came from the provider's cache, that was written to it, and that was
    written for an hour; of the output that was reasoning."""

    cached: float
    cache_write: float
    cache_write_1h: float
    reasoning: float

    @classmethod
    def of(cls, seen: list[Answered]) -> "_Shares":
        used = sum((answer.usage for answer in seen), Usage())
        sent, got = max(1, used.input), max(1, used.output)
        return cls(
            used.cached / sent,
            used.cache_write / sent,
            used.cache_write_1h / sent,
            used.reasoning / got,
        )

    def usage(self, sent: int, got: int) -> Usage:
        """``sent`` tokens of input and ``got`` of output, with these parts of them."""
        cached, written = round(sent * self.cached), int(sent * self.cache_write)
        for_an_hour = int(sent * self.cache_write_1h)
        return Usage(sent, got, cached, round(got * self.reasoning), written, for_an_hour)

    def uncached(self, sent: int, got: int, all_reasoning: bool) -> list[Usage]:
        """The same with nothing read from the cache: with nothing written to it either, and where calls
        write to it with all of it written."""
        thought = got if all_reasoning else 0
        written = min(sent, round(sent * (self.cached + self.cache_write)))
        for_an_hour = written if self.cache_write_1h else 0
        plain = Usage(sent, got, 0, thought)
        if not self.cache_write:
            return [plain]
        return [plain, Usage(sent, got, 0, thought, written, for_an_hour)]


class _Calls(msgspec.Struct, frozen=True):
    """What prices depend on besides tokens: when the first calls are made (epoch ms), the service tier that
    the job asks for, and the part of the whole input that is in the longest request."""

    at: int
    tier: str | None
    longest: float


def _cost(
    on: list[ApiConfig], into: Range, output: Range, shares: _Shares, calls: _Calls
) -> Range | None:
    """The low figure is at the cheapest hour. The high one counts on the dearest hour, the standard tier
    where it is dearer, nothing read from a cache, all of it written where calls write to it, and on the
    dearer of output and reasoning."""
    found = [_cost_on(config, into, output, shares, calls) for config in on]
    ranges = [each for each in found if each is not None]
    if len(ranges) < len(found) or len({config.currency for config in on}) > 1:
        return None
    low, high = min(each.low for each in ranges), max(each.high for each in ranges)
    return Range(low, ranges[0].expected, high)


def _cost_on(
    config: ApiConfig, into: Range, output: Range, shares: _Shares, calls: _Calls
) -> Range | None:
    prices, tier = prices_of(config), calls.tier or defaults_of(config).service_tier
    low, expected, high = (
        round(calls.longest * tokens) for tokens in msgspec.structs.astuple(into)
    )
    costs = [
        prices.cheapest(shares.usage(into.low, output.low), tier, low),
        prices.cost_of(
            shares.usage(into.expected, output.expected), calls.at, tier, longest=expected
        ),
    ]
    dearer = (config.reasoning_price or 0) > (config.output_price or 0)
    worst = shares.uncached(into.high, output.high, dearer)
    most = [prices.dearest(usage, tier, high) for usage in worst]
    known = [cost for cost in (*costs, *most) if cost is not None]
    if len(known) < len(costs) + len(most):
        return None
    return Range(known[0], known[1], max(known[2:]))
