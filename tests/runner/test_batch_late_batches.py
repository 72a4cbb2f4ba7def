"""A batch that a provider's list shows late is found, or cancelled where another one took its place, also when the
program is killed between."""

import pytest

from simple_batch.store.database import connected
from simple_batch.store.models import BatchLine, BatchPart, Job, JobEvent

from .. import fork_server
from ..conftest import wait_until
from ..emulators import batch_base as faults
from ..emulators.openai_batches import KEY, OpenAIBatches
from ..process import environment

COUNT = 4
QUICK = {
    "BATCH_POLL_FIRST": "0.05",
    "BATCH_POLL_MAX": "0.1",
    "BATCH_CALL_TIMEOUT": "2",
}


@pytest.fixture
def provider():
    with OpenAIBatches(polls_to_finish=None) as provider:
        provider.share_done = 0.0
        provider.hides = 1  # the first batch is in no list at first
        provider.faults.arm(faults.CREATE_LOST)
        yield provider


@pytest.fixture
def run(add_config, make_job, instance, provider, tmp_path):
    """Starts a process that runs the job; gives it."""
    add_config(provider.base_url, key=KEY, provider="openai")
    job_id = make_job(COUNT, hold=True)
    with connected():
        Job.update(service="batch").where(Job.id == job_id).execute()
    begun = []

    def run(tries: int = 2, wait_s: float = 0.05) -> fork_server.Process:
        settings = {**QUICK, "BATCH_FIND_TRIES": str(tries), "BATCH_FIND_WAIT": str(wait_s)}
        named = {f"SIMPLE_BATCH_{name}": value for name, value in settings.items()}
        command = [fork_server.FLASK, "run-job", str(job_id)]
        with (tmp_path / "out").open("a") as out, (tmp_path / "out").open() as nothing:
            streams = {"stdin": nothing, "stdout": out, "stderr": out}
            begun.append(fork_server.start(command, environment(instance, **named), **streams))
        return begun[-1]

    yield run
    for process in begun:
        process.kill()
        process.wait()


def killed(process: fork_server.Process) -> None:
    assert process.poll() is None
    process.kill()
    process.wait()


def state() -> str | None:
    with connected():
        part = BatchPart.get_or_none()
    return part and part.state


def judged(provider, process: fork_server.Process) -> None:
    """Each request is answered and paid for once."""
    provider.polls_to_finish = 1
    assert process.wait(90) == 0
    with connected():
        job = Job.get()
        assert (job.status, job.succeeded, job.attempts) == ("completed", COUNT, COUNT)
        assert not BatchLine.select().exists()
    assert provider.billed.total() == COUNT and provider.billed_twice() == []
    assert provider.files == {}


def test_a_search_goes_on_after_a_kill(run, provider):
    process = run(100, 0.3)
    wait_until(lambda: state() == "creating" and provider.calls["get_batches"] > 2)
    killed(process)
    process, looks = run(100, 0.3), provider.calls["get_batches"]
    wait_until(lambda: provider.calls["get_batches"] > looks + 2)
    assert state() == "creating" and len(provider.batches) == 1
    provider.hidden.clear()
    wait_until(lambda: state() == "open")
    judged(provider, process)
    assert len(provider.batches) == 1


@pytest.mark.parametrize("fault", [None, faults.CREATE_LOST, faults.CREATE_HANGS])
def test_a_batch_that_appears_late_is_cancelled_after_a_kill(run, provider, fault):
    """``fault``: of the call that creates the second one, too."""
    process = run()
    if fault is not None:
        wait_until(lambda: provider.batches)
        provider.faults.arm(fault)
    wait_until(lambda: len(provider.batches) == 2)
    if fault is not faults.CREATE_HANGS:
        wait_until(lambda: state() == "open")
    killed(process)
    first, second = provider.batches.values()
    process, polls = run(), second.polls
    wait_until(lambda: second.polls > polls + 2)
    assert not first.cancel_asked
    provider.hidden.clear()
    wait_until(lambda: first.cancel_asked)
    judged(provider, process)
    assert len(provider.batches) == 2
    with connected():
        notes = "\n".join(str(event.detail) for event in JobEvent.select())
    assert f"batch {first.id} was created for it too" in notes
