"""The grid of a job's results by a client without JavaScript: columns, filters, order, pages, values."""

import csv
import io
import json
import re
import time
from urllib.parse import parse_qs

import pytest

from simple_batch.core.clock import now_ms
from simple_batch.core.domain import Cause
from simple_batch.insight.results_grid import column_values
from simple_batch.intake import Template
from simple_batch.services import job_creation, jobs
from simple_batch.store import column_keys, requeue, results
from simple_batch.store import jobs as job_rows
from simple_batch.store.database import connected
from simple_batch.store.models import GridColumn, GridKey, Job, Request, Result, SavedView, database

from ..auth.conftest import log_in  # noqa: F401 (fixture)
from ..store.test_results import recorded
from .test_pages import post, token

T = 1_700_000_000_000
SCHEMA = {
    "type": "object",
    "properties": {"label": {"type": "string"}, "score": {"type": "number"}},
    "required": ["label", "score"],
}
TABLE = [  # stars, review; the answer's label and score, None for a failed request
    ("5", "Great, really", ("good", 9)),
    ("1", "late DELIVERY", ("bad", 2)),
    ("", "Späte Lieferung, ÄRGER", ("bad", 10)),
    ("10", "fine", None),
    ("5", "", ("good", 7.5)),
    ("n/a", "x" * 300 + " the end", ("Good", 1)),
]


def answered(job_id: int, index: int, label: str, score: float) -> None:
    """A good answer with these fields."""
    results.write([recorded(job_id, index, [], True, T + index * 1000)])
    text = json.dumps({"label": label, "score": score})
    body = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}
    change = {
        "response": json.dumps(body).encode(),
        "outcome": "ok",
        "latency_ms": 100 * (9 - index),
    }
    Result.update(change).where((Result.job == job_id) & (Result.idx == index)).execute()


@pytest.fixture
def table(add_config, tmp_path):
    """A job of the table, with its answers; it has ended."""
    add_config("http://127.0.0.1:9/v1")
    path = tmp_path / "reviews.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["stars", "review"])
        writer.writerows(row[:2] for row in TABLE)
    options = jobs.JobOptions(
        config="test", template=Template(user="Rate {{review}}{{stars}}"), schema=SCHEMA
    )
    with connected():
        job_id = job_creation.create_now(path, path.name, options, confirmed=True).id
        for index, (_stars, _review, fields) in enumerate(TABLE):
            if fields is None:
                results.write([recorded(job_id, index, [Cause.TIMEOUT], False, T)])
                Result.update(latency_ms=None).where(Result.idx == index).execute()
            else:
                answered(job_id, index, *fields)
        Job.update(status="completed", finished_at=T + 60_000).execute()
    return job_id


def shown(client, job_id: int, query: str = "") -> list[int]:
    """The numbers of the rows of the page, from 1."""
    answer = client.get(f"/jobs/{job_id}/results?{query}")
    assert answer.status_code == 200, answer.text
    return [int(n) + 1 for n in re.findall(r'<tr data-index="(\d+)"', answer.text)]


def link(text: str, name: str) -> str:
    return re.search(rf'id="{name}"[^>]*href="([^"]+)"', text)[1].replace("&amp;", "&")


def walked(client, job_id: int, query: str, way: str = "page-next") -> list[list[int]]:
    """The pages of a query, one after the other."""
    path, pages = f"/jobs/{job_id}/results?{query}", []
    for _ in range(20):
        text = client.get(path).text
        pages.append([int(n) + 1 for n in re.findall(r'<tr data-index="(\d+)"', text)])
        if f'id="{way}"' not in text:
            return pages
        path = link(text, way)
    raise AssertionError("the pages have no end")


def test_the_columns_are_those_of_the_table_the_answer_and_its_fields(client, table):
    page = client.get(f"/jobs/{table}/results").text
    found = re.findall(r'<th scope="col" data-col="([^"]+)"', page)
    expected = ["col.stars", "col.review", "answer", "field.label", "field.score"]
    behind = ["outcome", "rating", "cost", "latency", "tokens_in", "tokens_out", "config"]
    assert found == [*expected, *behind]
    assert "Späte Lieferung" in page
    assert "7.5" in page
    assert f'href="/jobs/{table}/requests/0">1</a>' in page  # counted from 1
    chosen = client.get(
        f"/jobs/{table}/results?cols=latency&cols=col.review,nothing&w=col.review:200"
    )
    assert chosen.status_code == 400  # no such column
    page = client.get(f"/jobs/{table}/results?cols=latency&cols=col.review&w=col.review:200").text
    assert re.findall(r'<th scope="col" data-col="([^"]+)"', page) == ["latency", "col.review"]
    assert 'data-width="200"' in page
    fragment = client.get(f"/jobs/{table}/results?fragment=1").text
    assert 'id="results"' in fragment
    assert "<html" not in fragment


@pytest.mark.parametrize("ready", [True, False], ids=["keys", "looked through"])
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("cost>=0.00003", [2, 3]),
        ("cost<=0.00003", [1, 2]),
        ("cost=0.00003", [2]),
        ("empty=cost", [4, 5, 6]),
        ("latency>=1.5", [3, 5]),
        ("latency<=1.5&tokens_in>=9", [2, 3]),
        ("tokens_in=9", [2, 3]),
        ("tokens_out>=7.5&sort=-tokens_out", [5, 3]),
        ("answer~=BAD", [2, 3]),
        ("answer~=good&cost<=1", [1]),
        ("cost=1e308", []),
        ("cost>=1e308", []),
        ("latency<=1e308&latency>=-1e308", [1, 2, 3, 5, 6]),
    ],
)
def test_answers_and_figures_are_filtered_by(client, table, monkeypatch, query, expected, ready):
    figures = [  # cost in nano-units, latency in ms, tokens in and out
        (10_000, 1000, 8, 5), (30_000, 1200, 9, 6), (34_500, 1500, 9, 8),
        (None, None, None, None), (None, 9000, 12, 70), (None, 900, 2, 1),
    ]  # fmt: skip
    with connected():
        for index, (cost, latency, tokens_in, tokens_out) in enumerate(figures):
            Result.update(
                cost_nano=cost, latency_ms=latency, input_tokens=tokens_in, output_tokens=tokens_out
            ).where(Result.idx == index).execute()
    if not ready:
        monkeypatch.setattr(column_keys, "AT_ONCE", 0)
    found = shown(client, table, query)
    assert (found if ready else sorted(found)) == (expected if ready else sorted(expected))
    lines = client.get(f"/jobs/{table}/export?format=jsonl&{query}").text.splitlines()
    assert sorted(json.loads(line)["index"] + 1 for line in lines) == sorted(expected)


@pytest.mark.parametrize("ready", [True, False], ids=["keys", "looked through"])
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("prompt~=delivery", [2]),
        ("prompt~=rate&prompt~=GREAT", [1]),
        ("custom_id~=THE", [6]),
        ("custom_id=other", [6]),
        ("model=SMALL", [2, 6]),
        ("model~=arg", [1, 3]),
        ("empty=model", [4]),
        ("attempts>=2", [3, 5]),
        ("attempts=3", [5]),
        ("finish_reason=stop", [1, 2]),
        ("finish_reason~=length", [3]),
        ("service_tier=flex", [2]),
        ("empty=service_tier&empty=model", [4]),
        ("started>=1700000002", [3, 4, 5, 6]),
        ("started<=1700000002&started>=1700000001", [2, 3]),
        ("finished>=1700000104.5", [6]),
        ("finished<=1700000100.5&empty=code", [1]),
        ("code=429", [4]),
        ("empty=config", [4]),
        ("empty=outcome", []),
    ],
)
def test_every_column_can_be_filtered_by(client, table, monkeypatch, query, expected, ready):
    found = [  # model, attempts, finish_reason, service_tier, HTTP status
        ("Large", 1, "stop", "default", None), ("small", 1, "stop", "flex", 200),
        ("Large", 2, "length", "default", 200), (None, 1, None, None, 429),
        ("other", 3, None, "default", 200), ("small", 1, None, "default", 200),
    ]  # fmt: skip
    names = "model", "attempts", "finish_reason", "service_tier", "http_status"
    with connected():
        for index, values in enumerate(found):
            times = {"started_at": T + index * 1000, "finished_at": T + 100_000 + index * 1000}
            change = (
                dict(zip(names, values, strict=True))
                | times
                | {"config": (values[0] and "one") or ""}
            )
            Result.update(change).where(Result.idx == index).execute()
        Request.update(custom_id="other").where(Request.idx == 5).execute()
    if not ready:
        monkeypatch.setattr(column_keys, "AT_ONCE", 0)
    assert sorted(shown(client, table, query)) == expected
    lines = client.get(f"/jobs/{table}/export?format=jsonl&{query}").text.splitlines()
    assert sorted(json.loads(line)["index"] + 1 for line in lines) == expected


def test_a_filter_by_time_is_in_the_time_zone_of_the_page(client, table):
    client.set_cookie("zone", "Asia/Shanghai")  # T is 06:13:20 there
    local = "finished>=2023-11-15T06:13:20&finished<=2023-11-15T06:13:22"
    answer = client.get(f"/jobs/{table}/results?{local}&wrap=1")
    assert answer.status_code == 303
    query = answer.location.partition("?")[2]
    assert parse_qs(query) == {
        "finished>": ["1700000000"], "finished<": ["1700000002.999"], "wrap": ["1"],
    }  # fmt: skip
    with connected():
        for index in range(6):
            Result.update(finished_at=T + index * 1000 + 400).where(Result.idx == index).execute()
    assert shown(client, table, query) == [1, 2, 3]
    page = client.get(f"/jobs/{table}/results?{query}&cols=finished").text
    assert 'value="2023-11-15T06:13:20"' in page
    badge = re.search(r'<a class="badge[^>]*condition".*?</a>', page, re.DOTALL)[0]
    assert "2023-11-15 06:13:20" in badge
    for text, expected in (
        ("2023-11-14T22:13:21Z", "1700000001"),  # a time zone that is given counts
        ("2023-11-15", "1699977600"),
    ):
        answer = client.get(f"/jobs/{table}/results?finished>={text}")
        assert parse_qs(answer.location.partition("?")[2]) == {"finished>": [expected]}
    answer = client.get(f"/jobs/{table}/results?finished<=2023-11-15")
    assert "1700063999.999" in answer.location
    answer = client.get(f"/jobs/{table}/results?finished<=2023-11-15T06:13:22.750")
    assert parse_qs(answer.location.partition("?")[2]) == {"finished<": ["1700000002.75"]}
    for text in ("yesterday", "2023-13-15T00:00", "9999-12-31"):
        answer = client.get(f"/jobs/{table}/results?finished<={text}", follow_redirects=True)
        assert answer.status_code == 400, text


def test_a_local_time_waits_for_the_zone_of_the_browser(client, table):
    """The first page of a browser tells the zone and is loaded again."""
    path = f"/jobs/{table}/results?finished<=2023-11-15T06:13:22"
    first = client.get(path)
    assert first.status_code == 200  # it keeps its address
    client.set_cookie("zone", "Asia/Shanghai")
    assert "1700000002.999" in client.get(path).location
    requests = f"/jobs/{table}/requests?from=2023-11-15T06:13:22"
    assert "from=1700000002" in client.get(requests).location
    client.delete_cookie("zone")
    assert client.get(requests).status_code == 200


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("code>=400", [4]),
        ("code<=200", [1, 2]),
        ("config~=NE", [1, 2, 4]),
        ("outcome~=o", [1, 2, 3, 5, 6]),
    ],
)
def test_signs_work_with_the_columns_of_other_filters(client, table, query, expected):
    with connected():
        for index, (code, config) in enumerate(
            [(200, "one"), (200, "One"), (None, "two"), (429, "ONE")]
        ):
            change = {"http_status": code, "config": config}
            Result.update(change).where(Result.idx == index).execute()
    assert shown(client, table, query) == expected
    lines = client.get(f"/jobs/{table}/export?format=jsonl&{query}").text.splitlines()
    assert [json.loads(line)["index"] + 1 for line in lines] == expected


def test_figures_are_equal_as_numbers(client, table):
    with connected():
        Result.update(attempts=2, input_tokens=20).where(Result.idx << [1, 4]).execute()
    for query in ("attempts=2.0", "attempts=02", "tokens_in=2e1", "tokens_in=%2B20"):
        assert shown(client, table, query) == [2, 5], query
    assert shown(client, table, "attempts=2.5") == []


def test_filters_without_a_field_have_badges_that_remove_them(client, table):
    query = "code=429&config=test&min_ms=100&to=1800000000&group=abc"
    page = client.get(f"/jobs/{table}/results?{query}").text
    badges = re.findall(r'condition" href="([^"]+)"[^>]*>([^<]+(?:<time.*?</time>)?)', page)
    words = [" ".join(re.sub("<.*?>", "", text).split()) for _url, text in badges]
    assert words == ["HTTP = 429", "API = test", "Latency ≥ 100 ms", "Finished &lt; 2027-01-15 08:00:00", "Group of errors = abc"]  # fmt: skip
    left = [set(parse_qs(url.replace("&amp;", "&").partition("?")[2])) for url, _text in badges]
    names = {"code", "config", "min_ms", "to", "group"}
    assert [names - one for one in left] == [{"code"}, {"config"}, {"min_ms"}, {"to"}, {"group"}]


def test_single_rows_as_json_heed_the_filter(client, table):
    def found(query: str) -> list[int]:
        return [
            row["index"] for row in client.get(f"/jobs/{table}/results.json?{query}").json["rows"]
        ]

    assert found("rows=0-5") == [0, 1, 2, 3, 4, 5]
    assert found("rows=0-3,5&col.stars=5") == [0]
    assert found("rows=0-5&status=failed") == [3]


def test_keys_follow_results_that_are_removed(client, table):
    for query in ("attempts=1", "empty=outcome", "empty=field.label", "answer~=good"):
        shown(client, table, query)
    assert shown(client, table, "prompt~=fine") == [4]
    assert post(client, f"/jobs/{table}/retry", status="failed").status_code == 303
    assert shown(client, table, "empty=outcome") == [4]
    assert shown(client, table, "empty=attempts") == [4]
    edited = {"messages": [{"role": "user", "content": "about a zebra"}]}
    with connected():
        assert requeue.replace_one(table, 0, json.dumps(edited).encode())
    assert shown(client, table, "empty=outcome") == [1, 4]
    assert shown(client, table, "empty=field.label") == [1, 4]
    assert shown(client, table, "prompt~=zebra") == [1]
    assert shown(client, table, "prompt~=Great") == []
    with connected():
        [name] = [value for value in column_values(table, "attempts")[0] if value.value is None]
    assert name.count == 2


def test_more_conditions_than_columns_keep_their_keys(three_columns, client, table):
    query = "col.stars>=1&empty=note&field.score>=1&attempts>=0&tokens_in>=-1&started>=1&model~=&cost<=9"
    with connected():
        Result.update(input_tokens=1, cost_nano=1, attempts=1, started_at=T).execute()
    for _ in range(3):
        assert shown(client, table, f"{query}&sort=-answer") == [1, 5, 2]
        with connected():
            assert not GridColumn.select().where(GridColumn.removed).exists()
            while any(map(column_keys.build_step, column_keys.behind())):
                pass


def test_conditions_on_empty_columns_add_up(client, table):
    page = client.get(f"/jobs/{table}/results?empty=col.review&cols=col.stars").text
    more = re.search(r'href="([^"]+)">Only empty', page)[1].replace("&amp;", "&")
    query = parse_qs(more.partition("?")[2])
    assert query["empty"] == ["col.review", "col.stars"]
    page = client.get(more).text
    removed = re.findall(r'condition" href="([^"]+)"', page)
    left = [parse_qs(link.replace("&amp;", "&").partition("?")[2])["empty"] for link in removed]
    assert left == [["col.stars"], ["col.review"]]
    listed = client.get(f"/jobs/{table}/results/values?values=col.stars&empty=col.review").text
    assert "empty=col.review" in re.search(r'href="([^"]*col.stars=5[^"]*)"', listed)[1]


def test_the_prompt_is_that_which_was_sent_last(client, add_config, make_job):
    add_config("http://127.0.0.1:9/v1")
    job_id = make_job(3)
    long = {"messages": [{"role": "user", "content": "y" * 60_000 + " a long question"}]}
    huge = {"messages": [{"role": "user", "content": "z" * 200_000}]}
    with connected():
        for index, body in ((1, long), (2, huge)):
            results.write([recorded(job_id, index, [Cause.TIMEOUT], False, T)])
            assert requeue.replace_one(job_id, index, json.dumps(body).encode())
    assert shown(client, job_id, "prompt~=question+2") == []
    assert shown(client, job_id, "prompt~=long+question") == [2]
    page = client.get(f"/jobs/{job_id}/results").text
    assert "yyyy" in page
    assert page.count("Too long for a cell.") == 1


def test_what_a_failed_request_cost_is_on_its_page_as_in_the_grid(client, table):
    with connected():
        Result.update(cost_nano=34_500).where(Result.idx == 3).execute()
    for page in ("results", "requests/3"):
        assert "$0.0000345" in client.get(f"/jobs/{table}/{page}").text, page


@pytest.mark.parametrize(
    ("query", "words"),
    [
        *((query, "not a number") for query in ("cost>=much", "cost=late", "cost=nan", "cost~=3")),
        ("latency~=1", "not a number"),
        ("attempts=many", "not a number"),
        ("started~=2023", "give seconds since 1970"),
    ],
)
def test_a_filter_on_a_figure_needs_a_number(client, table, query, words):
    answer = client.get(f"/jobs/{table}/results?{query}", headers={"Accept": "application/json"})
    assert answer.status_code == 400
    assert words in answer.text


def test_an_answer_that_is_too_long_for_a_cell_says_so(client, table):
    body = {"choices": [{"message": {"content": "x" * 200_000}, "finish_reason": "stop"}]}
    with connected():
        Result.update(response=json.dumps(body).encode()).where(Result.idx == 2).execute()
    assert client.get(f"/jobs/{table}/results").text.count("Too long for a cell.") == 1
    for query in ("empty=answer", "empty=field.label"):  # it is not empty
        assert 3 not in shown(client, table, query)
        lines = client.get(f"/jobs/{table}/export?format=jsonl&{query}").text.splitlines()
        assert 2 not in [json.loads(line)["index"] for line in lines]
    assert client.get(f"/jobs/{table}/results.json?rows=2").json["rows"][0]["too_long"]


def test_chat_files_show_the_last_message_of_the_user(client, add_config, make_job):
    add_config("http://127.0.0.1:9/v1")
    job_id = make_job(3)
    page = client.get(f"/jobs/{job_id}/results").text
    assert 'data-col="prompt"' in page
    assert "question 3" in page


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("col.stars=5", [1, 5]),
        ("col.stars=5&col.stars=1", [1, 2, 5]),
        ("col.stars=N/A", [6]),
        ("col.review~=delivery", [2]),
        ("col.review~=ärger", [3]),
        ("col.review~=the+end", [6]),  # behind what a key holds
        ("col.review~=not+there", []),
        ("col.review~=%25", []),
        ("col.stars>=5", [1, 4, 5]),
        ("col.stars<=5", [1, 2, 5]),
        ("col.stars>=2&col.stars<=9", [1, 5]),
        ("empty=col.stars", [3]),
        ("empty=col.review", [5]),
        ("field.label=GOOD", [1, 5, 6]),
        ("field.score>=9", [1, 3]),
        ("empty=field.label", [4]),
        ("col.stars=5&field.score<=8", [5]),
        ("status=failed", [4]),
        ("status=succeeded&col.stars=5", [1, 5]),
        ("outcome=ok&sort=-field.score", [3, 1, 5, 2, 6]),
        ("q=delivery", [2]),
        ("q=the&col.stars=5", []),
        ("col.review~=", [1, 2, 3, 4, 5, 6]),  # an empty field of a form
        ("status=pending", []),
    ],
)
def test_filters_find_the_same_rows_with_and_without_keys(
    client, table, query, expected, monkeypatch
):
    assert shown(client, table, query) == expected
    monkeypatch.setattr(column_keys, "AT_ONCE", 0)
    with connected():
        GridKey.delete().execute()
        GridColumn.delete().execute()
    if "sort=" not in query:
        assert shown(client, table, query) == expected


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("index", [1, 2, 3, 4, 5, 6]),
        ("-index", [6, 5, 4, 3, 2, 1]),
        ("col.stars", [2, 1, 5, 4, 6, 3]),  # numbers, texts, empty
        ("-col.stars", [6, 4, 5, 1, 2, 3]),  # empty last
        ("field.label", [2, 3, 1, 5, 6, 4]),
        ("-field.score", [3, 1, 5, 2, 6, 4]),
        ("latency", [6, 5, 3, 2, 1, 4]),
        ("-latency", [1, 2, 3, 5, 6, 4]),
        ("col.review", [4, 1, 2, 3, 6, 5]),
        ("outcome", [4, 1, 2, 3, 5, 6]),
    ],
)
@pytest.mark.parametrize("per", [1, 2, 6])
def test_pages_in_any_order_show_every_row_once(client, table, monkeypatch, sort, expected, per):
    monkeypatch.setattr("simple_batch.web.grid_view.SIZES", (1, 2, 6, 100))
    pages = walked(client, table, f"sort={sort}&per={per}")
    assert [row for page in pages for row in page] == expected
    # the way back, from the last page
    path = f"/jobs/{table}/results?sort={sort}&per={per}"
    text = client.get(path).text
    while 'id="page-next"' in text:
        text = client.get(link(text, "page-next")).text
    back = [[int(n) + 1 for n in re.findall(r'<tr data-index="(\d+)"', text)]]
    while 'id="page-previous"' in text:
        text = client.get(link(text, "page-previous")).text
        back.insert(0, [int(n) + 1 for n in re.findall(r'<tr data-index="(\d+)"', text)])
    assert back == pages


def test_pages_while_results_come_in(client, add_config, make_job, monkeypatch):
    monkeypatch.setattr("simple_batch.web.grid_view.SIZES", (2, 100))
    add_config("http://127.0.0.1:9/v1")
    job_id = make_job(6)
    with connected():
        Job.update(status="running").execute()
        for index in (0, 2, 4):
            answered(job_id, index, "a", 1)
    text = client.get(f"/jobs/{job_id}/results?sort=latency&per=2").text
    assert re.findall(r'data-index="(\d+)"', text) == ["4", "2"]
    with connected():
        answered(job_id, 5, "a", 1)  # sorts before the page
        answered(job_id, 1, "a", 1)  # behind it
    text = client.get(link(text, "page-next")).text
    assert re.findall(r'data-index="(\d+)"', text) == ["1", "0"]
    text = client.get(link(text, "page-next")).text
    assert re.findall(r'data-index="(\d+)"', text) == ["3"]  # it has no result
    # keys of answers follow the results
    assert shown(client, job_id, "sort=outcome&per=100")[:5] == [1, 2, 3, 5, 6]


def test_a_large_job_is_looked_through_until_its_keys_are_there(client, table, monkeypatch):
    monkeypatch.setattr(column_keys, "AT_ONCE", 0)
    monkeypatch.setattr("simple_batch.insight.results_grid.LOOK_S", -1.0)
    monkeypatch.setattr("simple_batch.web.grid_view.SIZES", (1, 100))
    path = f"/jobs/{table}/results?col.stars=10&per=1"
    text = client.get(path).text
    assert "No match so far." in text
    assert "is being prepared (0%)" in text
    found = []
    while 'id="page-further"' in text:
        text = client.get(link(text, "page-further")).text
        found += re.findall(r'<tr data-index="(\d+)"', text)
    assert found == ["3"]
    page = client.get(f"/jobs/{table}/results?sort=-col.review&per=100").text
    assert "rows are in file order" in page
    assert re.findall(r'<tr data-index="(\d+)"', page) == list("012345")
    with connected():
        while any(map(column_keys.build_step, column_keys.behind())):
            pass
    assert shown(client, table, "col.stars=10&per=1") == [4]
    assert shown(client, table, "sort=-col.review&per=100") == [6, 3, 2, 1, 4, 5]
    # their values are counted at once from now on
    page = client.get(f"/jobs/{table}/results?per=100").text
    counted = re.findall(r'data-values-of="([^"]+)" data-at-once', page)
    assert counted == ["col.stars", "col.review", "rating"]


def test_keys_are_built_in_few_steps_though_the_database_is_slow(client, table, monkeypatch):
    """The time until a server answers must not count as work: each step would add a single key."""
    monkeypatch.setattr(column_keys, "AT_ONCE", 0)
    client.get(f"/jobs/{table}/results?sort=-col.review")
    execute = database.obj.execute_sql

    def slowly(*args, **options):
        time.sleep(1.5 * column_keys.STEP_S)
        return execute(*args, **options)

    monkeypatch.setattr(database.obj, "execute_sql", slowly)
    steps = 0
    with connected():
        while any(map(column_keys.build_step, column_keys.behind())):
            steps += 1
    monkeypatch.undo()
    with connected():
        assert GridKey.select().count() == len(TABLE)
    assert steps <= 2


@pytest.mark.parametrize("sort", ["index", "-index"])
def test_a_condition_that_no_index_serves_looks_at_a_part_at_a_time(
    client, table, monkeypatch, sort
):
    """Also where its keys are complete: a page never reads all of a large job, and says so."""
    monkeypatch.setattr("simple_batch.insight.grid_order.LARGE", 0)
    monkeypatch.setattr("simple_batch.web.grid_view.SIZES", (1, 100))
    path = f"/jobs/{table}/results?col.stars>=5&per=1&sort={sort}"
    client.get(path)
    with connected():
        while any(map(column_keys.build_step, column_keys.behind())):
            pass
    rows = [1, 4, 5] if sort == "index" else [5, 4, 1]
    stopped = 0
    for size in (1, 2, 5, 100):
        monkeypatch.setattr("simple_batch.insight.grid_order.SCANNED", size)
        for look_s in (-1.0, 60.0):
            monkeypatch.setattr("simple_batch.insight.results_grid.LOOK_S", look_s)
            pages, last, there = looked_through(client, path, "page-next")
            back_again, _first, back = looked_through(client, last, "page-previous")
            assert (pages, back_again) == (rows, rows[::-1]), (size, look_s)
            stopped += there + back
            if size == 100 or look_s == 60.0:
                assert there + back == 0
    assert stopped > 4


def looked_through(client, path: str, way: str) -> tuple[list[int], str, int]:
    """The rows of all pages in a direction, the last page with a row, and how often a page had none."""
    found, last, stopped = [], path, 0
    for turn in range(40):
        text = client.get(path).text
        rows = [int(n) + 1 for n in re.findall(r'<tr data-index="(\d+)"', text)]
        found, last = found + rows, path if rows else last
        turns = (
            turn == 0 and f'id="{way}"' in text
        )  # the first page may have been the last of the other way
        if 'id="page-further"' in text and not turns:
            stopped += 1
            path = link(text, "page-further")
        elif f'id="{way}"' in text:
            path = link(text, way)
        else:
            return found, last, stopped
    raise AssertionError("the pages have no end")


def test_the_values_of_a_column_are_links_that_filter(client, table):
    page = client.get(f"/jobs/{table}/results?values=field.label").text
    listed = re.findall(
        r'<a class="menu-item value-item" href="([^"]+)"><span class="clamp">([^<]+)', page
    )
    assert [label for _, label in listed] == ["bad", "good", "(empty)"]
    counts = re.findall(r'text-body-secondary">(\d+)</span></a>', page)
    assert counts == ["2", "3", "1"]
    for (url, _), expected in zip(listed, ([2, 3], [1, 5, 6], [4]), strict=True):
        assert shown(client, table, url.replace("&amp;", "&").partition("?")[2]) == expected
    for name, expected in (("outcome", [[4], [1, 2, 3, 5, 6]]), ("config", [[1, 2, 3, 4, 5, 6]])):
        menu = client.get(f"/jobs/{table}/results/values?values={name}").text
        urls = re.findall(r'value-item" href="[^"?]*\?([^"]+)"', menu)
        assert [shown(client, table, url.replace("&amp;", "&")) for url in urls] == expected
    menu = client.get(f"/jobs/{table}/results/values?values=col.stars").text
    assert "<html" not in menu
    assert re.findall(r'"clamp">([^<]+)', menu) == ["1", "5", "10", "n/a", "(empty)"]
    assert "long texts" in client.get(f"/jobs/{table}/results/values?values=col.review").text


def test_values_have_counts_only_where_their_links_list_as_many(client, table):
    def menu(query: str) -> list[tuple[str, str]]:
        """The query of each value's link, and its count."""
        page = client.get(f"/jobs/{table}/results/values?{query}").text
        items = re.findall(r'value-item" href="[^"?]*\?([^"]+)">(.*?)</a>', page, re.S)
        counts = [re.search(r'text-body-secondary">(\d+)<', item) for _, item in items]
        queries = [url.replace("&amp;", "&") for url, _ in items]
        return [(url, one[1] if one else "") for url, one in zip(queries, counts, strict=True)]

    # what is replaced by the value does not change how many there are
    for own in ("", "&col.stars=5", "&empty=col.stars", "&sort=-latency"):
        for url, count in menu(f"values=col.stars{own}"):
            assert count == str(len(shown(client, table, url))), (own, url)
    for url, count in menu("values=outcome&status=failed"):
        assert count == str(len(shown(client, table, url))), url
    for other in ("status=failed", "q=late", "col.stars>=5", "empty=col.review", "review=random"):
        found = menu(f"values=col.stars&{other}")
        assert len(found) == 5 and {count for _, count in found} == {""}, other


def test_programs_get_the_rows_as_json_with_whole_values(client, table):
    found = client.get(
        f"/jobs/{table}/results.json?col.stars=5&cols=col.stars&cols=field.score"
    ).json
    assert found["total"] == 2
    assert [row["values"] for row in found["rows"]] == [
        {"col.stars": "5", "field.score": 9},
        {"col.stars": "5", "field.score": 7.5},
    ]
    found = client.get(f"/jobs/{table}/results.json?rows=3,5-5&cols=col.review").json
    assert [row["index"] for row in found["rows"]] == [3, 5]
    assert found["rows"][1]["values"]["col.review"] == TABLE[5][1]


@pytest.mark.parametrize(
    "name",
    [
        *("sort=nothing", "cols=nothing", "w=answer", "w=answer:x", "per=7", "h=XL", "wrap=2"),
        *("after=%21", "after=WzBd", "before=WzAsMSwyLDMsNCw1XQ", "after=99999999999999999999"),
        *("col.nothing=1", "field.x~=1", "col.stars>=x", "empty=nothing", "status=x", "min_ms=x"),
        *(
            "values=answer",
            "rows=x",
            "rows=1-99999999",
            "rows=" + "9" * 19,
            "col.review~=" + "x" * 501,
        ),
    ],
)
def test_a_malformed_parameter_is_named(client, table, name):
    path = "results.json" if name.startswith("rows") else "results"
    answer = client.get(f"/jobs/{table}/{path}?{name}", headers={"Accept": "application/json"})
    assert answer.status_code == 400
    assert re.split("[=]", name)[0] in answer.text


def test_a_position_of_another_order_begins_at_the_front_or_in_the_file(client, table):
    text = client.get(f"/jobs/{table}/results?sort=col.stars&after=2").text
    assert re.findall(r'<tr data-index="(\d+)"', text) == ["3", "4", "5"]
    assert shown(client, table, "sort=latency&after=WzAsMCwwLjAsIngiLDFd") == [1, 2, 3, 4, 5, 6]


def test_exports_new_jobs_and_retries_take_exactly_the_rows_of_the_grid(client, table, add_config):
    add_config("http://127.0.0.1:9/v1", alias="a first one")
    page = client.get(f"/jobs/{table}/results?col.stars>=5&status=succeeded").text
    url = re.search(r'href="([^"]+format=csv[^"]*stars[^"]*)"', page)[1].replace("&amp;", "&")
    rows = list(csv.DictReader(io.StringIO(client.get(url).text.lstrip("\ufeff"))))
    assert [row["index"] for row in rows] == ["0", "4"]
    selected = client.get(f"/jobs/{table}/export?format=jsonl&rows=1-2,5").text.splitlines()
    assert [json.loads(line)["index"] for line in selected] == [1, 2, 5]
    answer = post(client, f"/jobs/{table}/again", **{"field.label": "bad"})
    began = client.get(answer.headers["Location"]).text
    assert "2 requests" in began
    assert (
        "Rate {{review}}{{stars}}</textarea>" in began
    )  # the prompt of the job, not finished texts
    assert re.search(r"<textarea[^>]*id=.schema.[^>]*>\s*{[^<]*score", began)
    with connected():
        config = Job.get_by_id(table).config_id
    assert re.search(rf'<option selected value="{config}">', began)  # the connection of the job
    answer = post(client, f"/jobs/{table}/again", **{"field.label": "nothing"})
    assert answer.headers["Location"] == f"/jobs/{table}"
    assert "No request matches" in client.get(answer.headers["Location"]).text
    answer = post(client, f"/jobs/{table}/retry", **{"col.stars": "1"})
    assert "None of these requests failed" in client.get(answer.headers["Location"]).text
    post(client, f"/jobs/{table}/retry", **{"col.stars>": "7"})
    with connected():
        assert [
            row.idx for row in Result.select().where(Result.job == table).order_by(Result.idx)
        ] == [*(0, 1, 2, 4, 5)]
    answer = client.get(f"/jobs/{table}/export?format=csv&col.nothing=1")
    assert answer.status_code == 400


def test_a_retry_of_selected_rows_leads_back_to_them_and_names_those_left_out(client, table):
    selected = {"index": ["1", "3", "4"], "query": "sort=-cost&col.stars>=5"}
    answer = post(client, f"/jobs/{table}/retry", **selected)
    assert answer.headers["Location"] == f"/jobs/{table}/results?sort=-cost&col.stars%3E=5"
    told = client.get(answer.headers["Location"]).text
    assert "Retrying 1 request. 2 selected rows are not retried" in told


def test_a_retry_of_all_that_match_names_those_left_out_too(client, table):
    answer = post(client, f"/jobs/{table}/retry", all="1", selected="6", query="")
    told = client.get(answer.headers["Location"]).text
    assert "Retrying 1 request. 5 selected rows are not retried" in told


@pytest.fixture
def mixed(table):
    """The table with answers of several outcomes: cut off, one that does not match the schema, a failed and a
    cancelled request, an answer that is OK, a tool call."""
    outcomes = ("cut_off", "schema", None, None, "ok", "tool_call")
    with connected():
        for index, outcome in enumerate(outcomes):
            status = {2: "cancelled", 3: "failed"}.get(index, "succeeded")
            row = (Result.job == table) & (Result.idx == index)
            Result.update(outcome=outcome, status=status).where(row).execute()
        counted = {"outcome_cut_off": 1, "outcome_schema": 1, "outcome_ok": 1}
        Job.update(succeeded=4, failed=1, cancelled=1, outcome_tool_call=1, **counted).execute()
    return table


def _without_result(job_id: int) -> list[int]:
    with connected():
        ended = {idx for (idx,) in Result.select(Result.idx).where(Result.job == job_id).tuples()}
    return sorted(set(range(len(TABLE))) - ended)


@pytest.mark.parametrize(
    ("form", "retried"),
    [
        ({"all": "1", "selected": "6"}, [0, 1, 2, 3]),
        ({"index": ["0", "1", "2", "3", "4", "5"]}, [0, 1, 2, 3]),
        ({"col.review~": "e"}, [0, 1, 2, 3]),
        ({"status": "succeeded"}, [0, 1]),
        ({"status": "failed"}, [3]),
        ({"cause": "timeout"}, [3]),
        ({"q": "e"}, [0, 1, 2, 3]),
        ({"q": "late"}, [1]),
        ({"status": "cancelled"}, [2]),
        ({"status": "pending"}, []),
        ({"outcome": "schema"}, [1]),
        ({"outcome": "tool_call"}, [5]),  # named, so it is meant
        ({"outcome": "ok"}, []),
        ({"config": "a"}, [0, 1, 2, 3]),
        ({"status": "succeeded", "cause": "timeout"}, []),
        ({}, []),
    ],
)
def test_a_retry_takes_what_is_listed_and_may_be_retried(client, mixed, form, retried):
    answer = post(client, f"/jobs/{mixed}/retry", query="", **form)
    assert _without_result(mixed) == retried
    told = client.get(answer.headers["Location"]).text
    if not form:
        assert "Select the requests first." in told
    elif retried:
        assert f"Retrying {len(retried)} request" in told
    else:
        assert "Nothing was retried." in told or "Answers that are OK" in told


@pytest.mark.parametrize("page", ["results", "requests"])
@pytest.mark.parametrize("action", ["retry", "again", "columns"])
def test_a_form_of_selected_rows_without_any_does_nothing(client, mixed, page, action):
    """As without JavaScript, where its buttons are always there."""
    forms = re.findall(r"<form.*?</form>", client.get(f"/jobs/{mixed}/{page}").text, re.DOTALL)
    (form,) = (form for form in forms if "Retry selected" in form or "selected-form" in form)
    names = re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', form)
    hidden = {name: value for name, value in names if name != "csrf_token"}
    answer = post(client, f"/jobs/{mixed}/{action}", **hidden)
    assert answer.headers["Location"].startswith(f"/jobs/{mixed}")
    assert "Select the requests first." in client.get(answer.headers["Location"]).text
    assert _without_result(mixed) == []


def test_the_failed_requests_alone_are_retried_where_no_row_is_named(client, mixed):
    post(client, f"/jobs/{mixed}/retry")  # the button of the job's page
    assert _without_result(mixed) == [3]
    post(client, f"/jobs/{mixed}/retry", status="succeeded")
    assert _without_result(mixed) == [3]


def test_the_remedy_of_a_list_that_is_not_counted_names_no_number(client, mixed):
    page = client.get(f"/jobs/{mixed}/requests?outcome=cut_off").text
    assert "Retry 1 with twice the max tokens" in page
    page = client.get(f"/jobs/{mixed}/requests?outcome=cut_off&q=Great").text
    assert "Retry all with twice the max tokens" in page
    page = client.get(f"/jobs/{mixed}/requests?outcome=schema&q=late").text
    assert re.search(r">\s*Retry all\s*<", page)


@pytest.mark.parametrize("path", ["requests", "results"])
def test_rows_in_flight_are_not_exported_for_they_change_with_every_answer(client, table, path):
    live = {"at": now_ms(), "in_flight": 1, "retrying": 0, "in_flight_idx": [3]}
    with connected():
        Result.delete().where((Result.job == table) & Result.idx.in_([2, 3])).execute()
        change = {"status": "running", "finished_at": None, "succeeded": 4, "failed": 0}
        Job.update(change, live=json.dumps(live)).execute()
    assert "Export these" in client.get(f"/jobs/{table}/{path}?status=pending").text
    page = client.get(f"/jobs/{table}/{path}?status=in_flight").text
    assert "1 request" in page
    assert not {"Export these", "New job from these"} & set(re.findall(r">\s*(\w[\w ]+)\s*<", page))


def test_the_tab_is_first_once_the_job_has_ended(client, table, make_job):
    page = client.get(f"/jobs/{table}").text
    tabs = re.findall(
        r'nav-link[^>]*href="([^"]+)">', page.partition("job-tabs")[2].partition("</ul>")[0]
    )
    assert tabs[:2] == [f"/jobs/{table}/results", f"/jobs/{table}"]
    assert f'href="/jobs/{table}/results">reviews' in client.get("/jobs").text.replace(
        "\n        ", ""
    )
    running = make_job(2)
    page = client.get(f"/jobs/{running}").text
    tabs = re.findall(
        r'nav-link[^>]*href="([^"]+)">', page.partition("job-tabs")[2].partition("</ul>")[0]
    )
    assert tabs[:2] == [f"/jobs/{running}", f"/jobs/{running}/results"]


@pytest.fixture
def three_columns(overrides):
    overrides["GRID_COLUMNS"] = 3


def test_few_columns_keep_their_keys_and_none_outlives_its_job(three_columns, client, table):
    for name in ("col.stars", "col.review", "field.label", "answer", "model"):
        shown(client, table, f"sort={name}")
        with connected():  # long ago
            GridColumn.update(wanted_at=GridColumn.wanted_at - 60_000).execute()
    with connected():
        kept = GridColumn.select().where(GridColumn.removed == False)  # noqa: E712 - SQL
        assert sorted(column.name for column in kept) == ["answer", "field.label", "model"]
        jobs.delete(table)
        while not job_rows.delete_rows_step(table):
            pass
        assert GridKey.select().count() == GridColumn.select().count() == 0


def test_a_view_is_saved_opened_renamed_and_deleted(client, table, add_config, make_job):
    query = "col.stars=5&sort=-field.score&cols=col.review&cols=field.score&h=L&after=1&nonsense=1"
    path = f"/jobs/{table}/results"
    saved = post(client, f"{path}/views", name="  five stars ", query=query, all_jobs="1")
    assert "View “five stars” saved." in client.get(saved.headers["Location"]).text
    post(client, f"{path}/views", name="mine", query="status=failed")
    page = client.get(path).text
    views = dict(re.findall(r'href="[^"?]*/results\?([^"]*)">((?:five stars|mine))<', page))
    assert {
        name: shown(client, table, url.replace("&amp;", "&")) for url, name in views.items()
    } == {
        "five stars": [1, 5],
        "mine": [4],
    }
    [kept] = [url for url, name in views.items() if name == "five stars"]
    assert "after" not in kept and "nonsense" not in kept and "h=L" in kept
    other = make_job(1)  # it has other columns
    assert "five stars" not in client.get(f"/jobs/{other}/results").text

    post(client, f"{path}/views", name="mine", query="status=succeeded")  # replaced
    with connected():
        ids = {view.name: view.id for view in SavedView.select()}
    assert set(ids) == {"five stars", "mine"}
    post(client, f"{path}/views/{ids['mine']}", name="good ones")
    assert 'status=succeeded">good ones<' in client.get(path).text
    assert post(client, f"/jobs/{other}/results/views/{ids['mine']}", name="x").status_code == 404
    post(client, f"{path}/views/{ids['five stars']}", action="delete")
    post(client, f"{path}/views", name="", query="")
    assert post(client, f"{path}/views", name="bad", query="sort=x&cols=nothing").status_code == 400
    with connected():
        assert [view.name for view in SavedView.select()] == ["good ones"]


def test_a_view_for_all_jobs_belongs_to_its_user(app, people, table, log_in):  # noqa: F811
    with connected():
        Job.update(user=people["otto"]).execute()
    otto, anna = log_in("otto"), log_in("anna")
    path = f"/jobs/{table}/results"
    for name, all_jobs in (("for otto", "1"), ("for the job", "")):
        data = {"csrf_token": token(otto, path), "name": name, "query": "h=L", "all_jobs": all_jobs}
        assert otto.post(f"{path}/views", data=data).status_code == 303
    assert "for otto" in otto.get(path).text
    page = anna.get(path).text
    assert "for the job" in page
    assert "for otto" not in page
