"""The figures of a usage object of any shape, read by their names: prompt_tokens, inputTokens,
candidatesTokenCount, prompt_cache_hit_tokens, thinking_tokens, …"""

import functools
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from ..core.lazy_pattern import lazy_pattern

_EXACT = 2**53  # up to which a float is a whole number for certain
_DEPTH = 3  # of a usage object
_LONGEST = 64  # characters of a name
_CAPITAL = lazy_pattern(r"(?<=[a-z0-9])(?=[A-Z])")
_COUNT = lazy_pattern(r"tokens?(_count)?$")
_NEEDLESS = lazy_pattern(r"miss|uncached|_and_|input_output")
_CACHE, _WRITE = "(?:cache|caching)", "(?:writ|creat|stor)"
_LIFETIME = "(?:ephemeral|cache|caching).*(?<![0-9])%s(?![a-z0-9])"
_NAMES = {  # by role; the first that matches
    "cache_write_1h": lazy_pattern(_LIFETIME % "(?:1_?h|1_?hour|60_?m)"),
    "cache_write_5m": lazy_pattern(_LIFETIME % "(?:5_?m|5_?min)"),
    "cache_write": lazy_pattern(rf"{_CACHE}.*{_WRITE}|{_WRITE}.*{_CACHE}"),
    "cached": lazy_pattern(_CACHE),
    "reasoning": lazy_pattern(r"reason|think|thought"),
    "input": lazy_pattern(r"prompt|input"),
    "output": lazy_pattern(r"completion|output|candidate|generated|answer"),
    "total": lazy_pattern(r"total"),
}
_BESIDE_INPUT = lazy_pattern(r"cache_[a-z]+_input_token")  # names of Anthropic and Bedrock


class _Name(NamedTuple):
    """The role of a figure. ``prompt``: its name begins like OpenAI's for the input; ``beside``: it is
    one of an API whose input excludes the tokens of its cache."""

    role: str
    prompt: bool
    beside: bool


_decode = msgspec.json.Decoder().decode


class Figures(msgspec.Struct):
    """What a usage object says; None where it does not. ``beside``: the tokens about a cache at the
    level of the input, not in its details; ``excluded``: they have the names of an API whose input
    excludes them."""

    input: int | None = None
    output: int | None = None
    total: int | None = None
    cached: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0  # of those
    reasoning: int = 0
    beside: bool = False
    excluded: bool = False

    def excludes_caches(self) -> bool:
        """Whether the tokens read from and written to a cache are not part of ``input``."""
        parts, sent = self.cached + self.cache_write, self.input or 0
        if not parts or not self.beside:
            return False
        with_output = sent + (self.output or 0)
        if self.total == with_output + parts or self.excluded:
            return True
        return parts > sent and self.total != with_output


def figures_of(raw: msgspec.Raw | bytes) -> Figures | None:
    """None where ``raw`` is no JSON object, or has a figure that is no count of tokens."""
    try:
        usage = _decode(raw)
        if not isinstance(usage, dict):
            return None
        billed = usage.get("billed_units")  # Cohere: beside the tokens that the model saw
        return _read(billed if isinstance(billed, dict) else usage)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return None


def _read(usage: dict[str, Any]) -> Figures:
    """Raises ValueError for a figure that is no count."""
    largest: dict[str, dict[int, int]] = {role: {} for role in _NAMES}  # by role and depth
    names = []
    for depth, name, value in _counts(usage):
        count = _count(value)
        if count is None:
            if name.role == "total":
                continue  # the sum of the others is known
            raise ValueError(value)
        names.append(name)
        found = largest[name.role]
        found[depth] = max(count, found.get(depth, 0))
    told = {role: counts[min(counts)] for role, counts in largest.items() if counts}
    cached, written, written_1h, written_5m = (
        max(largest[role].values(), default=0)
        for role in ("cached", "cache_write", "cache_write_1h", "cache_write_5m")
    )
    written = max(written, written_1h + written_5m)
    level = min(largest["input"], default=1)
    depths = [d for role in ("cached", "cache_write") for d, n in largest[role].items() if n]
    usual = any(name.prompt for name in names) or any(depth > level for depth in depths)
    exceeds = cached + written > told.get("input", 0)
    return Figures(
        told.get("input"),
        told.get("output"),
        told.get("total"),
        cached,
        written,
        written_1h,
        max(largest["reasoning"].values(), default=0),
        beside=any(depth <= level for depth in depths),
        excluded=any(name.beside for name in names) and (exceeds or not usual),
    )


def _counts(usage: dict[str, Any]) -> Iterator[tuple[int, _Name, Any]]:
    """(depth, name, value) of the figures that are given, the top level first."""
    levels = deque([(1, usage)])
    while levels:
        depth, level = levels.popleft()
        for key, value in level.items():
            name = _named(key) if len(key) <= _LONGEST else None
            if name is not None and value is not None:
                yield depth, name, value
            elif isinstance(value, dict) and depth < _DEPTH:
                levels.append((depth + 1, value))


@functools.lru_cache(512)
def _named(key: str) -> _Name | None:
    """What a name means; None where it is not that of a count of tokens, or of one not needed."""
    name = _CAPITAL.sub("_", key).lower()
    if not _COUNT.search(name) or _NEEDLESS.search(name):
        return None
    for role, pattern in _NAMES.items():
        if pattern.search(name):
            return _Name(role, name.startswith("prompt"), bool(_BESIDE_INPUT.match(name)))
    return None


def _count(value: Any) -> int | None:
    """A count given as a number or as its text; None of anything else."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, float) and value.is_integer() and value <= _EXACT:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return None
    return value
