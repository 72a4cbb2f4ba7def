"""The preview of retention, what it removes, and that disk space is returned; by command and on the
page."""

import json
import os
import time
from pathlib import Path

import pytest

from simple_batch.core import settings
from simple_batch.core.clock import now_ms
from simple_batch.services import jobs, lifecycle, retention
from simple_batch.store.database import close_database, connected
from simple_batch.store.models import ApiFile, Job, Request, Upload

from .. import postgres
from ..process import flask

DAY = retention.DAY_MS


def with_rules(overrides, **rules):
    loaded = settings.load({}, **overrides, **rules)
    lifecycle.open_context(loaded)
    return loaded


def ended(job_id: int, days: float, status: str = "completed", **more) -> None:
    at = now_ms() - int(days * DAY)
    Job.update(status=status, finished_at=at, created_at=at, **more).where(
        Job.id == job_id
    ).execute()


def test_by_age_what_is_old_and_finished_goes_and_nothing_else(
    app, client, overrides, add_config, make_job, tmp_path
):
    add_config("http://127.0.0.1:9/v1")
    old, young, paused, other = (make_job(30, hold=True) for _ in range(4))
    exports = tmp_path / "exports"
    exports.mkdir()
    for name in ("a.csv", ".hidden"):
        (exports / name).write_text("x" * 100)
        os.utime(exports / name, (0, 0))
    (exports / "new.csv").write_text("y")
    (exports / "link.csv").symlink_to(tmp_path / "nowhere")
    overrides["EXPORT_DIR"] = str(exports)
    with connected():
        ended(old, 40, "failed")
        ended(young, 2)
        ended(other, 25, completion_window="24h")
        Job.update(created_at=0).where(Job.id == paused).execute()
        Upload.update(created_at=now_ms() - 20 * DAY).execute()
        uploads = {job.id: Path(job.upload.path) for job in Job.select()}
        made = {"purpose": "batch_output", "created_at": now_ms() - 12 * DAY, "part": "output"}
        file = ApiFile.create(filename="batch.jsonl", job=other, bytes=7, **made)
        ApiFile.create(filename="page.jsonl", job=young, **made)
        assert not retention.plan()  # off by default
        with_rules(
            overrides,
            RETENTION_JOBS_DAYS=30,
            RETENTION_UPLOADS_DAYS=10,
            RETENTION_RESULTS_DAYS=10,
            RETENTION_EXPORTS_DAYS=10,
        )
        going = retention.plan()
        assert [item.id for item in going.jobs] == [old]
        assert [item.id for item in going.results] == [file.id]
        assert [item.name for item in going.exports] == ["a.csv"]
        names = {upload.id for upload in Upload.select() if Path(upload.path) != uploads[paused]}
        assert {item.id for item in going.uploads} == names - {Job.get_by_id(old).upload_id}
        assert 30 * 120 < going.jobs[0].bytes < 30 * 300

    page = client.get("/storage").text
    assert "a.csv" in page
    assert "RETENTION_JOBS_DAYS=30" in page
    assert Job.__name__ and "new.csv" not in page
    assert client.get("/storage?lang=zh").text.count("RETENTION_JOBS_DAYS=30") == 1
    app.config["WTF_CSRF_ENABLED"] = False
    assert client.get("/storage?lang=en").status_code == 200
    assert "The deletion has started" in client.post("/storage/clean", follow_redirects=True).text
    with connected():
        assert {job.id for job in Job.select()} == {young, paused, other}
        assert not Request.select().where(Request.job == old).exists()
        assert Job.get_by_id(young).upload is None
        assert ApiFile.get_or_none(ApiFile.id == file.id) is None
        assert ApiFile.select().count() == 1
        assert not retention.plan()
    assert [job_id for job_id, path in uploads.items() if path.exists()] == [paused]
    assert sorted(path.name for path in exports.iterdir()) == [".hidden", "link.csv", "new.csv"]
    assert "Nothing to delete" in client.get("/storage").text


def test_by_size_the_oldest_goes_until_it_is_small_enough(
    app, overrides, add_config, make_job, tmp_path
):
    add_config("http://127.0.0.1:9/v1")
    made = [make_job(2000, hold=True) for _ in range(4)]
    exports = tmp_path / "exports"
    exports.mkdir()
    for age, name in enumerate("cba"):
        (exports / name).write_bytes(b"x" * 1000)
        os.utime(exports / name, (0, time.time() - 100 * age))
    overrides["EXPORT_DIR"] = str(exports)
    with connected():
        for n, job_id in enumerate(made[:3]):
            ended(job_id, 3 - n)
        size = retention.disk_usage.job_bytes(made[0], 2000)
        loaded = with_rules(
            overrides,
            RETENTION_JOBS_MAX_BYTES=retention.disk_usage.used_bytes() - size // 2,
            RETENTION_EXPORTS_MAX_BYTES=1500,
            RETENTION_UPLOADS_MAX_BYTES=1,
            RETENTION_AUTO=True,
        )
        going = retention.plan()
        assert [item.id for item in going.jobs] == made[:1]
        assert [item.name for item in going.exports] == ["a", "b"]
        assert len(going.uploads) == 2  # of the other two that have ended
    try:
        retention.sweep()  # as the server does by itself
        with connected():
            assert [job.id for job in Job.select().where(Job.deleted_at.is_null())] == made[1:]
            assert not retention.plan().jobs  # rows are still there: not one more goes for them
            jobs.remove_now(made[0])
            assert not retention.plan()
            # the estimate was good
            assert retention.disk_usage.used_bytes() <= loaded.RETENTION_JOBS_MAX_BYTES
    finally:
        retention._next_at = 0.0
    assert [path.name for path in exports.iterdir()] == ["c"]


@pytest.mark.skipif(postgres.CHOSEN, reason="of a SQLite file")
def test_the_command_shows_asks_and_gives_room_back(app, instance, tmp_path, add_config, make_job):
    add_config("http://127.0.0.1:9/v1")
    old, kept = make_job(5000, hold=True), make_job(5000, hold=True)
    with connected():
        ended(old, 1)
    plain = app.test_cli_runner().invoke(args=["clean", "--dry-run", "--json"])
    assert json.loads(plain.stdout) == {"rules": {}, "bytes": 0, "items": []}
    assert "No retention rule is on" in plain.stderr
    close_database()
    rules = {
        "SIMPLE_BATCH_RETENTION_JOBS_DAYS": "0.5",
        "SIMPLE_BATCH_EXPORT_DIR": str(tmp_path / "exports"),
    }
    dry = json.loads(flask(instance, "clean", "--dry-run", "--json", **rules).stdout)
    assert [(item["kind"], item["id"]) for item in dry["items"]] == [("jobs", old)]
    unsure = flask(instance, "clean", **rules)
    assert unsure.returncode == 2
    assert "questions-5000" in unsure.stdout
    before = (instance / "simple_batch.db").stat().st_size
    done = flask(instance, "clean", "--yes", "--vacuum", **rules)
    assert done.returncode == 0, done.stderr
    assert "Deleted: 1 job" in done.stderr
    assert "database file shrank by" in done.stderr
    assert before - (instance / "simple_batch.db").stat().st_size > 500_000
    with connected():
        assert [job.id for job in Job.select()] == [kept]
