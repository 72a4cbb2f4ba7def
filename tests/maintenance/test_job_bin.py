"""Deleted jobs: hidden everywhere, restored to the figure, and removed when their time is over."""

import io
import json
from decimal import Decimal
from unittest import mock

import pytest

from simple_batch import export, insight
from simple_batch.core import context
from simple_batch.core.clock import now_ms
from simple_batch.core.errors import Conflict, NotFound
from simple_batch.runner import signals
from simple_batch.runner.watcher import Watcher
from simple_batch.services import (
    configs,
    importer,
    job_bin,
    job_creation,
    jobs,
    lifecycle,
    retention,
    uploads,
)
from simple_batch.store.database import connected
from simple_batch.store.models import ApiFile, Audit, Job, JobEvent, Request, Upload

from .. import endpoint as e
from ..auth.conftest import post
from ..conftest import wait_until
from ..endpoint import MisbehavingEndpoint

HOUR_MS = 3_600_000


@pytest.fixture
def start(app):
    services = app.extensions["simple_batch"]
    services.start()
    yield services
    services.stop(2)


def command(app, *args):
    return app.test_cli_runner().invoke(args=args)


def figures(job_id: int) -> tuple:
    with connected():
        rows = list(export.export(job_id, "jsonl"))
        return insight.summary(job_id), rows, insight.buckets(job_id), insight.error_groups(job_id)


def age(job_id: int, hours: float) -> None:
    with connected():
        moment = now_ms() - int(hours * HOUR_MS)
        Job.update(deleted_at=moment, binned_at=moment).where(Job.id == job_id).execute()


def test_a_deleted_job_is_hidden_everywhere_and_comes_back_to_the_figure(
    app, client, start, add_config, make_job, wait_for
):
    script = [e.ok(), e.error(400, "no such thing"), e.ok()]
    with MisbehavingEndpoint(e.ok(), *script) as endpoint:
        add_config(
            endpoint.base_url, concurrency=1, input_price=Decimal(1), output_price=Decimal(2)
        )
        job_id = make_job(6, name="a precious job")
        other = make_job(1, name="another")
        wait_for(job_id, "completed")
        wait_for(other, "completed")
    before = figures(job_id)
    answer = post(client, f"/jobs/{job_id}/delete")
    assert answer.headers["Location"] == "/jobs"
    page = client.get("/jobs").text
    assert "Deleted “a precious job”." in page
    assert ">Undo</button>" in page
    assert f'name="job" value="{job_id}"' in page  # of the form that undoes it

    for path in ("/jobs", "/compare", "/jobs?q=precious"):
        assert "a precious job" not in client.get(path).text.replace("Deleted “a precious job”", "")
    for path in ("", "/requests/0", "/charts", "/export?format=csv", "/events", "/progress.json"):
        answer = client.get(f"/jobs/{job_id}{path}")
        assert answer.status_code == 404
        assert "in the bin" in answer.text
    assert client.get(f"/compare?a={job_id}&b={other}").status_code == 404
    assert client.get(f"/v1/batches/batch_{job_id}").status_code == 404
    assert client.get("/v1/batches").json["data"][0]["id"] == f"batch_{other}"
    assert len(client.get("/v1/batches").json["data"]) == 1
    metrics = client.get("/metrics").text
    assert 'simple_batch_jobs{status="completed"} 1.0' in metrics
    assert "simple_batch_jobs_in_bin 1.0" in metrics
    assert "simple_batch_jobs_being_removed 0.0" in metrics
    assert "a precious job" not in command(app, "list-jobs").stdout
    shown = command(app, "show-job", str(job_id))
    assert (shown.exit_code, f"flask restore-job {job_id}" in shown.stderr) == (1, True)
    assert "a precious job" in client.get("/jobs/bin").text
    assert 'href="/jobs/bin"' in client.get("/jobs").text
    with connected(), pytest.raises(Conflict, match=rf"a precious job \({job_id}, in the bin\)"):
        configs.delete(configs.get("test").id)

    answer = post(client, "/jobs/bin", action="restore", back="list", job=str(job_id))
    assert answer.headers["Location"] == "/jobs"
    assert "Restored 1 job." in client.get("/jobs").text
    assert figures(job_id) == before
    assert "restored from the bin" in client.get(f"/jobs/{job_id}/events").text
    with connected():
        noted = [(row.action, row.object) for row in Audit.select().order_by(Audit.id)]
    assert ("job.delete", f"job {job_id}") in noted
    assert noted[-1] == ("job.restore", f"job {job_id}")


def test_a_running_job_is_cancelled_and_comes_back_cancelled(start, add_config, make_job, wait_for):
    with MisbehavingEndpoint(e.slow(0.05)) as endpoint:
        add_config(endpoint.base_url, concurrency=2)
        job_id = make_job(300)
        wait_until(lambda: endpoint.calls >= 6)
        with connected():
            jobs.delete(job_id)
            assert [job.status for job in job_bin.listing()] == ["cancelled"]
        wait_until(lambda: not lifecycle.figures().job_runs)  # its calls have ended
        calls = endpoint.calls
        with connected():
            job_bin.restore(job_id)
        job = wait_for(job_id, "cancelled")
        assert endpoint.calls == calls
        assert job.succeeded == calls
        assert job.cancelled == 300 - calls


@pytest.mark.parametrize(
    ("choices", "restored"),
    [
        ({"hold": True}, ("paused", "held")),
        ({"start_at": now_ms() + 3_600_000}, ("paused", "held")),
        ({}, ("cancelled", "")),
    ],
)
def test_what_waits_does_not_start_when_it_is_restored(
    app, add_config, make_job, choices, restored
):
    """Where no process runs jobs, the command does all of it."""
    add_config("http://127.0.0.1:9/v1")
    job_id = make_job(3, **choices)
    assert command(app, "delete-job", str(job_id), "--yes").exit_code == 0
    done = command(app, "restore-job", str(job_id))
    assert done.exit_code == 0, done.stderr
    with connected():
        job = jobs.get(job_id)
    assert (job.status, job.status_reason) == restored


def test_a_job_deleted_while_it_is_read_is_read_again(app, add_config, questions):
    add_config("http://127.0.0.1:9/v1")
    with connected():
        with questions(5).open("rb") as stream:
            upload = uploads.stage(stream, "q.jsonl")
        job_id = job_creation.launch(upload.id, jobs.JobOptions(config="test", hold=True)).id
        jobs.delete(job_id)
        importer.import_quietly(job_id)  # the runner had begun
        assert Job.get_by_id(job_id).status == "validating"
        job_bin.restore(job_id)
        importer.import_quietly(job_id)
        assert (jobs.get(job_id).status, jobs.get(job_id).total) == ("paused", 5)


def test_after_its_time_the_runner_removes_it_and_its_upload(
    app, instance, start, add_config, make_job
):
    add_config("http://127.0.0.1:9/v1")
    young, old = make_job(2, hold=True), make_job(2, hold=True)
    with connected():
        jobs.delete(young)
        jobs.delete(old)
        Upload.update(changed_at=1).execute()
    age(young, 23.9)
    age(old, 24.1)
    retention.sweep()  # as the background does

    def gone():
        with connected():
            return not Job.select().where(Job.id == old).exists()

    wait_until(gone)
    retention.sweep()
    with connected():
        assert Request.select().count() == 2
        assert Upload.select().count() == 1
        assert job_bin.restore(young).total == 2
        with pytest.raises(NotFound, match="not in the bin"):
            job_bin.restore(old)
        with pytest.raises(Conflict, match="not deleted"):
            job_bin.restore(young)


def test_the_commands(app, add_config, make_job):
    add_config("http://127.0.0.1:9/v1")
    first, second, third = (make_job(2, hold=True, name=name) for name in ("one", "two", "three"))
    done = command(app, "delete-job", str(first), "--yes")
    assert f"flask restore-job {first}" in done.stderr
    command(app, "delete-job", str(second), "--yes")
    listed = command(app, "list-jobs", "--deleted").stdout
    assert [line.split()[:2] for line in listed.splitlines()] == [
        ["id", "name"],
        [str(second), "two"],
        [str(first), "one"],
    ]
    found = json.loads(command(app, "list-jobs", "--deleted", "--json").stdout)
    assert [(job["id"], job["status"], job["total"]) for job in found] == [
        (second, "paused", 2),
        (first, "paused", 2),
    ]
    assert found[0]["deleted_at"] < found[0]["removed_at"]
    assert command(app, "list-jobs", "--deleted", "--status", "failed").exit_code == 2
    # what is in the bin already, and what never goes there
    assert command(app, "delete-job", str(first), "--yes", "--now").exit_code == 0
    assert command(app, "delete-job", str(third), "--yes", "--now").exit_code == 0
    with connected():
        assert [job.id for job in Job.select()] == [second]
    assert "1 job" in command(app, "clean", "--bin", "--dry-run").stderr
    assert command(app, "clean", "--bin", "--yes").exit_code == 0
    with connected():
        assert not Job.select().exists()
        assert not Request.select().exists()
        assert not JobEvent.select().exists()
        assert not Upload.select().exists()
    assert command(app, "restore-job", str(second)).exit_code == 1


def test_without_a_bin_jobs_are_deleted_at_once(app, client, add_config, make_job, overrides):
    add_config("http://127.0.0.1:9/v1")
    job_id = make_job(2, hold=True)
    loaded = context.settings()
    object.__setattr__(loaded, "DELETED_JOBS_KEEP_HOURS", 0.0)
    post(client, f"/jobs/{job_id}/delete")
    page = client.get("/jobs").text
    assert "Undo" not in page
    assert "The bin is off" in client.get("/jobs/bin").text
    with connected():
        assert not Job.select().exists()


def test_several_at_once_and_their_undo(client, add_config, make_job):
    add_config("http://127.0.0.1:9/v1")
    made = [make_job(1, hold=True) for _ in range(3)]
    post(client, "/jobs/bulk", action="delete", job=made)
    page = client.get("/jobs").text
    assert "Deleted 3 jobs." in page
    assert page.count('name="job" value=') == 3
    post(client, "/jobs/bin", action="restore", back="list", job=made[:2])
    with connected():
        assert [job.id for job in job_bin.listing()] == made[2:]
    post(client, "/jobs/bin", action="restore")
    assert "Select jobs first." in client.get("/jobs/bin").text
    post(client, "/jobs/bin", action="remove", job=made)  # two of them are not deleted
    page = client.get("/jobs/bin").text
    assert f"Job {made[0]} is not deleted." in page
    assert "Deleted 1 job for good." in page
    assert "The bin is empty." in page
    assert post(client, "/jobs/bin", action="explode").status_code == 400
    with connected():
        assert [job.id for job in Job.select().order_by(Job.id)] == made[:2]


def test_cleaning_up_by_size_takes_the_bin_first(app, client, add_config, make_job):
    add_config("http://127.0.0.1:9/v1")
    kept, binned = make_job(2000, hold=True), make_job(2000, hold=True, name="binned")
    with connected():
        Job.update(status="completed", finished_at=1).execute()
        jobs.delete(binned)
        Upload.update(changed_at=1).execute()
    loaded = context.settings()
    assert "Deleted jobs in the bin" in client.get("/storage").text
    with connected():
        size = retention.disk_usage.job_bytes(binned, 2000)
        assert retention.sizes().binned == size
        limit = retention.disk_usage.used_bytes() - size // 2
        object.__setattr__(loaded, "RETENTION_JOBS_MAX_BYTES", limit)
        assert [item.id for item in retention.plan().jobs] == [binned]
    assert 'href="/jobs/bin">binned' in client.get("/storage").text
    post(client, "/storage/clean")
    with connected():
        assert [job.id for job in Job.select()] == [kept]


def test_what_belongs_to_a_job_of_the_bin_stays_until_it_is_removed(app, client):
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
    data = {"purpose": "batch", "file": (io.BytesIO(json.dumps(line).encode()), "in.jsonl")}
    file = client.post("/v1/files", data=data).json["id"]
    asked = {"endpoint": line["url"], "completion_window": "24h", "input_file_id": file}
    with connected():
        fields = configs.ConfigFields(alias="test", base_url="http://127.0.0.1:9/v1", model="m")
        configs.create(fields)
    job_id = int(client.post("/v1/batches", json=asked).json["id"].removeprefix("batch_"))
    settings = context.settings()
    object.__setattr__(settings, "RETENTION_UPLOADS_DAYS", 0.0001)
    with connected():
        importer.import_quietly(job_id)
        jobs.cancel(job_id)
        jobs.delete(job_id)
        Upload.update(created_at=1, changed_at=1).execute()
        ApiFile.update(expires_at=1).execute()
        retention.sweep()
        assert not retention.plan().uploads
        job = job_bin.restore(job_id)
        assert job.upload is not None
        assert ApiFile.select().count() == 2  # the input and the errors
        assert [item.id for item in retention.plan().uploads] == []  # the file holds it
        retention.sweep()
        assert jobs.get(job_id).upload is None
        assert ApiFile.select().count() == 0


@pytest.mark.parametrize("at_once", [False, True])
def test_open_lists_learn_of_a_deleted_job_that_had_ended(
    app, add_config, make_job, overrides, at_once
):
    """A watcher sees it although another process deletes the job."""
    add_config("http://127.0.0.1:9/v1")
    seen = []

    def changed(_sender, job_id):
        seen.append(job_id)

    job_id = make_job(1, hold=True)
    watcher = Watcher()
    signals.jobs_changed.connect(changed)
    with connected(), mock.patch.object(jobs, "done_here", lambda rows: False):
        Job.update(status="completed", finished_at=1).execute()
        watcher.look()
        seen.clear()
        jobs.delete(job_id, at_once=at_once)
        watcher.look()
        assert seen == [job_id]
        watcher.look()
        assert seen == [job_id]


def test_open_lists_learn_of_a_restored_job(start, add_config, make_job, wait_for):
    seen = []

    def changed(_sender, job_id):
        seen.append(job_id)

    with MisbehavingEndpoint(e.ok()) as endpoint:
        add_config(endpoint.base_url)
        job_id = make_job(1)
        wait_for(job_id, "completed")
    with connected():
        jobs.delete(job_id)
    wait_until(lambda: not lifecycle.figures().job_runs)
    signals.jobs_changed.connect(changed)
    with connected():
        job_bin.restore(job_id)
    wait_until(lambda: job_id in seen)
