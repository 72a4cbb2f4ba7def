"""Answers are rated in a browser by keys alone: drawer, review to its end, filter, export."""

import json
import re

import pytest
from playwright.sync_api import expect

from ..process import flask, served
from .conftest import opened
from .helpers import both_languages
from .test_access import violations


@pytest.fixture
def judged(browser, tmp_path, language):
    """A page on a server with a finished job of 21 requests."""
    instance = tmp_path / "instance"
    done = flask(instance, "demo", "--requests", "21", "--fail", "0")
    assert done.returncode in (0, 3), done.stderr
    server = served(instance)
    with opened(browser, server.url, language) as page:
        yield page
    server.stop()


def saved(page):
    """Waits for the answer of the server to a rating."""
    return page.expect_response(re.compile(r"/rating$"))


@both_languages
def test_answers_are_rated_by_keys_to_the_end_of_a_review(judged, t):
    page = judged
    page.goto("/jobs/1/results?outcome=ok&cols=answer&cols=rating&cols=labels&cols=note")
    row = page.locator("#results tbody tr").first
    rating, pressed = (
        page.locator("#drawer-rating"),
        page.locator("#drawer-rating [aria-pressed=true]"),
    )
    page.locator("#results-box").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(rating.get_by_role("button", name=t("Good"))).to_be_visible()
    with saved(page):
        page.keyboard.press("+")
    expect(pressed).to_have_text(f"👍 {t('Good')}")
    with saved(page):
        page.keyboard.press("-")
    expect(pressed).to_have_text(f"👎 {t('Bad')}")
    expect(row).to_contain_text(f"👎 {t('Bad')}")
    with saved(page):
        page.keyboard.press("-")  # pressed again, it is taken back
    expect(pressed).to_have_count(0)
    page.keyboard.press("l")
    page.keyboard.type("too long")
    with saved(page):
        page.keyboard.press("Enter")
    expect(pressed).to_have_text("too long")
    expect(page.locator("#drawer-content")).to_be_focused()
    page.keyboard.press("n")
    page.keyboard.type("see <b>line</b> 2")
    with saved(page):
        page.keyboard.press("Control+Enter")
    expect(row).to_contain_text("see <b>line</b> 2")
    page.keyboard.press("n")
    page.keyboard.press("Escape")  # leaves the field, not the drawer
    expect(page.locator("#drawer-content")).to_be_focused()
    assert violations(page) == []
    page.keyboard.press("Escape")
    expect(page.locator("#drawer")).to_be_hidden()

    # a review of those that are not rated yet, begun by keys, goes on by itself
    page.locator("#rate-menu summary").press("Enter")
    page.locator("#review-n").select_option("20")
    page.locator("#review-form button").press("Enter")
    progress = page.locator("#drawer-progress")
    expect(progress).to_have_text(t("%(n)s of %(all)s rated", n="0", all="20"))
    title = page.locator("#drawer-title")
    for number in range(1, 21):
        before = title.inner_text()
        with saved(page):
            page.keyboard.press("+" if number % 2 else "-")
        expect(progress).to_have_text(t("%(n)s of %(all)s rated", n=str(number), all="20"))
        if number == 1:
            expect(page.locator("#review-start")).to_have_text(t("Continue review"))
        if number < 20:
            expect(title).not_to_have_text(before)
            expect(rating.locator("#rating[data-scored='']")).to_be_visible()
    expect(page.locator("#review-end")).to_contain_text(
        t("All %(n)s answers of this review are rated.", n="20")
    )
    page.keyboard.press("Enter")  # the link has the focus

    # the ratings in the grid, filtered by one, and exported
    expect(page.locator("#results-count")).to_be_visible()
    page.goto("/jobs/1/results?rating=0")
    expect(page.locator("#results tbody tr")).to_have_count(10)
    assert violations(page) == []
    with page.expect_download() as found:
        page.evaluate("location.href = '/jobs/1/export?format=json&rating=0'")
    rows = json.loads(found.value.path().read_text())
    assert [row["ratings"][0]["score"] for row in rows] == [0] * 10

    # several at once
    page.locator("#results tbody input[name=index]").first.check()
    page.locator("#select-matching").click()
    page.locator(".rate-selected summary").click()
    page.locator(".rate-selected").get_by_role("button", name=t("Good")).click()
    expect(page.locator(".alert-success")).to_be_visible()
    expect(page.locator("#results tbody tr")).to_have_count(0)

    # without scores the scale can change
    page.goto("/jobs/1/results?rating>=0")
    page.locator("#results tbody input[name=index]").first.check()
    page.locator("#select-matching").click()
    page.locator(".rate-selected summary").click()
    page.locator(".rate-selected").get_by_role("button", name=t("No score")).click()
    expect(page.locator("#results tbody tr")).to_have_count(0)
    page.goto("/jobs/1/results")
    page.locator("#rate-menu summary").click()
    page.locator("#rating-scale").select_option("points")
    page.locator("#rating-labels").fill("wrong")
    with page.expect_navigation():
        page.locator("#rating-settings button").click()
    page.locator("#results tbody tr").nth(1).press("Enter")
    expect(rating.get_by_role("button", name="4", exact=True)).to_be_visible()
    with saved(page):
        page.keyboard.press("4")
    expect(pressed).to_have_text("4")
    with saved(page):
        rating.get_by_role("button", name="wrong").click()
    expect(pressed).to_have_text(["4", "wrong"])
    with saved(page):
        page.keyboard.press("4")  # the button that was pressed has the focus
    expect(pressed).to_have_text(["wrong"])
