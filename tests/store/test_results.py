"""One commit: results, attempts, counters, timeline and groups agree for any input."""

import peewee
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from simple_batch import insight
from simple_batch.core.call_prices import Prices, Usage
from simple_batch.core.clock import now_ms
from simple_batch.core.domain import Attempt, Cause, Request, RequestResult, RequestStatus
from simple_batch.store import column_keys, error_groups, requeue, results
from simple_batch.store import requests as request_rows
from simple_batch.store.models import (
    ApiConfig,
    ErrorGroup,
    GridKey,
    Job,
    Result,
    Timeline,
    database,
)
from simple_batch.store.models import Attempt as AttemptRow
from simple_batch.store.request_filter import RequestFilter

PRICES = Prices("USD", input=1_000_000_000, output=2_000_000_000)
REQUESTS = 12


def new_job() -> int:
    config, _ = ApiConfig.get_or_create(
        alias="a",
        defaults={
            "base_url": "http://x/v1",
            "model": "m",
            "timeout_s": 1,
            "created_at": 0,
            "updated_at": 0,
        },
    )
    job = Job.create(name="j", config=config, status="running", max_retries=3, created_at=now_ms())
    rows = [Request(n, f"r{n}", b"{}") for n in range(REQUESTS)]
    request_rows.insert(job.id, rows)
    return job.id


def recorded(job_id, index, causes, succeeded, at=1_700_000_000_000, usage=Usage(3, 5)):
    attempts = [
        Attempt(n + 1, at + n * 700, 100 + n, cause, 500, f"failed after {n} s")
        for n, cause in enumerate(causes)
    ]
    if succeeded:
        attempts.append(Attempt(len(attempts) + 1, at + 9_000, 250))
    result = RequestResult(
        index=index,
        status=RequestStatus.SUCCEEDED if succeeded else RequestStatus.FAILED,
        attempts=tuple(attempts),
        started_at=at,
        finished_at=at + 9_250,
        latency_ms=250,
        cause=None if succeeded else causes[-1],
        response=b"{}" if succeeded else None,
        usage=usage if succeeded else None,
    )
    return results.Recorded(job_id, "a", PRICES, index, tuple(attempts), result)


one = st.tuples(
    st.integers(0, REQUESTS - 1),
    st.lists(st.sampled_from([Cause.TIMEOUT, Cause.SERVER_ERROR]), min_size=1, max_size=4),
    st.booleans(),
    st.integers(0, 90_000),
)


@given(groups=st.lists(st.lists(one, max_size=6), max_size=6))
@hypothesis_settings(max_examples=40)
def test_counters_always_equal_the_rows(db, groups):
    job_id = new_job()
    for group in groups:
        results.write(
            [
                recorded(job_id, index, causes, good, 1_700_000_000_000 + shift)
                for index, causes, good, shift in group
            ]
        )
    job = Job.get_by_id(job_id)
    rows = list(Result.select().where(Result.job == job_id))
    good = [row for row in rows if row.status == "succeeded"]
    assert len({row.idx for row in rows}) == len(rows)
    assert (job.succeeded, job.failed) == (len(good), len(rows) - len(good))
    failed_attempts = AttemptRow.select().where(AttemptRow.job == job_id).count()
    assert job.attempts == failed_attempts + len(good) == sum(row.attempts for row in rows)
    assert job.retries == job.attempts - len(rows)
    assert job.cost_nano == sum(row.cost_nano for row in good) == 13_000 * len(good)
    assert job.unpriced == 0
    grouped = ErrorGroup.select().where(ErrorGroup.job == job_id)
    assert sum(group.attempts for group in grouped) == failed_attempts
    assert sum(group.failed for group in grouped) == job.failed
    assert sum(group.recovered for group in grouped) == sum(row.attempts - 1 for row in good)
    for width in (1, 10, 60, 3600):
        buckets = list(Timeline.select().where(Timeline.job == job_id, Timeline.width == width))
        assert sum(bucket.succeeded for bucket in buckets) == job.succeeded
        assert sum(bucket.failed for bucket in buckets) == job.failed
        assert sum(bucket.sent for bucket in buckets) == job.attempts
        assert sum(bucket.retried for bucket in buckets) == job.retries
        assert all(bucket.t % width == 0 for bucket in buckets)


def groups_of(job_id) -> dict[str, tuple[int, int, int]]:
    """(attempts, failed requests, recovered attempts) by cause."""
    groups = ErrorGroup.select().where(ErrorGroup.job == job_id)
    return {group.cause: (group.attempts, group.failed, group.recovered) for group in groups}


def test_groups_tell_failed_requests_from_recovered_attempts(db):
    job_id = new_job()
    timeout, server = Cause.TIMEOUT, Cause.SERVER_ERROR
    results.write(
        [
            recorded(job_id, 0, [timeout, server], False),  # failed with its last attempt
            recorded(job_id, 1, [timeout, timeout], True),
            recorded(job_id, 2, [], True),
        ]
    )
    full = recorded(job_id, 3, [server], False)  # still being retried: neither
    results.write([results.Recorded(job_id, "a", PRICES, 3, full.attempts)])
    assert groups_of(job_id) == {"timeout": (3, 0, 2), "server_error": (2, 1, 0)}
    # retried by the user, and answered without a further failure
    assert requeue.requeue_step(job_id, RequestFilter(), -1)[0] == 1
    assert groups_of(job_id) == {"timeout": (3, 0, 2), "server_error": (2, 0, 0)}
    results.write([recorded(job_id, 0, [], True), recorded(job_id, 3, [], True)])
    assert groups_of(job_id) == {"timeout": (3, 0, 3), "server_error": (2, 0, 2)}
    assert requeue.replace_one(job_id, 1, b"{}")
    assert groups_of(job_id) == {"timeout": (3, 0, 1), "server_error": (2, 0, 2)}
    results.write([recorded(job_id, 1, [server], False)])
    assert groups_of(job_id) == {"timeout": (3, 0, 1), "server_error": (3, 1, 2)}


def test_a_second_result_for_a_request_is_ignored_and_not_counted(db):
    job_id = new_job()
    results.write([recorded(job_id, 1, [], True)])
    results.write([recorded(job_id, 1, [Cause.TIMEOUT], False)])
    assert [row.status for row in Result.select()] == ["succeeded"]
    job = Job.get_by_id(job_id)
    assert (job.succeeded, job.failed, job.attempts) == (1, 0, 1)


def test_attempts_alone_are_kept_while_the_request_stays_pending(db):
    job_id = new_job()
    full = recorded(job_id, 1, [Cause.TIMEOUT, Cause.TIMEOUT], False)
    results.write([results.Recorded(job_id, "a", PRICES, 1, full.attempts)])
    job = Job.get_by_id(job_id)
    assert (job.failed, job.attempts, job.retries) == (0, 2, 1)
    assert Result.select().where(Result.job == job_id).count() == 0


def test_unknown_usage_makes_the_cost_unknown(db):
    job_id = new_job()
    results.write([recorded(job_id, 1, [], True, usage=None)])
    assert Job.get_by_id(job_id).unpriced == 1
    assert Result.get(Result.job == job_id).cost_nano is None


def test_the_list_of_a_group_and_its_retry_have_the_failures_that_it_counts(db):
    job_id, timeout, error = new_job(), Cause.TIMEOUT, Cause.SERVER_ERROR
    causes = [[timeout, error], [error, timeout], [timeout, timeout], [timeout], [error]]
    results.write([recorded(job_id, n, one, n in (2, 3)) for n, one in enumerate(causes)])
    keys = {group.cause: group.group_key for group in ErrorGroup.select()}
    assert groups_of(job_id) == {"timeout": (5, 1, 3), "server_error": (3, 2, 0)}
    for cause, failed, listed in (("timeout", [1], [1, 2, 3]), ("server_error", [0, 4], [0, 4])):
        wanted = RequestFilter(group=keys[cause])
        page = insight.requests_page(job_id, wanted)
        assert [row["index"] for row in page.rows] == listed
        page = insight.requests_page(job_id, RequestFilter(group=keys[cause], status="failed"))
        assert [row["index"] for row in page.rows] == failed
    assert requeue.requeue_step(job_id, RequestFilter(group=keys["timeout"]), -1)[0] == 1
    assert groups_of(job_id) == {"timeout": (5, 0, 3), "server_error": (3, 2, 0)}


def test_the_number_of_error_groups_is_bounded(db, monkeypatch):
    monkeypatch.setattr(error_groups, "MAX_GROUPS", 3)
    job_id = new_job()
    for n in range(8):
        attempt = Attempt(1, 1_000, 5, Cause.SERVER_ERROR, 500, "a" * n + " odd message")
        results.write([results.Recorded(job_id, "a", PRICES, n, (attempt,))])
    groups = {group.group_key: group.attempts for group in ErrorGroup.select()}
    assert len(groups) == 4
    assert groups[error_groups.OTHER_GROUP] == 5
    keys = {row.group_key for row in AttemptRow.select()}
    assert keys == set(groups)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Rate limit reached: 59,999 of 60000 TPM", "Rate limit reached: 12 of 60000 TPM"),
        ("request req_8f2a-1 failed", "request req_77bc-9 failed"),
        ("model 'a' is loading", "model 'b' is loading"),
        ("id 3f2a9c1d-0000-4aaa failed", "id 00ff00ff-1111-4bbb failed"),
    ],
)
def test_messages_that_differ_in_varying_parts_fall_into_one_group(one, other):
    assert error_groups.normalised(one) == error_groups.normalised(other)


def test_giving_back_by_filter_moves_the_counters_with_the_rows(db):
    job_id = new_job()
    results.write(
        [
            recorded(job_id, n, [Cause.TIMEOUT if n % 2 else Cause.SERVER_ERROR], False)
            for n in range(8)
        ]
        + [recorded(job_id, 9, [], True)]
    )
    count, after = requeue.requeue_step(job_id, RequestFilter(cause="timeout"), -1)
    assert count == 4
    assert requeue.requeue_step(job_id, RequestFilter(cause="timeout"), after) == (0, None)
    job = Job.get_by_id(job_id)
    assert (job.failed, job.succeeded) == (4, 1)
    assert {row.idx for row in Result.select()} == {0, 2, 4, 6, 9}
    assert not requeue.requeue_one(job_id, 9)
    assert requeue.requeue_one(job_id, 0)
    assert Job.get_by_id(job_id).failed == 3


def test_retry_by_text_searches_message_custom_id_and_body(db):
    job_id = new_job()
    results.write([recorded(job_id, n, [Cause.TIMEOUT], False) for n in range(3)])
    assert requeue.requeue_step(job_id, RequestFilter(q="100%"), -1)[0] == 0
    assert requeue.requeue_step(job_id, RequestFilter(q="r2"), -1)[0] == 1


def test_pending_pages_skip_what_has_a_result_and_end(db):
    job_id = new_job()
    results.write([recorded(job_id, n, [], True) for n in (0, 1, 5)])
    page, mark = request_rows.pending_page(job_id, 0, REQUESTS, 4)
    assert [request.index for request in page] == [2, 3, 4, 6]
    rest, mark = request_rows.pending_page(job_id, mark, REQUESTS, 100)
    assert [request.index for request in rest] == [7, 8, 9, 10, 11]
    assert mark == REQUESTS


def test_a_failing_commit_leaves_nothing_half_written(db):
    job_id = new_job()
    broken = recorded(job_id, 2, [Cause.TIMEOUT], False)
    poisoned = results.Recorded(999_999, "a", PRICES, 0, broken.attempts, broken.result)
    with pytest.raises(peewee.IntegrityError, match=r"(?i)foreign key"):
        results.write([recorded(job_id, 1, [], True), poisoned])
    assert database.execute_sql("SELECT count(*) FROM result").fetchone() == (0,)
    assert Job.get_by_id(job_id).succeeded == 0


@pytest.mark.parametrize("ago_ms", [0, 60_000, 200_000, 86_400_000])
def test_results_that_are_saved_late_are_found_by_their_columns(db, ago_ms):
    """As after a full disk: they ended long before they could be saved."""
    job_id, at = new_job(), now_ms() - 10_000
    results.write([recorded(job_id, n, [], True, at) for n in range(3)])
    column = column_keys.want(Job.get_by_id(job_id), "attempts").id
    results.write([recorded(job_id, n, [], True, at - ago_ms) for n in range(3, REQUESTS)])
    Job.update(status="completed", finished_at=now_ms()).execute()
    while column in column_keys.behind():
        column_keys.build_step(column)
    keys = GridKey.select().where((GridKey.column_id == column) & (GridKey.number == 1))
    assert keys.count() == REQUESTS
