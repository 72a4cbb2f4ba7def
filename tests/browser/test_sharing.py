"""Two users and a job: private, shared for viewing, shared for editing."""

import re

import pytest
from playwright.sync_api import expect

from simple_batch.auth import users
from simple_batch.core import identity
from simple_batch.core.identity import Actor
from simple_batch.services import jobs
from simple_batch.store.database import connected

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from .conftest import opened
from .helpers import both_languages, expect_status
from .test_access import violations, wider_than_the_window
from .test_login import log_in

FOLLOW_THE_FEED = """() => {
    const feed = document.getElementById("feed");
    document.body.dataset.states = "";
    new MutationObserver(() => { document.body.dataset.states += feed.dataset.state + " "; })
        .observe(feed, { attributes: true, attributeFilter: ["data-state"] });
}"""


@pytest.fixture
def held(people, add_config, endpoint, make_job):
    """A job of Otto's that waits."""
    add_config(endpoint.base_url)
    with connected():
        identity.act_as(Actor("otto", user=people["otto"]))
        job_id = make_job(2, name="of otto", hold=True)
        identity.act_as(identity.CLI)
    return job_id


@both_languages
def test_a_job_is_shared_with_a_colleague_and_taken_back(held, browser, server, page, t, language):
    path = f"/jobs/{held}"
    with opened(browser, server.url, language) as other:
        other.goto(path)
        log_in(other, t, "olga")
        expect(
            other.get_by_text(
                t("This job belongs to %(owner)s. Ask %(owner)s to share it.") % {"owner": "otto"}
            )
        ).to_be_visible()
        page.goto("/jobs")
        log_in(page, t, "otto")
        page.get_by_label(t("Select %(n)s") % {"n": "of otto"}).check()
        page.locator("#bulk summary", has_text=t("Sharing")).click()
        page.locator("#bulk").get_by_role("button", name=t("team can view")).click()
        expect(page.locator("#jobs-table .badge", has_text=t("team can view"))).to_be_visible()
        page.get_by_label(t("Select %(n)s") % {"n": "of otto"}).check()
        page.remove_locator_handler(page.locator("#confirm[open]"))
        page.locator("#bulk-delete").click()
        expect(page.locator("#confirm-names")).to_have_text("of otto")
        page.locator("#confirm").get_by_role("button", name=t("Go back")).click()

        other.goto("/jobs")
        other.get_by_role("link", name=t("Shared with me")).click()
        expect(other).to_have_url(re.compile("whose=shared"))
        other.get_by_role("link", name="of otto").click()
        expect(other.locator("#feed")).to_have_attribute("data-state", "live")
        expect(other.get_by_role("button", name=t("Resume"))).to_have_count(0)
        other.locator("#job").get_by_role("link", name=t("Settings"), exact=True).click()
        expect(other.locator("#read-only")).to_contain_text(t("team can view"))
        assert (
            other.locator("main form[method=post]").count()
            == other.locator("main form[action$='/again']").count()
        )
        assert violations(other) == []
        assert not wider_than_the_window(other, 360)

        page.goto(path)
        page.locator(".job-head summary", has_text=t("Sharing")).click()
        assert violations(page) == []
        page.get_by_role("button", name=t("team can edit")).click()
        expect(page.locator(".job-head")).to_contain_text(t("team can edit"))
        other.goto(path)
        other.get_by_role("button", name=t("Resume")).click()
        expect(other.locator("#status [data-status=completed]")).to_be_visible()
        expect(other.get_by_role("button", name=t("Delete"))).to_have_count(0)

        page.goto(path)
        page.locator(".job-head summary", has_text=t("Sharing")).click()
        page.get_by_role("button", name=t("private"), exact=True).click()
        expect(
            other.get_by_text(
                t("This job belongs to %(owner)s. Ask %(owner)s to share it.") % {"owner": "otto"}
            )
        ).to_be_visible()
        other.goto("/jobs")
        expect(other.get_by_text("of otto")).to_have_count(0)


def test_the_page_of_an_operator_stays_live_and_asks_for_a_login_after_a_change_of_the_role(
    people, page, t, add_config, make_job
):
    with MisbehavingEndpoint(e.slow(0.5)) as endpoint:
        add_config(endpoint.base_url)
        with connected():
            identity.act_as(Actor("otto", user=people["otto"]))
            job_id = make_job(20, name="of otto", hold=True)
            identity.act_as(identity.CLI)
        page.goto(f"/jobs/{job_id}")
        log_in(page, t, "otto")
        feed = page.locator("#feed")
        expect(feed).to_have_attribute("data-state", "live")
        page.evaluate(FOLLOW_THE_FEED)
        with connected():
            jobs.resume(job_id)
        expect_status(page, "completed")
        expect(page.locator("body")).to_have_attribute("data-states", re.compile("^(live )*$"))
        with connected():
            users.set_role("otto", "viewer")
        expect(page).to_have_url(re.compile("/login"))
