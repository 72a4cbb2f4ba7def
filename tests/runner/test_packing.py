"""Jobs of embeddings with several inputs per call, by the whole program: results per request, caps,
failover, a kill, and requests that change their route."""

import json
from collections import Counter
from decimal import Decimal

import gevent
import pytest

from simple_batch import export, insight
from simple_batch.core.call_prices import NANO
from simple_batch.core.domain import Spread
from simple_batch.core.errors import InvalidInput
from simple_batch.services import configs, job_creation, job_options, job_retry, jobs, recipes
from simple_batch.services.job_options import ExtraConfig
from simple_batch.store.database import connected
from simple_batch.store.models import JobEvent, Timeline
from simple_batch.store.request_filter import RequestFilter
from simple_batch.store.requeue import Changes

from .. import endpoint as e
from ..conftest import wait_until
from ..endpoint import EmbeddingEndpoint
from ..process import served
from .test_job_run import agrees

DEAR = {"input_price": Decimal(1_000_000), "output_price": Decimal(0)}  # one unit a token
URL = "/v1/embeddings"


@pytest.fixture
def texts(app, tmp_path):
    """Makes a job of these texts; returns its id."""

    def make(given, config="test", body=(), **choices) -> int:
        path = tmp_path / "e.jsonl"
        with path.open("w") as file:
            for n, text in enumerate(given):
                asked = {"model": config, **dict(body), "input": text}
                line = {"custom_id": f"c{n}", "method": "POST", "url": URL, "body": asked}
                file.write(json.dumps(line) + "\n")
        with connected():
            new = jobs.JobOptions(config=config, **choices)
            return job_creation.create_now(path, path.name, new).id

    return make


def lines(job_id: int, form: str = "jsonl") -> list[dict]:
    with connected():
        return [json.loads(line) for line in b"".join(export.export(job_id, form)).splitlines()]


def vector(line: dict) -> list:
    return line["response"]["data"][0]["embedding"]


def test_each_request_keeps_what_it_would_have_had_alone(start, add_config, texts, wait_for):
    given = ["x" * (1 + n % 37) for n in range(300)]
    with EmbeddingEndpoint() as endpoint:
        add_config(endpoint.base_url, **DEAR)
        job_id = texts(given, params={"dimensions": 2})
        job = wait_for(job_id, "completed")
        assert Counter(map(len, endpoint.inputs)) == {64: 4, 44: 1}  # the setting's default
        assert endpoint.bodies[0].keys() == {"model", "input", "dimensions"}
        assert endpoint.bodies[0]["model"] == "m"
        agrees(job_id)
        used = sum(map(len, given)) + 3 * 5
        assert (job.succeeded, job.attempts, job.input_tokens) == (300, 300, used)
        assert job.cost_nano == used * NANO
        found = lines(job_id)
        assert [vector(line)[0] for line in found] == list(map(len, given))
        assert sum(line["usage"]["input"] for line in found) == used
        assert all(line["response"]["usage"]["total_tokens"] for line in found)
        assert {line["attempts"] for line in found} == {1}
        out = lines(job_id, "openai")
        assert [line["custom_id"] for line in out] == [f"c{n}" for n in range(300)]
        assert all(len(line["response"]["body"]["data"]) == 1 for line in out)
        # the job's own number, also in its recipe and its clone; 1 sends each input alone
        alone = texts(given[:10], inputs_per_call=1)
        wait_for(alone, "completed")
        assert [len(inputs) for inputs in endpoint.inputs[5:]] == [1] * 10
        assert all(isinstance(body["input"], str) for body in endpoint.bodies[5:])
        with connected():
            chosen = job_options.of(jobs.get(alone))
            assert recipes.load(recipes.dump(chosen)).inputs_per_call == 1
            for wrong in (0, 2049):
                with pytest.raises(InvalidInput, match="Inputs per call"):
                    texts(given[:1], inputs_per_call=wrong)


def test_duplicates_cached_answers_and_other_routes(start, add_config, texts, wait_for):
    """Sent once, answered for all; retries with another timeout or body are packed with their
    like."""
    bad = {"x5", "x9"}

    def answers(inputs):
        return e.error(400, "no") if bad & set(inputs) else None

    with EmbeddingEndpoint(answers) as endpoint:
        add_config(endpoint.base_url)
        job_id = texts([f"x{n % 20}" for n in range(60)], ask_once=True, inputs_per_call=10)
        job = wait_for(job_id, "completed")
        assert (job.succeeded, job.failed, job.saved_calls) == (54, 6, 40)
        assert sum(map(len, endpoint.inputs[:2])) == 20
        agrees(job_id)
        with connected():
            (group,) = insight.error_groups(job_id)
            assert group["count"] == 2  # one request per call: no other request fails with it
        bad.clear()
        endpoint.inputs.clear()
        with connected():
            job_retry.send_again(job_id, 0, json.dumps({"input": "edited", "dimensions": 2}))
            job_retry.retry(job_id, other=Changes(timeout_s=30.0))
        wait_until(lambda: wait_for(job_id, "completed").succeeded == 60)
        assert sorted(map(len, endpoint.inputs)) == [1, 6]
        agrees(job_id)
        assert vector(lines(job_id)[0])[0] == len("edited")
        # answers of other jobs
        first = texts([f"k{n}" for n in range(8)], reuse_hours=1.0)
        wait_for(first, "completed")
        calls = endpoint.calls
        again = texts([f"k{n}" for n in range(12)], reuse_hours=1.0)
        job = wait_for(again, "completed")
        assert (job.succeeded, job.saved_calls, endpoint.calls) == (12, 8, calls + 1)
        assert endpoint.inputs[-1] == ["k8", "k9", "k10", "k11"]
        agrees(again)


@pytest.mark.parametrize("cap", [50, 401])
def test_a_cap_is_overshot_by_no_more_than_was_in_flight(start, add_config, texts, wait_for, cap):
    """A call of ten inputs costs 103 units; two at a time."""
    with EmbeddingEndpoint(delay=0.02) as endpoint:
        add_config(endpoint.base_url, concurrency=2, **DEAR)
        job_id = texts(["x" * 10] * 200, inputs_per_call=10, spend_cap=Decimal(cap))
        job = wait_for(job_id, "paused")
        assert job.status_reason == "spend_cap"
        assert cap <= job.cost_nano / NANO < cap + 2 * 103
        assert job.cost_nano == endpoint.calls * 103 * NANO
        agrees(job_id)
        with connected():
            new = job_options.of(jobs.get(job_id))
            new.spend_cap = None
            jobs.edit(job_id, new)
        wait_until(lambda: wait_for(job_id, "completed").succeeded == 200)
        assert endpoint.calls == 20


def test_several_apis(start, add_config, texts, wait_for):
    """In order: what the first cannot answer goes to the next in packs. By weight: packs are
    full."""
    with EmbeddingEndpoint(lambda _inputs: e.reset) as down, EmbeddingEndpoint(delay=0.01) as up:
        add_config(down.base_url, alias="a", concurrency=2)
        add_config(up.base_url, alias="b", concurrency=2)
        job_id = texts(
            [f"x{n}" for n in range(100)],
            "a",
            inputs_per_call=10,
            max_retries=0,
            also=(ExtraConfig("b"),),
            spread=Spread.ORDER,
        )
        job = wait_for(job_id, "completed")
        assert (job.succeeded, job.failed) == (100, 0)
        agrees(job_id)
        assert sum(map(len, up.inputs)) == 100
        assert up.calls <= 20
    with EmbeddingEndpoint(delay=0.005) as one, EmbeddingEndpoint(delay=0.005) as two:
        add_config(one.base_url, alias="c", concurrency=2)
        add_config(two.base_url, alias="d", concurrency=2)
        job_id = texts(
            [f"x{n}" for n in range(200)],
            "c",
            inputs_per_call=10,
            also=(ExtraConfig("d", 3.0),),
            spread=Spread.WEIGHT,
        )
        assert wait_for(job_id, "completed").succeeded == 200
        agrees(job_id)
        assert 30 <= sum(map(len, one.inputs)) <= 70
        assert one.calls + two.calls <= 40


def test_cancelled_in_mid_run_and_what_pages_see(start, add_config, texts, wait_for):
    """The limit shows calls, the job shows requests."""
    with EmbeddingEndpoint(delay=0.4) as endpoint:
        add_config(endpoint.base_url, concurrency=2)
        job_id = texts([f"x{n}" for n in range(100)], inputs_per_call=10)
        wait_until(lambda: endpoint.calls >= 2)
        live = wait_until(
            lambda: (
                (found := _live(job_id))
                and found["in_flight"] == 20
                and found["governor"]
                and found
            )
        )
        assert live["governor"]["in_flight"] == 2
        with connected():
            jobs.cancel(job_id)
        job = wait_for(job_id, "cancelled")
        assert job.succeeded % 10 == 0
        assert job.succeeded + job.cancelled == 100
        agrees(job_id)
        with connected():
            most = max(row.in_flight or 0 for row in Timeline.select())
            assert most <= 2


def _live(job_id):
    with connected():
        return json.loads(jobs.get(job_id).live or "{}")


def test_an_endpoint_that_takes_fewer_is_reported_in_the_events(start, add_config, texts, wait_for):
    def answers(inputs):
        return e.error(400, "batch size must not be larger than 8") if len(inputs) > 8 else None

    with EmbeddingEndpoint(answers) as endpoint:
        add_config(endpoint.base_url, concurrency=2)
        job_id = texts([f"x{n}" for n in range(400)])
        job = wait_for(job_id, "completed")
        assert (job.succeeded, job.attempts) == (400, 400)
        with connected():
            (event,) = JobEvent.select().where(JobEvent.reason == "eased")
            assert event.detail.endswith("inputs a call, gets 8 from now on")
            assert insight.requests_page(job_id, RequestFilter(status="failed")).total == 0
            assert configs.get("test").active
        assert endpoint.calls <= 400 / 8 + 7 * 7  # each of seven packs was refused seven times


def test_a_kill_sends_again_no_more_than_was_in_flight(app, instance, texts, add_config, wait_for):
    with EmbeddingEndpoint(delay=0.05) as endpoint:
        add_config(endpoint.base_url, concurrency=3)
        job_id = texts([f"x{n}" for n in range(600)], inputs_per_call=10)
        resent = 0
        for calls in (12, 30):
            running = served(instance)
            wait_until(lambda calls=calls: endpoint.calls >= calls)
            gevent.sleep(0.02)
            resent += 10 * 3 + 100  # calls in flight, and at most one uncommitted batch
            running.kill()
            wait_until(lambda: endpoint.in_flight == 0)
        running = served(instance)
        assert wait_for(job_id, "completed").succeeded == 600
        assert running.stop() == 0
        sent = Counter(text for inputs in endpoint.inputs for text in inputs)
        assert len(sent) == 600
        assert sum(sent.values()) - 600 <= resent
    found = lines(job_id)
    assert [vector(line)[0] for line in found] == [len(f"x{n}") for n in range(600)]
