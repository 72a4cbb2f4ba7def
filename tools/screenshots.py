"""Takes the screenshots of README and docs: python -m tools.screenshots

Runs the demo on a fresh instance, and opens each page in both languages, one while the job runs,
the others after its end.
"""

import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from tests.browser.conftest import FLAGS, LOCALES, installed_browser
from tests.process import ROOT, run_py

IMAGES = ROOT / "docs" / "images"
SIZE = {"width": 1280, "height": 700}
RUNNING_S = 0.5  # 640 questions, as in the demo, take a few seconds
# name: address, and how many pixels of the page
AT_THE_END = {
    "charts": ("/jobs/1/charts", 965),
    "requests": ("/jobs/1/requests?sort=-latency&per=25", 640),
    "errors": ("/jobs/1/errors", 600),
}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = run_py(Path(folder), "--demo")
        try:
            browser = playwright.chromium.launch(executable_path=installed_browser(), args=FLAGS)
            pages = {language: _page(browser, server.url, language) for language in LOCALES}
            pages["en"].wait_for_timeout(RUNNING_S * 1000)
            for language, page in pages.items():
                _take(page, "job", language, SIZE["height"])
            expect(pages["en"].locator("#status [data-status=completed]")).to_be_visible(
                timeout=60_000
            )
            for language, page in pages.items():
                for name, (address, height) in AT_THE_END.items():
                    page.goto(address)
                    page.wait_for_timeout(800)
                    _take(page, name, language, height)
            browser.close()
        finally:
            server.stop()


def _page(browser, base_url: str, language: str) -> Page:
    page = browser.new_page(
        base_url=base_url, locale=LOCALES[language], timezone_id="Etc/UTC", viewport=SIZE
    )
    page.goto("/jobs/1")
    return page


def _take(page: Page, name: str, language: str, height: int) -> None:
    suffix = "" if language == "en" else f"-{language}"
    clip = {"x": 0, "y": 0, "width": SIZE["width"], "height": height}
    page.screenshot(path=IMAGES / f"{name}{suffix}.png", clip=clip, full_page=True)


if __name__ == "__main__":
    main()
