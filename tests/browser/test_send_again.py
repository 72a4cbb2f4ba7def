"""*Edit and send again* in a browser: a mistake, its correction, and the new answer, live."""

import json
import re

from gevent.event import Event
from playwright.sync_api import expect

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from .helpers import add_config, expect_status, launch
from .test_access import violations


def test_a_mistake_its_correction_and_the_answer(page, t, questions):
    asked_again = Event()

    def answer(connection):
        asked_again.wait()
        connection.sendall(e.says("a better answer"))

    with MisbehavingEndpoint(e.error(400, "not this way"), answer) as endpoint:
        add_config(page, t, endpoint.base_url)
        launch(page, t, questions(1))
        expect_status(page, "completed")
        page.locator(".tile.failed").click()
        page.locator("#requests tbody a").first.click()
        page.get_by_text(t("Edit and send again")).click()
        editor = page.locator("#edit-body")
        right = editor.input_value()
        asked = page.url

        # while it is typed
        wrong = right.replace('"role"', 'role"', 1)
        editor.fill(wrong)
        at = wrong.index('role"')
        line = wrong[:at].count("\n") + 1
        column = at - wrong.rfind("\n", 0, at)
        check = page.locator("#edit-check")
        expect(check).to_have_text(re.compile(rf"line {line}, column \d+"))
        editor.fill(right)
        expect(check).to_have_text("")

        # sent with the mistake
        editor.fill(wrong)
        page.get_by_role("button", name=t("Send again")).click()
        fault = page.locator("#edit-fault")
        expect(fault).to_contain_text(f"Line {line}, column {column}:")
        expect(fault.locator("mark")).to_have_text("r")
        expect(editor).to_be_visible()
        expect(editor).to_be_focused()
        assert editor.input_value() == wrong
        assert editor.evaluate("field => [field.selectionStart, field.selectionEnd]") == [
            at,
            at + 1,
        ]
        assert endpoint.calls == 1
        assert violations(page) == []

        body = json.loads(right)
        body["messages"][0]["content"] = "asked better"
        editor.fill(json.dumps(body, indent=2))
        page.get_by_role("button", name=t("Send again")).click()
        expect(page.locator("#facts-part")).not_to_have_attribute("data-request-status", "failed")
        assert page.url == asked  # with its filter
        page.evaluate("window.untouched = true")
        # sent, and answered, without being loaded again
        expect(page.locator('#facts-part[data-request-status="in_flight"]')).to_be_visible()
        asked_again.set()
        expect(page.locator('#facts-part[data-request-status="succeeded"]')).to_be_visible()
        expect(page.locator("#answer")).to_have_text("a better answer")
        expect(page.locator("#attempts-part ol li.succeeded")).to_have_count(1)
        expect(page.locator("#attempts-part ol li.failed")).to_have_count(1)
        expect(page.locator("#request-news")).to_have_text(t("succeeded"))
        expect(page.get_by_role("button", name=t("Copy the answer"))).to_be_visible()
        assert page.evaluate("window.untouched")
        assert endpoint.bodies[-1]["messages"][0]["content"] == "asked better"
        page.get_by_text(t("Edit and send again")).click()  # it is there again
        expect(editor).to_be_visible()


def test_a_deleted_job_comes_back(page, t, questions):
    with MisbehavingEndpoint(e.ok()) as endpoint:
        add_config(page, t, endpoint.base_url)
        launch(page, t, questions(2), name="precious")
        expect_status(page, "completed")
        page.get_by_role("button", name=t("Delete"), exact=True).click()
        expect(page.get_by_text(t("Deleted “%(name)s”.", name="precious"))).to_be_visible()
        expect(page.get_by_role("link", name="precious")).to_have_count(0)
        assert violations(page) == []
        page.get_by_role("button", name=t("Undo")).click()
        page.get_by_role("link", name="precious").click()
        expect(page.locator('[data-count="succeeded"]')).to_have_text("2")
        # and by way of the bin
        page.get_by_role("button", name=t("Delete"), exact=True).click()
        page.locator("#bin-link").click()
        expect(page.locator("#bin tbody tr")).to_have_count(1)
        assert violations(page) == []
        page.get_by_role("button", name=t("Restore %(name)s", name="precious")).click()
        expect(page.get_by_text(t("The bin is empty."))).to_be_visible()
        page.goto("/jobs/1")
        expect(page.locator('[data-count="succeeded"]')).to_have_text("2")
