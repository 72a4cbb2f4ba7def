"""Pages show how a job really ended: a green tick only where every request succeeded."""

import re

import pytest

from simple_batch import insight
from simple_batch.core import clock
from simple_batch.core.domain import Cause
from simple_batch.runner import signals
from simple_batch.runner.watcher import Watcher
from simple_batch.services import jobs
from simple_batch.store import bulk_results
from simple_batch.store.database import connected
from simple_batch.store.models import ErrorGroup, Job
from simple_batch.web import filters
from simple_batch.web.job_status import job_status_word

from .. import endpoint as e
from ..conftest import wait_until
from ..endpoint import MisbehavingEndpoint
from ..store.test_results import REQUESTS, new_job, recorded, results
from .test_job_analysis import ran
from .test_pages import config

__all__ = ["config", "ran"]


def badge(page: str) -> str:
    """The mark and the words of the status in the head of a job's page."""
    found = re.search(r'id="status">.*?aria-hidden="true">(.*?)</span>(.*?)</span>', page, re.S)
    return " ".join(f"{found[1]} {found[2]}".split())


def listed(client, **filters) -> list[int]:
    page = client.get("/jobs", query_string=filters).text
    return sorted(map(int, re.findall(r'id="job-(\d+)"', page)))


def pill(client, status: str) -> str:
    found = re.search(rf'id="status-{status}".*?>(.*?)</a>', client.get("/jobs").text, re.S)
    return found[1].strip() if found else ""


def test_a_job_in_which_nothing_succeeded_is_shown_as_failed(client, ran):
    bad, mixed, good = (
        ran(e.error(400, "no"), count=3),
        ran(e.error(400, "no"), e.ok(), count=3),
        ran(e.ok(), count=3),
    )
    shown = {job_id: badge(client.get(f"/jobs/{job_id}").text) for job_id in (bad, mixed, good)}
    assert shown == {bad: "✕ failed", mixed: "! completed, 1 failed", good: "✓ completed"}
    with connected():
        assert [insight.summary(job_id)["status"] for job_id in (bad, mixed)] == ["completed"] * 2
        ends = [insight.progress(job_id)["outcome_status"] for job_id in (bad, mixed, good)]
        assert ends == ["failed", "completed_with_failures", "completed"]
        assert insight.summary(bad)["outcome_status"] == "failed"
    # every job is under the pill of the word that it shows
    assert listed(client, status="failed") == [bad]
    assert listed(client, status="completed") == [mixed, good]
    assert (pill(client, "failed"), pill(client, "completed")) == ("failed 1", "completed 2")
    # and elsewhere
    assert "No answer: 3 calls, all refused (400)." in client.get(f"/jobs/{bad}").text
    assert "completed, 1 failed" in client.get(f"/jobs/{mixed}/report.html").text
    compared = client.get("/compare", query_string={"a": bad, "b": mixed}).text
    assert 'data-outcome="failed"' in compared
    assert "completed, 1 failed" in compared
    assert "✓" not in client.get(f"/jobs/{bad}/events").text
    assert "已完成，1 个失败" in client.get(f"/jobs/{mixed}?lang=zh").text


def _set(job_id: int, **fields) -> None:
    with connected():
        Job.update(**fields).where(Job.id == job_id).execute()


@pytest.mark.parametrize(
    ("status", "succeeded", "shown", "percent"),
    [
        ("cancelled", 57, "cancelled at 57%", "57%"),
        ("expired", 0, "expired at 0%", "0%"),
    ],
)
def test_what_was_not_sent_is_not_counted_as_done(
    client, config, make_job, status, succeeded, shown, percent
):
    job_id = make_job(100, "one")
    unsent = 100 - succeeded
    _set(job_id, status=status, succeeded=succeeded, cancelled=unsent, finished_at=clock.now_ms())
    page = client.get(f"/jobs/{job_id}").text
    assert badge(page) == f"■ {shown}"
    assert f'data-live="percent">{percent}<' in page
    assert f"{unsent} not sent" in page
    assert f"{succeeded} succeeded, 0 failed, 0 remaining, {unsent} not sent of 100" in page
    assert 'data-part="cancelled"' not in page  # the rest of the bar stays grey
    listing = client.get("/jobs").text
    assert shown in listing
    assert f"{succeeded} / 100 · {unsent} not sent" in " ".join(listing.split())
    assert listed(client, status=status) == [job_id]


@pytest.mark.parametrize(
    ("answered", "shown", "exact"), [(1, "&lt;1%", "&lt;0.1%"), (49_999, "99%", "99.9%")]
)
def test_rounding_never_says_nothing_or_all(app, answered, shown, exact):
    counts = {"total": 50_000, "succeeded": 0, "failed": answered, "cancelled": 50_000 - answered}
    with app.test_request_context("/?lang=en"):
        word = job_status_word("cancelled", "cancelled", counts, {})
        assert word.replace("<", "&lt;") == f"cancelled at {shown}"
        assert filters.percent(answered, 50_000).replace("<", "&lt;") == exact


def test_a_completed_job_with_requests_that_were_not_sent_is_not_green(client, config, make_job):
    job_id = make_job(10, "one")
    _set(job_id, status="completed", succeeded=5, failed=1, cancelled=4)
    assert badge(client.get(f"/jobs/{job_id}").text) == "! completed, 1 failed, 4 not sent"


def test_a_paused_job_shows_neither_rate_nor_time(client, config, make_job):
    job_id = make_job(100, "one")
    _set(job_id, status="paused", status_reason="user", succeeded=20, active_ms=10_000)
    page = client.get(f"/jobs/{job_id}").text
    assert 'data-shown="eta" hidden' in page
    assert 'data-shown="rate" hidden' in page
    assert '<span data-live="work">0:40</span> of work left at the average speed' in page
    with connected():
        progress = insight.progress(job_id)
        assert (progress["requests_per_second"], progress["eta_s"]) == (0, None)
        (row,) = insight.jobs_page().rows
        assert (row["rate"], row["eta_s"]) == (0, None)
        assert jobs.get(job_id).status == "paused"


def test_a_job_paused_by_a_refused_key_says_how_its_calls_ended(
    app, client, config, make_job, add_config, wait_for
):
    services = app.extensions["simple_batch"]
    services.start()
    with MisbehavingEndpoint(e.error(401, "bad key")) as endpoint:
        add_config(endpoint.base_url, "refused", concurrency=6)
        job_id = make_job(20, "refused")
        calls = wait_for(job_id, "paused").attempts
    page = client.get(f"/jobs/{job_id}").text
    how = "refused" if calls == 1 else "all refused"
    noun = "call" if calls == 1 else "calls"
    assert f"No answer yet: {calls} {noun}, {how} (401)." in page
    assert "Nothing was sent yet." not in page
    services.stop(2)


def test_the_live_rows_leave_out_what_was_cancelled(db):
    job_id, seen = new_job(), []

    def note(_sender, job_id, items):
        seen.extend(item["index"] for item in items)

    signals.tail_wanted[job_id] = 1
    watcher = Watcher()
    with signals.requests_finished.connected_to(note):
        watcher.look()
        watcher.look()  # from here on it knows what there is
        results.write([recorded(job_id, 3, [], True, clock.now_ms())])
        bulk_results.close_step(job_id, 0, REQUESTS, "a", Cause.CANCELLED, "x")
        wait_until(lambda: watcher.look() or seen)
    del signals.tail_wanted[job_id]
    assert seen == [3]


def test_groups_without_a_failed_request_are_folded_away(client, ran):
    job_id = ran(e.error(500, "busy"), e.error(400, "bad"), e.ok(), count=2, max_retries=1)
    for page in ("", "/errors"):
        shown, folded = client.get(f"/jobs/{job_id}{page}").text.split('id="recovered"')
        assert "bad" in shown.split("<h2", 1)[-1]
        assert "busy" in folded
    overview = " ".join(client.get(f"/jobs/{job_id}").text.split())
    assert "1 failed</span>" in overview
    assert "1 recovered by retrying</span>" in overview
    assert "1 次重试后恢复" in client.get(f"/jobs/{job_id}?lang=zh").text


def test_calls_interrupted_at_the_end_are_not_said_to_be_unsent(client, config, make_job):
    job_id = make_job(7, "one")
    _set(job_id, status="expired", cancelled=7, attempts=2, finished_at=clock.now_ms())
    with connected():
        ErrorGroup.create(
            job=job_id,
            group_key="k",
            cause=Cause.CANCELLED,
            message="interrupted before the answer came",
            attempts=2,
            first_at=clock.now_ms(),
            last_at=clock.now_ms(),
        )
    page = client.get(f"/jobs/{job_id}").text
    assert "No answer: 2 calls, all failed (cancelled)." in page
    for shown in (page, client.get(f"/jobs/{job_id}/charts").text):
        assert "Nothing was sent." not in shown


def test_running_jobs_are_on_top_of_the_list_wherever_they_are_in_it(client, config, make_job):
    old = make_job(10, "one", name="old")
    _set(old, status="running", succeeded=4, created_at=1_000, started_at=1_000)
    for number in range(51):
        _set(make_job(1, "one", name=f"later {number}"), status="cancelled", cancelled=1)
    page = client.get("/jobs").text
    assert 'id="running-now"' in page
    assert page.index("old</a>") < page.index('id="name-')
    assert 'id="running-now"' in client.get("/jobs?page=2").text  # the second row there
    # where the table begins with it, it is not shown twice
    assert 'id="running-now"' not in client.get("/jobs?q=old").text
    assert 'id="running-now"' not in client.get("/jobs?status=running").text
    assert "正在运行" in client.get("/jobs?lang=zh").text


def test_a_scheduled_job_says_under_its_bar_what_it_waits_for(client, add_config, make_job):
    add_config("http://127.0.0.1:9/v1")
    job_id = make_job(2, start_at=clock.now_ms() + 3_600_000)
    page = client.get(f"/jobs/{job_id}").text
    assert re.search(r'id="bar">.*id="start-at" >Waiting for <time', page, re.S)
    with connected():
        jobs.pause(job_id)
    assert re.search(r'id="start-at" hidden></div>', client.get(f"/jobs/{job_id}").text)


def test_the_overview_says_how_many_kinds_without_a_failed_request_it_leaves_out(client, ran):
    job_id = ran(e.ok(), count=1)
    figures = {"cause": "server_error", "http_status": 500, "attempts": 1, "recovered": 1}
    with connected():
        for number in range(12):
            texts = {"group_key": str(number), "message": f"busy {number}"}
            ErrorGroup.create(job=job_id, first_at=0, last_at=0, **texts, **figures)
    folded = client.get(f"/jobs/{job_id}").text.split('id="recovered"')[1].split("</details>")[0]
    assert (folded.count("<li>"), "+2 more" in folded) == (10, True)
