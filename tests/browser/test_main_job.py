"""The whole main job in a real browser: config → upload → live progress → a bucket → one request →
export; languages, themes and accessibility on the way."""

import json
import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
SCRIPT = [*[e.slow(0.05)] * 30, e.error(400, "this one is bad"), *[e.slow(0.05)] * 10, e.slow(0.02)]


def add_config(page, base_url):
    page.goto("/configs")
    page.get_by_role("link", name="New API config").first.click()
    page.get_by_label("Alias").fill("test")
    page.get_by_label("Base URL").fill(base_url)
    page.get_by_label("API key").fill("sk-planted-0123456789")
    page.get_by_label("Model", exact=True).fill("m")
    page.get_by_label("Concurrency").fill("4")
    page.get_by_label("Input price").fill("0.5")
    page.get_by_label("Output price").fill("1.5")


def test_the_main_job(page, questions, tmp_path):
    with MisbehavingEndpoint(e.ok(), *SCRIPT) as endpoint:
        add_config(page, endpoint.base_url)
        page.get_by_role("button", name="Test connection").click()
        expect(page.locator("#config-result")).to_contain_text("m-1 answered.")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("••••6789")).to_be_visible()

        page.get_by_role("link", name="New job").click()
        page.locator("#file").set_input_files(questions(200))
        page.get_by_role("button", name="Continue").click()
        expect(page.get_by_text("200 requests")).to_be_visible()
        page.get_by_label("Name").fill("a first job")
        page.get_by_role("button", name="Launch 200").click()

        expect(page.locator("#feed")).to_have_text("● live")
        expect(page.locator("#status")).to_contain_text("running")
        done = page.locator('[data-live="done"]')
        expect(done).not_to_have_text("0")
        expect(page.locator("#tail tr").first).to_be_visible()
        expect(page.locator("#status")).to_contain_text("completed", timeout=30_000)
        expect(done).to_have_text("200")
        expect(page.locator('[data-count="succeeded"]')).to_have_text("199")
        expect(page.get_by_role("button", name="Retry failed 1")).to_be_visible()
        expect(page.locator('[data-live="cost"]')).to_contain_text("$0.00")

        page.get_by_role("link", name="Charts").click()
        chart = page.locator("#chart-outcomes canvas")
        expect(chart).to_be_visible()
        box = chart.bounding_box()
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        expect(page.locator("#bucket-requests #requests tbody tr").first).to_be_visible()
        assert "#bucket=" in page.url
        page.get_by_role("group", name="Which requests").get_by_role(
            "button", name="succeeded"
        ).click()
        expect(page.locator('#bucket-requests [data-status="failed"]')).to_have_count(0)
        page.locator("#bucket-requests #requests tbody a").first.click()
        expect(page.get_by_text("in this filter")).to_be_visible()
        expect(page.locator("#answer")).to_have_text("fine")
        before = page.url
        page.keyboard.press("j")
        page.wait_for_url(lambda url: url != before)

        page.locator(".tile.failed").click()
        expect(page.locator("#requests tbody tr")).to_have_count(1)
        page.locator("#requests tbody a").first.click()
        expect(page.get_by_text("this one is bad").first).to_be_visible()
        page.get_by_role("button", name="Retry this one").click()
        expect(page.locator('[data-count="succeeded"]')).to_have_text("200", timeout=20_000)

        page.get_by_role("button", name="Export").click()
        with page.expect_download() as download:
            page.get_by_role("link", name="JSONL", exact=True).first.click()
        path = tmp_path / download.value.suggested_filename
        download.value.save_as(path)
        assert path.name == "a first job-1.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        assert [row["status"] for row in rows] == ["succeeded"] * 200
        assert "planted" not in path.read_text()


def test_polling_when_the_socket_is_gone(page, questions):
    page.route(re.compile(r"/socket\.io/\?"), lambda route: route.abort())
    page.route_web_socket(re.compile(r"/socket\.io/\?"), lambda socket: None)  # silence
    with MisbehavingEndpoint(e.slow(0.05)) as endpoint:
        add_config(page, endpoint.base_url)
        page.get_by_role("button", name="Save").click()
        page.goto("/jobs/new")
        page.locator("#file").set_input_files(questions(150))
        page.get_by_role("button", name="Continue").click()
        page.get_by_role("button", name="Launch 150").click()
        expect(page.locator("#feed")).to_have_text("○ polling", timeout=15_000)
        expect(page.locator("#status")).to_contain_text("completed", timeout=30_000)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_breaks_accessibility_in_any_language_or_theme(
    page, server, instance, language, theme
):
    from ..process import flask

    done = flask(instance, "demo", "--requests", "40", "--fail", "0.4")
    assert done.returncode in (0, 3), done.stderr
    wait = page.locator("main")
    page.goto(f"/jobs?lang={language}")
    page.evaluate(f"localStorage.setItem('theme', '{theme}')")
    for path in (
        *("/jobs", "/jobs/new", "/configs", "/configs/new", "/jobs/1", "/jobs/1/requests"),
        *("/jobs/1/requests/0", "/jobs/1/errors", "/jobs/1/charts", "/jobs/1/events"),
        *("/jobs/1/settings", "/compare?a=1&b=1", "/compare", "/jobs/1/requests?q=nothing"),
        "/access",
        "/nowhere",
    ):
        page.goto(path)
        expect(wait).to_be_visible()
        assert page.locator("html").get_attribute("data-bs-theme") == theme
        results = Axe().run(page, options={"runOnly": RULES})
        found = [
            (path, violation["id"], violation["nodes"][0]["html"][:200])
            for violation in results.response["violations"]
        ]
        assert found == []


def test_drop_a_file(page, server):
    page.goto("/jobs/new")
    transfer = page.evaluate_handle(
        """() => { const t = new DataTransfer();
        t.items.add(new File(['{"messages":[{"role":"user","content":"dropped"}]}'], 'd.jsonl')); return t; }"""
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})
    expect(page.get_by_text("dropped")).to_be_visible()
