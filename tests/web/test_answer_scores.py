"""New columns from answers: a job that reads the answers of another and gives each a score and a reason."""

# ruff: noqa: F811 - fixtures that are imported

import csv
import json
import re

from simple_batch.core import identity
from simple_batch.core.clock import now_ms
from simple_batch.core.domain import Cause
from simple_batch.core.identity import Actor, Scope
from simple_batch.services import job_creation, jobs
from simple_batch.store import requeue, results
from simple_batch.store.database import connected
from simple_batch.store.grid_columns import Columns
from simple_batch.store.models import ApiConfig, Job

from .. import endpoint as e
from ..conftest import wait_until
from ..endpoint import MisbehavingEndpoint
from ..store.test_results import recorded
from .test_pages import asked, post
from .test_results_grid import answered, shown, table  # noqa: F401 (fixture)
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


def test_scores_are_columns_of_the_job_whose_answers_they_are_of(app, client, table, wait_for):
    bench = opened(client, table)
    script = [e.says({"score": score, "reason": "Brief."}) for score in (3, 1, 5, 1, 2)]
    with MisbehavingEndpoint(*script) as endpoint:
        with connected():
            ApiConfig.update(base_url=endpoint.base_url).execute()
        made = int(bench.post("launch").location.rpartition("/")[2])
        score = f"scored.{made}.score"
        assert score in columns_of(client, table)  # empty so far
        assert shown(client, table, f"sort={score}&per=100") == [1, 2, 3, 4, 5, 6]
        app.extensions["simple_batch"].start()
        wait_for(made, "completed")
    assert columns_of(client, table)[4:8] == [
        "field.score",
        score,
        f"scored.{made}.reason",
        "outcome",
    ]
    page = client.get(f"/jobs/{table}/results").text
    assert f"score (job {made})" in page
    assert f"score（任务 {made}）" in client.get(f"/jobs/{table}/results?lang=zh").text
    client.get("/jobs?lang=en")
    rows = client.get(f"/jobs/{table}/results.json?cols={score}").json["rows"]
    scores = [row["values"][score] for row in rows]
    assert scores[3] is None  # the failed one has no answer
    given = {n: score for n, score in enumerate(scores, 1) if score is not None}
    assert sorted(given.values()) == [1, 1, 2, 3, 5]
    downwards = sorted(given, key=lambda n: (-given[n], -n))
    assert shown(client, table, f"sort=-{score}&per=100") == [*downwards, 4]
    best = max(given.values())
    assert shown(client, table, f"{score}={best}") == [n for n in given if given[n] == best]
    assert shown(client, table, f"{score}>=0") == sorted(given)
    exported = client.get(f"/jobs/{table}/export?format=jsonl&{score}<=1").text
    low = [
        int(json.loads(line)["custom_id"].removeprefix("request-"))
        for line in exported.splitlines()
    ]
    assert low == [n for n in given if given[n] == 1]
    menu = client.get(f"/jobs/{table}/results/values?values={score}").text
    assert len(re.findall("value-item", menu)) == len(set(given.values())) + 1  # and those without


def test_scores_that_change_are_followed_and_a_deleted_job_has_none(app, client, table, wait_for):
    bench = opened(client, table)
    with MisbehavingEndpoint(e.says({"score": 2, "reason": "So so."})) as endpoint:
        with connected():
            ApiConfig.update(base_url=endpoint.base_url).execute()
        made = int(bench.post("launch").location.rpartition("/")[2])
        score = f"scored.{made}.score"
        app.extensions["simple_batch"].start()
        wait_for(made, "completed")
        assert len(shown(client, table, f"{score}=2")) == 5
        endpoint.script = [e.says({"score": 5, "reason": "Better."})]
        body = {"model": "m", "messages": [{"role": "user", "content": "once more"}]}
        assert (
            post(client, f"/jobs/{made}/requests/1/send", body=json.dumps(body)).status_code == 303
        )
        wait_until(lambda: shown(client, table, f"{score}=5") == [2])
    assert len(shown(client, table, f"{score}=2")) == 4
    with connected():  # no answer for now
        assert requeue.replace_one(made, 1, json.dumps(body).encode())
    assert shown(client, table, f"{score}=5") == []
    assert shown(client, table, f"empty={score}") == [2, 4]
    with connected():
        jobs.delete(made)
    assert score not in columns_of(client, table)
    assert client.get(f"/jobs/{table}/results?sort={score}").status_code == 400


def test_scores_of_another_users_private_job_are_not_shown(app, table, people, client):
    """Also where the job whose answers they are of is shared."""
    with connected():
        Job.update(user=people["otto"], sharing="view").execute()
        job = Job.get_by_id(table)
        reader = Job.create(
            name="scores",
            config=job.config,
            user=people["anna"],
            status="completed",
            max_retries=1,
            created_at=job.created_at + 1,
            answers_of=table,
            schema=json.dumps({"type": "object", "properties": {"score": {"type": "integer"}}}),
        )
        name = f"scored.{reader.id}.score"
        seen = {}
        for who in ("otto", "anna"):
            identity.act_as(Actor(who, user=people[who], sees=Scope(user=people[who])))
            seen[who] = name in Columns(job)
        Job.update(sharing="view").where(Job.id == reader.id).execute()
        identity.act_as(Actor("otto", user=people["otto"], sees=Scope(user=people["otto"])))
        assert name in Columns(job)
        identity.act_as(identity.CLI)
    assert seen == {"otto": False, "anna": True}


def test_many_jobs_that_read_the_answers_all_have_columns(table, people):
    """What is built in the background does not depend on whose jobs there are besides."""
    with connected():
        job = Job.get_by_id(table)
        schema = json.dumps({"type": "object", "properties": {"score": {"type": "integer"}}})
        owners = [people["anna"], *[people["otto"]] * 8]
        made = [
            Job.create(
                name="scores",
                config=job.config,
                user=owner,
                status="completed",
                max_retries=1,
                created_at=job.created_at + 1,
                answers_of=table,
                schema=schema,
            ).id
            for owner in owners
        ]
        mine = f"scored.{made[0]}.score"
        identity.act_as(Actor("anna", user=people["anna"], sees=Scope(user=people["anna"])))
        assert mine in Columns(job)
        identity.act_as(identity.CLI)
        assert mine in Columns(job)


def test_an_upload_does_not_name_a_later_job_with_the_same_id(client, table):
    bench = opened(client, table)
    with connected():
        Job.update(created_at=now_ms() + 60_000).where(Job.id == table).execute()
    made = int(bench.post("launch").location.rpartition("/")[2])
    with connected():
        assert Job.get_by_id(made).answers_of is None
    assert not any(name.startswith("scored.") for name in columns_of(client, table))


def columns_of(client, job_id: int) -> list[str]:
    page = client.get(f"/jobs/{job_id}/results").text
    return re.findall(r'<th scope="col" data-col="([^"]+)"', page)


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
