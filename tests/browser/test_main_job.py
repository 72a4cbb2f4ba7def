"""The whole main job in a real browser: config → upload → live progress → a bucket → one request →
export."""

import json
import re

from gevent.event import Event
from playwright.sync_api import expect

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from .helpers import (
    add_config,
    both_languages,
    click_middle,
    expect_status,
    fill_config,
    launch,
    wait_for_address,
)

SCRIPT = [*[e.slow(0.05)] * 30, e.error(400, "this one is bad"), *[e.slow(0.05)] * 10, e.slow(0.02)]


@both_languages
def test_the_main_job(page, t, questions, tmp_path):
    with MisbehavingEndpoint(e.ok(), *SCRIPT) as endpoint:
        fill_config(page, t, endpoint.base_url)
        page.get_by_role("button", name=t("Test connection")).click()
        expect(page.locator("#config-result")).to_contain_text("m-1")
        page.get_by_role("button", name=t("Save")).click()
        expect(page.get_by_text("••••6789")).to_be_visible()

        page.get_by_role("link", name=t("New job")).click()
        page.locator("#file").set_input_files(questions(200))
        page.get_by_role("button", name=t("Continue")).click()
        many = t.plural("%(num)s row", "%(num)s rows", 200)
        expect(page.locator("#figures")).to_contain_text(many)
        page.get_by_label(t("Name"), exact=True).fill("a first job")
        page.get_by_role("button", name=t.launch(200)).click()

        expect(page.locator("#feed")).to_have_text(f"● {t('live')}")
        expect(page.locator("#status")).to_contain_text(t("running"))
        done = page.locator('[data-live="done"]')
        expect(done).not_to_have_text("0")
        expect(page.locator("#tail tr").first).to_be_visible()
        # it was not there when the page was loaded
        retry = page.get_by_role("button", name=t("Retry failed (%(n)s)", n=1))
        expect(retry).to_be_visible()
        expect_status(page, "completed")
        expect(done).to_have_text("200")
        expect(page.locator('[data-count="succeeded"]')).to_have_text("199")
        expect(retry).to_be_visible()
        expect(page.locator('[data-live="cost"]')).to_contain_text("$0.00")

        page.get_by_role("link", name=t("Charts")).click()
        click_middle(page, "outcomes")
        expect(page.locator("#bucket-requests #requests tbody tr").first).to_be_visible()
        wait_for_address(page, "#bucket=")
        page.get_by_role("group", name=t("Which requests")).get_by_role(
            "button", name=t("succeeded")
        ).click()
        expect(page.locator('#bucket-requests [data-status="failed"]')).to_have_count(0)
        page.locator("#bucket-requests #requests tbody a").first.click()
        expect(page.get_by_text(t("in this filter"))).to_be_visible()
        expect(page.locator("#answer")).to_have_text("fine")

        page.locator(".tile.succeeded").click()  # a bucket may hold a single request
        expect(page.locator("#requests tbody tr").nth(1)).to_be_visible()
        page.locator("#requests tbody a").first.click()
        page.wait_for_url("**/requests/*")  # loaded: keys are listened to
        before = page.url
        page.keyboard.press("j")
        page.wait_for_url(lambda url: url != before)

        page.locator(".tile.failed").click()
        expect(page.locator("#requests tbody tr")).to_have_count(1)
        page.locator("#requests tbody a").first.click()
        expect(page.get_by_text("this one is bad").first).to_be_visible()
        page.get_by_role("button", name=t("Retry this one")).click()
        expect(page.locator('[data-count="succeeded"]')).to_have_text("200")
        assert export(page, t, tmp_path) == ["succeeded"] * 200


def export(page, t, folder) -> list[str]:
    """The statuses in a JSONL export, taken from the menu."""
    page.locator("summary", has_text=t("Export")).click()
    with page.expect_download() as download:
        page.get_by_role("link", name="JSONL", exact=True).first.click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    assert path.name == "a first job-1.jsonl"
    assert "planted" not in path.read_text()
    return [json.loads(line)["status"] for line in path.read_text().splitlines()]


def test_polling_when_the_socket_is_gone(page, t, questions):
    page.route(re.compile(r"/socket\.io/\?"), lambda route: route.abort())
    page.route_web_socket(re.compile(r"/socket\.io/\?"), lambda socket: None)  # silence
    with MisbehavingEndpoint(e.slow(0.05)) as endpoint:
        add_config(page, t, endpoint.base_url)
        launch(page, t, questions(150))
        expect(page.locator("#feed")).to_have_text("○ polling")
        expect_status(page, "completed")
        expect(page.locator("#throughput canvas")).to_be_visible()


def test_the_badge_follows_the_socket(demo):
    sockets = []

    def first_only(socket):
        if not sockets:
            socket.connect_to_server()
        sockets.append(socket)

    demo.route_web_socket(re.compile(r"/socket\.io/\?"), first_only)
    demo.goto("/jobs")
    badge = demo.locator("#feed")
    expect(badge).to_have_text("● live")
    sockets[0].close()
    expect(badge).to_have_text("○ reconnecting")
    expect(badge).to_have_text("○ polling")


def test_drop_a_file(page):
    page.goto("/jobs/new")
    transfer = page.evaluate_handle(
        """() => { const t = new DataTransfer();
        t.items.add(new File(['{"messages":[{"role":"user","content":"dropped"}]}'], 'd.jsonl')); return t; }"""
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})
    expect(page.get_by_text("dropped")).to_be_visible()


@both_languages
def test_an_open_page_follows_a_job_that_begins_fails_and_ends(page, t, questions):
    gates = [Event() for _ in range(4)]

    def behind(gate, answer):
        def held(connection):
            gate.wait()
            connection.sendall(answer)

        return held

    answers = e.error(400), e.ok(), e.ok(), e.ok()
    with MisbehavingEndpoint(e.ok(), *map(behind, gates, answers)) as endpoint:
        add_config(page, t, endpoint.base_url)
        launch(page, t, questions(5), held=True)
        running = page.locator(".main-links [data-running]")
        retry = page.get_by_role("button", name=t("Retry failed (%(n)s)", n="1"))
        succeeded = page.locator(".tile.succeeded .tile-count")
        expect(running).to_be_hidden()
        other = page.context.new_page()
        other.goto(page.url)
        other.get_by_role("button", name=t("Resume")).click()
        expect(running).to_have_text(t("%(n)s running", n="1"))
        expect(retry).to_be_hidden()
        # a failure counts once another request has succeeded after it
        for done, gate in enumerate(gates[:3], start=1):
            gate.set()
            expect(succeeded).to_have_text(str(done))
        expect(retry).to_be_visible()
        gates[3].set()
        expect_status(page, "completed")
        expect(running).to_be_hidden()
        expect(retry).to_be_visible()
