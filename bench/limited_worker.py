"""A worker reduced to a governor and its share of the limits, which makes calls without end.

    python -m bench.limited_worker BASE_URL REDIS_URL NAME [--concurrency N] [--rpm N] [--tpm N]

It starts at the first line on standard input. On SIGTERM it gives its share back and prints its counts.
"""

from gevent import monkey

monkey.patch_all()

import argparse
import json
import signal
import sys
import time

import gevent
from gevent.event import Event

from simple_batch.cluster.limit_coordinator import LimitCoordinator
from simple_batch.cluster.shared_governor import SharedGovernor
from simple_batch.core.call_prices import Usage
from simple_batch.core.domain import Cause, Defaults, Endpoint
from simple_batch.core.settings import Settings
from simple_batch.engine.classify import Classification
from simple_batch.engine.governor import Flow
from simple_batch.engine.transport import Transport

CALLERS = 150
BODY = json.dumps({"model": "bench", "messages": [{"role": "user", "content": "x" * 300}]}).encode()


class Caller:
    """``calls`` and ``refused`` count."""

    def __init__(self, base_url: str, governor: SharedGovernor):
        settings = Settings()
        endpoint = Endpoint(1, "bench", base_url, "none", Defaults("bench"))
        self._transport = Transport(endpoint, settings, width=CALLERS)
        self._governor = governor
        self._flow = Flow()
        self.calls = self.refused = 0

    def run(self) -> None:
        while True:
            ticket = self._governor.admit(self._flow, len(BODY))
            began, finding = time.monotonic(), None
            try:
                reply = self._transport.post("/v1/chat/completions", BODY, 30.0)
                finding = self._found(reply)
            finally:
                latency_ms = round(1000 * (time.monotonic() - began))
                self._governor.settle(ticket, finding, latency_ms)

    def _found(self, reply) -> Classification:
        self.calls += 1
        if reply.status == 200:
            return Classification(None, None, 200, usage=Usage(20, 60))
        self.refused += 1
        return Classification(Cause.RATE_LIMIT, None, reply.status)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("base_url")
    parser.add_argument("redis_url")
    parser.add_argument("name")
    for ceiling in ("--concurrency", "--rpm", "--tpm"):
        parser.add_argument(ceiling, type=int)
    options = parser.parse_args()
    governor = SharedGovernor(options.concurrency, options.rpm, options.tpm, maximum=CALLERS)
    budget = LimitCoordinator(options.redis_url, options.name)
    budget.attach(1, governor)
    print("ready", flush=True)
    sys.stdin.readline()
    budget.start()
    caller = Caller(options.base_url, governor)
    callers = [gevent.spawn(caller.run) for _ in range(CALLERS)]
    ended = Event()
    gevent.signal_handler(signal.SIGTERM, ended.set)
    ended.wait()
    budget.stop()
    gevent.killall(callers)
    found = {"calls": caller.calls, "refused": caller.refused, "commands": budget.commands}
    print(json.dumps({**found, "cpu_s": time.process_time()}), flush=True)


if __name__ == "__main__":
    main()
