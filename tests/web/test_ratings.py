"""Ratings by a client without JavaScript: forms, columns, filters, order, reviews, exports, other users."""

import csv
import io
import json
import re
from urllib.parse import parse_qsl

import pytest
from werkzeug.datastructures import MultiDict

from simple_batch import export
from simple_batch.core.errors import Conflict
from simple_batch.services import judging
from simple_batch.store import ratings, requeue
from simple_batch.store.database import connected
from simple_batch.store.models import Job, RatedAnswer, Rating
from simple_batch.store.ratings import Change
from simple_batch.store.row_selection import Selection
from simple_batch.web import grid_view

from ..auth.conftest import log_in  # noqa: F401 (fixture)
from .test_pages import post
from .test_results_grid import link, shown, table, walked  # noqa: F401 (fixture)


@pytest.fixture
def points(table):  # noqa: F811 (fixture)
    """The job of the table with points: 1, 5, 3.5 of two users, none, none of row 5; row 4 failed."""
    with connected():
        ratings.set_up(table, "points", ["late", "rude"])
        ratings.write(table, [0], "anna", Change(score=1, add=("late", "Rude")))
        ratings.write(table, [1], "anna", Change(score=5))
        ratings.write(table, [2], "anna", Change(score=3, note="2"))
        ratings.write(table, [2], "ben", Change(score=4, add=("late",)))
        ratings.write(table, [4], "anna", Change(note="=1+1 unclear"))
    return table


def own(job_id: int) -> dict:
    with connected():
        return {row.idx: (row.score, row.labels, row.note) for row in Rating.select()}


def test_an_answer_is_rated_and_unrated_by_forms(client, table):  # noqa: F811
    path = f"/jobs/{table}/requests/0/rating"
    page = client.get(f"/jobs/{table}/requests/0").text
    assert 'name="set_score" value="1"' in page
    assert post(client, path, set_score="1").status_code == 303
    post(client, path, add_label="wrong, very  long", set_note=" a\r\nb ")
    assert own(table) == {0: (1, '["wrong","very long"]', "a\nb")}
    fields = {"fragment": "1", "remove_label": "wrong", "set_score": "none"}
    fragment = post(client, path, **fields)
    assert 'data-labels="very long"' in fragment.text
    assert 'aria-pressed="true"' in fragment.text
    assert "<html" not in fragment.text
    post(client, path, remove_label="very long", set_note="")
    assert own(table) == {}
    # what is refused
    for wrong in ({"set_score": "3"}, {"add_label": "x" * 51}, {"set_note": "x" * 2001}):
        assert post(client, path, fragment="1", **wrong).status_code == 400, wrong
    assert post(client, path, fragment="1", set_score="1", answered="7").status_code == 409
    assert (
        post(client, f"/jobs/{table}/requests/3/rating", fragment="1", set_score="1").status_code
        == 409
    )
    assert post(client, f"/jobs/{table}/requests/99/rating", fragment="1").status_code in (404, 409)
    assert 'id="rating"' not in client.get(f"/jobs/{table}/requests/3").text  # it failed
    assert own(table) == {}


def test_columns_filters_and_orders(client, points):
    page = client.get(f"/jobs/{points}/results").text
    found = re.findall(r'<th scope="col" data-col="([^"]+)"', page)
    assert found[5:9] == ["outcome", "rating", "labels", "note"]
    assert "<div>3.5</div>" in page
    for query, numbers in (
        ("rating=5", [2]),
        ("rating=3.5&rating=1", [1, 3]),
        ("rating>=3", [2, 3]),
        ("rating<=3.5&rating>=3", [3]),
        ("rating=x", []),
        ("labels=RUDE", [1]),
        ("labels=ru", []),
        ("labels~=ru", [1]),
        ("labels=late&note~=2", [3]),
        ("note~=UNCLEAR", [5]),
        ("empty=rating", [4, 5, 6]),
        ("empty=note&rating>=1", [1, 2]),
        ("empty=labels&outcome=ok", [2, 5, 6]),
        ("rating>=1&col.stars=5", [1]),
        ("rating>=1&sort=-latency", [1, 2, 3]),
        ("rating>=1&sort=col.stars", [2, 1, 3]),
        ("rating>=3&status=failed", []),
        ("sort=rating", [1, 3, 2, 4, 5, 6]),
        ("sort=-rating", [2, 3, 1, 4, 5, 6]),
        ("sort=-rating&outcome=ok", [2, 3, 1, 5, 6]),
        ("sort=rating&labels=late", [1, 3]),
        ("sort=labels", [3, 1, 2, 4, 5, 6]),
        ("sort=-note", [3, 5, 1, 2, 4, 6]),
    ):
        assert shown(client, points, query) == numbers, query
    pages = walked(client, points, "sort=note&per=25")
    assert pages == [[5, 3, 1, 2, 4, 6]]
    for sort in ("rating", "-labels", "note"):
        place = client.get(f"/jobs/{points}/results.json?sort={sort}&per=25").json
        assert place["total"] == 6
    values = client.get(f"/jobs/{points}/results/values?values=labels").text
    assert re.findall(r'class="num text-body-secondary">(\d)', values) == ["2", "1", "4"]
    values = client.get(f"/jobs/{points}/results/values?values=rating").text
    assert re.findall(r'class="num text-body-secondary">(\d)', values) == ["1", "1", "1", "3"]
    assert client.get(f"/jobs/{points}/results?rating>=many").status_code == 400


def test_pages_by_rating_go_on_where_they_ended(client, points, monkeypatch):
    monkeypatch.setattr(grid_view, "SIZES", (2, 25, 50, 100, 200, 500))
    for sort, numbers in (("rating", [1, 3, 2, 4, 5, 6]), ("note", [5, 3, 1, 2, 4, 6])):
        pages = walked(client, points, f"sort={sort}&per=2")
        assert [n for page in pages for n in page] == numbers
        last = client.get(f"/jobs/{points}/results?sort={sort}&per=2").text
        path = link(last, "page-next")
        back = link(client.get(path).text, "page-previous")
        assert [
            int(n) + 1 for n in re.findall(r'<tr data-index="(\d+)"', client.get(back).text)
        ] == (numbers[:2])


def test_several_answers_are_rated_at_once(client, table):  # noqa: F811
    path = f"/jobs/{table}/ratings"
    answer = post(client, path, rows="0-3", set_score="0", add_label="a", query="sort=-rating")
    assert answer.location == f"/jobs/{table}/results?sort=-rating"
    assert own(table).keys() == {0, 1, 2}  # row 4 failed
    post(client, path, **{"rating": "0", "set_score": "1"})  # by a filter
    post(client, path, outcome="ok", add_label="b", all="1")
    assert {row[0] for row in own(table).values()} == {1, None}
    assert own(table).keys() == {0, 1, 2, 4, 5}
    post(client, path, set_score="0")  # nothing is selected
    post(client, path, rows="0", set_score="")  # nothing is chosen
    post(client, path, rows="3", set_score="1")  # there is no answer
    assert {row[0] for row in own(table).values()} == {1, None}
    # filters on ratings are those of all that takes a selection
    with connected():
        selection = Selection.parse(_args("labels=a"), Job.get_by_id(table))
        lines = b"".join(export.export(table, "jsonl", selection=selection)).splitlines()
    assert [json.loads(line)["index"] for line in lines] == [0, 1, 2]
    assert client.get(f"/jobs/{table}/export?empty=rating").data.count(b"\n") == 3
    post(client, path, all="1", set_score="none", remove_label="a")
    assert {row[:2] for row in own(table).values()} == {(None, '["b"]')}


def _args(query: str):
    return MultiDict(parse_qsl(query))


def test_a_review_shows_what_is_unrated_or_a_sample(client, points):
    assert shown(client, points, "review=unrated") == [1, 2, 3, 5, 6]  # of this user
    post(client, f"/jobs/{points}/requests/1/rating", set_score="2")
    assert shown(client, points, "review=unrated&n=2") == [1, 3]
    assert shown(client, points, "review=unrated&rating>=3") == [3]
    sample = shown(client, points, "review=random&seed=7&n=3")
    assert len(set(sample)) == 3
    assert sample == shown(client, points, "review=random&seed=7&n=3")
    assert sorted(shown(client, points, "review=random&seed=8")) == [1, 2, 3, 5, 6]
    assert sorted(shown(client, points, "review=random&col.stars=5")) == [1, 5]
    page = client.get(f"/jobs/{points}/results?review=random").text
    assert "1 of 5 rated" in page
    assert page.count('data-scored="1"') == 1
    assert client.get(f"/jobs/{points}/results?review=all").status_code == 400


def test_exports_have_ratings_where_there_are_any(client, points):
    lines = client.get(f"/jobs/{points}/export?format=jsonl").text.splitlines()
    found = [json.loads(line)["ratings"] for line in lines]
    assert [[one["user"] for one in given] for given in found] == [
        ["anna"],
        ["anna"],
        ["anna", "ben"],
        [],
        ["anna"],
        [],
    ]
    assert found[0][0]["labels"] == ["late", "Rude"]
    assert (
        json.loads(client.get(f"/jobs/{points}/export?format=json").text)[1]["ratings"][0]["score"]
        == 5
    )
    text = client.get(f"/jobs/{points}/export?format=csv").data.decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["rating"] for row in rows] == ["1", "5", "3.5", "", "", ""]
    assert rows[0]["rating_labels"] == "late, Rude"
    assert rows[2]["rating_note"] == "anna: 2"
    assert rows[4]["rating_note"] == "'=1+1 unclear"  # no formula
    assert rows[2]["rating_users"] == "2"
    for form in ("xlsx", "parquet"):
        assert client.get(f"/jobs/{points}/export?format={form}").status_code == 200
    # OpenAI's lines have them only when asked
    assert "ratings" not in client.get(f"/jobs/{points}/export?format=openai").text
    assert '"ratings"' in client.get(f"/jobs/{points}/export?format=openai&ratings=1").text
    without = client.get(f"/jobs/{points}/export?format=csv&ratings=0").data
    with connected():
        RatedAnswer.delete().execute()
        Rating.delete().execute()
    assert client.get(f"/jobs/{points}/export?format=csv").data == without
    header = client.get(f"/jobs/{points}/export?format=csv&ratings=1").text.splitlines()[0]
    assert header.endswith("rating,rating_labels,rating_note,rating_users")


def test_an_answer_that_was_replaced_says_so(client, points):
    with connected():
        assert requeue.replace_one(points, 2, b"{}")
        assert judging.rater() == ""
        with pytest.raises(Conflict):
            judging.rate(points, 2, Change(score=1))
    page = client.get(f"/jobs/{points}/requests/2").text
    assert "Ratings of an earlier answer" in page
    assert "rude" not in page.partition("Ratings of an earlier answer")[0]
    assert shown(client, points, "rating>=1") == [1, 2]


def test_settings_report_comparison_and_figures(client, points):
    path = f"/jobs/{points}/ratings/settings"
    answer = post(client, path, scale="thumbs", labels_offered="a", query="per=50")
    assert answer.location == f"/jobs/{points}/results?per=50"
    with connected():
        assert Job.get_by_id(points).rating_scale == "points"  # there are scores
    post(client, path, scale="points", labels_offered="a, b\n a \n")
    with connected():
        assert Job.get_by_id(points).rating_labels == '["a","b"]'
    post(client, path, scale="stars")
    report = client.get(f"/jobs/{points}/report.html").text
    assert "3.17 of 5" in report
    assert "anna and ben agree" in report
    page = client.get(f"/compare?a={points}&b={points}").text
    assert re.search(r'id="better".*equal in 3', page, re.S)


def test_a_viewer_reads_ratings_and_each_user_has_their_own(people, points, log_in):  # noqa: F811
    viewer, admin = log_in("vera"), log_in("anna")
    page = viewer.get(f"/jobs/{points}/requests/2").text
    assert "ben" in page
    assert 'name="set_score"' not in page
    assert 'id="rate-menu"' not in viewer.get(f"/jobs/{points}/results").text
    assert viewer.get(f"/jobs/{points}/results?review=random").status_code == 200
    admin.post(
        f"/jobs/{points}/requests/1/rating", data={"csrf_token": _csrf(admin), "set_score": "4"}
    )
    with connected():
        given = ratings.of_answers(points, [1])[1]
    assert [(one.rater, one.score) for one in given] == [("anna", 4)]  # their own, changed


def _csrf(client) -> str:
    return re.search(r'name="csrf-token" content="([^"]+)"', client.get("/jobs").text)[1]


def test_more_than_can_be_selected_are_refused(client, points, monkeypatch):
    monkeypatch.setattr(judging, "MAX_ROWS", 2)
    post(client, f"/jobs/{points}/ratings", all="1", set_score="1")
    with connected():
        assert Rating.select().where(Rating.rater == "").count() == 0
