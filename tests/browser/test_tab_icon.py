"""The icon and the title of the tab follow the job whose page is open, and are as before when it has ended."""

import re

from playwright.sync_api import expect

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from .conftest import PATIENCE_MS
from .helpers import add_config, both_languages, expect_status, launch

COLOURS = """() => new Promise((done) => {
    const image = new Image();
    image.onload = () => {
        const canvas = Object.assign(document.createElement("canvas"), { width: image.width, height: image.height });
        const pen = canvas.getContext("2d");
        pen.drawImage(image, 0, 0);
        const data = pen.getImageData(0, 0, image.width, image.height).data;
        const found = new Set();
        for (let i = 0; i < data.length; i += 4) if (data[i + 3] === 255) found.add(`${data[i]},${data[i + 1]},${data[i + 2]}`);
        done([...found]);
    };
    image.src = document.querySelector("link[rel=icon]").href;
})"""
DONE, FAILED, PAUSED = (25, 135, 84), (201, 48, 44), (211, 158, 0)


def shown(page) -> set[tuple[int, ...]]:
    """Those of the colours that the icon has, about: a picture is converted on its way."""
    pixels = [tuple(map(int, text.split(","))) for text in page.evaluate(COLOURS)]
    return {
        colour
        for colour in (DONE, FAILED, PAUSED)
        if any(max(abs(a - b) for a, b in zip(colour, one, strict=True)) <= 4 for one in pixels)
    }


def wait_for_colours(page, *wanted: tuple[int, ...]) -> None:
    for _ in range(PATIENCE_MS // 50):  # the icon follows the feed
        if set(wanted) <= shown(page):
            return
        page.wait_for_timeout(50)
    assert set(wanted) <= shown(page)


@both_languages
def test_the_tab_shows_the_progress(page, t, questions):
    script = [*[e.slow(1.0)] * 5, e.error(400, "no")] * 40
    with MisbehavingEndpoint(*script) as endpoint:
        add_config(page, t, endpoint.base_url)
        launch(page, t, questions(100), name="n")
        icon = page.locator("link[rel=icon]")
        expect(icon).to_have_attribute("href", re.compile("^data:image/png"))
        expect(page.locator('[data-count="succeeded"]').first).not_to_have_text(re.compile(r"^\d$"))
        wait_for_colours(page, DONE, FAILED)
        expect(page).to_have_title(re.compile(r"^\d+% · n"))
        page.get_by_role("button", name=t("Pause"), exact=True).click()
        expect_status(page, "paused")
        expect(icon).to_have_attribute("href", re.compile("^data:image/png"))
        wait_for_colours(page, PAUSED)
        page.get_by_role("button", name=t("Resume")).click()
        expect_status(page, "completed")
        expect(icon).to_have_attribute("href", re.compile("favicon.svg"))
        expect(page).to_have_title(re.compile("n[:：]"))
