"""From a table through the template step to a job, by a client without JavaScript."""

# ruff: noqa: F811 - fixtures that are imported

import csv
import html
import io
import json
import re

import openpyxl
import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from simple_batch.services import jobs
from simple_batch.store.database import connected

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from ..intake.workbooks import by_openpyxl
from .test_pages import CONFIG, config, post, token  # noqa: F401 (fixtures)

TABLE = 'id,Customer Name,question,n\n1,Ann,"What is\nyeast?",0.5\n2,Bo,Why?,\n3,Cy\n4,Di,How?,x\n'
TEMPLATE = {"system": "You help {{Customer Name}}.", "user": "{{question}}", "custom_id": "id"}

FORMULA = {
    "choices": [{"message": {"role": "assistant", "content": "=1+1"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 3},
}


def staged(client, table: str | bytes = TABLE, name="t.csv") -> str:
    """The address of a new table's template step."""
    data = table.encode() if isinstance(table, str) else table
    fields = {"csrf_token": token(client), "file": (io.BytesIO(data), name)}
    answer = client.post("/jobs/new", data=fields)
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"].replace("/workbench", "/template")


def test_a_table_is_led_to_the_template_which_begins_with_its_question(client, config):
    place = staged(client)
    assert place == "/jobs/new/1/template"
    page = client.get(place).text
    assert "csv" in page
    assert "4 rows" in page
    assert "line 5" in page  # the faulty one
    assert "{{question}}" in page
    assert page.count('class="chip"') == 4
    assert "1 of 4" in page
    assert "What is\nyeast?" in page
    for path in ("/jobs/new/1", "/jobs/new/1?config=1"):
        assert client.get(path).headers["Location"] == place
    for step in ("", "/try", "/recipe"):
        answer = post(client, f"/jobs/new/1{step}", config="1", name="n")
        assert (answer.status_code, answer.headers["Location"]) == (303, place)
    with connected():
        assert not jobs.Job.select().exists()


def test_the_example_walks_through_the_rows_without_keeping_anything(client, config):
    place = staged(client)
    page = post(client, place, **TEMPLATE, parameters='{"temperature": "{{n}}"}', show="1").text
    assert "You help Ann." in page
    assert "temperature&#34;: 0.5" in page
    assert post(client, place, **TEMPLATE, show="2").text.count("You help Bo.") == 1
    page = post(client, place, **TEMPLATE, show="3").text
    assert "2 cells where the header has 4" in page
    page = post(client, place, **TEMPLATE, show="99").text
    assert "4 of 4" in page
    assert "You help Di." in page
    asked = client.post(
        place,
        data={"csrf_token": token(client), **TEMPLATE, "user": "{{qestion}}", "row": "2"},
        headers={"HX-Request": "true"},
    )
    assert asked.status_code == 200
    assert "the nearest is “question”" in asked.text
    assert client.get("/jobs/new/1").headers["Location"] == place  # none was kept


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"user": "{{qestion}}"}, "the nearest is “question”"),
        ({"user": ""}, "The user message is empty"),
        ({"system": "{% if %}"}, "line 1 of the template"),
        ({"parameters": "{"}, "Not valid JSON"),
        ({"parameters": "[]"}, "A JSON object"),
        ({"parameters": '{"messages": 1}'}, "set elsewhere"),
        ({"parameters": f'{{"a": {"[" * 900}{"]" * 900}}}'}, "nested deeper than 100 levels"),
        ({"custom_id": "other"}, "Not a valid choice"),
        ({"user": "{{ 1/0 }}"}, "None of the 4 items"),
    ],
)
def test_a_wrong_template_is_reported_at_its_field_and_not_kept(client, config, change, expected):
    place = staged(client)
    answer = post(client, place, **{**TEMPLATE, **change})
    assert answer.status_code == 400
    assert expected in answer.text
    assert client.get("/jobs/new/1").headers["Location"] == place


def test_from_a_table_to_the_same_table_with_answers(app, client, config, wait_for):
    with MisbehavingEndpoint(e.http(200, FORMULA)) as endpoint:
        post(client, "/configs/1", **{**CONFIG, "base_url": endpoint.base_url})
        place = staged(client)
        done = post(client, place, **TEMPLATE, parameters='{"temperature": "{{n}}"}')
        assert done.headers["Location"] == "/jobs/new/1"
        page = client.get("/jobs/new/1").text
        assert "3 requests" in page
        assert "You help Ann." in page
        assert 'href="/jobs/new/1/workbench"' in page
        tried = post(client, "/jobs/new/1/try", config="1", name="n", max_retries="3").text
        assert tried.count('data-tried="ok"') == 3
        sent = {body["messages"][0]["content"]: body for body in endpoint.bodies}  # at once
        assert sent["You help Ann."]["temperature"] == 0.5
        recipe = post(client, "/jobs/new/1/recipe", config="1", name="n", max_retries="3").json
        assert recipe["template"] == {**TEMPLATE, "parameters": {"temperature": "{{n}}"}}
        assert post(client, "/jobs/new/1", config="1", name="n").status_code == 400  # faulty lines
        made = post(client, "/jobs/new/1", config="1", name="n", max_retries="3", skip_faulty="1")
        assert made.headers["Location"] == "/jobs/1"
        app.extensions["simple_batch"].start()
        wait_for(1, "completed")
    text = client.get("/jobs/1/export?format=csv").data.decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0])[:5] == ["id", "Customer Name", "question", "n", "content"]
    assert [(row["id"], row["question"], row["n"]) for row in rows] == [
        ("1", "What is\nyeast?", "0.5"),
        ("2", "Why?", ""),
        ("4", "How?", "x"),
    ]
    assert {row["content"] for row in rows} == {"'=1+1"}
    # a clone begins with the job's template, over the same file
    bench = client.get("/jobs/new?clone=1").headers["Location"]
    assert bench == "/jobs/new/2/workbench"
    cloned = "/jobs/new/2/template"
    for address in (bench, cloned):
        assert "You help {{Customer Name}}." in client.get(address).text
    again = post(client, cloned, **{**TEMPLATE, "system": ""})
    assert again.headers["Location"] == "/jobs/new/2"
    assert "n (copy)" in client.get("/jobs/new/2").text
    with connected():
        assert json.loads(jobs.get(1).template)["system"] == TEMPLATE["system"]


def test_a_recipe_fills_in_a_table(client, config):
    def load(recipe):
        file = io.BytesIO(json.dumps(recipe).encode())
        fields = {"csrf_token": token(client), "recipe": (file, "r.json")}
        return client.post("/jobs/new/1/load", data=fields)

    place = staged(client)
    recipe = {"simple_batch_recipe": 1, "config": "one", "name": "from a recipe"}
    assert load(recipe).headers["Location"] == place  # the template is still to be written
    wrong = load({**recipe, "template": {"user": "{{qestion}}", "system": "kept"}})
    assert wrong.status_code == 400
    assert "the nearest is “question”" in wrong.text
    assert "kept" in wrong.text
    page = load({**recipe, "template": TEMPLATE})
    assert page.status_code == 200
    assert "from a recipe" in page.text
    assert "You help Ann." in page.text
    # data that is no table needs no template
    line = b'{"messages": [{"role": "user", "content": "hi"}]}'
    fields = {"csrf_token": token(client), "file": (io.BytesIO(line), "x")}
    client.post("/jobs/new", data=fields)
    file = io.BytesIO(json.dumps({**recipe, "template": TEMPLATE}).encode())
    fields = {"csrf_token": token(client), "recipe": (file, "r.json")}
    assert client.post("/jobs/new/2/load", data=fields).status_code == 200
    assert client.get("/jobs/new/2/template").status_code == 400


def test_pasted_tables_and_the_example(client, config):
    pasted = post(client, "/jobs/new", pasted="question\r\nWhy?\r\nHow?\r\n")
    assert pasted.headers["Location"] == "/jobs/new/1/workbench"
    assert "2 rows" in client.get("/jobs/new/1/workbench").text
    example = post(client, "/jobs/new", sample="questions.csv").headers["Location"]
    assert "5 rows" in client.get(example).text


SHEETS = by_openpyxl(
    [["My report"]],
    "Cover",
    Data=[["id", "question"], ["a", "Why?"], ["b", "=1+1"], ["c", "How?"]],
    More=[["q", "n"], ["What?", 7]],
    Empty=[],
)


def test_a_workbook_opens_at_its_first_table_and_offers_other_sheets(client, config):
    place = staged(client, SHEETS, "book.xlsx")
    page = client.get(place).text
    assert "sheet “Data”" in page
    assert "3 rows" in page
    assert "row 3" in page  # the fault and its label
    assert "cell B3 (“question”) holds a formula that was never calculated" in page
    taken = post(client, f"{place}/sheet", sheet="More")
    assert (taken.status_code, taken.headers["Location"]) == (303, place)
    page = client.get(place).text
    assert "sheet “More”" in page
    assert post(client, place, user="{{q}}", custom_id="").status_code == 303
    page = client.get("/jobs/new/1").text
    assert "What?" in page
    assert "sheet “More”" in page
    assert ">row 2<" in page
    refused = post(client, f"{place}/sheet", sheet="Empty")
    assert refused.status_code == 400
    assert "The sheet “Empty” is empty" in refused.text
    assert post(client, f"{place}/sheet", sheet="none").status_code == 303
    assert "sheet “More”" in client.get(place).text  # the former template stays
    recipe = post(client, "/jobs/new/1/recipe", config="1", name="n", max_retries="3").json
    assert recipe["template"]["sheet"] == "More"


def test_a_recipe_finds_its_sheet_or_takes_the_one_at_hand(client, config):
    def load(number, template):
        recipe = {"simple_batch_recipe": 1, "config": "one", "template": template}
        file = io.BytesIO(json.dumps(recipe).encode())
        fields = {"csrf_token": token(client), "recipe": (file, "r.json")}
        return client.post(f"/jobs/new/{number}/load", data=fields)

    staged(client, SHEETS, "book.xlsx")
    assert "What?" in load(1, {"user": "{{q}}", "sheet": "More"}).text
    assert "sheet “More”" in load(1, {"user": "{{q}}", "sheet": "Last month"}).text
    staged(client)
    assert "You help Ann." in load(2, {**TEMPLATE, "sheet": "More"}).text


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (by_openpyxl([]), "The sheet “Sheet” is empty"),
        (SHEETS[:-50], "damaged or cut off"),
        (b"PAR1" + b"x" * 50, "The Parquet file is damaged"),
        (b"\xd0\xcf\x11\xe0" + b"\0" * 600, "old kind (XLS)"),
    ],
)
def test_a_file_that_is_no_table_is_reported_and_not_kept(client, config, instance, data, expected):
    fields = {"csrf_token": token(client), "file": (io.BytesIO(data), "t.xlsx")}
    answer = client.post("/jobs/new", data=fields)
    assert answer.status_code == 400
    assert expected in answer.text
    assert list((instance / "uploads").iterdir()) == []


def test_plain_objects_and_parquet_use_a_template_and_keep_their_types(
    app, client, config, wait_for, instance
):
    lines = "".join(json.dumps({"question": f"why {n}?", "id": n}) + "\n" for n in range(3))
    frame = pandas.DataFrame({"question": [f"why {n}?" for n in range(3)], "id": range(3)})
    file = io.BytesIO()
    frame.to_parquet(file)
    with MisbehavingEndpoint(e.ok()) as endpoint:
        post(client, "/configs/1", **{**CONFIG, "base_url": endpoint.base_url})
        app.extensions["simple_batch"].start()
        for number, data in enumerate((lines, file.getvalue()), 1):
            place = staged(client, data)
            assert place == f"/jobs/new/{number}/template"
            assert "{{question}}" in client.get(place).text
            post(client, place, user="{{question}}", parameters='{"seed": "{{id}}"}', custom_id="")
            post(client, f"/jobs/new/{number}", config="1", name="n", max_retries="3")
            wait_for(number, "completed")
        assert sorted(body["seed"] for body in endpoint.bodies) == [0, 0, 1, 1, 2, 2]
    tables = []
    for number in (1, 2):
        answer = client.get(f"/jobs/{number}/export?format=parquet")
        tables.append(pq.read_table(io.BytesIO(answer.data)))
        assert answer.content_type == "application/vnd.apache.parquet"
        assert f'filename="n-{number}.parquet"' in answer.headers["Content-Disposition"]
    assert tables[0]["id"].to_pylist() == ["0", "1", "2"]
    assert tables[1].select(["question", "id"]).to_pandas().equals(frame)
    assert tables[1]["content"].to_pylist() == ["fine"] * 3
    answer = client.get("/jobs/2/export?format=xlsx&only=succeeded")
    sheet = openpyxl.load_workbook(io.BytesIO(answer.data)).active
    assert [row[:3] for row in sheet.iter_rows(values_only=True)] == [
        ("question", "id", "content"),
        *((f"why {n}?", n, "fine") for n in range(3)),
    ]
    answer = client.get("/jobs/2/export?format=xlsx")
    answer.close()  # the client goes away
    assert not [path for path in (instance / "uploads").iterdir() if path.is_dir()]


def test_the_template_begins_with_the_longest_texts_and_the_unique_id(client, config):
    table = ",id,title,review\n0,x,Good,It is as good as they say.\n1,y,Bad,Never again.\n"
    page = client.get(staged(client, table)).text
    assert "left out: column 1 (no name; looks like a row index)" in page
    assert ">{{review}}</textarea>" in page.replace("\r\n", "").replace("\n", "")
    assert '<option selected value="id">id</option>' in page
    assert "The template looks like a mistake" not in page


@pytest.mark.parametrize(
    ("user", "expected", "corrected"),
    [
        ("Sum up {question}", "write {{ question }}", "Sum up {{ question }}"),
        ("Say hello", "all requests would be the same", None),
        ("{% if n > 3 %}{{question}}{% endif %}", "“n” is text here: write n|int", None),
    ],
)
def test_a_template_that_looks_like_a_mistake_is_warned_about(
    client, config, user, expected, corrected
):
    place = staged(client)
    page = post(client, place, user=user, custom_id="", show="1").text
    assert "The template looks like a mistake:" in page
    assert expected in html.unescape(page)
    assert ('name="correct"' in page) == (corrected is not None)
    if corrected is not None:
        page = post(client, place, user=user, custom_id="", correct="1").text
        assert corrected in page
        assert "The template looks like a mistake:" not in page
        assert corrected in client.get(place).text  # it is in the draft
    else:
        assert post(client, place, user=user, custom_id="").status_code in (303, 400)


def test_the_warning_stays_until_the_launch_which_is_allowed(client, config):
    place = staged(client, "id,q\n1,a\n2,b\n")
    assert post(client, place, user="Say hello", custom_id="").status_code == 303
    page = client.get("/jobs/new/1").text
    assert "all requests would be the same" in page
    assert f'href="{place}"' in page
    assert post(client, "/jobs/new/1", config="1", name="n", max_retries="3").status_code == 303


def test_the_history_of_a_job_says_how_its_file_was_read(app, client, config, wait_for):
    place = staged(client, ",id,q\n0,x,a\n1,y,b\n")
    post(client, place, user="{{q}}", custom_id="id")
    post(client, "/jobs/new/1", config="1", name="n", max_retries="3", hold="1")
    app.extensions["simple_batch"].start()
    wait_for(1, "paused")
    assert "input: left out: column 1 (no name;" in client.get("/jobs/1/events").text
    page = client.get("/jobs/1/events?lang=zh").text
    assert "输入： 未使用：第 1 列（没有名称，看起来是行索引）" in page


def test_a_conversation_is_chosen_and_can_be_put_away(client, config):
    talks = [[{"role": "user", "content": text}] for text in ("Why?", "How?")]
    file = io.BytesIO()
    pq.write_table(pa.table({"messages": talks, "label": ["x", "y"]}), file)
    place = staged(client, file.getvalue(), "t.parquet")
    page = client.get(place).text
    assert '<option selected value="messages">messages</option>' in page
    assert "Why?" in page
    assert post(client, place, user="", conversation="messages", custom_id="").status_code == 303
    assert "Why?" in client.get("/jobs/new/1").text
    assert post(client, place, user="{{label}}", conversation="", custom_id="").status_code == 303
    refused = post(client, place, user="{{label}}", conversation="label", custom_id="", show="1")
    assert "column “label”" in refused.text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"data": [{"q": "a"}, {"q": "b"}], "total": 2}', "left out: what stands beside it"),
        ('{\n "q": "a"\n}\n{\n "q": NaN\n}\n', "cells that hold NaN are read as empty: 1"),
    ],
)
def test_json_in_other_shapes_is_a_table_and_says_what_was_read(client, config, text, expected):
    page = client.get(staged(client, text, "a.json")).text
    assert "2 rows" in page
    assert expected in page


def test_a_fault_shows_its_line_with_the_place_marked(client, config):
    good = '{"messages": [{"role": "user", "content": "a"}]}'
    place = staged(client, f'{good}\n{{"messages": "b"}}\n', "a.jsonl")
    page = client.get(place.replace("/template", "/workbench")).text
    assert "“messages” must be a list; here it is text." in page
    assert re.search(r'class="fault-excerpt[^>]*>.*<mark>', page)
