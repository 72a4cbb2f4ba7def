"""The database server restarts while jobs run; two processes share a database."""

import contextlib
import json

import gevent
import psycopg
import pytest

from simple_batch.runner import lease
from simple_batch.services import job_creation, jobs, lifecycle, uploads
from simple_batch.store.database import connected

from .. import endpoint as e
from .. import postgres
from ..conftest import wait_until
from ..endpoint import MisbehavingEndpoint
from ..process import flask, served
from ..store.test_postgres import cut
from .test_job_run import agrees

pytestmark = pytest.mark.skipif(postgres.programs() is None, reason="PostgreSQL is not installed")
TAKE = "SELECT pg_advisory_lock(%s, hashtext(current_schema()))"  # the interval of store/locks.py


@pytest.fixture
def database_url(instance):
    """A PostgreSQL database in every run."""
    url = postgres.url_of(instance)
    yield url
    postgres.server().drop(url)


def test_a_job_waits_while_its_database_server_is_away(
    start, app, add_config, make_job, wait_for, questions
):
    """Nothing is lost or sent twice, and the job continues by itself."""
    client, server = app.test_client(), postgres.server()
    with MisbehavingEndpoint(e.slow(0.02)) as endpoint:
        add_config(endpoint.base_url, concurrency=8)
        job_id = make_job(600)
        wait_until(lambda: endpoint.calls >= 50)
        server.stop()
        try:
            wait_until(lifecycle.storage_fault)
            calls = endpoint.at_rest()
            assert client.get("/healthz").status_code == 200
            ready = client.get("/readyz")
            assert (ready.status_code, ready.json["reason"]) == (503, "database")
            page = client.get("/jobs")
            assert page.status_code == 503
            assert "cannot be reached" in page.text
            api = client.get("/v1/batches")
            assert api.status_code == 503
            assert "cannot be reached" in api.json["error"]["message"]
            gevent.sleep(0.3)
            assert endpoint.calls == calls < 600  # no call starts while results cannot be stored
        finally:
            server.start()
        job = wait_for(job_id, "completed", "paused")
        assert (job.status, job.succeeded, endpoint.calls) == ("completed", 600, 600)
        agrees(job_id)
        assert lifecycle.storage_fault() is None
        assert lifecycle.runner_state() == "here"
        ready = wait_until(lambda: (got := client.get("/readyz")).status_code == 200 and got)
        assert (ready.json["status"], ready.json["runner"]) == ("ok", "here")
        assert client.get("/metrics").status_code == 200


def test_restarts_at_any_moment_lose_nothing(start, add_config, wait_for, questions):
    server = postgres.server()
    with MisbehavingEndpoint(e.slow(0.01)) as endpoint:
        add_config(endpoint.base_url, concurrency=16)
        with connected(), questions(5_000).open("rb") as stream:
            upload = uploads.stage(stream, "questions.jsonl")
            job_id = job_creation.launch(upload.id, jobs.JobOptions(config="test")).id
        for _ in range(4):
            gevent.sleep(0.4)
            server.stop()
            server.start()
        job = wait_for(job_id, "completed", "paused", "failed")
        assert (job.status, job.total, job.succeeded) == ("completed", 5_000, 5_000)
        assert endpoint.calls == 5_000
        agrees(job_id)


def test_the_faster_process_takes_a_lost_lease(start, database_url, add_config, make_job, wait_for):
    """The process that lost the lease finishes its calls in flight, and starts no more."""
    with MisbehavingEndpoint(e.slow(0.05)) as endpoint, next_in_line(database_url) as other:
        add_config(endpoint.base_url, concurrency=4)
        job_id = make_job(300)
        wait_until(lambda: endpoint.calls >= 20)
        cut(database_url)
        wait_until(lambda: lifecycle.runner_state() == "elsewhere")
        assert endpoint.at_rest() < 300
        agrees(job_id)
        other.close()
        assert wait_for(job_id, "completed").succeeded == 300
        assert (lifecycle.runner_state(), endpoint.calls) == ("here", 300)
        agrees(job_id)


@contextlib.contextmanager
def next_in_line(url: str):
    """A connection that queues for the lease in the server, and gets it once it is free."""
    waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with psycopg.connect(url, autocommit=True) as connection:
        taking = gevent.spawn(connection.execute, TAKE, (lease._NUMBER,))
        with psycopg.connect(url, autocommit=True) as watching:
            wait_until(lambda: watching.execute(waiting).fetchone())
        yield connection
        assert taking.successful()


def test_another_process_takes_over_from_one_that_is_killed(instance, database_url, questions):
    where = {"SIMPLE_BATCH_DATABASE_URL": database_url}
    with MisbehavingEndpoint(e.slow(0.05)) as endpoint:
        done = flask(
            instance,
            "add-config",
            "test",
            "--base-url",
            endpoint.base_url,
            "--model",
            "m",
            "--key-stdin",
            "--concurrency",
            "10",
            stdin="sk-planted-0123456789\n",
            **where,
        )
        assert done.returncode == 0, done.stderr
        first = served(instance, **where)
        second = served(instance, **where)
        try:
            assert any("another process runs" in line for line in second.lines)
            done = flask(instance, "create-job", str(questions(400)), "--config", "test", **where)
            assert done.returncode == 0, done.stderr
            wait_until(lambda: endpoint.calls >= 60)
            first.kill()

            def finished() -> bool:
                with psycopg.connect(database_url) as connection:
                    row = connection.execute("SELECT status FROM job").fetchone()
                return row[0] == "completed"

            wait_until(finished)
            shown = json.loads(flask(instance, "show-job", "1", "--json", **where).stdout)
            assert (shown["succeeded"], shown["attempts"]) == (400, 400)
            # sent again: calls in flight or not committed yet
            assert 400 <= endpoint.calls <= 400 + 10 + 100
        finally:
            first.kill()
            second.stop()
