"""Whole jobs through the batch APIs that are not of OpenAI's form."""

import pytest

from simple_batch.runner import batch_jobs, batch_run
from simple_batch.services import jobs
from simple_batch.store.database import connected
from simple_batch.store.models import ApiConfig, BatchLine, BatchPart, Job, Result

from ..conftest import wait_until
from ..emulators import batch_base as base
from ..emulators.anthropic_batches import AnthropicBatches
from ..emulators.gemini_batches import GeminiBatches
from ..emulators.mistral_batches import MistralBatches
from ..emulators.openrouter_batches import OpenRouterBatches

PROVIDERS = {
    "anthropic": (AnthropicBatches, "/v1", "claude-haiku-4-5"),
    "gemini": (GeminiBatches, "/v1beta/openai", "gemini-2.5-flash"),
    "mistral": (MistralBatches, "/v1", "mistral-small-latest"),
    "openrouter": (OpenRouterBatches, "/api/v1", "openai/gpt-6-luna:batch"),
}


@pytest.fixture
def overrides(overrides):
    fast = {"BATCH_POLL_FIRST": 0.01, "BATCH_POLL_MAX": 0.05, "BATCH_FIND_WAIT": 0.01}
    return {**overrides, **fast, "BATCH_CANCEL_WAIT": 0.1}


@pytest.fixture
def run(app, add_config, make_job, monkeypatch):
    """Starts a job on an emulator; returns its id."""
    monkeypatch.setattr(batch_run, "LOOK_S", 0.01)
    monkeypatch.setattr(batch_jobs, "LOOK_S", 0.01)
    services = app.extensions["simple_batch"]

    def start(emulator, provider: str, count: int) -> int:
        _, path, model = PROVIDERS[provider]
        config = add_config(emulator.url + path, model=model, key=emulator.key)
        fields = {"provider": provider}
        if provider == "anthropic":
            fields |= {"api_format": "anthropic", "auth": "x-api-key"}
        job_id = make_job(count)
        with connected():
            ApiConfig.update(**fields).where(ApiConfig.id == config.id).execute()
            Job.update(service="batch").where(Job.id == job_id).execute()
        services.start()
        return job_id

    yield start
    services.stop(2)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_job_whose_first_creation_is_not_answered(provider, run, wait_for):
    emulator = PROVIDERS[provider][0]()
    with emulator:
        emulator.faults.arm(base.CREATE_LOST)
        emulator.faults.arm(base.MISSING_LINE)
        emulator.lists_move_on = provider in ("anthropic", "openrouter")
        job_id = run(emulator, provider, 6)
        job = wait_for(job_id, "completed", "paused")
        assert (job.status, job.succeeded) == ("completed", 6)
        assert emulator.created_twice() == 0
        assert emulator.billed.total() == 7  # the missing line was sent again, alone
        with connected():
            rows = list(Result.select().where(Result.job == job_id))
            assert len(rows) == 6 and {row.service_tier for row in rows} == {"batch"}
            assert all(row.input_tokens for row in rows)
            assert [part.requests for part in BatchPart.select().order_by(BatchPart.id)] == [6, 1]
            assert BatchLine.select().count() == 0


def test_a_batch_that_cannot_be_cancelled_goes_on_to_its_end_and_says_so(run, client, wait_for):
    with OpenRouterBatches() as emulator:
        emulator.polls_to_finish = None
        job_id = run(emulator, "openrouter", 4)

        def open_part():
            with connected():
                return BatchPart.get_or_none(BatchPart.state == "open")

        wait_until(open_part)
        with connected():
            jobs.cancel(job_id)
        says = "this provider can&#39;t cancel batches"
        wait_until(lambda: says in client.get(f"/jobs/{job_id}/events").text)
        page = client.get(f"/jobs/{job_id}/parts").text
        assert "goes on to its end: this provider" in page and "being cancelled" not in page
        asked = emulator.calls["get_batch"]
        wait_until(lambda: emulator.calls["get_batch"] > asked + 5)
        emulator.polls_to_finish = 1
        job = wait_for(job_id, "cancelled")
        assert job.succeeded == emulator.billed.total() == 4
