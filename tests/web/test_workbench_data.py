"""What the workbench took over from the steps of a new job: how the file is read, images, saved templates,
settings files, and every option of a launch."""

import io
import json
import re

import pytest

from simple_batch.intake import Template
from simple_batch.services import readings, templates, uploads
from simple_batch.store.database import connected
from simple_batch.store.models import Job, Upload

from ..intake.workbooks import by_openpyxl
from ..sample_images import png
from . import hostile
from .test_drafts import shown
from .test_form_keys import form_of
from .test_workbench import Bench

TABLE = "id,question\n1,What is it?\n2,Why?\n3,Why?\n"


@pytest.fixture
def bench(client, add_config):
    """Opens the workbench of some data."""
    add_config("http://127.0.0.1:9/v1")

    def opened(data: str | bytes = TABLE, name: str = "t.csv") -> Bench:
        content = data.encode() if isinstance(data, str) else data
        token = form_of(client, "/jobs/new")["csrf_token"]
        given = {"csrf_token": token, "file": (io.BytesIO(content), name)}
        place = client.post("/jobs/new", data=given).location
        assert place.endswith("/workbench"), place
        return Bench(client, int(place.split("/")[3]))

    return opened


def sent(bench: Bench, action: str, **changed):
    """What a button sends, files included."""
    return bench.client.post(f"{bench.url}/{action}", data={**bench.fields(), **changed})


def test_another_reading_begins_an_untouched_template_again_and_keeps_a_written_one(bench):
    one = bench()
    assert sent(one, "reading", header="0").location == one.url
    assert shown(one.page(), "user") == "{{column_2}}"
    assert sent(one, "reading", header="1", user="Mine: {{question}}").status_code == 303
    assert shown(one.page(), "user") == "Mine: {{question}}"
    lines = bench("What is this?\nWho is that there?\n", "a.txt")
    assert "Read as one prompt per line." in lines.page()
    sent(lines, "reading", header="1")
    assert shown(lines.page(), "user") == "{{What is this?}}"
    sent(lines, "reading", lines="1")
    with connected():
        assert readings.of(Upload.get_by_id(lines.upload_id)).lines


def test_a_sheet_of_a_workbook_is_taken(bench):
    book = bench(by_openpyxl([["q"], ["not this"]], "Notes", Data=[["text"], ["this"]]), "b.xlsx")
    assert shown(book.page(), "user") == "{{q}}"
    assert sent(book, "sheet", sheet="Data", custom_id="").status_code == 303
    page = book.page()
    assert "sheet “Data”" in page
    assert shown(page, "user") == "{{text}}"
    assert sent(book, "sheet", sheet="none").status_code == 303


def test_images_are_added_and_the_mistake_of_a_template_is_corrected(bench):
    table = bench("question,photo\nWhat?,a.png\n")
    assert sent(table, "images").status_code == 400
    more = {"more": (io.BytesIO(png()), "a.png"), "images": "{{photo}}"}
    assert sent(table, "images", **more).status_code == 303
    assert "a.png</figcaption>" in table.page()
    wrong = table.post("preview", user="About {question}").text
    assert "{question} is sent as it stands" in wrong
    assert table.post("correct", user="About {question}").status_code == 303
    assert shown(table.page(), "user") == "About {{ question }}"


def test_a_saved_template_is_taken(bench):
    with connected():
        templates.save("mine", Template(user="Saved {{question}}"))
    one = bench()
    assert sent(one, "saved", saved="1").status_code == 303
    page = one.page()
    assert shown(page, "user") == "Saved {{question}}"
    assert ">mine@1</a>" in page
    assert sent(one, "saved", saved="7").status_code == 400
    noted = one.post(
        "save-as", user="New {{question}}", template_name="mine", template_note="better"
    )
    assert noted.status_code == 303
    with connected():
        assert templates.find("mine").note == "better"


def test_a_settings_file_goes_out_and_comes_back(bench):
    one = bench()
    saved = one.post("settings-file", user="Say {{question}}", temperature="0.3", tags="a, b")
    recipe = saved.json
    assert (recipe["template"]["user"], recipe["tags"]) == ("Say {{question}}", "a, b")
    other = bench()
    file = (io.BytesIO(saved.data), "r.json")
    assert sent(other, "load", recipe=file).status_code == 303
    page = other.page()
    assert shown(page, "user") == "Say {{question}}"
    assert (shown(page, "temperature"), shown(page, "tags")) == ("0.3", "a, b")
    for wrong in (b"{", b""):
        assert sent(other, "load", recipe=(io.BytesIO(wrong), "r.json")).status_code == 400
    assert one.post("settings-file", temperature="x").status_code == 400


def test_every_option_of_the_launch_form_is_on_the_page_and_counts(bench, client):
    one = bench()
    wanted = {
        "tags": "x, y",
        "ask_once": "y",
        "start_at": "2099-01-02T08:00",
        "deadline_at": "2099-02-02T08:00",
        "hours": "22:00-06:00",
        "priority": "1",
        "reuse_hours": "3",
        "timeout_s": "9",
    }
    step = f"/jobs/new/{one.upload_id}"
    with connected():
        uploads.apply_template(one.upload_id, Template(user="{{question}}"))
    former = hostile.Forms(step, client.get(step).text).found[step]
    assert set(former) - set(one.fields()) <= {"rows_to_try"}
    assert one.post("launch", user="Say {{question}}", **wanted).location == "/jobs/1"
    with connected():
        job = Job.get_by_id(1)
        assert (job.priority, job.hours, job.timeout_s, job.ask_once) == (1, "22:00-06:00", 9, True)
        assert job.start_at and job.deadline_at
    page = client.get("/jobs/1").text
    assert re.search(r"[?&]tag=x", page)


def test_identical_requests_are_looked_for_only_where_there_are_any(bench):
    one = bench("id,question\n1,What?\n2,Why?\n")
    assert 'checked class="form-check-input" id="ask_once"' in one.page()
    assert one.post("launch", ask_once="y").location == "/jobs/1"
    with connected():
        assert not Job.get_by_id(1).ask_once


def test_a_template_that_cannot_be_read_is_shown_with_its_mistake(bench):
    one = bench()
    assert one.post("draft", parameters='{"a": ').status_code == 200
    assert "Not valid JSON" in one.page()
    with connected():
        draft = json.loads(Upload.get_by_id(one.upload_id).draft)
    assert draft["parts"]["template"]["values"]["parameters"] == ['{"a": ']
