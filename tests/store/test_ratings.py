"""Ratings of answers: what all users say agrees with each user's, also when answers are replaced."""

from collections import Counter

import pytest

from simple_batch import insight
from simple_batch.core.domain import Cause
from simple_batch.insight.rating_figures import kappa, rating_figures
from simple_batch.insight.results_grid import GridQuery
from simple_batch.store import jobs as job_rows
from simple_batch.store import ratings, requeue, requeue_answers, results
from simple_batch.store.column_condition import EQUAL, Condition
from simple_batch.store.models import Job, RatedAnswer, Rating, Result, database
from simple_batch.store.ratings import Change
from simple_batch.store.request_filter import RequestFilter

from .test_results import new_job, recorded


@pytest.fixture
def job(db):
    """A job of 12 requests: 8 with an answer, one failed, the others pending."""
    job_id = new_job()
    results.write([recorded(job_id, n, [], True) for n in range(8)])
    results.write([recorded(job_id, 8, [Cause.TIMEOUT], False)])
    return job_id


def summed(job_id: int) -> dict:
    rows = RatedAnswer.select().where(RatedAnswer.job == job_id)
    return {row.idx: (row.raters, row.score, row.labels, row.note) for row in rows}


def test_what_all_users_say_follows_each_rating(job):
    assert ratings.write(job, [0, 1, 8, 9, 99], "anna", Change(score=4, add=("long",))) == 2
    assert ratings.write(job, [0], "ben", Change(score=5, note="fine", add=("long", "wrong"))) == 1
    assert summed(job) == {
        0: (2, 450, "long, wrong", "ben: fine"),
        1: (1, 400, "long", ""),
    }
    ratings.write(job, [0], "anna", Change(note="no"))
    assert summed(job)[0] == (2, 450, "long, wrong", "anna: no\nben: fine")
    ratings.write(job, [0, 1], "anna", Change(score=None, remove=("long",)))
    assert summed(job) == {0: (2, 500, "long, wrong", "anna: no\nben: fine")}
    assert Rating.select().where(Rating.idx == 1).count() == 0  # nothing was left to say
    ratings.write(job, [0], "", Change(score=1))
    assert summed(job)[0][1] == 300


def test_an_answer_that_is_replaced_has_no_rating_and_keeps_what_was_said(job):
    for index in range(4):
        ratings.write(job, [index], "anna", Change(score=2))
    assert requeue.replace_one(job, 0, b"{}")
    Result.update(outcome="cut_off").where(Result.idx << [1, 2]).execute()
    Job.update(outcome_ok=6, outcome_cut_off=2).execute()
    assert requeue.requeue_one(job, 1)
    assert requeue_answers.requeue_step(job, RequestFilter(outcome="cut_off"), -1)[0] == 1
    assert list(summed(job)) == [3]
    assert [one.score for one in ratings.of_earlier_answers(job, 0)] == [2]
    assert ratings.of_answers(job, [0, 1, 2, 3]).keys() == {3}
    # the new answer is rated without what was said of the old one
    results.write([recorded(job, 0, [], True)])
    ratings.write(job, [0], "anna", Change(add=("better",)))
    assert summed(job)[0] == (1, None, "better", "")
    assert ratings.of_earlier_answers(job, 0) == []
    # failed answers that are retried
    Result.update(status="failed", cause="bad_response").where(Result.idx == 3).execute()
    assert requeue.requeue_step(job, RequestFilter(), -1)[0] == 2
    assert list(summed(job)) == [0]


def test_ratings_go_with_the_results_and_with_the_job(job):
    ratings.write(job, range(8), "anna", Change(score=1))
    while not job_rows.clear_results_step(job, 3):
        pass
    assert (Rating.select().count(), RatedAnswer.select().count()) == (0, 0)
    results.write([recorded(job, n, [], True) for n in range(3)])
    ratings.write(job, range(8), "anna", Change(score=1))
    while not job_rows.delete_rows_step(job, 2):
        pass
    assert (Rating.select().count(), Job.select().count()) == (0, 0)


def test_the_scale_stays_while_answers_have_scores(job):
    ratings.write(job, [0, 1], "anna", Change(score=1, add=("x",)))
    assert requeue.replace_one(job, 1, b"{}")
    assert not ratings.set_up(job, "points", ["a"])
    assert ratings.set_up(job, "thumbs", ["a", "b"])
    ratings.write(job, [0], "anna", Change(score=None))
    assert ratings.set_up(job, "points", ["a", "b"])
    assert ratings.of_earlier_answers(job, 1)[0].score is None
    assert ratings.labels_of(Job.get_by_id(job)) == ("a", "b")


def test_agreement_of_two_users_is_their_share_and_cohens_kappa(job):
    # the example of Cohen's kappa with 50 grants: 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no is 0.4
    assert kappa(Counter({(1, 1): 20, (1, 0): 5, (0, 1): 10, (0, 0): 15})) == 0.4
    assert kappa(Counter({(1, 1): 7})) is None
    for index, (one, other) in enumerate([(1, 1), (1, 0), (0, 0), (1, 1)]):
        ratings.write(job, [index], "anna", Change(score=one))
        ratings.write(job, [index], "ben", Change(score=other))
    ratings.write(job, [5], "anna", Change(score=1, add=("x",)))
    found = rating_figures(Job.get_by_id(job))
    assert found["agreement"] == [
        {"users": ["anna", "ben"], "answers": 4, "same": 0.75, "kappa": 0.5}
    ]
    assert (found["rated"], found["scored"], found["mean"]) == (5, 5, 0.7)
    assert found["scores"] == [{"score": 0, "count": 3}, {"score": 1, "count": 6}]
    assert found["labels"] == [{"label": "x", "count": 1}]
    assert found["users"] == [{"user": "anna", "count": 5}, {"user": "ben", "count": 4}]


def test_scores_are_found_by_an_index(job):
    if database.server:
        pytest.skip("the plan of a small table on PostgreSQL says nothing")
    query = "SELECT g.idx FROM rated_answer g WHERE g.job_id = ? AND g.score >= ? ORDER BY g.score, g.idx"
    plan = database.execute_sql(f"EXPLAIN QUERY PLAN {query}", (job, 400)).fetchall()
    assert "rated_answer_job_id_score_idx" in str(plan) or "rated_answer_score" in str(plan)
    assert "SCAN" not in str(plan)


def test_labels_are_counted_without_regard_to_case(job):
    ratings.write(job, [4], "anna", Change(add=("late", "other")))
    ratings.write(job, [2, 3], "anna", Change(add=("Late",)))
    ratings.write(job, [3], "ben", Change(add=("LATE", "rude")))  # one answer with both
    assert ratings.counted_labels(job) == {"Late": 3, "other": 1, "rude": 1}
    for label, count in ratings.counted_labels(job).items():
        query = GridQuery(conditions=(Condition("labels", EQUAL, (label,)),))
        page = insight.grid_page(job, query, ["labels"])
        assert len(page.rows) == count, label
