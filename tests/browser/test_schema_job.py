"""A job with a schema in a real browser: file → workbench → run → launch → fields of an answer → CSV."""

import csv
import io
import json

from playwright.sync_api import expect

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from .helpers import add_config, both_languages, expect_status
from .test_access import violations

SCHEMA = {
    "type": "object",
    "properties": {"主题": {"type": "string"}, "parts": {"type": "array"}},
    "required": ["主题"],
}


@both_languages
def test_a_schema_from_its_file_to_the_columns(page, t, questions, tmp_path):
    schema, out = tmp_path / "schema.json", tmp_path / "out.csv"
    schema.write_text(json.dumps(SCHEMA, ensure_ascii=False), "utf-8")
    with MisbehavingEndpoint(
        e.says({"主题": 5}), e.says({"主题": "酵母", "parts": [1]})
    ) as endpoint:
        add_config(page, t, endpoint.base_url)
        page.goto("/jobs/new")
        page.locator("#file").set_input_files(questions(1))
        page.get_by_role("button", name=t("Continue")).click()
        page.locator("#schema-options summary").click()
        text = page.get_by_label(t("JSON Schema for the answers"))
        assert violations(page) == []
        page.locator("#schema_file").set_input_files(schema)
        expect(text).to_have_value(schema.read_text("utf-8"))
        page.get_by_label(t("If an answer doesn't match, ask the model to fix it")).check()
        page.locator("#run").click()
        expect(page.locator(".try-cell[data-state=answered]")).to_contain_text("主题")
        endpoint.script.insert(0, e.says("no JSON"))
        page.locator("#launch").click()
        expect_status(page, "completed")
        assert "not JSON" in endpoint.bodies[-1]["messages"][-1]["content"]

        page.goto("/jobs/1/requests/0")
        fields = page.locator("#parsed tr")
        expect(fields).to_have_count(2)
        expect(fields.first).to_contain_text("酵母")
        expect(page.locator(".attempts")).to_contain_text(t("doesn't match the schema"))
        assert violations(page) == []
        page.set_viewport_size({"width": 360, "height": 800})
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 360
        page.set_viewport_size({"width": 1280, "height": 900})
        page.goto("/jobs/1")
        page.locator("summary", has_text=t("Export")).click()
        with page.expect_download() as download:
            page.get_by_role("link", name="CSV", exact=True).first.click()
    download.value.save_as(out)
    (row,) = csv.DictReader(io.StringIO(out.read_text("utf-8-sig"), newline=""))
    assert (row["主题"], row["parts"], row["attempts"]) == ("酵母", "[1]", "2")
