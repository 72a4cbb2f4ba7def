"""The choice of the service on the launch page and the connection's page."""

import json
import re
from decimal import Decimal

import pytest

from simple_batch.core.clock import now_ms
from simple_batch.core.domain import PartState
from simple_batch.services import importer, jobs
from simple_batch.store.database import connected
from simple_batch.store.models import ApiConfig, BatchPart, Job

from . import hostile
from .test_job_analysis import launch_fields
from .test_pages import staged, token

PRICES = {"input_price": Decimal(2), "output_price": Decimal(8)}
LINES = [{"custom_id": f"q{n}", "method": "POST", "url": "/v1/chat/completions",
          "body": {"messages": [{"role": "user", "content": "hi"}]}} for n in range(3)]  # fmt: skip
HOUR_MS = 3_600_000
TIME = "%Y-%m-%dT%H:%M"


def hours_on(hours: float) -> str:
    """A local time for a form; tests run in UTC."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(now_ms() / 1000 + 3600 * hours, UTC).strftime(TIME)


def cards(page: str) -> dict[str, str]:
    shown = page[: page.rfind("</fieldset>")]
    parts = re.split(r'data-service="([a-z-]+)"', shown)
    return {
        name: " ".join(re.sub(r"<[^>]*>", "", text).split())
        for name, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def test_the_three_choices_have_cost_and_time(client, add_config):
    add_config("http://127.0.0.1:1/v1", batch_api="openai", batch_discount=0.5, **PRICES)
    found = cards(client.get(staged(client, *LINES)).text)
    assert list(found) == ["now", "batch", "batch-then-now"]
    dear, cheap = (
        float(re.search(r"expected \$([\d.]+)", found[name])[1]) for name in ("now", "batch")
    )
    assert cheap == pytest.approx(dear / 2, rel=0.05)
    assert "duration unknown" in found["now"]
    assert "up to 24 h (promised by the provider)" in found["batch"]
    assert "50% of the normal price" in found["batch"]


def test_an_unknown_batch_price_is_never_half_by_guess(client, add_config):
    add_config("http://127.0.0.1:1/v1", batch_api="openai", **PRICES)
    found = cards(client.get(staged(client, *LINES)).text)
    assert "expected $" in found["now"]
    assert "the batch price is not known" in found["batch"] and "$" not in found["batch"]
    assert "$" not in found["batch-then-now"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "no batch API that is known here"),
        ({"batch_api": "none", "provider": "openai"}, "not to be used"),
        ({"provider": "fireworks"}, "not supported yet"),
    ],
)
def test_without_a_batch_api_the_page_says_why(client, add_config, fields, reason):
    add_config("http://127.0.0.1:1/v1", **fields)
    page = client.get(staged(client, *LINES)).text
    assert not cards(page) and reason in page
    assert 'name="deadline_at"' in page  # among the other choices


def test_a_connection_that_is_chosen_brings_its_choices_and_keeps_what_was_picked(
    client, add_config
):
    add_config("http://127.0.0.1:1/v1", alias="plain")
    other = add_config("http://127.0.0.1:1/v1", alias="other", batch_api="openai")
    place = staged(client, *LINES)
    asked = f"{place}?config={other.id}&service=batch&deadline_at={hours_on(30)}"
    page = client.get(asked).text
    assert re.search(r'id="service-batch" value="batch" checked', page)
    assert page.count('name="deadline_at"') == 1 and hours_on(30) in page


def test_batches_that_have_ended_say_how_long_it_takes(client, add_config, make_job):
    config = add_config("http://127.0.0.1:1/v1", batch_api="openai")
    job_id = make_job(1, hold=True)
    with connected():
        for minutes in range(1, 11):
            BatchPart.create(
                job=job_id, config=config.id, url="/v1/chat/completions", model=config.model,
                marker=f"m{minutes}", state=PartState.MERGED, requests=3, bytes=1, tokens=1,
                created_at=1, sent_at=1000, ended_at=1000 + 60_000 * minutes,
            )  # fmt: skip
    found = cards(client.get(staged(client, *LINES)).text)
    assert "5 min to 9 min, by 10 earlier batches" in found["batch"], found["batch"]


def launched(client, place: str, config, **fields):
    form = {**launch_fields(client, place), "config": str(config.id), **fields}
    return client.post(place, data=form)


def test_it_is_launched_as_chosen_and_a_clone_keeps_it(client, add_config):
    config = add_config("http://127.0.0.1:1/v1", batch_api="openai")
    answer = launched(
        client, staged(client, *LINES), config, service="batch", keep_remote_files="y", hold="1"
    )
    assert answer.status_code == 303
    with connected():
        job = Job.select().order_by(Job.id.desc()).get()
        importer.import_upload(job.id)
    assert (job.service, job.keep_remote_files) == ("batch", True)
    clone = client.get(f"/jobs/new?clone={job.id}", follow_redirects=True).text
    assert re.search(r'id="service-batch" value="batch" checked', clone)
    assert re.search(r"<input checked[^>]*keep_remote_files", clone)
    again = client.post(
        f"/jobs/{job.id}/again", data={"csrf_token": token(client)}, follow_redirects=True
    )
    assert again.status_code == 200
    assert re.search(r'id="service-batch" value="batch" checked', again.text)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"service": "batch-then-now"}, "needs one"),
        ({"service": "batch-then-now", "deadline_at": hours_on(1)}, "no batch of"),
        ({"service": "batch", "deadline_at": hours_on(2)}, "promises results of a batch within 24"),
        ({"service": "soon"}, "Invalid Choice"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_to_do(client, add_config, fields, message):
    config = add_config("http://127.0.0.1:1/v1", batch_api="openai")
    answer = launched(client, staged(client, *LINES), config, **fields)
    assert answer.status_code == 400 and message in answer.text
    with connected():
        assert not Job.select().exists()


def test_an_endpoint_that_the_batch_api_has_not_is_named(client, add_config):
    add_config("http://127.0.0.1:1/v1", provider="moonshot")
    lines = [{**line, "url": "/v1/embeddings", "body": {"input": "x"}} for line in LINES]
    page = client.get(staged(client, *lines)).text
    assert "takes no requests to /v1/embeddings, only to /v1/chat/completions" in page


def test_batches_that_cannot_be_cancelled_are_not_for_batch_then_now(client, add_config):
    config = add_config("http://127.0.0.1:1/v1", batch_api="openrouter")
    fields = {"service": "batch-then-now", "deadline_at": hours_on(90)}
    answer = launched(client, staged(client, *LINES), config, **fields)
    assert answer.status_code == 400 and "cancel a batch, so requests" in answer.text


@pytest.fixture
def by_deadline(client, add_config, make_job) -> int:
    """A held job of batches, then calls before a deadline with seconds; returns its id."""
    add_config("http://127.0.0.1:1/v1", batch_api="openai")
    return make_job(2, hold=True, service="batch-then-now", deadline_at=now_ms() + 30 * HOUR_MS + 1)


def deadline_of(job_id: int) -> int | None:
    with connected():
        return jobs.get(job_id).deadline_at


def settings(client, job_id: int, **changes):
    """Save the page *Edit* as a browser sends it, with some fields changed."""
    path = f"/jobs/{job_id}/settings"
    fields = hostile.Forms(path, client.get(path).text).found[path]
    return client.post(path, data={**fields, **changes})


def test_the_deadline_of_batch_then_now_can_be_changed_and_not_removed(client, by_deadline):
    before = deadline_of(by_deadline)
    for language, words in (("en", "so it needs one. Set a later one"), ("zh", "需要截止时间")):
        client.set_cookie("lang", language)
        refused = settings(client, by_deadline, deadline_at="", name="another")
        assert refused.status_code == 400 and words in refused.text
    assert deadline_of(by_deadline) == before
    assert settings(client, by_deadline, deadline_at=hours_on(-1)).status_code == 400
    assert settings(client, by_deadline, deadline_at=hours_on(60)).status_code == 303
    assert deadline_of(by_deadline) - before == pytest.approx(30 * HOUR_MS, abs=120_000)


def test_a_deadline_that_is_left_as_it_stands_keeps_its_seconds(client, by_deadline):
    before = deadline_of(by_deadline)
    assert settings(client, by_deadline, name="another").status_code == 303
    with connected():
        job = jobs.get(by_deadline)
        assert (job.name, job.deadline_at) == ("another", before)


def test_a_command_that_changes_the_cap_keeps_the_deadline(app, client, by_deadline):
    before = deadline_of(by_deadline)
    with connected():
        ApiConfig.update(**PRICES, batch_discount=0.5).execute()
    done = app.test_cli_runner().invoke(args=["resume-job", str(by_deadline), "--spend-cap", "5"])
    assert done.exit_code == 0, done.output
    assert deadline_of(by_deadline) == before


def test_a_cap_is_refused_where_the_price_in_a_batch_is_not_known(
    app, client, add_config, tmp_path
):
    config = add_config("http://127.0.0.1:1/v1", batch_api="openai", model="unheard-of", **PRICES)
    place = staged(client, *LINES)
    answer = launched(client, place, config, service="batch", spend_cap="5")
    assert answer.status_code == 400 and "(--batch-discount)" in answer.text
    assert (
        launched(client, place, config, service="now", spend_cap="5", hold="1").status_code == 303
    )
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps(LINES[0]))
    options = ["--config", "test", "--service", "batch", "--spend-cap", "5", "--no-start"]
    done = app.test_cli_runner().invoke(args=["create-job", str(path), *options])
    assert done.exit_code == 2 and "(--batch-discount)" in done.stderr
