"""What the pages say of prompt caches, before and during a job."""

import io
import re
from decimal import Decimal

import pytest

from simple_batch.services import job_options, jobs, recipes
from simple_batch.store.database import connected
from simple_batch.store.models import Job

from .test_job_analysis import launch_fields
from .test_pages import staged, token

LONG = "Sort the ticket into one of these classes. " * 200
PRICES = {
    "input_price": Decimal(2),
    "cached_input_price": Decimal("0.5"),
    "output_price": Decimal(8),
}


def lines(count: int) -> list[dict]:
    system = {"role": "system", "content": LONG}
    return [{"messages": [system, {"role": "user", "content": f"t {n}"}]} for n in range(count)]


def table(client, data: str) -> str:
    form = {"csrf_token": token(client), "file": (io.BytesIO(data.encode()), "t.csv")}
    answer = client.post("/jobs/new", data=form)
    return answer.headers["Location"].replace("/workbench", "/template")


def test_the_preview_says_how_many_requests_share_a_prefix(client, add_config):
    add_config("http://127.0.0.1:1/v1", **PRICES)
    page = client.get(staged(client, *lines(40))).text
    assert "40 of 40 requests share a prefix of about" in page
    assert "this part costs" in page


def test_what_it_costs_is_at_the_plain_prices_however_much_it_is(client, add_config):
    rules = '{"long_context": [{"above": 50000, "input": 2, "output": 1.5}]}'
    add_config("http://127.0.0.1:1/v1", **PRICES, price_rules=rules)
    page = client.get(staged(client, *lines(40))).text
    found = re.search(r"costs \$([\d.]+)\s+instead of \$(\d+\.\d+)", page)
    assert float(found[1]) == pytest.approx(float(found[2]) / 4, rel=0.02)


def test_without_a_shared_prefix_the_preview_says_nothing(client, add_config):
    add_config("http://127.0.0.1:1/v1", **PRICES)
    page = client.get(staged(client, *lines(1))).text
    assert "shared-prefix" not in page


@pytest.mark.parametrize(("prices", "money"), [(PRICES, True), ({}, False)])
def test_the_template_page_says_what_moving_a_column_saves(client, add_config, prices, money):
    add_config("http://127.0.0.1:1/v1", **prices)
    place = table(client, "ticket,team\n" + "\n".join(f"text {n},a" for n in range(500)))
    fields = {
        "csrf_token": token(client),
        "user": "{{ticket}} " + LONG,
        "url": "/v1/chat/completions",
        "custom_id": "",
        "show": "1",
    }
    page = client.post(place, data=fields).text
    assert "comes before fixed text" in page
    assert "“ticket”" in page
    assert ("In 500 rows this saves up to" in page) is money
    moved = client.post(place, data={**fields, "user": LONG + "{{ticket}}"}).text
    assert "comes before fixed text" not in moved
    short = client.post(place, data={**fields, "user": "{{ticket}} sort it"}).text
    assert "comes before fixed text" not in short


@pytest.mark.parametrize(
    ("given", "stored"),
    [({}, None), *(({"cache_aware": str(value)}, value) for value in (None, True, False))],
)
def test_the_choice_is_kept_in_the_job_and_its_settings_file(client, add_config, given, stored):
    add_config("http://127.0.0.1:1/v1")
    place = staged(client, *lines(3))
    assert 'name="cache_aware"' in client.get(place).text
    launched = client.post(place, data=launch_fields(client, place, hold="1", **given))
    assert launched.status_code == 303, launched.text
    with connected():
        job = Job.get()
        assert job.cache_aware is stored
        assert recipes.load(recipes.dump(job_options.of(job))).cache_aware is stored


def test_the_job_page_and_the_report_show_the_hit_rate(client, add_config, make_job):
    add_config("http://127.0.0.1:1/v1")
    job_id = make_job(2, hold=True)
    page = client.get(f"/jobs/{job_id}").text
    assert '<span data-live="cached"></span>' in page
    with connected():
        Job.update(input_tokens=1000, cached_tokens=785).where(Job.id == job_id).execute()
        assert jobs.get(job_id).cached_tokens == 785
    assert "78.5% of input cached" in client.get(f"/jobs/{job_id}").text
    assert client.get(f"/jobs/{job_id}/progress.json").json["cache_hit_rate"] == 0.785
    assert "78.5%" in client.get(f"/jobs/{job_id}/report.html").text
