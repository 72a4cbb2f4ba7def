"""Jobs whose answers come as streams: what is stored, shown, exported; what is remembered."""

import csv
import io
import json
import re

import pytest

from simple_batch import insight
from simple_batch.services import configs
from simple_batch.store.database import connected
from simple_batch.store.models import ApiConfig, Attempt, JobEvent, Result
from simple_batch.store.request_filter import RequestFilter

from .. import endpoint as e
from ..conftest import wait_until
from ..emulators import streams as s
from ..emulators.streams import StreamingEndpoint, only_streams


@pytest.fixture
def run(start, add_config, make_job, wait_for):
    """Runs a job on an endpoint to its end; returns its id."""

    def run_one(endpoint, requests=2, stream="auto", **fields) -> int:
        config = add_config(endpoint.base_url, **fields)
        with connected():
            ApiConfig.update(stream=stream).where(ApiConfig.id == config.id).execute()
        job_id = make_job(requests)
        wait_for(job_id, "completed")
        return job_id

    return run_one


def stored_config() -> ApiConfig:
    with connected():
        return configs.get("test")


def events(job_id: int) -> list[str]:
    with connected():
        found = JobEvent.select().where(JobEvent.job == job_id, JobEvent.reason == "streams")
        return [str(event.detail) for event in found]


def test_a_model_that_answers_with_streams_only(run, client, make_job, wait_for):
    """No retry is charged, and the next job begins with streams."""
    with StreamingEndpoint(only_streams(*s.says("yes"))) as endpoint:
        first = run(endpoint, requests=1)
        config = wait_until(lambda: (found := stored_config()).stream_since and found)
        second = make_job(2)
        wait_for(second, "completed")
        assert [body.get("stream", False) for body in endpoint.bodies] == [False, True, True, True]
    with connected():
        assert Attempt.select().count() == 0
        assert [result.status for result in Result.select()] == ["succeeded"] * 3
        assert {result.output_tokens for result in Result.select()} == {3}
    assert "only support stream mode" in str(config.stream_reason)
    (event,) = wait_until(lambda: events(first))
    assert "only support stream mode" in event
    assert events(second) == []

    page = client.get(f"/configs/{config.id}").text
    assert "only support stream mode" in page
    assert "流式" in client.get(f"/configs/{config.id}", headers={"Accept-Language": "zh"}).text
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)[1]
    answer = client.post(f"/configs/{config.id}/streams/off", data={"csrf_token": token})
    assert answer.status_code == 303
    assert stored_config().stream_since is None
    assert "only support stream mode" not in client.get(f"/configs/{config.id}").text


def test_a_time_out_switches_streams_on(run):
    def answer(body):
        return s.stream(*s.says("slow but sure"), wait_s=0.1) if body.get("stream") else e.slow(5)

    with StreamingEndpoint(answer) as endpoint:
        job_id = run(endpoint, requests=1, timeout_s=1.0)
        assert endpoint.bodies[1]["stream"]
    with connected():
        assert Attempt.get().cause == "timeout"
        assert Result.get().status == "succeeded"
    (event,) = wait_until(lambda: events(job_id))
    assert "time-out of 1 s" in event


def test_a_stream_that_is_cut_is_tried_again(run):
    behaviours = [s.cut_after(*s.says("half")[:3]), s.stream(*s.says("whole"))]
    with e.MisbehavingEndpoint(*behaviours) as endpoint:
        run(endpoint, requests=1, stream="always")
    with connected():
        (result,) = Result.select()
        assert json.loads(bytes(result.response))["choices"][0]["message"]["content"] == "whole"
        assert result.attempts == 2


def test_time_to_the_first_token(run, client):
    """Stored with each answer; on the pages, in figures, charts and exports."""
    with e.MisbehavingEndpoint(s.stream(*s.says("yes"), wait_s=0.02)) as endpoint:
        job_id = run(endpoint, requests=2, stream="always")
    with connected():
        results = list(Result.select().order_by(Result.idx))
        assert all(0 <= result.first_token_ms <= result.latency_ms for result in results)
        figures = insight.summary(job_id)["first_token_ms"]
        assert 0 < figures["p50"] <= figures["p95"]
        assert insight.progress(job_id)["first_token_ms"] == figures
        for wanted in ({}, {"status": "succeeded"}):
            found = insight.charts(job_id, RequestFilter(**wanted))["buckets"]
            assert any(bucket["first_p95_ms"] for bucket in found)
    lines = client.get(f"/jobs/{job_id}/export?format=jsonl").text.splitlines()
    assert [json.loads(line)["first_token_ms"] for line in lines] == [
        result.first_token_ms for result in results
    ]
    rows = list(csv.DictReader(io.StringIO(client.get(f"/jobs/{job_id}/export?format=csv").text)))
    assert [int(row["first_token_ms"]) for row in rows] == [it.first_token_ms for it in results]
    assert "<dt>First token" in client.get(f"/jobs/{job_id}/requests/0").text
    assert "Time to first token" in client.get(f"/jobs/{job_id}/charts").text
    assert client.get(f"/jobs/{job_id}/charts/first_token.csv").text.count("\n") >= 2
    table = client.get(f"/jobs/{job_id}/requests?cols=first_token").text
    assert f"{results[0].first_token_ms} ms" in table


def test_without_streams_there_is_no_first_token(run, client):
    with e.MisbehavingEndpoint(e.ok()) as endpoint:
        job_id = run(endpoint, requests=1)
    with connected():
        assert insight.summary(job_id)["first_token_ms"] == {"p50": None, "p95": None}
    assert "Time to first token" not in client.get(f"/jobs/{job_id}/charts").text
    assert "<dt>First token" not in client.get(f"/jobs/{job_id}/requests/0").text
