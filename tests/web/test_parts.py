"""The pages and commands of a job that goes through a provider's batch API."""

import json
import re
from decimal import Decimal

import pytest

from simple_batch import insight
from simple_batch.core.errors import Conflict
from simple_batch.services import batch_service, jobs
from simple_batch.store.database import connected
from simple_batch.store.models import JobEvent
from simple_batch.web.part_words import provider_word

from ..conftest import wait_until
from ..emulators.openai_batches import KEY, OpenAIBatches
from .test_pages import token

COUNT = 30


@pytest.fixture
def overrides(overrides):
    return {**overrides, "BATCH_POLL_FIRST": 0.02, "BATCH_POLL_MAX": 0.1, "BATCH_CANCEL_WAIT": 5.0}


@pytest.fixture
def provider():
    with OpenAIBatches(polls_to_finish=None) as emulator:
        yield emulator


@pytest.fixture
def batch_job(app, add_config, make_job, provider):
    """A running job whose batch is open at the provider."""
    add_config(
        provider.base_url,
        key=KEY,
        input_price=Decimal(10),
        output_price=Decimal(20),
        batch_discount=0.5,
        provider="openai",
    )
    app.extensions["simple_batch"].start()
    job_id = make_job(COUNT, service="batch")
    wait_until(lambda: provider.state()["batches"], 20)
    wait_until(lambda: (progress(job_id)["parts"] or {}).get("open"), 20)
    return job_id


def progress(job_id: int):
    with connected():
        return insight.progress(job_id)


def cells(page: str) -> str:
    table = page[page.index('id="parts"') : page.index("</table>")]
    return " ".join(re.sub(r"<[^>]*>", " ", table).split())


def test_a_part_is_shown_from_the_provider_to_its_results(client, batch_job, provider, wait_for):
    shown = cells(client.get(f"/jobs/{batch_job}/parts").text)
    assert "at the provider" in shown and re.search(r"batch_\w+", shown), shown
    head = client.get(f"/jobs/{batch_job}").text
    assert "1 at the provider" in head and "Send the rest now" in head
    assert f"/jobs/{batch_job}/parts" in head
    assert progress(batch_job)["eta_s"] is None
    provider.polls = 0
    wait_for(batch_job, "completed")
    page = client.get(f"/jobs/{batch_job}/parts").text
    assert "finished (completed)" in cells(page) and "Send the rest now" not in page
    assert f"{COUNT} {COUNT} 0 0" in cells(page)
    with connected():
        summary = insight.summary(batch_job)
    assert 'simple_batch_parts{state="merged"} 1.0' in client.get("/metrics").text
    [part] = summary["parts"]
    assert (part["requests"], part["succeeded"], part["failed"]) == (COUNT, COUNT, 0)
    assert (part["status"], part["state"]) == ("completed", "merged")
    assert part["provider_id"].startswith("batch_") and part["cost"] > 0
    assert [it["by"] for it in summary["saved"] if it["by"] == "batch"] == ["batch"]


def test_the_rest_is_sent_now_from_the_page(client, batch_job, provider, wait_for):
    form = {"csrf_token": token(client)}
    answer = client.post(f"/jobs/{batch_job}/send_rest_now", data=form)
    assert answer.status_code == 303
    wait_until(lambda: progress(batch_job)["parts"]["rest_now"], 5)
    assert "Send the rest now" not in client.get(f"/jobs/{batch_job}").text
    with connected():
        events = [event.detail for event in JobEvent.select().where(JobEvent.job == batch_job)]
        assert any("its batches are cancelled" in str(detail) for detail in events)
        with pytest.raises(Conflict, match="being sent already"):
            batch_service.send_rest_now(batch_job)
        jobs.cancel(batch_job)


def test_a_job_that_makes_calls_has_no_parts(client, add_config, make_job):
    add_config("http://127.0.0.1:9/v1")
    job_id = make_job(1, hold=True)
    page = client.get(f"/jobs/{job_id}").text
    assert f"/jobs/{job_id}/parts" not in page and "Send the rest now" not in page
    with connected():
        assert insight.summary(job_id)["parts"] == [] and insight.progress(job_id)["parts"] is None
        with pytest.raises(Conflict, match="by calls already"):
            batch_service.send_rest_now(job_id)
    json.dumps(progress(job_id))


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ("in_progress", "running"),
        ("JOB_STATE_PENDING", "waits for its turn"),
        ("SUCCESS", "completed"),
        ("Half-Done", "Half-Done"),
    ],
)
def test_a_status_is_in_plain_words_and_an_unknown_one_as_it_is(app, status, word):
    with app.test_request_context():
        assert provider_word(status) == word
