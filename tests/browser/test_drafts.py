"""Drafts in a real browser: saved while they are typed, and never a 404 in the history."""

import pytest
from playwright.sync_api import expect

from .helpers import add_config
from .test_access import violations

TABLE = b"id,question\n1,Why?\n2,How?\n"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "reviews.csv"
    path.write_bytes(TABLE)
    return path


def upload(page, t, path) -> None:
    page.goto("/jobs/new")
    page.locator("#file").set_input_files(path)
    page.get_by_role("button", name=t("Continue")).click()
    page.wait_for_url("**/workbench")


def saved(page):
    return page.locator("#draft-status [data-when=saved]")


def test_typed_left_found_discarded_and_restored(page, t, table):
    upload(page, t, table)
    assert violations(page) == []
    page.locator("#system").fill("half a {{sen")
    expect(saved(page)).to_be_visible()
    page.locator("#user").fill("{{question}}!")
    page.goto("/jobs")  # before it is saved again
    page.goto("/jobs/new")
    assert violations(page) == []
    link = page.get_by_role("link", name=t("Continue with %(name)s", name="reviews.csv"))
    link.click()
    expect(page.locator("#system")).to_have_value("half a {{sen")
    expect(page.locator("#user")).to_have_value("{{question}}!")
    page.get_by_role("button", name=t("Discard upload")).click()
    expect(page.locator("#discarded")).to_contain_text("reviews.csv")
    expect(page.locator("#drafts")).to_have_count(0)
    assert violations(page) == []
    page.go_back()
    expect(page.locator("main")).to_contain_text(t("You discarded “%(name)s”.", name="reviews.csv"))
    assert violations(page) == []
    page.get_by_role("button", name=t("Undo")).click()
    expect(page.locator("#system")).to_have_value("half a {{sen")


def test_back_and_the_history_after_a_launch(page, t, table):
    add_config(page, t, "http://127.0.0.1:9/v1")
    upload(page, t, table)
    page.locator("#system").fill("Be brief.")
    page.locator("#name").fill("mine")
    expect(saved(page)).to_be_visible()
    page.goto("/jobs/new/1/template")  # the steps have the same draft
    expect(page.locator("#system")).to_have_value("Be brief.")
    page.get_by_role("button", name=t("Continue")).click()
    page.wait_for_url("**/jobs/new/1")
    expect(page.locator("#name")).to_have_value("mine")
    page.goto("/jobs/new/1?config=1")  # an address that chooses something
    page.locator("#name").fill("mine, too")
    page.wait_for_url("**/jobs/new/1")
    page.get_by_role("button", name=t("Open in the workbench")).click()
    expect(page.locator("#name")).to_have_value("mine, too")
    page.get_by_role("button", name=t("Launch, but don't start yet")).click()
    page.wait_for_url("**/jobs/1")
    page.go_back()
    expect(page.get_by_role("link", name=t("Open the job"))).to_be_visible()
    assert violations(page) == []
    page.get_by_role("link", name=t("New draft from it")).click()
    expect(page.locator("#system")).to_have_value("Be brief.")


def test_two_tabs_and_an_answer_that_does_not_come(page, t, table):
    upload(page, t, table)
    other = page.context.new_page()
    other.goto(page.url)
    page.locator("#system").fill("first")
    expect(saved(page)).to_be_visible()
    other.locator("#system").fill("second")
    expect(other.locator("#draft-status")).to_contain_text(t("Open the other version"))
    other.get_by_role("button", name=t("Keep this version")).click()
    expect(saved(other)).to_be_visible()
    other.reload()
    expect(other.locator("#system")).to_have_value("second")
    other.route("**/workbench/draft", lambda route: route.abort())
    other.locator("#system").fill("third")
    expect(other.locator("#draft-status [data-when=failed]")).to_be_visible()
    other.unroute("**/workbench/draft")
    expect(saved(other)).to_be_visible()
    other.reload()
    expect(other.locator("#system")).to_have_value("third")
    other.close()


def test_a_launch_ends_the_save_on_its_way(page, t, table):
    """It would reach the server after the launch, and be refused there."""
    add_config(page, t, "http://127.0.0.1:9/v1")
    upload(page, t, table)
    page.route("**/workbench/draft", lambda route: None)  # no answer comes
    page.route("**/workbench/launch", lambda route: route.fulfill(status=204))  # the page stays
    with page.expect_request("**/workbench/draft"):
        page.locator("#system").fill("Be brief.")
    with page.expect_event("requestfailed", lambda failed: failed.url.endswith("/workbench/draft")):
        page.get_by_role("button", name=t("Launch, but don't start yet")).click()
