"""Requests of each kind through a strict emulator of OpenAI's batches: one model and endpoint in each, the
answers at their requests, nothing sent twice."""

import json

import pytest

from simple_batch.core import domain
from simple_batch.runner import batch_jobs, batch_run, part_planner
from simple_batch.services import job_creation, job_retry, jobs
from simple_batch.store.database import connected
from simple_batch.store.models import BatchPart, Job, Request, Result

from ..emulators.openai_batches import KEY, OpenAIBatches


@pytest.fixture
def overrides(overrides, monkeypatch):
    monkeypatch.setattr(batch_run, "LOOK_S", 0.02)
    monkeypatch.setattr(batch_jobs, "LOOK_S", 0.02)
    quick = {"BATCH_POLL_FIRST": 0.02, "BATCH_POLL_MAX": 0.05, "BATCH_PART_MAX_REQUESTS": 3}
    return {**overrides, **quick}


@pytest.fixture
def provider():
    with OpenAIBatches() as emulator:
        yield emulator


@pytest.fixture
def run(add_config, provider, start, wait_for, tmp_path):
    """Sends lines; returns the job when it has ended."""

    def run(lines: list[dict], **choices) -> Job:
        path = tmp_path / "lines.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        with connected():
            options = jobs.JobOptions(config="test", service="batch", **choices)
            job_id = job_creation.create_now(path, path.name, options).id
        return wait_for(job_id, "completed", "paused")

    add_config(provider.base_url, key=KEY, provider="openai")
    return run


def line(number: int, url: str, model: str, **more) -> dict:
    words = f"words of {number}"
    body = {"model": model, **more}
    if url.endswith("chat/completions"):
        body["messages"] = [{"role": "user", "content": words}]
    else:
        body["input"] = words
    return {"custom_id": f"id-{number}", "method": "POST", "url": url, "body": body}


TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
KINDS = [
    ("/v1/chat/completions", {"tools": [TOOL]}, "re: words of {}"),
    ("/v1/responses", {}, "re: words of {}"),
    ("/v1/embeddings", {}, "embedding"),
]


def answers(job_id: int) -> dict[str, str]:
    """The stored answers, by the id of the user."""
    with connected():
        rows = (
            Result.select(Request.custom_id, Result.response)
            .join(Request, on=(Request.job == Result.job) & (Request.idx == Result.idx))
            .where(Result.job == job_id)
        )
        return {custom_id: str(response) for custom_id, response in rows.tuples()}


def test_lines_of_every_size_are_sent(run, provider, monkeypatch):
    monkeypatch.setattr(part_planner, "PAGE", 2)
    monkeypatch.setattr(part_planner, "PAGE_BYTES", 4_000)
    sizes = [10, 3_000, 10, 10, 10, 9_000, 9_000, 10, *[10] * 20, 3_000, 10]
    url = "/v1/chat/completions"
    lines = [line(n, url, "a", user="x" * size) for n, size in enumerate(sizes)]
    job = run(lines)
    assert (job.status, job.succeeded) == ("completed", len(sizes)), job.status_detail
    assert provider.billed.total() == len(sizes) and provider.billed_twice() == []


def test_a_page_is_as_large_as_its_bodies_allow():
    def page(count: int, size: int) -> list:
        return [domain.Request(index, "", b"x" * size) for index in range(count)]

    def next_size(page: list, size: int, most: int = part_planner.MOST_IN_PAGE) -> int:
        return part_planner._next_size(page, size, most)

    assert [next_size(page(500, 100), 500), next_size(page(1_000, 100), 1_000)] == [1_000, 2_000]
    assert next_size(page(2_000, 100), 2_000) == part_planner.MOST_IN_PAGE
    assert next_size(page(500, 20_000), 500) == 100
    assert next_size(page(1, 50_000_000), 500) == 1
    assert next_size(page(500, 100), 500, part_planner.PAGE) == 500
    assert next_size([], 7) == 7 and next_size(page(3, 0), 7) == 7


@pytest.mark.parametrize(("url", "more", "said"), KINDS)
def test_lines_of_two_models(run, provider, url, more, said):
    lines = [line(n, url, "ab"[n % 2], **more) for n in range(10)]
    job = run(lines)
    assert (job.status, job.succeeded) == ("completed", 10), job.status_detail
    assert provider.billed.total() == 10 and provider.billed_twice() == []
    with connected():
        parts = list(BatchPart.select())
    assert sorted(part.requests for part in parts) == [
        2,
        2,
        3,
        3,
    ]  # none was sent before it was full
    for custom_id, response in answers(job.id).items():
        assert said.format(custom_id.removeprefix("id-")) in response


def test_failed_requests_of_a_finished_job_go_into_another_batch(run, provider, wait_for):
    lines = [line(n, "/v1/chat/completions", "m") for n in range(4)]
    lines[1]["body"]["messages"][0]["content"] = "a bad line"
    job = run(lines)
    assert (job.status, job.succeeded, job.failed) == ("completed", 3, 1)
    provider.fault_of = lambda words: None
    with connected():
        job_retry.retry(job.id)
    job = wait_for(job.id, "completed", "paused")
    assert (job.succeeded, job.failed, provider.billed.total()) == (4, 0, 4)
    with connected():
        assert [part.requests for part in BatchPart.select().order_by(BatchPart.id)] == [3, 1, 1]


def test_duplicates_and_answers_of_other_jobs_are_not_sent(run, provider):
    lines = [line(n % 3, "/v1/chat/completions", "m") for n in range(9)]
    for number, one in enumerate(lines):
        one["custom_id"] = f"id-{number}"
    first = run(lines, ask_once=True, reuse_hours=1)
    again = run(lines, ask_once=True, reuse_hours=1)
    for job in (first, again):
        assert (job.status, job.succeeded) == ("completed", 9)
    assert provider.billed.total() == 3
    assert again.cost_nano == 0 and set(answers(again.id)) == {f"id-{n}" for n in range(9)}
