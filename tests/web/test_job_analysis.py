"""Recipes, filters, charts, reports, comparison and bulk actions, by a client without
JavaScript."""

import ast
import csv
import html
import io
import json
import re

import pytest

from simple_batch import insight
from simple_batch.core import clock
from simple_batch.services import configs, job_creation, job_retry, jobs
from simple_batch.store import search
from simple_batch.store.database import connected
from simple_batch.store.models import Job, Upload, database
from simple_batch.store.requeue import Changes

from .. import endpoint as e
from ..conftest import wait_until
from ..endpoint import MisbehavingEndpoint
from .test_pages import CONFIG, KEY, asked, config, post, staged, token

__all__ = ["config"]


def answered(text) -> bytes:
    return e.http(200, {**e.GOOD, "choices": [{"index": 0, "message": {"content": text}}]})


@pytest.fixture
def ran(app, client, config, make_job, wait_for):
    """Runs a job against a script of answers; returns its id."""
    services = app.extensions["simple_batch"]
    services.start()

    def run(*script, count=6, **choices) -> int:
        with MisbehavingEndpoint(*script) as endpoint:
            changed = {**CONFIG, "base_url": endpoint.base_url, "concurrency": "1"}
            post(client, "/configs/1", **changed)
            job_id = make_job(count, config="one", **choices)
            wait_for(job_id, "completed")
            return job_id

    yield run
    services.stop(2)


def launch_fields(client, place, **fields):
    usual = {"config": "1", "name": "n", "max_retries": "3"}
    return {"csrf_token": token(client), **usual, **fields}


def test_a_job_is_launched_with_its_own_parameters_and_start(client, config):
    place = staged(client, asked(1), asked(1))
    assert "1 duplicate" in client.get(place).text
    client.set_cookie("zone", "Asia/Shanghai")
    more = {
        "model": "special",
        "temperature": "0.1",
        "max_tokens": "7",
        "timeout_s": "9",
        "params": '{"seed": 3}',
        "start_at": "2099-01-02T08:00",
    }
    answer = client.post(place, data=launch_fields(client, place, **more))
    assert answer.status_code == 303
    with connected():
        job = jobs.get(1)
        expected = {"seed": 3, "model": "special", "temperature": 0.1, "max_tokens": 7}
        assert json.loads(job.params) == expected
        assert (job.timeout_s, job.start_at) == (9.0, 4_070_995_200_000)  # 00:00 UTC
    for wrong, message in (
        ({"temperature": "9"}, "is not from 0 to 2"),
        ({"params": '{"messages": []}'}, "set elsewhere"),
        ({"params": "{"}, "Not valid JSON"),
        ({"start_at": "2001-01-01T00:00"}, "has passed"),
        ({"start_at": "soon"}, "Not a valid datetime"),
        ({"timeout_s": "0"}, "is not from"),
    ):
        answer = client.post(place, data=launch_fields(client, place, **wrong))
        assert answer.status_code == 400, wrong
        assert message in answer.text, wrong


def test_a_recipe_is_saved_and_fills_the_form_again(client, config):
    place = staged(client, asked(1))
    fields = launch_fields(client, place, temperature="0.1", params='{"seed": 3}', concurrency="8")
    saved = client.post(f"{place}/recipe", data=fields)
    assert saved.headers["Content-Disposition"].startswith("attachment")
    assert KEY not in saved.text
    recipe = saved.json
    assert recipe["config"] == "one"
    assert recipe["parameters"] == {"seed": 3, "temperature": 0.1}

    def load(data: bytes):
        upload = {"csrf_token": token(client, place), "recipe": (io.BytesIO(data), "r.json")}
        return client.post(f"{place}/load", data=upload)

    page = load(saved.data).text
    assert 'value="0.1"' in page
    assert 'value="8"' in page
    assert "&#34;seed&#34;: 3" in page
    for data, expected in (
        (b"{", "not a settings file"),
        (json.dumps({**recipe, "surprise": 1}).encode(), "surprise"),
        (json.dumps({**recipe, "config": "gone"}).encode(), "Create one with that name"),
        (json.dumps({**recipe, "simple_batch_recipe": 9}).encode(), "version 9"),
        (json.dumps({**recipe, "parameters": {"max_tokens": "x"}}).encode(), "not a number"),
    ):
        answer = load(data)
        assert answer.status_code == 303, expected
        assert expected in client.get(answer.headers["Location"]).text, expected


def test_one_filter_drives_table_export_charts_retry_and_a_new_job(client, ran):
    bad = e.error(400, "no")
    job_id = ran(bad, bad, answered("short"), e.error(404, "lost"), e.ok(), max_retries=0)
    base = f"/jobs/{job_id}"
    page = client.get(f"{base}/requests?code=400&per=25&cols=status,code").text
    assert page.count("<tr>") == 3
    assert "custom_id</th>" not in page
    rows = client.get(f"{base}/export?format=jsonl&code=400").text.splitlines()
    assert [json.loads(row)["index"] for row in rows] == [0, 1]
    text = client.get(f"{base}/export?format=jsonl&q=short").text.splitlines()
    assert [json.loads(row)["index"] for row in text] == [2]
    charts = client.get(f"{base}/charts.json?code=400").json
    assert sum(bucket["failed"] for bucket in charts["buckets"]) == 2
    assert sum(bucket["succeeded"] for bucket in charts["buckets"]) == 0
    whole = client.get(f"{base}/charts.json").json
    assert len(whole["points"]) == 3
    again = post(client, f"{base}/again", code="400")
    with connected():
        preview = json.loads(Upload.get_by_id(int(again.headers["Location"].split("/")[3])).preview)
    assert [item["custom_id"] for item in preview["first"]] == ["request-1", "request-2"]
    assert post(client, f"{base}/retry", code="404").status_code == 303
    for wrong in ("per=7", "cols=nothing", "code=x", "sort=up"):
        assert client.get(f"{base}/requests?{wrong}").status_code == 400, wrong


def summary_cost(job_id) -> float:
    with connected():
        return insight.summary(job_id)["cost"]["amount"]


def test_error_groups_as_csv(client, ran):
    job_id = ran(e.error(400, "=1+1"), e.error(404, "lost"), e.ok(), max_retries=0)
    text = client.get(f"/jobs/{job_id}/errors.csv").text
    rows = {row["http_status"]: row for row in csv.DictReader(io.StringIO(text))}
    assert rows["400"]["message"].startswith("'=")
    assert (rows["404"]["cause"], rows["404"]["count"], rows["404"]["share"]) == (
        "not_found",
        "1",
        "0.5",
    )
    assert rows["404"]["last_at"].endswith("Z")


def test_a_chart_as_csv_and_the_report(client, ran):
    job_id = ran(e.error(400, "<b>no</b></script>"), e.ok(), name="a </script> job", max_retries=0)
    for name in ("outcomes", "latency", "limit", "tokens", "cost", "histogram", "scatter"):
        answer = client.get(f"/jobs/{job_id}/charts/{name}.csv")
        assert answer.headers["Content-Type"].startswith("text/csv")
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert rows, name
    outcomes = client.get(f"/jobs/{job_id}/charts/outcomes.csv").text
    total = sum(int(row["succeeded"]) for row in csv.DictReader(io.StringIO(outcomes)))
    assert total == 5
    costs = client.get(f"/jobs/{job_id}/charts/cost.csv").text
    spent = [float(row["cost_sum"]) for row in csv.DictReader(io.StringIO(costs))]
    assert spent == sorted(spent)
    assert spent[-1] == summary_cost(job_id) > 0
    assert client.get(f"/jobs/{job_id}/charts/nothing.csv").status_code == 404
    report = client.get(f"/jobs/{job_id}/report.html").text
    assert "&lt;b&gt;no" in report
    assert not re.search(r'(src|href)="(https?:)?//', report)
    assert report.count("</script>") == report.count("<script")
    assert KEY not in report


def test_markdown_of_an_answer_is_shown_without_its_html(client, ran):
    text = (
        "# Title\n\n**bold** <script>alert(1)</script> [x](javascript:alert(1))\n\n"
        "![i](http://evil.example/i.png)\n\n```python\nprint(1)\n```\n\n| a |\n|---|\n| b |"
    )
    message = {
        "content": text,
        "reasoning_content": "thought <i>long</i>",
        "tool_calls": [{"function": {"name": "look_up", "arguments": '{"q": 1}'}}],
    }
    body = {**e.GOOD, "choices": [{"index": 0, "message": message}]}
    page = client.get(f"/jobs/{ran(e.http(200, body), count=1)}/requests/0").text
    assert "<strong>bold</strong>" in page
    assert '<td dir="auto">b</td>' in page
    assert 'class="language-python"' in page
    assert "<script>alert" not in page
    assert 'href="javascript' not in page
    assert "<img" not in page
    assert "<code>look_up</code>" in page
    assert "thought &lt;i&gt;long" in page


def test_images_of_a_message_are_shown_only_from_its_own_bytes(client, config, app):
    parts = [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        {"type": "image_url", "image_url": {"url": "javascript:alert(1)"}},
    ]
    line = json.dumps({"messages": [{"role": "user", "content": parts}]}).encode()
    with connected():
        new = jobs.JobOptions(config="one", hold=True)
        job_id = job_creation.create_now(io.BytesIO(line), "x.jsonl", new).id
    page = client.get(f"/jobs/{job_id}/requests/0").text
    assert page.count("<img") == 1
    assert 'href="https://example.org/a.png"' in page
    assert 'href="javascript' not in page


def test_two_jobs_beside_each_other(client, ran):
    first = ran(answered("one"), answered("two"), answered("three"), count=3)
    second = ran(answered("one"), e.error(400, "refused"), answered("three"), count=4)
    page = client.get(f"/compare?a={first}&b={second}").text
    assert page.count("= same") == 2
    assert page.count("≠ different") == 2  # one of them is only in the second
    assert "refused" in page
    assert "not in this job" in page
    only = client.get(f"/compare?a={first}&b={second}&different=1").text
    assert "= same" not in only
    assert only.count("≠ different") == 2
    turned = client.get(f"/compare?job={second}&job={first}").text
    assert "not in this job" in turned
    assert client.get("/compare").status_code == 200
    assert client.get("/compare?a=1&b=99").status_code == 404


@pytest.mark.parametrize("per_page", [1, 3, 50])
@pytest.mark.parametrize("only_different", [False, True])
def test_a_comparison_misses_no_row_of_either_job(client, config, per_page, only_different):
    def held(ids) -> int:
        line = '{{"custom_id": "{}", "messages": [{{"role": "user", "content": "x"}}]}}\n'
        data = "".join(line.format(name) for name in ids).encode()
        return job_creation.create_now(
            io.BytesIO(data), "x.jsonl", jobs.JobOptions(config="one", hold=True)
        ).id

    with connected():
        first, second = held("abcdefg"), held("xbydzg")
        found, after = [], -1
        while after is not None:
            page = insight.compare(first, second, after, only_different, per_page)
            assert len(page.rows) <= per_page
            found += [(row["custom_id"], row["same"]) for row in page.rows]
            after = page.continue_from
    expected = [(name, name in "bdg") for name in "abcdefgxyz"]
    assert found == [row for row in expected if not (only_different and row[1])]


def test_a_time_from_the_form_becomes_epoch_seconds_in_the_address(client, config, make_job):
    job_id = make_job(2, config="one", hold=True)
    client.set_cookie("zone", "Asia/Shanghai")
    base = f"/jobs/{job_id}/requests"
    answer = client.get(f"{base}?from=2026-01-01T08:00&to=&cols=status&cols=cost&q=")
    assert answer.status_code == 303
    assert answer.headers["Location"] == f"{base}?from=1767225600&cols=status&cols=cost"
    assert 'value="2026-01-01T08:00:00"' in client.get(answer.headers["Location"]).text
    assert client.get(f"{base}?from=2026-99-01T08:00").status_code == 400


def test_many_jobs_at_once(client, config, make_job):
    made = [make_job(1, config="one", hold=True, name=f"n{n}") for n in range(3)]
    page = client.get("/jobs").text
    assert page.count('name="job"') == 3

    def bulk(action, *ids, back="/jobs"):
        data = {
            "csrf_token": token(client),
            "action": action,
            "job": [*map(str, ids)],
            "back": back,
        }
        return client.post("/jobs/bulk", data=data)

    answer = bulk("resume", *made[:2], back="/jobs?status=paused")
    assert answer.headers["Location"] == "/jobs?status=paused"
    with connected():
        assert [jobs.get(job_id).status for job_id in made] == ["queued", "queued", "paused"]
    assert bulk("pause", *made, back="//evil.example/jobs").headers["Location"] == "/jobs"
    output = client.get("/jobs").text
    assert "Done for 2 jobs." in output
    assert "cannot pause now" in output
    bulk("delete", *made)
    with connected():
        assert Job.select().where(Job.deleted_at.is_null()).count() == 0
    assert bulk("explode", 1).status_code == 400


def test_each_reader_has_the_words_of_their_own_language(client, ran):
    job_id = ran(e.ok(), count=1)
    for path in (f"/jobs/{job_id}/charts", f"/jobs/{job_id}", "/jobs"):
        english = client.get(f"{path}?lang=en").text
        chinese = client.get(f"{path}?lang=zh").text
        assert "succeeded" in english
        assert "成功" in chinese
        assert "&#34;succeeded&#34;: &#34;succeeded" not in chinese
        assert '"succeeded": "succeeded"' not in chinese


def test_times_are_in_the_zone_of_the_browser(client, config, make_job):
    job_id = make_job(1, config="one", hold=True)
    with connected():
        Job.update(created_at=clock.now_ms() // 86_400_000 * 86_400_000).execute()
    client.set_cookie("zone", "Asia/Shanghai")
    page = client.get("/jobs").text
    assert " 08:00</time>" in page
    assert "00:00:00 UTC" in page
    for wrong in ("../../etc/passwd", "No/Where", "x" * 3000):
        client.set_cookie("zone", wrong)
        assert client.get(f"/jobs/{job_id}").status_code == 200


def test_a_search_in_a_large_job_has_it_indexed(client, ran, monkeypatch):
    job_id = ran(answered("haystack"), answered("the needle"), answered("haystack"), count=6)
    monkeypatch.setattr(search, "WINDOW", 5)
    path = f"/jobs/{job_id}/requests?q=needle"
    assert "is being indexed" in client.get(path).text
    page = wait_until(lambda: "being indexed" not in (text := client.get(path).text) and text)
    assert page.count("<tr>") == 2
    with connected():
        assert (
            database.execute_sql(f"SELECT count(*) FROM text_of_job_{job_id}").fetchone()[0] == 12
        )
    assert post(client, f"/jobs/{job_id}/delete").status_code == 303


def test_the_copies_are_what_was_sent(client, ran, wait_for):
    job_id = ran(e.error(400, "no"), count=1, params={"seed": 5}, timeout_s=33.0)
    with MisbehavingEndpoint(e.ok()) as endpoint:
        other = {**CONFIG, "alias": "two", "base_url": endpoint.base_url, "model": "m-two"}
        post(client, "/configs/new", **other)
        page = html.unescape(client.get(f"/jobs/{job_id}/requests/0").text)
        assert '"seed": 5' in page
        assert "m-two" not in page
        assert "timeout=33," in page
        with connected():
            job_retry.retry(job_id, other=Changes(config_id=configs.get("two").id, max_tokens=9))
        wait_for(job_id, "completed")
        page = html.unescape(client.get(f"/jobs/{job_id}/requests/0").text)
        sent = endpoint.bodies[0]
        code = page[page.index("import json, os, requests") :].split("</")[0]
        body = re.search(r"json\.loads\((.*)\)\n", code)[1]
        assert json.loads(ast.literal_eval(body)) == sent
        assert f"{endpoint.base_url}/chat/completions" in code


def test_the_most_an_answer_may_have_bounds_the_estimate(client, config):
    place = staged(client, asked(1))
    for most, high in ((1_000, "0.01001"), (10, "0.000106")):  # at 10 per million tokens out
        fields = launch_fields(client, place, max_tokens=str(most))
        with MisbehavingEndpoint(e.error(400, "no")) as endpoint:
            post(client, "/configs/1", **{**CONFIG, "base_url": endpoint.base_url})
            page = client.post(f"{place}/try", data=fields).text
        assert f"{high}<" in page.replace("\n", "")
