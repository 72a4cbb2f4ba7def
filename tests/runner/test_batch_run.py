"""Jobs that go through a provider's batch API, with a provider that outlives the process."""

import pytest

from simple_batch.core.domain import Cause, PartState, Spread, Verdict
from simple_batch.engine.batch_api.batch_client import BatchError, BatchLimits
from simple_batch.runner import batch_jobs, batch_run
from simple_batch.runner.batch_clients import BatchClients
from simple_batch.runner.part_poller import PartPoller
from simple_batch.services import job_creation, job_retry, jobs, lifecycle
from simple_batch.services.job_options import ExtraConfig
from simple_batch.store import batch_parts
from simple_batch.store import jobs as job_rows
from simple_batch.store.database import connected
from simple_batch.store.models import ApiConfig, BatchLine, BatchPart, Job, Result
from simple_batch.store.requeue import Changes

from ..conftest import wait_until
from .fake_batches import Fails, FakeBatches, no_answer, refused

FAST = {
    "BATCH_POLL_FIRST": 0.01,
    "BATCH_POLL_MAX": 0.05,
    "BATCH_FIND_WAIT": 0.01,
    "BATCH_CANCEL_WAIT": 20.0,
}


@pytest.fixture
def overrides(overrides):
    return {**overrides, **FAST}


@pytest.fixture
def provider(tmp_path, monkeypatch):
    client = FakeBatches(tmp_path / "provider")
    monkeypatch.setattr(BatchClients, "of", lambda self, config: client)
    monkeypatch.setattr(batch_run, "LOOK_S", 0.01)
    monkeypatch.setattr(batch_jobs, "LOOK_S", 0.01)
    return client


@pytest.fixture
def batch_job(app, add_config, make_job, endpoint, provider):
    """Makes a job that goes through the provider's batches."""

    def make(count: int, service: str = "batch", **choices) -> int:
        add_config(endpoint.base_url)
        job_id = make_job(count, **choices)
        with connected():
            Job.update(service=service).where(Job.id == job_id).execute()
        return job_id

    return make


@pytest.fixture
def started(app):
    services = app.extensions["simple_batch"]

    def start():
        services.start()

    yield start
    services.stop(2)


def agrees(job_id: int) -> None:
    """Nothing is left, and each request has one result."""
    with connected():
        job = Job.get_by_id(job_id)
        assert Result.select().where(Result.job == job_id).count() == job.total
        assert job.succeeded + job.failed + job.cancelled == job.total
        assert BatchLine.select().count() == 0
        assert not batch_parts.any_under_way(job_id)


def test_parts_within_the_limits_run_to_the_end(batch_job, provider, started, wait_for):
    provider.limits = BatchLimits(requests=40)
    job_id = batch_job(100)
    started()
    job = wait_for(job_id, "completed", "paused")
    assert (job.status, job.succeeded) == ("completed", 100)
    assert [len(batch["lines"]) for batch in provider.batches()] == [40, 40, 20]
    assert sorted(provider.billed()) == sorted(f"r{n}" for n in range(100))
    assert provider.files() == []
    agrees(job_id)


def test_a_create_without_an_answer_is_adopted(batch_job, provider, started, wait_for):
    provider.on = Fails(
        "created", no_answer(), refused(500, "oops", Cause.SERVER_ERROR, Verdict.RETRY)
    )
    provider.limits = BatchLimits(requests=5)
    job_id = batch_job(10)
    started()
    assert wait_for(job_id, "completed", "paused").succeeded == 10
    assert len(provider.batches()) == 2
    agrees(job_id)


@pytest.mark.parametrize("status", [429, 401])
def test_a_refused_look_for_a_batch_is_no_proof_that_there_is_none(
    batch_job, provider, started, wait_for, status
):
    causes = {
        429: (Cause.RATE_LIMIT, Verdict.RETRY),
        401: (Cause.AUTH, Verdict.STOP),
    }
    created, found = (
        Fails("created", no_answer()),
        Fails("find", refused(status, "no", *causes[status])),
    )
    provider.on = lambda step: (created(step), found(step))
    job_id = batch_job(3)
    started()
    if wait_for(job_id, "completed", "paused").status == "paused":
        with connected():
            jobs.resume(job_id)
    assert wait_for(job_id, "completed").succeeded == 3
    assert len(provider.batches()) == 1 and found.errors == []
    agrees(job_id)


def test_a_create_that_had_no_effect_is_made_again(batch_job, provider, started, wait_for):
    provider.on = Fails(
        "create", no_answer(), refused(503, "away", Cause.OVERLOADED, Verdict.RETRY)
    )
    job_id = batch_job(3)
    started()
    assert wait_for(job_id, "completed", "paused").succeeded == 3
    assert len(provider.batches()) == 1
    assert provider.on.steps.count("create") == 3


def test_an_upload_that_was_cut_off_is_found_or_made_again(batch_job, provider, started, wait_for):
    provider.on = Fails("uploaded", no_answer())
    job_id = batch_job(3)
    started()
    wait_for(job_id, "completed", "paused")
    assert provider.on.steps.count("upload") == 1 and "find_upload" in provider.on.steps
    assert len(provider.batches()) == 1


def test_polls_may_fail_a_thousand_times(batch_job, provider, started, wait_for, monkeypatch):
    again = PartPoller.poll

    def poll(self, part):
        while provider.on.errors:  # without the waits between them
            assert again(self, part) is None
        return again(self, part)

    failures = [no_answer(), refused(429, "slow down", Cause.RATE_LIMIT, Verdict.WAIT)] * 500
    provider.on = Fails("retrieve", *failures)
    monkeypatch.setattr(PartPoller, "poll", poll)
    job_id = batch_job(2)
    started()
    assert wait_for(job_id, "completed", "paused").succeeded == 2
    assert provider.on.steps.count("retrieve") == 1001


def test_a_full_queue_waits_and_is_learned(batch_job, provider, started, wait_for):
    provider.limits = BatchLimits(requests=10)
    full = "Enqueued token limit reached for m. Limit: 400 enqueued tokens."

    def too_much(batch, lines):
        open_ = [one for one in provider.batches() if one["state"] == "running"]
        tokens = 16 * (sum(len(one["lines"]) for one in open_) + len(lines))
        return [BatchError("token_limit_exceeded", full, enqueued=True)] if tokens > 400 else []

    provider.refuses = too_much
    provider.held = True
    job_id = batch_job(60)
    started()
    wait_until(lambda: any(batch["state"] == "failed" for batch in provider.batches()))
    provider.held = False
    job = wait_for(job_id, "completed", "paused")
    assert (job.status, job.succeeded) == ("completed", 60)
    with connected():
        assert batch_parts.token_limit(job.config_id, "m") == 400
    assert sorted(provider.billed()) == sorted(f"r{n}" for n in range(60))
    refusals = [batch for batch in provider.batches() if batch["state"] == "failed"]
    assert 1 <= len(refusals) <= 3
    agrees(job_id)


def test_a_line_that_the_provider_names_fails_and_the_rest_is_sent_again(
    batch_job, provider, started, wait_for
):
    def names_one(batch, lines):
        for number, line in enumerate(lines, 1):
            if line["custom_id"] == "r4":
                return [BatchError("invalid_request", "'messages' is bad", line=number)]
        return []

    provider.refuses = names_one
    job_id = batch_job(8)
    started()
    job = wait_for(job_id, "completed", "paused")
    assert (job.status, job.succeeded, job.failed) == ("completed", 7, 1)
    with connected():
        row = Result.get(Result.job == job_id, Result.idx == 4)
        assert (row.cause, row.message) == ("bad_request", "'messages' is bad")
    assert sorted(provider.billed()) == [f"r{n}" for n in (0, 1, 2, 3, 5, 6, 7)]
    agrees(job_id)


def test_batches_refused_as_a_whole_pause_the_job(batch_job, provider, started, wait_for):
    provider.refuses = lambda batch, lines: [BatchError("bad_model", "m takes no batches")]
    job_id = batch_job(4)
    started()
    job = wait_for(job_id, "completed", "paused")
    assert (job.status, job.status_reason) == ("paused", "batch_refused")
    assert "m takes no batches" in job.status_detail
    assert len(provider.batches()) == 3
    with connected():
        wait_until(lambda: not BatchLine.select().exists())


def test_batches_without_any_result_pause_the_job(batch_job, provider, started, wait_for):
    provider.loses = {"r2", "r3"}  # lines that the provider never runs
    job_id = batch_job(4)
    started()
    job = wait_for(job_id, "completed", "paused")
    assert (job.status, job.status_reason) == ("paused", "batch_empty")
    assert (job.succeeded, job.failed) == (2, 0)
    assert len(provider.batches()) == 4  # one with two results, three without
    provider.loses = set()
    with connected():
        job_rows.transition(job_id, "queued", ("paused",))
    assert wait_for(job_id, "completed").succeeded == 4


def test_a_revoked_key_pauses_the_job_and_open_parts_stay(
    batch_job, provider, started, wait_for, app
):
    provider.on = Fails("retrieve", *[refused(401, "bad key", Cause.AUTH, Verdict.STOP)] * 3)
    job_id = batch_job(4)
    started()
    assert wait_for(job_id, "paused", "completed").status_reason == "auth"
    with connected():
        assert [part.state for part in batch_parts.of_job(job_id)] == ["open"]
        job_rows.transition(job_id, "queued", ("paused",))
    assert wait_for(job_id, "completed").succeeded == 4
    assert len(provider.batches()) == 1


def test_a_batch_that_is_gone_lets_its_requests_go(batch_job, provider, started, wait_for):
    gone = refused(404, "no such batch", Cause.NOT_FOUND, Verdict.STOP, gone=True)
    file_gone = refused(410, "the file has expired", Cause.NOT_FOUND, Verdict.FINAL, gone=True)
    errors = {"retrieve": [gone] * 3, "download": [file_gone]}

    def on(step):
        if errors.get(step):
            raise errors[step].pop()

    provider.on = on
    job_id = batch_job(4)
    started()
    assert wait_for(job_id, "completed", "paused").succeeded == 4
    assert len(provider.batches()) == 3
    with connected():
        found = [
            event.detail for event in job_rows.events_after(job_id, 0) if event.reason == "parts"
        ]
    assert sum("are gone" in detail for detail in found) == 2
    assert provider.files() == []


def test_cancelling_a_job_cancels_its_batches_and_keeps_what_is_finished(
    batch_job, provider, started, wait_for
):
    provider.held = True
    provider.limits = BatchLimits(requests=6)
    job_id = batch_job(12)
    started()
    wait_until(lambda: len(provider.batches()) == 2)
    with connected():
        wait_until(lambda: len(batch_parts.of_job(job_id, (PartState.OPEN,))) == 2)
        job_rows.transition(job_id, "cancelling", ("running",))
    job = wait_for(job_id, "cancelled")
    assert (job.succeeded, job.cancelled) == (6, 6)
    assert {batch["state"] for batch in provider.batches()} == {"cancelled"}
    assert provider.files() == []
    agrees(job_id)


def test_deleting_a_job_cancels_its_batches_and_leaves_no_row(
    batch_job, provider, started, wait_for
):
    provider.held = True
    job_id = batch_job(4)
    started()
    with connected():
        wait_until(lambda: batch_parts.of_job(job_id, (PartState.OPEN,)))
        Job.update(deleted_at=1).where(Job.id == job_id).execute()
        wait_until(lambda: not Job.select().where(Job.id == job_id).exists())
        assert not BatchPart.select().exists() and not BatchLine.select().exists()
    assert provider.batches()[0]["state"] == "cancelled" and provider.files() == []


def test_the_rest_is_sent_now(batch_job, provider, started, wait_for, endpoint):
    provider.held = True
    job_id = batch_job(10, "batch-then-now")
    started()
    with connected():
        wait_until(lambda: batch_parts.of_job(job_id, (PartState.OPEN,)))
        Job.update(rest_now_at=1, rest_now_reason="user").where(Job.id == job_id).execute()
    job = wait_for(job_id, "completed", "paused")
    assert (job.status, job.succeeded) == ("completed", 10)
    assert endpoint.calls["/v1/chat/completions"] == 5
    assert len(provider.billed()) == 5
    agrees(job_id)


def test_what_no_batch_can_take_goes_by_a_call_or_fails(
    batch_job, provider, started, wait_for, endpoint
):
    provider.limits = BatchLimits(urls=("/v1/embeddings",))
    job_id = batch_job(3)
    started()
    job = wait_for(job_id, "completed", "paused")
    assert (job.status, job.failed) == ("completed", 3)
    with connected():
        assert "does not take /v1/chat/completions" in Result.get(Result.job == job_id).message
        later = BatchLine.select().count()
    assert later == 0 and provider.batches() == []


def test_too_large_lines_go_by_a_call_where_the_job_may(
    batch_job, provider, started, wait_for, endpoint
):
    plain = provider.line
    provider.line = lambda line_id, *rest: plain(line_id, *rest) + b" " * 1000 * (line_id > "r5")
    provider.limits = BatchLimits(line_bytes=1000)
    job_id = batch_job(12, "batch-then-now")
    started()
    job = wait_for(job_id, "completed", "paused")
    assert (job.status, job.succeeded) == ("completed", 12)
    assert endpoint.calls["/v1/chat/completions"] == 12 - len(provider.billed())
    assert len(provider.billed()) == 8


def test_a_job_on_two_configs_is_spread_by_weight(
    batch_job, add_config, provider, started, wait_for, endpoint
):
    add_config(endpoint.base_url, "second", model="other")
    also = (ExtraConfig("second", 1.0),)
    job_id = batch_job(40, also=also, spread=Spread.WEIGHT, weight=3.0)
    started()
    assert wait_for(job_id, "completed", "paused").succeeded == 40
    found = {tuple(batch["models"]): len(batch["lines"]) for batch in provider.batches()}
    assert found == {("m",): 30, ("other",): 10}
    agrees(job_id)


def test_identical_requests_are_sent_once(
    app, add_config, endpoint, provider, started, wait_for, tmp_path
):
    add_config(endpoint.base_url)
    path = tmp_path / "repeated.jsonl"
    line = '{"messages": [{"role": "user", "content": "%s"}]}\n'
    path.write_text("".join(line % (n % 5) for n in range(20)))
    with connected():
        job = job_creation.create_now(
            path, path.name, jobs.JobOptions(config="test", ask_once=True)
        )
        Job.update(service="batch").where(Job.id == job.id).execute()
    job_id = job.id
    started()
    job = wait_for(job_id, "completed", "paused")
    assert (job.status, job.succeeded) == ("completed", 20)
    assert sorted(provider.billed()) == [f"r{n}" for n in range(5)]
    agrees(job_id)


def test_a_reset_job_forgets_its_parts_and_runs_again(batch_job, provider, started, wait_for):
    provider.held = True
    job_id = batch_job(6)
    started()
    with connected():
        wait_until(lambda: batch_parts.of_job(job_id, (PartState.OPEN,)))
        jobs.pause(job_id)
        jobs.reset(job_id)
        wait_until(lambda: Job.get_by_id(job_id).status_reason == "held")
        assert not BatchPart.select().exists() and not BatchLine.select().exists()
        assert provider.batches()[0]["state"] == "cancelled"
        provider.held = False
        jobs.resume(job_id)
    assert wait_for(job_id, "completed").succeeded == 6
    assert len(provider.batches()) == 2


def test_no_command_forgets_a_batch_while_no_process_runs_jobs(
    batch_job, provider, started, wait_for, app
):
    provider.held = True
    job_id = batch_job(4)
    started()
    with connected():
        wait_until(lambda: batch_parts.of_job(job_id, (PartState.OPEN,)))
        app.extensions["simple_batch"].stop(2)
        jobs.cancel(job_id)
        assert Job.get_by_id(job_id).status == "cancelling"
        assert BatchLine.select().count() == 4
        started()
        job = wait_for(job_id, "cancelled")
    assert (job.succeeded, job.cancelled) == (2, 2)
    assert provider.batches()[0]["state"] == "cancelled"
    agrees(job_id)


def test_a_job_in_the_bin_ends_its_batches_and_keeps_answers(
    batch_job, provider, started, wait_for
):
    provider.held = True
    job_id = batch_job(4)
    started()
    with connected():
        wait_until(lambda: batch_parts.of_job(job_id, (PartState.OPEN,)))
        assert jobs.delete(job_id)
        wait_until(lambda: not batch_parts.any_under_way(job_id))
        assert Job.get_by_id(job_id).succeeded == 2
    assert provider.batches()[0]["state"] == "cancelled"


def test_retried_requests_go_into_another_part(
    batch_job, provider, started, wait_for, add_config, endpoint
):
    provider.refuses = lambda batch, lines: [
        BatchError("invalid", "bad", line=number)
        for number, line in enumerate(lines, 1)
        if "other" not in batch["models"] and line["custom_id"] in ("r1", "r2")
    ]
    add_config(endpoint.base_url, "second", model="other")
    job_id = batch_job(5)
    started()
    assert wait_for(job_id, "completed", "paused").failed == 2
    with connected():
        second = ApiConfig.get(ApiConfig.alias == "second")
        assert job_retry.retry(job_id, None, Changes(config_id=second.id)) == 2
    assert wait_for(job_id, "completed").succeeded == 5
    assert provider.batches()[-1]["models"] == ["other"]
    assert provider.batches()[-1]["lines"] == ["r1", "r2"]
    agrees(job_id)


def test_a_part_that_was_planned_before_a_crash_is_cut_again(
    batch_job, provider, started, wait_for
):
    job_id = batch_job(6)
    with connected():
        wait_until(lambda: Job.get_by_id(job_id).total == 6)
        part = batch_parts.begin(job_id, Job.get_by_id(job_id).config_id, "/v1/x", "m", "sb-old")
        batch_parts.add_step(part, {1: (10, 1), 2: (10, 1)})
        over = batch_parts.begin(job_id, part.config_id, "/v1/x", "m", "sb-over")
        assert batch_parts.add_step(over, {2: (10, 1), 4: (10, 1)}) == {4}
        batch_parts.move(over.id, PartState.MERGED, (PartState.PLANNED,))
    started()
    assert wait_for(job_id, "completed", "paused").succeeded == 6
    assert sorted(provider.billed()) == [f"r{n}" for n in range(6)]
    with connected():
        assert batch_parts.get(part.id) is None
    agrees(job_id)


def test_what_a_restart_left_in_no_part_does_not_wait_for_open_parts(
    app, batch_job, provider, started, wait_for
):
    provider.held = True
    job_id = batch_job(6)
    started()
    with connected():
        wait_until(lambda: batch_parts.of_job(job_id, (PartState.OPEN,)))
    app.extensions["simple_batch"].stop(2)
    with connected():  # as if planning had come so far
        BatchLine.delete().where(BatchLine.idx >= 4).execute()
    started()
    with connected():
        wait_until(lambda: len(batch_parts.of_job(job_id, (PartState.OPEN,))) == 2)
    assert provider.batches()[-1]["lines"] == ["r4", "r5"]
    provider.held = False
    assert wait_for(job_id, "completed").succeeded == 6
    agrees(job_id)


def test_a_paused_job_sends_nothing_new_and_gets_the_results_of_open_parts(
    batch_job, provider, started, wait_for
):
    provider.limits = BatchLimits(requests=3)
    provider.held = True
    provider.refuses = lambda batch, lines: (
        [BatchError("full", "too many batches in progress", enqueued=True)]
        if len([one for one in provider.batches() if one["state"] == "running"]) >= 2
        else []
    )
    job_id = batch_job(9)
    started()
    with connected():
        wait_until(lambda: len(batch_parts.of_job(job_id, (PartState.OPEN,))) == 2)
        jobs.pause(job_id)
        runs = lifecycle._runner._active.job_runs
        wait_until(lambda: not runs.busy(job_id))
        provider.held = False
        wait_until(lambda: Job.get_by_id(job_id).succeeded == 6)
        running = len(provider.batches())
        assert len([batch for batch in provider.batches() if batch["run"]]) == 2  # nothing new
        jobs.resume(job_id)
    assert wait_for(job_id, "completed").succeeded == 9
    assert len(provider.batches()) > running
    agrees(job_id)


def test_a_batch_that_appears_late_is_cancelled(batch_job, provider, started, wait_for):
    hidden = []

    def on(step):
        if step == "created" and not hidden:
            (path,) = (provider.folder / "batches").iterdir()
            hidden.append((path, path.read_bytes()))
            path.unlink()
            raise no_answer()
        if step == "created":
            path, data = hidden[0]
            second = path.with_name("b9.json")
            second.write_bytes(data.replace(b'"b1"', b'"b9"'))

    provider.on = on
    provider.ends_after = 4
    job_id = batch_job(2)
    started()
    assert wait_for(job_id, "completed", "paused").succeeded == 2
    assert [batch["state"] for batch in provider.batches()] == ["completed", "cancelling"]


def test_batches_that_are_never_found_pause_the_job(batch_job, provider, started, wait_for):
    gone = refused(404, "no such batch", Cause.NOT_FOUND, Verdict.STOP, gone=True)
    provider.on = Fails("retrieve", *[gone] * 100)
    job_id = batch_job(4)
    started()
    assert wait_for(job_id, "paused", "completed").status_reason == "not_found"
    assert len(provider.batches()) == 3


def test_answers_of_other_jobs_are_taken_first(batch_job, make_job, provider, started, wait_for):
    first = batch_job(3, "now", reuse_hours=24)
    started()
    wait_for(first, "completed")
    second = make_job(5, reuse_hours=24, hold=True)
    with connected():
        wait_until(lambda: Job.get_by_id(second).status_reason == "held")
        Job.update(service="batch").where(Job.id == second).execute()
        jobs.resume(second)
    assert wait_for(second, "completed", "paused").succeeded == 5
    assert provider.billed() == ["r3", "r4"]
    agrees(second)


def test_no_batch_is_created_while_one_may_be_the_parts(batch_job, provider, started, wait_for):
    provider.uncertain = provider.inline = True
    provider.ends_after = 8
    provider.on = Fails("created", no_answer())
    job_id = batch_job(5)
    started()
    assert wait_for(job_id, "completed", "paused").succeeded == 5
    assert len(provider.batches()) == 1
    assert provider.on.steps.count("create") == 1 and provider.on.steps.count("find") >= 8
    agrees(job_id)
