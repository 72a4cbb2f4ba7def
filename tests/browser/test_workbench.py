"""The workbench in a real browser, by keyboard alone: upload → run → change → run what changed → compare →
restore → launch → read → rate → export → improve."""

import re

import pytest
from playwright.sync_api import expect

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from .helpers import add_config, both_languages, expect_status
from .test_access import violations

TABLE = "id,question\n" + "".join(f"{n},Why {n}?\n" for n in range(1, 9))


def press(page, target) -> None:
    """Reach an element and press Enter."""
    element = page.locator(target) if isinstance(target, str) else target
    element.focus()
    page.keyboard.press("Enter")


def write(page, field: str, text: str) -> None:
    page.locator(field).focus()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(text)


def rate_and_export(page, t) -> None:
    """From the page of a job, with keys only: its results, an answer in the drawer, a rating, a file."""

    def choose(text: str) -> None:
        page.keyboard.press("Control+k")
        page.keyboard.type(text)
        expect(page.locator("#palette [aria-selected=true]")).to_contain_text(text)
        page.keyboard.press("Enter")

    choose(t("Results"))
    page.wait_for_url("**/results")
    expect(page.locator("#palette-open")).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("j")
    second = page.locator("#results tbody tr").nth(1)
    expect(second).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#drawer-rating").get_by_role("button", name=t("Good"))).to_be_visible()
    with page.expect_response(re.compile(r"/rating$")):
        page.keyboard.press("+")
    expect(page.locator("#drawer-rating [aria-pressed=true]")).to_have_text(f"👍 {t('Good')}")
    page.keyboard.press("Escape")
    expect(second).to_be_focused()
    with page.expect_download() as download:
        choose("CSV")
    written = download.value.path().read_text("utf-8-sig").splitlines()
    assert len(written) == 9
    assert "rating" in written[0]
    assert "Why 2?" in written[2]


@both_languages
def test_a_prompt_is_made_better_by_keyboard_alone(page, t):
    with MisbehavingEndpoint(e.ok()) as endpoint:
        add_config(page, t, endpoint.base_url)
        page.goto("/jobs/new")
        write(page, "#pasted", TABLE)
        press(page, page.get_by_role("button", name=t("Continue")))
        page.wait_for_url("**/workbench")
        expect(page.locator("#figures")).to_contain_text(t.plural("%(num)s row", "%(num)s rows", 8))

        write(page, "#user", "Say: {{question}}")
        expect(page.locator("#prompt-1")).to_contain_text("Say: Why 1?")
        expect(page.locator("#draft-status [data-when=saved]")).to_be_visible()
        page.keyboard.press("Control+Enter")
        answered = page.locator(".try-cell[data-state=answered]")
        expect(answered).to_have_count(5)
        expect(page.locator("#version-1")).to_be_visible()
        assert endpoint.calls == 5
        assert violations(page) == []

        write(page, "#user", "{% if id == '2' %}Brief. {% endif %}Say: {{question}}")
        expect(page.locator("#run")).to_have_text(
            t.plural("Run (%(num)s call)", "Run (%(num)s calls)", 1)
        )
        expect(page.locator(".try-cell[data-state=unsent]")).to_have_count(1)
        page.keyboard.press("Control+Enter")
        expect(page.locator("#version-2")).to_be_visible()
        expect(answered).to_have_count(5)
        assert endpoint.calls == 6

        press(page, page.get_by_role("button", name=t("Show the differences")))
        page.wait_for_url("**/compare**")
        expect(page.locator("#changes ins")).to_contain_text("Brief")
        expect(page.locator("#compared tbody tr")).to_have_count(5)
        assert violations(page) == []
        press(page, "#back")
        press(page, page.get_by_role("button", name=t("Restore v%(n)s", n=1)))
        expect(page.locator("#user")).to_have_value("Say: {{question}}")
        expect(answered).to_have_count(5)
        assert endpoint.calls == 6

        page.emulate_media(reduced_motion="reduce")  # no colour halfway to the other theme
        page.evaluate("document.documentElement.dataset.bsTheme = 'dark'")
        assert violations(page) == []
        press(page, "#launch")
        expect_status(page, "completed")
        assert endpoint.calls == 14
        rate_and_export(page, t)
        press(page, "#improve")
        page.wait_for_url("**/workbench")
        expect(page.locator("#user")).to_have_value("Say: {{question}}")


@pytest.mark.parametrize("width", [360, 390, 768, 1440])
def test_figures_and_launch_stay_on_top(page, t, width):
    page.set_viewport_size({"width": width, "height": 700})
    add_config(page, t, "http://127.0.0.1:9/v1")
    page.goto("/jobs/new")
    write(page, "#pasted", TABLE)
    page.get_by_role("button", name=t("Continue")).click()
    page.wait_for_url("**/workbench")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(page.locator("#figures")).to_be_in_viewport(ratio=1)
    expect(page.locator("#launch")).to_be_in_viewport(ratio=1)


def test_a_run_is_stopped_with_its_button(page, t):
    with MisbehavingEndpoint(e.slow(120)) as endpoint:
        add_config(page, t, endpoint.base_url)
        page.goto("/jobs/new")
        write(page, "#pasted", TABLE)
        page.get_by_role("button", name=t("Continue")).click()
        page.locator("#run").click()
        expect(page.locator(".try-cell[data-state=waiting]")).to_have_count(5)
        page.locator("#stop").click()
        expect(page.locator(".try-cell[data-state=unsent]")).to_have_count(5)
        expect(page.locator("#stop")).to_be_hidden()
