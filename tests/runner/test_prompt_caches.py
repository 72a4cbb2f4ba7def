"""Jobs on an endpoint with a prompt cache as OpenAI documents it (tests/emulators/caching.py)."""

import io
import json
import re
from collections import Counter
from decimal import Decimal

import gevent
import pytest

from simple_batch import insight
from simple_batch.engine import prompt_caching
from simple_batch.engine.failure_guard import GuardPolicy
from simple_batch.engine.prompt_caching import PromptCaching
from simple_batch.services import job_creation, jobs
from simple_batch.services.job_options import ExtraConfig
from simple_batch.store.database import connected

from .. import endpoint as e
from ..conftest import wait_until
from ..emulators.caching import CachingEndpoint
from .test_job_run import agrees

PREFIX = "You are a careful clerk. " * 320  # 8,000 characters, 2,000 tokens


def chat(system: str | None, user: str, **fields) -> dict:
    before = [] if system is None else [{"role": "system", "content": system}]
    return {"messages": [*before, {"role": "user", "content": user}], **fields}


@pytest.fixture
def make(app):
    def make(requests: list[dict], config: str = "test", **choices) -> int:
        file = io.BytesIO("\n".join(map(json.dumps, requests)).encode())
        with connected():
            options = jobs.JobOptions(config=config, **choices)
            return job_creation.create_now(file, "r.jsonl", options).id

    return make


@pytest.fixture
def knows(monkeypatch):
    """Has the program know what endpoints take for their caches."""

    def know(*endpoints: CachingEndpoint, **caching) -> None:
        known = [
            (re.compile(re.escape(one.base_url)), PromptCaching(**caching)) for one in endpoints
        ]
        monkeypatch.setattr(prompt_caching, "_known", lambda: known)

    return know


@pytest.mark.parametrize("aware", [True, False])
def test_all_but_the_first_read_the_prefix_from_the_cache(start, add_config, make, wait_for, aware):
    with CachingEndpoint(lambda: 0.3) as endpoint:
        add_config(endpoint.base_url, concurrency=15)
        job_id = make([chat(PREFIX, f"case {n}") for n in range(15)], cache_aware=aware)
        job = wait_for(job_id, "completed")
        assert job.succeeded == 15
        agrees(job_id)
        # calls before the first answer: as many as the start limit allows
        assert endpoint.caches.count(0) == (1 if aware else GuardPolicy().first)
        with connected():
            progress = insight.progress(job_id)
        assert progress["cache_hit_rate"] == pytest.approx(endpoint.share, abs=1e-4)
        assert progress["cache_hit_rate"] > 0.85 if aware else progress["cache_hit_rate"] < 0.4


@pytest.mark.parametrize(
    ("prices", "choice", "misses"),
    [
        ({"input_price": 2, "cached_input_price": 1}, None, 1),
        ({"input_price": 2, "cached_input_price": 2}, None, 8),
        ({}, None, 8),
        ({"input_price": 2, "cached_input_price": 1}, False, 8),
        ({}, True, 1),
    ],
)
def test_it_is_done_where_cached_input_is_cheaper_unless_the_job_says_otherwise(
    start, add_config, make, wait_for, prices, choice, misses
):
    with CachingEndpoint(lambda: 0.2) as endpoint:
        given = {name: Decimal(price) for name, price in prices.items()}
        add_config(endpoint.base_url, concurrency=8, output_price=Decimal(1), **given)
        job_id = make([chat(PREFIX, f"case {n}") for n in range(8)], cache_aware=choice)
        wait_for(job_id, "completed")
        assert endpoint.caches.count(0) == misses


def test_no_unknown_endpoint_gets_a_key(start, add_config, make, wait_for):
    with CachingEndpoint() as endpoint:
        add_config(endpoint.base_url, concurrency=5)
        wait_for(make([chat(PREFIX, f"case {n}") for n in range(5)], cache_aware=True), "completed")
        assert endpoint.keys == [""] * 5


def test_a_key_for_each_fifteen_calls_a_minute_each_with_its_leader(
    start, add_config, make, wait_for, knows
):
    with CachingEndpoint(lambda: 0.2) as endpoint:
        knows(endpoint, takes_key=True, key_rpm=15)
        add_config(endpoint.base_url, concurrency=60)
        requests = [chat(PREFIX, f"case {n}") for n in range(60)]
        requests += [chat(PREFIX, "with the user's key", prompt_cache_key="mine")]
        requests += [chat(None, "short")]
        job = wait_for(make(requests, cache_aware=True), "completed")
        assert job.succeeded == 62
        keys = Counter(endpoint.keys)
        assert keys.pop("") == keys.pop("mine") == 1
        assert max(keys.values()) <= 15
        assert len(keys) in (4, 5)
        assert endpoint.cache.overflowed == 0
        assert endpoint.caches.count(0) <= len(keys) + 2


def test_a_leader_that_fails_is_replaced_and_holds_up_no_other(start, add_config, make, wait_for):
    def answers(number, body):
        return e.error(500, "down") if number == 1 else None

    with CachingEndpoint(lambda: 0.2, answers) as endpoint:
        add_config(endpoint.base_url, concurrency=10)
        job_id = make([chat(PREFIX, f"case {n}") for n in range(10)], cache_aware=True)
        job = wait_for(job_id, "completed")
        assert (job.succeeded, job.retries) == (10, 1)
        agrees(job_id)
        assert endpoint.caches.count(0) <= 2  # the next leader, and the retry if it was as quick


def test_requests_of_other_prefixes_and_without_one_go_on_meanwhile(
    start, add_config, make, wait_for
):
    free = gevent.event.Event()

    def answers(number, body):
        if PREFIX in body["messages"][0]["content"]:
            return lambda connection: (free.wait(), connection.sendall(e.ok()))
        return None

    with CachingEndpoint(answers=answers) as endpoint:
        add_config(endpoint.base_url, concurrency=10)
        other = PREFIX.replace("careful", "careless")
        requests = [chat(PREFIX, f"case {n}") for n in range(5)]
        requests += [chat(other, f"case {n}") for n in range(5)]
        requests += [chat(None, f"case {n}") for n in range(5)]
        job_id = make(requests, cache_aware=True)
        wait_until(lambda: len(endpoint.caches) == 10)
        assert endpoint.calls == 11
        free.set()
        assert wait_for(job_id, "completed").succeeded == 15


def test_a_slow_leader_is_waited_for_a_short_time_only(
    start, app, add_config, make, wait_for, monkeypatch
):
    free = gevent.event.Event()

    def answers(number, body):
        if number == 1:
            return lambda connection: (free.wait(), connection.sendall(e.ok()))
        return None

    with CachingEndpoint(answers=answers) as endpoint:
        monkeypatch.setattr("simple_batch.runner.prompt_caches.PrefixGate", quick_gate)
        add_config(endpoint.base_url, concurrency=10)
        job_id = make([chat(PREFIX, f"case {n}") for n in range(10)], cache_aware=True)
        wait_until(lambda: len(endpoint.caches) == 9)
        free.set()
        assert wait_for(job_id, "completed").succeeded == 10


def quick_gate(rpm, wait_s, lifetime_s):
    from simple_batch.engine.cache_gate import PrefixGate

    assert (wait_s, lifetime_s) == (10.0, 300.0)
    return PrefixGate(rpm, 0.1, lifetime_s)


def test_each_of_several_apis_has_its_own_leader(start, add_config, make, wait_for):
    with CachingEndpoint(lambda: 0.1) as a, CachingEndpoint(lambda: 0.1) as b:
        add_config(a.base_url, alias="a", concurrency=5)
        add_config(b.base_url, alias="b", concurrency=5)
        job_id = make(
            [chat(PREFIX, f"case {n}") for n in range(20)],
            "a",
            also=(ExtraConfig("b"),),
            cache_aware=True,
        )
        assert wait_for(job_id, "completed").succeeded == 20
        agrees(job_id)
        assert (a.caches[:15].count(0), b.caches[:15].count(0)) == (1, 1)  # the rest overflows
        assert min(len(a.caches), len(b.caches)) > 4


def test_what_one_api_fails_goes_to_the_other(start, add_config, make, wait_for):
    with CachingEndpoint(answers=lambda *_: e.error(500, "down")) as a, CachingEndpoint() as b:
        add_config(a.base_url, alias="a", concurrency=5)
        add_config(b.base_url, alias="b", concurrency=5)
        job_id = make(
            [chat(PREFIX, f"case {n}") for n in range(30)],
            "a",
            also=(ExtraConfig("b"),),
            cache_aware=True,
            max_retries=0,
        )
        job = wait_for(job_id, "completed")
        assert (job.succeeded, job.failed) == (30, 0)
        agrees(job_id)


def test_a_pause_leaves_what_is_held_pending(start, add_config, make, wait_for):
    with CachingEndpoint(lambda: 0.3) as endpoint:
        add_config(endpoint.base_url, concurrency=2)
        job_id = make([chat(PREFIX, f"case {n}") for n in range(40)], cache_aware=True)
        wait_until(lambda: endpoint.calls == 1)
        with connected():
            jobs.pause(job_id)
        job = wait_for(job_id, "paused")
        assert endpoint.calls <= 2
        with connected():
            jobs.resume(job_id)
        endpoint._latency_s = lambda: 0.01
        job = wait_for(job_id, "completed")
        assert (job.succeeded, endpoint.calls) == (40, 40)
        agrees(job_id)


def test_a_key_that_the_model_rejects_is_left_out(start, add_config, make, wait_for, knows):
    rejected = e.error(400, "Unsupported parameter: 'prompt_cache_key' is not supported.")

    def answers(number, body):
        return rejected if "prompt_cache_key" in body else None

    with CachingEndpoint(answers=answers) as endpoint:
        knows(endpoint, takes_key=True, key_rpm=15)
        add_config(endpoint.base_url, concurrency=5)
        job_id = make([chat(PREFIX, f"case {n}") for n in range(10)], cache_aware=True)
        job = wait_for(job_id, "completed")
        assert (job.succeeded, job.failed) == (10, 0)
        assert endpoint.keys[-5:] == [""] * 5


def test_the_shared_part_is_marked_for_models_that_need_it(
    start, add_config, make, wait_for, knows
):
    bodies = []

    def answers(number, body):
        bodies.append(body)

    with CachingEndpoint(answers=answers) as endpoint:
        knows(endpoint, takes_key=True, key_rpm=15, openai=True)
        add_config(endpoint.base_url, model="gpt-5.6-luna", concurrency=5)
        requests = [chat(PREFIX, f"case {n}") for n in range(4)]
        requests += [chat(PREFIX + "and once more", "alone"), chat(PREFIX, "x", model="gpt-5.5")]
        wait_for(make(requests, cache_aware=True), "completed")
        marked = [body for body in bodies if "prompt_cache_options" in body]
        assert len(marked) == 4
        for body in marked:
            assert body["prompt_cache_options"] == {"mode": "explicit"}
            assert body["messages"][0]["content"] == [
                {
                    "type": "text",
                    "text": PREFIX,
                    "prompt_cache_breakpoint": {"mode": "explicit"},
                }
            ]
            assert isinstance(body["messages"][1]["content"], str)
