"""A small cache with a time to live, for values that many requests need and that may be slightly old."""

import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar, overload

from cachetools import TLRUCache

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class TtlCache(Generic[Key, Value]):
    """Caches up to ``max_entries`` values for ``ttl_s`` each; the least recently used is evicted first.
    None is not cached. Adds two guarantees to cachetools: the time to live starts before a value is
    loaded, and what was being loaded while ``clear`` ran is not cached."""

    def __init__(self, ttl_s: float, max_entries: int, clock: Callable[[], float] = time.monotonic):
        self._ttl_s, self._max_entries, self._clock = ttl_s, max_entries, clock
        self._entries = self._empty()

    def get(self, key: Key) -> Value | None:
        """The cached value, or None if it is missing or expired."""
        entry = self._entries.get(key)
        return None if entry is None else entry[1]

    @overload
    def load(self, key: Key, load: Callable[[], Value]) -> Value: ...

    @overload
    def load(self, key: Key, load: Callable[[], Value | None]) -> Value | None: ...

    def load(self, key: Key, load: Callable[[], Value | None]) -> Value | None:
        """Call ``load()`` and cache its value."""
        entries, started = self._entries, self._clock()
        value = load()
        if value is None:
            entries.pop(key, None)
        else:
            entries[key] = started, value  # into the discarded cache if ``clear`` ran meanwhile
        return value

    def clear(self) -> None:
        self._entries = self._empty()

    def _empty(self) -> TLRUCache[Key, tuple[float, Value]]:
        return TLRUCache(
            self._max_entries,
            lambda _key, entry, _now: entry[0] + self._ttl_s,
            lambda: self._clock(),
        )
