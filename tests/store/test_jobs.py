"""Status changes of jobs: compare and set, time stamps, events, removal in steps."""

from simple_batch.core.domain import FINAL_STATUSES, JobStatus
from simple_batch.store import jobs
from simple_batch.store.models import Job, JobEvent, Request, Result

from .test_results import new_job, recorded, results


def test_a_transition_only_happens_from_an_allowed_status(db):
    job_id = new_job()
    assert jobs.transition(job_id, JobStatus.COMPLETED, (JobStatus.PAUSED,)) is None
    assert Job.get_by_id(job_id).status == "running"
    assert JobEvent.select().count() == 0
    former = jobs.transition(job_id, JobStatus.PAUSED, (JobStatus.RUNNING,), "user", actor="web")
    assert former == JobStatus.RUNNING
    event = JobEvent.get()
    assert (event.from_status, event.to_status, event.reason, event.actor) == (
        "running",
        "paused",
        "user",
        "web",
    )


def test_active_time_counts_running_stretches_only(db):
    job_id = new_job()
    Job.update(resumed_at=None, status="queued").execute()
    jobs.transition(job_id, JobStatus.RUNNING, (JobStatus.QUEUED,))
    Job.update(resumed_at=Job.resumed_at - 5_000).execute()
    jobs.transition(job_id, JobStatus.PAUSED, (JobStatus.RUNNING,))
    job = Job.get_by_id(job_id)
    assert 5_000 <= job.active_ms < 6_000
    assert job.resumed_at is None
    assert job.finished_at is None
    jobs.transition(job_id, JobStatus.RUNNING, (JobStatus.PAUSED,))
    assert Job.get_by_id(job_id).started_at == job.started_at
    jobs.transition(job_id, JobStatus.COMPLETED, (JobStatus.RUNNING,))
    assert Job.get_by_id(job_id).finished_at is not None
    jobs.transition(job_id, JobStatus.QUEUED, FINAL_STATUSES)
    assert Job.get_by_id(job_id).finished_at is None


def test_removal_and_clearing_in_steps_leave_nothing(db, monkeypatch):
    monkeypatch.setattr(jobs, "CHUNK", 5)
    kept, gone = new_job(), new_job()
    for job_id in (kept, gone):
        results.write([recorded(job_id, n, [], True) for n in range(12)])
    while not jobs.clear_results_step(kept):
        pass
    job = Job.get_by_id(kept)
    assert (job.total, job.succeeded, job.attempts, job.cost_nano) == (12, 0, 0, 0)
    while not jobs.delete_rows_step(gone):
        pass
    assert Job.get_or_none(Job.id == gone) is None
    assert Request.select().where(Request.job == gone).count() == 0
    assert Result.select().count() == 0
