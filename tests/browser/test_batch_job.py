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


BATCH = '[data-service="batch"]'
PLAIN = "plain (gpt-4.1-mini)"
MAIN = "main (gpt-4.1-mini)"


def chosen_before_the_scripts(page, connection) -> None:
    """What is chosen and typed while a script is still loading counts too."""
    held: list = []
    page.route("**/htmx.min.js*", lambda route: held.append(route))
    page.reload(wait_until="commit")
    while not held:
        page.wait_for_timeout(20)
    offered = page.locator(BATCH).count()  # depends on the connection in the draft
    connection.select_option(label=PLAIN if offered else MAIN)
    page.locator("#tags").fill("early")
    held[0].continue_()
    page.unroute("**/htmx.min.js*")
    expect(page.locator(BATCH)).to_have_count(1 - offered)
    expect(page.locator("#draft-status [data-when=saved]")).to_be_visible()
    page.reload()
    expect(page.locator("#tags")).to_have_value("early")


def picked_while_an_answer_is_under_way(page, connection, batch) -> None:
    """The connection is chosen again and its answer comes after the next click: the click stays."""
    connection.select_option(label=MAIN)
    expect(page.locator(BATCH)).to_have_count(1)
    held: list = []
    page.route("**/workbench/estimate", lambda route: held.append(route))
    connection.select_option(label=MAIN)
    while not held:
        page.wait_for_timeout(20)
    batch.check()
    with page.expect_response("**/workbench/estimate"):
        held[0].continue_()
    page.unroute("**/workbench/estimate")


@both_languages
def test_from_the_launch_to_merged_results(page, t, questions, provider):
    page.goto("/jobs/new")
    page.locator("#file").set_input_files(questions(COUNT))
    page.get_by_role("button", name=t("Continue")).click()
    batch = page.get_by_label(t("The provider's batch API"), exact=True)
    expect(page.locator(BATCH)).to_contain_text("$")
    batch.check()
    # another connection without a batch API, and back: what was picked stays as the page offers it
    connection = page.get_by_label(t("Connection"), exact=True)
    connection.select_option(label=PLAIN)
    expect(page.locator(BATCH)).to_have_count(0)
    expect(page.locator("#draft-status [data-when=saved]")).to_be_visible()
    chosen_before_the_scripts(page, connection)
    picked_while_an_answer_is_under_way(page, connection, batch)
    assert faults_of(page) == []
    page.get_by_role("button", name=t.launch(COUNT)).click()

    line = page.locator('[data-live="parts"]')
    expect(line).to_contain_text(t("%(n)s at the provider", n=2))
    expect(page.get_by_role("button", name=t("Send the rest now"))).to_be_visible()
    begun, held = [], []

    def hold_the_first(route):
        fetched = route.request.resource_type == "fetch"
        begun.extend([route] if fetched else [])
        if not fetched or begun[0] is not route:
            route.continue_()
        else:
            held.append((route, route.fetch()))

    page.route("**/parts", hold_the_first)
    page.get_by_role("link", name=t("Parts")).last.click()
    rows = page.locator("#parts [data-part]")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("batch_")
    assert faults_of(page) == []
    while not held:
        page.wait_for_timeout(20)
    provider.set(polls_to_finish=1)
    provider.finish()
    expect(page.locator('[data-count="succeeded"]')).to_have_text(str(COUNT))
    expect_status(page, "completed")
    # a slow answer does not replace what is newer
    route, response = held[0]
    route.fulfill(response=response)
    expect(page.locator('#parts [data-state="merged"]')).to_have_count(2)  # without a reload
    page.get_by_role("link", name=t("Overview")).click()
    expect(page.get_by_text(t("Saved by the provider's batch"))).to_be_visible()
