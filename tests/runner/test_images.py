"""Images beside a table arrive byte for byte, whatever happens to the job meanwhile."""

import csv
import json
import os
from pathlib import Path

import pytest

from simple_batch import export, insight
from simple_batch.core import settings
from simple_batch.core.errors import InvalidInput, UploadRejected
from simple_batch.intake import Template
from simple_batch.services import job_creation, job_retry, jobs, lifecycle, new_from_rows, uploads
from simple_batch.store import images
from simple_batch.store.database import connected
from simple_batch.store.models import Job, Request, Upload, UploadImage
from simple_batch.store.request_filter import RequestFilter

from .. import endpoint as e
from ..conftest import wait_until
from ..endpoint import MisbehavingEndpoint
from ..sample_images import GIF, SVG, png, sent

TEMPLATE = Template(user="{{q}}", images=["{{photo}}", "{{second}}"], custom_id="q")
LARGE = png(2, 2) + os.urandom(300_000)  # bytes after the end of the image are sent too


@pytest.fixture
def endpoint(add_config):
    with MisbehavingEndpoint(e.ok()) as served:
        add_config(served.base_url, concurrency=4)
        yield served


@pytest.fixture
def folder(tmp_path):
    """A table's folder with its images."""
    made = tmp_path / "mine"
    (made / "sub").mkdir(parents=True)
    for name, data in (
        ("a.png", png(10, 10)),
        ("b.gif", GIF),
        ("large.png", LARGE),
        ("copy of a.png", png(10, 10)),
        ("sub/Café.PNG", png(5, 5)),
        ("drawing.png", SVG),
    ):
        (made / name).write_bytes(data)
    return made


def table(folder: Path, *rows: tuple[str, str, str]) -> Path:
    with (folder / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("q", "photo", "second"), *rows])
    return folder / "t.csv"


def make(path: Path, template: Template = TEMPLATE, **choices) -> int:
    with connected():
        new = jobs.JobOptions(config="test", template=template, **choices)
        return job_creation.create_now(path, path.name, new).id


def kept(instance: Path) -> list[str]:
    return sorted(path.name for path in (instance / "uploads").glob("*.images/*"))


def arrived(endpoint) -> dict[str, list[bytes]]:
    """The images in the last body of each question."""
    found = {}
    for body in endpoint.bodies:
        content = body["messages"][-1]["content"]
        text = content if isinstance(content, str) else content[0]["text"]
        found[text] = [] if isinstance(content, str) else sent(body)
    return found


def test_the_bytes_of_every_image_arrive_and_are_kept_once(
    app, instance, endpoint, folder, wait_for
):
    path = table(
        folder,
        ("one", "a.png", ""),
        ("two", "b.gif", "large.png"),
        ("none", "", " "),
        ("url", "https://example.org/x.png", "copy of a.png"),
        (
            "named otherwise",
            "SUB\\cafe\u0301.png",
            "",
        ),  # backslash, another case, combining accents
        *((f"again {n}", "large.png", "") for n in range(200)),
    )
    job_id = make(path)
    for name in folder.iterdir():  # the job has its own copies by now
        if name.is_file():
            name.write_bytes(b"changed")
    assert len(kept(instance)) == 4
    with connected():
        bodies = [bytes(row.body) for row in Request.select(Request.body)]
        assert max(map(len, bodies)) < 400
        job = jobs.get(job_id)
        assert job.upload.images == 5
    app.extensions["simple_batch"].start()
    job = wait_for(job_id, "completed")
    assert job.succeeded == 205
    found = arrived(endpoint)
    assert found["one"] == [png(10, 10)]
    assert found["two"] == [GIF, LARGE]
    assert found["none"] == []
    assert found["url"] == [b"https://example.org/x.png", png(10, 10)]
    assert found["named otherwise"] == [png(5, 5)]
    assert all(found[f"again {n}"] == [LARGE] for n in range(200))
    body = next(b for b in endpoint.bodies if "two" in json.dumps(b))
    url = body["messages"][0]["content"][1]["image_url"]["url"]
    assert url.startswith("data:image/gif;base64,R0lGODlh")
    with connected():
        for format_ in ("json", "jsonl", "csv", "requests", "openai"):
            out = b"".join(export.export(job_id, format_))
            assert b"base64" not in out
            assert len(out) < 300_000
        detail = insight.request_detail(job_id, 1)
    kinds = [
        (part["kind"], detail["image_names"].get(part["text"]))
        for part in detail["messages"][0]["parts"]
    ]
    assert kinds == [("text", None), ("picture", "b.gif"), ("picture", "large.png")]


def test_duplicates_and_cached_answers_compare_image_contents(start, endpoint, folder, wait_for):
    same = Template(user="What is it?", images=["{{photo}}"], custom_id="q")
    path = table(folder, ("1", "a.png", ""), ("2", "copy of a.png", ""), ("3", "large.png", ""))
    job = wait_for(make(path, same, ask_once=True, reuse_hours=1), "completed")
    assert (job.succeeded, job.saved_calls, endpoint.calls) == (3, 1, 2)
    (folder / "large.png").write_bytes(LARGE + b"!")
    job = wait_for(make(path, same, reuse_hours=1), "completed")
    assert (job.succeeded, endpoint.calls) == (3, 3)  # only the request with another image is sent
    assert sent(endpoint.bodies[-1]) == [LARGE + b"!"]


def test_retry_edit_reset_clone_and_a_job_of_its_requests_have_the_images(
    start, instance, endpoint, folder, wait_for
):
    path = table(folder, ("one", "a.png", "b.gif"))
    job_id = make(path, max_retries=0)
    wait_for(job_id, "completed")
    calls = endpoint.calls

    def arrives(job_id: int, expected: list[bytes]) -> None:
        nonlocal calls
        wait_until(lambda: endpoint.calls > calls)
        wait_for(job_id, "completed")
        calls = endpoint.calls
        assert sent(endpoint.bodies[-1]) == expected

    with connected():
        shown = insight.request_detail(job_id, 0)["body"]
        job_retry.send_again(job_id, 0, shown.replace("one", "two"))  # indented, as on the page
    arrives(job_id, [png(10, 10), GIF])
    assert endpoint.bodies[-1]["messages"][0]["content"][0]["text"] == "two"
    with connected():
        other = shown.replace(
            "image-file:" + next(f for f in kept(instance) if "gif" in f), "https://x/"
        )
        job_retry.send_again(job_id, 0, other)
    arrives(job_id, [png(10, 10), b"https://x/"])
    with connected():
        with pytest.raises(InvalidInput, match="there is no image"):
            job_retry.send_again(job_id, 0, shown.replace("-10x10", "-11x10"))
        jobs.reset(job_id)
        jobs.resume(job_id)
    arrives(job_id, [png(10, 10), GIF])
    with connected():
        again = new_from_rows.begin(job_id, RequestFilter()).upload
        uploads.apply_template(again.id, TEMPLATE)
        fields, upload = jobs.clone_fields(job_id)
        jobs.delete(job_id, at_once=True)
    wait_until(lambda: not _exists(job_id))
    with connected():
        copied = job_creation.launch(again.id, jobs.JobOptions(config="test")).id
    arrives(copied, [png(10, 10), GIF])
    assert upload.images == 2
    assert fields.template == TEMPLATE


def _exists(job_id: int) -> bool:
    with connected():
        return Job.select().where(Job.id == job_id).exists()


def test_images_go_with_the_last_that_needs_them(app, instance, endpoint, folder):
    job_id = make(table(folder, ("one", "a.png", "")))
    assert len(kept(instance)) == 1
    with connected():
        again = new_from_rows.begin(job_id, RequestFilter()).upload
        jobs.delete(job_id, at_once=True)
        assert len(kept(instance)) == 1  # the copy's
        assert Upload.select().count() == 1
        Upload.update(changed_at=1).where(Upload.id == again.id).execute()
        uploads.discard_unlaunched()
        assert (Upload.select().count(), UploadImage.select().count()) == (0, 0)
    assert list((instance / "uploads").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "b.giff",
            "column “photo”: there is no image “b.giff” beside the table; the nearest is “b.gif”",
        ),
        ("sub/cofé.png", "the nearest is “sub/Café.PNG”"),
        ("../outside.png", "“..” leads out of the folder"),
        ("/etc/hostname", "not from the root"),
        ("C:\\a.png", "not from the root"),
        ("link.png", "leads out of the folder"),
        ("linked/outside.png", "leads out of the folder"),
        ("drawing.png", "“drawing.png” is no PNG, JPEG, GIF or WebP image"),
        ("sub", "there is no image “sub”"),
        ("pipe.png", "there is no image “pipe.png”"),
        ("large.png", "MAX_IMAGE_BYTES"),
        ("twice.PNG", "there is no image “twice.PNG”"),
    ],
)
def test_a_name_that_is_no_image_is_a_fault_with_its_row_and_column(
    app, instance, endpoint, folder, tmp_path, monkeypatch, name, expected
):
    (tmp_path / "outside.png").write_bytes(png())
    (folder / "link.png").symlink_to(tmp_path / "outside.png")
    (folder / "linked").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.png")
    for twice in ("twice.png", "Twice.png"):
        (folder / twice).write_bytes(png())
    small = settings.load(environ={}, INSTANCE_PATH=str(instance), MAX_IMAGE_BYTES=200_000)
    lifecycle.open_context(small)
    with pytest.raises(UploadRejected) as caught:
        make(table(folder, ("fine", "a.png", ""), ("bad", name, "")))
    fault = caught.value.faults[0]
    assert fault.line == 3
    assert expected in fault.message
    assert "column “photo”" in fault.message
    assert caught.value.fault_count == 1
    with connected():
        assert not Job.select().exists()
        assert not UploadImage.select().exists()
    assert list((instance / "uploads").iterdir()) == []
    job_id = make(table(folder, ("bad", name, ""), ("fine", "a.png", "")), skip_faulty=True)
    with connected():
        assert jobs.get(job_id).total == 1


def test_a_request_is_measured_with_its_images(app, instance, endpoint, folder):
    fits = len(LARGE) * 4 // 3 + 1_000
    for most, good in ((fits, 1), (fits - 2_000, 0)):
        lifecycle.open_context(
            settings.load(environ={}, INSTANCE_PATH=str(instance), MAX_REQUEST_BYTES=most)
        )
        path = table(folder, ("one", "large.png", ""), ("two", "a.png", ""))
        with connected():
            assert jobs.get(make(path, skip_faulty=True)).total == good + 1


def test_a_removed_image_is_reported_and_the_rest_goes_on(
    start, instance, endpoint, folder, wait_for
):
    path = table(folder, ("one", "a.png", ""), ("two", "b.gif", ""))
    job_id = make(path, hold=True, max_retries=0)
    next((instance / "uploads").glob("*.images/*.gif")).unlink()
    with connected():
        jobs.resume(job_id)
    job = wait_for(job_id, "completed")
    assert (job.succeeded, job.failed) == (1, 1)
    with connected():
        assert (
            "an image cannot be read: No such file" in insight.request_detail(job_id, 1)["message"]
        )


def test_a_job_without_images_is_not_looked_through_for_them(
    start, endpoint, make_job, wait_for, monkeypatch
):
    monkeypatch.setattr(images, "filled", None)
    assert wait_for(make_job(3), "completed").succeeded == 3
