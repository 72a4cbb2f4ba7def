"""A job through a provider's batch API in a real browser: connection → launch → parts → merged results."""

import pytest
from playwright.sync_api import expect

from ..emulators.batch_process import RemoteProvider
from ..emulators.openai_batches import KEY
from ..process import flask, served
from .helpers import both_languages, expect_status
from .test_access import violations_in_both_themes, wider_than_the_window

COUNT = 30
FAST = {
    "SIMPLE_BATCH_BATCH_POLL_FIRST": "0.1",
    "SIMPLE_BATCH_BATCH_POLL_MAX": "0.5",
    "SIMPLE_BATCH_BATCH_PART_MAX_REQUESTS": "20",
}


@pytest.fixture
def provider():
    with RemoteProvider("openai", polls=0) as running:
        yield running


@pytest.fixture
def server(instance, provider):
    connect = ("--base-url", f"{provider.url}/v1", "--model", "gpt-4.1-mini", "--key-stdin")
    prices = ("--input-price", "2", "--output-price", "8", "--batch-discount", "0.5")
    made = flask(
        instance, "add-config", "main", *connect, *prices, "--batch-api", "openai", stdin=KEY
    )
    assert made.returncode == 0, made.stderr
    assert flask(instance, "add-config", "plain", *connect, stdin=KEY).returncode == 0
    running = served(instance, **FAST)
    yield running
    running.stop()


def faults_of(page) -> list:
    """What breaks accessibility, in both themes, and widths that the page does not fit."""
    found: list = violations_in_both_themes(page)
    return found + [width for width in (390, 768, 1024) if wider_than_the_window(page, width)]


@both_languages
def test_from_the_launch_to_merged_results(page, t, questions, provider):
    page.goto("/jobs/new")
    page.locator("#file").set_input_files(questions(COUNT))
    page.get_by_role("button", name=t("Continue")).click()
    batch = page.get_by_label(t("The provider's batch API"), exact=True)
    expect(page.locator('[data-service="batch"]')).to_contain_text("$")
    batch.check()
    # another connection without a batch API, and back: what was picked stays as the page offers it
    page.get_by_label(t("Connection"), exact=True).select_option(label="plain (gpt-4.1-mini)")
    expect(page.locator('[data-service="batch"]')).to_have_count(0)
    page.get_by_label(t("Connection"), exact=True).select_option(label="main (gpt-4.1-mini)")
    batch.check()
    assert faults_of(page) == []
    page.get_by_role("button", name=t.launch(COUNT)).click()

    line = page.locator('[data-live="parts"]')
    expect(line).to_contain_text(t("%(n)s at the provider", n=2))
    expect(page.get_by_role("button", name=t("Send the rest now"))).to_be_visible()
    page.get_by_role("link", name=t("Parts")).last.click()
    rows = page.locator("#parts [data-part]")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("batch_")
    assert faults_of(page) == []
    provider.set(polls_to_finish=1)
    provider.finish()
    expect_status(page, "completed")
    expect(page.locator('#parts [data-state="merged"]')).to_have_count(2)  # without a reload
    expect(page.locator('[data-count="succeeded"]')).to_have_text(str(COUNT))
    page.get_by_role("link", name=t("Overview")).click()
    expect(page.get_by_text(t("Saved by the provider's batch"))).to_be_visible()
