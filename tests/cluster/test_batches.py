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
LEADERS = "SELECT count(DISTINCT worker_id) FROM lane"
WAITING = (
    "SELECT count(DISTINCT job_id) FROM batch_part WHERE state IN ('planned', 'uploaded') "
    "AND not_before IS NOT NULL"
)
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


def refusals(provider) -> int:
    return sum(batch.phase == "failed" for batch in provider.batches.values())


def test_jobs_of_two_workers_share_a_limit_of_enqueued_tokens(cluster):
    with OpenAIBatches(polls_to_finish=None) as provider:
        provider.enqueued_tokens_limit = 300  # those of one part, and not of two
        cluster.start("a", "b", **QUICK)
        cluster.add_config(provider.base_url, key=KEY, provider="openai")
        first, second = (
            cluster.make_job(questions(done + TOTAL)[done:], hold=True) for done in (0, TOTAL)
        )

        def begin(job_id: int, waiting: int) -> None:
            service = Job.update(service="batch", status="queued").where(Job.id == job_id)
            cluster.do(service.execute)
            wait_until(lambda: cluster.ask(WAITING) == (waiting,) and cluster.ask(OPEN) == (1,))

        begin(first, 1)
        refused = refusals(provider)
        begin(second, 2)
        assert cluster.ask(LEADERS) == (2,)
        provider.polls_to_finish = 1
        for job_id in (first, second):
            cluster.wait_for(job_id)
    assert refusals(provider) == refused > 0, "the second worker knew the limit"
    assert [cluster.counted(job_id) for job_id in (first, second)] == [(TOTAL, TOTAL, TOTAL)] * 2
    assert provider.billed.total() == 2 * TOTAL and provider.billed_twice() == []
