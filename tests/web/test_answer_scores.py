"""New columns from answers: a job that reads the answers of another and gives each a score and a reason."""

# ruff: noqa: F811 - fixtures that are imported

import csv
import json
import re

from simple_batch.core.domain import Cause
from simple_batch.services import job_creation, jobs
from simple_batch.store import results
from simple_batch.store.database import connected
from simple_batch.store.models import ApiConfig, Job

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from ..store.test_results import recorded
from .test_pages import asked, post
from .test_results_grid import answered, table  # noqa: F401 (fixture)
from .test_workbench import Bench


def opened(client, job_id: int, **filters) -> Bench:
    """The workbench of the new job."""
    answer = post(client, f"/jobs/{job_id}/columns", **filters)
    assert answer.location.endswith("/workbench"), answer.text
    return Bench(client, int(answer.location.split("/")[3]))


def test_answers_of_a_table_get_a_score_and_a_reason(app, client, table, wait_for):
    assert "New column from answers" in client.get(f"/jobs/{table}/results").text
    bench = opened(client, table)
    page = bench.page()
    assert "5 rows" in page  # the failed one has no answer
    fields = bench.fields()
    assert "{{prompt}}" in fields["user"] and "{{content}}" in fields["user"]
    assert json.loads(fields["schema"])["required"] == ["score", "reason"]
    assert (fields["custom_id"], fields["name"]) == ("custom_id", "reviews: scores")
    with MisbehavingEndpoint(e.says({"score": 4, "reason": "Brief."})) as endpoint:
        with connected():
            ApiConfig.update(base_url=endpoint.base_url).execute()
        made = int(bench.post("launch").location.rpartition("/")[2])
        app.extensions["simple_batch"].start()
        wait_for(made, "completed")
        sent = [body["messages"][1]["content"] for body in endpoint.bodies]
    assert any("Rate Great, really5" in text and '"label": "good"' in text for text in sent)
    grid = client.get(f"/jobs/{made}/results").text
    assert re.findall(r'data-col="(?:col|field)\.([^"]+)"', grid)[:2] == ["stars", "review"]
    rows = list(csv.DictReader(client.get(f"/jobs/{made}/export?format=csv").text.splitlines()))
    names = [row["result_custom_id"] for row in rows]
    assert names == [f"request-{n}" for n in (1, 2, 3, 5, 6)]  # as in the other job
    assert {row["reason"] for row in rows} == {"Brief."}


def test_only_the_rows_of_a_filter_are_read_and_none_is_said(client, table):
    assert "2 rows" in opened(client, table, **{"field.label": "bad"}).page()
    for filters in ({"field.label": "nothing"}, {"status": "failed"}):
        answer = post(client, f"/jobs/{table}/columns", **filters)
        assert answer.location == f"/jobs/{table}"
        assert 'role="alert"' in client.get(answer.location).text


def test_prompts_of_a_chat_file_come_along(client, add_config, tmp_path):
    add_config("http://127.0.0.1:9/v1")
    path = tmp_path / "chat.jsonl"
    path.write_text("\n".join(json.dumps(asked(n)) for n in range(3)))
    with connected():
        job_id = job_creation.create_now(path, path.name, jobs.JobOptions(config="test")).id
        for index in range(2):
            answered(job_id, index, "good", 1)
        results.write([recorded(job_id, 2, [Cause.TIMEOUT], False, 1)])
        Job.update(status="completed", finished_at=1).execute()
    page = opened(client, job_id).page()
    assert "2 rows" in page
    assert "question 1" in page and "&#34;label&#34;: &#34;good&#34;" in page
