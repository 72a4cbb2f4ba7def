"""Every form requires its token, every answer has its headers, and names from outside neither leave
their folder, nor write headers, nor lead to other sites."""

import io
import re
import shlex
import zipfile

import pytest

from simple_batch import create_app
from simple_batch.core.errors import InvalidInput, UploadRejected
from simple_batch.services import batch_files, configs, jobs, uploads
from simple_batch.store.database import connected
from simple_batch.store.models import ApiConfig, Job, Upload
from simple_batch.web import middleware

WRITING = {"POST", "PUT", "PATCH", "DELETE"}
TRAVERSAL = (
    "../../etc/passwd",
    "/etc/passwd",
    "..\\..\\boot.ini",
    "C:\\x\\..\\y",
    "a/../../b",
    "..",
)
BREAKS = ("a\r\nSet-Cookie: x=1", "a\nX: y", "a\0b", "a\u2028b", 'a";x="b', "é\u202egpj.exe", "名")


def addresses(app) -> list[tuple[str, str]]:
    """(method, address) of every route that writes, except the Batch API."""
    filled = []
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<any\((\w+)[^>]*>", r"\1", rule.rule)
        path = re.sub(r"<int:[^>]*>", "1", path)
        path = re.sub(r"<[^>]*>", "x", path)
        if not rule.rule.startswith("/v1"):
            filled += [(method, path) for method in rule.methods & WRITING]
    return filled


def test_without_its_token_no_form_is_taken(app, client, add_config, endpoint, make_job):
    add_config(endpoint.base_url)
    make_job(2)
    with connected():
        before = [
            (row.id, row.alias, row.active) for row in ApiConfig.select().order_by(ApiConfig.id)
        ]
    found = addresses(app)
    assert len(found) > 25
    for token in (None, "", "wrong", "IjEyMyI.x.y"):
        data = {} if token is None else {"csrf_token": token}
        for method, path in found:
            answer = client.open(path, method=method, data=data)
            assert answer.status_code == 400, (method, path)
            assert "not from this site" in answer.text
    # a token that was made for another browser
    theirs = re.search(
        r'name="csrf_token"[^>]*value="([^"]+)"', client.get("/configs/new?form=full").text
    )[1]
    other = app.test_client()
    other.get("/configs/new?form=full")
    assert other.post("/configs/new", data={"csrf_token": theirs}).status_code == 400
    # nothing is changed by a link
    for _method, path in found:
        client.get(path)
    with connected():
        assert [
            (row.id, row.alias, row.active) for row in ApiConfig.select().order_by(ApiConfig.id)
        ] == before
        assert jobs.get(1).status == "queued"


def test_every_answer_has_its_headers(app, client, add_config, endpoint, make_job, overrides):
    add_config(endpoint.base_url)
    job_id = make_job(2)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.add_url_rule("/fails", "fails", lambda: 1 / 0)
    asked = {
        "/": 303,
        "/jobs": 200,
        "/configs/1": 200,
        "/nowhere": 404,
        "/healthz": 200,
        "/static/css/app.css": None,
        "/static/nowhere": 404,
        "/fails": 500,
        "/v1/models": 200,
        "/v1/nowhere": 404,
        f"/jobs/{job_id}/export?format=csv": 200,
        f"/jobs/{job_id}/export?format=nothing": 400,
        "/socket.io/?EIO=4&transport=polling": 200,
        "/socket.io/?EIO=9": 400,
    }
    for path, status in asked.items():
        answer = client.get(path)
        assert status in (None, answer.status_code), path
        for name, value in middleware.HEADERS.items():
            assert answer.headers.getlist(name) == [value], (path, name)
        assert path == "/static/nowhere" or answer.headers["Cache-Control"], path
        assert "Strict-Transport-Security" not in answer.headers
    policy = middleware.HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "*" not in policy
    for path in ("/configs/1", "/configs/new", "/access", f"/jobs/{job_id}/export"):
        assert client.get(path).headers["Cache-Control"] == "no-store", path
    app.extensions["simple_batch"].close()
    secure = create_app(**overrides, HSTS_MAX_AGE=31_536_000)
    reply = secure.test_client().get("/jobs").headers["Strict-Transport-Security"]
    assert reply == "max-age=31536000"
    cookie = secure.test_client().get("/configs/new").headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


@pytest.mark.parametrize("name", [*TRAVERSAL, *BREAKS])
def test_a_name_stays_a_name(app, client, add_config, endpoint, make_job, tmp_path, name):
    """The name of a file, of a job, and of a download."""
    add_config(endpoint.base_url)
    job_id = make_job(1)
    settings = app.extensions["simple_batch"].settings
    with connected():
        upload = uploads.stage(io.BytesIO(b'{"messages": []}\n'), name, scan=False)
        assert upload.path.startswith(str(settings.uploads))
        assert not set(upload.filename) & set("/\\\r\n\0\u2028\u202e")
        kept = batch_files.add(io.BytesIO(b"{}\n"), f"{name}.jsonl", "batch")
        Job.update(name=upload.filename).where(Job.id == job_id).execute()
    downloads = [f"/jobs/{job_id}/export?format=csv", f"/jobs/{job_id}/recipe"]
    for path in (*downloads, f"/v1/files/file-{kept.id}/content"):
        answer = client.get(path)
        assert answer.status_code == 200, path
        disposition = answer.headers["Content-Disposition"]
        assert disposition.isascii()
        assert disposition.isprintable()
        plain = re.fullmatch(
            r'attachment; filename="([^"\\/]*)"(; filename\*=UTF-8\'\'[^"\s/]*)?', disposition
        )
        assert plain, disposition
        assert not plain[1].startswith(".."), disposition
        assert "Set-Cookie" not in answer.headers
    before = {path.name for path in tmp_path.iterdir()}
    assert before <= {"instance", "questions-1.jsonl"}


def test_parts_of_an_archive_stay_inside(db, tmp_path):
    """The parts of a workbook claim paths elsewhere; nothing is written there."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("[Content_Types].xml", '<Types><a ContentType="spreadsheetml"/></Types>')
        made.writestr("../../outside", "x")
        made.writestr("/etc/outside", "x")
        relation = '<Relationship Id="1" Type="x/officeDocument" Target="../../../../etc/passwd"/>'
        made.writestr("_rels/.rels", f"<Relationships>{relation}</Relationships>")
    with pytest.raises(UploadRejected, match=r"missing|damaged"):
        uploads.stage(io.BytesIO(archive.getvalue()), "x.xlsx")
    assert not Upload.select().exists()
    assert list(db.uploads.iterdir()) == []
    assert not list(tmp_path.rglob("*outside*"))


def test_no_way_leads_to_another_site(client, add_config, endpoint, make_job):
    add_config(endpoint.base_url)
    make_job(1)
    form = client.get("/configs/new?form=full").text
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', form)[1]
    for place in (
        "//evil.example",
        "https://evil.example/jobs",
        "/\\evil.example",
        "/jobs@evil",
        "x",
    ):
        for name in ("next", "back", "return", "url", "to"):
            fields = {"csrf_token": token, name: place, "action": "pause", "id": "1"}
            for method, path in (("POST", "/jobs/bulk"), ("POST", "/jobs/1/pause")):
                answer = client.open(f"{path}?{name}={place}", method=method, data=fields)
                assert re.match(r"/jobs(/1)?$", answer.headers.get("Location", "/jobs")), place
    answer = client.post("/jobs/bulk", data={"csrf_token": token, "back": "/jobs?q=1\r\nX: y"})
    assert answer.status_code < 500
    assert "X" not in answer.headers
    for path in ("//evil.example/%2e%2e", "/static/..%2f..%2frun.py", "/static/%2e%2e/run.py"):
        answer = client.get(path)
        assert answer.status_code in (303, 308, 403, 404), path
        assert "evil" not in answer.headers.get("Location", "").replace("localhost/", "")


@pytest.mark.parametrize(
    "key", ["a\r\nX: y", "a\nb", "ключ-0123456789", "a b", "a\0b", "\u00e9" * 20]
)
def test_a_key_writes_no_header(db, key):
    with pytest.raises(InvalidInput) as refused:
        configs.create(configs.ConfigFields(alias="a", base_url="http://x/v1", model="m", key=key))
    assert refused.value.field == "key"
    assert key not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["http://x/\r\nX: y", "http://x y/", "http://x\\@y/", "http://a:b@x"]
)
def test_a_base_url_writes_no_header(db, url):
    with pytest.raises(InvalidInput):
        configs.create(configs.ConfigFields(alias="a", base_url=url, model="m"))


def test_what_a_program_copies_is_no_command(client, add_config, make_job):
    """The curl command of a request, for a base URL and a prompt that would break out of it."""
    add_config("http://127.0.0.1:9/v1/'$(id)'`y`")
    job_id = make_job(1)
    shown = client.get(f"/jobs/{job_id}/requests/0").text
    curl = re.search(r'<pre\s+id="as-curl"[^>]*>(.*?)</pre>', shown, re.DOTALL)[1]
    for entity, char in (("&#39;", "'"), ("&#34;", '"'), ("&amp;", "&")):
        curl = curl.replace(entity, char)
    words = shlex.split(curl.replace("\\\n", ""))
    assert words[1] == "http://127.0.0.1:9/v1/'$(id)'`y`/chat/completions"
    assert len(words) == 8
