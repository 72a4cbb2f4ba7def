"""Jobs with several connections, against real endpoints with different faults."""

from decimal import Decimal

import pytest

from simple_batch import insight
from simple_batch.core.domain import Spread
from simple_batch.core.errors import Conflict, InvalidInput
from simple_batch.services import configs, jobs
from simple_batch.services.job_options import ExtraConfig
from simple_batch.store.database import connected
from simple_batch.store.models import JobConfig, database
from simple_batch.store.request_filter import RequestFilter

from .. import endpoint as e
from ..conftest import wait_until
from ..endpoint import MisbehavingEndpoint
from .test_job_run import agrees

BOTH = (ExtraConfig("b"),)


@pytest.fixture
def two(add_config):
    with MisbehavingEndpoint(e.slow(0.01)) as a, MisbehavingEndpoint(e.slow(0.01)) as b:
        add_config(
            a.base_url, alias="a", concurrency=4, input_price=Decimal(1), output_price=Decimal(1)
        )
        add_config(
            b.base_url, alias="b", concurrency=4, input_price=Decimal(2), output_price=Decimal(2)
        )
        yield a, b


def figures(job_id: int) -> dict:
    with connected():
        rows = JobConfig.select().where(JobConfig.job == job_id)
        found = {row.config.alias: (row.succeeded, row.failed) for row in rows}
        total = database.execute_sql(
            "SELECT sum(cost_nano), sum(input_tokens) FROM job_config WHERE job_id = ?", (job_id,)
        ).fetchone()
        job = jobs.get(job_id)
        assert total == (job.cost_nano, job.input_tokens)
        return found


def test_each_as_fast_as_it_can(start, two, make_job, wait_for):
    job_id = make_job(200, "a", also=BOTH)
    assert wait_for(job_id, "completed").succeeded == 200
    agrees(job_id)
    found = figures(job_id)
    assert found == {"a": (two[0].calls, 0), "b": (two[1].calls, 0)}
    assert min(two[0].calls, two[1].calls) > 50
    with connected():
        rows = insight.requests_page(job_id, RequestFilter(), per_page=200).rows
        assert {row["config"] for row in rows} == {"a", "b"}


def test_by_weight(start, two, make_job, wait_for):
    job_id = make_job(200, "a", also=BOTH, spread=Spread.WEIGHT, weight=3.0)
    wait_for(job_id, "completed")
    assert figures(job_id)["a"][0] == pytest.approx(150, abs=3)


def test_in_order_the_first_does_it_all(start, two, make_job, wait_for):
    job_id = make_job(60, "a", also=BOTH, spread=Spread.ORDER)
    wait_for(job_id, "completed")
    assert figures(job_id) == {"a": (60, 0), "b": (0, 0)}


@pytest.mark.parametrize(
    "fault", [e.error(500), e.error(503), e.reset, e.error(402, "no money"), e.error(401)]
)
@pytest.mark.parametrize("spread", [Spread.ORDER, Spread.WEIGHT, Spread.FAST])
def test_when_one_fails_the_other_does_it_all(start, two, make_job, wait_for, fault, spread):
    two[0].script = [*[e.ok()] * 5, fault]
    job_id = make_job(80, "a", also=BOTH, spread=spread, max_retries=1)
    job = wait_for(job_id, "completed")
    assert (job.succeeded, job.failed) == (80, 0)
    agrees(job_id)
    found = figures(job_id)
    assert found["a"] == (5, 0)
    assert found["b"] == (75, 0)


def test_a_refused_limit_cools_one_and_the_other_goes_on(start, two, make_job, wait_for):
    two[0].script = [e.ok()] * 3 + [e.error(429, "slow down", None, "Retry-After: 30")]
    job_id = make_job(60, "a", also=BOTH, spread=Spread.ORDER)
    job = wait_for(job_id, "completed")
    assert job.succeeded == 60
    assert two[0].calls <= 8


def test_what_all_have_failed_has_failed(start, two, make_job, wait_for):
    two[0].script = two[1].script = [e.error(500, "down")]
    job_id = make_job(4, "a", also=BOTH, max_retries=0)
    job = wait_for(job_id, "completed")
    assert (job.succeeded, job.failed) == (0, 4)
    agrees(job_id)
    with connected():
        assert job.attempts == 8 == two[0].calls + two[1].calls


def test_where_all_refuse_the_job_is_paused(start, two, make_job, wait_for):
    two[0].script = two[1].script = [e.error(402, "Insufficient Balance")]
    job_id = make_job(50, "a", also=BOTH)
    job = wait_for(job_id, "paused")
    assert job.status_reason == "quota"
    assert job.succeeded == job.failed == 0
    two[0].script = two[1].script = [e.ok()]
    with connected():
        jobs.resume(job_id)
    assert wait_for(job_id, "completed").succeeded == 50
    agrees(job_id)


def test_a_request_that_is_wrong_is_not_tried_elsewhere(start, two, make_job, wait_for):
    two[0].script = two[1].script = [e.error(400, "bad value")]
    job_id = make_job(10, "a", also=BOTH)
    assert wait_for(job_id, "completed").failed == 10
    assert two[0].calls + two[1].calls == 10


def test_a_request_too_large_for_one_is_tried_elsewhere(start, two, make_job, wait_for):
    said = "Request too large for gpt on tokens per min (TPM): Limit 30000, Requested 41000."
    two[0].script = [e.error(429, said)]
    job_id = make_job(12, "a", also=BOTH)
    assert wait_for(job_id, "completed").succeeded == 12
    agrees(job_id)
    assert figures(job_id) == {"a": (0, 0), "b": (12, 0)}


def test_pausing_cancelling_resetting(start, two, make_job, wait_for):
    job_id = make_job(400, "a", also=BOTH, spread=Spread.WEIGHT)
    wait_until(lambda: two[0].calls + two[1].calls > 40)
    with connected():
        jobs.pause(job_id)
    wait_until(lambda: two[0].in_flight + two[1].in_flight == 0)
    wait_until(lambda: made(job_id) == two[0].calls + two[1].calls)
    agrees(job_id)
    with connected():
        jobs.reset(job_id)
    wait_until(lambda: figures(job_id) == {"a": (0, 0), "b": (0, 0)})
    with connected():
        wait_until(lambda: jobs.get(job_id).status_reason == "held")
        jobs.resume(job_id)
    assert wait_for(job_id, "completed").succeeded == 400
    assert sum(done for done, _failed in figures(job_id).values()) == 400


def made(job_id) -> int:
    """The calls that are recorded."""
    with connected():
        return jobs.get(job_id).attempts


def test_what_cannot_be_chosen(app, two, add_config, make_job):
    add_config("http://127.0.0.1:9/v1", alias="yuan", currency="CNY")
    off = add_config("http://127.0.0.1:9/v1", alias="off")
    with connected():
        configs.set_active(off.id, False)
    for also in ("yuan", "off", "a"):
        with pytest.raises(InvalidInput) as refused:
            make_job(1, "a", also=(ExtraConfig(also),))
        assert refused.value.field == "also"
    with pytest.raises(InvalidInput):
        make_job(1, "a", also=(ExtraConfig("b", 0),), spread=Spread.WEIGHT)
    make_job(1, "a", also=BOTH, hold=True)
    with connected(), pytest.raises(Conflict, match="used by"):
        configs.delete(configs.get("b").id)
