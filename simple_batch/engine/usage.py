"""The tokens that a provider bills for a call, from the usage object of its answer.

Facts from the API references: xAI and Gemini count thinking in total_tokens, but outside
completion_tokens; Perplexity's deep research counts it in neither. Anthropic's input_tokens exclude cache_read_input_tokens and
cache_creation_input_tokens; its cache_creation divides the latter into ephemeral_5m_input_tokens and
ephemeral_1h_input_tokens (https://platform.claude.com/docs/en/build-with-claude/prompt-caching, read
2026-11-28). All others count cached tokens as a part of the input.
"""

import msgspec

from ..core.call_prices import Usage
from ..core.domain import EMBEDDINGS
from .usage_figures import Figures, figures_of

MOST_TOKENS = 1_000_000_000  # of one answer
WITHOUT_OUTPUT = (EMBEDDINGS, "/v1/moderations")  # their answers have no tokens


class _Details(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    """OpenAI's shape, of chat completions and of responses; everything else is skipped by the decoder."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None
    reasoning_tokens: int | None = None  # Perplexity


_NONE = _Details()
_decode = msgspec.json.Decoder(_Usage | None).decode


def usage_of(raw: msgspec.Raw, url: str) -> Usage | None:
    """The usage that ``raw``, a usage object as JSON, reports for a call of ``url``. None where the input
    or the output is not reported, and where a figure is nonsense: money is not counted by it."""
    try:
        told = _decode(raw)
    except msgspec.ValidationError:
        return _billed(figures_of(raw), url)
    except msgspec.DecodeError:  # the answer has none
        return None
    if told is None:
        return None
    sent, got = told.prompt_tokens, told.completion_tokens
    into, out = told.prompt_tokens_details or _NONE, told.completion_tokens_details or _NONE
    if sent is None:
        sent, got = told.input_tokens, told.output_tokens
        into, out = told.input_tokens_details or _NONE, told.output_tokens_details or _NONE
    cached, written = into.cached_tokens, into.cache_write_tokens
    mentions = (cached is not None) + (written is not None)
    cached, written = cached or 0, written or 0
    thought = out.reasoning_tokens or told.reasoning_tokens or 0
    # OpenAI's shape, all of it: it adds up, and every figure about a cache is one of these
    if (
        sent
        and got
        and told.total_tokens == sent + got
        and cached >= 0
        and written >= 0
        and cached + written <= sent <= MOST_TOKENS
        and 0 <= thought <= got <= MOST_TOKENS
        and bytes(raw).count(b"ach") == mentions  # of cache, Cache
    ):
        return Usage(sent, got, cached, thought, written)
    return _billed(figures_of(raw), url)


def _billed(told: Figures | None, url: str) -> Usage | None:
    if told is None:
        return None
    sent, got, total, thought = told.input, told.output, told.total, told.reasoning
    if total is not None and total > MOST_TOKENS:
        total = None
    if sent is None:
        if total is None or (got is None and url not in WITHOUT_OUTPUT) or total <= (got or 0):
            return None
        sent = total - (got or 0)
    elif told.excludes_caches():
        sent += told.cached + told.cache_write
    if got is None:
        if url not in WITHOUT_OUTPUT and (total is None or total <= sent):
            return None
        got = 0
    if total is not None and total - sent > got:
        thought, got = thought or total - sent - got, total - sent
    elif thought > got:
        got += thought  # a part cannot exceed the whole: the output, and the total, exclude it
    cached = min(told.cached, sent)
    written = min(told.cache_write, sent - cached)
    if not sent + got or max(sent, got) > MOST_TOKENS:
        return None  # all zero is a placeholder: no call is without tokens
    return Usage(sent, got, cached, min(thought, got), written, min(told.cache_write_1h, written))
