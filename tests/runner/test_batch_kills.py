"""SIGKILL at steps of parts: no request lost or run twice, no batch created twice."""

import os
import signal
from collections import Counter

from simple_batch.store.database import close_database, connected, open_database
from simple_batch.store.models import BatchLine, Job, Result

from .batch_process import main
from .fake_batches import FakeBatches

REQUESTS = 24
STEPS = ("upload", "uploaded", "create", "find", "created", "retrieve", "retrieved", "download")
STEPS += ("downloaded", "delete", "deleted")


def in_child(*args: str) -> int:
    """How a process ends that runs ``main``. It is forked: Python starts more slowly than such a job runs."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    try:
        main(*args)
    except BaseException:
        os._exit(1)
    os._exit(0)


def test_kills_between_steps(app, add_config, make_job, endpoint, tmp_path, instance, database_url):
    add_config(endpoint.base_url)
    job_id = make_job(REQUESTS)
    with connected():
        Job.update(service="batch").where(Job.id == job_id).execute()
    close_database()
    provider = FakeBatches(tmp_path / "provider")
    for step in STEPS:
        ended = in_child(str(instance), database_url, str(provider.folder), step)
        assert os.WIFSIGNALED(ended) and os.WTERMSIG(ended) == signal.SIGKILL, step
    assert in_child(str(instance), database_url, str(provider.folder), "never") == 0
    open_database(database_url)
    with connected():
        job = Job.get_by_id(job_id)
        assert (job.status, job.succeeded, job.attempts) == ("completed", REQUESTS, REQUESTS)
        assert Result.select().where(Result.job == job_id).count() == REQUESTS
        assert not BatchLine.select().exists()
    assert Counter(provider.billed()) == Counter(f"r{n}" for n in range(REQUESTS))
    markers = Counter(batch["marker"] for batch in provider.batches())
    assert set(markers.values()) == {1}
    assert provider.files() == []
