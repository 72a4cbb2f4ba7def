"""The figures of a usage object of any shape, read by their names: prompt_tokens, inputTokens,
candidatesTokenCount, prompt_cache_hit_tokens, thinking_tokens, …"""

import re
from collections import deque
from collections.abc import Iterator
from typing import Any

import msgspec

_EXACT = 2**53  # up to which a float is a whole number for certain
_DEPTH = 3  # of a usage object
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_COUNT = re.compile(r"tokens?(_count)?$")
_ROLES = (
    ("", re.compile(r"miss|uncached|_and_|input_output")),  # of no figure that is needed
    ("cache_write", re.compile(r"cach.*(writ|creat|stor)|(writ|creat|stor).*cach")),
    ("cached", re.compile(r"cach")),
    ("reasoning", re.compile(r"reason|think|thought")),
    ("input", re.compile(r"prompt|input")),
    ("output", re.compile(r"completion|output|candidate|generat|answer")),
    ("total", re.compile(r"total")),
)
_WHOLE = ("token", "tokens")  # of an object that holds the counts
_BESIDE_INPUT = re.compile(r"cache_[a-z]+_input_token")  # names of Anthropic and Bedrock

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
        return _read(usage) if isinstance(usage, dict) else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return None


def _read(usage: dict[str, Any]) -> Figures:
    """Raises ValueError for a figure that is no count."""
    found: dict[str, dict[int, int]] = {
        role: {} for role, _pattern in _ROLES
    }  # the largest, by depth
    names = []
    for depth, name, value in _named(usage):
        role = _role(name)
        if not role or value is None:
            continue
        count = _count(value)
        if count is None:
            if role == "total":
                continue  # the sum of the others is known
            raise ValueError(name)
        names.append(name)
        found[role][depth] = max(count, found[role].get(depth, 0))
    told = {role: counts[min(counts)] for role, counts in found.items() if counts}
    parts = {role: max(found[role].values(), default=0) for role in ("cached", "cache_write")}
    level = min(found["input"], default=1)
    depths = [depth for role in parts for depth, count in found[role].items() if count]
    named_excluded = any(map(_BESIDE_INPUT.match, names))
    usual = any(name.startswith("prompt") for name in names) or any(d > level for d in depths)
    return Figures(
        told.get("input"),
        told.get("output"),
        told.get("total"),
        **parts,
        reasoning=max(found["reasoning"].values(), default=0),
        beside=any(depth <= level for depth in depths),
        excluded=named_excluded and (not usual or sum(parts.values()) > told.get("input", 0)),
    )


def _named(usage: dict[str, Any]) -> Iterator[tuple[int, str, Any]]:
    """(depth, name in small letters with underscores, value) of what is named like a count of tokens,
    the top level first."""
    levels = deque([(1, usage)])
    while levels:
        depth, level = levels.popleft()
        for key, value in level.items():
            name = _CAPITAL.sub("_", key).lower()
            if _COUNT.search(name) and name not in _WHOLE:
                yield depth, name, value
            elif isinstance(value, dict) and depth < _DEPTH:
                levels.append((depth + 1, value))


def _role(name: str) -> str:
    return next((role for role, pattern in _ROLES if pattern.search(name)), "")


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
