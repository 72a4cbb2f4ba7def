"""How an upload is read is shown and can be changed: encoding, one prompt per line, header."""

from .test_languages import uploaded
from .test_tables import post


def test_plain_lines_are_prompts_with_a_switch_to_a_table(client):
    place = uploaded(client, b"What is this?\n\nWho is that there?\n", "a.txt").location
    assert place == "/jobs/new/1"
    page = client.get(place).text
    assert "Read as one prompt per line." in page
    assert "1 empty line skipped." in page
    assert "What is this?" in page
    assert post(client, "/jobs/new/1/reading", header="1").location == "/jobs/new/1/template"
    assert "Who is that there?" in client.get("/jobs/new/1/template").text
    assert post(client, "/jobs/new/1/reading", lines="1").location == "/jobs/new/1"


def test_the_grid_and_its_switch_keep_the_template_that_fits(client):
    place = uploaded(client, b"id,question\n7,What is it?\n", "a.csv").location
    page = client.get(place).text
    assert '<th scope="col">question</th>' in page
    assert "What is it?" in page
    assert post(client, place, user="{{question}}", custom_id="").status_code == 303
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
    assert client.get("/jobs/new/1").location == place  # not read yet
    assert post(client, place, encoding="cp932").status_code in (303, 400)
    assert post(client, place, encoding="cp949").location == "/jobs/new/1/template"
    page = client.get("/jobs/new/1/template").text
    assert "Read as CP949, EUC-KR (Korean)" in page
    assert "부산" in page
