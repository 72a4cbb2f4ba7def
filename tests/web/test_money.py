"""Prices, caps and what was spent, on the pages."""

import html
import io
import json
import re
from decimal import Decimal

import pytest

from simple_batch import insight
from simple_batch.core.clock import now_ms
from simple_batch.services import configs, jobs
from simple_batch.store.configs import prices_of
from simple_batch.store.database import connected
from simple_batch.store.models import Spending
from simple_batch.store.spending import bucket

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from .test_job_analysis import launch_fields
from .test_pages import CONFIG, asked, config, post, staged, token

__all__ = ["config"]
KNOWN = {**CONFIG, "base_url": "https://api.deepseek.com/v1", "model": "deepseek-flash"}
UNPRICED = {name: value for name, value in KNOWN.items() if not name.endswith("_price")}


def value_of(page: str, field: str) -> str:
    tag = re.search(rf'<input[^>]*name="{field}"[^>]*>', page)[0]
    return re.search(r'value="([^"]*)"', tag)[1]


def test_the_price_table_fills_the_form_and_stores_nothing(client):
    data = {"csrf_token": token(client), **UNPRICED}
    page = client.post("/configs/prices", data=data).text
    shown = [value_of(page, name) for name in ("currency", "input_price", "output_price")]
    assert shown == ["CNY", "2", "8"]
    assert value_of(page, "cached_input_price") == "0.04"
    assert "From the price table of 2026-10" in page
    assert "api-docs.deepseek.com" in page
    assert "half price outside peak hours" in page
    assert "At other hours: × 0.5" in page
    assert value_of(page, "price_rules").startswith("{&#34;hours&#34;")
    with connected():
        assert configs.list_all() == []
    asked_for = {**data, "currency": "usd"}
    found = client.post("/configs/prices", data=asked_for, headers={"Accept": "application/json"})
    assert found.json["ok"]
    assert found.json["fields"]["input_price"] == "0.3"


def test_a_model_that_the_table_does_not_know(client, instance):
    data = {"csrf_token": token(client), **UNPRICED, "model": "mine"}
    page = client.post("/configs/prices", data=data).text
    assert "The price table has no price" in page
    (instance / "prices.toml").write_text("nonsense")
    assert "prices.toml" in client.post("/configs/prices", data=data).text


def test_the_form_says_what_the_table_would_fill_in(client):
    assert post(client, "/configs/new", **UNPRICED).status_code == 303
    assert "From the price table of 2026-10: 2 in, 8 out, in CNY." in client.get("/configs/1").text
    with connected():
        assert configs.get(1).input_price is None  # offered, not applied
    post(client, "/configs/1", **KNOWN)
    assert "From the price table" not in client.get("/configs/1").text


def test_what_was_spent_stands_beside_the_caps(client, config):
    assert post(client, "/configs/1", **CONFIG, day_cap="5", month_cap="100").status_code == 303
    page = client.get("/configs/1").text
    assert (value_of(page, "day_cap"), value_of(page, "month_cap")) == ("5", "100")
    assert "until tomorrow (UTC)" in page
    with connected():
        now = insight.spent_now(configs.get(1))
        assert now == {"day": 0, "month": 0}
        Spending.create(config=1, currency="CNY", t=bucket(now_ms()), cost_nano=5_250_000_000)
    page = client.get("/configs").text
    assert "¥5.25 of ¥5.00" in page
    assert "¥5.25 of ¥100.00" in page
    assert "text-danger-emphasis fw-semibold" in page
    refused = post(client, "/configs/1", **{**CONFIG, "input_price": ""}, day_cap="5")
    assert refused.status_code == 400
    assert "enter an input and an output price" in refused.text


def test_a_config_without_prices_does_not_say_that_nothing_was_spent(client):
    post(client, "/configs/new", **UNPRICED)
    page = client.get("/configs").text
    assert re.search(r'data-spent="day"[^>]*>today unknown<', page)


def test_a_cap_is_set_at_the_launch_and_changed_on_the_settings_tab(client, config):
    place = staged(client, asked(1))
    for wrong in ("0", "-3", "NaN"):
        answer = client.post(place, data=launch_fields(client, place, spend_cap=wrong))
        assert answer.status_code == 400
        assert "Spend cap" in answer.text
    answer = client.post(place, data=launch_fields(client, place, spend_cap="2.50", hold="1"))
    assert answer.status_code == 303
    page = client.get("/jobs/1").text
    assert "cap ¥2.50" in page
    assert client.get("/jobs/1/progress.json").json["spend_cap"] == 2.5
    assert value_of(client.get("/jobs/1/settings").text, "spend_cap") == "2.5"
    changed = {"name": "n", "max_retries": "3", "priority": "0", "spend_cap": "4"}
    assert post(client, "/jobs/1/settings", **changed).status_code == 303
    with connected():
        assert jobs.get(1).spend_cap == 4_000_000_000
    assert "spend_cap: 2.5 → 4" in client.get("/jobs/1/events").text
    recipe = client.get("/jobs/1/recipe").json
    assert Decimal(recipe["spend_cap"]) == 4
    assert "¥4.00" in client.get("/jobs/1?lang=zh").text


def test_a_cap_without_prices_is_refused_at_its_field(client):
    post(client, "/configs/new", **UNPRICED)
    place = staged(client, asked(1))
    answer = client.post(place, data=launch_fields(client, place, spend_cap="1"))
    assert answer.status_code == 400
    field = answer.text.split('name="spend_cap"')[1].split("</div>\n</div>")[0]
    assert "enter input and output prices" in field


@pytest.mark.parametrize("kept", [{"spend_cap": "1.25"}, {"spend_cap": 1.25}, {}])
def test_a_recipe_may_hold_a_cap(client, config, kept):
    place = staged(client, asked(1))
    recipe = {"simple_batch_recipe": 1, "config": "one", **kept}
    upload = io.BytesIO(json.dumps(recipe).encode())
    data = {"csrf_token": token(client, place), "recipe": (upload, "r.json")}
    page = client.post(f"{place}/load", data=data).text
    assert value_of(page, "spend_cap") == ("1.25" if kept else "")


def test_rows_tried_without_usage_are_estimated_and_count_for_the_caps(client, config):
    with MisbehavingEndpoint(e.http(200, {**e.GOOD, "usage": None})) as endpoint:
        dear = {**CONFIG, "base_url": endpoint.base_url, "cache_write_price": "7"}
        post(client, "/configs/1", **dear, day_cap="3")
        assert value_of(client.get("/configs/1").text, "cache_write_price") == "7"
        place = staged(client, *(asked(n) for n in range(5)))
        page = client.post(f"{place}/try", data=launch_fields(client, place)).text
        assert page.count(">estimated</span>") == 3
        with connected():
            assert insight.spent_now(configs.get(1))["day"] > 0


def test_rows_tried_count_for_the_caps_of_the_config(client, config):
    with MisbehavingEndpoint(e.ok()) as endpoint:
        dear = {**CONFIG, "base_url": endpoint.base_url, "input_price": "100000"}
        post(client, "/configs/1", **dear, day_cap="3")
        place = staged(client, *(asked(n) for n in range(5)))
        fields = launch_fields(client, place)
        assert client.post(f"{place}/try", data=fields).status_code == 200
        with connected():  # three rows of 7 tokens in, 3 out
            day = insight.spent_now(configs.get(1))["day"]
            assert day == 3 * (7 * 100_000 + 3 * 10) * 1_000
        assert client.post(f"{place}/try", data=fields).status_code == 200
        refused = client.post(f"{place}/try", data=fields)
        assert refused.status_code == 400
        assert "daily spend cap" in refused.text
        assert endpoint.calls == 6


def test_a_batch_discount_goes_before_the_price_rules(client):
    rules = '{"batch": "0.5"}'
    filled = {**KNOWN, "price_rules": rules, "batch_discount": "0.6"}
    assert post(client, "/configs/new", **filled).status_code == 303

    def factor():
        with connected():
            return prices_of(configs.get(KNOWN["alias"])).rules.tier("batch").input

    assert factor() == Decimal("0.6")
    with connected():
        config_id = configs.get(KNOWN["alias"]).id
    assert value_of(client.get(f"/configs/{config_id}").text, "batch_discount") == "0.6"
    assert (
        post(client, f"/configs/{config_id}", **{**filled, "batch_discount": "2"}).status_code
        == 400
    )
    assert (
        post(client, f"/configs/{config_id}", **{**filled, "batch_discount": ""}).status_code == 303
    )
    assert factor() == Decimal("0.5")


def test_price_rules_are_stored_shown_and_removed(client):
    data = {"csrf_token": token(client), **UNPRICED}
    filled = client.post("/configs/prices", data=data).text
    rules = html.unescape(value_of(filled, "price_rules"))
    assert post(client, "/configs/new", **KNOWN, price_rules=rules).status_code == 303
    with connected():
        config_id = configs.get(KNOWN["alias"]).id
        assert prices_of(configs.get(config_id)).rules.hours.holidays == "CN"
    page = client.get(f"/configs/{config_id}").text
    shown = page.partition('id="price-rules"')[2].partition("</div>")[0]
    assert "Mon-Fri 09:00-12:00, 14:00-18:00 (Asia/Shanghai): × 1" in shown
    assert "2026-10" in shown
    kept = {**KNOWN, "price_rules": rules}
    assert post(client, f"/configs/{config_id}", **kept).status_code == 303
    with connected():
        assert prices_of(configs.get(config_id)).rules
    removed = post(client, f"/configs/{config_id}", **kept, remove_price_rules="y")
    assert removed.status_code == 303
    with connected():
        assert not prices_of(configs.get(config_id)).rules
    wrong = post(client, f"/configs/{config_id}", **KNOWN, price_rules='{"batch": "-1"}')
    assert wrong.status_code == 400
