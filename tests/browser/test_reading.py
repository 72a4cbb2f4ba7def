"""The grid of a table with its header switch, and the question which encoding a file has."""

from playwright.sync_api import expect

from .helpers import both_languages
from .test_access import violations

WIDE = "id,question," + ",".join(f"column {n}" for n in range(20)) + "\n"
LONG = "word " * 400


def uploaded(page, t, path) -> None:
    page.goto("/jobs/new")
    page.locator("#file").set_input_files(path)
    page.get_by_role("button", name=t("Continue")).click()


@both_languages
def test_the_grid_stays_in_its_box_and_its_switch_keeps_what_was_typed(page, t, tmp_path):
    path = tmp_path / "wide.csv"
    rows = "".join(f"{n},{LONG if n == 3 else 'Why?'}" + ",x" * 20 + "\n" for n in range(40))
    path.write_text(WIDE + rows)
    uploaded(page, t, path)
    page.wait_for_url("**/workbench")
    page.locator("#data summary").first.click()
    assert violations(page) == []
    grid, box = page.locator("#grid"), page.locator(".grid-box")
    expect(grid.locator("tbody tr")).to_have_count(20)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert box.evaluate("box => box.scrollWidth > box.clientWidth")
    assert grid.locator(".grid-cell", has_text="word").bounding_box()["height"] < 100
    box.evaluate("box => box.scrollTo(500, 300)")
    expect(grid.locator("thead th").first).to_be_attached()
    corner = box.bounding_box()
    head, number = grid.locator("thead tr").first, grid.locator("tbody th").nth(15)
    assert abs(head.locator("th").last.bounding_box()["y"] - corner["y"]) < 5
    assert abs(number.bounding_box()["x"] - corner["x"]) < 5

    page.locator("#user").fill("{{question}} half")
    switch = page.locator("#header-switch")
    expect(switch).to_have_attribute("aria-pressed", "true")
    switch.click()
    page.locator("#data summary").first.click()
    expect(page.locator("#header-switch")).to_have_attribute("aria-pressed", "false")
    expect(grid.locator("thead th").nth(0)).to_have_text(t("Line number"))
    expect(grid.locator("thead th").nth(2)).to_have_text("column_2")
    expect(page.locator("#user")).to_have_value("{{question}} half")
    assert violations(page) == []


@both_languages
def test_the_encoding_is_chosen_by_its_text(page, t, tmp_path):
    path = tmp_path / "cities.csv"
    path.write_bytes("id,question\n1,서울\n2,부산\n".encode("cp949"))
    uploaded(page, t, path)
    page.wait_for_url("**/reading")
    assert violations(page) == []
    page.get_by_label("서울 부산").check()
    page.get_by_role("button", name=t("Continue")).click()
    page.wait_for_url("**/workbench")
    expect(page.locator("#grid")).to_contain_text("부산")
    assert violations(page) == []
