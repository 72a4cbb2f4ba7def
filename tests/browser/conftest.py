import gettext
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from ..process import ROOT, flask, served

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Chromium without the parts of a window: it takes two thirds of the CPU, and has no notifications
SHELL = "chromium-headless-shell"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
PATIENCE_MS = 60_000  # with a machine that is slow and busy
LOCALES = {"en": "en-US", "zh": "zh-CN"}
REPORT_VIOLATIONS = """addEventListener("securitypolicyviolation", (e) =>
    console.error(`policy: ${e.violatedDirective} ${e.blockedURI}`));"""
# a request of htmx that a click elsewhere ends, appears in the console
ABORTED = ("htmx:sendAbort", "htmx:afterRequest")
# so do requests that a test itself cuts off, pages that are not there or refused
EXPECTED = ("ERR_FAILED", *ABORTED, *(f"{status} (" for status in (401, 403, 404, 422)))

expect.set_options(timeout=PATIENCE_MS)


def installed_browser() -> str | None:
    """An installed Chromium or Chrome; None where only Playwright's own can be there."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    return MAC if found is None and Path(MAC).exists() else found


@pytest.fixture(scope="session")
def playwright():
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="session")
def browser(playwright):
    yield from _launched(playwright, shutil.which(SHELL) or installed_browser())


@pytest.fixture(scope="session")
def whole_browser(playwright):
    """A browser that also shows desktop notifications."""
    yield from _launched(playwright, installed_browser())


def _launched(playwright, program: str | None):
    running = playwright.chromium.launch(executable_path=program, args=FLAGS)
    yield running
    running.close()


@pytest.fixture
def server(instance):
    running = served(instance)
    yield running
    running.stop()


@pytest.fixture(scope="session")
def demo_server(tmp_path_factory):
    """A server with a finished job of 60 requests, some failed, and a held one of 60. The tests
    that share it change nothing."""
    instance = tmp_path_factory.mktemp("demo") / "instance"
    done = flask(instance, "demo", "--requests", "60", "--fail", "0.3")
    assert done.returncode in (0, 3), done.stderr
    held = ("create-job", "examples/questions.jsonl", "--config", "demo", "--no-start")
    assert flask(instance, *held, "--name", "held").returncode == 0
    running = served(instance)
    yield running
    running.stop()


@pytest.fixture
def language():
    """Tests in both languages are parametrised by it (helpers.both_languages)."""
    return "en"


@pytest.fixture
def t(language):
    return Words(language)


@pytest.fixture
def page(browser, server, language):
    """A page on a separate server; errors in its console fail the test."""
    with opened(browser, server.url, language) as page:
        yield page


@pytest.fixture
def notified_page(whole_browser, server, language):
    """As ``page``, in a browser that shows desktop notifications."""
    with opened(whole_browser, server.url, language) as page:
        yield page


@pytest.fixture
def demo(browser, demo_server, language):
    """A page on the shared server; job 1 has run, job 2 is held."""
    with opened(browser, demo_server.url, language) as page:
        yield page


class Words:
    """Translates English texts of the pages with the catalogue that the pages use."""

    def __init__(self, language: str):
        folder = ROOT / "simple_batch" / "core" / "translations"
        self._catalogue = gettext.translation(
            "messages", folder, [language], fallback=language == "en"
        )

    def __call__(self, text: str, **values) -> str:
        found = self._catalogue.gettext(text)
        return found % values if values else found

    def plural(self, one: str, many: str, num: int) -> str:
        shown = f"{num:,}"
        return self._catalogue.ngettext(one, many, num) % {"num": shown, "n": shown}

    def launch(self, num: int) -> str:
        """The button that launches a job with that number of requests."""
        return self.plural("Launch (%(n)s request)", "Launch (%(n)s requests)", num)


@contextmanager
def opened(browser, base_url: str, language: str = "en", **options):
    """A page in a browser in that language. Errors and violations of the security policy in its
    console fail the test."""
    context = browser.new_context(
        base_url=base_url,
        locale=LOCALES[language],
        viewport={"width": 1280, "height": 900},
        **options,
    )
    context.add_init_script(REPORT_VIOLATIONS)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    troubles = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda message: message.type == "error" and troubles.append(message.text))
    question = page.locator("#confirm[open]")
    page.add_locator_handler(question, lambda: question.locator("[value=yes]").click())
    yield page
    context.close()
    assert [message for message in troubles if not any(part in message for part in EXPECTED)] == []
