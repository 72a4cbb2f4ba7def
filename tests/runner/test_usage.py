"""Jobs on endpoints that report tokens in other shapes than OpenAI, or not at all: what is stored, shown,
exported and counted toward caps."""

import csv
import io
import json
from decimal import Decimal

import pytest

from simple_batch import export, insight
from simple_batch.core.call_prices import NANO
from simple_batch.services import jobs
from simple_batch.store.database import connected
from simple_batch.store.models import Attempt, Result

from .. import endpoint as e
from ..endpoint import EmbeddingEndpoint, MisbehavingEndpoint
from .test_spend_caps import PRICED, later

PRICES = {  # of a token: 0.1, 0.01, 0.125 and 0.2 units
    **{"input_price": Decimal(100_000), "cached_input_price": Decimal(10_000)},
    **{"cache_write_price": Decimal(125_000), "output_price": Decimal(200_000)},
}
OPENAI = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
KINDS = {
    "thinking": (  # xAI, Gemini, one that no list contains
        (100, 50, 0, 0),
        {**OPENAI, "total_tokens": 150, "completion_tokens_details": {"reasoning_tokens": 40}},
        {**OPENAI, "total_tokens": 150},
        {**OPENAI, "total_tokens": 150, "pondering": {"budget": 1, "spent": 40}},
    ),
    "cached": (
        (100, 10, 40, 0),
        {**OPENAI, "cached_tokens": 40},
        {**OPENAI, "prompt_cache_hit_tokens": 40, "prompt_cache_miss_tokens": 60},
        {**OPENAI, "prompt_tokens_details": {"warm_cache_tokens": 40}},
    ),
    "written": (
        (100, 10, 40, 20),
        {**OPENAI, "prompt_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 20}},
        {"input_tokens": 40, "output_tokens": 10}
        | {"cache_read_input_tokens": 40, "cache_creation_input_tokens": 20},
        {**OPENAI, "prefixCacheHitTokens": 40, "prefixCacheStoredTokens": 20},
    ),
    "figures": (
        (100, 10, 0, 0),
        {name: str(count) for name, count in OPENAI.items()},
        {name: float(count) for name, count in OPENAI.items()} | {"prompt_tokens_details": []},
        {"promptTokenCount": 100, "candidatesTokenCount": 10, "totalTokenCount": 110},
        {"spent": {"inputTokens": 100, "answerTokens": 10}, "elapsed": 0.5},
    ),
}


def told(usage) -> bytes:
    return e.http(200, {**e.GOOD, "usage": usage})


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_billed_is_stored_and_priced(start, add_config, make_job, wait_for, kind):
    expected, *shapes = KINDS[kind]
    with MisbehavingEndpoint(*map(told, shapes)) as endpoint:
        add_config(endpoint.base_url, concurrency=1, **PRICES)
        job_id = make_job(len(shapes))
        wait_for(job_id, "completed")
    sent, got, cached, written = expected
    with connected():
        names = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens")
        rows = [
            tuple(getattr(row, name) for name in names)
            for row in Result.select().order_by(Result.idx)
        ]
        assert rows == [expected] * len(shapes)
        found = insight.summary(job_id)
        assert found["tokens"]["cache_write"] == written * len(shapes)
        assert found["tokens"]["cached"] == cached * len(shapes)
        assert found["tokens"]["estimated"] == 0
        cost = 0.1 * (sent - cached - written) + 0.01 * cached + 0.125 * written + 0.2 * got
        assert found["cost"]["amount"] == pytest.approx(cost * len(shapes))


def test_a_cap_of_one_dollar_holds_where_thinking_is_counted_outside_the_output(
    start, add_config, make_job, wait_for
):
    usage = {
        **{"prompt_tokens": 310, "completion_tokens": 400, "total_tokens": 12_710},
        **{"completion_tokens_details": {"reasoning_tokens": 12_000}, "num_sources_used": 0},
    }
    of_a_call = (310 * 3 + 12_400 * 15) * 1_000
    with MisbehavingEndpoint(later(0.005, told(usage))) as endpoint:
        prices = {"input_price": Decimal(3), "output_price": Decimal(15)}
        add_config(endpoint.base_url, concurrency=8, **prices)
        job = wait_for(make_job(400, spend_cap=Decimal(1)), "paused")
        assert job.status_reason == "spend_cap"
        assert job.cost_nano == endpoint.calls * of_a_call
        assert NANO <= job.cost_nano < NANO + of_a_call  # few run at a time near the cap


def test_calls_without_usage_count_toward_the_cap(start, add_config, make_job, wait_for):
    shapes = (None, {}, {"prompt_tokens": -7, "completion_tokens": 3}, {"tokens": "many"})
    with MisbehavingEndpoint(*map(told, shapes)) as endpoint:
        add_config(endpoint.base_url, concurrency=1, **PRICED)
        job = wait_for(make_job(300, spend_cap=Decimal(200)), "paused")
        assert (job.status_reason, job.unpriced) == ("spend_cap", 0)
        assert job.estimated_calls == job.succeeded == endpoint.calls > len(shapes)
        a_call = job.cost_nano / NANO / endpoint.calls
        assert 200 <= job.cost_nano / NANO < 200 + 2 * a_call
        with connected():
            assert {row.estimated for row in Result.select()} == {1}


def test_estimates_are_marked_wherever_tokens_are_shown(
    app, start, add_config, make_job, wait_for, tmp_path
):
    reported = {**OPENAI, "prompt_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 20}}
    with MisbehavingEndpoint(told(None), told(reported)) as endpoint:
        add_config(endpoint.base_url, concurrency=1, **PRICED)
        job_id = make_job(2)
        wait_for(job_id, "completed")
    client = app.test_client()
    for language, words, calls, written in (
        ("en", "estimated", "calls with estimated tokens", "20 written to the cache"),
        ("zh", "估算", "token 为估算的调用", "写入缓存 20"),
    ):
        first, second = (
            client.get(f"/jobs/{job_id}/requests/{n}?lang={language}").text for n in range(2)
        )
        badge = f">{words}</span>"
        assert (first.count(badge), second.count(badge)) == (2, 0)  # of the tokens and of the cost
        assert written in second
        table = client.get(f"/jobs/{job_id}/requests?lang={language}").text
        assert table.count(f'<abbr title="{words}">≈</abbr>') == 2
        page = client.get(f"/jobs/{job_id}?lang={language}").text
        assert f"{calls}\n        1</span>" in page
    assert client.get(f"/jobs/{job_id}/progress.json").json["tokens"]["estimated"] == 1
    shown = app.test_cli_runner().invoke(args=["show-job", str(job_id), "--json"]).stdout
    assert json.loads(shown)["tokens"]["estimated"] == 1
    assert json.loads(shown)["tokens"]["cache_write"] == 20
    with connected():
        lines = [
            json.loads(one) for one in b"".join(export.export(job_id, "jsonl", "all")).splitlines()
        ]
        table = b"".join(export.export(job_id, "csv", "all")).decode("utf-8-sig")
    assert [one["usage"]["estimated"] for one in lines] == [True, False]
    assert lines[1]["usage"] == {
        **{"input": 100, "output": 10, "total": 110, "cached": 40, "reasoning": 0},
        **{"cache_write": 20, "estimated": False},
    }
    rows = list(csv.DictReader(io.StringIO(table)))
    assert [row["usage_estimated"] for row in rows] == ["1", "0"]
    metrics = client.get("/metrics").text
    assert 'simple_batch_cache_tokens_total{config="test",kind="write"}' in metrics
    assert "simple_batch_estimated_calls_total" in metrics


def test_an_answer_that_does_not_match_is_estimated_as_well(start, add_config, make_job, wait_for):
    schema = {"type": "object", "required": ["a"]}
    answers = [json.loads(e.says(text).split(b"\r\n\r\n")[1]) for text in ("no", {"a": 1})]
    silent = [e.http(200, {**answer, "usage": None}) for answer in answers]
    with MisbehavingEndpoint(*silent) as endpoint:
        add_config(endpoint.base_url, concurrency=1, **PRICED)
        job_id = make_job(1, schema=schema, schema_retry=True, max_retries=1)
        job = wait_for(job_id, "completed")
        assert (job.succeeded, job.attempts, job.estimated_calls, job.unpriced) == (1, 2, 2, 0)
        with connected():
            failed = Attempt.get()
            assert (failed.cause, failed.estimated) == ("schema", 1)
            assert failed.cost_nano + Result.get().cost_nano == job.cost_nano


def test_of_packed_embeddings_each_part_is_estimated(app, start, add_config, wait_for, tmp_path):
    def silent(inputs):
        return e.http(200, {**e.embeddings(inputs), "usage": None})

    path = tmp_path / "lines.jsonl"
    lines = [
        {
            "custom_id": str(n),
            "method": "POST",
            "url": "/v1/embeddings",
            "body": {"input": "word " * n},
        }
        for n in range(1, 9)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with EmbeddingEndpoint(silent) as endpoint:
        add_config(endpoint.base_url, **PRICED)
        made = app.test_cli_runner().invoke(args=["create-job", str(path), "--config", "test"])
        job = wait_for(int(made.stdout), "completed")
        assert (job.succeeded, endpoint.calls) == (8, 1)
        assert (job.estimated_calls, job.unpriced, job.output_tokens) == (8, 0, 0)
        with connected():
            rows = list(Result.select().order_by(Result.idx))
            assert sum(row.input_tokens for row in rows) == job.input_tokens
            assert rows[7].input_tokens > rows[0].input_tokens
            assert {row.estimated for row in rows} == {1}


def test_without_a_price_the_cost_stays_unknown(start, add_config, make_job, wait_for):
    with MisbehavingEndpoint(told(None)) as endpoint:
        add_config(endpoint.base_url)
        job_id = make_job(2)
        job = wait_for(job_id, "completed")
        assert (job.unpriced, job.estimated_calls) == (2, 2)
        with connected():
            assert insight.summary(job_id)["cost"]["amount"] is None
            jobs.reset(job_id)
            assert jobs.get(job_id).estimated_calls == 0


def test_the_messages_api_s_writes_for_an_hour_cost_what_their_rule_says(
    start, add_config, make_job, wait_for
):
    """Of 400 tokens written to the cache, 300 are kept for an hour: at twice the input, the others at
    1.25 times."""
    told = {"input_tokens": 100, "output_tokens": 10, "cache_read_input_tokens": 0}
    told["cache_creation_input_tokens"] = 400
    lifetimes = {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 300}
    message = {
        **{"id": "msg_1", "type": "message", "role": "assistant", "model": "m"},
        **{"content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn"},
        "usage": {**told, "cache_creation": lifetimes, "service_tier": "standard"},
    }
    with MisbehavingEndpoint(e.http(200, message)) as endpoint:
        add_config(
            endpoint.base_url,
            api_format="anthropic",
            auth="x-api-key",
            price_rules='{"cache_write_1h": "2"}',
            **PRICES,
        )
        job = wait_for(make_job(1), "completed")
    assert job.cache_write_tokens == 400
    # of a token: 0.1 fresh, 0.125 and 0.2 written, 0.2 of output
    assert job.cost_nano == round((100 * 0.1 + 100 * 0.125 + 300 * 0.2 + 10 * 0.2) * NANO)
    assert job.saved_cache_nano == round(-(100 * 0.025 + 300 * 0.1) * NANO)
    with connected():
        assert Result.get().cache_write_1h_tokens == 300
