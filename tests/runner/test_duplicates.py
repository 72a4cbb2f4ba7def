"""Identical requests of a job need one call for all answers; edited or retried ones make their own
call."""

import json
from decimal import Decimal

import pytest

from simple_batch import export, insight
from simple_batch.core import clock
from simple_batch.services import configs, job_creation, job_retry, jobs
from simple_batch.store import response_cache
from simple_batch.store.database import connected
from simple_batch.store.duplicates import Deduplicator
from simple_batch.store.models import KeptAnswer
from simple_batch.store.models import Request as RequestRow
from simple_batch.store.request_filter import RequestFilter
from simple_batch.store.requeue import Changes

from .. import endpoint as e
from ..conftest import wait_until
from ..endpoint import MisbehavingEndpoint
from .test_job_run import agrees


@pytest.fixture
def endpoint(add_config):
    with MisbehavingEndpoint(e.ok()) as served:
        add_config(served.base_url, concurrency=4, input_price=Decimal(1), output_price=Decimal(2))
        yield served


@pytest.fixture
def repeated(app, tmp_path):
    """Makes a job of ``count`` requests of which only ``distinct`` differ."""

    def make(count: int, distinct: int, **choices) -> int:
        path = tmp_path / "r.jsonl"
        lines = [
            {
                "custom_id": f"r-{n}",
                "messages": [{"role": "user", "content": f"question {n % distinct}"}],
            }
            for n in range(count)
        ]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        with connected():
            new = jobs.JobOptions(config="test", ask_once=True, **choices)
            return job_creation.create_now(path, path.name, new).id

    return make


def test_one_call_for_all_of_a_kind(start, endpoint, repeated, wait_for):
    job_id = repeated(3_000, 7)
    job = wait_for(job_id, "completed")
    assert (job.succeeded, job.attempts, endpoint.calls) == (3_000, 7, 7)
    agrees(job_id)
    assert (job.saved_calls, job.saved_nano) == (2_993, 2_993 * (7 * 1_000 + 3 * 2_000))
    assert job.cost_nano == 7 * 13_000
    with connected():
        rows = [json.loads(line) for line in b"".join(export.export(job_id, "jsonl")).splitlines()]
        assert {row["response"]["choices"][0]["message"]["content"] for row in rows} == {"fine"}
        assert [row["custom_id"] for row in rows] == [f"r-{n}" for n in range(3_000)]
        duplicate = rows[2_999]
        assert (duplicate["attempts"], duplicate["latency_ms"], duplicate["usage"]) == (
            0,
            None,
            None,
        )
        assert duplicate["cost"]["amount"] == 0
        assert insight.request_detail(job_id, 2_999)["duplicate_of"] == 2_999 % 7


def test_a_failure_is_shared_and_retried_once(start, endpoint, repeated, wait_for):
    endpoint.script = [e.error(400, "no")]
    job_id = repeated(40, 2)
    job = wait_for(job_id, "completed")
    assert (job.failed, endpoint.calls) == (40, 2)
    endpoint.script = [e.ok()]
    with connected():
        assert job_retry.retry(job_id) == 40
    job = wait_until(lambda: _when(wait_for(job_id, "completed"), succeeded=40))
    assert endpoint.calls == 4
    agrees(job_id)


def _when(job, **wanted):
    return job if all(getattr(job, name) == value for name, value in wanted.items()) else None


def test_what_is_to_go_another_way_goes_by_itself(start, endpoint, add_config, repeated, wait_for):
    endpoint.script = [e.error(400, "no")]
    job_id = repeated(10, 1)
    wait_for(job_id, "completed")
    with MisbehavingEndpoint(e.ok()) as other:
        add_config(other.base_url, alias="other")
        with connected():
            job_retry.retry_requests(job_id, [3, 4], Changes(config_id=configs.get("other").id))
        wait_until(lambda: _when(wait_for(job_id, "completed"), succeeded=2))
        assert other.calls == 2
    edited = json.dumps({"messages": [{"role": "user", "content": "changed"}]})
    endpoint.script = [e.ok()]
    with connected():
        job_retry.send_again(job_id, 0, edited)  # the others are its duplicates
    wait_until(lambda: _when(wait_for(job_id, "completed"), succeeded=3))
    with connected():
        job_retry.retry(job_id, RequestFilter(status="failed"))
    wait_until(lambda: _when(wait_for(job_id, "completed"), succeeded=10))
    asked = [body["messages"][0]["content"] for body in endpoint.bodies[1:]]
    assert asked.count("changed") == 1
    assert asked.count("question 0") == 7  # their original was never answered
    agrees(job_id)


def test_a_duplicate_that_is_sent_again_makes_its_own_call(start, endpoint, repeated, wait_for):
    job_id = repeated(4, 1)
    wait_for(job_id, "completed")
    assert endpoint.calls == 1
    for calls, edited in ((2, "question 0"), (3, "changed"), (4, "changed")):
        body = json.dumps({"messages": [{"role": "user", "content": edited}]})
        with connected():
            job_retry.send_again(job_id, 2, body)
        wait_until(lambda calls=calls: endpoint.calls == calls)
        job = wait_until(lambda: _when(wait_for(job_id, "completed"), succeeded=4))
        assert endpoint.bodies[-1]["messages"][0]["content"] == edited
        agrees(job_id)
    assert (job.cost_nano, job.attempts) == (4 * 13_000, 4)
    with connected():
        found = insight.request_detail(job_id, 2)
        assert (found["latency_ms"] is not None, found["cost_nano"]) == (True, 13_000)
        assert [attempt["cause"] for attempt in found["attempts"]] == [None] * 4
        assert found["attempts"][0]["message"] == "the answer of an identical request"
        assert insight.attempts_page(job_id).rows == []
        assert insight.error_groups(job_id) == []
        rows = [json.loads(line) for line in b"".join(export.export(job_id, "jsonl")).splitlines()]
        assert [row["attempts"] for row in rows] == [1, 0, 1, 0]
        assert len(insight.compare(job_id, job_id).rows) == 4
        jobs.reset(job_id)
        jobs.resume(job_id)
    assert wait_until(lambda: _when(wait_for(job_id, "completed"), succeeded=4)).failed == 0
    assert endpoint.calls == 5  # the original request: the edit is dropped


def test_a_duplicate_retried_alone_makes_its_own_call(start, endpoint, repeated, wait_for):
    endpoint.script = [e.error(400, "no")]
    job_id = repeated(6, 1)
    wait_for(job_id, "completed")
    endpoint.script = [e.ok()]
    with connected():
        assert job_retry.retry_requests(job_id, [3]) == 1
    wait_until(lambda: _when(wait_for(job_id, "completed"), succeeded=1, failed=5))
    assert endpoint.calls == 2
    with connected():
        assert (
            job_retry.retry_requests(job_id, [4, 0, 4]) == 2
        )  # with the request that it waits for
    wait_until(lambda: _when(wait_for(job_id, "completed"), succeeded=3, failed=3))
    assert endpoint.calls == 3
    agrees(job_id)


def test_an_error_group_is_retried_with_its_duplicates(start, endpoint, repeated, wait_for):
    endpoint.script = [e.error(400, "no")]
    job_id = repeated(9, 1)
    wait_for(job_id, "completed")
    endpoint.script = [e.ok()]
    with connected():
        (group,) = insight.error_groups(job_id)
        assert job_retry.retry(job_id, RequestFilter(group=group["key"])) == 9
    wait_until(lambda: _when(wait_for(job_id, "completed"), succeeded=9))
    assert endpoint.calls == 2
    agrees(job_id)


def test_cancelled_in_mid_run_they_are_cancelled_too(start, endpoint, repeated, wait_for):
    endpoint.script = [e.ok()] * 4 + [e.slow(0.5)]
    job_id = repeated(400, 200)
    wait_until(lambda: endpoint.calls >= 6)
    with connected():
        jobs.cancel(job_id)
    job = wait_for(job_id, "cancelled")
    assert job.succeeded + job.cancelled == 400
    assert job.saved_calls >= 3
    agrees(job_id)


def test_pairing_tells_apart_what_differs():
    from simple_batch.core.domain import Request

    pairing = Deduplicator()
    first = [
        Request(0, "a", b"{}"),
        Request(1, "b", b"{}"),
        Request(2, "c", b"{ }"),
        Request(3, "d", b"{}", "/v1/embeddings"),
        Request(4, "e", b"{}", config_id=2),
    ]
    assert [request.twin for request in pairing.paired(first)] == [None, 0, None, None, None]
    later = [Request(5, "f", b"{ }"), Request(6, "g", b"new"), Request(7, "h", b"new")]
    assert [request.twin for request in pairing.paired(later)] == [2, None, 6]
    pairing.close()


class TestAcrossJobs:
    """Answers of one job reused by another, if both allow it."""

    def test_what_was_answered_before_is_not_asked_again(self, start, endpoint, make_job, wait_for):
        first = wait_for(make_job(50, reuse_hours=1.0), "completed")
        assert (first.saved_calls, endpoint.calls) == (0, 50)
        second = make_job(60, reuse_hours=1.0)
        job = wait_for(second, "completed")
        assert (job.succeeded, job.attempts, endpoint.calls) == (60, 10, 60)
        assert (job.saved_calls, job.saved_nano) == (50, 50 * 13_000)
        assert (job.cost_nano, job.input_tokens) == (10 * 13_000, 70)
        agrees(second)
        with connected():
            lines = b"".join(export.export(second, "jsonl")).splitlines()
            row = json.loads(lines[0])
            assert row["response"]["choices"][0]["message"]["content"] == "fine"
            assert (row["attempts"], row["usage"], row["cost"]["amount"]) == (0, None, 0)

    def test_what_is_sent_again_is_asked_and_its_new_answer_kept(
        self, start, endpoint, make_job, wait_for
    ):
        wait_for(make_job(3, reuse_hours=1.0), "completed")
        second = make_job(3, reuse_hours=1.0)
        wait_for(second, "completed")
        better = {**e.GOOD, "choices": [{"index": 0, "message": {"content": "better"}}]}
        endpoint.script = [e.http(200, better)]
        with connected():
            row = RequestRow.get((RequestRow.job == second) & (RequestRow.idx == 1))
            job_retry.send_again(second, 1, bytes(row.body).decode())
        job = wait_until(
            lambda: endpoint.calls == 4 and _when(wait_for(second, "completed"), succeeded=3)
        )
        assert (job.attempts, job.cost_nano) == (1, 13_000)
        agrees(second)
        with connected():
            found = insight.request_detail(second, 1)
            assert (found["answer"], len(found["attempts"])) == ("better", 2)
        third = make_job(3, reuse_hours=1.0)
        assert wait_for(third, "completed").saved_calls == 3
        with connected():
            assert insight.request_detail(third, 1)["answer"] == "better"

    def test_who_does_not_choose_it_neither_takes_nor_gives(
        self, start, endpoint, make_job, wait_for
    ):
        wait_for(make_job(10), "completed")
        wait_for(make_job(10, reuse_hours=1.0), "completed")
        wait_for(make_job(10), "completed")
        assert endpoint.calls == 30

    def test_what_differs_in_anything_that_is_sent_is_asked(
        self, start, endpoint, add_config, make_job, wait_for
    ):
        wait_for(make_job(5, reuse_hours=1.0), "completed")
        wait_for(make_job(5, reuse_hours=1.0, params={"seed": 1}), "completed")
        schema = {"type": "object", "properties": {"a": {"type": "string"}}}
        endpoint.script = [e.error(400, "no")]
        wait_for(make_job(5, reuse_hours=1.0, schema=schema, schema_mode="check"), "completed")
        assert endpoint.calls == 15

    def test_failures_and_old_answers_are_not_taken(self, start, endpoint, make_job, wait_for):
        endpoint.script = [e.error(400, "no")]
        wait_for(make_job(4, reuse_hours=1.0), "completed")
        endpoint.script = [e.ok()]
        assert wait_for(make_job(4, reuse_hours=1.0), "completed").saved_calls == 0
        with connected():
            KeptAnswer.update(created_at=clock.now_ms() - 2 * 3_600_000).execute()
        assert wait_for(make_job(4, reuse_hours=1.0), "completed").saved_calls == 0
        assert endpoint.calls == 12

    def test_what_is_old_or_too_much_is_removed(self, app, endpoint):
        with connected():
            for n in range(500):
                KeptAnswer.create(key=b"%d" % n, response=b"x" * 100, bytes=100, created_at=n + 1)
            while response_cache.sweep_step(20_000, before=0):
                pass
            assert sorted(row.created_at for row in KeptAnswer.select())[-1] == 500
            assert KeptAnswer.select().count() <= 200
            while response_cache.sweep_step(10**9, before=400):
                pass
            assert KeptAnswer.select().count() == 101
