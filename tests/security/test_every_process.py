"""Each kind of process that makes calls calls private addresses only if they are named."""

import json

import pytest

from simple_batch.services import jobs
from simple_batch.store.models import Job

from .. import endpoint as e
from .. import postgres
from ..cluster.processes import MISSING, Cluster, questions
from ..conftest import wait_until
from ..endpoint import MisbehavingEndpoint
from ..process import flask, gunicorn, served

ON_A_NETWORK = {
    "SIMPLE_BATCH_EXPOSED": "yes",
    "SIMPLE_BATCH_ALLOWED_PRIVATE_HOSTS": "localhost",
    "SIMPLE_BATCH_PASSWORD": "open sesame, please",  # without a login it would not start
}
REFUSAL = (
    "Nothing is sent to 127.0.0.1: that is a private address, or one that no endpoint has. If it is "
    "meant, name it in SIMPLE_BATCH_ALLOWED_PRIVATE_HOSTS."
)
COUNT = 3


@pytest.fixture
def by_address():
    """An endpoint on a private address that is not named."""
    with MisbehavingEndpoint(e.ok()) as endpoint:
        yield endpoint


@pytest.fixture
def by_name():
    """An endpoint called by a name in ALLOWED_PRIVATE_HOSTS."""
    with MisbehavingEndpoint(e.ok()) as endpoint:
        yield endpoint


def named(endpoint: MisbehavingEndpoint) -> str:
    return endpoint.base_url.replace("127.0.0.1", "localhost")


def add_job(instance, questions, alias: str, base_url: str) -> str:
    """Creates a job and its config on this machine, where nothing is exposed; returns the id."""
    added = ("add-config", alias, "--base-url", base_url, "--model", "m", "--key-stdin")
    done = flask(instance, *added, stdin="sk-planted-0123456789\n")
    assert done.returncode == 0, done.stderr
    done = flask(instance, "create-job", str(questions(COUNT)), "--config", alias)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def job(instance, job_id: str) -> dict:
    return json.loads(flask(instance, "show-job", job_id, "--json").stdout)


def run_job(instance, *jobs: str) -> None:
    for job_id in jobs:
        flask(instance, "run-job", job_id, **ON_A_NETWORK)


@pytest.mark.parametrize("kind", ["run.py", "gunicorn", "run-job"])
def test_a_process_calls_private_addresses_where_they_are_named(
    kind, instance, questions, by_address, by_name
):
    refused = add_job(instance, questions, "by-address", by_address.base_url)
    allowed = add_job(instance, questions, "by-name", named(by_name))
    server = None
    if kind == "run-job":
        run_job(instance, refused, allowed)
    else:
        server = {"run.py": served, "gunicorn": gunicorn}[kind](instance, **ON_A_NETWORK)
    try:
        wait_until(lambda: job(instance, allowed)["status"] == "completed")
        wait_until(lambda: job(instance, refused)["status"] == "paused")
    finally:
        if server is not None:
            server.stop()
    found = postgres.asked(instance, f"SELECT status_detail FROM job WHERE id = {refused}")
    assert Job.status_detail.python_value(found[0]) == REFUSAL
    assert by_address.connections == 0
    assert by_name.calls == COUNT


@pytest.mark.skipif(bool(MISSING), reason=f"needs {' and '.join(MISSING)}")
@pytest.mark.skipif(postgres.CHOSEN, reason="has a PostgreSQL anyhow")
def test_a_worker_calls_private_addresses_where_they_are_named(tmp_path, by_address, by_name):
    """With EXPOSED, and without it where users have to log in."""
    with Cluster(tmp_path / "instance") as cluster:
        cluster.add_config(by_address.base_url, "by-address")
        cluster.add_config(named(by_name), "by-name")
        refused = cluster.make_job(questions(COUNT), "by-address")
        given = {name.removeprefix("SIMPLE_BATCH_"): value for name, value in ON_A_NETWORK.items()}
        for settings in (given, {**given, "EXPOSED": "auto"}):
            (worker,) = cluster.start(settings["EXPOSED"], **settings)
            cluster.wait_for(cluster.make_job(questions(COUNT), "by-name"))
            cluster.wait_for(refused, "paused")
            assert cluster.do(jobs.get, refused).status_detail == REFUSAL
            worker.stop()
            cluster.do(jobs.resume, refused)
        assert by_address.connections == 0
        assert by_name.calls == 2 * COUNT
        # in single-user mode private addresses are as good as others
        cluster.start("desk")
        cluster.wait_for(refused)
        assert by_address.calls == COUNT
