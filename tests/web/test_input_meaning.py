"""The pages name what is left out of a table, warn about templates that look like a mistake, and show where a
line is at fault."""

# ruff: noqa: F811 - fixtures that are imported

import io
import json
import re

import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from simple_batch.services import importer, jobs
from simple_batch.store.database import connected
from simple_batch.store.models import Request

from .test_pages import config, post, token  # noqa: F401 (fixtures)
from .test_tables import staged

REVIEWS = "product,id,review text,stars\nPhone,a,a good one for its price,5\nTV,b,dear,1\n"


def uploaded(client, data: bytes, name="x.jsonl"):
    fields = {"csrf_token": token(client), "file": (io.BytesIO(data), name)}
    return client.post("/jobs/new", data=fields, content_type="multipart/form-data")


def bodies(job_id: int) -> list[dict]:
    with connected():
        rows = Request.select().where(Request.job == job_id).order_by(Request.idx)
        return [json.loads(bytes(row.body)) for row in rows]


def test_the_draft_uses_the_longest_texts_and_the_id(client, config):
    place = staged(client, REVIEWS)
    page = client.get(place).text
    assert re.search(r"<textarea[^>]*name=\"user\"[^>]*>\s*\{\{review text\}\}", page)
    assert re.search(r'<option selected value="id">id', page)
    place = staged(client, REVIEWS.replace("TV,b", "TV,a"))
    assert re.search(r'<option selected value="">numbered', client.get(place).text)


def test_what_is_left_out_is_named_on_each_step(client, config):
    frame = pandas.DataFrame({"review": ["good", "bad"]})
    place = staged(client, frame.to_csv())
    note = "left out: column 1 (no name; looks like a row index)"
    assert note in client.get(place).text
    done = post(client, place, user="{{review}}", system="", parameters="", custom_id="")
    assert done.status_code == 303
    page = client.get(done.headers["Location"])
    assert note in page.text
    assert "未使用：第 1 列（没有名称，看起来是行索引）" in client.get(place + "?lang=zh").text


@pytest.mark.parametrize("user", ["About {review text}: {{stars}}", "Say hello."])
def test_a_template_that_looks_like_a_mistake_is_warned_about(client, config, user):
    place = staged(client, REVIEWS)
    fields = {"system": "", "parameters": "", "custom_id": ""}
    shown = post(client, place, **fields, user=user, show="1").text
    assert 'id="template-warnings"' in shown
    if "{" in user:
        assert "{review text} is sent as it stands" in shown
        fixed = post(client, place, **fields, user=user, correct="1").text
        assert "About {{ review text }}: {{stars}}" in fixed
        assert 'id="template-warnings"' not in fixed
        assert "About a good one for its price: 5" in fixed
    else:
        assert "all requests would be the same" in shown
        assert 'name="correct"' not in shown
    kept = post(client, place, **fields, user=user)
    assert kept.status_code == 303
    preview = client.get(kept.headers["Location"]).text
    assert 'id="template-warnings"' in preview
    assert f'href="{place}"' in preview


def test_a_right_template_is_not_warned_about(client, config):
    place = staged(client, REVIEWS)
    fields = {"system": "", "parameters": "", "custom_id": "id", "user": "{{review text}}"}
    assert "template-warnings" not in post(client, place, **fields, show="1").text
    assert (
        "template-warnings"
        not in client.get(post(client, place, **fields).headers["Location"]).text
    )


def test_numbers_are_explained_at_the_example(client, config):
    place = staged(client, REVIEWS)
    fields = {"system": "", "parameters": "", "custom_id": ""}
    user = "{% if stars > 3 %}{{review text}}{% endif %}"
    page = post(client, place, **fields, user=user, show="1").text
    assert "“stars” is text here: write stars|int &gt; 3" in page
    page = post(client, place, **fields, user="{{review text}", show="1").text
    assert "}} is missing after {{review text" in page


def test_a_conversation_column_is_sent(client, config):
    talk = [{"role": "user", "content": "hi"}]
    file = io.BytesIO()
    pq.write_table(pa.table({"prompt": ["p", "q"], "messages": [talk, talk]}), file)
    place = staged(client, file.getvalue(), "t.parquet")
    page = client.get(place).text
    assert re.search(r'<option selected value="messages">messages', page)
    assert "hi" in page
    fields = {"system": "Be brief.", "parameters": "", "custom_id": "", "user": ""}
    done = post(client, place, **fields, conversation="messages")
    assert done.status_code == 303, done.text
    made = post(client, done.headers["Location"], config="1", name="n", max_retries="3", hold="1")
    job_id = int(made.headers["Location"].rsplit("/", 1)[1])
    importer.import_quietly(job_id)
    with connected():
        assert jobs.get(job_id).total == 2
    assert bodies(job_id)[0] == {"messages": [{"role": "system", "content": "Be brief."}, *talk]}
    assert (
        "lists and objects are given to templates as JSON"
        in client.get(f"/jobs/{job_id}/events").text
    )


def test_a_fault_shows_its_line_with_the_place_marked(client, config):
    good = json.dumps({"messages": [{"role": "user", "content": "x"}]})
    answer = uploaded(client, f'{good}\n{{"messages": "<b>"}}\n'.encode())
    page = client.get(answer.headers["Location"]).text
    assert "“messages” must be a list; here it is text." in page
    assert "<mark>&#34;</mark>&lt;b&gt;&#34;}" in page
    chinese = client.get(answer.headers["Location"] + "?lang=zh").text
    assert "“messages”应为列表，实际为文本。" in chinese
    answer = uploaded(client, f"{good}\n{good[:-1]}\n".encode())
    assert "<mark>\xa0</mark>" in client.get(answer.headers["Location"] + "?lang=en").text


@pytest.mark.parametrize(
    "line",
    [
        {"custom_id": "a", "method": "POST", "url": "/chat/completions", "body": {}},
        {"custom_id": "a", "method": "POST", "url": "/v4/chat/completions", "body": {}},
        {"custom_id": "a", "body": {}},
    ],
)
def test_batch_lines_of_other_providers_are_taken(client, config, line):
    line["body"] = {"model": "m", "messages": [{"role": "user", "content": "question?"}]}
    answer = uploaded(client, json.dumps(line).encode())
    assert answer.status_code == 303, answer.text
    page = client.get(answer.headers["Location"]).text
    assert "openai-batch" in page
    assert "1 row" in page


def test_lists_within_an_object_are_taken(client, config):
    rows = [{"messages": [{"role": "user", "content": "x"}]}]
    answer = uploaded(client, json.dumps({"object": "list", "data": rows}).encode())
    page = client.get(answer.headers["Location"]).text
    assert "left out: what stands beside it (“object”)" in page
