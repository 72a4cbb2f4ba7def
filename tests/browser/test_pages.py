"""What the pages do beyond the main job: charts, many jobs, errors, one request, shortcuts."""

import json

import pytest
from playwright.sync_api import expect

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from ..process import flask
from .test_main_job import add_config


@pytest.fixture
def demo(page, instance):
    """A job of 60 that has run, with a few failed attempts."""
    done = flask(instance, "demo", "--requests", "60", "--fail", "0.05")
    assert done.returncode in (0, 3), done.stderr
    return page


def launch(page, path, name="n", **fields):
    page.goto("/jobs/new")
    page.locator("#file").set_input_files(path)
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Launch").click()
    page.wait_for_url("**/jobs/*")


def drag(page, chart, start, end):
    page.locator(f"#chart-{chart}").scroll_into_view_if_needed()
    box = page.locator(f"#chart-{chart} canvas").bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * start, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * end, y, steps=5)
    page.mouse.up()


def test_a_drag_over_a_chart_narrows_all_and_stands_in_the_url(demo, tmp_path):
    page = demo
    page.goto("/jobs/1/charts")
    drag(page, "tokens", 0.3, 0.7)
    page.wait_for_url("**/charts?from=*")
    expect(page.locator("#bucket-requests #requests tbody tr").first).to_be_visible()
    shown = page.evaluate("SimpleBatchCharts.data().buckets.length")
    page.get_by_role("link", name="These requests").click()
    page.wait_for_url("**/requests?from=*")
    page.go_back()
    page.get_by_role("link", name="Whole job").click()
    expect(page.locator("#chart-scatter canvas")).to_be_visible()
    assert page.evaluate("SimpleBatchCharts.data().buckets.length") > shown

    with page.expect_download() as download:
        page.locator("[data-png=latency]").click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").first.click()
    assert download.value.suggested_filename == "job-1-outcomes.csv"


def test_a_bin_of_the_histogram_lists_its_requests(demo):
    page = demo
    page.goto("/jobs/1/charts")
    page.locator("#chart-histogram").scroll_into_view_if_needed()
    box = page.locator("#chart-histogram canvas").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator("#bucket-title")).to_contain_text("ms")
    assert "#bin=" in page.url
    page.locator("#bucket-next").click()
    expect(page.locator("#bucket-requests #requests tbody tr").first).to_be_visible()


def test_the_report_draws_its_charts_from_itself(demo, browser, tmp_path):
    page = demo
    page.goto("/jobs/1")
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Report (HTML)").click()
    path = tmp_path / "report.html"
    download.value.save_as(path)
    alone = browser.new_context(offline=True).new_page()
    troubles = []
    alone.on("pageerror", lambda error: troubles.append(str(error)))
    alone.on("requestfailed", lambda request: troubles.append(request.url))
    alone.goto(path.as_uri())
    expect(alone.locator("canvas")).to_have_count(7)
    assert troubles == []
    alone.context.close()


def test_the_end_of_a_job_is_told(page, questions):
    with MisbehavingEndpoint(e.slow(0.05)) as endpoint:
        add_config(page, endpoint.base_url)
        page.get_by_role("button", name="Save").click()
        launch(page, questions(60), "told")
        expect(page.locator("#toast")).to_contain_text("told is completed", timeout=20_000)
        assert page.title().startswith("✓ told is completed")


def test_the_list_of_jobs_searches_selects_and_acts(page, questions, add=add_config):
    with MisbehavingEndpoint(e.slow(0.05)) as endpoint:
        add(page, endpoint.base_url)
        page.get_by_role("button", name="Save").click()
        launch(page, questions(30), "apples")
        launch(page, questions(30), "pears")
        page.goto("/jobs")
        rows = page.locator("#jobs-table tbody tr")
        expect(rows).to_have_count(2)
        page.get_by_role("searchbox").fill("pear")
        expect(rows).to_have_count(1)
        assert "q=pear" in page.url
        page.get_by_role("searchbox").fill("")
        expect(rows).to_have_count(2)
        delete = page.get_by_role("button", name="Delete")
        expect(delete).to_be_disabled()
        expect(page.locator("[data-status=completed]")).to_have_count(2, timeout=30_000)
        page.get_by_label("Select apples").check()
        page.get_by_label("Select pears").check()
        page.get_by_role("button", name="Compare").click()
        expect(page.get_by_text("= same")).to_have_count(30)
        page.go_back()
        page.get_by_label("Select all on this page").check()
        delete.click()
        expect(page.get_by_text("Done for 2 jobs.")).to_be_visible()
        expect(page.get_by_text("No jobs yet")).to_be_visible()


def test_a_group_is_retried_with_another_config_and_one_is_edited(page, questions):
    better = e.http(200, {**e.GOOD, "choices": [{"index": 0, "message": {"content": "**new**"}}]})
    with (
        MisbehavingEndpoint(*[e.error(400, "not here")] * 3, e.ok()) as first,
        MisbehavingEndpoint(e.ok(), e.ok(), e.ok(), better) as second,
    ):
        for alias, endpoint in (("test", first), ("second", second)):
            add_config(page, endpoint.base_url)
            page.get_by_label("Alias").fill(alias)
            page.get_by_role("button", name="Save").click()
        page.goto("/configs")
        launch(page, questions(8), "mixed")
        used, other = (first, second) if first.calls else (second, first)
        expect(page.locator("#status")).to_contain_text("completed", timeout=20_000)
        if used is first:
            page.get_by_role("link", name="Errors").click()
            page.locator("summary", has_text="Retry these").click()
            page.get_by_label("API config").select_option(label="second")
            page.get_by_label("Max tokens").fill("77")
            page.locator("form").get_by_role("button", name="Retry these").click()
            expect(page.locator('[data-count="succeeded"]')).to_have_text("8", timeout=20_000)
            assert [body["max_tokens"] for body in other.bodies] == [77] * 3
        page.goto(f"{page.url.split('/errors')[0].split('?')[0]}/requests/0")
        page.locator("summary", has_text="Edit and send again").click()
        body = json.dumps({"messages": [{"role": "user", "content": "changed"}]})
        page.locator("textarea[name=body]").fill(body)
        page.get_by_role("button", name="Send again").click()
        expect(page.get_by_text("Sent again")).to_be_visible()
        expect(page.get_by_text("changed").first).to_be_visible()


def test_shortcuts(demo):
    page = demo
    page.goto("/jobs/1")
    page.keyboard.press("?")
    expect(page.locator("#shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#shortcuts")).to_be_hidden()
    page.keyboard.press("2")
    page.wait_for_url("**/requests")
    page.keyboard.press("/")
    page.keyboard.type("photo?")
    expect(page.locator("#f-q")).to_have_value("photo?")
    page.locator("#f-q").blur()
    page.keyboard.press("g")
    page.keyboard.press("j")
    page.wait_for_url("**/jobs")


def test_columns_and_page_size_stay_in_the_url(demo):
    page = demo
    page.goto("/jobs/1/requests")
    page.locator("summary", has_text="More filters").click()
    page.get_by_label("HTTP", exact=True).check()
    page.get_by_label("Cost").uncheck()
    page.get_by_label("Rows on a page").select_option("25")
    page.get_by_role("button", name="Filter", exact=True).click()
    head = page.locator("#requests thead")
    expect(head).to_contain_text("HTTP")
    expect(head).not_to_contain_text("Cost")
    expect(page.locator("#requests tbody tr")).to_have_count(25)
    page.get_by_role("link", name="next").click()
    expect(head).not_to_contain_text("Cost")
    page.get_by_role("link", name="Latency").click()
    page.wait_for_url("**sort=-latency**")


@pytest.mark.parametrize("width", [360, 2560])
def test_no_page_is_wider_than_the_window(demo, width):
    page = demo
    page.set_viewport_size({"width": width, "height": 800})
    for path in (
        *("/jobs", "/jobs/new", "/configs", "/configs/new", "/jobs/1", "/jobs/1/requests"),
        *("/jobs/1/requests/0", "/jobs/1/errors", "/jobs/1/charts", "/jobs/1/events"),
        *("/jobs/1/settings", "/compare?a=1&b=1"),
    ):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path
