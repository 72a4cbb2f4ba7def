"""No page scrolls sideways at any width, also while a job runs."""

import re

import pytest
from playwright.sync_api import expect

from simple_batch.services import demo_endpoint

from .helpers import both_languages, expect_status
from .test_access import WIDTHS, violations, wider_than_the_window


@pytest.fixture
def running(add_config, make_job):
    """A job that runs as long as the test takes: two calls at a time, each of a second, some refused."""
    slow = demo_endpoint.start(latency=1.0, jitter=0.2, fail=0.3)
    add_config(slow.base_url, concurrency=2)
    yield make_job(900, name="a job with a name of some length that runs")
    slow.stop()


SPEED = """(governor) => SimpleBatchSpeed.show({
  status: "running", waiting: null, limits: null, governor: { limited_to: 537, cooldown_s: 3, ...governor },
  counts: { pending: 5, retrying: 0, in_flight: 2 },
}, (why) => why)"""


def test_faster_is_offered_only_while_a_learned_limit_holds(running, page):
    page.goto(f"/jobs/{running}")
    expect_status(page, "running")
    line, faster = page.locator("#speed-line"), page.get_by_role("button", name="Try faster")
    expect(line).to_contain_text("concurrency of 2.")
    expect(faster).to_be_hidden()
    for limited_by, shown in (("learned_requests", True), ("cooldown", False)):
        # what the feed sends in between is the real limit again
        page.evaluate(f"window.shows = () => ({SPEED})({{ limited_by: '{limited_by}' }})")
        seen = page.evaluate(
            "() => { shows(); return !!document.querySelector('#speed-line form:not([hidden])'); }"
        )
        assert seen is shown


def test_two_jobs_that_run_are_links_large_enough_to_press(running, make_job, page):
    make_job(900, name="another job that runs")
    make_job(1, name="one that is held", hold=True)  # so that the list begins with another
    page.goto("/jobs")
    expect(page.locator("#running-now .running-row")).to_have_count(2)
    assert violations(page) == []


@both_languages
def test_no_page_of_a_running_job_scrolls_sideways(running, page, t):
    page.goto(f"/jobs/{running}")
    expect_status(page, "running")
    found = []
    job = f"/jobs/{running}"
    for path in (
        job,
        f"{job}/results",
        f"{job}/requests/0",
        f"{job}/errors",
        f"{job}/charts",
        "/jobs",
    ):
        page.goto(path)
        expect(page.locator("#feed")).to_have_attribute("data-state", "live")
        found += [(path, width) for width in WIDTHS if wider_than_the_window(page, width)]
    assert found == []

    # on a phone the first row is seen without scrolling, also of a filtered table: the filters are behind a switch
    for path in (
        f"{job}/{tab}{query}"
        for tab in ("results", "requests")
        for query in ("", "?status=succeeded")
    ):
        for width in (360, 390, 430):
            page.set_viewport_size({"width": width, "height": 844})
            page.goto(path)
            first = page.locator("main tbody tr").first.bounding_box()
            assert first["y"] < 600, (path, width)
    switch = page.get_by_role("checkbox", name=t("Filters"))
    expect(page.locator("#f-status")).to_be_hidden()
    switch.focus()
    page.keyboard.press("Space")
    expect(page.locator("#f-status")).to_be_visible()
    expect(page.get_by_role("link", name=t("Clear filters"))).to_be_visible()
    page.keyboard.press("Space")
    expect(page.get_by_text(f"{t('Filters')} (1)")).to_be_visible()
    page.get_by_role("link", name=t("Clear filters")).click()
    expect(page).to_have_url(re.compile(r"/requests(\?(?!.*status).*)?$"))
