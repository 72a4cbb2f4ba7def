"""Money in a browser: the price table, a cap that pauses a job on the open page, raising the
cap."""

from playwright.sync_api import expect

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from .helpers import both_languages, expect_status, fill_config, launch, save


@both_languages
def test_prices_are_looked_up_without_losing_the_key(page, t):
    fill_config(page, t, "https://api.deepseek.com/v1")
    page.locator("#model").fill("deepseek-flash")
    page.get_by_role("button", name=t("Look up in the price table")).click()
    expect(page.locator("#config-result")).to_contain_text("api-docs.deepseek.com")
    expect(page.get_by_label(t("Output price per million"))).to_have_value("1.2")
    expect(page.get_by_label(t("API key"))).to_have_value("sk-planted-0123456789")
    page.locator("#output_price").press("Enter")  # as Save, not as the button above
    page.wait_for_url("**/configs")
    expect(page.locator("[data-spent=day]")).to_contain_text("$0.00")


@both_languages
def test_a_cap_pauses_the_job_and_raising_it_goes_on(page, t, questions):
    with MisbehavingEndpoint(e.slow(0.02)) as endpoint:
        fill_config(page, t, endpoint.base_url)
        for field, value in (("concurrency", "2"), ("input_price", "1000")):
            page.locator(f"#{field}").fill(value)
        page.get_by_label(t("Output price per million")).fill("1000")
        page.get_by_label(t("Monthly spend cap")).fill("100")
        save(page, t)
        launch(page, t, questions(60), "capped", spend_cap="0.3")
        expect_status(page, "paused")
        expect(page.locator("[data-live=cap]")).to_contain_text(t("cap %(money)s", money="$0.30"))
        expect(page.locator("#detail")).to_contain_text("0.30 USD")
        assert endpoint.calls in (30, 31)
        page.get_by_role("link", name=t("Change the cap")).click()
        page.get_by_label(t("Spend cap (optional)")).fill("5")
        page.get_by_role("button", name=t("Save")).click()
        expect_status(page, "completed")
        page.goto("/configs")
        spent = t("%(spent)s of %(cap)s", spent="$0.60", cap="$100.00")
        expect(page.locator("[data-spent=month]")).to_contain_text(spent)
