"""A job that goes through a provider's batches, with workers: one leads its parts, and another one takes them
over."""

import signal

from simple_batch.store.models import Job

from ..emulators.openai_batches import KEY, OpenAIBatches
from .processes import questions, wait_until

TOTAL = 30
QUICK = {
    "BATCH_PART_MAX_REQUESTS": "10",
    "BATCH_POLL_FIRST": "0.05",
    "BATCH_POLL_MAX": "0.2",
}
OPEN = "SELECT count(*) FROM batch_part WHERE state = 'open'"


def leader(cluster):
    """The worker that the job is assigned to; None between two."""
    found = cluster.ask("SELECT name FROM worker JOIN lane ON worker.id = worker_id")
    return next((worker for worker in cluster.workers if found and worker.name == found[0]), None)


def test_parts_of_a_dead_or_silent_worker_are_taken_over(cluster):
    with OpenAIBatches(polls_to_finish=None) as provider:
        cluster.start("a", "b", **QUICK)
        cluster.add_config(provider.base_url, key=KEY, provider="openai")
        job_id = cluster.make_job(questions(TOTAL), hold=True)
        service = Job.update(service="batch", status="queued").where(Job.id == job_id)
        cluster.do(service.execute)
        wait_until(lambda: cluster.ask(OPEN) == (3,))
        assert cluster.placed(job_id) == 1
        silent = wait_until(lambda: leader(cluster))
        silent.signal(signal.SIGSTOP)
        wait_until(lambda: leader(cluster) not in (None, silent))
        silent.signal(signal.SIGCONT)
        provider.polls_to_finish = 1
        cluster.wait_for(job_id)
    assert cluster.counted(job_id) == (TOTAL, TOTAL, TOTAL)
    batches = [(batch.id, batch.file.name, batch.phase) for batch in provider.batches.values()]
    assert len(batches) == 3, (batches, [worker.output for worker in cluster.workers])
    assert provider.billed.total() == TOTAL and provider.billed_twice() == []
