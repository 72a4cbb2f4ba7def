"""Latency percentiles in constant memory.

Counts of latencies in logarithmic bins (the mapping of DDSketch, relative
error at most 2 %), small enough to be kept in a job's row and in each
timeline bucket, and mergeable.
"""

import math
from functools import lru_cache

import msgspec
from ddsketch.mapping import LogarithmicMapping

_mapping = LogarithmicMapping(0.02)
_key = lru_cache(maxsize=16_384)(_mapping.key)  # latencies are whole milliseconds: most come again
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[int, int]).decode


class LatencySketch:
    """Counts of latencies in milliseconds by bin."""

    __slots__ = ("counts",)

    def __init__(self, blob: bytes | None = None):
        self.counts: dict[int, int] = _decode(bytes(blob)) if blob else {}

    def add(self, latency_ms: int, count: int = 1) -> None:
        counts, key = self.counts, _key(latency_ms if latency_ms > 1 else 1)
        counts[key] = counts.get(key, 0) + count

    def merge(self, other: "LatencySketch") -> None:
        for key, count in other.counts.items():
            self.counts[key] = self.counts.get(key, 0) + count

    def to_bytes(self) -> bytes:
        return _encode(self.counts) if self.counts else b""

    @property
    def count(self) -> int:
        return sum(self.counts.values())

    def quantile(self, q: float) -> float | None:
        """The quantile ``q`` (0 to 1) in ms; None if empty."""
        total = self.count
        if not total:
            return None
        rank = q * (total - 1)
        seen = 0
        for key in sorted(self.counts):
            seen += self.counts[key]
            if seen > rank:
                return _mapping.value(key)
        raise AssertionError("a rank lies within the counts")

    def mean(self) -> float | None:
        """Mean in ms, exact to the width of the bins; None if empty."""
        total = self.count
        if not total:
            return None
        return sum(_mapping.value(key) * count for key, count in self.counts.items()) / total

    def bins(self) -> list[tuple[int, int, int]]:
        """(first ms, last ms, count) of each bin that counts something, in ascending order."""
        return [(*_range(key, key), self.counts[key]) for key in sorted(self.counts)]

    def histogram(self, most: int) -> list[tuple[int, int, int]]:
        """(first ms, last ms, count) of at most ``most`` neighbouring bars in ascending order. A bar is made
        of whole bins, so that it counts the latencies within its bounds and no others."""
        if not self.counts:
            return []
        low, high = min(self.counts), max(self.counts)
        width = -(-(high - low + 1) // most)  # bins of a bar
        bars = []
        for key in range(low, high + 1, width):
            first, last = _range(key, key + width - 1)
            if first <= last:  # bins under 25 ms are less than 1 ms wide: some hold none
                count = sum(self.counts.get(key + n, 0) for n in range(width))
                bars.append((first, last, count))
        return bars


def _range(low: int, high: int) -> tuple[int, int]:
    """The first and the last whole millisecond that is counted in the bins ``low`` to ``high``."""
    return _first_ms(low), _first_ms(high + 1) - 1


def _first_ms(key: int) -> int:
    if key <= 0:
        return 0  # what is shorter than 1 ms counts as 1 ms
    first = math.ceil(_mapping.value(key) / (1 + _mapping.relative_accuracy))
    # the mapping's own arithmetic decides at an edge
    while _key(first) < key:
        first += 1
    while first > 1 and _key(first - 1) >= key:
        first -= 1
    return first
