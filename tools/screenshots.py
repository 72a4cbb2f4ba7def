"""Takes the screenshots of README and docs: python -m tools.screenshots

Runs the demo on fresh instances, and opens the pages of its job, one while it runs, the others
after its end. Then, on another instance, a table of reviews goes from the workbench to its results.
The ratings need a font with emoji, such as Debian's fonts-noto-color-emoji.
"""

import re
import tempfile
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.conftest import FLAGS, LOCALES, Words, installed_browser
from tests.process import ROOT, run_py
from tools import screenshot_reviews as reviews

IMAGES = ROOT / "docs" / "images"
SIZE = {"width": 1280, "height": 700}
PATIENCE_MS = 120_000  # with a machine that is slow and busy
DRAWN_MS = 300  # until the bars of a chart have grown
SETTLED_MS = 800  # the same of several charts
# name: address, the last element in the picture, and the languages of the documents that show it
AT_THE_END = {
    "charts": ("/jobs/1/charts", ".chart >> nth=3", ("en", "zh")),
    "requests": ("/jobs/1/requests?sort=-latency&per=25", "#requests tbody tr >> nth=4", ("en",)),
    "errors": ("/jobs/1/errors", ".table-sm tbody tr >> nth=1", ("en",)),
}
# some columns, one of them narrower, because all at once are wider than the window
COLUMNS = ("col.product", "col.review", *(f"field.{name}" for name in reviews.FIELDS), "rating")
RESULTS = "/jobs/1/results?" + urlencode({"cols": COLUMNS, "w": "col.review:335"}, doseq=True)
RATINGS = {1: "+", 2: "+", 3: "+", 5: "-", 7: "+", 8: "+"}  # row: key; the topic of row 5 is wrong


def main() -> None:
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=installed_browser(), args=FLAGS)
        for language in LOCALES:
            _take_demo(browser, language)
        _take_reviews(browser)
        browser.close()


def _take_demo(browser: Browser, language: str) -> None:
    """Each language has its own run, because a run takes five seconds, and its page asks for the errors
    and the chart only every two."""
    with tempfile.TemporaryDirectory() as folder:
        server = run_py(Path(folder), "--demo")
        try:
            server.wait_for_line("Watch it live")
            page = _page(browser, server.url, language)
            page.goto("/jobs/1")
            expect(page.locator("#groups > .groups a").first).to_be_visible()
            _take(page, "job", language, settled_ms=DRAWN_MS)
            _expect_end(page)
            for name, (address, last, languages) in AT_THE_END.items():
                if language in languages:
                    page.goto(address)
                    _take(page, name, language, last)
        finally:
            server.stop()


def _take_reviews(browser: Browser) -> None:
    with tempfile.TemporaryDirectory() as folder, reviews.ReviewEndpoint() as endpoint:
        server = run_py(Path(folder, "instance"))
        table = Path(folder, "reviews.csv")
        reviews.write_table(table)
        try:
            pages = {language: _page(browser, server.url, language) for language in LOCALES}
            _add_connection(pages["en"], endpoint.base_url)
            _try_prompt(pages["en"], "en", table)
            _launch_and_rate(pages["en"])
            for language, page in pages.items():
                page.goto(RESULTS)
                _take(page, "results", language)
                # after a job the estimate knows how fast the connection is
                _try_prompt(page, language, table)
                _take(page, "workbench", language)
        finally:
            server.stop()


def _page(browser: Browser, base_url: str, language: str) -> Page:
    page = browser.new_page(
        base_url=base_url, locale=LOCALES[language], timezone_id="Etc/UTC", viewport=SIZE
    )
    page.set_default_timeout(PATIENCE_MS)
    return page


def _add_connection(page: Page, base_url: str) -> None:
    page.goto("/configs/new?form=full")
    fields = {"alias": reviews.ALIAS, "base_url": base_url, "model": reviews.MODEL}
    for name, value in {**fields, "key": "sk-0123456789"}.items():
        page.locator(f"#{name}").fill(value)
    page.locator("summary", has_text="Advanced").click()
    for name, price in zip(("input_price", "output_price"), reviews.PRICES, strict=True):
        page.locator(f"#{name}").fill(price)
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/configs")


def _try_prompt(page: Page, language: str, table: Path) -> None:
    """Bring a table to the workbench, write the prompt and send the sample rows."""
    page.goto("/jobs/new")
    page.locator("#file").set_input_files(table)
    page.get_by_role("button", name=Words(language)("Continue")).click()
    page.wait_for_url("**/workbench")
    system, user = reviews.PROMPTS[language]
    for name, text in {"system": system, "user": user, "schema": reviews.SCHEMA}.items():
        page.locator(f"#{name}").fill(text)
    page.locator("#run").click()
    expect(page.locator(".try-cell[data-state=answered]")).to_have_count(5)
    expect(page.locator("#draft-status [data-when=saved]")).to_be_visible()
    page.goto(page.url)  # at its top, and without the notice that the draft is saved


def _launch_and_rate(page: Page) -> None:
    """A job of all rows; some of its answers are rated by keys, as its user does."""
    page.locator("#launch").click()
    page.wait_for_url("**/jobs/1**")
    _expect_end(page)
    page.goto("/jobs/1/results")
    for number, key in RATINGS.items():
        page.locator("#results tbody tr").nth(number - 1).press("Enter")
        expect(page.locator("#drawer-title")).to_have_text(f"Request {number}")
        expect(page.locator("#rating[data-scored='']")).to_be_visible()
        with page.expect_response(re.compile(r"/rating$")):
            page.keyboard.press(key)
        expect(page.locator("#drawer-rating [aria-pressed=true]")).to_be_visible()
        page.keyboard.press("Escape")


def _expect_end(page: Page) -> None:
    """The demo ends with failures: its endpoint refuses some questions."""
    expect(page.locator("#status [data-status^=completed]")).to_be_visible()


def _take(
    page: Page, name: str, language: str, last: str = "", settled_ms: int = SETTLED_MS
) -> None:
    """Take as much of the page as a window shows, or all down to the ``last`` element."""
    page.wait_for_timeout(settled_ms)
    box = page.locator(last).bounding_box() if last else None
    height = round(box["y"] + box["height"]) if box else SIZE["height"]
    clip = {"x": 0, "y": 0, "width": SIZE["width"], "height": height}
    suffix = "" if language == "en" else f"-{language}"
    page.screenshot(path=IMAGES / f"{name}{suffix}.png", clip=clip, full_page=True)


if __name__ == "__main__":
    main()
