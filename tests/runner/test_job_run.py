"""Jobs over time in one process: a real database, a real endpoint."""

import io
import json
from decimal import Decimal

import gevent
import msgspec
import pytest

from simple_batch import insight
from simple_batch.core.domain import JobStatus
from simple_batch.core.errors import Conflict, InvalidInput, NotFound, UploadRejected
from simple_batch.services import (
    configs,
    job_creation,
    job_options,
    job_retry,
    jobs,
    lifecycle,
    uploads,
)
from simple_batch.store.database import connected
from simple_batch.store.models import Attempt, Job, Request, Result, Upload, database
from simple_batch.store.request_filter import RequestFilter

from .. import endpoint as e
from .. import postgres
from ..conftest import wait_until
from ..endpoint import MisbehavingEndpoint

ENDED = ("completed", "paused", "failed", "cancelled")


def agrees(job_id: int) -> None:
    """Counters equal the rows, every request has at most one result."""
    with connected():
        job = jobs.get(job_id)
        rows = dict(
            database.execute_sql(
                "SELECT status, count(*) FROM result WHERE job_id = ? GROUP BY 1", (job_id,)
            )
        )
        found = (rows.get("succeeded", 0), rows.get("failed", 0), rows.get("cancelled", 0))
        assert found == (job.succeeded, job.failed, job.cancelled)
        outcomes = dict(
            database.execute_sql(
                "SELECT outcome, count(*) FROM result WHERE job_id = ? AND (outcome IS NOT NULL OR "
                "status = 'succeeded') GROUP BY 1",
                (job_id,),
            )
        )
        assert {one: n for one, n in insight.summary(job_id)["outcomes"].items() if n} == outcomes
        assert Request.select().where(Request.job == job_id).count() == job.total


def test_a_job_runs_to_its_end(start, add_config, make_job, wait_for, endpoint):
    add_config(endpoint.base_url, input_price=Decimal(1), output_price=Decimal(2), concurrency=20)
    job_id = make_job(300, name="the name")
    job = wait_for(job_id, *ENDED)
    assert (job.status, job.succeeded, job.total) == ("completed", 300, 300)
    assert endpoint.calls["/v1/chat/completions"] == 300
    agrees(job_id)
    with connected():
        found = insight.summary(job_id)
        assert found["tokens"]["output"] > 0
        expected = (found["tokens"]["input"] + 2 * found["tokens"]["output"]) / 1e6
        assert found["cost"] == {"amount": pytest.approx(expected, rel=1e-3), "currency": "USD"}
        assert [event["to"] for event in insight.events(job_id)] == [
            "validating",
            "queued",
            "running",
            "finalizing",
            "completed",
        ]


def test_a_cost_that_is_not_known_is_null(start, add_config, make_job, wait_for, endpoint):
    add_config(endpoint.base_url)
    job_id = make_job(3)
    wait_for(job_id, *ENDED)
    with connected():
        assert insight.summary(job_id)["cost"]["amount"] is None


def test_failures_are_kept_and_can_be_retried(start, add_config, make_job, wait_for):
    with MisbehavingEndpoint(e.ok(), *[e.error(400, "bad")] * 5, e.ok()) as endpoint:
        add_config(endpoint.base_url, concurrency=1)
        job_id = make_job(8)
        job = wait_for(job_id, *ENDED)
        assert (job.status, job.succeeded, job.failed) == ("completed", 3, 5)
        with connected():
            assert insight.summary(job_id)["errors"] == [{"cause": "bad_request", "count": 5}]
            assert job_retry.retry_requests(job_id, [1]) == 1
        job = wait_until(lambda: (j := wait_for(job_id, *ENDED)).succeeded == 4 and j)
        with connected():
            with pytest.raises(Conflict):
                job_retry.retry(job_id, RequestFilter(cause="timeout"))
            assert job_retry.retry(job_id) == 4
        job = wait_until(lambda: (j := wait_for(job_id, *ENDED)).succeeded == 8 and j)
        assert job.failed == 0
        agrees(job_id)
        with connected():
            assert Attempt.select().where(Attempt.job == job_id).count() == 5


def test_pause_stops_new_calls_and_resume_goes_on(start, add_config, make_job, wait_for):
    with MisbehavingEndpoint(e.slow(0.1)) as endpoint:
        add_config(endpoint.base_url, concurrency=4)
        job_id = make_job(100)
        wait_until(lambda: endpoint.calls >= 8)
        with connected():
            jobs.pause(job_id)
        assert endpoint.at_rest() < 100
        with connected():
            job = jobs.get(job_id)
            assert (job.status, job.status_reason) == ("paused", "user")
            with pytest.raises(Conflict, match="paused"):
                jobs.pause(job_id)
            jobs.resume(job_id)
        assert wait_for(job_id, "completed").succeeded == 100
        assert endpoint.calls == 100
        agrees(job_id)


def test_cancel_keeps_what_finished_and_marks_the_rest(start, add_config, make_job, wait_for):
    with MisbehavingEndpoint(e.slow(0.05)) as endpoint:
        add_config(endpoint.base_url, concurrency=4)
        job_id = make_job(1000)
        wait_until(lambda: endpoint.calls >= 20)
        with connected():
            jobs.cancel(job_id)
        job = wait_for(job_id, "cancelled")
        assert job.succeeded + job.cancelled == 1000
        assert 16 <= job.succeeded <= 300
        agrees(job_id)
        with connected():
            assert jobs.allowed_actions(job) == {"delete", "clone", "retry", "reset"}
            assert job_retry.retry(job_id, RequestFilter(status="cancelled")) == job.cancelled


def test_a_running_job_is_stopped_before_it_is_deleted(start, add_config, make_job, wait_for):
    with MisbehavingEndpoint(e.slow(0.05)) as endpoint:
        add_config(endpoint.base_url, concurrency=4)
        job_id = make_job(500)
        wait_until(lambda: endpoint.calls >= 8)
        with connected():
            with pytest.raises(Conflict, match="used by 1 job"):
                configs.delete(configs.get("test").id)
            jobs.delete(job_id, at_once=True)
            with pytest.raises(NotFound):
                jobs.get(job_id)

        def gone():
            with connected():
                return Job.get_or_none(Job.id == job_id) is None

        wait_until(gone)
        with connected():
            assert Request.select().count() == Result.select().count() == 0
            configs.delete(configs.get("test").id)


def test_a_bad_key_pauses_the_job_with_the_remedy(start, add_config, make_job, wait_for):
    with MisbehavingEndpoint(e.error(401, "wrong key")) as endpoint:
        config = add_config(endpoint.base_url, concurrency=2)
        job_id = make_job(50)
        job = wait_for(job_id, *ENDED)
        assert (job.status, job.status_reason, job.failed) == ("paused", "auth", 0)
        assert "wrong key" in job.status_detail
        assert "connection" in job.status_detail
        endpoint.script[:] = [e.ok()]
        with connected():
            fields = configs.fields_of(config)
            fields.key = "sk-the-right-one-123"
            configs.update(config.id, fields)
            jobs.resume(job_id)
        assert wait_for(job_id, "completed").succeeded == 50
        assert "sk-the-right-one-123" in endpoint.heads[-1]


def test_jobs_run_side_by_side(start, add_config, make_job, wait_for):
    with MisbehavingEndpoint(e.slow(0.02)) as endpoint:
        add_config(endpoint.base_url, concurrency=4)
        big = make_job(600)
        small = make_job(12)
        wait_for(small, "completed")
        with connected():
            assert jobs.get(big).status == "running"
            assert jobs.get(big).succeeded > 0


def test_reset_forgets_results_and_holds(start, add_config, make_job, wait_for, endpoint):
    add_config(endpoint.base_url)
    job_id = make_job(20)
    wait_for(job_id, "completed")
    with connected():
        jobs.reset(job_id)
        job = jobs.get(job_id)
        assert (job.status, job.status_reason, job.succeeded) == ("paused", "held", 0)
        jobs.resume(job_id)
    assert wait_for(job_id, "completed").succeeded == 20
    agrees(job_id)


def test_a_staged_upload_is_launched_by_the_runner(start, add_config, wait_for, endpoint):
    add_config(endpoint.base_url)
    lines = "".join(
        json.dumps({"messages": [{"role": "user", "content": str(n)}]}) + "\n" for n in range(30)
    )
    with connected():
        upload = uploads.stage(io.BytesIO((lines + "{broken\n").encode()), "a/b/c.jsonl")
        assert upload.filename == "c.jsonl"
        _, preview = uploads.staged(upload.id)
        assert (preview.good, preview.fault_count) == (30, 1)
        new = jobs.JobOptions(config="test")
        with pytest.raises(InvalidInput, match="invalid"):
            job_creation.launch(upload.id, new)
        new.skip_faulty = True
        job = job_creation.launch(upload.id, new)
    assert wait_for(job.id, "completed").succeeded == 30
    with connected():
        fields, kept = jobs.clone_fields(job.id)
        assert (fields.name, kept.id) == ("c", upload.id)


def test_a_faulty_file_leaves_nothing_behind(app, add_config, instance, endpoint):
    add_config(endpoint.base_url)
    good = json.dumps({"messages": [{"role": "user", "content": "x"}]}).encode()
    data = b"\n".join([good] * 1200 + [b"{broken"] * 30 + [good] * 5)
    with connected():
        with pytest.raises(UploadRejected) as rejected:
            job_creation.create_now(io.BytesIO(data), "x.jsonl", jobs.JobOptions(config="test"))
        assert (rejected.value.good_count, rejected.value.fault_count) == (1205, 30)
        assert len(rejected.value.faults) == 20
        assert rejected.value.faults[0].line == 1201
        for model in (Job, Request, Upload):
            assert model.select().count() == 0
    assert list((instance / "uploads").iterdir()) == []


@pytest.mark.parametrize(
    ("choices", "field"),
    [
        ({"concurrency": 0}, "concurrency"),
        ({"concurrency": 10**9}, "concurrency"),
        ({"max_retries": -1}, "max_retries"),
        ({"name": "x" * 201}, "name"),
    ],
)
def test_choices_out_of_range_are_refused(app, add_config, questions, choices, field, endpoint):
    add_config(endpoint.base_url)
    with connected(), pytest.raises(InvalidInput) as refused:
        job_creation.create_now(questions(1), "x", jobs.JobOptions(config="test", **choices))
    assert refused.value.field == field


@pytest.mark.skipif(
    postgres.CHOSEN, reason="a file is locked; servers go away in test_database_restart.py"
)
def test_what_cannot_be_written_now_is_kept_and_written_later(
    start, add_config, make_job, wait_for, instance
):
    """Another process locks the database during a job: nothing is lost, and the job continues by
    itself."""
    import sqlite3

    with MisbehavingEndpoint(e.slow(0.01)) as endpoint:
        add_config(endpoint.base_url, concurrency=4)
        with connected():
            database.execute_sql("PRAGMA busy_timeout = 50")
        job_id = make_job(200)
        wait_until(lambda: endpoint.calls >= 20)
        other = sqlite3.connect(instance / "simple_batch.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        wait_until(lifecycle.storage_fault)
        calls = endpoint.at_rest()
        gevent.sleep(0.3)
        assert endpoint.calls == calls  # no call starts while results cannot be stored
        other.execute("ROLLBACK")
        other.close()
        job = wait_for(job_id, "completed", "paused")
        assert (job.status, job.succeeded) == ("completed", 200)
        assert endpoint.calls == 200
        assert lifecycle.storage_fault() is None
        agrees(job_id)


def test_held_and_scheduled_statuses_are_what_the_contract_says(app, add_config, make_job):
    add_config("http://127.0.0.1:9/v1")
    job_id = make_job(2, hold=True)
    with connected():
        job = jobs.get(job_id)
        assert (job.status, job.status_reason) == ("paused", "held")
        assert lifecycle.runner_state() == "none"
        jobs.cancel(job_id)
        assert jobs.get(job_id).status == JobStatus.CANCELLED


def edit(job_id: int, **changes) -> None:
    now = {"max_retries": 5, **changes}
    jobs.edit(job_id, msgspec.structs.replace(job_options.of(jobs.get(job_id)), **now))


def test_settings_edited_while_the_job_runs_are_taken_up(start, add_config, make_job, wait_for):
    with MisbehavingEndpoint(e.slow(0.1)) as endpoint:
        add_config(endpoint.base_url, concurrency=20)
        job_id = make_job(400, concurrency=2)
        wait_until(lambda: endpoint.calls >= 20)
        assert endpoint.most_in_flight <= 2
        with connected():
            edit(job_id, name="another name", concurrency=9)
        wait_until(lambda: endpoint.most_in_flight == 9)
        with connected():
            edit(job_id, concurrency=1)
        wait_until(lambda: endpoint.in_flight <= 1)
        with connected():
            edit(job_id, concurrency=None)
        wait_until(lambda: endpoint.most_in_flight == 20)
        endpoint.script[:] = [e.ok()]
        job = wait_for(job_id, "completed")
        assert (job.name, job.max_retries, job.succeeded) == ("another name", 5, 400)
        assert endpoint.most_in_flight == 20
        with connected():
            edits = [event for event in insight.events(job_id) if event["reason"] == "edited"]
            assert len(edits) == 3
            with pytest.raises(InvalidInput) as refused:
                edit(job_id, concurrency=0)
        assert refused.value.field == "concurrency"


def test_a_repeated_id_is_a_fault_with_its_lines_and_may_be_skipped(app, add_config, tmp_path):
    add_config("http://127.0.0.1:9/v1")
    path = tmp_path / "x.jsonl"
    ids = [*(f"id-{n}" for n in range(2500)), "id-7", "last"]
    path.write_text(
        "\n".join(
            json.dumps({"custom_id": id_, "messages": [{"role": "user", "content": "hi"}]})
            for id_ in ids
        )
    )
    with connected():
        with pytest.raises(UploadRejected) as refused:
            job_creation.create_now(path, path.name, jobs.JobOptions(config="test", hold=True))
        fault = refused.value.faults[0]
        assert (fault.code, fault.line) == ("duplicate_custom_id", 2501)
        assert "line 8" in fault.message
        assert Job.select().count() == Request.select().count() == 0
        new = jobs.JobOptions(config="test", hold=True, skip_faulty=True)
        job = job_creation.create_now(path, path.name, new)
        assert job.total == 2501
        indices = [row.idx for row in Request.select(Request.idx).order_by(Request.idx)]
        assert indices == list(range(2501))
