"""Every endpoint by every interface: a table through a template on the pages and by a command, and
lines of the Batch API."""

import csv
import io
import json
from decimal import Decimal

import pyarrow.parquet as pq
import pytest

from simple_batch.services import jobs, uploads
from simple_batch.store.database import connected

from .openai_api.conftest import jsonl, line
from .web.test_pages import post
from .web.test_tables import staged

TEXTS = [*(f"Tell me of number {n}, please." for n in range(4)), "I hate to wait", "再见"]
PLACES = {
    "/v1/chat/completions": lambda text: {"messages": [{"role": "user", "content": text}]},
    "/v1/responses": lambda text: {"input": text},
    "/v1/completions": lambda text: {"prompt": text},
    "/v1/embeddings": lambda text: {"input": text},
    "/v1/moderations": lambda text: {"input": text},
    "/v1/images/generations": lambda text: {"prompt": text},
}


def by_page(app, url, table) -> int:
    client = app.test_client()
    place = staged(client, table)
    assert post(client, place, user="{{text}}", url=url, custom_id="").status_code == 303
    example = post(client, place, user="{{text}}", url=url, custom_id="", show="2").text
    assert "2 of 6" in example
    assert TEXTS[1] in example
    page = client.get("/jobs/new/1").text
    assert TEXTS[0] in page
    assert ('name="inputs_per_call"' in page) == (url == "/v1/embeddings")
    tried = post(client, "/jobs/new/1/try", config="1", name="n", max_retries="0").text
    assert tried.count('data-tried="ok"') == 3
    made = post(client, "/jobs/new/1", config="1", name="n", max_retries="0")
    return int(made.headers["Location"].rsplit("/", 1)[1])


def by_command(app, url, tmp_path, table) -> int:
    (tmp_path / "t.csv").write_text(table)
    (tmp_path / "t.txt").write_text("{{text}}")
    arguments = ["create-job", str(tmp_path / "t.csv"), "--config", "test"]
    arguments += ["--template", str(tmp_path / "t.txt"), "--endpoint", url]
    done = app.test_cli_runner().invoke(args=arguments)
    assert done.exit_code == 0, done.output
    return int(done.stdout)


def by_batch(app, url) -> int:
    api = app.test_client()
    lines = [line(str(n), url=url, **PLACES[url](text)) for n, text in enumerate(TEXTS)]
    file = api.post("/v1/files", data={"file": jsonl(lines), "purpose": "batch"}).json
    asked = {"input_file_id": file["id"], "endpoint": url, "completion_window": "24h"}
    return int(api.post("/v1/batches", json=asked).json["id"].removeprefix("batch_"))


def test_a_system_message_and_parameters_by_endpoint(app, add_config, tmp_path):
    """It goes where the endpoint expects it; a parameter that would overwrite a text is refused."""
    add_config("http://127.0.0.1:9/v1")
    client = app.test_client()
    place = staged(client, "text\nhello\n")
    fields = {"user": "{{text}}", "custom_id": "", "system": "Be brief."}
    assert post(client, place, **fields, url="/v1/responses").status_code == 303
    with connected():
        request = uploads.staged(1)[1].first[0]
    assert json.loads(request.body) == {"input": "hello", "instructions": "Be brief."}
    for url, more, expected in (
        ("/v1/embeddings", {}, "have no system message"),
        ("/v1/embeddings", {"system": "", "parameters": '{"input": "x"}'}, "set elsewhere"),
        ("/v1/responses", {"parameters": '{"instructions": "x"}'}, "set elsewhere"),
        ("/v1/audio", {}, "Not a valid choice"),
    ):
        refused = post(client, place, **{**fields, **more}, url=url)
        assert (refused.status_code, expected in refused.text) == (400, True), expected
    (tmp_path / "t.csv").write_text("text\nhello\n")
    (tmp_path / "t.json").write_text('{"user": "{{text}}", "url": "/v1/audio"}')
    arguments = ["create-job", str(tmp_path / "t.csv"), "--config", "test", "--no-start"]
    for code, more, expected in (
        (1, ["--template", str(tmp_path / "t.json")], "none of /v1/chat/completions"),
        (2, ["--endpoint", "/v1/embeddings"], "add --template FILE"),
    ):
        done = app.test_cli_runner().invoke(args=[*arguments, *more])
        assert (done.exit_code, expected in done.output) == (code, True), done.output


@pytest.mark.parametrize("url", PLACES)
def test_pages_commands_and_the_api_give_the_same_answers(
    app, add_config, endpoint, wait_for, tmp_path, url
):
    prices = {name: Decimal(1) for name in ("input_price", "output_price")}
    add_config(endpoint.base_url, max_tokens=50, **prices)
    app.extensions["simple_batch"].start()
    table = "text\n" + "".join(f'"{text}"\n' for text in TEXTS)
    client = app.test_client()
    made = [by_page(app, url, table), by_command(app, url, tmp_path, table), by_batch(app, url)]
    answers = []
    for job_id in made:
        job = wait_for(job_id, "completed", "failed", "paused")
        assert (job.status, job.succeeded, job.endpoint) == ("completed", len(TEXTS), url)
        text = client.get(f"/jobs/{job_id}/export?format=csv").data.decode("utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text)))
        assert [row["prompt"] for row in rows] == TEXTS
        answers.append([row["content"] for row in rows])
        sums = sum(int(row["input_tokens"] or 0) for row in rows)
        assert sums == job.input_tokens
        page = client.get(f"/jobs/{job_id}/requests/4")
        assert page.status_code == 200
        assert TEXTS[4] in page.text
        assert "No answer yet" not in page.text
        exported = client.get(f"/jobs/{job_id}/export?format=parquet").data
        vectors = pq.read_table(io.BytesIO(exported)).to_pydict().get("embedding")
        if url == "/v1/embeddings":
            assert [len(vector) for vector in vectors] == [16] * len(TEXTS)
            assert len({tuple(vector) for vector in vectors}) == len(TEXTS)
        else:
            assert vectors is None
    if url == "/v1/images/generations":
        assert all(text.startswith("http") for texts in answers for text in texts)
    else:
        assert answers[0] == answers[1] == answers[2]
        assert any(answers[0]) == (url != "/v1/embeddings")
    if url == "/v1/moderations":
        assert answers[0][3:5] == ["not flagged", "flagged: hate"]
    sent = PLACES[url](TEXTS if url == "/v1/embeddings" else TEXTS[4])
    sent = {**sent, "model": "m"}
    if url in ("/v1/chat/completions", "/v1/completions"):
        sent["max_tokens"] = 50
    if url == "/v1/responses":
        sent["max_output_tokens"] = 50
    assert sum(body == sent for body in endpoint.bodies) == 3
    with connected():
        assert jobs.get(made[0]).unpriced == (len(TEXTS) if "images" in url else 0)
