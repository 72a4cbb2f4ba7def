"""The pages by a client without JavaScript: forms, CSRF, errors, languages, secrets."""

import io
import json
import re
import subprocess
import sys

import pytest

from simple_batch.core import clock
from simple_batch.services import configs, jobs, uploads
from simple_batch.store.database import connected
from simple_batch.store.models import Job, Upload
from simple_batch.web import filters

from .. import endpoint as e
from .. import postgres
from ..conftest import wait_until
from ..endpoint import MisbehavingEndpoint

KEY = "sk-planted-0123456789"
LINE = json.dumps({"messages": [{"role": "user", "content": "hi <b>there</b>"}]})


def token(client, path="/jobs/new") -> str:
    return re.search(r'name="csrf_token"[^>]*value="([^"]+)"', client.get(path).text)[1]


def post(client, path, **fields):
    return client.post(path, data={"csrf_token": token(client), **fields})


CONFIG = {
    "alias": "one",
    "base_url": "http://127.0.0.1:9/v1",
    "model": "m",
    "key": KEY,
    "timeout_s": "5",
    "currency": "cny",
    "input_price": "0.5",
    "output_price": "1e1",
    "params": '{"top_p": 0.9}',
    "active": "y",
}


@pytest.fixture
def config(client):
    assert post(client, "/configs/new", **CONFIG).status_code == 303
    return 1


def test_a_config_is_stored_and_its_key_never_comes_back(client, config, instance):
    for path in ("/configs", "/configs/1", "/jobs", "/jobs/new"):
        page = client.get(path)
        assert page.status_code == 200
        assert KEY not in page.text
    assert "••••6789" in client.get("/configs").text
    assert KEY.encode() not in postgres.kept(instance)
    with connected():
        stored = configs.fields_of(configs.get(1))
    assert (stored.currency, stored.params, stored.output_price) == ("CNY", {"top_p": 0.9}, 10)
    assert 'value="10"' in client.get("/configs/1").text


def test_an_edit_without_a_key_keeps_the_stored_one(client, config):
    assert post(client, "/configs/1", **{**CONFIG, "key": "", "model": "m2"}).status_code == 303
    with connected():
        found = configs.get(1)
    assert (found.model, found.key_last4) == ("m2", "6789")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"alias": ""}, "required"),
        ({"base_url": "nonsense"}, "http"),
        ({"base_url": "http://x/v1/chat/completions"}, "leave out"),
        ({"base_url": "http://user:pw@x/v1"}, "key has its own field"),
        ({"concurrency": "0"}, "Concurrency"),
        ({"concurrency": "1000000000"}, "Concurrency"),
        ({"temperature": "9"}, "Temperature"),
        ({"temperature": "nan"}, "Temperature"),
        ({"params": "{"}, "Not valid JSON"),
        ({"params": "[1]"}, "JSON object"),
        ({"params": '{"messages": []}'}, "set elsewhere"),
        ({"currency": "dollars"}, "three letters"),
        ({"input_price": "-1"}, "Input price"),
        ({"key": "with space"}, "printable ASCII"),
    ],
)
def test_a_wrong_field_is_reported_at_the_field_and_nothing_is_stored(client, change, expected):
    answer = post(client, "/configs/new", **{**CONFIG, **change})
    assert answer.status_code == 400
    assert expected in answer.text
    assert KEY not in answer.text
    with connected():
        assert configs.list_all() == []


def test_a_second_config_of_the_same_alias(client, config):
    answer = post(client, "/configs/new", **CONFIG)
    assert answer.status_code == 400
    assert "already used" in answer.text


def test_testing_a_config_before_and_after_saving(client, config):
    with MisbehavingEndpoint(e.ok(), e.http(200, {"data": [{"id": "m9"}]}), e.ok()) as endpoint:
        fields = {**CONFIG, "base_url": endpoint.base_url}
        json_please = {"Accept": "application/json"}
        data = {"csrf_token": token(client), **fields}
        found = client.post("/configs/test", data=data, headers=json_please).json
        assert (found["ok"], found["message"]) == (True, "m-1 answered.")
        found = client.post("/configs/models", data=data, headers=json_please).json
        assert found["models"] == ["m9"]
        page = client.post("/configs/test", data=data)
        assert "m-1 answered." in page.text
        # a stored key goes only to the base URL it was stored for
        stolen = {**data, "key": "", "config_id": "1"}
        found = client.post("/configs/test", data=stolen, headers=json_please).json
        assert not found["ok"]
        assert "Enter the key again" in found["message"]
        assert endpoint.calls == 3


def test_deactivate_and_delete(client, config):
    assert post(client, "/configs/1/deactivate").status_code == 303
    staged = post(client, "/jobs/new", pasted=LINE).headers["Location"]
    assert "no active connection" in client.get(staged).text
    assert post(client, "/configs/1/activate").status_code == 303
    assert post(client, f"{staged}/launch", name="j", config="1").status_code == 303
    post(client, "/configs/1/delete")
    assert "used by 1 job" in client.get("/configs").text
    assert client.get("/configs/1").status_code == 200


def test_every_form_needs_its_token(client, config):
    for path in (
        "/configs/new",
        "/configs/1/delete",
        "/jobs/new",
        "/jobs/1/pause",
        "/configs/test",
    ):
        assert client.post(path, data=CONFIG).status_code == 400


def test_from_upload_to_preview_to_job(client, config):
    data = f"{LINE}\n{{broken\n{LINE}\n".encode()
    fields = {"csrf_token": token(client), "file": (io.BytesIO(data), "../../问题.jsonl")}
    answer = client.post("/jobs/new", data=fields, content_type="multipart/form-data")
    assert answer.status_code == 303
    assert "line 2" in client.get(answer.headers["Location"]).text
    step = answer.headers["Location"].removesuffix("/workbench")
    preview = client.get(step).text
    assert "问题.jsonl" in preview
    assert "line 2" in preview
    assert "Skip invalid lines and launch (2 requests)" in preview
    assert "hi &lt;b&gt;there&lt;/b&gt;" in preview
    refused = post(client, step, name="j", config="1")
    assert refused.status_code == 400
    assert "1 line is invalid" in refused.text
    refused = post(client, step, config="1", skip_faulty="1", concurrency="0")
    assert refused.status_code == 400
    made = post(client, step, config="1", skip_faulty="1", hold="1")
    assert made.headers["Location"] == "/jobs/1"
    assert "问题" in client.get("/jobs/1").text


@pytest.mark.parametrize(
    ("data", "status", "expected"),
    [
        (b"", 400, "Choose a file"),
        (b"id,question\n1,hi,x", 400, "The only item is no valid request."),
        (b"\x01\x02?", 400, "not JSON"),
        (b"[]", 400, "empty"),
        (b"\xff\xfe[\x00", 400, "cut off"),
        (b'{"a": [1]}', 400, "messages"),
    ],
)
def test_uploads_that_cannot_be_read(client, instance, data, status, expected):
    fields = {"csrf_token": token(client), "file": (io.BytesIO(data), "x" if data else "")}
    answer = client.post("/jobs/new", data=fields, content_type="multipart/form-data")
    assert answer.status_code == status
    assert expected in answer.text
    assert list((instance / "uploads").iterdir()) == []


class TestSmallLimit:
    @pytest.fixture
    def overrides(self, overrides):
        return {**overrides, "MAX_UPLOAD_BYTES": 3000, "MAX_UNPACKED_BYTES": 5000}

    def test_a_body_over_the_limit_is_413(self, client, instance):
        fields = {"csrf_token": token(client), "file": (io.BytesIO(b"{" * 4000), "x")}
        answer = client.post("/jobs/new", data=fields, content_type="multipart/form-data")
        assert answer.status_code == 413
        assert "MAX_UPLOAD_BYTES" in answer.text
        assert list((instance / "uploads").iterdir()) == []
        assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("language", ["en", "zh"])
def test_errors_have_pages_in_the_house_style(app, language):
    app.add_url_rule("/broken", view_func=lambda: 1 / 0)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    wording = {
        ("en", 404): "Page not found.",
        ("zh", 404): "页面不存在。",
        ("en", 500): "Something went wrong in Simple Batch.",
        ("zh", 500): "Simple Batch 内部出错",
    }
    for path, status in (("/nothing", 404), ("/broken", 500)):
        answer = app.test_client().get(f"{path}?lang={language}")
        assert answer.status_code == status
        assert wording[language, status] in answer.text
        assert 'class="navbar' in answer.text
        assert "ZeroDivisionError" not in answer.text


def test_without_a_config_the_list_of_jobs_says_what_comes_first(client, config):
    assert "first-step done" in client.get("/jobs").text
    post(client, "/configs/1/delete")
    page = client.get("/jobs").text
    assert "first-step done" not in page
    assert "New connection" in page


@pytest.mark.parametrize(
    ("language", "part", "whole", "shown"),
    [
        ("en", 0, 0, "0%"),
        ("en", 639, 640, "99.8%"),
        ("zh", 999_999, 1_000_000, "99.9%"),
        ("en", 5, 5, "100%"),
    ],
)
def test_a_share_is_never_rounded_up(app, language, part, whole, shown):
    with app.test_request_context(f"/?lang={language}"):
        assert filters.percent(part, whole) == shown


def test_a_job_whose_workers_have_no_share_says_why_it_waits(client, config, make_job):
    job_id = make_job(3, "one")
    state = {"at": clock.now_ms(), "waits": True}
    for live, shown in ((state, True), ({**state, "waits": False}, False)):
        with connected():
            Job.update(status="running", live=json.dumps(live)).where(Job.id == job_id).execute()
        page = client.get(f"/jobs/{job_id}").text
        assert ("none of its workers has a share of the limits" in page) is shown


def test_an_upload_can_be_given_up(client, config, instance):
    staged = post(client, "/jobs/new", sample="chat.json").headers["Location"]
    assert "5 rows" in client.get(staged).text
    assert post(client, "/jobs/new/1/discard").status_code == 303
    page = client.get(staged)
    assert page.status_code == 200
    assert "You discarded “chat.json”." in page.text
    with connected():  # the cleanup, a day later
        Upload.update(changed_at=1).execute()
        uploads.discard_unlaunched()
    assert client.get(staged).status_code == 404
    assert list((instance / "uploads").iterdir()) == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/jobs/7", 404),
        ("/jobs/7/progress.json", 404),
        ("/nothing", 404),
        ("/jobs?status=odd", 400),
        ("/jobs?sort=odd", 400),
        ("/jobs?page=-5", 200),
        ("/jobs?page=99999999", 200),
        ("/jobs/1/requests?status=odd", 400),
        ("/jobs/1/requests?from=odd", 400),
        ("/jobs/1/requests?min_ms=1e999", 400),
        ("/jobs/1/requests?sort=odd", 400),
        ("/jobs/1/requests?page=99999999", 200),
        ("/jobs/1/requests/999", 404),
        ("/jobs/1/errors?cause=odd", 400),
        ("/jobs/1/charts?bucket=odd", 400),
        ("/jobs/1/charts?from=nan", 400),
        ("/jobs/1/export?format=odd", 400),
        ("/jobs/1/export?only=odd", 400),
    ],
)
def test_wrong_addresses_are_reported(client, config, make_job, path, status):
    make_job(3, config="one", hold=True)
    answer = client.get(path)
    assert answer.status_code == status
    if path.endswith(".json"):
        assert "error" in answer.json


def test_pages_of_a_job_that_ran(app, client, add_config, make_job, wait_for):
    services = app.extensions["simple_batch"]
    services.start()
    script = [e.ok(), e.error(400, "<script>alert(1)</script>"), e.error(500), e.ok()]
    with MisbehavingEndpoint(*script) as endpoint:
        add_config(endpoint.base_url, concurrency=1)
        job_id = make_job(30, name='<img src=x onerror="alert(1)">')
        wait_for(job_id, "completed")
    for path in (
        "",
        "/requests",
        "/requests?status=failed",
        "/requests?q=question+7",
        "/requests/1",
        "/errors",
        "/charts",
        "/charts.json",
        "/events",
        "/requests?sort=-latency",
        "/requests?status=succeeded&min_ms=0&page=2",
        "/requests/0?status=succeeded",
    ):
        answer = client.get(f"/jobs/{job_id}{path}")
        assert answer.status_code == 200, path
        assert "<script>alert" not in answer.text
        assert "<img src=x" not in answer.text
        assert KEY not in answer.text
        assert "planted" not in answer.text
        policy = answer.headers["Content-Security-Policy"]
        assert "script-src 'self'" in policy
    table = client.get(f"/jobs/{job_id}/requests?q=question+7").text
    assert table.count('<div class="clamp">question 7</div>') == 1
    assert "1 found so far" in table
    detail = client.get(f"/jobs/{job_id}/requests/2").text
    assert "server error" in detail
    assert "$OPENAI_API_KEY" in detail
    download = client.get(f"/jobs/{job_id}/export?format=jsonl")
    assert len(download.data.splitlines()) == 30
    assert "attachment" in download.headers["Content-Disposition"]
    assert '"' not in download.headers["Content-Disposition"].split('filename="')[1].split('"; ')[0]
    answer = post(client, f"/jobs/{job_id}/pause")
    assert answer.status_code == 303
    assert "cannot pause" in client.get(f"/jobs/{job_id}").text
    assert post(client, f"/jobs/{job_id}/delete").headers["Location"] == "/jobs"
    assert post(client, "/jobs/bin", action="empty").headers["Location"] == "/jobs/bin"

    def gone():
        with connected():
            return not jobs.Job.select().exists()

    wait_until(gone)


def test_languages_by_address_cookie_and_browser(client):
    assert "任务" in client.get("/jobs", headers={"Accept-Language": "zh-CN,zh;q=0.9"}).text
    assert "任务" not in client.get("/jobs", headers={"Accept-Language": "fr"}).text
    assert "任务" in client.get("/jobs?lang=zh").text
    assert "任务" in client.get("/jobs").text  # the cookie
    assert "任务" not in client.get("/jobs?lang=en").text


def test_every_text_has_a_chinese_translation(tmp_path):
    """Every text in the code, in all plural forms."""
    from babel.messages.pofile import read_po

    from ..process import ROOT

    found = tmp_path / "found.pot"
    extract = ("extract", "-F", "babel.cfg", "-k", "lazy_gettext", "-k", "_", "-k", "said")
    extract = (*extract, "-o", str(found), ".")
    babel = [sys.executable, "-m", "babel.messages.frontend", "-q", *extract]
    subprocess.run(babel, cwd=ROOT, check=True)
    with found.open("rb") as file:
        texts = [message.id for message in read_po(file) if message.id]
    with (ROOT / "simple_batch/core/translations/zh/LC_MESSAGES/messages.po").open("rb") as file:
        catalog = read_po(file, locale="zh")
    assert len(texts) > 200

    def translated(text):
        message = catalog.get(text if isinstance(text, str) else text[0])
        if message is None or message.fuzzy:
            return False
        return all((message.string,) if isinstance(message.string, str) else message.string)

    assert [text for text in texts if not translated(text)] == []


def test_the_settings_of_a_job_and_the_limits_of_its_config(client, config, make_job):
    job_id = make_job(3, config="one", hold=True)
    path = f"/jobs/{job_id}/settings"
    good = {"name": "renamed", "concurrency": "3", "max_retries": "7", "rpm": "600", "tpm": ""}
    answer = client.post(path, data={"csrf_token": token(client, path), **good})
    assert answer.status_code == 303
    page = client.get(path).text
    assert "renamed" in page
    assert 'value="600"' in page
    with connected():
        assert configs.get("one").rpm == 600
        assert (jobs.get(job_id).concurrency, jobs.get(job_id).max_retries) == (3, 7)
    for field, value, expected in (
        ("concurrency", "0", "is not from 1"),
        ("api_concurrency", "-1", "Concurrency"),
        ("rpm", "-5", "-5"),
        ("max_retries", "1000", "from 0 to 100"),
        ("max_retries", "many", "Not a valid integer"),
    ):
        wrong = {**good, field: value}
        answer = client.post(path, data={"csrf_token": token(client, path), **wrong})
        assert answer.status_code == 400, (field, value)
        assert expected in answer.text, (field, answer.text)
    with connected():  # the other fields were not saved either
        client.post(
            path, data={"csrf_token": token(client, path), **good, "name": "half", "rpm": "-5"}
        )
        assert jobs.get(job_id).name == "renamed"
    assert client.get("/jobs/999/settings").status_code == 404


def staged(client, *bodies) -> str:
    """The address of the options step of new lines."""
    lines = b"\n".join(json.dumps(body).encode() for body in bodies)
    data = {"csrf_token": token(client), "file": (io.BytesIO(lines), "x.jsonl")}
    return client.post("/jobs/new", data=data).headers["Location"].removesuffix("/workbench")


def asked(n) -> dict:
    return {"messages": [{"role": "user", "content": f"question {n}"}]}


def offered(page) -> tuple[str, str]:
    """The maximum number of rows to try, and the default."""
    return re.search('name="rows_to_try" min="1" max="(\\d+)" value="(\\d+)"', page).groups()


def test_as_many_rows_are_tried_as_one_says(client, config):
    with MisbehavingEndpoint(e.ok()) as endpoint:
        post(client, "/configs/1", **{**CONFIG, "base_url": endpoint.base_url})
        place = staged(client, *(asked(n) for n in range(30)))
        fields = {
            "csrf_token": token(client, place),
            "config": "1",
            "name": "n",
            "max_retries": "3",
        }
        for rows, sent in (("7", 7), ("999", 20), ("-1", 1), ("x", 3)):
            before = endpoint.calls
            answer = client.post(f"{place}/try", data={**fields, "rows_to_try": rows})
            assert answer.text.count('data-tried="ok"') == endpoint.calls - before == sent
            assert offered(answer.text) == ("20", str(sent))


def test_three_rows_are_tried_for_real_and_narrow_the_estimate(client, config, instance):
    answers = [e.ok(), e.error(400, f"no such thing; you said {KEY}"), e.ok()]
    with MisbehavingEndpoint(*answers) as endpoint:
        post(client, "/configs/1", **{**CONFIG, "base_url": endpoint.base_url})
        place = staged(client, *(asked(n) for n in range(10)))
        page = client.get(place).text
        assert offered(page) == ("10", "3")
        assert "Input tokens are a rough estimate from the text" in page
        assert endpoint.calls == 0
        fields = {
            "csrf_token": token(client, place),
            "config": "1",
            "name": "n",
            "max_retries": "3",
        }
        answer = client.post(f"{place}/try", data=fields)
        assert answer.status_code == 200
        assert endpoint.calls == 3
        assert answer.text.count('data-tried="ok"') == 2
        assert 'data-tried="bad_request"' in answer.text
        assert "fine" in answer.text
        assert "Based on the rows you tried" in answer.text
        assert KEY not in answer.text
        # 7 tokens in, 3 out each, at 0.5 and 10 per million: ten rows cost 0.000335
        assert "0.000335" in answer.text
        with connected():
            assert jobs.Job.select().count() == 0  # nothing is stored


def test_an_unknown_price_is_unknown_in_the_estimate_too(client):
    bare = {name: CONFIG[name] for name in ("alias", "base_url", "model", "key", "active")}
    assert post(client, "/configs/new", **bare, currency="USD").status_code == 303
    page = client.get(staged(client, asked(1))).text
    assert "unknown: this connection has no prices" in page
    assert offered(page) == ("1", "1")


@pytest.mark.parametrize(
    ("origin", "headers", "sent"),
    [
        ("http://localhost:7861", {}, True),
        ("http://127.0.0.1:7861", {}, True),
        ("http://[::1]:7861", {}, True),
        ("https://batch.example.com", {}, True),
        ("http://batch.example.com", {"X-Forwarded-Proto": "https"}, True),
        ("http://batch.example.com", {"X-Forwarded-Proto": "HTTPS, http"}, True),
        ("http://batch.example.com", {"Forwarded": "for=192.0.2.1;proto=https"}, True),
        ("http://batch.example.com", {"X-Real-IP": "192.0.2.1"}, True),  # it may be HTTPS there
        ("http://batch.example.com", {"X-Forwarded-Proto": "http"}, False),
        ("http://batch.example.com", {}, False),
        ("http://192.0.2.2:7861", {}, False),
    ],
)
def test_the_opener_policy_is_sent_where_browsers_heed_it(client, origin, headers, sent):
    answer = client.get("/login", base_url=origin, headers=headers)
    assert ("Cross-Origin-Opener-Policy" in answer.headers) is sent
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
