"""How an upload is read is shown and can be changed: encoding, one prompt per line, header."""

# ruff: noqa: F811 - fixtures that are imported

import io

import pytest

from simple_batch.services import readings
from simple_batch.store.database import connected
from simple_batch.store.models import Upload

from ..sample_images import png
from .test_drafts import HALF, OPTIONS, listing, shown
from .test_form_keys import form_of
from .test_languages import uploaded
from .test_pages import CONFIG, config, post, token  # noqa: F401 (fixtures)
from .test_tables import TEMPLATE, staged

KOREAN = "id,question\n1,서울\n2,부산\n".encode("cp949")  # Chinese names in GB18030


def reading(upload_id: int):
    with connected():
        return readings.of(Upload.get_by_id(upload_id))


def test_plain_lines_are_prompts_with_a_switch_to_a_table(client):
    place = uploaded(client, b"What is this?\n\nWho is that there?\n", "a.txt").location
    assert place == "/jobs/new/1/workbench"
    page = client.get(place).text
    assert "Read as one prompt per line." in page
    assert "1 empty line skipped." in page
    assert "What is this?" in page
    assert post(client, "/jobs/new/1/reading", header="1").location == place
    assert "Who is that there?" in client.get("/jobs/new/1/template").text
    assert post(client, "/jobs/new/1/reading", lines="1").location == place


def test_the_grid_and_its_switch_keep_the_template_that_fits(client):
    place = uploaded(client, b"id,question\n7,What is it?\n", "a.csv").location
    page = client.get(place).text
    assert '<th scope="col">question</th>' in page
    assert "What is it?" in page
    step = "/jobs/new/1/template"
    assert post(client, step, user="{{question}}", custom_id="").status_code == 303
    assert post(client, "/jobs/new/1/reading", header="0").location == place
    assert '<th scope="col">column_2</th>' in client.get(place).text
    assert post(client, "/jobs/new/1/reading", header="1").location == place
    assert '<th scope="col">question</th>' in client.get(place).text


def test_an_uncertain_encoding_is_asked_for(client):
    data = "id,text\n1,서울\n2,부산\n".encode("cp949")
    place = uploaded(client, data, "a.csv").location
    assert place == "/jobs/new/1/reading"
    page = client.get(place).text
    assert "서울 부산" in page
    assert 'value="gb18030"' in page
    for step in ("/jobs/new/1", "/jobs/new/1/template"):
        assert client.get(step).location == place  # not read yet
    assert post(client, place, encoding="cp932").status_code in (303, 400)
    assert post(client, place, encoding="cp949").location == "/jobs/new/1/workbench"
    page = client.get("/jobs/new/1/template").text
    assert "Read as CP949, EUC-KR (Korean)" in page
    assert "부산" in page


def test_an_upload_whose_encoding_is_asked_for_is_a_draft(client, config):
    place = uploaded(client, KOREAN, "a.csv").location
    [(url, text)] = listing(client)
    assert url == place
    assert text.startswith("Continue with a.csv just now · step: Encoding · deleted on")
    assert f'href="{"/jobs/new"}">‹ Back' in client.get(place).text
    post(client, "/jobs/new/1/discard")
    assert listing(client) == []
    assert "You discarded “a.csv”." in client.get(place).text
    assert post(client, "/jobs/new/1/draft/restore").location == place
    assert listing(client)[0][0] == place
    post(client, "/jobs/new/1/discard")
    # a choice that is sent afterwards brings it back
    assert post(client, place, encoding="cp949").location == "/jobs/new/1/workbench"
    page = client.get("/jobs/new/1/workbench").text
    assert "had been discarded. It is back." in page
    assert "부산" in page
    [(url, text)] = listing(client)
    assert url == "/jobs/new/1/workbench"
    assert "2 rows · step: Workbench" in text
    assert 'href="/jobs/new/1/workbench">‹ Back' in client.get(place).text


def test_a_choice_that_does_not_fit_asks_again(client):
    place = uploaded(client, KOREAN, "a.csv").location
    for fields in ({}, {"encoding": "cp932", "other": "koi8"}, {"encoding": "utf-8"}):
        answer = post(client, place, **fields)
        assert answer.status_code == 400
        assert "서울 부산" in answer.text
    assert listing(client)[0][0] == place


def test_a_clone_keeps_its_choices_through_the_choice_of_an_encoding(client, config):
    place = staged(client)
    post(client, place, **{**TEMPLATE, "system": "Be brief."}, parameters='{"seed": 1}')
    assert (
        post(client, "/jobs/new/1", **OPTIONS, concurrency="7", hold="1", skip_faulty="1").location
        == "/jobs/1"
    )
    fields = {"csrf_token": token(client), "file": (io.BytesIO(KOREAN), "b.csv")}
    asked = client.post("/jobs/new?clone=1", data=fields).location
    assert asked == "/jobs/new/2/reading"
    assert post(client, asked, encoding="cp949").location == "/jobs/new/2/workbench"
    template = "/jobs/new/2/template"
    page = client.get(template).text
    assert shown(page, "parameters") == '{"seed": 1}'
    fields = {"system": "", "user": "{{question}}", "custom_id": "id"}
    assert post(client, template, **fields).location == "/jobs/new/2"
    page = client.get("/jobs/new/2").text
    assert (shown(page, "concurrency"), shown(page, "name")) == ("7", "mine (copy)")


@pytest.mark.parametrize("fields", [{"header": "0"}, {"lines": "1"}, {"encoding": "cp949"}])
def test_reading_a_launched_upload_anew_is_a_new_draft(client, config, fields):
    place = uploaded(client, KOREAN, "a.csv").location
    post(client, place, encoding="gb18030")
    post(client, "/jobs/new/1/reading", lines="1")
    launched = post(client, "/jobs/new/1", **OPTIONS, hold="1")
    assert launched.location == "/jobs/1"
    before = reading(1)
    with connected():
        kept = Upload.get_by_id(1).preview
    assert "was launched as job 1" in client.get("/jobs/new/1/reading").text
    step = post(client, "/jobs/new/1/reading", **fields).location
    assert step.startswith("/jobs/new/2")
    assert "This is a new draft." in client.get(step).text
    assert reading(1) == before
    with connected():
        assert Upload.get_by_id(1).preview == kept
    assert reading(2) != before or fields == {"lines": "1"}


def test_the_header_switch_keeps_the_texts_of_the_template(client, config):
    place = staged(client)
    form = form_of(client, place)
    sent = {**form, **HALF, "header": "0"}
    assert client.post("/jobs/new/1/reading", data=sent).location == "/jobs/new/1/workbench"
    page = client.get(place).text
    for name, text in HALF.items():
        assert shown(page, name) == text
    assert '<th scope="col">column_1</th>' in page
    # another tab's texts are not replaced unseen
    late = client.post(
        "/jobs/new/1/reading", data={**form, "form_key": "x", "user": "y", "header": "1"}
    )
    assert late.status_code == 409
    assert "another tab" in late.text
    assert '<th scope="col">column_1</th>' in client.get(place).text


def test_images_stay_with_a_table(client, config):
    fields = {
        "csrf_token": token(client),
        "file": (io.BytesIO(b"photo\na.png\n"), "t.csv"),
        "images": (io.BytesIO(png()), "a.png"),
    }
    place = client.post("/jobs/new", data=fields).location
    assert place == "/jobs/new/1/workbench"
    assert post(client, "/jobs/new/1/reading", lines="1").location == place
    assert "Images belong to a table" in client.get(place).text
    assert reading(1).lines is False


def test_a_settings_file_carries_header_and_lines(client, config):
    def loaded(recipe: bytes, data: bytes, name: str) -> str:
        place = uploaded(client, data, name).location
        upload = place.split("/")[3]
        fields = {"csrf_token": token(client), "recipe": (io.BytesIO(recipe), "r.json")}
        answer = client.post(f"/jobs/new/{upload}/load", data=fields)
        assert answer.status_code == 200, answer.text
        return answer.text

    uploaded(client, b"1,What?\n2,Why?\n", "a.csv")
    post(client, "/jobs/new/1/reading", header="0")
    post(client, "/jobs/new/1/template", user="{{column_2}}", custom_id="")
    recipe = post(client, "/jobs/new/1/recipe", **OPTIONS).data
    assert b'"header": false' in recipe
    assert "3 requests" in loaded(recipe, b"id,q\n7,What?\n8,Why?\n", "b.csv")
    assert reading(2).header is False
    post(client, "/jobs/new/1", **OPTIONS, hold="1")
    assert b'"header": false' in client.get("/jobs/1/recipe").data

    uploaded(client, b"Who is it?\nWhy is it?\n", "p.txt")
    recipe = post(client, "/jobs/new/3/recipe", **OPTIONS).data
    assert b'"lines": true' in recipe
    assert b"encoding" not in recipe
    assert "3 requests" in loaded(recipe, b"prompt\nWhat is it?\nWhy?\n", "c.csv")
    assert reading(4).lines is True
