"""Jobs against providers that refuse one request, ask to wait until tomorrow, or have no quota."""

import time
from datetime import UTC, datetime

import pytest

from simple_batch.insight.error_log import error_groups
from simple_batch.services import jobs
from simple_batch.store.database import connected
from simple_batch.store.models import Job

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint

TOO_LARGE = e.error(
    429,
    "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 41000.",
    "rate_limit_exceeded",
)
GEMINI = (
    "You exceeded your current quota, please check your plan and billing details. "
    "* Quota exceeded for metric: generativelanguage.googleapis.com/requests, limit: {limit}"
)


def gemini(quota_id, value, *details):
    violation = {"violations": [{"quotaId": quota_id, "quotaValue": value}]}
    error = {"code": 429, "message": GEMINI.format(limit=value), "status": "RESOURCE_EXHAUSTED"}
    return e.http(429, [{"error": {**error, "details": [violation, *details]}}])


def test_a_request_that_is_too_large_fails_alone_and_with_advice(
    start, app, add_config, make_job, wait_for
):
    azure = e.error(429, "Please retry after 86400 seconds.", "429", "Retry-After: 86400")
    script = [e.ok(), TOO_LARGE, e.ok(), azure, e.error(413), e.ok()]
    with MisbehavingEndpoint(*script) as endpoint:
        add_config(endpoint.base_url, concurrency=1)
        job = wait_for(make_job(12), "completed")
        assert (job.succeeded, job.failed, endpoint.calls) == (9, 3, 12)
        with connected():
            assert [group["cause"] for group in error_groups(job.id)] == ["too_large"] * 3
    client = app.test_client()
    page = client.get(f"/jobs/{job.id}/errors").text
    assert "This request alone exceeds a limit of the provider." in page
    assert "Requested 41000" in client.get(f"/jobs/{job.id}/requests/1").text
    page = client.get(f"/jobs/{job.id}/errors", headers={"Accept-Language": "zh"}).text
    assert "单个请求就超出了服务商的限额" in page
    assert (
        client.get(f"/jobs/{job.id}/requests?cause=too_large").text.count("request too large") >= 3
    )


@pytest.mark.parametrize(
    ("answer", "words", "hours"),
    [
        (
            gemini("RequestsPerDay-FreeTier", "20", {"retryDelay": "36s"}),
            "midnight Pacific",
            (7, 8),
        ),
        (e.http(429, {"detail": "All calls of today are used: 200 per day"}), "midnight UTC", (0,)),
        (e.error(429, "tokens per day (TPD): Limit 9, Used 9. Try again in 2h0m"), "2 hours", None),
    ],
)
def test_a_limit_per_day_pauses_the_job_until_it_renews(
    start, add_config, make_job, wait_for, answer, words, hours
):
    with MisbehavingEndpoint(e.ok(), e.ok(), answer) as endpoint:
        add_config(endpoint.base_url, concurrency=1)
        job = wait_for(make_job(8), "paused")
        assert (job.status_reason, job.succeeded, job.failed) == ("rate_limit", 2, 0)
        assert endpoint.calls == 3
        assert words in job.status_detail
        renews = datetime.fromtimestamp(job.start_at / 1000, UTC)
        assert f"{renews:%Y-%m-%d %H:%M} UTC" in job.status_detail
        if hours is None:
            assert job.start_at / 1000 == pytest.approx(time.time() + 7200, abs=60)
        else:
            assert (renews.hour, renews.minute) in [(hour, 0) for hour in hours]
        endpoint.script[:] = [e.ok()]
        with connected():
            Job.update(start_at=round(1000 * time.time())).where(Job.id == job.id).execute()
        job = wait_for(job.id, "completed")  # by itself
        assert (job.succeeded, job.failed) == (8, 0)


def test_a_quota_of_0_pauses_the_job_with_advice(start, app, add_config, make_job, wait_for):
    answer = gemini("TokensPerDay-FreeTier", "0", {"retryDelay": "36s"})
    with MisbehavingEndpoint(answer) as endpoint:
        add_config(endpoint.base_url, concurrency=1)
        job = wait_for(make_job(8), "paused")
        assert (job.status_reason, job.start_at, endpoint.calls) == ("quota", None, 1)
        assert "This tier has no quota for this model." in job.status_detail
        assert "limit: 0" in job.status_detail
        page = app.test_client().get(f"/jobs/{job.id}", headers={"Accept-Language": "zh"}).text
        assert "当前套餐没有该模型的配额" in page


def test_a_rate_limit_that_names_billing_is_waited_for(start, add_config, make_job, wait_for):
    answer = gemini("RequestsPerMinute-FreeTier", "15", {"retryDelay": "0.2s"})
    inside = e.http(200, {"error": {"code": 429, "message": "Retry in 100ms, or see /billing"}})
    with MisbehavingEndpoint(e.ok(), answer, inside, e.ok()) as endpoint:
        add_config(endpoint.base_url, concurrency=1)
        job = wait_for(make_job(5), "completed", "paused")
        assert (job.status, job.succeeded, endpoint.calls) == ("completed", 5, 7)


def test_refused_contents_fail_alone_and_a_refused_key_stops(start, add_config, make_job, wait_for):
    xai = {"code": "The caller does not have permission to execute the specified operation",
           "error": "Content violates usage guidelines."}  # fmt: skip
    with MisbehavingEndpoint(*[e.http(403, xai)] * 6, e.ok()) as endpoint:
        add_config(endpoint.base_url, concurrency=1)
        job = wait_for(make_job(8), "completed", "paused")
        assert (job.status, job.succeeded, job.failed) == ("completed", 2, 6)
        endpoint.script[:] = [e.error(403, "This key may not call the model")]
        assert wait_for(make_job(8), "completed", "paused").status_reason == "auth"
    with connected():
        assert jobs.get(job.id).failed == 6
