"""From an empty database to the first answer, in at most five clicks and two fields."""

from playwright.sync_api import expect

from ..emulators.manners import MANNERS
from ..emulators.openai_compatible import KEY, Emulator
from .helpers import both_languages, expect_status


class Counted:
    """Clicks and fills, counted."""

    def __init__(self):
        self.clicks = self.fields = 0

    def click(self, what) -> None:
        self.clicks += 1
        what.click()

    def fill(self, what, text: str) -> None:
        self.fields += 1
        what.fill(text)
        what.blur()


@both_languages
def test_the_first_answer_takes_five_clicks_and_two_fields(page, t):
    user = Counted()
    with Emulator(MANNERS["custom"]) as emulator:
        page.goto("/jobs")
        user.click(page.get_by_role("link", name=t("New connection")))
        user.click(page.locator('a[href="/configs/new/custom"]'))
        # the model is filled in from the endpoint's own list
        user.fill(page.locator("#base_url"), emulator.base_url)
        user.fill(page.locator("#key"), KEY)
        expect(page.locator("#model")).to_have_value("model-a")
        user.click(page.get_by_role("button", name=t("Connect")))
        expect(page.locator("#connect-result")).to_contain_text("✓")
        expect(page.locator("#connect-result")).to_contain_text("model-a")
        user.click(page.get_by_role("button", name=t("Try an example")))
        user.click(page.locator("#launch"))
        expect_status(page, "completed")
        assert len(emulator.bodies) > 1
    assert (user.clicks, user.fields) == (5, 2)
