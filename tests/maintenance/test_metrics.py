"""/metrics as Prometheus reads it; the dashboard uses only existing metrics."""

import json
import re
from decimal import Decimal
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as families

from simple_batch.auth import tokens
from simple_batch.core import identity
from simple_batch.services import job_creation, jobs
from simple_batch.services.metrics import _buckets
from simple_batch.store import counters
from simple_batch.store.database import connected
from simple_batch.store.latency_sketch import LatencySketch

from .. import endpoint as e
from .. import postgres
from ..conftest import wait_until
from ..endpoint import MisbehavingEndpoint

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"
ODD = 'odd "alias"\\ 中文'


@pytest.fixture
def fresh(monkeypatch):
    """Sets the counters of the process to zero."""
    process_counters = counters.ProcessCounters()
    for module in ("store.job_change", "store.duplicates", "services.metrics"):
        monkeypatch.setattr(f"simple_batch.{module}.process_counters", process_counters)
    return process_counters


def samples(client) -> dict[tuple, float]:
    text = client.get("/metrics").text
    return {
        (sample.name.removeprefix("simple_batch_"), *sorted(sample.labels.values())): sample.value
        for family in families(text)
        for sample in family.samples
    }


def test_a_job_shows_in_every_figure(app, client, fresh, add_config, make_job, wait_for):
    with MisbehavingEndpoint(e.error(429), e.error(500), e.slow(0.12)) as endpoint:
        prices = {"input_price": Decimal(1), "output_price": Decimal(2), "currency": "EUR"}
        add_config(endpoint.base_url, ODD, concurrency=3, **prices)
        add_config("http://127.0.0.1:9/v1", "unpriced")
        services = app.extensions["simple_batch"]
        before = samples(client)
        assert before["ready", "runner"] == 0
        assert ("governor_limit", ODD) not in before
        services.start()
        job_id = make_job(30, ODD)
        wait_for(job_id, "running", "completed")
        during = wait_until(lambda: ("governor_limit", ODD) in (now := samples(client)) and now)
        assert during["governor_limit", ODD] == 3
        assert during["ready", "runner"] == 1
        wait_for(job_id, "completed")
        held = make_job(7, "unpriced", hold=True)
        text = client.get("/metrics").text
        found = samples(client)
        assert openmetrics_names(client) == {
            sample.name for f in families(text) for sample in f.samples
        }
    with connected():
        job = jobs.get(job_id)
    assert found["requests_total", ODD, "succeeded"] == 30
    assert found["outcomes_total", ODD, "ok"] == 30
    assert found["attempts_failed_total", ODD, "rate_limit"] == 1
    assert found["attempts_failed_total", ODD, "server_error"] == 1
    assert found["retries_total",] == 2
    assert found["tokens_total", "input", ODD] == job.input_tokens > 0
    assert found["tokens_total", ODD, "output"] == job.output_tokens > 0
    assert found["cost_total", "EUR", ODD] == pytest.approx(job.cost_nano / 1e9)
    assert found["request_latency_seconds_count", ODD] == 30
    assert found["request_latency_seconds_bucket", "0.1", ODD] == 0
    assert found["request_latency_seconds_bucket", "13", ODD] == 30
    assert found["request_latency_seconds_bucket", "+Inf", ODD] == 30
    # the sketch is accurate to 1 %
    assert 0.99 * 30 * 0.12 < found["request_latency_seconds_sum", ODD] < 30 * 13
    assert found["jobs", "completed"] == 1
    assert found["jobs", "paused"] == 1
    assert found["jobs", "running"] == 0
    assert found["requests_pending",] == 7
    assert held
    assert found["recorder_commit_seconds_count",] >= 1
    assert 0 < found["recorder_commit_seconds_sum",] < 30
    assert found["recorder_queue",] == found["recorder_lag_seconds",] == 0
    assert found["loop_lag_seconds_count",] >= 1
    assert found["live_clients",] == 0
    assert found["database_bytes",] > 0
    assert found["process_open_fds",] > 3
    assert any(name == "build_info" for name, *_ in found)
    assert not any(name == "cost_total" and "unpriced" in labels for name, *labels in found)
    assert "sk-planted" not in text
    assert "question" not in text
    of_files = {f"simple_batch_database_{of}_bytes" for of in ("wal", "reusable")}
    wanted = _names_in_dashboard() - (of_files if postgres.CHOSEN else set())
    assert wanted <= _known(text) | _known_by_type(text)


def test_what_is_saved_is_counted_by_way(app, client, fresh, add_config, tmp_path, wait_for):
    """Two different requests, one of them three times: each call reads from the cache, at a cheaper tier."""
    usage = {"prompt_tokens": 100, "completion_tokens": 10}
    usage["prompt_tokens_details"] = {"cached_tokens": 80}
    answer = e.http(200, {**e.GOOD, "usage": usage, "service_tier": "flex"})
    prices = {"input_price": 1_000_000, "cached_input_price": 100_000, "output_price": 1_000_000}
    rules = '{"tiers": {"flex": {"input": "0.5", "output": "0.5"}}}'
    path = tmp_path / "same.jsonl"
    path.write_text(
        "".join(f'{{"messages": [{{"role": "user", "content": "{c}"}}]}}\n' for c in "abaa")
    )
    app.extensions["simple_batch"].start()
    with MisbehavingEndpoint(answer) as endpoint:
        decimals = {name: Decimal(price) for name, price in prices.items()}
        add_config(endpoint.base_url, ODD, price_rules=rules, **decimals)
        with connected():
            options = jobs.JobOptions(config=ODD, ask_once=True)
            job_id = job_creation.create_now(path, path.name, options).id
        wait_for(job_id, "completed")
    found = samples(client)
    saved = {
        by: found["saved_by_calls_total", *sorted((by, ODD))]
        for by in ("cache", "tier", "duplicates")
    }
    assert saved == {"cache": 2, "tier": 2, "duplicates": 2}
    money = {by: found["saved_by_cost", *sorted(("USD", by, ODD))] for by in saved}
    assert money == {"cache": 2 * 72, "tier": 2 * 19, "duplicates": 2 * 19}
    assert found["saved_calls_total",] == 2
    report = client.get(f"/jobs/{job_id}/report.html").text
    page = client.get(f"/jobs/{job_id}").text
    for shown in (report, page):
        for words in (
            "Saved by prompt cache",
            "Saved by service tier",
            "Saved by identical requests",
        ):
            assert words in shown
        assert "$144.00" in shown and "$38.00" in shown


COSTS = ("cost", "tokens", "requests_total", "attempts", "latency", "priced", "saved", "governor")


@pytest.mark.parametrize("accept", ["text/plain", "application/openmetrics-text"])
def test_who_sees_not_all_jobs_is_shown_no_ones_cost(
    app, people, fresh, add_config, make_job, accept
):
    """Otto has a job; one of his tokens has none."""
    add_config("http://127.0.0.1:9/v1", ODD, input_price=Decimal(1), output_price=Decimal(2))
    with connected():
        identity.act_as(identity.Actor("otto", user=people["otto"]))
        make_job(3, ODD, hold=True)
        identity.act_as(identity.CLI)
        make_job(4, ODD, hold=True)
        made = [tokens.create(f"{n}", n > 0, "read", people["otto"])[1] for n in range(2)]
        made.append(tokens.create("all", True, "read", people["anna"])[1])
    fresh.finished(ODD, 1, 0, 7, 8)
    fresh.answered(ODD, LatencySketch())
    fresh.paid(1, "USD", 5)
    received = []
    for secret in made:
        headers = {"Authorization": f"Bearer {secret}", "Accept": accept}
        text = app.test_client().get("/metrics", headers=headers).text
        left = re.search(r"^simple_batch_requests_pending ([\d.]+)", text, re.MULTILINE)
        paused = re.search(r'^simple_batch_jobs{status="paused"} ([\d.]+)', text, re.MULTILINE)
        names = {line.split("{")[0] for line in text.splitlines() if line.startswith("simple")}
        shown = {part for part in COSTS if any(part in name for name in names)}
        received.append((float(left[1]), float(paused[1]), "config=" in text, bool(shown)))
    assert received == [(0, 0, False, False), (3, 1, False, False), (7, 2, True, True)]


def openmetrics_names(client) -> set[str]:
    """The samples in the other format."""
    answer = client.get("/metrics", headers={"Accept": "application/openmetrics-text"})
    assert answer.content_type.startswith("application/openmetrics-text")
    return {sample.name for family in openmetrics(answer.text) for sample in family.samples}


def _names_in_dashboard() -> set[str]:
    """Every metric in a query of the dashboard or a rule."""
    board = json.loads((DEPLOY / "grafana-dashboard.json").read_text("utf-8"))
    queries = [t["expr"] for panel in board["panels"] for t in panel.get("targets", ())]
    queries += [v["query"] for v in board["templating"]["list"] if v["type"] == "query"]
    queries.append((DEPLOY / "prometheus-rules.yml").read_text("utf-8"))
    assert len(queries) > 12
    names = set()
    for query in queries:
        names |= set(re.findall(r"\b(?:simple_batch|process|python)_\w+", query))
    return names


def _known(text: str) -> set[str]:
    """The names of all samples; of families without samples at the moment, the names they would
    have."""
    return {sample.name for family in families(text) for sample in family.samples}


def _known_by_type(text: str) -> set[str]:
    ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
    kinds = re.findall(r"^# TYPE (\S+) (\w+)$", text, re.MULTILINE)
    return {
        name.removesuffix("_total") + end
        for name, kind in kinds
        for end in ends.get(kind, ("_sum", "_count"))
    }


def test_the_histogram_is_the_sketch_and_labels_are_bounded():
    sketch = LatencySketch()
    for latency in (50, 90, 240, 900, 4000, 70_000, 900_000):
        sketch.add(latency)
    buckets = dict(_buckets(sketch))
    assert [buckets[name] for name in ("0.1", "0.25", "1", "5", "60", "120", "600", "+Inf")] == [
        2,
        3,
        4,
        5,
        5,
        6,
        6,
        7,
    ]
    counted = counters.ProcessCounters()
    for n in range(counters.MAX_CONFIGS + 50):
        counted.finished(f"config {n}", 1, 0, 0, 0)
        counted.answered(f"config {n}", sketch)
        counted.paid(n + 1, "USD", 5)
    assert len(counted.latency) == counters.MAX_CONFIGS + 1
    assert counted.requests[counters.REST, "succeeded"] == 50
    assert sum(counted.cost_nano.values()) == 5 * (counters.MAX_CONFIGS + 50)
    assert len(counted.cost_nano) == counters.MAX_CONFIGS + 1
