"""What the pages of a large job ask of SQLite: each statement goes by an index that names few rows."""

import pytest

from simple_batch import insight
from simple_batch.core.domain import Cause
from simple_batch.insight import request_table
from simple_batch.store import results
from simple_batch.store.database import connected
from simple_batch.store.models import database
from simple_batch.store.request_filter import RequestFilter

from .. import postgres
from ..store.test_results import recorded

pytestmark = pytest.mark.skipif(postgres.CHOSEN, reason="of a SQLite file")

FAILED = {3: Cause.TIMEOUT, 5: Cause.SERVER_ERROR, 8: Cause.TIMEOUT}
BY_STATUS = "result_job_id_status_idx"


@pytest.fixture
def job(add_config, make_job):
    """A job of ten requests, of which three have failed."""
    add_config("http://127.0.0.1:9/v1")
    job_id = make_job(count=10)
    with connected():
        for n in range(10):
            causes = [FAILED[n]] if n in FAILED else []
            results.write([recorded(job_id, n, causes, n not in FAILED, 1_700_000_000_000 + n)])
        yield job_id


@pytest.fixture
def plans(monkeypatch):
    """The plans of the statements that are executed."""
    found = []
    execute = type(database.obj).execute_sql

    def explained(self, sql, params=None, *rest):
        plan = execute(self, f"EXPLAIN QUERY PLAN {sql}", params).fetchall()
        found.append(" ".join(row[3] for row in plan))
        return execute(self, sql, params, *rest)

    monkeypatch.setattr(type(database.obj), "execute_sql", explained)
    return found


@pytest.mark.parametrize("status", ["failed", "cancelled"])
@pytest.mark.parametrize("sort", ["index", "-index"])
def test_a_status_is_found_by_its_index(job, plans, status, sort):
    insight.requests_page(job, RequestFilter(status=status), sort, per_page=2)
    assert any(BY_STATUS in plan for plan in plans)
    assert not any("autoindex_result" in plan and "idx=?" not in plan for plan in plans)


@pytest.mark.parametrize("sort", ["latency", "-latency", "tokens", "-finished"])
def test_few_rows_are_sorted_not_searched_for_among_all(job, plans, monkeypatch, sort):
    wanted = RequestFilter(status="failed")
    usual = [row["index"] for row in insight.requests_page(job, wanted, sort).rows]
    monkeypatch.setattr(request_table, "SORTED", 5)
    plans.clear()
    found = [row["index"] for row in insight.requests_page(job, wanted, sort).rows]
    assert found == usual and set(found) == set(FAILED)
    assert any(BY_STATUS in plan and "TEMP B-TREE" in plan for plan in plans)


@pytest.mark.parametrize("wanted", [RequestFilter(min_ms=0), RequestFilter(status="succeeded")])
@pytest.mark.parametrize("sort", ["latency", "-tokens"])
def test_many_rows_are_read_beside_the_event_loop(job, plans, monkeypatch, wanted, sort):
    usual = [row["index"] for row in insight.requests_page(job, wanted, sort).rows]
    monkeypatch.setattr(request_table, "SORTED", 1)
    asked = len(plans)
    plans.clear()
    assert [row["index"] for row in insight.requests_page(job, wanted, sort).rows] == usual
    assert len(plans) == asked - 1


def test_failures_are_counted_without_reading_them(job, plans):
    causes = insight.summary(job)["errors"]
    assert causes == [{"cause": "timeout", "count": 2}, {"cause": "server_error", "count": 1}]
    assert any("COVERING INDEX result_job_id_cause_idx" in plan for plan in plans)


@pytest.mark.parametrize(
    ("sort", "range_"),
    [
        ("cost", "(kind,number,text,idx)>"),
        ("-cost", "(kind,number,text,idx)<"),
        ("latency", "(latency_ms,idx)>"),
        ("-latency", "(latency_ms,idx)<"),
    ],
)
def test_a_later_page_of_the_grid_begins_in_an_index(job, plans, sort, range_):
    first = insight.grid_page(job, insight.GridQuery(sort=sort, per=2), ["cost"])
    plans.clear()
    insight.grid_page(job, insight.GridQuery(sort=sort, per=2, after=first.next), ["cost"])
    assert any("COVERING INDEX" in plan and range_ in plan for plan in plans)
