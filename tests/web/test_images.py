"""Images beside a table on the pages, by a client without JavaScript."""

# ruff: noqa: F811 - fixtures that are imported

import io
import re

from simple_batch.services import jobs
from simple_batch.store.database import connected

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from ..sample_images import GIF, SVG, png, sent, zipped
from .test_pages import CONFIG, LINE, config, post, token  # noqa: F401 (fixtures)

TABLE = b"id,question,photo\n1,What?,a.png\n2,Who?,sub/b.gif\n3,Why?,c.png\n"
TEMPLATE = {"user": "{{question}}", "images": "{{photo}}", "custom_id": "id"}


def give(client, path, **fields):
    """Posts files: ``fields`` are lists of (bytes, name) by the name of their input."""
    data = {"csrf_token": token(client)}
    data |= {key: [(io.BytesIO(d), n) for d, n in files] for key, files in fields.items()}
    return client.post(path, data=data)


def add_more(client, files, **fields) -> str:
    data = {"csrf_token": token(client), **TEMPLATE, **fields}
    data["more"] = [(io.BytesIO(d), n) for d, n in files]
    return client.post("/jobs/new/1/template/images", data=data).text


def test_from_a_table_with_images_to_their_bytes(app, client, config, wait_for):
    with MisbehavingEndpoint(e.ok()) as endpoint:
        post(client, "/configs/1", **{**CONFIG, "base_url": endpoint.base_url})
        more = zipped({"photos/sub/b.gif": GIF, "photos/notes.txt": b"x"})
        beside = [(png(30, 20), "a.png"), (more, "more.zip")]
        made = give(client, "/jobs/new", file=[(TABLE, "t.csv")], images=beside)
        assert made.headers["Location"] == "/jobs/new/1/workbench"
        place = "/jobs/new/1/template"
        page = client.get(place).text
        assert "2 images. Add more" in page
        assert "{{photo}}" in page  # taken for the column of images
        src = re.search(r'src="(/jobs/new/1/images/[0-9a-f]{64}-30x20\.png)"', page)[1]
        assert "a.png</figcaption>" in page
        shown = client.get(src)
        assert (shown.data, shown.mimetype) == (png(30, 20), "image/png")
        assert shown.headers["X-Content-Type-Options"] == "nosniff"
        assert shown.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
        for wrong in (
            "x.png",
            "../../simple_batch.db",
            "%2e%2e%2fa",
            src[-80:].replace("30x", "31x"),
        ):
            assert client.get(f"/jobs/new/1/images/{wrong}").status_code == 404
        assert client.get(src.replace("new/1", "new/7")).status_code == 404

        page = post(client, place, **TEMPLATE, show="3").text
        assert (
            "column “photo”: there is no image “c.png” beside the table; the nearest is “a.png”"
            in page
        )
        assert post(client, place, **TEMPLATE).status_code == 303
        assert "✕ 1 invalid line" in client.get("/jobs/new/1").text

        page = add_more(client, [(SVG, "c.png"), (b"", "d.png")], user="{{question}} Now", row="3")
        assert "2 files were rejected: “c.png” is no PNG, JPEG, GIF or WebP image; “d.png”" in page
        assert "column “photo”: “c.png” is no PNG" in page
        assert "line 4" in page
        assert "{{question}} Now</textarea>" in page
        page = add_more(client, [(png(9, 9), "c.png")], row="3")
        assert "c.png</figcaption>" in page
        assert "Choose images" in add_more(client, [])
        page = client.get("/jobs/new/1").text
        assert "1 invalid line" not in page
        assert page.count('class="picture"') == 3

        tried = post(client, "/jobs/new/1/try", config="1", name="n", max_retries="3").text
        assert tried.count('data-tried="ok"') == 3
        assert sorted(map(sent, endpoint.bodies)) == sorted([[png(30, 20)], [GIF], [png(9, 9)]])
        post(client, "/jobs/new/1", config="1", name="n", max_retries="3")
        app.extensions["simple_batch"].start()
        wait_for(1, "completed")
        assert sorted(map(sent, endpoint.bodies[3:])) == sorted([[png(30, 20)], [GIF], [png(9, 9)]])

    page = client.get("/jobs/1/requests/1").text
    src = re.search(r'src="(/jobs/1/images/[^"]+)"', page)[1]
    assert client.get(src).data == GIF
    assert "photos/sub/b.gif</figcaption>" in page
    assert "base64" not in page
    assert "stands for an image" in page
    assert client.get(src.replace("jobs/1", "jobs/2")).status_code == 404
    clone = client.get("/jobs/new?clone=1").headers["Location"]
    assert "3 images. Add more" in client.get(clone).text
    app.extensions["simple_batch"].stop(2)
    post(client, "/jobs/1/delete")
    assert client.get(src).status_code == 404
    post(client, "/jobs/bin", action="restore", job="1")
    assert client.get(src).data == GIF  # the bin keeps them
    post(client, "/jobs/1/delete")
    post(client, "/jobs/bin", action="remove", job="1")
    with connected():
        left = [upload.id for upload in jobs.Upload.select()]
    assert left == [int(clone.split("/")[3])]  # the images of the clone are still there
    assert "3 images. Add more" in client.get(clone).text


def test_one_archive_of_a_table_and_its_images(client, config):
    packed = zipped({"of mine/t.csv": TABLE, "of mine/a.png": png(), "of mine/c.png": png(4, 4)})
    made = give(client, "/jobs/new", file=[(packed, "all.zip")])
    page = client.get(made.headers["Location"]).text
    assert "t.csv" in page
    assert "2 images. Add more" in page
    post(client, "/jobs/new/1/template", **TEMPLATE)
    page = client.get("/jobs/new/1").text
    assert "2 requests" in page
    assert "there is no image “sub/b.gif”" in page


def test_saved_templates_have_their_images(client, config):
    give(client, "/jobs/new", file=[(TABLE, "t.csv")], images=[(png(), "a.png")])
    post(client, "/jobs/new/1/template/save-as", **TEMPLATE, name="seen")
    post(
        client,
        "/templates/new",
        name="seen",
        user="{{question}}",
        images="{{ picture }}\n{{photo}}",
    )
    page = client.get("/templates/1").text
    assert "<code>picture</code>, <code>photo</code>" in page
    assert "{{ picture }}</ins>" in page
    assert "{{photo}}</textarea>" in client.get("/templates/new?of=1&version=1").text
    wrong = post(client, "/templates/new", name="x", user="{{q}}", images="{% if %}")
    assert "line 1 of the template" in wrong.text


def test_archives_and_images_that_cannot_be_taken_leave_nothing(client, config, instance):
    for files in (
        {"file": [(zipped({"a.png": png()}), "x.zip")]},
        {"file": [(TABLE, "t.csv")], "images": [(zipped({"a.png": png()})[:60], "x.zip")]},
        {"images": [(png(), "a.png")]},
        {"file": [(LINE.encode(), "t.jsonl")], "images": [(png(), "a.png")]},
    ):
        answer = give(client, "/jobs/new", **files)
        assert answer.status_code == 400
        assert "alert-danger" in answer.text
    with connected():
        assert not jobs.Upload.select().exists()
    assert not list((instance / "uploads").glob("*"))
    many = give(client, "/jobs/new", images=[(png(), f"{n}.png") for n in range(600)])
    assert many.status_code == 413
    assert "ZIP archive" in many.text
