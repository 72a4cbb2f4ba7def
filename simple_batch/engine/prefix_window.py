"""A window of requests that are read ahead, so that those that share a prefix can wait for their leader
(cache_gate.py) while others go on."""

from collections import deque
from collections.abc import Callable, Iterator

from ..core.domain import Request
from ..core.prompt_prefix import fixed_part_of
from .cache_gate import PrefixGate

MAX_HELD = 400  # requests, besides one page
MAX_HELD_BYTES = 16 << 20  # of their bodies
MAX_SEEN = 10_000  # fixed parts that are remembered


class RequestWindow:
    """Hands out the requests of ``pages``, each as soon as a gate lets it through. A page is read when
    all requests of the one before are sent or held. ``before_each()`` is called before a request is handed
    out, and may block. ``marks``: whether any endpoint wants to know which fixed parts are shared."""

    def __init__(
        self,
        pages: Iterator[list[Request]],
        before_each: Callable[[], None],
        marks: bool = False,
        max_held: int = MAX_HELD,
    ):
        self._pages = pages
        self._before_each = before_each
        self._marks = marks
        self._max_held = max_held
        self._read = False  # to the end
        self._ready: deque[Request] = deque()
        self._held: dict[int, deque[Request]] = {}  # by prefix
        self._count = self._bytes = 0  # of those held
        self._holds = 0  # requests that were ever held
        # by gate: its version, and the holds, for which none of those held may go
        self._scanned: dict[PrefixGate, tuple[int, int]] = {}
        self._seen: dict[int, int] = {}  # how often a fixed part came
        self._fixed: dict[int, int] = {}  # by index, of the requests in the window

    @property
    def exhausted(self) -> bool:
        """Whether every request was handed out."""
        return self._read and not self._ready and not self._held

    def draw(self, gate: PrefixGate) -> Iterator[Request]:
        """Yield the requests for the only endpoint there is."""
        while True:
            gate.changed.clear()
            request = self.take(gate)
            if request is not None:
                yield request
                gate.began(request.index)
            elif self.exhausted:
                return
            else:
                gate.wait()

    def take(self, gate: PrefixGate | None) -> Request | None:
        """The next request that the gate lets through; None if there is none now. Without a gate all go."""
        self._before_each()
        request = self._freed(gate)
        # a page takes a moment to read: those held may become free meanwhile, and are looked at next time
        version = 0 if gate is None else gate.version
        while request is None and self._fill():
            first = self._ready.popleft()
            held = self._held.get(first.prefix or 0, ())
            if gate is None or gate.admits(first, len(held), self._is_shared(first)):
                request = first
            else:
                self._hold(first)
            if gate is not None:
                self._scanned[gate] = version, self._holds
        if request is not None:
            self._fixed.pop(request.index, None)
        return request

    def _freed(self, gate: PrefixGate | None) -> Request | None:
        """The first of the requests held that may go now."""
        if gate is not None:
            gate.open_overdue()
            if self._scanned.get(gate) == (gate.version, self._holds):
                return None
        for prefix, held in self._held.items():
            others = len(held) - 1
            if gate is None or gate.admits(held[0], others, self._is_shared(held[0])):
                return self._unhold(prefix)
        if gate is not None:
            self._scanned[gate] = gate.version, self._holds
        return None

    def _fill(self) -> bool:
        """Whether a request is ready, after reading another page where there was none."""
        while not self._ready and not self._read and self._has_room():
            page = next(self._pages, None)
            if page is None:
                self._read = True
            else:
                self._note(page)
        return bool(self._ready)

    def _has_room(self) -> bool:
        return self._count < self._max_held and self._bytes < MAX_HELD_BYTES

    def _note(self, page: list[Request]) -> None:
        self._ready.extend(page)
        if not self._marks:
            return
        for request in page:
            fixed = fixed_part_of(request.url, request.body)
            if fixed is not None:
                self._fixed[request.index] = fixed
                self._seen[fixed] = self._seen.pop(fixed, 0) + 1
        while len(self._seen) > MAX_SEEN:
            del self._seen[next(iter(self._seen))]

    def _is_shared(self, request: Request) -> bool:
        return self._seen.get(self._fixed.get(request.index, -1), 0) > 1

    def _hold(self, request: Request) -> None:
        assert request.prefix is not None  # a gate lets all others through
        self._held.setdefault(request.prefix, deque()).append(request)
        self._count += 1
        self._holds += 1
        self._bytes += len(request.body)

    def _unhold(self, prefix: int) -> Request:
        held = self._held[prefix]
        request = held.popleft()
        if not held:
            del self._held[prefix]
        self._count -= 1
        self._bytes -= len(request.body)
        return request
