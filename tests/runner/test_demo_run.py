"""The demo runs at the pace of its endpoint: as many calls are in flight as it answers, whatever fails."""

from collections import Counter

from simple_batch.services import demo_job
from simple_batch.services.demo_endpoint import DemoEndpoint
from simple_batch.store.database import connected


class Observed(DemoEndpoint):
    """Counts how often how many calls were in flight when one began."""

    def __init__(self, **options):
        self.at_once = Counter()
        super().__init__(**options)

    def _fault(self, body):
        self.at_once[self.in_flight] += 1
        return super()._fault(body)


def test_the_demo_runs_at_the_pace_of_its_endpoint(start, wait_for):
    endpoint = Observed(latency=0.4, fail=0.05)
    try:
        with connected():
            job = demo_job.prepare(endpoint.base_url, 640)
        job = wait_for(job.id, "completed", "failed")
        assert job.succeeded >= 600
    finally:
        endpoint.stop()
    assert max(endpoint.at_once) > 100  # 200 where the processor keeps up
    # with the pace of a client that obeys each stray refusal, 30 calls would be in flight
    busy = sum(count for calls, count in endpoint.at_once.items() if calls >= 90)
    assert busy > 160
