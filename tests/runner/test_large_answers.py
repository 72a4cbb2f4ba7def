"""Large answers from the socket to the database, with little memory for all of them."""

import json

import gevent
import pytest

from simple_batch import export
from simple_batch.engine.answer_memory import SMALL
from simple_batch.insight import detail
from simple_batch.services import jobs, lifecycle
from simple_batch.store.database import connected
from simple_batch.store.models import Result

from .. import endpoint as e
from ..conftest import wait_until
from ..endpoint import MisbehavingEndpoint

MIB = 1 << 20
CHOICES = [{"index": 0, "message": {"role": "assistant", "content": "x" * (4 * MIB)}}]
LARGE = e.http(200, json.dumps({**e.GOOD, "choices": CHOICES}).encode())


@pytest.fixture
def overrides(overrides):
    """Memory for two answers."""
    return {**overrides, "MAX_ANSWER_BYTES": 5 * MIB, "MAX_ANSWERS_BYTES": 8 * MIB}


def answers():
    return lifecycle._runner._active.providers.answers


def test_all_succeed_and_the_bound_holds(start, add_config, make_job, wait_for):
    with MisbehavingEndpoint(LARGE) as endpoint:
        add_config(endpoint.base_url, concurrency=12)
        job = wait_for(make_job(12), "completed")
        assert (job.succeeded, job.attempts, endpoint.calls) == (12, 12, 12)
        assert answers().peak_used <= 8 * MIB + 5 * MIB + 12 * SMALL
        wait_until(lambda: answers().used == 0)
        with connected():
            sizes = {len(result.response) for result in Result.select(Result.response)}
        assert len(sizes) == 1
        assert sizes.pop() > 4 * MIB


def test_cancelled_while_answers_wait_for_room(start, add_config, make_job, wait_for):
    def stalls(connection):
        connection.sendall(LARGE[: 2 * MIB])
        gevent.sleep(60)

    with MisbehavingEndpoint(stalls) as endpoint:
        add_config(endpoint.base_url, concurrency=6, timeout_s=50.0)
        job_id = make_job(50)
        wait_until(lambda: answers().waiting > 0)
        with connected():
            jobs.cancel(job_id)
        job = wait_for(job_id, "cancelled")
        assert (job.succeeded, job.cancelled, endpoint.calls) == (0, 50, 6)
        wait_until(lambda: (answers().used, answers().waiting) == (0, 0))


def test_a_page_shows_the_beginning_of_a_very_long_answer(
    start, add_config, make_job, wait_for, client, monkeypatch
):
    monkeypatch.setattr(detail, "LONGEST", MIB)
    with MisbehavingEndpoint(LARGE) as endpoint:
        add_config(endpoint.base_url)
        job_id = make_job(1)
        wait_for(job_id, "completed")
        page = client.get(f"/jobs/{job_id}/requests/0").text
        assert len(page) < MIB
        assert f"/jobs/{job_id}/requests/0/answer.txt" in page
        with connected():
            assert sum(map(len, export.export(job_id, "jsonl"))) > 4 * MIB
