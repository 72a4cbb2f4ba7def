"""*Edit and send again* by a client without JavaScript: a mistake loses nothing."""

import html
import json
import re

import pytest

from simple_batch import intake
from simple_batch.core import context
from simple_batch.store.database import connected
from simple_batch.store.models import Override, Result

from .. import endpoint as e
from ..auth.conftest import post
from ..endpoint import MisbehavingEndpoint

GOOD = {"messages": [{"role": "user", "content": "edited"}]}


@pytest.fixture
def finished(app, add_config, make_job, wait_for):
    """A job of three requests that have ended; its server runs."""
    with MisbehavingEndpoint(e.ok(), e.error(400, "no")) as endpoint:
        add_config(endpoint.base_url, concurrency=1)
        job_id = make_job(3)
        app.extensions["simple_batch"].start()
        wait_for(job_id, "completed")
        yield job_id
        app.extensions["simple_batch"].stop(2)


def send(client, url: str, body: str, query: str = ""):
    return post(client, f"{url}/send{query}", body=body.replace("\n", "\r\n"))  # as browsers do


def test_a_mistake_comes_back_with_the_text_the_place_and_the_filter(client, finished):
    url = f"/jobs/{finished}/requests/0"
    text = '\n{\n  "messages": [\n    {"role": "user", "content": "why, 为什么?"},\n  ]\n}\n'
    answer = send(client, url, text, "?status=failed&q=why&page=3&sort=-latency")
    assert answer.status_code == 422
    page = answer.text
    editor = re.search(r'(?s)<details class="mt-2" id="edit" open>.*?</details>', page)[0]
    kept = re.search(r"(?s)<textarea[^>]*>\n(.*?)</textarea>", editor)[1]
    assert html.unescape(kept) == text
    assert "Line 4, column 45:" in editor
    assert '"content": &#34;why' not in editor  # one escape
    marked = re.search(r'(?s)<pre class="fault-line[^>]*>(.*?)</pre>', editor)[1]
    assert html.unescape(marked) == '…{"role": "user", "content": "why, 为什么?"}<mark>,</mark>'
    assert text[int(re.search(r'data-at="(\d+)"', editor)[1])] == ","
    action = html.unescape(re.search(r'action="([^"]+/send[^"]*)"', editor)[1])
    assert action == f"{url}/send?status=failed&q=why&sort=-latency&page=3"
    with connected():
        assert not Override.select().exists()
        assert Result.select().count() == 3
    # the address of that page leads back to the request
    assert client.get(action).headers["Location"] == action.replace("/send", "")

    again = send(client, url, json.dumps(GOOD), action.partition("/send")[2])
    assert (again.status_code, again.headers["Location"]) == (303, action.replace("/send", ""))


@pytest.mark.parametrize(
    ("text", "line", "column", "here"),
    [
        ('{"messages": [{"role": "user" "content": "x"}]}', 1, 31, '"'),
        ("{'messages': []}", 1, 2, "'"),
        ('{"messages": [{"role": "user", "content": NaN}]}', 1, 43, "N"),
        ('{"messages":\n[{"role": "user", "content": "x"}]', 2, 35, None),
        ('{"messages": [{"role": "boss",\n"content": "x"}]}', 1, 24, '"'),
        ('{\n"messages": "text"}', 2, 13, '"'),
        ('{"messages": [\n {"role": "user", "content": 5}]}', 2, 30, "5"),
        ('  {"messages": [\n {"role": "user", "content": "a\tb"}]}', 2, 32, "\t"),
        ('["messages"]', 1, 1, "["),
        ("", 1, 1, None),
    ],
)
def test_where_the_mistake_is(app, text, line, column, here):
    with pytest.raises(intake.InvalidBody) as caught:
        intake.check_body(text, context.settings())
    place = caught.value.place
    if line is None:
        assert str(caught.value)
        return
    assert (place.line, place.column) == (line, column), caught.value
    assert text[place.at : place.at + 1] == (here or "")


def test_a_mistake_in_a_large_text_is_shown_with_its_surroundings_and_without_keys(app):
    rest = "x" * 50_000
    text = f'{{"messages": [{{"role": "user", "content": "{rest} sk-planted-0123456789" "y"}}]}}'
    with pytest.raises(intake.InvalidBody) as caught:
        intake.check_body(text, context.settings())
    place = caught.value.place
    assert len(place.excerpt) < 250
    assert place.excerpt[place.mark] == '"'
    assert "planted" not in place.excerpt
    assert text[place.at : place.at + 3] == '"y"'


def test_what_is_under_way_keeps_the_text_too(app, client, add_config, make_job):
    add_config("http://127.0.0.1:9/v1")
    job_id = make_job(2, hold=True)
    page = client.get(f"/jobs/{job_id}/requests/1").text
    assert "Reload the page to see it." in re.search(r"(?s)<noscript>.*?</noscript>", page)[0]
    answer = send(client, f"/jobs/{job_id}/requests/1", json.dumps(GOOD))
    assert answer.status_code == 409
    assert "has not ended yet" in answer.text
    assert "edited" in re.search(r"(?s)<textarea.*?</textarea>", answer.text)[0]
    assert send(client, f"/jobs/{job_id}/requests/7", json.dumps(GOOD)).status_code == 404


def test_in_chinese(client, finished):
    answer = send(client, f"/jobs/{finished}/requests/0", "{", "?lang=zh")
    assert answer.status_code == 422
    assert "第 1 行，第 2 列" in answer.text
