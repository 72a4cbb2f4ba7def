"""A table from end to end in a real browser: CSV → workbench → run → launch → CSV with answers, and
the same from XLSX to XLSX."""

import csv
import io

import openpyxl
import pytest
from playwright.sync_api import expect

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from ..intake.workbooks import by_openpyxl
from .helpers import add_config, both_languages, expect_status
from .test_access import violations

ROWS = [
    [
        "编号",
        "Customer Name",
        "question",
        "客户希望尽快得到答复这个产品的质量很好我非常喜欢推荐给大家购买",
    ],
    *([str(n), f"Ann {n}", f"Why {n}?", "x"] for n in range(1, 41)),
]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "客户.csv"
    file = io.StringIO()
    csv.writer(file, delimiter=";").writerows(ROWS)
    path.write_bytes(file.getvalue().encode("gb18030"))
    return path


@pytest.mark.parametrize(("language", "theme"), [("en", "dark"), ("zh", "light")])
def test_from_a_table_to_the_same_table_with_answers(page, t, table, tmp_path, theme):
    with MisbehavingEndpoint(e.ok()) as endpoint:
        add_config(page, t, endpoint.base_url)
        page.goto("/jobs/new")
        page.evaluate(f"localStorage.setItem('theme', '{theme}')")
        page.locator("#file").set_input_files(table)
        page.get_by_role("button", name=t("Continue")).click()
        page.wait_for_url("**/workbench")
        assert page.locator("html").get_attribute("data-bs-theme") == theme
        example = page.locator("#tries")
        expect(example).to_contain_text("Why 1?")
        expect(page.locator("main")).to_contain_text("GB18030")

        page.locator("#system").fill("You help .")
        page.keyboard.press("ArrowLeft")
        page.get_by_role("button", name="Customer Name").click()
        expect(page.locator("#system")).to_have_value("You help {{Customer Name}}.")
        expect(example).to_contain_text("You help Ann 1.")
        expect(example).to_contain_text("You help Ann 2.")
        page.locator("#user").fill("{{qestion}} now")
        expect(example).to_contain_text("“question”")
        assert violations(page) == []
        page.locator("#user").fill("{{question}} Now")
        expect(example).to_contain_text("Why 2? Now")
        page.locator("#more-parameters summary").click()
        page.locator("#custom_id").select_option("编号")
        page.locator("#count").fill("8")
        page.locator("#run").click()
        expect(page.locator(".try-cell[data-state=answered]")).to_have_count(8)
        assert endpoint.bodies[-8]["messages"][0]["role"] == "system"
        page.get_by_role("button", name=t.launch(40)).click()
        expect_status(page, "completed")
        page.locator("summary", has_text=t("Export")).click()
        with page.expect_download() as download:
            page.get_by_role("link", name="CSV", exact=True).first.click()
    path = tmp_path / "out.csv"
    download.value.save_as(path)
    names, *rows = csv.reader(io.StringIO(path.read_text("utf-8-sig"), newline=""))
    assert names[:5] == [*ROWS[0], "content"]
    assert [row[:5] for row in rows] == [[*row, "fine"] for row in ROWS[1:]]
    assert sorted(row[names.index("custom_id")] for row in rows) == sorted(
        row[0] for row in ROWS[1:]
    )


@both_languages
def test_from_a_workbook_to_the_same_workbook_with_answers(page, t, tmp_path):
    path = tmp_path / "客户.xlsx"
    sheets = {"三月": [["编号", "问题"], *([n, f"为什么 {n}？"] for n in range(1, 8))]}
    path.write_bytes(by_openpyxl([["q"], ["not this"]], "Notes", **sheets))
    with MisbehavingEndpoint(e.ok()) as endpoint:
        add_config(page, t, endpoint.base_url)
        page.goto("/jobs/new")
        page.locator("#file").set_input_files(path)
        page.get_by_role("button", name=t("Continue")).click()
        page.wait_for_url("**/workbench")
        example = page.locator("#tries")
        expect(example).to_contain_text("not this")
        page.get_by_label(t("Sheet"), exact=True).select_option("三月")
        page.get_by_role("button", name=t("Use this sheet")).click()
        expect(example).to_contain_text("为什么 1？")
        expect(page.locator("main")).to_contain_text(t("sheet “%(name)s”", name="三月"))
        expect(example).to_contain_text("为什么 2？")
        assert violations(page) == []
        page.get_by_role("button", name=t.launch(7)).click()
        expect_status(page, "completed")
        page.locator("summary", has_text=t("Export")).click()
        with page.expect_download() as download:
            page.get_by_role("link", name="XLSX (Excel)").first.click()
    out = tmp_path / "out.xlsx"
    download.value.save_as(out)
    names, *rows = openpyxl.load_workbook(out).active.iter_rows(values_only=True)
    assert names[:3] == ("编号", "问题", "content")
    assert [row[:3] for row in rows] == [(n, f"为什么 {n}？", "fine") for n in range(1, 8)]
