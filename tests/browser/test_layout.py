"""No page scrolls sideways at any width, also while a job runs."""

import pytest
from playwright.sync_api import expect

from simple_batch.services import demo_endpoint

from .helpers import both_languages, expect_status
from .test_access import WIDTHS, wider_than_the_window


@pytest.fixture
def running(add_config, make_job):
    """A job that runs as long as the test takes: two calls at a time, each of a second, some refused."""
    slow = demo_endpoint.start(latency=1.0, jitter=0.2, fail=0.3)
    add_config(slow.base_url, concurrency=2)
    yield make_job(900, name="a job with a name of some length that runs")
    slow.stop()


@both_languages
def test_no_page_of_a_running_job_scrolls_sideways(running, page):
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
