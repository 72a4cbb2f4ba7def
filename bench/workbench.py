"""Measures in Chromium how long after the last key the workbench shows the rendered sample rows, while another
job runs: python -m bench.workbench URL KEYS → JSON."""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from .grid import RUNNING
from .processes import ROOT, endpoint, program

TARGETS = {"preview_ms": 100}
SAMPLES = (5, 20)  # rows that are rendered; 20 is the most
TABLE_ROWS = 10_000
SIZE = {"width": 1280, "height": 800}

# ms from the next letter typed into the user message to the frame after the sample rows show it.
_PREVIEW = """() => {
  window.previewed = new Promise((done) => {
    let typed = 0;
    document.getElementById("user").addEventListener("input", () => { typed = performance.now(); }, { once: true });
    const seen = new MutationObserver(() => {
      seen.disconnect();
      requestAnimationFrame(() => setTimeout(() => done(performance.now() - typed)));
    });
    seen.observe(document.getElementById("tries").parentElement, { childList: true, subtree: true });
  });
}"""


def workbench(running: int, keys: int) -> dict:
    """The median and the slowest of ``keys`` keys, in ms, for each size of the sample, while ``running`` requests
    of another job are sent."""
    with (
        tempfile.TemporaryDirectory() as folder,
        endpoint() as base_url,
        program(folder, base_url, running, RUNNING) as (_process, port, _job_id),
    ):
        url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "bench.workbench", url, str(keys)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return {"rows": TABLE_ROWS, "targets": TARGETS, "samples": json.loads(done.stdout)}


def _measured(url: str, keys: int) -> list[dict]:
    from playwright.sync_api import sync_playwright

    from tests.browser.conftest import FLAGS, installed_browser

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=installed_browser(), args=FLAGS)
        page = browser.new_page(base_url=url, viewport=SIZE, locale="en-US")
        page.goto("/jobs/new")
        page.locator("#file").set_input_files(_table(Path(folder)))
        page.get_by_role("button", name="Continue").click()
        page.wait_for_url("**/workbench")
        page.locator("#user").fill("Sort this review: {{ review }} ")
        found = [_previews(page, rows, keys) for rows in SAMPLES]
        browser.close()
    return found


def _previews(page, rows: int, keys: int) -> dict:
    with page.expect_response("**/workbench/preview"):
        page.locator("#count").fill(str(rows))
    page.locator("#tries .try-cell, #tries [id^=prompt-]").nth(rows - 1).wait_for()
    page.locator("#user").press("End")
    times = []
    for _ in range(keys):
        page.evaluate(_PREVIEW)
        page.keyboard.press("x")
        times.append(page.evaluate("() => window.previewed"))
    return {"rows": rows, "preview_ms": statistics.median(times), "slowest_ms": max(times)}


def _table(folder: Path) -> Path:
    path = folder / "reviews.csv"
    lines = (
        f"{at},It works and does what it says. Number {at} of many.\n" for at in range(TABLE_ROWS)
    )
    path.write_text("id,review\n" + "".join(lines))
    return path


if __name__ == "__main__":
    print(json.dumps(_measured(sys.argv[1], int(sys.argv[2]))))
