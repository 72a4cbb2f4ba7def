"""A job whose endpoint goes away, from the database to the pages."""

import json

import gevent
import pytest
from flask.testing import FlaskCliRunner

from simple_batch import insight
from simple_batch.core.domain import GovernorState, Spread, Waiting
from simple_batch.runner import live_state
from simple_batch.runner.live_state import LiveState
from simple_batch.services import jobs
from simple_batch.services.job_options import ExtraConfig
from simple_batch.store import jobs as job_rows
from simple_batch.store.database import connected
from simple_batch.store.models import Attempt, Job, JobEvent

from .. import endpoint as e
from ..conftest import wait_until
from ..endpoint import AbsentEndpoint, MisbehavingEndpoint


@pytest.fixture
def overrides(overrides):
    return {**overrides, "ENDPOINT_PROBE_FIRST": 0.1, "ENDPOINT_PROBE_MAX": 0.3}


def progress(job_id):
    with connected():
        return insight.progress(job_id)


def waiting(job_id):
    return wait_until(lambda: progress(job_id)["waiting"])


def reasons(job_id) -> list[str]:
    with connected():
        rows = JobEvent.select().where(JobEvent.job == job_id).order_by(JobEvent.id)
        return [event.reason for event in rows if event.from_status == event.to_status]


def test_a_job_waits_says_so_and_goes_on_by_itself(
    start, app, client, add_config, make_job, wait_for
):
    with AbsentEndpoint(e.slow(0.02)) as endpoint:
        add_config(endpoint.base_url, concurrency=5)
        job_id = make_job(200)
        wait_until(lambda: progress(job_id)["counts"]["succeeded"] > 20)
        endpoint.go_away()
        found = waiting(job_id)
        assert "refused" in found["reason"]
        assert set(found) == {"since", "reason", "next_probe_at"}
        assert found["since"] < found["next_probe_at"]
        assert (
            client.get(f"/jobs/{job_id}/progress.json").json["waiting"]["since"] == found["since"]
        )
        assert "This job is waiting" in client.get(f"/jobs/{job_id}").text
        chinese = {"Accept-Language": "zh"}
        assert "任务正在等待" in client.get(f"/jobs/{job_id}", headers=chinese).text
        assert "waiting – the endpoint" in client.get("/jobs").text
        shown = FlaskCliRunner(app).invoke(args=["show-job", str(job_id), "--json"])
        assert json.loads(shown.stdout)["waiting"]["reason"] == found["reason"]
        assert json.loads(shown.stdout)["status"] == "running"
        endpoint.come_back()
        job = wait_for(job_id, "completed")
        assert (job.succeeded, job.failed) == (200, 0)
        assert progress(job_id)["waiting"] is None
        assert reasons(job_id) == ["waiting", "answering"]


def test_no_retry_is_charged(start, add_config, make_job, wait_for):
    with MisbehavingEndpoint(e.ok()) as endpoint:
        endpoint.script = [e.ok()] * 10 + [e.http(502, b"<html>Bad Gateway</html>")]
        add_config(endpoint.base_url, concurrency=5)
        job_id = make_job(120, max_retries=0)
        waiting(job_id)
        endpoint.script = [e.ok()]
        job = wait_for(job_id, "completed")
        assert (job.succeeded, job.failed) == (120, 0)
        with connected():
            assert Attempt.select().where(Attempt.job == job_id).count() > 0


def test_the_wait_ends_in_a_pause(app, start, add_config, make_job, wait_for, monkeypatch):
    object.__setattr__(app.extensions["simple_batch"].settings, "ENDPOINT_WAIT_MAX", 0.4)
    with AbsentEndpoint(e.ok()) as endpoint:
        endpoint.go_away()
        add_config(endpoint.base_url)
        job = wait_for(make_job(100), "paused")
        assert job.status_reason == "no_answer"
        assert "refused" in job.status_detail
        assert job.failed == 0
        endpoint.come_back()
        with connected():
            jobs.resume(job.id)
        assert wait_for(job.id, "completed").succeeded == 100


@pytest.mark.parametrize("action", [jobs.pause, jobs.cancel])
def test_a_waiting_job_can_be_stopped_at_once(start, add_config, make_job, wait_for, action):
    with AbsentEndpoint(e.ok()) as endpoint:
        endpoint.go_away()
        add_config(endpoint.base_url)
        job_id = make_job(30)
        waiting(job_id)
        with connected():
            action(job_id)
        job = wait_for(job_id, "paused", "cancelled")
        assert job.failed == 0
        assert progress(job_id)["waiting"] is None


def test_the_usual_timeout_is_raised_once(app, start, add_config, make_job, wait_for):
    object.__setattr__(app.extensions["simple_batch"].settings, "DEFAULT_TIMEOUT", 0.3)
    with MisbehavingEndpoint(e.slow(0.4)) as endpoint:
        add_config(endpoint.base_url, timeout_s=0.3)
        job_id = make_job(12)
        job = wait_for(job_id, "completed")
        assert (job.succeeded, job.failed) == (12, 0)
        assert reasons(job_id).count("longer_timeout") == 1
        assert endpoint.calls <= 30


def test_a_timeout_that_a_user_set_stays(start, add_config, make_job, wait_for):
    with MisbehavingEndpoint(e.slow(5)) as endpoint:
        add_config(endpoint.base_url, timeout_s=1.0)
        job_id = make_job(12)
        assert waiting(job_id)["reason"] == "every call exceeds the time-out of 1 s"
        endpoint.script = [e.ok()]
        assert wait_for(job_id, "completed").succeeded == 12


@pytest.fixture
def two_endpoints(add_config):
    with AbsentEndpoint(e.slow(0.02)) as one, AbsentEndpoint(e.slow(0.02)) as other:
        add_config(one.base_url, "one", concurrency=3)
        add_config(other.base_url, "other", concurrency=3)
        yield one, other


def begun_on_both(make_job, count: int) -> int:
    """A job on both endpoints, some of whose requests are answered."""
    job_id = make_job(count, "one", spread=Spread.FAST, also=(ExtraConfig("other"),))
    wait_until(lambda: progress(job_id)["counts"]["succeeded"] > 20)
    return job_id


def test_a_job_waits_only_if_all_its_endpoints_are_away(start, two_endpoints, make_job, wait_for):
    one, other = two_endpoints
    job_id = begun_on_both(make_job, 300)
    one.go_away()
    before = progress(job_id)["counts"]["succeeded"]
    wait_until(lambda: progress(job_id)["counts"]["succeeded"] > before + 30)
    assert reasons(job_id) == []
    other.go_away()
    waiting(job_id)
    other.come_back()
    job = wait_for(job_id, "completed")
    assert (job.succeeded, job.failed) == (300, 0)


def test_an_outage_ends_for_all_endpoints_though_the_database_is_slow(
    start, two_endpoints, make_job, wait_for, monkeypatch
):
    noted = job_rows.note_waited

    def note_slowly(*args):
        gevent.sleep(0.5)  # calls to the other endpoint fail meanwhile
        noted(*args)

    monkeypatch.setattr(job_rows, "note_waited", note_slowly)
    one, other = two_endpoints
    job_id = begun_on_both(make_job, 100)
    one.go_away()
    other.go_away()
    waiting(job_id)
    other.come_back()
    job = wait_for(job_id, "completed")
    assert (job.succeeded, job.failed) == (100, 0)


@pytest.mark.parametrize(
    "error", [e.error(400, "no zorbloks left"), e.error(500, "灵石已尽"), e.error(401, "wrong key")]
)
def test_a_fault_of_all_costs_few_calls_at_a_high_concurrency(
    start, add_config, make_job, wait_for, error
):
    with MisbehavingEndpoint(error) as endpoint:
        add_config(endpoint.base_url, concurrency=500)
        job = wait_for(make_job(600), "paused")
        assert job.failed == 0
        assert job.attempts == endpoint.calls <= 48


def test_requests_that_fail_alike_pause_the_job_and_stay_pending(
    start, client, add_config, make_job, wait_for
):
    with MisbehavingEndpoint(e.error(400, "no zorbloks left")) as endpoint:
        add_config(endpoint.base_url, concurrency=2)
        job_id = make_job(150)
        job = wait_for(job_id, "paused")
        assert job.status_reason == "same_failure"
        assert "no zorbloks left" in job.status_detail
        assert (job.failed, job.attempts) == (0, pytest.approx(11, abs=1))
        assert "all requests fail with the same error" in client.get(f"/jobs/{job_id}").text
        with connected():
            jobs.resume(job_id)  # they count as failed now: the job goes on
        wait_until(lambda: progress(job_id)["counts"]["failed"] == 100)
        job = wait_for(job_id, "paused")
        assert job.failed == 100
        endpoint.script = [e.ok()]
        with connected():
            jobs.resume(job_id)
        job = wait_for(job_id, "completed")
        assert (job.succeeded, job.failed) == (50, 100)


def test_a_job_of_several_workers_waits_unless_one_makes_calls():
    outage, later = Waiting(5_000, "away", 9_000), Waiting(6_000, "away", 8_000)
    governor = GovernorState(limit=5, in_flight=0, learning=False)

    def state(waiting=None, calls=0):
        return LiveState(1, 0, 0, 0.0, [], [], governor, calls, waiting=waiting)

    assert live_state.merged([state(later), state(outage)]).waiting == Waiting(5_000, "away", 8_000)
    assert live_state.merged([state(outage), state()]).waiting == outage
    assert live_state.merged([state(outage), state(calls=2)]).waiting is None


def test_waiting_is_of_this_run_only(start, add_config, make_job, wait_for):
    with MisbehavingEndpoint(e.ok()) as endpoint:
        add_config(endpoint.base_url)
        job = wait_for(make_job(3), "completed")
        with connected():
            assert insight.summary(job.id)["waiting"] is None
            assert Job.get_by_id(job.id).live == "{}"
