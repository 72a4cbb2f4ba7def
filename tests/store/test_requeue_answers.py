"""Requests given back by the outcome of their answers."""

import json

import pytest

from simple_batch.core import max_tokens
from simple_batch.core.domain import Cause
from simple_batch.store import requests as request_rows
from simple_batch.store import requeue, requeue_answers, results
from simple_batch.store.models import ApiConfig, Attempt, Job, Override, Request, Result
from simple_batch.store.request_filter import RequestFilter
from simple_batch.store.requests import OWN_WAY
from simple_batch.store.requeue import Changes

from .test_results import new_job, recorded

CUT_OFF = RequestFilter(outcome="cut_off")


@pytest.fixture
def job_id(db):
    """Of ten answers 0 to 3 are cut off, 4 too but failed for it, 5 is refused, the others are ok."""
    job_id = new_job()
    results.write(
        [recorded(job_id, n, [], True) for n in range(10) if n != 4]
        + [recorded(job_id, 4, [Cause.BAD_RESPONSE], False)]
    )
    Result.update(outcome="ok").execute()
    Result.update(outcome="cut_off").where(Result.idx < 5).execute()
    Result.update(outcome="refused").where(Result.idx == 5).execute()
    Job.update(outcome_ok=4, outcome_cut_off=5, outcome_refused=1).execute()
    return job_id


def figures(job_id: int) -> tuple:
    job = Job.get_by_id(job_id)
    counted = job.outcome_ok, job.outcome_cut_off, job.outcome_refused
    return job.succeeded, job.failed, counted, Result.select().count()


def limits(job_id: int) -> list[tuple]:
    rows = Override.select(Override.idx, Override.max_tokens).order_by(Override.idx)
    return list(rows.where(Override.job == job_id).tuples())


def test_answers_of_an_outcome_are_given_back_and_kept_as_attempts(job_id):
    cost = Job.get_by_id(job_id).cost_nano
    count, after = requeue_answers.requeue_step(job_id, CUT_OFF, -1, None, 3)
    assert (count, after) == (3, 2)
    assert figures(job_id) == (6, 1, (4, 2, 1), 7)
    assert requeue_answers.requeue_step(job_id, CUT_OFF, after) == (2, 4)
    assert requeue_answers.requeue_step(job_id, CUT_OFF, 4) == (0, None)
    assert figures(job_id) == (5, 0, (4, 0, 1), 5)
    assert Job.get_by_id(job_id).cost_nano == cost > 0
    kept = Attempt.select().where(Attempt.cause == "").order_by(Attempt.idx)
    assert [(attempt.idx, bool(attempt.excerpt)) for attempt in kept] == [
        (n, True) for n in range(4)
    ]
    assert limits(job_id) == []
    assert request_rows.edited(job_id, list(range(10))) == {0, 1, 2, 3}


@pytest.mark.parametrize(("status", "left"), [("succeeded", {4}), ("failed", {0, 1, 2, 3})])
def test_the_status_of_the_filter_holds_too(job_id, status, left):
    requeue_answers.requeue_step(job_id, RequestFilter(outcome="cut_off", status=status), -1)
    rows = Result.select(Result.idx).where(Result.outcome == "cut_off").tuples()
    assert {index for (index,) in rows} == left
    job = Job.get_by_id(job_id)
    assert job.outcome_cut_off == len(left)
    assert (job.succeeded, job.failed) == ((5, 1) if status == "succeeded" else (9, 0))


def test_limits_are_doubled_each_from_its_own(job_id):
    def says(index, **fields):
        body = json.dumps({"messages": [], **fields}).encode()
        Request.update(body=body).where(Request.idx == index).execute()

    says(0, max_tokens=300)
    says(1, max_completion_tokens=200_000)
    says(2, max_tokens=100_000)
    Request.update(url="/v1/responses").where(Request.idx == 3).execute()
    says(3, max_output_tokens=50)
    Result.update(output_tokens=70).execute()
    double = Changes(double_max_tokens=True)
    requeue_answers.requeue_step(job_id, CUT_OFF, -1, double)
    assert limits(job_id) == [(0, 600), (1, 200_000), (2, 131_072), (3, 100), (4, 140)]
    page, _mark = request_rows.pending_page(job_id, 0, 10, 100, OWN_WAY)
    assert [request.max_tokens for request in page[:5]] == [600, 200_000, 131_072, 100, 140]
    assert json.loads(page[0].body)["max_tokens"] == 300  # the stored request is not copied
    # and again from there
    results.write([recorded(job_id, 0, [], True)])
    Result.update(outcome="cut_off").where(Result.idx == 0).execute()
    requeue_answers.requeue_step(job_id, CUT_OFF, -1, double)
    assert limits(job_id)[0] == (0, 1_200)


@pytest.mark.parametrize(
    ("params", "config", "expected"),
    [
        ('{"max_tokens": 9}', {"max_tokens": 500}, 18),
        ("{}", {"max_tokens": 500}, 1_000),
        ("{}", {"params": '{"max_completion_tokens": 40}'}, 80),
        ("{}", {}, 140),
    ],
)
def test_a_request_without_a_limit_has_the_jobs_or_the_configs(job_id, params, config, expected):
    Job.update(params=params).execute()
    if config:
        ApiConfig.update(**config).execute()
    Result.update(output_tokens=70).execute()
    requeue_answers.requeue_step(job_id, CUT_OFF, -1, Changes(double_max_tokens=True))
    assert dict(limits(job_id))[0] == expected


def test_an_edited_body_keeps_the_limit_that_the_user_wrote(job_id):
    requeue_answers.requeue_step(job_id, CUT_OFF, -1, Changes(max_tokens=50))
    results.write([recorded(job_id, 0, [], True)])
    assert requeue.replace_one(job_id, 0, b'{"max_tokens":7}')
    assert limits(job_id)[0] == (0, None)


def test_duplicates_wait_for_their_original_or_are_sent_alone(job_id):
    Request.update(twin=0).where(Request.idx == 1).execute()
    Request.update(twin=6).where(Request.idx == 2).execute()  # whose answer is ok
    requeue_answers.requeue_step(job_id, CUT_OFF, -1)
    assert limits(job_id) == [(2, None)]
    page, _mark = request_rows.pending_page(job_id, 0, 10, 100, OWN_WAY, skip_duplicates=True)
    assert [request.index for request in page] == [0, 2, 3, 4]


@pytest.mark.parametrize(
    ("url", "body", "expected"),
    [
        ("/v1/chat/completions", {}, {"max_tokens": 8}),
        ("/v1/chat/completions", {"max_tokens": 1}, {"max_tokens": 8}),
        ("/v1/chat/completions", {"max_completion_tokens": 1}, {"max_completion_tokens": 8}),
        ("/v1/responses", {}, {"max_output_tokens": 8}),
        ("/v1/completions", {"max_tokens": None}, {"max_tokens": 8}),
    ],
)
def test_the_limit_has_the_name_that_the_request_uses(url, body, expected):
    assert json.loads(max_tokens.limited(json.dumps(body).encode(), url, 8)) == expected


@pytest.mark.parametrize("value", [0, -1, "9", True, None, 1.5])
def test_what_is_no_limit_is_none(value):
    assert max_tokens.limit_of(json.dumps({"max_tokens": value}).encode()) is None
