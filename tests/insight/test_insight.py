"""Pages of requests, error groups and charts agree with counts made by the test."""

import importlib
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from peewee import AutoField, IntegerField

from simple_batch import insight
from simple_batch.core.clock import now_ms
from simple_batch.core.domain import Cause, JobStatus
from simple_batch.export.rows import rows as exported_rows
from simple_batch.insight.jobs import _row as list_row
from simple_batch.insight.results_grid import GridQuery
from simple_batch.store.latency_sketch import LatencySketch
from simple_batch.store.models import Attempt, Job, Result
from simple_batch.store.request_filter import RequestFilter
from simple_batch.web.grid_view import filter_by

from ..store.test_results import new_job, recorded, results

START = 1_700_000_000_000


@pytest.fixture
def job(db):
    """Twelve requests: 0–5 succeeded a second apart, 6–8 failed, 9–11 pending."""
    job_id = new_job()
    records = [recorded(job_id, n, [], True, START + n * 1000) for n in range(6)]
    causes = [Cause.TIMEOUT, Cause.TIMEOUT, Cause.SERVER_ERROR]
    records += [
        recorded(job_id, 6 + n, [cause], False, START + 60_000 + n)
        for n, cause in enumerate(causes)
    ]
    results.write(records)
    Job.update(started_at=START, status="paused").execute()
    return job_id


def found(job, sort="index", page=1, per_page=50, **wanted):
    rows = insight.requests_page(job, RequestFilter(**wanted), sort, page, per_page)
    return [row["index"] for row in rows.rows], rows.total


def test_filters(job):
    assert found(job) == (list(range(12)), 12)
    assert found(job, status="succeeded") == ([0, 1, 2, 3, 4, 5], 6)
    assert found(job, status="failed") == ([6, 7, 8], 3)
    assert found(job, status="pending") == ([9, 10, 11], 3)
    assert found(job, status="in_flight") == ([], 0)
    assert found(job, cause="timeout") == ([6, 7], 2)
    assert found(job, from_ms=START + 11_000, to_ms=START + 13_000) == ([2, 3], 2)
    assert found(job, min_ms=251) == ([], 0)
    assert found(job, q="r1")[0] == [1, 10, 11]
    assert found(job, q="r1", status="succeeded")[0] == [1]
    assert found(job, q="%")[0] == []
    keys = {group["message"]: group["key"] for group in insight.error_groups(job)}
    assert len(keys) == 1 or found(job, group=next(iter(keys.values())))[1] > 0


@pytest.mark.parametrize("status", ["pending", "in_flight", "retrying"])
@pytest.mark.parametrize("more", [{"cause": "timeout"}, {"config": "a"}, {"outcome": "cut_off"}])
def test_requests_without_a_result_match_no_condition_on_results(job, status, more):
    _called_now(job, in_flight=[9], retrying=[10])
    wanted = RequestFilter(status=status, **more)
    assert found(job, status=status, **more) == ([], 0)
    page = insight.grid_page(job, GridQuery(wanted), ["outcome"])
    assert (page.rows, page.total) == ([], 0)
    assert list(exported_rows(Job.get_by_id(job), "all", wanted)) == []


def test_a_text_is_found_in_pending_requests(job):
    assert found(job, status="pending", q="r1") == ([10, 11], 2)
    assert found(job, status="pending", q="r1", cause="timeout") == ([], 0)


def test_a_code_lists_answers_and_failures_that_have_it(job):
    codes = {0: 200, 1: 201, 2: 201, 6: 201, 7: 500, 8: 400}
    for index, code in codes.items():
        Result.update(http_status=code).where(Result.idx == index).execute()
    Result.update(http_status=200).where(Result.idx.in_([3, 4, 5])).execute()
    assert found(job, code=201) == ([1, 2, 6], 3)
    assert found(job, code=200) == ([0, 3, 4, 5], 4)
    assert found(job, code=500) == ([7], 1)
    values, _done = insight.column_values(job, "code")
    for one in values:
        if one.value is not None:
            assert found(job, code=one.value)[1] == one.count, one


def test_outcomes_are_counted_as_their_filters_list_them(job):
    for index, outcome in {0: "ok", 1: "ok", 2: "cut_off", 6: "schema"}.items():
        Result.update(outcome=outcome).where(Result.idx == index).execute()
    values, _done = insight.column_values(job, "outcome")
    assert {value.value for value in values} == {
        "ok",
        "cut_off",
        "schema",
        "failed",
        "succeeded",
        None,
    }
    for one in values:
        wanted = RequestFilter.parse(filter_by("outcome", one.value, []))
        page = insight.grid_page(job, GridQuery(wanted), ["outcome"])
        assert one.count == len(page.rows), one


def _called_now(job: int, in_flight: list[int], retrying: list[int]) -> None:
    """The job runs, and calls these requests or waits to."""
    live = {"at": now_ms(), "in_flight_idx": in_flight, "retrying_idx": retrying}
    Job.update(status="running", live=json.dumps(live)).where(Job.id == job).execute()


def test_paging_and_order(job):
    assert found(job, page=2, per_page=5) == ([5, 6, 7, 8, 9], 12)
    assert found(job, page=3, per_page=5) == ([10, 11], 12)
    assert found(job, page=9, per_page=5) == ([], 12)
    assert found(job, sort="-index", page=2, per_page=5)[0] == [6, 5, 4, 3, 2]
    assert found(job, sort="-finished", per_page=2, status="succeeded")[0] == [5, 4]
    assert found(job, status="pending", page=2, per_page=2)[0] == [11]


@pytest.mark.parametrize("sort", ["latency", "finished", "tokens"])
def test_results_that_are_alike_are_listed_in_the_order_of_the_file(db, sort):
    job_id = new_job()
    for n in (5, 2, 0, 4, 1, 3):
        results.write([recorded(job_id, n, [], True, START)])
    pages = [found(job_id, sort, page, 2, status="succeeded")[0] for page in (1, 2, 3)]
    assert pages == [[0, 1], [2, 3], [4, 5]]
    pages = [found(job_id, f"-{sort}", page, 2, status="succeeded")[0] for page in (1, 2, 3)]
    assert pages == [[5, 4], [3, 2], [1, 0]]


def test_charts_of_a_filter_show_the_first_results_of_the_file(db, monkeypatch):
    monkeypatch.setattr(importlib.import_module("simple_batch.insight.charts"), "POINTS", 3)
    job_id = new_job()
    for n in (5, 2, 0, 4, 1, 3):
        results.write([recorded(job_id, n, [], True, START)])
    points = insight.charts(job_id, RequestFilter(min_ms=1))["points"]
    assert [point["index"] for point in points] == [0, 1, 2]


def test_a_search_goes_on_where_it_stopped(job, monkeypatch):
    monkeypatch.setattr("simple_batch.store.search.WINDOW", 5)
    first = insight.requests_page(job, RequestFilter(q="r11"))
    assert (first.rows, first.continue_from) == ([], 4)
    second = insight.requests_page(job, RequestFilter(q="r11"), after=4)
    assert (second.rows, second.continue_from) == ([], 9)
    third = insight.requests_page(job, RequestFilter(q="r11"), after=9)
    assert ([row["index"] for row in third.rows], third.continue_from) == ([11], None)


@pytest.mark.parametrize(
    ("wanted", "index", "expected"),
    [
        ({}, 0, (None, 1, 1, 12)),
        ({}, 11, (10, None, 12, 12)),
        ({"status": "failed"}, 7, (6, 8, 2, 3)),
        ({"status": "failed"}, 6, (None, 7, 1, 3)),
        ({"cause": "timeout"}, 7, (6, None, 2, 2)),
    ],
)
def test_neighbours(job, wanted, index, expected):
    assert insight.neighbours(job, index, RequestFilter(**wanted)) == expected


def test_neighbours_of_a_request_without_a_result_have_none_either(job):
    results.write([recorded(job, 10, [], True)])  # 9 and 11 are pending
    pending = RequestFilter(status="pending")
    assert insight.neighbours(job, 9, pending) == (None, 11, 1, 2)
    assert insight.neighbours(job, 11, pending) == (9, None, 2, 2)
    assert insight.neighbours(job, 10, pending) == (9, 11, None, 2)  # it was answered meanwhile
    assert insight.neighbours(job, 9, RequestFilter(status="pending", cause="timeout"))[:2] == (
        None,
        None,
    )


@pytest.mark.parametrize("status", ["in_flight", "retrying"])
def test_neighbours_of_a_request_being_called_are_called_too(job, status):
    _called_now(job, **{"in_flight": [], "retrying": [], status: [11, 9]})
    wanted = RequestFilter(status=status)
    assert insight.neighbours(job, 9, wanted) == (None, 11, 1, 2)
    assert insight.neighbours(job, 11, wanted) == (9, None, 2, 2)
    assert insight.neighbours(job, 10, wanted) == (9, 11, None, 2)
    assert found(job, status=status) == ([9, 11], 2)


def test_error_groups_and_attempts(job):
    groups = insight.error_groups(job)
    assert sum(group["count"] for group in groups) == 3
    assert sum(group["share"] for group in groups) == pytest.approx(1)
    first = insight.attempts_page(job, per_page=2)
    assert [row["index"] for row in first.rows] == [8, 7]
    rest = insight.attempts_page(job, before=first.continue_from)
    assert [row["index"] for row in rest.rows] == [6]
    assert rest.continue_from is None
    assert [row["index"] for row in insight.attempts_page(job, cause="server_error").rows] == [8]


def test_failed_attempts_are_in_the_order_of_their_start(job):
    ids = [row["id"] for row in insight.attempts_page(job).rows]
    for attempt, at in zip(ids, (2_000, 3_000, 1_000), strict=True):  # a slow call is recorded late
        Attempt.update(started_at=at).where(Attempt.id == attempt).execute()
    assert [row["started_at"] for row in insight.attempts_page(job).rows] == [3_000, 2_000, 1_000]
    pages = [insight.attempts_page(job, per_page=2)]
    pages.append(insight.attempts_page(job, per_page=2, before=pages[0].continue_from))
    assert {row["id"] for page in pages for row in page.rows} == set(ids)


def test_buckets_add_up_at_every_width(job):
    for width in (None, 1, 2, 5, 60, 300, 3600):
        buckets = insight.buckets(job, width=width)
        assert sum(bucket["succeeded"] for bucket in buckets) == 6
        assert sum(bucket["failed"] for bucket in buckets) == 3
        steps = {b["t"] - a["t"] for a, b in itertools.pairwise(buckets)}
        assert steps <= {buckets[0]["bucket_s"]}
        assert len(buckets) <= 600
    few = insight.buckets(job, points=10)
    assert len(few) <= 11
    window = insight.buckets(job, from_s=START / 1000 + 9, to_s=START / 1000 + 12, width=1)
    assert [bucket["succeeded"] for bucket in window] == [1, 1, 1]
    assert window[0]["p50_ms"] == pytest.approx(250, rel=0.03)


@pytest.mark.parametrize("other", [{}, {"config": "a"}])
@pytest.mark.parametrize(("first_ms", "last_ms"), [(3_000, 8_000), (3_500, 7_200), (5_000, 10_000)])
def test_bars_at_the_edges_of_a_window_list_the_requests_that_they_count(
    db, first_ms, last_ms, other
):
    job_id = new_job()
    results.write([recorded(job_id, n, [], True, START + n * 1000 - 9_250) for n in range(12)])
    Job.update(started_at=START, status="completed").execute()
    window = {"from_ms": START + first_ms, "to_ms": START + last_ms}
    charts = insight.charts(job_id, RequestFilter(**window, **other), 5)
    for bar in charts["buckets"]:
        times = {"from_ms": bar["t"] * 1000, "to_ms": (bar["t"] + bar["bucket_s"]) * 1000}
        assert found(job_id, **times, **other)[1] == bar["succeeded"] == 5
    shown = {"from_ms": charts["from_s"] * 1000, "to_ms": charts["to_s"] * 1000}
    listed = found(job_id, **shown, **other)[0]
    assert sum(bar["succeeded"] for bar in charts["buckets"]) == len(listed)
    assert [point["index"] for point in charts["points"]] == listed
    assert sum(bar["count"] for bar in charts["histogram"]) == len(listed)


@given(
    st.lists(
        st.integers(0, 60) | st.integers(60, 900) | st.integers(0, 3_600_000),
        min_size=1,
        max_size=60,
    )
)
def test_every_bar_of_the_histogram_counts_the_latencies_within_its_bounds(latencies):
    sketch = LatencySketch()
    for latency in latencies:
        sketch.add(latency)
    bars = sketch.histogram(40)
    assert len(bars) <= 40
    assert [count for *_, count in bars] == [
        sum(first <= latency <= last for latency in latencies) for first, last, _ in bars
    ]
    assert sum(count for *_, count in bars) == len(latencies)
    assert all(left[1] + 1 == right[0] for left, right in itertools.pairwise(bars))


def test_charts_of_failed_requests_show_none_that_succeeded(job):
    charts = insight.charts(job, RequestFilter(status="failed"))
    assert (charts["points"], charts["histogram"]) == ([], [])
    assert len(insight.charts(job, RequestFilter(status="succeeded"))["points"]) == 6


def test_cancelled_requests_are_not_among_the_failed_ones_of_a_filtered_chart(job):
    Result.update(status="cancelled").where(Result.idx == 8).execute()
    Job.update(failed=2, cancelled=1).execute()
    bars = insight.charts(job, RequestFilter(config="a"), 300)["buckets"]
    assert sum(bar["failed"] for bar in bars) == found(job, status="failed")[1] == 2
    assert sum(bar["succeeded"] for bar in bars) == 6


@pytest.mark.parametrize("wanted", [{}, {"min_ms": 100, "max_ms": 299}])
def test_a_bar_of_the_histogram_lists_the_requests_that_it_counts(job, wanted):
    for number in range(6):  # 81, 127, 173, 219, 265, 311 ms
        Result.update(latency_ms=81 + 46 * number).where(Result.idx == number).execute()
    sketch = LatencySketch()
    for (latency,) in Result.select(Result.latency_ms).where(Result.status == "succeeded").tuples():
        sketch.add(latency)
    Job.update(latency=sketch.to_bytes()).execute()
    bars = insight.charts(job, RequestFilter(**wanted))["histogram"]
    assert sum(bar["count"] for bar in bars) == (4 if wanted else 6)
    for bar in bars:
        bounds = {"min_ms": bar["from_ms"], "max_ms": bar["to_ms"]}
        assert found(job, status="succeeded", **bounds)[1] == bar["count"]


def test_rows_of_the_list_are_those_of_whole_jobs(job):
    """The list reads some columns only, and a column that is not read would count as its default."""
    numbers = {
        field.name: number
        for number, field in enumerate(Job._meta.sorted_fields, 3)
        if isinstance(field, IntegerField) and not isinstance(field, AutoField) and not field.null
    }
    live = {"at": 10 * START, "in_flight": 2, "retrying": 1, "rate": 1.5}
    live["waiting"] = {"since": START, "reason": "no_answer", "next_probe_at": START + 5}
    texts = {
        "tags": "one, two",
        "sharing": "view",
        "status_reason": "user",
        "live": json.dumps(live),
    }
    times = {"finished_at": START + 70_000, "total": 1_000}
    for status in JobStatus:
        Job.update({**numbers, **texts, **times, "status": status}).execute()
        (row,) = insight.jobs_page().rows
        assert row == list_row(Job.get_by_id(job)), status


def test_jobs_page(job):
    other = new_job()
    Job.update(name="another", status="completed").where(Job.id == other).execute()
    assert [row["id"] for row in insight.jobs_page().rows] == [other, job]
    assert [row["id"] for row in insight.jobs_page(q="nothe").rows] == [other]
    assert [row["id"] for row in insight.jobs_page(status="paused").rows] == [job]
    assert [row["id"] for row in insight.jobs_page(sort="name").rows] == [other, job]
    assert insight.jobs_page(config="none").rows == []
    Job.update(deleted_at=1).where(Job.id == other).execute()
    assert insight.job_counts() == {"paused": 1}


def test_no_time_is_left_to_tell_while_the_endpoint_does_not_answer(job, monkeypatch):
    summary = importlib.import_module("simple_batch.insight.summary")
    found = Job.get_by_id(job)
    found.status, found.total = "running", 100
    live = {"rate": 2.0, "waiting": None}
    monkeypatch.setattr(summary, "live_of", lambda _job: live)
    assert summary.eta_s(found) > 0
    live["waiting"] = {"since": 1_000, "reason": "refused", "next_probe_at": None}
    assert summary.eta_s(found) is None
