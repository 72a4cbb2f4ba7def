"""The full-text index of a large job: built in steps, in any language, updated with answers."""

import time

import pytest

from simple_batch import insight
from simple_batch.core.clock import now_ms
from simple_batch.core.errors import InvalidInput
from simple_batch.insight import request_table as pages
from simple_batch.store import jobs as job_rows
from simple_batch.store import search
from simple_batch.store.models import Job, Result, database
from simple_batch.store.request_filter import RequestFilter

from .test_results import new_job, recorded, results

START = 1_700_000_000_000


@pytest.fixture
def job(db, monkeypatch):
    """Twelve requests, six with an answer; a plain search reads only three at a time."""
    monkeypatch.setattr(search, "WINDOW", 3)
    monkeypatch.setattr(pages, "CANDIDATES", 2)
    job_id = new_job()
    results.write([recorded(job_id, n, [], True, START + n * 1000) for n in range(6)])
    answer = '{"choices":[{"message":{"content":"%s"}}]}'
    for index, text in enumerate(
        ["苹果很好吃", "a needle, found", 'she said \\"so\\"', "100% _sure_"]
    ):
        Result.update(response=(answer % text).encode()).where(Result.idx == index).execute()
    Job.update(started_at=START, finished_at=START + 6000, status="completed").execute()
    return job_id


def build(job_id):
    search.want(job_id)
    while search.index_step(job_id, 2):
        pass


def found(job_id, q, **wanted):
    """All results, page by page as a user opens them."""
    indices, after = [], None
    for _ in range(20):
        page = insight.requests_page(job_id, RequestFilter(q=q, **wanted), per_page=2, after=after)
        indices += [row["index"] for row in page.rows]
        after = page.continue_from
        if after is None:
            return indices
    raise AssertionError("the search has no end")


def test_a_long_text_that_repeats_itself_is_searched_in_a_moment(job):
    """LIKE takes the product of both lengths: 40 s for this text and 12 answers of 2 MB."""
    answer = b'{"choices":[{"message":{"content":"%s"}}]}' % (b"ab" * 1_000_000)
    Result.update(response=answer).where(Result.job == job).execute()
    began = time.monotonic()
    assert found(job, "Ab" * 100 + "c") == []
    assert found(job, "ABab" * 50) == [0, 1, 2, 3, 4, 5]
    assert time.monotonic() - began < 10  # a guard against a hang
    with pytest.raises(InvalidInput, match="up to 500"):
        RequestFilter.parse({"q": "x" * 501})


def test_long_texts_are_found_whatever_their_case_in_any_stretch_of_rows(job, monkeypatch):
    monkeypatch.setattr(search, "WINDOW", 100)
    for stretch in (1, 5, 200):
        monkeypatch.setattr(pages, "_STRETCH", stretch)
        assert found(job, "A needle, FOUND") == [1]
        assert found(job, "nothing of the kind") == []
        assert found(job, "message") == [0, 1, 2, 3]
        assert found(job, 'CONTENT":"1') == [3]
        wanted = RequestFilter(q='choices":[{')
        assert [insight.neighbours(job, index, wanted)[:2] for index in (2, 0, 3)] == [
            (1, 3),
            (None, 1),
            (2, None),
        ]


def test_the_index_finds_what_a_plain_search_finds(job):
    texts = ["needle", "苹果很", '\\"so', "100%", "_sure_", "request-1", "NEEDLE", "nowhere", 'a"b']
    plain = {text: found(job, text) for text in texts}
    assert plain["needle"] == plain["NEEDLE"] == [1]
    assert plain["苹果很"] == [0]
    assert search.progress(Job.get_by_id(job)) is None
    build(job)
    assert search.progress(Job.get_by_id(job)) == 1
    assert {text: found(job, text) for text in texts} == plain
    assert found(job, "needle", status="failed") == []
    assert found(job, "苹") == [0]  # too short for the index: window by window
    page = insight.requests_page(job, RequestFilter(q="needle"))
    assert page.continue_from is None  # and at once, not window by window


def test_an_answer_that_was_replaced_is_found_by_its_new_text_alone(job):
    build(job)
    Result.delete().where(Result.idx == 1).execute()
    Job.update(finished_at=None, status="running").execute()
    results.write([recorded(job, 1, [], True, now_ms())])
    text = b'{"choices":[{"message":{"content":"a haystack"}}]}'
    Result.update(response=text).where(Result.idx == 1).execute()
    Job.update(finished_at=now_ms() + 1, status="completed").execute()
    assert search.behind() == [job]
    build(job)
    assert found(job, "haystack") == [1]
    assert found(job, "needle") == []


def test_the_index_goes_with_the_job(job):
    build(job)
    assert any(name.startswith("text_of_job") for name in database.get_tables())
    while not job_rows.delete_rows_step(job):
        pass
    assert not any(name.startswith("text_of_job") for name in database.get_tables())
    assert search.behind() == []
