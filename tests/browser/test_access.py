"""Accessibility: WCAG by axe, keyboard and focus, narrow and wide windows, both themes."""

import re
from collections.abc import Sequence

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from .helpers import add_config, both_languages, expect_status, launch

RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
COLOURS = ("color-contrast", "link-in-text-block")
FIND = """async (rules) => {
  const { violations } = await axe.run({ runOnly: rules, resultTypes: ["violations"] });
  return violations.map((fault) => [fault.id, fault.nodes[0].html.slice(0, 200)]);
}"""
PAGES = (
    "/jobs",
    "/jobs?q=nothing",
    "/jobs/new",
    "/jobs/bin",
    "/configs",
    "/configs/new",
    "/configs/new?form=full",
    "/configs/new/deepseek",
    "/configs/1",
    "/jobs/1",
    "/jobs/2",
    "/jobs/1/results",
    "/jobs/1/results?sort=-latency&h=M&values=&status=failed",
    "/jobs/1/requests",
    "/jobs/1/requests?status=failed&min_ms=1",
    "/jobs/1/requests/0",
    "/jobs/1/requests?q=nothing",
    "/jobs/1/errors",
    "/jobs/1/charts",
    "/jobs/2/charts",
    "/jobs/1/events",
    "/jobs/1/settings",
    "/access",
    "/storage",
    "/users",
    "/audit",
    "/finished",
    "/compare",
    "/compare?a=1&b=2",
    "/nowhere",
)


# around each breakpoint of Bootstrap and of our own, and where pages once were too wide
WIDTHS = (360, 390, 577, 626, 641, 691, 768, 794, 961, 992, 1024, 1200, 1440, 2560)


def settle(page) -> None:
    """Wait until htmx has processed what it inserted."""
    expect(page.locator(".htmx-request, .htmx-swapping, .htmx-settling")).to_have_count(0)


def violations(page, rules: Sequence[str] = RULES) -> list[tuple]:
    """The broken rules of axe as (address, rule, element)."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(Axe().axe_script)
    return [(page.url, *found) for found in page.evaluate(FIND, list(rules))]


def violations_in_both_themes(page) -> list[tuple]:
    """As ``violations``; in the dark theme only colours can break a rule that held in the light one."""
    page.emulate_media(reduced_motion="reduce")  # no colour halfway to the other theme
    found = []
    for theme, rules in (("light", RULES), ("dark", COLOURS)):
        page.evaluate(f"document.documentElement.dataset.bsTheme = '{theme}'")
        found += [(theme, *one) for one in violations(page, rules)]
    return found


def wider_than_the_window(page, width: int) -> bool:
    page.set_viewport_size({"width": width, "height": 800})
    for _ in range(20):  # charts follow a moment later
        if page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0:
            return False
        page.wait_for_timeout(50)
    return True


@pytest.mark.parametrize(("language", "first"), [("en", 0), ("zh", 1)])
def test_no_page_breaks_accessibility_or_is_wider_than_the_window(demo, language, first):
    """Every second page in one language, the others in the other."""
    found = []
    for path in PAGES[first::2]:
        demo.set_viewport_size({"width": 1280, "height": 900})
        demo.goto(path)
        expect(demo.locator("main")).to_be_visible()
        found += violations_in_both_themes(demo)
        found += [(path, width) for width in WIDTHS if wider_than_the_window(demo, width)]
    assert found == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_chosen_theme_is_that_of_every_page(demo, theme):
    demo.goto("/jobs")
    demo.evaluate(f"localStorage.setItem('theme', '{theme}')")
    for path in ("/jobs", "/jobs/1/charts", "/nowhere"):
        demo.goto(path)
        assert demo.locator("html").get_attribute("data-bs-theme") == theme


def test_the_table_of_error_groups_fits_into_1024_pixels(demo):
    demo.set_viewport_size({"width": 1024, "height": 768})
    demo.goto("/jobs/1/errors")
    table = demo.locator(".table-responsive").first
    expect(table.locator("details.retry summary").first).to_be_in_viewport(ratio=1)
    assert table.evaluate("box => box.scrollWidth <= box.clientWidth")


def test_what_opens_on_a_page_does_not_break_it_either(demo):
    demo.goto("/jobs/1")
    demo.locator("#more-figures > summary").click()
    demo.locator("main details.menu summary").first.click()
    found = violations_in_both_themes(demo)
    demo.goto("/jobs/1/errors")
    demo.locator("details.retry summary").first.click()
    found += violations_in_both_themes(demo)
    demo.goto("/jobs/1/requests/0")
    for summary in demo.locator("main details:not(.menu) > summary").all():
        summary.click()
    found += violations_in_both_themes(demo)
    demo.keyboard.press("?")
    found += violations_in_both_themes(demo)
    assert found == []


@both_languages
def test_on_a_narrow_screen_the_links_are_in_a_menu(demo, t):
    demo.set_viewport_size({"width": 390, "height": 800})
    demo.goto("/jobs/1")
    links = demo.locator(".main-links")
    expect(links).to_be_hidden()
    demo.locator(".main-menu > summary").click()
    here = demo.locator(".main-menu").get_by_role("link", name=t("Jobs"), exact=True)
    expect(here).to_have_attribute("aria-current", "page")
    assert violations(demo) == []
    demo.locator(".main-menu").get_by_role("link", name=t("Compare"), exact=True).click()
    demo.wait_for_url("**/compare")
    demo.set_viewport_size({"width": 1024, "height": 800})
    expect(links).to_be_visible()
    expect(demo.locator(".main-menu")).to_be_hidden()


@both_languages
def test_shortcuts(demo, t):
    demo.goto("/jobs/1")
    demo.keyboard.press("?")
    expect(demo.locator("#shortcuts")).to_contain_text(t("Next row or request"))
    demo.keyboard.press("Escape")
    expect(demo.locator("#shortcuts")).to_be_hidden()
    demo.keyboard.press("3")
    demo.wait_for_url("**/requests")
    demo.keyboard.press("/")
    demo.keyboard.type("photo?")
    expect(demo.locator("#f-q")).to_have_value("photo?")
    demo.locator("#f-q").blur()
    demo.keyboard.press("g")
    demo.keyboard.press("j")
    demo.wait_for_url("**/jobs")


def test_the_skip_link_comes_first_and_leads_to_the_content(demo):
    demo.goto("/jobs/1")
    demo.keyboard.press("Tab")
    skip = demo.get_by_role("link", name="Skip to content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    demo.keyboard.press("Enter")
    demo.keyboard.press("Tab")
    assert demo.evaluate("document.querySelector('main').contains(document.activeElement)")


def test_dialogs_and_menus_give_the_focus_back(demo):
    demo.goto("/jobs/1")
    for opener, shown in (
        ("#help", "#shortcuts"),
        ("main details.menu summary", "main .menu-list"),
    ):
        button = demo.locator(opener).first
        button.focus()
        demo.keyboard.press("Enter")
        expect(demo.locator(shown).first).to_be_visible()
        demo.keyboard.press("Tab")
        demo.keyboard.press("Escape")
        expect(demo.locator(shown).first).to_be_hidden()
        expect(button).to_be_focused()


def test_the_focus_stays_where_it_is_while_the_list_of_jobs_changes(demo):
    demo.goto("/jobs")
    sort = demo.locator("#sort-name")
    sort.focus()
    demo.keyboard.press("Enter")
    demo.wait_for_url("**sort=name*")
    settle(demo)
    expect(sort).to_be_focused()
    demo.keyboard.press("Enter")
    demo.wait_for_url("**sort=-name*")
    settle(demo)
    expect(sort).to_be_focused()
    expect(demo.locator("th[aria-sort=descending]")).to_have_count(1)
    held = demo.locator("#status-paused")
    held.focus()
    demo.keyboard.press("Enter")
    demo.wait_for_url("**status=paused*")
    expect(held).to_be_focused()
    # the search goes on inside what was chosen
    demo.get_by_role("searchbox").fill("demo")
    demo.wait_for_url("**q=demo*")
    assert "status=paused" in demo.url
    with demo.expect_event("load"):  # what htmx has not kept is loaded again
        demo.go_back()
    assert "q=" not in demo.url
    expect(demo.get_by_role("searchbox")).to_have_value("")


def test_the_focus_outlives_what_the_feed_replaces(page, t, questions):
    with MisbehavingEndpoint(e.slow(0.05)) as endpoint:
        add_config(page, t, endpoint.base_url)
        launch(page, t, questions(60), "long")
        clone = page.get_by_role("link", name="Clone")
        clone.focus()
        expect_status(page, "completed")
        expect(page.get_by_role("button", name="Reset")).to_be_visible()
        expect(clone).to_be_focused()
        launch(page, t, questions(60), "longer")
        page.goto("/jobs")
        box = page.get_by_label("Select longer")
        box.focus()
        page.keyboard.press("Space")
        expect(page.locator("#jobs-table [data-status=completed]")).to_have_count(2)
        expect(box).to_be_focused()
        expect(box).to_be_checked()


def test_what_is_being_clicked_is_not_replaced(page, t, questions):
    """The mouse button is pressed before an update of the page and released after it."""
    with MisbehavingEndpoint(e.slow(0.05)) as endpoint:
        add_config(page, t, endpoint.base_url)
        launch(page, t, questions(60), "long")
        with page.expect_response(re.compile("/jobs/1$")):
            page.locator("summary", has_text="Export").hover()
            page.mouse.down()
            expect(page.locator('[data-live="done"]')).to_have_text("60")
        page.mouse.up()
        expect(page.get_by_role("link", name="JSONL", exact=True).first).to_be_visible()
        page.keyboard.press("Escape")
        expect_status(page, "completed")
        launch(page, t, questions(60), "longer")
        page.goto("/jobs")
        box = page.get_by_label("Select longer")
        with page.expect_response(re.compile("/jobs$")):
            box.hover()
            page.mouse.down()
        page.mouse.up()
        expect(box).to_be_checked()
        expect(page.locator("#jobs-table [data-status=completed]")).to_have_count(2)
        expect(box).to_be_checked()


def test_the_tail_can_be_held(page, t, questions):
    with MisbehavingEndpoint(e.slow(0.05)) as endpoint:
        add_config(page, t, endpoint.base_url)
        launch(page, t, questions(150))
        hold = page.get_by_role("button", name="Pause the list")
        hold.click()
        expect(hold).to_have_attribute("aria-pressed", "true")
        before = page.locator("#tail").inner_text()
        done = page.locator('[data-live="done"]').inner_text()
        expect(page.locator('[data-live="done"]')).not_to_have_text(done)
        page.wait_for_timeout(600)
        assert page.locator("#tail").inner_text() == before
        hold.click()
        expect(page.locator("#tail")).not_to_have_text(before)
