"""One way on which requests of a job go: a provider, called with the job's own parameters."""

from collections.abc import Callable, Iterator

import msgspec

from ..domain import Attempt, Defaults, Outcome, Request
from ..engine.breaker import Stop
from ..engine.encoder import Encoder
from ..engine.governor import Party
from ..engine.pool import Pool
from ..engine.retry import Policy
from ..engine.slots import Slots
from ..engine.transport import Reply
from ..store.models import Job
from ..store.requests import Way
from .providers import Provider


class Route:
    """``record(provider, index, attempts, outcome)`` is handed what came of each request; the
    outcome is None where it stays pending."""

    def __init__(
        self,
        way: Way,
        job: Job,
        provider: Provider,
        policy: Policy,
        slots: Slots,
        party: Party,
        record: Callable,
    ):
        self.way = way
        self.provider = provider
        self._params = msgspec.json.decode(job.params)
        self._timeout_s = way.timeout_s or job.timeout_s
        self._encoder: Encoder | None = None
        self._encoder_of: Defaults | None = None
        self._record = record
        self.deal = None  # of a job that is spread over several configs (shares.py)
        self.pool = Pool(
            encode=self._encode if self._params else provider.encode,
            transport=self,
            governor=provider.governor,
            policy=policy,
            slots=slots,
            party=party,
            record_attempts=self._record_attempts,
        )

    def run(self, requests: Iterator[Request]) -> Stop | None:
        """Run them all; see Pool.run."""
        return self.pool.run(requests, self._record_outcome)

    def post(self, path: str, body: bytes, timeout_s: float) -> Reply:
        return self.provider.post(path, body, timeout_s, self._timeout_s)

    def _encode(self, request: Request) -> bytes:
        defaults = self.provider.defaults
        if defaults is not self._encoder_of:  # at first, and when the config was edited
            self._encoder = Encoder(defaults.under(self._params))
            self._encoder_of = defaults
        return self._encoder.encode(request)

    def _record_outcome(self, outcome: Outcome) -> None:
        final = self.deal is None or self.deal.ended(outcome.index, outcome.cause)
        self._record(self.provider, outcome.index, outcome.attempts, outcome if final else None)

    def _record_attempts(self, index: int, attempts: tuple[Attempt, ...]) -> None:
        if attempts:
            self._record(self.provider, index, attempts, None)
        if self.deal is not None:
            self.deal.given_up(index)
