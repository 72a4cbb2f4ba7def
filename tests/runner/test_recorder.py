"""When results are committed: at once if few arrive, in groups if many do."""

import time

import gevent
import pytest

from simple_batch.core.call_prices import Prices
from simple_batch.core.domain import Attempt, Cause, RequestResult, RequestStatus
from simple_batch.runner.recorder import Recorder
from simple_batch.store.results import Recorded

from ..conftest import wait_until

COUNT = 400


@pytest.fixture
def recording(add_config, make_job):
    """Starts a recorder; returns it, and a function that gives it the result of a request by
    index."""
    add_config("http://127.0.0.1:9/v1")
    job_id = make_job(COUNT)
    started = []

    def start(interval_s: float, **options):
        recorder = Recorder(2 * COUNT, interval_s, lambda complaint: None, **options)
        recorder.start()
        started.append(recorder)
        return recorder, lambda index: recorder.record(_recorded(job_id, index))

    yield start
    for recorder in started:
        recorder.stop(5)


def _recorded(job_id: int, index: int) -> Recorded:
    attempts = (Attempt(1, 1000, 5, Cause.SERVER_ERROR, 500, "no"),)
    result = RequestResult(
        index=index,
        status=RequestStatus.FAILED,
        attempts=attempts,
        started_at=1000,
        finished_at=2000,
        latency_ms=5,
        cause=Cause.SERVER_ERROR,
        message="no",
    )
    return Recorded(job_id, "test", Prices(), index, attempts, result)


def test_a_result_that_comes_alone_does_not_wait(recording):
    recorder, record = recording(600.0)
    for index in range(3):
        record(index)
        wait_until(lambda index=index: recorder.commits == index + 1)
        gevent.sleep(10 * recorder.longest_commit_s)


def test_many_are_grouped_so_that_commits_take_a_tenth_of_the_time(recording):
    recorder, record = recording(600.0)
    began = time.monotonic()
    for index in range(COUNT):
        record(index)
        gevent.sleep(0.001)
    recorder.flush()
    # no gap after the first and the last commit
    rested = recorder.commit_s - 2 * recorder.longest_commit_s
    assert rested <= 0.15 * (time.monotonic() - began)  # a tenth, and what a busy machine adds
    assert recorder.commits < COUNT / 2


def test_no_result_waits_longer_than_the_interval(recording):
    recorder, record = recording(0.2, gap_s=60.0)
    record(0)
    wait_until(lambda: recorder.commits == 1)
    began = time.monotonic()
    for index in range(1, 11):
        record(index)
    wait_until(lambda: recorder.commits == 2)
    assert time.monotonic() - began >= 0.15
    assert recorder.waiting == 0
