import shutil
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from ..process import run_py

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"


@pytest.fixture(scope="session")
def browser():
    """An installed Chromium or Chrome, else Playwright's own."""
    installed = next((path for name in NAMES if (path := shutil.which(name))), None)
    if installed is None and Path(MAC).exists():
        installed = MAC
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=installed, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def server(instance):
    running = run_py(instance)
    yield running
    running.stop()


@pytest.fixture
def page(browser, server):
    """A page on the server; errors in its console fail the test."""
    context = browser.new_context(
        base_url=server.url, locale="en-US", viewport={"width": 1280, "height": 900}
    )
    page = context.new_page()
    page.set_default_timeout(15_000)
    troubles = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    # requests that a test itself cuts off are told in the console too
    page.on(
        "console",
        lambda said: (
            said.type == "error"
            and not any(part in said.text for part in ("ERR_FAILED", "404 (NOT FOUND)"))
            and troubles.append(said.text)
        ),
    )
    page.on("dialog", lambda dialog: dialog.accept())
    yield page
    context.close()
    assert troubles == []
