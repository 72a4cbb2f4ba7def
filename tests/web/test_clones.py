"""A job that was made by a command or by the Batch API is cloned from its stored requests."""

import csv
import io
import json
import re
from pathlib import Path

import pytest

from simple_batch import export
from simple_batch.intake import Template
from simple_batch.services import (
    batch_files,
    importer,
    job_clones,
    job_creation,
    job_retry,
    jobs,
    table_rows,
    uploads,
)
from simple_batch.store.database import connected
from simple_batch.store.models import Job, Request, Upload

from ..auth.conftest import form_token, post
from ..conftest import wait_until
from ..sample_images import GIF, png

CELLS = [  # what a reader may take for another delimiter, quote, number, formula, encoding or line end
    ["id", "Customer Name", "note"],
    ["007", 'Ann "A"', "a;b;c;d"],
    ["8", "李雷", "line one\nline two\r\nand\ttabs|pipes"],
    ["0.50", "Zoë", '=1+1, "quoted"'],
    ["x", "", "  spaces  "],
]
TEMPLATE = Template(system="For {{Customer Name}}", user="{{note}} {{id}}", custom_id="id")


@pytest.fixture(autouse=True)
def config(add_config):
    return add_config("http://127.0.0.1:9/v1")


def created(path: Path, **choices) -> int:
    with connected():
        options = jobs.JobOptions(config="test", hold=True, **choices)
        return job_creation.create_now(path, path.name, options).id


def table(folder: Path, rows=CELLS) -> Path:
    path = folder / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def without_file(job_id: int) -> None:
    """As after the retention time of its upload."""
    with connected():
        upload = jobs.get(job_id).upload
        Job.update(upload=None).where(Job.id == job_id).execute()
        uploads.discard(upload)


def cloned(client, job_id: int) -> tuple[str, str]:
    """(address of the first step, its page) of a clone."""
    answer = client.get(f"/jobs/new?clone={job_id}")
    assert answer.status_code == 303, answer.text
    place = answer.headers["Location"]
    return place, client.get(place).text


def launch(client, upload: str, **fields) -> int:
    """A job of that upload, with its requests read."""
    given = {
        "csrf_token": form_token(client.get("/jobs/new")),
        "config": "1",
        "hold": "1",
        **fields,
    }
    answer = client.post(f"/jobs/new/{upload}", data=given)
    assert answer.status_code == 303, answer.text
    job_id = int(answer.headers["Location"].rpartition("/")[2])
    with connected():
        importer.import_quietly(job_id)
    return job_id


def requests_of(job_id: int) -> list[tuple]:
    with connected():
        rows = Request.select(Request.custom_id, Request.url, Request.body, Request.cells)
        found = rows.where(Request.job == job_id).order_by(Request.idx).tuples()
        return [(name, url, json.loads(bytes(body)), cells) for name, url, body, cells in found]


def test_a_job_of_a_command_with_its_choices_and_its_edits(app, client, questions):
    args = ("--config", "test", "--no-start", "--max-retries", "7", "--seed", "5", "--name", "orig")
    done = app.test_cli_runner().invoke(args=("create-job", str(questions(3)), *args))
    job_id = int(done.stdout)
    body = {"messages": [{"role": "user", "content": "edited"}]}
    with connected():
        jobs.cancel(job_id)
        job_retry.send_again(job_id, 1, json.dumps(body))
    place, page = cloned(client, job_id)
    assert "rebuilt from its stored requests" in page
    assert "skipped as invalid" not in page
    assert 'value="orig (copy)"' in page
    assert "3 requests" in page
    assert re.search(r'name="max_retries"[^>]*value="7"', page)
    assert re.search(r'name="seed"[^>]*value="5"', page)
    made = launch(client, place.split("/")[3], name="orig (copy)", max_retries="7")
    found = requests_of(made)
    assert [name for name, *_rest in found] == ["request-1", "request-2", "request-3"]
    texts = [body["messages"][0]["content"] for _name, _url, body, _cells in found]
    assert texts == ["question 1", "edited", "question 3"]


def test_a_table_comes_back_cell_by_cell_and_goes_through_the_template_step(client, tmp_path):
    job_id = created(table(tmp_path), template=TEMPLATE, name="a table")
    without_file(job_id)
    place, page = cloned(client, job_id)
    assert place.endswith("/workbench")
    assert "a table.csv" in page
    assert "4 rows" in page
    assert "For {{Customer Name}}</textarea>" in page
    upload = place.split("/")[3]
    fields = {"system": TEMPLATE.system, "user": TEMPLATE.user, "custom_id": "id"}
    assert post(client, f"/jobs/new/{upload}/template", **fields).status_code == 303
    made = launch(client, upload, name="again", max_retries="3")
    before, after = requests_of(job_id), requests_of(made)
    assert [row[:3] for row in before] == [row[:3] for row in after]
    assert [json.loads(bytes(row[3])) for row in after] == CELLS[1:]


def test_a_table_with_images_while_they_are_kept_and_after(client, tmp_path):
    (tmp_path / "a.png").write_bytes(png(8, 8))
    (tmp_path / "b.gif").write_bytes(GIF)
    rows = [["q", "photo"], ["one", "a.png"], ["two", "b.gif"]]
    template = Template(user="{{q}}", images=["{{photo}}"], custom_id="q")
    job_id = created(table(tmp_path, rows), template=template)
    _place, page = cloned(client, job_id)
    assert "2 images" in page
    assert "no longer kept. Add" not in page
    without_file(job_id)
    _place, page = cloned(client, job_id)
    assert "Its images are no longer kept. Add them again" in page
    assert "No images yet" in page


def test_a_batch_of_the_api_whose_file_is_gone(app, client):
    lines = [
        {
            "custom_id": f"c-{n}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "m", "messages": [{"role": "user", "content": f"q {n}"}]},
        }
        for n in range(3)
    ]
    data = "\n".join(map(json.dumps, lines)).encode()
    file = client.post(
        "/v1/files", data={"purpose": "batch", "file": (io.BytesIO(data), "in.jsonl")}
    ).json["id"]
    asked = {
        "input_file_id": file,
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
    }
    job_id = int(client.post("/v1/batches", json=asked).json["id"].removeprefix("batch_"))
    answer = client.get(f"/jobs/new?clone={job_id}")
    assert "still being read" in answer.text
    with connected():
        importer.import_quietly(job_id)
    client.delete(f"/v1/files/{file}")
    with connected():
        batch_files.sweep()
        assert jobs.get(job_id).upload is None
    place, page = cloned(client, job_id)
    assert "3 requests" in page
    made = launch(client, place.split("/")[3], name="n", max_retries="3")
    assert [row[:3] for row in requests_of(made)] == [
        (line["custom_id"], line["url"], line["body"]) for line in lines
    ]


def test_what_cannot_come_back_is_said(app, client, tmp_path):
    path = tmp_path / "q.jsonl"
    path.write_text('{"messages": [{"role": "user", "content": "x"}]}\nnot this\n')
    job_id = created(path, skip_faulty=True)
    page = cloned(client, job_id)[1]
    assert "Lines that were skipped as invalid are not part of it." in page
    with connected():
        Job.update(total=0).where(Job.id == job_id).execute()
    answer = client.get(f"/jobs/new?clone={job_id}")
    assert (answer.status_code, "no requests to clone" in answer.text) == (200, True)
    with connected():
        jobs.delete(job_id)
    answer = client.get(f"/jobs/new?clone={job_id}")
    assert (answer.status_code, "in the bin" in answer.text) == (404, True)


def test_a_table_whose_cells_are_not_stored_comes_as_its_requests(client, tmp_path):
    job_id = created(table(tmp_path), template=TEMPLATE)
    with connected():
        Request.update(cells=None).execute()
    place, page = cloned(client, job_id)
    assert not place.endswith("/template")
    assert "so these are its requests" in page
    made = launch(client, place.split("/")[3], name="n", max_retries="3")
    assert [row[:3] for row in requests_of(made)] == [row[:3] for row in requests_of(job_id)]


def test_a_long_one_is_prepared_in_the_background(app, client, monkeypatch, make_job):
    monkeypatch.setattr(job_clones, "AT_ONCE_S", 0.0)
    job_id = make_job(3000, hold=True)
    answer = client.get(f"/jobs/new?clone={job_id}")
    assert answer.status_code == 200
    assert answer.headers["Refresh"] == "2"
    assert "is being prepared" in answer.text
    assert "of 3,000 requests" in answer.text

    def ready():
        answer = client.get(f"/jobs/new?clone={job_id}")
        return answer.headers.get("Location")

    place = wait_until(ready)
    assert "3,000 requests" in client.get(place).text
    with connected():
        assert Upload.select().where(Upload.draft.is_null(False)).count() == 1


def test_a_failure_is_said_and_can_be_tried_again(app, client, monkeypatch, make_job):
    job_id = make_job(2, hold=True)
    monkeypatch.setattr(table_rows, "are_stored", lambda job: 1 / 0)
    assert "could not be prepared" in client.get(f"/jobs/new?clone={job_id}").text
    monkeypatch.undo()
    assert client.get(f"/jobs/new?clone={job_id}").status_code == 303
    with connected():
        assert b"question 1" in b"".join(export.export(job_id, "requests"))
