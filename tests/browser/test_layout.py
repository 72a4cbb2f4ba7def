"""No page scrolls sideways, at any width from 360 to 2560 px, also while a job runs."""

import pytest
from playwright.sync_api import expect

from simple_batch.services import demo_endpoint

from .helpers import both_languages, expect_status
from .test_access import PAGES

# around each breakpoint of Bootstrap and of our own (36rem, 40rem, 48rem, 60rem), and in between
WIDTHS = (
    *(
        360,
        390,
        430,
        480,
        540,
        575,
        576,
        577,
        600,
        640,
        641,
        691,
        720,
        767,
        768,
        769,
        794,
        820,
        900,
    ),
    *(960, 961, 991, 992, 1100, 1199, 1200, 1399, 1400, 1920, 2560),
)
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture
def running(add_config, make_job):
    """A job that runs as long as the test takes: two calls at a time, each of a second, some refused."""
    slow = demo_endpoint.start(latency=1.0, jitter=0.2, fail=0.3)
    add_config(slow.base_url, concurrency=2)
    yield make_job(900, name="a job with a name of some length that runs")
    slow.stop()


def sideways(page, path: str) -> list[tuple]:
    """The widths at which a page is wider than the window."""
    found = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        over = page.evaluate(SIDEWAYS)
        for _ in range(20 if over > 0 else 0):  # charts follow a moment later
            page.wait_for_timeout(50)
            over = page.evaluate(SIDEWAYS)
            if over <= 0:
                break
        if over > 0:
            found.append((path, width, over))
    return found


@both_languages
def test_no_page_of_a_running_job_scrolls_sideways(running, page):
    page.goto(f"/jobs/{running}")
    expect_status(page, "running")
    found = []
    for path in ("", "/results", "/requests", "/requests/0", "/errors", "/charts", "/settings"):
        page.goto(f"/jobs/{running}{path}")
        expect(page.locator("#feed")).to_have_attribute("data-state", "live")
        found += sideways(page, path)
    page.goto("/jobs")
    found += sideways(page, "/jobs")
    page.goto("/compare")
    found += sideways(page, "/compare")
    assert found == []


@both_languages
def test_no_page_scrolls_sideways(demo):
    found = []
    for path in PAGES:
        demo.goto(path)
        found += sideways(demo, path)
    assert found == []
