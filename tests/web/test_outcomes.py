"""What answers are worth, on the pages: tiles, filters, marks, and remedies in place."""

import re

import pytest

from simple_batch import insight
from simple_batch.runner import watcher
from simple_batch.store.database import connected
from simple_batch.store.models import Job, Result, database

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from .test_job_analysis import ran
from .test_job_status import badge
from .test_pages import CONFIG, config, post

__all__ = ["config", "ran"]

CUT = e.says("half of", finish_reason="length")
REFUSED = e.says(None, message={"refusal": "I can't help with that."}, finish_reason="stop")
EMPTY = e.says("", finish_reason="stop")
CALLS = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
TOOL = e.says(None, message={"tool_calls": CALLS}, finish_reason="tool_calls")


def tiles(page: str) -> dict[str, int]:
    """The visible tiles of outcomes."""
    found = re.findall(
        r'data-tile="(\w+)"\s*(hidden)?.*?data-outcome-count="\w+">(\d+)<', page, re.S
    )
    return {name: int(count) for name, hidden, count in found if not hidden}


def rows(page: str) -> list[int]:
    return [int(index) for index in re.findall(r'/requests/(\d+)(?:\?[^"]*)?">\d+</a></td>', page)]


@pytest.fixture
def mixed(ran) -> int:
    """Of six answers two are cut off, one is refused, one empty, one a tool call, the last is good."""
    return ran(CUT, CUT, REFUSED, EMPTY, TOOL, e.says("whole", finish_reason="stop"), count=6)


def test_answers_that_are_not_ok_have_tiles_filters_and_marks(client, mixed):
    page = client.get(f"/jobs/{mixed}").text
    expected = {"cut_off": 2, "refused": 1, "empty": 1, "tool_call": 1}
    assert tiles(page) == expected
    assert badge(page) == "! completed, 4 answers not OK"
    assert f'href="/jobs/{mixed}/requests?outcome=cut_off"' in page
    for outcome, count in {**expected, "ok": 1}.items():
        listed = client.get(f"/jobs/{mixed}/requests?outcome={outcome}").text
        assert len(rows(listed)) == count
        assert ("✓" in listed.split("<tbody>")[1]) is (outcome == "ok")
    listed = client.get(f"/jobs/{mixed}/requests?cols=outcome,finish_reason,status").text
    assert re.findall(r"<td class=\"text-nowrap\">(length|stop|tool_calls)</td>", listed) == [
        *("length", "length", "stop", "stop", "tool_calls", "stop")
    ]
    assert listed.split("<tbody>")[1].count("✓") == 2  # of the good one: status and outcome
    cut_off = client.get(f"/jobs/{mixed}/requests?outcome=cut_off&lang=zh").text
    assert "⚠</span> 被截断" in cut_off
    assert "format=csv&amp;outcome=cut_off" in cut_off  # the export of these
    request = client.get(f"/jobs/{mixed}/requests/0").text
    assert "<dt>finish_reason</dt><dd>length</dd>" in request
    assert "✓" not in request
    compared = client.get(f"/compare?a={mixed}&b={mixed}").text
    assert compared.split('id="pairs"')[1].count("✓") == 2
    assert "completed, 4 answers not OK" in client.get("/jobs?lang=en").text


def test_one_kind_of_answers_is_named_in_the_status(client, ran):
    job_id = ran(CUT, e.ok(), count=3)
    assert badge(client.get(f"/jobs/{job_id}").text) == "! completed, 1 cut off"
    assert "已完成，1 个被截断" in client.get(f"/jobs/{job_id}?lang=zh").text


def test_cut_off_answers_are_retried_in_place_with_twice_the_max_tokens(client, ran, wait_for):
    job_id = ran(CUT, CUT, e.ok(), count=4)
    page = client.get(f"/jobs/{job_id}/requests?outcome=cut_off").text
    assert "Retry 2 with twice the max tokens" in page
    assert "Retry 2 with twice the max tokens" in client.get(f"/jobs/{job_id}").text
    with MisbehavingEndpoint(e.ok()) as endpoint:
        post(client, "/configs/1", **{**CONFIG, "base_url": endpoint.base_url, "max_tokens": "50"})
        fields = {"outcome": "cut_off", "new_double_max_tokens": "1"}
        assert post(client, f"/jobs/{job_id}/retry", **fields).status_code == 303
        wait_for(job_id, "completed")
        assert [body["max_tokens"] for body in endpoint.bodies] == [100, 100]
    assert badge(client.get(f"/jobs/{job_id}").text) == "✓ completed"
    history = client.get(f"/jobs/{job_id}/requests/0").text.split('class="attempts')[1]
    assert "replaced answer" in history.split("✓")[0]  # only the new answer has a tick
    assert history.split("</ol>")[0].count("✓") == 1


def test_refused_answers_are_retried_in_place_with_another_api(client, ran, add_config, wait_for):
    job_id = ran(REFUSED, e.ok(), count=3)
    assert "Retry 1</button>" in client.get(f"/jobs/{job_id}").text  # there is no other API
    with MisbehavingEndpoint(e.ok()) as other:
        add_config(other.base_url, "second", currency="CNY")
        page = client.get(f"/jobs/{job_id}/requests?outcome=refused").text
        (number,) = re.findall(r'<option value="(\d+)">second</option>', page)
        assert "Retry 1 with another connection" in page
        post(client, f"/jobs/{job_id}/retry", outcome="refused", new_config=number)
        wait_for(job_id, "completed")
        assert other.calls == 1
    assert tiles(client.get(f"/jobs/{job_id}").text) == {}


def test_old_answers_that_are_still_being_checked_are_not_counted(client, mixed):
    with connected():
        Job.update(outcomes_filled_to=0).where(Job.id == mixed).execute()
        Result.update(outcome=None).where(Result.job == mixed).execute()
    page = client.get(f"/jobs/{mixed}").text
    assert tiles(page) == {}
    assert "still being checked" in page
    # nor is it known that they are good
    assert "✓" not in client.get(f"/jobs/{mixed}/requests").text.split("<tbody>")[1]


def test_live_rows_and_figures_carry_the_outcome(client, mixed):
    with connected():
        stored = database.execute_sql(watcher._TAIL, (mixed, "[0, 5]")).fetchall()
        assert [watcher._item(row)["outcome"] for row in stored] == ["cut_off", "ok"]
        assert insight.progress(mixed)["outcomes"]["cut_off"] == 2
        assert insight.jobs_page().rows[0]["outcomes"]["empty"] == 1
