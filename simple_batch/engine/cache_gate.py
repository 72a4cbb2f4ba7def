"""Prompt cache gate: of the requests that share a prefix, one goes first (the leader). The others are
held until it is answered, and then find the prefix in the provider's cache.

A provider keeps a prefix in a cache entry on one machine, and routes requests to it by the prefix and, at
OpenAI, by a key of the request (``prompt_cache_key``). An entry serves about 15 requests a minute; what is
more may miss it, so a group at a higher rate needs several keys, each with its own leader
(developers.openai.com/api/docs/guides/prompt-caching, read 2026-11-28: "partition traffic across more keys").
An entry can be read once the first answer begins (platform.claude.com/docs/en/build-with-claude/
prompt-caching), or has ended (help.aliyun.com/en/model-studio/context-cache; both read 2026-11-28).
"""

import time
from collections import deque
from collections.abc import Callable

import msgspec
from gevent.event import Event

from ..core.domain import Request

MINUTE_S = 60.0
MAX_ENTRIES = 4_000  # cache entries that are remembered; the longest unused are forgotten
FAILED_LEADERS = 3  # in a row: then the others no longer wait
LOOK_S = 1.0


class Entry:
    """A cache entry of a provider. ``number`` tells those of a group apart. Times are of the monotonic
    clock, in seconds."""

    __slots__ = ("began_at", "failures", "leader", "number", "sent", "used_at", "warm")

    def __init__(self, number: int, rpm: int | None):
        self.number = number
        self.leader: int | None = None  # index of the request that goes first
        self.began_at: float | None = None  # when the leader's call began
        self.used_at = 0.0  # when the last call began
        self.warm = False
        self.failures = 0  # leaders in a row that failed
        self.sent: deque[float] = deque(maxlen=rpm or 1)

    def room(self, now: float) -> int:
        """How many calls it serves now within its rate."""
        while self.sent and self.sent[0] <= now - MINUTE_S:
            self.sent.popleft()
        return (self.sent.maxlen or 1) - len(self.sent)


class _Group:
    """The entries of one prefix: the one that is being filled, those that can be read (the longest unused
    first), those that need a leader, and those whose leader is on its way."""

    __slots__ = ("cold", "count", "current", "ready", "warming")

    def __init__(self) -> None:
        self.count = 0
        self.current: Entry | None = None
        self.ready: deque[Entry] = deque()
        self.cold: list[Entry] = []
        self.warming: set[Entry] = set()


class Sent(msgspec.Struct, frozen=True):
    """A request that was let through: its entry, and whether its fixed part is that of other requests
    too."""

    group: _Group
    entry: Entry
    marked: bool


class PrefixGate:
    """The gate to one endpoint. ``rpm`` is how many calls a minute a cache entry serves (None: any
    number), ``lifetime_s`` how long it lasts without a call. The others wait ``wait_s`` for their leader
    at most. ``changed`` is set when requests that were held may go."""

    def __init__(
        self,
        rpm: int | None,
        wait_s: float,
        lifetime_s: float,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._rpm = rpm
        self._wait_s = wait_s
        self._lifetime_s = lifetime_s
        self._clock = clock
        self._groups: dict[int, _Group] = {}  # by prefix, the longest unused first
        self._entries = 0
        self._sent: dict[int, Sent] = {}  # by index, while a request is on its way
        self._warming: dict[Entry, _Group] = {}
        self.version = 0  # changes whenever a held request may have become free
        self.changed = Event()

    def admits(self, request: Request, others: int, marked: bool = False) -> bool:
        """Let a request through if it may be sent now; ``others`` of its prefix are held. ``marked`` is
        kept for ``is_marked``."""
        if request.prefix is None:
            return True
        group, now = self._group(request.prefix), self._clock()
        entry = self._readable(group, now)
        if entry is None:
            if others < self._promised(group, now):
                return False
            entry = self._led(group, request.index)
        self._send(group, entry, request.index, now, marked)
        return True

    def passes(self, request: Request) -> None:
        """Let a request through that another endpoint has failed: it waits for no leader."""
        if request.prefix is not None:
            group, now = self._group(request.prefix), self._clock()
            entry = self._readable(group, now) or group.current
            if entry is None:
                entry = self._led(group, request.index)
            self._send(group, entry, request.index, now, False)

    def began(self, index: int) -> None:
        """The first call of a request begins."""
        sent = self._sent.get(index)
        if sent is not None and sent.entry.leader == index:
            sent.entry.began_at = sent.entry.used_at = self._clock()

    def called(self, index: int, answered: bool) -> None:
        """An attempt has ended. A leader that fails is replaced; it is retried like any other."""
        sent = self._sent.get(index)
        if sent is None:
            return
        entry = sent.entry
        if answered and entry in sent.group.warming:
            entry.warm, entry.failures = True, 0
            self._release(sent.group, entry)
        elif entry.leader == index:
            entry.failures += 1
            if entry.failures >= FAILED_LEADERS:
                entry.warm, entry.failures = True, 0
            self._release(sent.group, entry)

    def left(self, index: int) -> None:
        """A request has ended, or was given up."""
        sent = self._sent.pop(index, None)
        if sent is not None and sent.entry.leader == index:
            self._release(sent.group, sent.entry)

    def entry_of(self, index: int) -> int | None:
        """The number of the entry, within its group, of a request on its way; None if it has no prefix."""
        sent = self._sent.get(index)
        return None if sent is None else sent.entry.number

    def is_marked(self, index: int) -> bool:
        """Whether the fixed part of a request on its way is that of others too."""
        sent = self._sent.get(index)
        return sent is not None and sent.marked

    def open_overdue(self) -> None:
        """Wait no longer for leaders that have had their time."""
        if self._warming and self._clock() >= self._due_at():
            for entry, group in list(self._warming.items()):
                if self._due(entry) <= self._clock():
                    entry.warm = True
                    self._release(group, entry)

    def wait(self) -> None:
        """Block until held requests may have become free."""
        self.changed.wait(min(LOOK_S, max(0.0, self._due_at() - self._clock())))

    # --- entries ----------------------------------------------------------------------------

    def _group(self, prefix: int) -> _Group:
        group = self._groups.pop(prefix, None) or _Group()
        self._groups[prefix] = group
        while self._entries > MAX_ENTRIES and len(self._groups) > 1:
            self._forget(next(iter(self._groups)))
        return group

    def _forget(self, prefix: int) -> None:
        group = self._groups.pop(prefix)
        self._entries -= group.count
        for entry in group.warming:
            self._warming.pop(entry, None)

    def _readable(self, group: _Group, now: float) -> Entry | None:
        """The entry that a call may read now within its rate. Where there are too many, one is used
        beyond it."""
        full = self._entries >= MAX_ENTRIES
        current = group.current
        if current is not None and not self._is_warm(current, now):
            group.cold.append(current)
            current = group.current = None
        if current is not None and self._has_room(current, now):
            return current
        while group.ready and not self._is_warm(group.ready[0], now):
            group.cold.append(group.ready.popleft())
        if group.ready and (full or self._has_room(group.ready[0], now)):
            if current is not None:
                group.ready.append(current)
            current = group.current = group.ready.popleft()
            return current
        return current if full else None

    def _led(self, group: _Group, index: int) -> Entry:
        """An entry that gets this request as its leader."""
        if group.cold:
            entry = group.cold.pop()
        else:
            entry = Entry(group.count, self._rpm)
            group.count += 1
            self._entries += 1
        entry.leader, entry.began_at, entry.warm = index, None, False
        group.warming.add(entry)
        self._warming[entry] = group
        return entry

    def _is_warm(self, entry: Entry, now: float) -> bool:
        return entry.warm and now < entry.used_at + self._lifetime_s

    def _has_room(self, entry: Entry, now: float) -> bool:
        return self._rpm is None or entry.room(now) > 0

    def _promised(self, group: _Group, now: float) -> float:
        """How many calls the entries will serve whose leaders are on their way."""
        if self._rpm is None:
            return float("inf") if group.warming else 0
        return sum(entry.room(now) for entry in group.warming)

    def _send(self, group: _Group, entry: Entry, index: int, now: float, marked: bool) -> None:
        entry.used_at = now
        if self._rpm is not None:
            entry.sent.append(now)
        self._sent[index] = Sent(group, entry, marked)

    def _release(self, group: _Group, entry: Entry) -> None:
        """Its leader is waited for no longer."""
        entry.leader = entry.began_at = None
        if entry in group.warming:
            group.warming.discard(entry)
            self._warming.pop(entry, None)
            if entry.warm:
                group.ready.appendleft(entry)
            else:
                group.cold.append(entry)
        self.version += 1
        self.changed.set()

    def _due(self, entry: Entry) -> float:
        return float("inf") if entry.began_at is None else entry.began_at + self._wait_s

    def _due_at(self) -> float:
        """When the leader that began first has been waited for long enough."""
        return min(map(self._due, self._warming), default=float("inf"))
