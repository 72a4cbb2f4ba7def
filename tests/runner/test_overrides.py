"""Jobs with their own parameters and start time; requests retried with other settings."""

import json

import gevent
import pytest

from simple_batch import export, insight
from simple_batch.core import clock
from simple_batch.core.errors import Conflict, InvalidInput
from simple_batch.runner import request_source, runner
from simple_batch.services import configs, job_creation, job_retry, jobs, lifecycle
from simple_batch.store.database import connected
from simple_batch.store.models import Attempt, Job
from simple_batch.store.request_filter import RequestFilter
from simple_batch.store.requests import RouteKey
from simple_batch.store.requeue import Changes

from .. import endpoint as e
from ..conftest import wait_until
from ..endpoint import MisbehavingEndpoint
from .test_job_run import ENDED, agrees


def settled(job_id, wait_for, succeeded):
    return wait_until(lambda: (j := wait_for(job_id, *ENDED)).succeeded == succeeded and j)


def test_a_jobs_parameters_stand_over_the_configs_and_under_the_requests(
    start, add_config, make_job, wait_for, questions
):
    with MisbehavingEndpoint(e.ok()) as endpoint:
        add_config(endpoint.base_url, temperature=0.5, max_tokens=10, params={"top_p": 0.1})
        params = {"model": "other", "temperature": 1.5, "top_k": 3}
        wait_for(make_job(2, params=params), "completed")
        with connected():
            path = questions(3, temperature=0.25)
            new = jobs.JobOptions(config="test", params=params)
            job_id = job_creation.create_now(path, path.name, new).id
        wait_for(job_id, "completed")
        sent = endpoint.bodies[0]
        assert (sent["model"], sent["temperature"], sent["max_tokens"]) == ("other", 1.5, 10)
        assert (sent["top_p"], sent["top_k"]) == (0.1, 3)
        assert endpoint.bodies[2]["temperature"] == 0.25


def test_a_jobs_own_timeout(start, add_config, make_job, wait_for):
    with MisbehavingEndpoint(e.slow(0.4)) as endpoint:
        add_config(endpoint.base_url, timeout_s=0.1)
        assert wait_for(make_job(2, timeout_s=60.0, max_retries=0), "completed").succeeded == 2
        job_id = make_job(1, max_retries=0)  # all of its calls take longer than the config's
        with connected():
            wait_until(lambda: insight.progress(job_id)["waiting"])


def test_a_scheduled_job_waits_for_its_time(start, add_config, make_job, wait_for, endpoint):
    add_config(endpoint.base_url)
    job_id = make_job(3, start_at=clock.now_ms() + 3_600_000)
    assert wait_for(job_id, "scheduled")
    assert not endpoint.calls
    with connected():
        Job.update(start_at=clock.now_ms()).where(Job.id == job_id).execute()
    assert wait_for(job_id, "completed").succeeded == 3
    with connected():
        assert [event["to"] for event in insight.events(job_id)][1:3] == ["scheduled", "queued"]
        with pytest.raises(InvalidInput, match="passed"):
            make_job(1, start_at=clock.now_ms() - 3_600_000)
    later = make_job(3, start_at=clock.now_ms() + 3_600_000)
    with connected():
        jobs.resume(later)  # the start time is removed
    assert wait_for(later, "completed").succeeded == 3


def test_a_job_run_that_gives_requests_back_takes_none_meanwhile(
    start, add_config, make_job, wait_for, monkeypatch
):
    """A run opened meanwhile for requests with overrides would be given back while it sends them:
    workers would send them twice."""
    opened = []

    class Settling(request_source.Cursor):
        settles = False

        def route_keys(self):
            return [RouteKey(other, None)] if self.settles else super().route_keys()

        def settle(self):
            (lane,) = lifecycle._runner._active.job_runs.open.values()
            self.settles = True  # requests of that route were given back meanwhile
            with connected():
                lane.start_new_routes()
            self.settles = False
            opened.append(len(lane._runs))

    monkeypatch.setattr(runner, "Cursor", Settling)
    with MisbehavingEndpoint(e.error(400)) as first, MisbehavingEndpoint(e.ok()) as second:
        add_config(first.base_url)
        other = add_config(second.base_url, alias="second").id
        job_id = make_job(5)
        wait_for(job_id, "completed")
        with connected():
            job_retry.retry(job_id, None, Changes(config_id=other))
        settled(job_id, wait_for, 5)
    assert set(opened) == {0}
    assert len(opened) >= 2


def test_an_error_group_is_retried_on_another_config(start, add_config, make_job, wait_for):
    script = [e.ok(), *[e.error(400, "too long")] * 3, *[e.error(400, "other")] * 2]
    with MisbehavingEndpoint(*script) as first, MisbehavingEndpoint(e.ok()) as second:
        add_config(first.base_url, concurrency=1)
        add_config(second.base_url, alias="second", model="m2")
        job_id = make_job(6)
        wait_for(job_id, "completed")
        with connected():
            groups = insight.error_groups(job_id)
            key = next(group["key"] for group in groups if group["message"] == "too long")
            other = Changes(config_id=configs.get("second").id, max_tokens=99)
            assert job_retry.retry(job_id, RequestFilter(group=key), other) == 3
            with pytest.raises(Conflict, match="used by"):
                configs.delete(other.config_id)
        assert settled(job_id, wait_for, 4).failed == 2
        assert (first.calls, second.calls) == (6, 3)
        assert {(body["model"], body["max_tokens"]) for body in second.bodies} == {("m2", 99)}
        agrees(job_id)
        with connected():
            by_config = insight.requests_page(job_id, RequestFilter(config="second"))
            assert [row["index"] for row in by_config.rows] == [1, 2, 3]
            rows = [json.loads(line) for line in export.export(job_id, "jsonl")]
            assert [row["config"] for row in rows][:4] == ["test", *["second"] * 3]
            assert rows[1]["request"]["max_tokens"] == 99


def test_another_currency_is_refused(start, add_config, make_job, wait_for):
    with MisbehavingEndpoint(e.error(400, "no")) as endpoint:
        add_config(endpoint.base_url)
        yuan = add_config(endpoint.base_url, alias="yuan", currency="CNY")
        job_id = make_job(1)
        wait_for(job_id, "completed")
        off = add_config(endpoint.base_url, alias="off")
        with connected():
            configs.set_active(off.id, False)
            for config, expected in ((yuan, "CNY"), (off, "deactivated")):
                with pytest.raises(InvalidInput, match=expected):
                    job_retry.retry(job_id, other=Changes(config_id=config.id))


def test_a_retry_another_way_while_the_job_runs_does_not_wait_for_its_end(
    start, add_config, make_job, wait_for
):
    script = [*[e.error(400, "no")] * 2, e.slow(0.05)]
    with MisbehavingEndpoint(*script) as first, MisbehavingEndpoint(e.ok()) as second:
        add_config(first.base_url, concurrency=2)
        add_config(second.base_url, alias="second")
        job_id = make_job(200)
        wait_until(lambda: first.calls > 10)
        with connected():
            other = Changes(config_id=configs.get("second").id)
            assert job_retry.retry(job_id, other=other) == 2
        wait_until(lambda: second.calls == 2)
        assert first.calls < 190
        assert wait_for(job_id, "completed").succeeded == 200
        assert (first.calls, second.calls) == (200, 2)
        agrees(job_id)


def test_the_ceiling_of_a_job_holds_over_all_its_ways(start, add_config, make_job, wait_for):
    refused = e.error(400, "no", "content_filter")  # which concerns each request alone
    script = [*[refused] * 40, e.slow(0.02)]
    with MisbehavingEndpoint(*script) as endpoint:
        add_config(endpoint.base_url)
        add_config(endpoint.base_url, alias="second")
        job_id = make_job(120, concurrency=3, max_retries=0)
        wait_until(lambda: endpoint.calls > 60)
        with connected():
            job_retry.retry(job_id, other=Changes(config_id=configs.get("second").id))
        settled(job_id, wait_for, 120)
        assert endpoint.most_in_flight == 3


def test_one_request_is_edited_and_sent_again(start, add_config, make_job, wait_for):
    again = e.http(200, {**e.GOOD, "choices": [{"index": 0, "message": {"content": "better"}}]})
    with MisbehavingEndpoint(e.ok(), e.ok(), again) as endpoint:
        add_config(endpoint.base_url, concurrency=1)
        job_id = make_job(2)
        wait_for(job_id, "completed")
        body = {"messages": [{"role": "user", "content": "edited"}], "seed": 5}
        with connected():
            for wrong in ("", "{", "[]", '{"messages": 1}', "{}", '{"messages": [{"role": "x"}]}'):
                with pytest.raises(InvalidInput):
                    job_retry.send_again(job_id, 1, wrong)
            job_retry.send_again(job_id, 1, json.dumps(body))
        settled(job_id, wait_for, 2)
        wait_until(lambda: endpoint.calls == 3)
        wait_for(job_id, "completed")
        assert endpoint.bodies[2]["messages"][0]["content"] == "edited"
        agrees(job_id)
        with connected():
            found = insight.request_detail(job_id, 1)
            assert (found["answer"], found["edited"]) == ("better", True)
            assert [attempt["cause"] for attempt in found["attempts"]] == [None, None]
            assert "fine" in found["attempts"][0]["excerpt"]
            assert "edited" in found["body"]
            assert insight.attempts_page(job_id).rows == []  # it did not fail
            job = jobs.get(job_id)
            assert (job.attempts, job.input_tokens) == (3, 21)  # its cost stays counted
            jobs.reset(job_id)
            assert Attempt.select().count() == 0
            assert "edited" not in insight.request_detail(job_id, 1)["body"]


def test_a_request_under_way_cannot_be_edited(start, add_config, make_job):
    with MisbehavingEndpoint(e.slow(60)) as endpoint:
        add_config(endpoint.base_url)
        job_id = make_job(1)
        wait_until(lambda: endpoint.calls == 1)
        body = '{"messages": [{"role": "user", "content": "x"}]}'
        with connected(), pytest.raises(Conflict):
            job_retry.send_again(job_id, 0, body)


def test_the_timeline_knows_the_limit_and_the_calls_in_flight(
    start, add_config, make_job, wait_for
):
    with MisbehavingEndpoint(e.slow(0.1)) as endpoint:
        add_config(endpoint.base_url, concurrency=4)
        job_id = make_job(100)
        wait_for(job_id, "completed")
        with connected():
            buckets = insight.buckets(job_id, width=1)
    seen = [(bucket["in_flight"], bucket["limit"]) for bucket in buckets if bucket["limit"]]
    assert seen
    assert all(limit == 4 and flight <= 4 for flight, limit in seen)
    assert max(flight for flight, _limit in seen) >= 3
    gevent.sleep(0)
    with connected():
        assert Job.get_by_id(job_id).status == "completed"
