"""The rows of every table by keys, and the tabs of the settings."""

from playwright.sync_api import expect

from .helpers import both_languages, click_middle, wait_for_address
from .test_access import violations


@both_languages
def test_rows_are_walked_opened_and_selected_by_keys(demo, t):
    page = demo
    page.goto("/jobs")
    rows = page.locator("main table tbody tr")
    page.keyboard.press("j")
    expect(rows.nth(0)).to_be_focused()
    page.keyboard.press("j")
    expect(rows.nth(1)).to_be_focused()
    page.keyboard.press("x")
    expect(rows.nth(1).get_by_role("checkbox")).to_be_checked()
    expect(page.locator("#bulk-count")).to_have_text("1")
    page.keyboard.press("j")  # the end of the table
    expect(rows.nth(1)).to_be_focused()
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    page.wait_for_url("**/jobs/2")  # the newest is the first
    for path, target in (
        ("/configs", "**/configs/1"),
        ("/jobs/1/requests?status=failed", "**/requests/*"),
    ):
        page.goto(path)
        page.keyboard.press("j")
        expect(page.locator("main table tbody tr").first).to_be_focused()
        if "requests" in path:
            page.keyboard.press("x")
            expect(
                page.locator("main table tbody tr").first.get_by_role("checkbox")
            ).to_be_checked()
        page.keyboard.press("Enter")
        page.wait_for_url(target)

    # the settings: one entry of the navigation, tabs, and the addresses that they had before
    page.get_by_role("link", name=t("Settings"), exact=True).first.click()
    page.wait_for_url("**/users")
    tabs = page.locator(".page-tabs a")
    assert tabs.all_inner_texts() == [
        t(title) for title in ("Team", "Tokens and webhooks", "Storage", "Audit log")
    ]
    page.keyboard.press("3")
    page.wait_for_url("**/storage")
    expect(tabs.nth(2)).to_have_attribute("aria-current", "page")
    assert violations(page) == []


@both_languages
def test_a_bucket_of_a_chart_opens_a_drawer(demo, t):
    page = demo
    page.goto("/jobs/1/charts")
    click_middle(page, "histogram")
    drawer = page.locator("#bucket-drawer")
    expect(drawer).to_be_visible()
    expect(drawer).to_be_in_viewport()
    wait_for_address(page, "#bin=")
    assert violations(page) == []
    title = page.locator("#bucket-title").inner_text()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#bucket-title")).not_to_have_text(title)
    # its rows have the keys of every table; those that lead elsewhere wait
    page.keyboard.press("?")
    expect(page.locator("#shortcuts")).to_be_hidden()
    page.keyboard.press("j")
    row = drawer.locator("tbody tr").first
    expect(row).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/requests/*")
    page.go_back()
    expect(drawer).to_be_visible()
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    wait_for_address(page, "#bin=", there=False)
