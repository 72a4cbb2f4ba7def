"""Waits of parts do not depend on the time of day of the machine, which may be set while they last."""

import time

import pytest

from simple_batch.core import clock, context
from simple_batch.runner import batch_run, part_waits
from simple_batch.runner.part_waits import PartWaits
from simple_batch.services import jobs
from simple_batch.store.database import connected
from simple_batch.store.models import BatchPart, Job

from ..conftest import wait_until
from ..emulators import batch_base as faults
from ..emulators.openai_batches import KEY, OpenAIBatches

HOUR_S = 3_600
COUNT = 4


@pytest.fixture
def overrides(overrides):
    return {**overrides, "BATCH_POLL_FIRST": 0.02, "BATCH_POLL_MAX": 0.05}


@pytest.fixture
def set_clock(monkeypatch):
    """Sets the time of day ahead of the real one, by seconds."""
    real = time.time_ns

    def ahead(seconds: float) -> None:
        moved = int(seconds * 1_000_000_000)
        monkeypatch.setattr(clock.time, "time_ns", lambda: real() + moved)

    return ahead


@pytest.mark.parametrize("jump_s", [-HOUR_S, HOUR_S])
def test_a_batch_is_asked_about_as_before_when_the_clock_is_set(
    app, add_config, make_job, wait_for, monkeypatch, set_clock, jump_s
):
    monkeypatch.setattr(batch_run, "LOOK_S", 0.02)
    services = app.extensions["simple_batch"]
    with OpenAIBatches(polls_to_finish=None) as provider:
        provider.faults.arm(faults.POLL_429, 2)
        add_config(provider.base_url, key=KEY, provider="openai")
        job_id = make_job(COUNT, hold=True)
        with connected():
            Job.update(service="batch").where(Job.id == job_id).execute()
            jobs.resume(job_id)
        services.start()
        try:
            batch = wait_until(lambda: next(iter(provider.batches.values()), None))
            wait_until(lambda: batch.polls > 2)
            set_clock(jump_s)
            polls = batch.polls
            wait_until(lambda: batch.polls > polls + 3)
            set_clock(0)
            polls = batch.polls
            wait_until(lambda: batch.polls > polls + 3)
            provider.polls_to_finish = 1
            assert wait_for(job_id, "completed", "paused").succeeded == COUNT
        finally:
            services.stop(2)
        assert provider.created_twice() == 0 and len(provider.batches) == 1


@pytest.mark.parametrize("jump_s", [-HOUR_S, 0, HOUR_S])
def test_a_wait_is_as_long_as_it_was_to_be(app, set_clock, jump_s):
    waits = PartWaits(context.settings())
    until, began = waits.begin(7, 0.2), time.monotonic()
    set_clock(jump_s)
    assert not waits.are_over(7, until)
    wait_until(lambda: waits.are_over(7, until))
    assert time.monotonic() - began >= 0.2
    assert waits.are_over(7, None)  # it was ended meanwhile


def test_a_wait_that_another_process_began_has_an_end(app, monkeypatch, set_clock):
    """It may have had another time of day."""
    monkeypatch.setattr(part_waits, "_LEFT_MAX_S", 0.1)
    until = PartWaits(context.settings()).begin(7, HOUR_S)
    waits, began = PartWaits(context.settings()), time.monotonic()
    assert not waits.are_over(7, until)
    wait_until(lambda: waits.are_over(7, until))
    assert time.monotonic() - began >= 0.1


def test_a_batch_has_the_age_it_has(app, set_clock):
    """It is asked about less often the older it is."""
    waits = PartWaits(context.settings())
    most = context.settings().BATCH_POLL_MAX
    now = clock.now_ms()
    part = BatchPart(id=7, sent_at=now - 1000 * HOUR_S)
    assert waits.next_look_s(part, now) > most / 2
    set_clock(-HOUR_S)
    assert waits.next_look_s(part, clock.now_ms()) > most / 2
    waits.sent(part)
    set_clock(HOUR_S)
    assert waits.next_look_s(part, clock.now_ms()) < most * 0.6
