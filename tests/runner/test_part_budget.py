"""Spend caps of jobs whose requests go in batches: a part is sent if its cost fits, and else made smaller."""

from decimal import Decimal

import pytest

from simple_batch.core.call_prices import NANO
from simple_batch.runner.part_budget import _allowed_tokens
from simple_batch.runner.spend_caps import ConfigSpendLimit
from simple_batch.services import jobs
from simple_batch.store import spend_leases
from simple_batch.store.database import connected
from simple_batch.store.models import ApiConfig, BatchPart, Job

from ..conftest import wait_until
from ..emulators.openai_batches import KEY, OpenAIBatches

COUNT = 120
LINE = 40_000  # nano-units that a request costs: 2 tokens in, 3 out, at half price


@pytest.fixture
def overrides(overrides):
    return {**overrides, "BATCH_POLL_FIRST": 0.02, "BATCH_POLL_MAX": 0.1}


@pytest.fixture
def provider():
    with OpenAIBatches(polls_to_finish=1) as emulator:
        yield emulator


@pytest.fixture
def batch_job(add_config, make_job, provider):
    """Makes a job that goes through batches, with a spend cap in nano-units."""

    def make(cap: int | None, **config) -> int:
        fields = {"batch_discount": 0.5, "max_tokens": 10, "provider": "openai", **config}
        add_config(
            provider.base_url,
            key=KEY,
            input_price=Decimal(10),
            output_price=Decimal(20),
            **fields,
        )
        job_id = make_job(COUNT, hold=True)
        with connected():
            Job.update(service="batch", spend_cap=cap).where(Job.id == job_id).execute()
            jobs.resume(job_id)
        return job_id

    return make


def parts(job_id: int) -> list[BatchPart]:
    with connected():
        return list(BatchPart.select().where((BatchPart.job == job_id) & (BatchPart.requests > 0)))


def test_a_cap_that_the_whole_fits_under_is_used_in_smaller_parts(batch_job, start, wait_for):
    cap = COUNT * LINE * 2  # what the first part is reserved for is far more
    job = wait_for(batch_job(cap), "completed", "paused")
    assert (job.status, job.succeeded, job.cost_nano) == ("completed", COUNT, COUNT * LINE)
    merged = [part for part in parts(job.id) if part.state == "merged"]
    assert len(merged) > 1 and sum(part.cost_nano for part in merged) == job.cost_nano
    assert all(part.reserved_nano == 0 for part in parts(job.id))
    assert (job.saved_batch_calls, job.saved_batch_nano) == (COUNT, COUNT * LINE)


def test_a_job_pauses_where_not_one_more_request_fits_and_goes_on_with_more(
    batch_job, start, wait_for, provider
):
    cap = COUNT * LINE // 2
    job_id = batch_job(cap)
    job = wait_for(job_id, "completed", "paused")
    assert (job.status, job.status_reason) == ("paused", "spend_cap")
    assert 0 < job.succeeded < COUNT and job.cost_nano <= cap
    assert provider.state()["lines_billed"] == job.succeeded
    assert "may cost" in str(job.status_detail) and job.spend_needed > 0
    with connected():
        with pytest.raises(Exception, match=r"may cost|is reached"):
            jobs.resume(job_id)
        Job.update(spend_cap=NANO).where(Job.id == job_id).execute()
    assert wait_for(job_id, "completed").succeeded == COUNT  # it resumes by itself
    assert provider.state()["lines_billed"] == COUNT


def test_the_caps_of_a_config_count_what_all_batches_may_cost(batch_job, start, provider):
    provider.polls = None
    job_id = batch_job(None, day_cap=Decimal(1))
    wait_until(lambda: any(part.state == "open" for part in parts(job_id)))
    (part,) = parts(job_id)
    assert part.reserved_nano >= COUNT * LINE

    with connected():
        ApiConfig.update(day_cap=part.reserved_nano).execute()
        limit = ConfigSpendLimit(ApiConfig.get(), "")
        assert spend_leases.left_of(limit.account()) == 0
    assert limit.caps["day"].reserved == part.reserved_nano
    assert limit.reached() is not None and not limit.affords()


def test_a_cap_without_a_known_batch_price_pauses_before_anything_is_sent(
    batch_job, start, wait_for, provider
):
    job_id = batch_job(NANO, batch_discount=None, model="unheard-of")
    job = wait_for(job_id, "completed", "paused")
    assert (job.status, job.status_reason) == ("paused", "spend_unknown")
    assert "No price in a batch is known" in str(job.status_detail)
    assert provider.state()["batches"] == []
    with connected():
        jobs.resume(job_id)
    job = wait_for(job_id, "completed")
    assert (job.succeeded, job.cost_nano, job.unpriced) == (COUNT, 0, COUNT)
    assert job.saved_batch_nano == 0


def test_output_is_what_the_lines_allow(tmp_path):
    path = tmp_path / "input.jsonl"
    path.write_bytes(
        b'{"body":{"max_tokens":7,"messages":[{"content":"say \\"max_tokens\\": 900"}]}}\n'
        b'{"body":{"max_completion_tokens": 20}}\n'
        b'{"request":{"generationConfig":{"maxOutputTokens":3}}}\n'
        b'{"body":{}}\n'
    )
    assert _allowed_tokens(path, 4, 100) == 130
    assert _allowed_tokens(tmp_path / "none", 4, 100) == 400
