"""A table with images in a real browser: both files dropped at once, shown in the example, sent."""

import pytest
from playwright.sync_api import expect

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from ..sample_images import GIF, png, sent, zipped
from .helpers import add_config, expect_status
from .test_access import violations, wider_than_the_window

DROP = """async ([name, type, data]) => {
  const taken = new DataTransfer();
  taken.items.add(new File(["编号,question,image\\n1,What?,a.png\\n2,Who?,b.gif\\n"], "t.csv"));
  taken.items.add(new File([new Uint8Array(data)], name, { type }));
  document.getElementById("drop").dispatchEvent(
    new DragEvent("drop", { dataTransfer: taken, bubbles: true, cancelable: true }));
}"""


@pytest.mark.parametrize(("language", "theme"), [("en", "dark"), ("zh", "light")])
def test_from_a_table_with_images_to_answers(page, t, tmp_path, theme):
    (tmp_path / "more.zip").write_bytes(zipped({"b.gif": GIF}))
    with MisbehavingEndpoint(e.ok()) as endpoint:
        add_config(page, t, endpoint.base_url)
        page.goto("/jobs/new")
        page.evaluate(f"localStorage.setItem('theme', '{theme}')")
        assert violations(page) == []
        page.evaluate(DROP, ["a.png", "image/png", list(png(60, 40, 120))])
        page.wait_for_url("**/workbench")
        example = page.locator("#tries")
        picture = example.locator("img.picture")
        expect(picture).to_be_visible()
        assert picture.evaluate("image => image.naturalWidth") == 60
        expect(example).to_contain_text("a.png")
        expect(page.locator("#images")).to_have_value("{{image}}")
        expect(example).to_contain_text("b.gif")
        page.locator("#data summary").first.click()
        page.locator("#more-images").set_input_files(tmp_path / "more.zip")
        page.locator("#user").fill("{{question}} Now")
        page.get_by_role("button", name=t("Add"), exact=True).click()
        expect(page.locator("#user")).to_have_value("{{question}} Now")
        expect(picture).to_have_count(2)
        assert violations(page) == []
        assert not wider_than_the_window(page, 360)
        page.set_viewport_size({"width": 1280, "height": 800})
        page.get_by_role("button", name=t.launch(2)).click()
        expect_status(page, "completed")
        assert sorted(map(sent, endpoint.bodies)) == sorted([[png(60, 40, 120)], [GIF]])
        page.goto("/jobs/1/requests/0")
        shown = page.locator("img.picture")
        expect(shown).to_be_visible()
        assert shown.evaluate("image => image.naturalWidth") == 60
        assert violations(page) == []
