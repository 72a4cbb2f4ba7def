"""Answers that are not OK appear live on a job's page, and are retried there."""

import gevent
from playwright.sync_api import expect

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from .helpers import add_config, both_languages, launch


def cut_off(connection):
    gevent.sleep(0.15)
    connection.sendall(e.says("half of", finish_reason="length"))


@both_languages
def test_cut_off_answers_are_counted_live_and_retried_in_place(page, t, questions):
    with MisbehavingEndpoint(*[cut_off] * 24, e.slow(0.1)) as endpoint:
        add_config(page, t, endpoint.base_url)
        launch(page, t, questions(24), "long")
        tile = page.locator("[data-tile=cut_off]")
        expect(tile).to_be_visible()
        expect(page.locator("#tail tr").first).to_contain_text(f"⚠ {t('cut off')}")
        word = t("completed, %(n)s %(outcome)s", n=24, outcome=t("cut off"))
        ended = t("%(name)s: %(status)s", name="long", status=word)
        expect(page.locator("#toast")).to_contain_text(ended)
        assert page.title() == f"! {ended}"
        expect(page.locator("#status .badge")).to_have_text(f"! {word}")
        page.get_by_role("button", name=t("Retry %(n)s with twice the max tokens", n=24)).click()
        expect(page.locator("#status .badge")).to_have_text(f"✓ {t('completed')}")
        expect(tile).to_be_hidden()
        expect(page.locator("#tail")).not_to_contain_text("⚠")
