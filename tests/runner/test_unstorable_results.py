"""A result that the database refuses fails its own request, never the others."""

import msgspec

from simple_batch.core.call_prices import Prices
from simple_batch.core.domain import Attempt, Cause, RequestResult, RequestStatus
from simple_batch.runner.recorder import Recorder
from simple_batch.store.database import connected
from simple_batch.store.models import Result
from simple_batch.store.results import Recorded

from .. import postgres

UNFIT = {
    "a number that SQLite has no room for": {"latency_ms": 10**30},
    "a value of another kind": {"model": {"a": 1}},
}
if not postgres.CHOSEN:  # stored as U+FFFD
    UNFIT["text that is no text"] = {"message": "half \ud83d"}


def result(index: int, **fields) -> RequestResult:
    good = RequestResult(
        index=index,
        status=RequestStatus.FAILED,
        attempts=(Attempt(1, 1000, 5, Cause.SERVER_ERROR, 500, "no"),),
        started_at=1000,
        finished_at=2000,
        latency_ms=5,
        cause=Cause.SERVER_ERROR,
        message="no",
    )
    return msgspec.structs.replace(good, **fields)


def test_results_that_cannot_be_stored_fail_alone(add_config, make_job):
    add_config("http://127.0.0.1:9/v1")
    job_id = make_job(len(UNFIT) + 20)
    complaints = []
    recorder = Recorder(100, 0.01, complaints.append)
    recorder.start()
    outcomes = [result(n, **fields) for n, fields in enumerate(UNFIT.values())]
    outcomes += [result(n) for n in range(len(UNFIT), len(UNFIT) + 20)]
    for one in outcomes:
        recorder.record(Recorded(job_id, "test", Prices(), one.index, one.attempts, one))
    recorder.flush()
    recorder.record(Recorded(job_id, "test", Prices(), 0, (), result(0)))  # it still works
    recorder.stop(5)
    with connected():
        rows = {row.idx: row for row in Result.select().where(Result.job == job_id)}
    assert len(rows) == len(outcomes)
    for number, name in enumerate(UNFIT):
        assert rows[number].cause == Cause.INTERNAL, name
        assert "cannot be stored" in rows[number].message
    assert all(rows[one.index].cause == Cause.SERVER_ERROR for one in outcomes[len(UNFIT) :])
    assert not complaints  # storing results works
