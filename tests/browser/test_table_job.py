"""The whole way of a table in a real browser: CSV → template → try → launch → CSV with answers."""

import csv
import io

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from .test_main_job import RULES, add_config

ROWS = [
    ["编号", "Customer Name", "question"],
    *([str(n), f"Ann {n}", f"Why {n}?"] for n in range(1, 41)),
]
WORDS = {
    "en": ("Continue", "Try 3 rows", "Launch 40", "Export", "next row", "completed"),
    "zh": ("继续", "试发 3 行", "启动 40", "导出", "下一行", "已完成"),
}


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "客户.csv"
    file = io.StringIO()
    csv.writer(file, delimiter=";").writerows(ROWS)
    path.write_bytes(file.getvalue().encode("gb18030"))
    return path


@pytest.mark.parametrize(("language", "theme"), [("en", "dark"), ("zh", "light")])
def test_from_a_table_to_the_same_table_with_answers(page, table, tmp_path, language, theme):
    go_on, try_rows, launch, export, next_row, completed = WORDS[language]
    with MisbehavingEndpoint(e.ok()) as endpoint:
        add_config(page, endpoint.base_url)
        page.get_by_role("button", name="Save").click()
        page.goto(f"/jobs/new?lang={language}")
        page.evaluate(f"localStorage.setItem('theme', '{theme}')")
        page.locator("#file").set_input_files(table)
        page.get_by_role("button", name=go_on).click()
        page.wait_for_url("**/template")
        assert page.locator("html").get_attribute("data-bs-theme") == theme
        example = page.locator("#example")
        expect(example).to_contain_text("Why 1?")
        expect(page.locator("main")).to_contain_text("GB18030")

        page.locator("#system").fill("You help .")
        page.keyboard.press("ArrowLeft")
        page.get_by_role("button", name="Customer Name").click()
        expect(page.locator("#system")).to_have_value("You help {{Customer Name}}.")
        expect(example).to_contain_text("You help Ann 1.")
        page.get_by_role("button", name=next_row).click()
        expect(example).to_contain_text("You help Ann 2.")
        page.locator("#user").fill("{{qestion}} now")
        expect(example).to_contain_text("the nearest is “question”")
        axe = Axe().run(page, options={"runOnly": RULES})
        assert [found["id"] for found in axe.response["violations"]] == []
        page.locator("#user").fill("{{question}} Now")
        expect(example).to_contain_text("Why 2? Now")
        page.locator("#custom_id").select_option("编号")
        page.get_by_role("button", name=go_on).click()
        page.wait_for_url("**/jobs/new/1")

        page.get_by_role("button", name=try_rows).click()
        expect(page.locator('[data-tried="ok"]')).to_have_count(3)
        assert endpoint.bodies[-3]["messages"][0]["role"] == "system"
        page.get_by_role("button", name=launch).click()
        expect(page.locator("#status")).to_contain_text(completed, timeout=30_000)
        page.get_by_role("button", name=export).click()
        with page.expect_download() as download:
            page.get_by_role("link", name="CSV", exact=True).first.click()
    path = tmp_path / "out.csv"
    download.value.save_as(path)
    names, *rows = csv.reader(io.StringIO(path.read_text("utf-8-sig"), newline=""))
    assert names[:4] == [*ROWS[0], "content"]
    assert [row[:4] for row in rows] == [[*row, "fine"] for row in ROWS[1:]]
    assert sorted(row[names.index("custom_id")] for row in rows) == sorted(
        row[0] for row in ROWS[1:]
    )
