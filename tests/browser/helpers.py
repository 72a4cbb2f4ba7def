"""Steps that several flows have in common, in the language of the page."""

import pytest
from playwright.sync_api import expect

both_languages = pytest.mark.parametrize("language", ["en", "zh"])


def fill_config(page, t, base_url: str, alias: str = "test") -> None:
    page.goto("/configs/new?form=full")
    page.get_by_label(t("Name"), exact=True).fill(alias)
    page.get_by_label(t("Base URL")).fill(base_url)
    page.get_by_label(t("API key")).fill("sk-planted-0123456789")
    page.get_by_label(t("Model"), exact=True).fill("m")
    page.locator("summary", has_text=t("Advanced")).click()
    page.get_by_label(t("Max concurrency (empty: automatic)")).fill("4")
    page.get_by_label(t("Input price per million"), exact=True).fill("0.5")
    page.get_by_label(t("Output price per million")).fill("1.5")


def save(page, t) -> None:
    page.get_by_role("button", name=t("Save")).click()
    page.wait_for_url("**/configs")


def add_config(page, t, base_url: str, alias: str = "test") -> None:
    fill_config(page, t, base_url, alias)
    save(page, t)


def launch(page, t, path, name: str = "n", held: bool = False, **fields: str) -> None:
    """A job of the lines in a file, by way of the pages; ``fields`` by their ids. It starts, or is ``held``."""
    page.goto("/jobs/new")
    page.locator("#file").set_input_files(path)
    page.get_by_role("button", name=t("Continue")).click()
    page.get_by_label(t("Name"), exact=True).fill(name)
    for field, value in fields.items():
        page.locator(f"#{field}").fill(value)
    page.locator("[name=hold]" if held else "#launch").click()
    page.wait_for_url("**/jobs/*")


def expect_status(page, status: str) -> None:
    """The badge in the head of a job's page."""
    expect(page.locator(f"#status [data-status={status}]")).to_be_visible()


def drag(page, chart: str, start: float, end: float) -> None:
    """From one part of a chart's width to another."""
    canvas = page.locator(f"#chart-{chart} canvas").first
    canvas.hover()  # once it stands still
    box = canvas.bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * start, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * end, y, steps=5)
    page.mouse.up()


def click_middle(page, chart: str) -> None:
    page.locator(f"#chart-{chart} canvas").first.click()  # once it stands still


def wait_for_address(page, part: str, there: bool = True) -> None:
    """Wait until the address holds this part, or no longer holds it: scripts change it after the page."""
    page.wait_for_url(lambda address: (part in address) is there)
