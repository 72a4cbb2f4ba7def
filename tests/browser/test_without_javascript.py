"""Everything except the live parts, in a browser without JavaScript."""

import json

import pytest
from playwright.sync_api import expect

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from .conftest import opened
from .helpers import add_config, both_languages, fill_config, launch


@pytest.fixture
def plain(browser, server, language):
    with opened(browser, server.url, language, java_script_enabled=False) as page:
        yield page


def reload_until(page, locator, times: int = 60) -> None:
    """Reload as a user without the live feed does."""
    for _ in range(times):
        if locator.count():
            return
        page.wait_for_timeout(250)
        page.reload()
    expect(locator).to_be_visible()


@both_languages
def test_a_job_from_its_config_to_its_export(plain, t, questions, tmp_path):
    page = plain
    with MisbehavingEndpoint(e.ok(), e.error(400, "not this one"), e.slow(0.02)) as endpoint:
        fill_config(page, t, endpoint.base_url)
        page.get_by_role("button", name=t("Test connection")).click()
        expect(page.get_by_role("status").first).to_contain_text("m-1")
        add_config(page, t, endpoint.base_url)
        launch(page, t, questions(20), "plain")
        completed = page.locator("#status [data-status=completed]")
        reload_until(page, completed)

        page.locator(".tile.failed").click()
        expect(page.locator("#requests tbody tr")).to_have_count(1)
        page.locator("#requests tbody input[type=checkbox]").check()
        page.get_by_role("button", name=t("Retry selected")).click()
        again = t.plural("Retrying %(num)s request.", "Retrying %(num)s requests.", 1)
        expect(page.get_by_text(again)).to_be_visible()
        reload_until(page, completed)

        page.get_by_role("link", name=t("Requests"), exact=True).click()
        page.get_by_label(t("Text")).fill("question 7")
        page.get_by_role("button", name=t("Filter"), exact=True).click()
        expect(page.locator("#requests tbody tr")).to_have_count(1)
        page.locator("#requests tbody a").first.click()
        expect(page.locator("#answer")).to_have_text("fine")

        page.locator("summary", has_text=t("Export")).click()
        with page.expect_download() as download:
            page.get_by_role("link", name="JSONL", exact=True).first.click()
        path = tmp_path / "out.jsonl"
        download.value.save_as(path)
        found = [json.loads(line)["status"] for line in path.read_text().splitlines()]
        assert found == ["succeeded"] * 20


@both_languages
def test_charts_are_tables_and_jobs_are_found_and_acted_on(plain, t, questions):
    page = plain
    with MisbehavingEndpoint(e.ok()) as endpoint:
        add_config(page, t, endpoint.base_url)
        launch(page, t, questions(5), "apples")
        reload_until(page, page.locator("#status [data-status=completed]"))
        page.get_by_role("link", name=t("Charts")).click()
        page.locator("summary", has_text=t("view as table")).first.click()
        expect(page.locator("#charts tbody tr").first).to_be_visible()
        expect(page.locator("#chart-outcomes")).to_be_hidden()  # no empty box in its place

        launch(page, t, questions(5), "pears")
        page.goto("/jobs")
        page.get_by_role("searchbox").fill("pear")
        page.get_by_role("button", name=t("Search")).click()
        rows = page.locator("#jobs-table tbody tr")
        expect(rows).to_have_count(1)
        page.get_by_label(t("Select %(n)s", n="pears")).check()
        page.get_by_role("button", name=t("Delete")).click()
        expect(page.get_by_text(t("No job matches."))).to_be_visible()
        page.get_by_role("link", name=t("Clear filters")).click()
        expect(rows).to_have_count(1)
