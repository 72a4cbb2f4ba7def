"""Latency percentiles in constant memory.

Counts of latencies in logarithmic bins (the mapping of DDSketch, relative
error at most 2 %), small enough to be kept in a job's row and in each
timeline bucket, and mergeable.
"""

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

    def bins(self) -> list[tuple[float, float, int]]:
        """(from ms, to ms, count) in ascending order."""
        gamma = (1 + _mapping.relative_accuracy) / (1 - _mapping.relative_accuracy)
        out = []
        for key in sorted(self.counts):
            middle = _mapping.value(key)
            lower = middle * 2 / (1 + gamma)
            out.append((lower, lower * gamma, self.counts[key]))
        return out
