"""How many requests of an upload share a prefix, and how long it is, in bounded memory."""

import msgspec

from ..core.domain import Request
from ..core.prompt_prefix import prompt_of

MAX_PREFIXES = 100_000  # that are counted: about 10 MB
MAX_MEASURED = 64  # groups whose common part is measured …
MEASURED_REQUESTS = 2_000  # … in the first requests …
MEASURED_BYTES = 262_144  # … up to this length


class SharedPrefix(msgspec.Struct, frozen=True):
    """``requests`` are those whose prefix others have too, ``bytes`` the length of what a request has in
    common with them, in the mean. ``exact``: False where ``requests`` is a lower bound."""

    requests: int = 0
    bytes: int = 0
    exact: bool = True


class SharedPrefixes:
    """Looks at the requests one by one."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._common: dict[int, bytes] = {}
        self._looked_at = 0
        self._exact = True

    def add(self, request: Request) -> None:
        prefix = request.prefix
        if prefix is None:
            return
        if prefix in self._counts:
            self._counts[prefix] += 1
        elif len(self._counts) < MAX_PREFIXES:
            self._counts[prefix] = 1
        else:
            self._exact = False
            return
        if self._looked_at < MEASURED_REQUESTS:
            self._looked_at += 1
            self._measure(prefix, request)

    def found(self) -> SharedPrefix:
        shared = {prefix: count for prefix, count in self._counts.items() if count > 1}
        measured = [
            (len(common), shared[prefix])
            for prefix, common in self._common.items()
            if prefix in shared
        ]
        weight = sum(count for _length, count in measured)
        total = sum(length * count for length, count in measured)
        return SharedPrefix(sum(shared.values()), total // max(1, weight), self._exact)

    def _measure(self, prefix: int, request: Request) -> None:
        common = self._common.get(prefix)
        if common is None and len(self._common) >= MAX_MEASURED:
            return
        prompt = prompt_of(request.url, request.body, MEASURED_BYTES)
        if common is None:
            self._common[prefix] = prompt
        elif not prompt.startswith(common):
            self._common[prefix] = common[: common_length(common, prompt)]


def common_length(one: bytes, other: bytes) -> int:
    """How many bytes two texts have in common at their beginning."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low
