"""Results of older versions get their outcomes in the background: in steps that can be broken off, and
exactly as results of today."""

import json
import random
from collections import Counter
from functools import partial

import peewee
import pytest
from playhouse.migrations import Runner

from simple_batch import create_app, insight
from simple_batch.core.call_prices import Prices
from simple_batch.core.clock import now_ms
from simple_batch.core.domain import Outcome, RequestResult, RequestStatus
from simple_batch.runner.background import _read as read
from simple_batch.services import jobs
from simple_batch.store import outcome_fill, requeue, results
from simple_batch.store.database import MIGRATIONS, PRAGMAS, connected
from simple_batch.store.models import ApiConfig, Job, Result, database
from simple_batch.store.models import Request as RequestRow
from simple_batch.store.request_filter import RequestFilter

from .. import postgres
from ..conftest import wait_until
from .test_migrations import insert

CHAT, EMBEDDINGS = "/v1/chat/completions", "/v1/embeddings"
T = 1_780_000_000_000


def answer(content, reason="stop", **message) -> bytes:
    choice = {"message": {"content": content, **message}, "finish_reason": reason}
    return json.dumps({"model": "m", "choices": [choice]}).encode()


# (path, status, cause, response) of a result, and the outcome that it is to get
KINDS = [
    (CHAT, "succeeded", None, answer("fine"), "ok"),
    (CHAT, "succeeded", None, answer("half a", "length"), "cut_off"),
    (CHAT, "succeeded", None, answer(None, refusal="no"), "refused"),
    (CHAT, "succeeded", None, answer("<think>so</think>"), "empty"),
    (CHAT, "succeeded", None, answer(None, tool_calls=[{"id": "c"}]), "tool_call"),
    (CHAT, "succeeded", None, answer("x" * 100_000), "ok"),
    (CHAT, "succeeded", None, answer("half", "error"), "cut_off"),
    (CHAT, "succeeded", None, None, "empty"),
    (EMBEDDINGS, "succeeded", None, b'{"data": [{"embedding": [1.0]}]}', "ok"),
    (CHAT, "failed", "schema", answer("no"), "schema"),
    (CHAT, "failed", "schema", None, "schema"),
    (CHAT, "failed", "content_filter", answer(None, refusal="no"), "refused"),
    (CHAT, "failed", "content_filter", b'{"error": {"code": "content_filter"}}', None),
    (CHAT, "failed", "content_filter", None, None),
    (CHAT, "failed", "timeout", None, None),
    (CHAT, "cancelled", "cancelled", None, None),
]


def kind_of(index: int) -> tuple:
    return KINDS[index % len(KINDS)]


def make_old(job_id: int, count: int, add) -> None:
    """A job whose results have no outcomes; ``add(table, row)`` inserts a row."""
    kinds = [kind_of(index) for index in range(count)]
    sums = Counter(status for _url, status, *_ in kinds)
    times = {"created_at": T, "updated_at": T}
    if job_id == 1:
        where = {"base_url": "http://127.0.0.1:9/v1", "timeout_s": 1.0}
        add("api_config", {"id": 1, "alias": "a", "model": "m", "active": 1, **where, **times})
    job = {
        "id": job_id,
        "name": "old",
        "config_id": 1,
        "status": "completed",
        "max_retries": 3,
        **sums,
    }
    add(
        "job",
        {**job, "total": count, "created_at": T, "currency": "USD", "params": "{}", "live": "{}"},
    )
    for index, (url, status, cause, response, _outcome) in enumerate(kinds):
        key = {"job_id": job_id, "idx": index}
        line = {"custom_id": f"r-{index}", "url": url, "line": index + 1, "body": b"{}"}
        add("request", {**key, **line})
        result = {
            "status": status,
            "cause": cause,
            "response": response,
            "config": "a",
            "attempts": 1,
        }
        add("result", {**key, **result, "finished_at": T})


def agrees(job_id: int) -> None:
    """The counters are those of the rows."""
    rows = database.execute_sql(
        "SELECT outcome, count(*) FROM result WHERE job_id = ? AND outcome IS NOT NULL GROUP BY 1",
        (job_id,),
    )
    found = insight.summary(job_id)["outcomes"]
    assert {one: n for one, n in found.items() if n} == dict(rows.fetchall())


def is_filled(job_id: int, count: int) -> None:
    agrees(job_id)
    assert insight.outcomes_known(jobs.get(job_id))
    rows = list(Result.select().where(Result.job == job_id).order_by(Result.idx))
    assert [row.outcome for row in rows] == [kind_of(index)[4] for index in range(count)]
    assert {row.finish_reason for row in rows} == {None, "stop", "length", "error"}


@pytest.fixture
def old(db):
    """A function that makes such a job."""
    models = {"api_config": ApiConfig, "job": Job, "request": RequestRow, "result": Result}

    def make(job_id: int, count: int) -> int:
        with database.atomic():
            make_old(job_id, count, lambda table, row: models[table].insert(**row).execute())
            Job.update(outcomes_filled_to=0).where(Job.id == job_id).execute()
        return job_id

    return make


def test_old_results_are_filled_in_steps(old):
    count = 4 * len(KINDS)
    older, newer = old(1, count), old(2, count)
    order, steps = [], 0
    while (job_id := outcome_fill.next_job()) is not None:
        order.append(job_id)
        assert not insight.outcomes_known(jobs.get(job_id))
        before = jobs.get(job_id).outcomes_filled_to
        outcome_fill.fill_step(job_id, 10, read)
        after = jobs.get(job_id).outcomes_filled_to
        assert after is None or after > before
        agrees(job_id)
        steps += 1
    assert order == sorted(order, reverse=True), "the newest job is first"
    assert steps >= 2 * count / 10
    is_filled(older, count)
    is_filled(newer, count)


def test_a_step_reads_a_bounded_amount(old, monkeypatch):
    job_id = old(1, 3 * len(KINDS))
    monkeypatch.setattr(outcome_fill, "BYTES", 100_000)
    outcome_fill.fill_step(job_id, 1_000, read)
    assert jobs.get(job_id).outcomes_filled_to == 6  # behind the first large answer


def test_retries_edits_and_new_results_between_two_steps(old):
    rng = random.Random(5)
    count = 6 * len(KINDS)
    job_id = old(1, count)
    while jobs.get(job_id).outcomes_filled_to is not None:
        outcome_fill.fill_step(job_id, 7, read)
        index = rng.randrange(count)
        requeue.requeue_one(job_id, index)
        requeue.replace_one(job_id, rng.randrange(count), b"{}")
        requeue.requeue_step(job_id, RequestFilter(cause="schema"), rng.randrange(count), chunk=2)
        agrees(job_id)
        result = RequestResult(
            index, RequestStatus.SUCCEEDED, (), T, now_ms(), 5, response=answer("x", "length"),
            outcome=Outcome.CUT_OFF, finish_reason="length",
        )  # fmt: skip
        results.write([results.Recorded(job_id, "a", Prices(), index, (), result)])
        agrees(job_id)
    missing = Result.select().where(Result.outcome.is_null(), Result.status == "succeeded")
    assert missing.count() == 0


def test_a_job_that_is_reset_meanwhile_has_nothing_to_fill(old):
    job_id = old(1, 2 * len(KINDS))
    outcome_fill.fill_step(job_id, 5, read)
    jobs.reset(job_id)
    agrees(job_id)
    assert outcome_fill.next_job() is None
    outcome_fill.fill_step(job_id, 5, read)
    assert not any(insight.summary(job_id)["outcomes"].values())


@pytest.mark.skipif(postgres.CHOSEN, reason="no older step was ever on PostgreSQL")
def test_an_old_database_is_filled_by_the_process_that_runs_jobs(overrides, instance, monkeypatch):
    instance.mkdir()
    path = instance / "simple_batch.db"
    before = peewee.SqliteDatabase(str(path), pragmas=PRAGMAS)
    Runner(before, str(MIGRATIONS)).up("0023_usage")
    counts = {1: 230, 2: 60}
    with before.atomic():
        for job_id, count in counts.items():
            make_old(job_id, count, partial(insert, before.connection()))
    before.close()
    monkeypatch.setattr("simple_batch.runner.background.FILL_REST_S", 0.0)
    for rounds in (1, None):  # the first process ends in the middle
        app = create_app(**overrides)
        services = app.extensions["simple_batch"]
        try:
            with connected():
                assert not insight.outcomes_known(jobs.get(1))
            if rounds:
                with connected():
                    outcome_fill.fill_step(1, 100, read)
                continue
            assert services.start() == "here"
            wait_until(lambda: _all_known(counts))
            with connected():
                for job_id, count in counts.items():
                    is_filled(job_id, count)
        finally:
            services.close()


def _all_known(counts) -> bool:
    with connected():
        return all(insight.outcomes_known(jobs.get(job_id)) for job_id in counts)
