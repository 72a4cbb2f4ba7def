"""Counters of this process since its start, for /metrics: updated once a commit, never read from the
database. The number of labels is bounded: an installation has few configs, and further ones share one
label."""

from collections import defaultdict
from collections.abc import Mapping

from .latency_sketch import LatencySketch

MAX_CONFIGS = 200
REST = "(others)"


class ProcessCounters:
    """Sums by the alias of an API config at the time."""

    def __init__(self):
        self.requests: dict[tuple[str, str], int] = defaultdict(int)  # (alias, result)
        self.outcomes: dict[tuple[str, str], int] = defaultdict(int)  # (alias, outcome)
        self.failures: dict[tuple[str, str], int] = defaultdict(int)  # (alias, cause), of calls
        self.tokens: dict[tuple[str, str], int] = defaultdict(int)  # (alias, input or output)
        # (alias, read or write): of the input, what a provider's prompt cache gave or took
        self.cache_tokens: dict[tuple[str, str], int] = defaultdict(int)
        self.latency: dict[str, LatencySketch] = {}  # of calls that succeeded
        self.first_token: dict[str, LatencySketch] = {}  # of those that were streams
        self.cost_nano: dict[tuple[int, str], int] = defaultdict(int)  # (config's id, currency)
        self.saved_by_calls: dict[tuple[str, str], int] = defaultdict(int)  # (alias, way)
        # (alias, way, currency); may fall: writing to a cache costs more than reading from it saves
        self.saved_by_nano: dict[tuple[str, str, str], int] = defaultdict(int)
        self.cancelled = self.retries = self.saved_calls = self.unpriced = self.estimated = 0
        self._aliases: set[str] = set()

    def _name(self, alias: str) -> str:
        if alias not in self._aliases:
            if len(self._aliases) >= MAX_CONFIGS:
                return REST
            self._aliases.add(alias)
        return alias

    def finished(self, alias: str, succeeded: int, failed: int, sent: int, received: int) -> None:
        """Requests that have their result now, and the tokens ``sent`` and ``received``."""
        alias = self._name(alias)
        self.requests[alias, "succeeded"] += succeeded
        self.requests[alias, "failed"] += failed
        self.tokens[alias, "input"] += sent
        self.tokens[alias, "output"] += received

    def delivered(self, alias: str, outcomes: Mapping[str, int]) -> None:
        """Results of finished requests by outcome."""
        for outcome, count in outcomes.items():
            self.outcomes[self._name(alias), outcome] += count

    def cache_used(self, alias: str, read: int, written: int) -> None:
        """Tokens of input that were read from a provider's prompt cache, and written to it."""
        alias = self._name(alias)
        self.cache_tokens[alias, "read"] += read
        self.cache_tokens[alias, "write"] += written

    def begun(self, alias: str, first_token: LatencySketch) -> None:
        self.first_token.setdefault(self._name(alias), LatencySketch()).merge(first_token)

    def answered(self, alias: str, latency: LatencySketch) -> None:
        self.latency.setdefault(self._name(alias), LatencySketch()).merge(latency)

    def calls_failed(self, alias: str, cause: str, count: int) -> None:
        self.failures[self._name(alias), cause] += count

    def paid(self, config_id: int, currency: str, cost_nano: int) -> None:
        known = (config_id, currency) in self.cost_nano or len(self.cost_nano) < MAX_CONFIGS
        self.cost_nano[config_id if known else 0, currency] += cost_nano

    def saved(self, alias: str, by: str, currency: str, calls: int, nano: int) -> None:
        """What calls of a config saved; ``by`` is a way of store/savings.py."""
        alias = self._name(alias)
        self.saved_by_calls[alias, by] += calls
        self.saved_by_nano[alias, by, currency] += nano

    def counted(
        self, cancelled: int, retries: int, saved_calls: int, unpriced: int, estimated: int = 0
    ) -> None:
        self.cancelled += cancelled
        self.retries += retries
        self.saved_calls += saved_calls
        self.unpriced += unpriced
        self.estimated += estimated


process_counters = ProcessCounters()
