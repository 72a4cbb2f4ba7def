"""A template is saved in the workbench, changed, compared, and used by the next job, in a
browser with JavaScript and in one without."""

import pytest
from playwright.sync_api import expect

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from .conftest import opened
from .helpers import add_config
from .test_access import violations


def open_workbench(page, t) -> None:
    page.goto("/jobs/new")
    page.locator("button[value='questions.csv']").click()
    page.wait_for_url("**/workbench")
    expect(page.locator("#tries")).to_contain_text("yeast")


@pytest.mark.parametrize(("language", "scripts"), [("en", True), ("zh", False)])
def test_saved_changed_compared_restored_and_taken(browser, server, t, language, scripts):
    with (
        MisbehavingEndpoint(e.ok()) as endpoint,
        opened(browser, server.url, language, java_script_enabled=scripts) as page,
    ):
        add_config(page, t, endpoint.base_url)
        open_workbench(page, t)
        page.locator("#system").fill("You know {{topic}}.\nBe brief.")
        page.locator("summary", has_text=t("Save as…")).click()
        page.get_by_label(t("Template name")).fill("short")
        if scripts:
            page.get_by_label(t("Template name")).press("Enter")  # saves
        else:
            page.get_by_role("button", name=t("Save this template")).click()
        expect(page.get_by_role("alert")).to_have_text(
            t("Saved “%(name)s” as version %(n)s.", name="short", n=1)
        )
        expect(page.locator("#begun-with a")).to_have_text("short@1")
        page.locator("#system").fill("You know {{topic}}.\nBe briefer.")
        page.locator("summary", has_text=t("Save as…")).click()
        page.get_by_label(t("Note")).fill("shorter still")
        page.get_by_role("button", name=t("Save this template")).click()
        expect(page.locator("#begun-with a")).to_have_text("short@2")
        if scripts:
            assert violations(page) == []

        page.get_by_role("link", name=t("All saved templates")).click()
        page.get_by_role("link", name="short", exact=True).click()
        expect(page.locator("del")).to_contain_text("Be brief.")
        expect(page.locator("ins")).to_contain_text("Be briefer.")
        if scripts:
            assert violations(page) == []
        page.get_by_role("button", name=t("Make this the newest")).click()
        newest = f"{t('version %(n)s', n=3)} ({t('newest')})"
        expect(page.locator("#versions").get_by_role("link").first).to_have_text(newest)

        open_workbench(page, t)
        page.get_by_role("button", name=t("Use this template")).click()
        expect(page.locator("#begun-with a")).to_have_text("short@3")
        expect(page.locator("#system")).to_have_value("You know {{topic}}.\nBe brief.")
        page.get_by_role("button", name=t("Launch, but don't start yet")).click()
        page.wait_for_url("**/jobs/1")
        expect(page.locator("#template a")).to_have_text("short@3")

        page.locator("#template a").click()
        page.locator("summary", has_text=t("Delete")).click()
        page.get_by_role("button", name=t("Delete “%(name)s”", name="short")).click()
        page.wait_for_url("**/templates")
        page.goto("/jobs/1")
        expect(page.locator("#template")).to_contain_text("short@3")
        expect(page.locator("#template a")).to_have_count(0)
