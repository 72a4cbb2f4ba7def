"""Service tiers in jobs on a real endpoint: what is sent, what an answer's tier costs, requests whose tier has no
room, and what a job saved."""

import csv
import io
import json
from decimal import Decimal

import pytest

from simple_batch import export, insight
from simple_batch.core.call_prices import NANO
from simple_batch.core.clock import now_ms
from simple_batch.core.domain import BATCH_TIER
from simple_batch.core.errors import InvalidInput
from simple_batch.runner.providers import Provider
from simple_batch.services import job_creation, jobs, lifecycle, recipes
from simple_batch.store.database import connected
from simple_batch.store.models import ApiConfig, Attempt, JobEvent, Result

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from ..process import flask
from .test_spend_caps import PRICED

HALF = json.dumps({"tiers": {"flex": {"input": "0.5", "output": "0.5"}}})
USAGE = {"prompt_tokens": 100, "completion_tokens": 10}  # 110 units at the standard tier
FULL = {"error": {"message": "Resource Unavailable", "code": "resource_unavailable"}}


def told(**more) -> bytes:
    return e.http(200, {**e.GOOD, "usage": USAGE, **more})


def tier_answers(**more):
    """Each answer names the tier that its request asked for."""

    class Endpoint(MisbehavingEndpoint):
        def _next(self, head, body):
            super()._next(head, body)
            asked = self.bodies[-1].get("service_tier", "default")
            return told(**more, service_tier=asked)

    return Endpoint(b"")


def test_a_job_asks_for_a_tier_and_pays_what_the_answers_name(
    start, add_config, make_job, wait_for, client
):
    with MisbehavingEndpoint(
        told(service_tier="flex"),
        told(service_tier="default"),
        told(usage={**USAGE, "service_tier": "standard"}),
        told(),
    ) as endpoint:
        add_config(endpoint.base_url, concurrency=1, price_rules=HALF, **PRICED)
        job_id = make_job(4, service_tier="flex")
        wait_for(job_id, "completed")
        assert [body["service_tier"] for body in endpoint.bodies] == ["flex"] * 4
    with connected():
        rows = list(Result.select().order_by(Result.idx))
        assert [row.service_tier for row in rows] == ["flex", "default", "standard", None]
        assert [row.cost_nano // NANO for row in rows] == [55, 110, 110, 110]
        found = insight.summary(job_id)
        assert found["cost"]["amount"] == 385
        assert found["saved"] == [
            {"by": "tier", "calls": 1, "amount": 55.0, "currency": "USD"},
        ]
        written = b"".join(export.export(job_id, "csv")).decode("utf-8-sig")
    table = list(csv.DictReader(io.StringIO(written)))
    assert [row["service_tier"] for row in table] == ["flex", "default", "standard", ""]
    for page in (
        f"/jobs/{job_id}",
        f"/jobs/{job_id}/report.html",
        f"/compare?a={job_id}&b={job_id}",
    ):
        text = client.get(page).text
        assert "Saved by service tier" in text and "$55.00" in text, page
    assert "<dd>flex</dd>" in client.get(f"/jobs/{job_id}/requests/0").text
    assert "service_tier" in client.get(f"/jobs/{job_id}/requests?cols=service_tier").text


@pytest.mark.parametrize(
    ("rules", "discount", "each"),
    [
        ({"batch": "0.5"}, None, 55),
        ({"tiers": {"batch": {"input": "0.5", "output": "0.3"}}}, None, 53),
        ({"batch": "0.5"}, 0.6, 66),
        ({}, 0.6, 66),
        (json.loads(HALF), None, None),  # a flex price says nothing about a batch
    ],
)
def test_what_came_through_a_batch_has_the_batch_price_or_an_unknown_cost(
    start, add_config, make_job, wait_for, client, rules, discount, each
):
    with MisbehavingEndpoint(told(service_tier=BATCH_TIER)) as endpoint:
        found = {"price_rules": json.dumps(rules), "batch_discount": discount}
        add_config(endpoint.base_url, **found, **PRICED)
        job_id = make_job(2)
        wait_for(job_id, "completed")
    with connected():
        found = insight.summary(job_id)
    if each is None:
        assert (found["cost"]["amount"], found["saved"]) == (None, [])
        return
    assert found["cost"]["amount"] == 2 * each
    saving = {"by": "batch", "calls": 2, "amount": 2.0 * (110 - each), "currency": "USD"}
    assert found["saved"] == client.get(f"/jobs/{job_id}/progress.json").json["saved"] == [saving]
    assert "Saved by the provider&#39;s batch" in client.get(f"/jobs/{job_id}").text


def test_a_tier_without_a_price_makes_the_cost_unknown(start, add_config, make_job, wait_for):
    with MisbehavingEndpoint(told(service_tier="ultrafast"), told()) as endpoint:
        add_config(endpoint.base_url, concurrency=1, price_rules=HALF, **PRICED)
        job_id = make_job(2)
        wait_for(job_id, "completed")
    with connected():
        found = insight.summary(job_id)
        assert found["cost"]["amount"] is None
        assert [row.cost_nano for row in Result.select().order_by(Result.idx)] == [
            None,
            110 * NANO,
        ]


def test_the_tier_of_a_line_goes_before_the_jobs_and_that_before_the_configs(
    start, add_config, make_job, wait_for, tmp_path, app
):
    with tier_answers() as endpoint:
        config = add_config(endpoint.base_url, **PRICED)
        with connected():
            ApiConfig.update(service_tier="priority").where(ApiConfig.id == config.id).execute()
        wait_for(make_job(1), "completed")
        wait_for(make_job(1, service_tier="flex"), "completed")
        wait_for(make_job(1, params={"service_tier": "auto"}), "completed")
        assert [body["service_tier"] for body in endpoint.bodies] == ["priority", "flex", "auto"]


@pytest.mark.parametrize("refusal", [e.http(429, FULL), e.http(498, {"error": {"message": "x"}})])
def test_a_tier_without_room_is_left_after_three_refusals_and_teaches_no_limit(
    start, add_config, make_job, wait_for, refusal, app
):
    class Endpoint(MisbehavingEndpoint):
        def _next(self, head, body):
            super()._next(head, body)
            flex = self.bodies[-1].get("service_tier") == "flex"
            return refusal if flex else told(service_tier="default")

    with Endpoint(b"") as endpoint:
        add_config(endpoint.base_url, price_rules=HALF, **PRICED)
        job_id = make_job(8, service_tier="flex", max_retries=0)
        job = wait_for(job_id, "completed")
        assert (job.succeeded, job.tier_fallbacks) == (8, 8)
        state = lifecycle.figures().governors["test"]
        assert (state.rpm_learned, state.cooldown_s) == (None, 0)
    assert endpoint.calls == 8 * 4
    with connected():
        assert {row.service_tier for row in Result.select()} == {"default"}
        assert Attempt.select().where(Attempt.cause == "overloaded").count() == 24
        events = [event.detail for event in JobEvent.select() if "service tier" in event.detail]
        assert len(events) == 1
        assert job.cost_nano == 8 * 110 * NANO


def test_a_line_that_names_a_tier_keeps_it(start, add_config, app, wait_for, tmp_path):
    path = tmp_path / "own.jsonl"
    body = {"messages": [{"role": "user", "content": "x"}], "service_tier": "flex"}
    path.write_text(json.dumps(body))
    with MisbehavingEndpoint(*[e.http(429, FULL)] * 5, told(service_tier="flex")) as endpoint:
        add_config(endpoint.base_url, price_rules=HALF, **PRICED)
        with connected():
            job_id = job_creation.create_now(path, path.name, jobs.JobOptions(config="test")).id
        job = wait_for(job_id, "completed")
        assert (job.succeeded, job.tier_fallbacks) == (1, 0)
        assert {body["service_tier"] for body in endpoint.bodies} == {"flex"}


def test_a_cap_that_leaves_no_room_for_the_standard_price_keeps_the_tier(
    start, add_config, make_job, wait_for
):
    answers = [told(service_tier="flex")] * 2, [e.http(429, FULL)] * 6, [told(service_tier="flex")]
    with MisbehavingEndpoint(*[each for some in answers for each in some]) as endpoint:
        add_config(endpoint.base_url, concurrency=1, price_rules=HALF, **PRICED)
        # two answers have cost 110; a third at the standard price would exceed the cap
        job_id = make_job(3, service_tier="flex", spend_cap=Decimal(200))
        job = wait_for(job_id, "completed")
        assert (job.succeeded, job.tier_fallbacks, endpoint.calls) == (3, 0, 9)
        assert job.cost_nano == 165 * NANO


@pytest.mark.parametrize("cap", [None, 200])
def test_near_the_deadline_the_tier_is_left_after_one_refusal_if_the_cap_allows(
    start, add_config, make_job, wait_for, cap
):
    """A flex call may take 15 minutes, the deadline is in 10. After two answers that cost 110, a third at the
    standard price exceeds a cap of 200."""
    answers = [told(service_tier="flex")] * 2 + [e.http(429, FULL)]

    class Endpoint(MisbehavingEndpoint):
        def _next(self, head, body):
            super()._next(head, body)
            if self.calls <= 3:
                return answers[self.calls - 1]
            return told(service_tier=self.bodies[-1].get("service_tier", "default"))

    with Endpoint(b"") as endpoint:
        # a time-out of 60 s is the usual one, which flex replaces
        add_config(endpoint.base_url, concurrency=1, timeout_s=60.0, price_rules=HALF, **PRICED)
        choices = {"deadline_at": now_ms() + 600_000, "service_tier": "flex"}
        job_id = make_job(3, spend_cap=None if cap is None else Decimal(cap), **choices)
        job = wait_for(job_id, "completed")
        asked = [body.get("service_tier") for body in endpoint.bodies]
    standard = cap is None
    assert asked == ["flex"] * 3 + [None if standard else "flex"]
    assert (job.succeeded, job.tier_fallbacks) == (3, int(standard))
    assert job.cost_nano == (220 if standard else 165) * NANO


def test_a_settings_file_carries_the_tier(start, add_config, wait_for, questions):
    """As the page and a download of a job's settings have it."""
    with tier_answers() as endpoint:
        add_config(endpoint.base_url, price_rules=HALF, **PRICED)
        with connected():
            new = recipes.load(recipes.dump(jobs.JobOptions(config="test", service_tier="flex")))
            assert new.service_tier == "flex"
            path = questions(2)
            job_id = job_creation.create_now(path, path.name, new).id
        job = wait_for(job_id, "completed")
        assert [body["service_tier"] for body in endpoint.bodies] == ["flex"] * 2
    assert job.cost_nano == 2 * 55 * NANO


def test_the_command_takes_a_tier(instance, app, add_config, questions):
    with tier_answers() as endpoint:
        add_config(endpoint.base_url, price_rules=HALF, **PRICED)
        options = ("--config", "test", "--service-tier", "flex")
        done = flask(instance, "run-job", str(questions(2)), *options)
        assert done.returncode == 0, done.stderr
        assert [body["service_tier"] for body in endpoint.bodies] == ["flex"] * 2
        found = json.loads(flask(instance, "show-job", "1", "--json").stdout)
        refused = flask(instance, "create-job", str(questions(1)), *options[:3], "two words")
    assert found["cost"] == {"amount": 110.0, "currency": "USD"}
    assert found["saved"] == [{"by": "tier", "calls": 2, "amount": 110.0, "currency": "USD"}]
    assert (refused.returncode, "Service tier" in refused.stderr) == (2, True)


def test_a_cap_needs_the_price_of_the_tier(add_config, make_job):
    add_config("http://127.0.0.1:9/v1", **PRICED)
    with pytest.raises(InvalidInput, match="flex") as wrong:
        make_job(1, service_tier="flex", spend_cap=Decimal(1))
    assert wrong.value.field == "spend_cap"
    with pytest.raises(InvalidInput) as wrong:
        make_job(1, service_tier="two words")
    assert wrong.value.field == "service_tier"


def test_what_a_job_saved_by_cache_and_hour_is_counted(start, add_config, make_job, wait_for):
    always = {"windows": [{"hours": "Mon-Sun 00:00-12:00", "factor": "0.5"}]}
    always["windows"].append({"hours": "Mon-Sun 12:00-24:00", "factor": "0.5"})
    rules = json.dumps({"hours": always})
    usage = {**USAGE, "prompt_tokens_details": {"cached_tokens": 80}}
    with MisbehavingEndpoint(told(usage=usage)) as endpoint:
        add_config(
            endpoint.base_url, price_rules=rules, cached_input_price=Decimal(100_000), **PRICED
        )
        job_id = make_job(5)
        job = wait_for(job_id, "completed")
    with connected():
        found = insight.summary(job_id)
    assert job.cost_nano == 5 * 19 * NANO  # half of 20 + 80 × 0.1 + 10
    assert found["saved"] == [
        {"by": "cache", "calls": 5, "amount": 5 * 72.0, "currency": "USD"},
        {"by": "hours", "calls": 5, "amount": 5 * 19.0, "currency": "USD"},
    ]


def test_flex_calls_get_a_longer_time_out_unless_one_is_set(
    start, add_config, make_job, wait_for, monkeypatch
):
    limits = []
    real = Provider.post

    def post(self, path, body, timeout_s, own_timeout_s=None):
        limits.append(own_timeout_s)
        return real(self, path, body, timeout_s, own_timeout_s)

    monkeypatch.setattr(Provider, "post", post)
    with tier_answers() as endpoint:
        add_config(endpoint.base_url, timeout_s=60.0, **PRICED)
        for options in ({"service_tier": "flex"}, {}, {"service_tier": "flex", "timeout_s": 20.0}):
            wait_for(make_job(1, **options), "completed")
    assert limits == [900.0, 60.0, 20.0]
