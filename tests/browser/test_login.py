"""Login and logout in a browser, with and without JavaScript, in both languages."""

import re

from playwright.sync_api import expect

from ..conftest import PASSWORDS
from .conftest import opened
from .helpers import both_languages, expect_status, launch
from .test_access import violations_in_both_themes, wider_than_the_window


def log_in(page, t, name: str) -> None:
    page.get_by_label(t("Name"), exact=True).fill(name)
    page.get_by_label(t("Password"), exact=True).fill(PASSWORDS[name])
    page.get_by_role("button", name=t("Log in")).click()


@both_languages
def test_a_login_leads_to_the_page_and_a_logout_away(
    people,
    server,
    page,
    t,
    questions,
    add_config,
    endpoint,
    make_job,
):
    add_config(endpoint.base_url)
    make_job(2, name="seen by some", hold=True)
    page.goto("/jobs?q=seen")
    expect(page).to_have_url(re.compile("/login"))
    page.get_by_label(t("Name"), exact=True).fill("anna")
    page.get_by_label(t("Password"), exact=True).fill("wrong")
    page.get_by_role("button", name=t("Log in")).click()
    expect(page.get_by_text(t("Wrong name or password."))).to_be_visible()
    log_in(page, t, "anna")
    page.wait_for_url("**/jobs?q=seen")
    expect(page.locator("#feed")).to_have_attribute("data-state", "live")
    expect(page.get_by_text("seen by some")).to_be_visible()
    page.locator("#account summary").click()
    page.get_by_role("link", name=t("Audit log")).click()
    expect(page.locator("#audit tbody tr").first).to_contain_text("anna")
    page.goto("/users")
    row = page.locator("#users tr", has_text="otto")
    row.get_by_role("button", name=t("Disable")).click()
    expect(row).to_contain_text(t("disabled"))
    page.locator("#account summary").click()
    page.get_by_role("button", name=t("Log out")).click()
    expect(page.get_by_text(t("You are logged out."))).to_be_visible()
    log_in(page, t, "otto")
    expect(page.get_by_text(t("Wrong name or password."))).to_be_visible()
    log_in(page, t, "olga")
    page.wait_for_url("**/jobs")
    expect(page.get_by_text("seen by some")).to_have_count(0)
    launch(page, t, questions(3), "of olga")
    expect_status(page, "completed")
    page.goto("/users")
    expect(page.get_by_text(t("You don't have permission. Ask an admin."))).to_be_visible()


def test_a_logout_in_one_tab_leads_the_list_in_another_to_the_login(people, server, page, t):
    page.goto("/jobs")
    log_in(page, t, "anna")
    expect(page.locator("#feed")).to_have_attribute("data-state", "live")
    other = page.context.new_page()
    other.goto("/users")
    other.locator("#account summary").click()
    other.get_by_role("button", name=t("Log out")).click()
    expect(other.get_by_text(t("You are logged out."))).to_be_visible()
    page.bring_to_front()
    expect(page).to_have_url(re.compile("/login"))


def test_a_viewer_has_no_buttons_and_needs_no_javascript(
    people,
    browser,
    server,
    t,
    add_config,
    endpoint,
    make_job,
):
    add_config(endpoint.base_url)
    job_id = make_job(1, hold=True)
    with opened(browser, server.url, java_script_enabled=False) as page:
        page.goto(f"/jobs/{job_id}")
        log_in(page, t, "vera")
        page.wait_for_url(f"**/jobs/{job_id}")
        for path in ("", "/requests", "/requests/0", "/errors", "/charts", "/events"):
            page.goto(f"/jobs/{job_id}{path}")
            forms = page.locator("form[method=post]:not([action='/logout'])")
            assert [form.get_attribute("action") for form in forms.all() if form.is_visible()] == []
        page.goto("/jobs")
        expect(page.locator("#bulk-pause")).to_have_count(0)
        expect(page.locator("#bulk-compare")).to_be_visible()


def test_the_pages_of_users_are_for_everybody(people, page, t):
    found = []
    page.goto("/login")
    found += violations_in_both_themes(page)
    assert not wider_than_the_window(page, 360)
    log_in(page, t, "anna")
    page.wait_for_url("**/jobs")
    for path in ("/users", "/audit", "/password", "/access", "/jobs"):
        page.set_viewport_size({"width": 1280, "height": 800})
        page.goto(path)
        found += violations_in_both_themes(page)
        assert not wider_than_the_window(page, 360), path
        page.locator("#account summary").click()
        assert not wider_than_the_window(page, 360), path
    assert found == []
