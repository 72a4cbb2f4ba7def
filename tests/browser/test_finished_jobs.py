"""The bell on every page: it rings live when a job has ended, and the list of jobs marks it as seen."""

from playwright.sync_api import expect

from ..process import flask
from .helpers import both_languages
from .test_access import violations, violations_in_both_themes, wider_than_the_window


@both_languages
def test_the_bell_rings_on_any_page_until_it_is_opened(page, t, instance):
    ran = flask(instance, "demo", "--requests", "5", "--fail", "0")
    assert ran.returncode == 0, ran.stderr
    page.emulate_media(reduced_motion="reduce")  # no colour halfway to the other theme
    page.goto("/configs")
    bell, count, jobs = (
        page.locator("#bell"),
        page.locator("#bell-count"),
        page.locator("#bell-list"),
    )
    expect(count).to_have_text("1")
    second = page.context.new_page()
    second.goto("/storage")
    expect(second.locator("#bell-count")).to_have_text("1")

    bell.click()
    expect(jobs.locator("li").get_by_role("link")).to_be_visible()
    expect(jobs.locator(".unseen")).to_have_count(1)
    expect(jobs).to_contain_text("5")
    expect(count).to_be_hidden()
    expect(second.locator("#bell-count")).to_be_hidden()  # the other page follows
    page.goto("/jobs/bin")  # nothing below that the list would cover in part
    bell.click()
    expect(jobs).to_be_visible()
    assert violations_in_both_themes(page) == []
    for width in (360, 768, 1280):
        assert not wider_than_the_window(page, width)
        expect(jobs).to_be_in_viewport()
    page.keyboard.press("Escape")
    expect(jobs).to_be_hidden()
    expect(bell).to_be_focused()

    assert flask(instance, "demo", "--requests", "5", "--fail", "0").returncode == 0
    expect(count).to_have_text("1")  # without a reload
    expect(bell).to_have_accessible_name(t("Finished jobs (%(n)s new)", n="1"))
    page.goto("/finished")  # what the bell is without scripts
    expect(page.locator("main li.unseen")).to_have_count(1)
    expect(page.locator("main li")).to_have_count(2)
    expect(count).to_be_hidden()
    assert violations(page) == []
