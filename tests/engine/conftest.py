import random

import pytest

from simple_batch.core import settings
from simple_batch.core.domain import Defaults, Endpoint, Request
from simple_batch.engine.encoder import Encoder
from simple_batch.engine.governor import Flow, Governor
from simple_batch.engine.limiters import Limiters
from simple_batch.engine.pool import Pool
from simple_batch.engine.retry import Policy
from simple_batch.engine.semaphore import ResizableSemaphore
from simple_batch.engine.transport import Transport

SETTINGS = settings.load(environ={}, INSTANCE_PATH="/nonexistent", MAX_ANSWER_BYTES=1 << 20)
POLICY = Policy(
    max_retries=2, backoff_base_s=0.01, backoff_max_s=0.02, patience_s=5, attempt_timeout_s=60
)


def request(index: int = 0, **fields) -> Request:
    body = b'{"messages":[{"role":"user","content":"question %d"}]}' % index
    return Request(index, f"r{index}", fields.pop("body", body), **fields)


class Bench:
    """A pool over a real transport to an endpoint, which records everything it does."""

    def __init__(
        self,
        endpoint,
        policy=POLICY,
        governor=None,
        ceiling=None,
        key="sk-test-12345678",
        structure=None,
        packer=None,
        answers=None,
        width=100,
        guard=None,
    ):
        self.outcomes, self.loose, self.dropped = [], {}, []
        self.structure = structure
        self.transport = Transport(
            Endpoint(1, "a", endpoint.base_url, key, Defaults("m", 50, 0.5)), SETTINGS, width
        )
        self.governor = governor or Governor(concurrency=10)
        self.pool = Pool(
            encode=self._encode,
            transport=self.transport,
            limiters=Limiters(self.governor, Flow(), ResizableSemaphore(ceiling), answers=answers),
            policy=policy,
            record_attempts=self._keep,
            structure=structure,
            packer=packer,
            guard=guard,
        )
        self.pool._rng = random.Random(1)

    def _keep(self, index, attempts):
        self.dropped.append(index)
        if attempts:
            self.loose[index] = attempts

    def _encode(self, one):
        asked = (self.structure.fields,) if self.structure is not None else ()
        return Encoder(Defaults("m", 50, 0.5), *asked).encode(one)

    def run(self, count: int = 1, requests=None):
        return self.pool.run(requests or (request(n) for n in range(count)), self.outcomes.append)


@pytest.fixture
def bench():
    made = []

    def make(*args, **kwargs):
        made.append(Bench(*args, **kwargs))
        return made[-1]

    yield make
    for one in made:
        one.transport.close()
