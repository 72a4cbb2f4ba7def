"""The palette (Ctrl-K) and the list of shortcuts, both from one registry."""

import re

from playwright.sync_api import expect

from .helpers import both_languages
from .test_access import violations, violations_in_both_themes, wider_than_the_window

TITLE = "Search jobs, pages and actions"


@both_languages
def test_pages_jobs_and_actions_are_found_by_typing(demo, t):
    page = demo
    page.goto("/jobs/1/events")
    palette, field = page.locator("#palette"), page.get_by_role("combobox", name=t(TITLE))
    options = palette.get_by_role("option")
    page.keyboard.press("Control+k")
    expect(field).to_be_focused()
    expect(palette.get_by_role("group", name=t("This page"))).to_be_visible()
    expect(palette.get_by_role("group", name=t("Jobs"))).to_contain_text("held")
    assert violations_in_both_themes(page) == []
    for width in (360, 768, 1280):
        assert not wider_than_the_window(page, width)

    # a page of the program
    field.fill(t("Connections").upper())
    expect(options.first).to_contain_text(t("Connections"))
    expect(options.first).to_have_attribute("aria-selected", "true")
    expect(field).to_have_attribute("aria-activedescendant", "palette-0")
    field.press("Enter")
    page.wait_for_url("**/configs")

    # a job, by a part of its name, and with the arrows
    page.keyboard.press("Control+k")
    field.fill("hel")
    found = options.filter(has_text="held")
    expect(found).to_have_count(1)
    while found.get_attribute("aria-selected") != "true":
        field.press("ArrowDown")
    field.press("Enter")
    page.wait_for_url("**/jobs/2")

    # an action of the page: a file of the menu
    page.goto("/jobs/1")
    page.keyboard.press("Control+k")
    field.fill(f"{t('Export')} xlsx {t('failed')}")
    expect(options).to_have_count(1)
    with page.expect_download() as download:
        field.press("Enter")
    assert download.value.suggested_filename.endswith(".xlsx")
    expect(palette).to_be_hidden()

    # nothing found; a second Ctrl-K closes it, and gives the focus back
    page.locator("#theme").focus()
    page.keyboard.press("Control+k")
    field.fill("no such thing")
    expect(palette.get_by_role("status")).to_have_text(t("Nothing found."))
    field.press("Enter")
    expect(palette).to_be_visible()
    page.keyboard.press("Control+k")
    expect(palette).to_be_hidden()
    expect(page.locator("#theme")).to_be_focused()

    # keys in a text field are the field's own
    page.goto("/jobs")
    page.keyboard.press("/")
    expect(page.locator("main input[type=search]")).to_be_focused()
    page.keyboard.type("?gn")
    expect(page.locator("main input[type=search]")).to_have_value("?gn")
    expect(palette).to_be_hidden()
    # but the palette opens from there, too, and gives the focus back
    page.keyboard.press("Control+k")
    expect(palette).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("main input[type=search]")).to_be_focused()

    # the same registry feeds the list of shortcuts and the keys
    page.locator("#feed").click()
    page.keyboard.press("?")
    shortcuts = page.locator("#shortcuts")
    for title in (TITLE, "Audit log", "Next row or request", "Rating: write a note"):
        expect(shortcuts).to_contain_text(t(title))
    expect(shortcuts).to_contain_text(re.compile(r"Ctrl\s+K"))
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("u")
    page.wait_for_url("**/users")


def test_macs_have_their_own_key(demo):
    demo.add_init_script(
        "Object.defineProperty(navigator, 'platform', { value: 'MacIntel' });"
        "Object.defineProperty(navigator, 'userAgentData', { value: undefined });"
    )
    demo.goto("/jobs")
    demo.keyboard.press("Control+k")
    expect(demo.locator("#palette")).to_be_hidden()
    demo.keyboard.press("Meta+k")
    expect(demo.locator("#palette")).to_be_visible()
    demo.keyboard.press("Escape")
    demo.keyboard.press("?")
    expect(demo.locator("#shortcuts [data-mod]").first).to_have_text("⌘")
