"""Errors in the language of the page: Chinese on Chinese pages, unchanged English elsewhere."""

# ruff: noqa: F811 - fixtures that are imported

import html
import io
import json
import re

import pytest

from simple_batch import export
from simple_batch.core.domain import Cause, JobStatus
from simple_batch.core.errors import SimpleBatchError
from simple_batch.core.messages import lines, translatable
from simple_batch.runner.watcher import _item
from simple_batch.services import configs, jobs
from simple_batch.store import results
from simple_batch.store.database import connected
from simple_batch.store.jobs import transition
from simple_batch.store.models import Delivery, Result, database
from simple_batch.web import labels

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from ..process import flask
from ..store.test_results import recorded
from .test_pages import CONFIG, LINE, config, post, token  # noqa: F401 (fixtures)

LANGUAGES = ("en", "zh")
ENGLISH = re.compile(r"(?:[A-Za-z]+ ){3}")  # a sentence of it


def with_language(client, language):
    client.set_cookie("lang", language)
    return client


def alerts(page: str) -> str:
    """The texts of alerts and field errors."""
    found = re.findall(r'class="(?:alert|invalid-feedback)[^"]*"[^>]*>(.*?)</div>', page, re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", " ".join(found)).split())


def uploaded(client, data: bytes, name="x.jsonl"):
    fields = {"csrf_token": token(client), "file": (io.BytesIO(data), name)}
    return client.post("/jobs/new", data=fields, content_type="multipart/form-data")


@pytest.mark.parametrize(
    ("data", "english", "chinese"),
    [
        (b"[]", "The file is empty: there is no request in it.", "文件为空：其中没有请求。"),
        (b'[{"messages": [', "The JSON array is cut off: the file ends in line 1", "在第 1 行中断"),
        (
            b'{"messages": []}',
            "line 1: &#34;messages&#34; is empty.",
            "第 1 行: &#34;messages&#34; 为空。",
        ),
        (b"\x01\x02?", "Read are a JSON array of", "可读取的格式：由"),
        (
            b'{"train": [{"q": "a"}], "test": [{"q": "b"}]}',
            "two lists, “train” and “test”",
            "两个列表：“train”和“test”",
        ),
    ],
)
@pytest.mark.parametrize("language", LANGUAGES)
def test_uploads_that_cannot_be_read(client, language, data, english, chinese):
    answer = uploaded(with_language(client, language), data)
    assert answer.status_code == 400
    alert = alerts(answer.text)
    assert (english in alert, chinese in alert) == (language == "en", language == "zh")


@pytest.mark.parametrize(
    ("change", "english", "chinese"),
    [
        ({"concurrency": "0"}, "Concurrency: 0 is not from 1 to", "并发数：0 不在 1 到"),
        ({"base_url": "x"}, "Base URL: it begins with http://", "接口地址：应以 http:// 或"),
        ({"currency": "odd4"}, "Currency: three letters", "货币：三个字母"),
        ({"input_price": "-1"}, "Input price: -1 is not from", "输入单价：-1 不在"),
        ({"alias": "a" * 101}, "Name: up to 100 printable", "名称：最多 100 个可打印字符"),
    ],
)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_wrong_field_of_a_config(client, language, change, english, chinese):
    answer = post(with_language(client, language), "/configs/new", **{**CONFIG, **change})
    assert answer.status_code == 400
    alert = alerts(answer.text)
    assert (english in alert, chinese in alert) == (language == "en", language == "zh")
    if language == "zh":
        assert not ENGLISH.search(alert)


@pytest.mark.parametrize(
    ("language", "expected"),
    [("en", "There is no job 404."), ("zh", "没有任务 404。")],
)
def test_no_such_job_on_a_page_and_as_json(client, language, expected):
    with_language(client, language)
    answer = client.get("/jobs/404")
    assert answer.status_code == 404
    assert expected in answer.text
    assert client.get("/jobs/404/progress.json").json == {"error": expected}


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", "Job 1 is paused: it cannot pause now. Possible: cancel, clone, delete, reset"),
        ("zh", "任务 1 已暂停：现在不能暂停。可以：取消、克隆、删除、重置"),
    ],
)
def test_a_conflict(client, config, make_job, language, expected):
    make_job(1, config="one", hold=True)
    assert post(with_language(client, language), "/jobs/1/pause").status_code == 303
    assert expected in client.get("/jobs/1").text


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", "“one” is used by 1 job: j (1). Delete them first, or deactivate the connection."),
        ("zh", "“one”正被 1 个任务使用：j (1)。请先删除这些任务，或停用该连接。"),
    ],
)
def test_a_config_that_is_used(client, config, make_job, language, expected):
    make_job(1, config="one", hold=True, name="j")
    post(with_language(client, language), "/configs/1/delete")
    assert expected in client.get("/configs").text


class TestSmallLimit:
    @pytest.fixture
    def overrides(self, overrides):
        return {**overrides, "MAX_UPLOAD_BYTES": 3000}

    @pytest.mark.parametrize(
        ("language", "expected"),
        [("en", "The upload is larger than 3,000 bytes"), ("zh", "上传内容超过 3,000 字节")],
    )
    def test_too_large(self, client, language, expected):
        answer = uploaded(with_language(client, language), b"{" * 4000)
        assert answer.status_code == 413
        assert expected in answer.text


def test_the_faults_of_a_stored_preview_follow_the_language(client, config):
    bench = uploaded(client, f"{LINE}\n{{broken\n{LINE}\n".encode()).headers["Location"]
    place = bench.removesuffix("/workbench")
    english = client.get(f"{place}?lang=en").text
    assert re.search(r"line 2</span>: not valid JSON: ", english)
    chinese = client.get(f"{place}?lang=zh").text
    assert re.search(r"第 2 行</span>: 不是有效的 JSON：", chinese)
    assert "not valid JSON" not in chinese
    refused = post(client, place, name="j", config="1")
    assert "1 行有误：请改正或跳过。" in refused.text


def test_an_example_of_a_template(client, config):
    bench = uploaded(client, b"id,question\n1,hi\n2,\n", "t.csv").headers["Location"]
    place = bench.replace("workbench", "template")
    with_language(client, "zh")
    row = {"system": "", "parameters": "", "custom_id": "id"}
    page = post(client, place, **{**row, "user": "{{questoin}}"}, show="1").text
    assert "没有列“questoin”；最接近的是“question”。" in page
    page = post(client, place, **{**row, "user": "{{question}}"}, show="2").text
    assert "生成的用户消息为空" in page
    page = post(client, place, **{**row, "user": "{{ question * 3 }}"}, show="1").text
    assert "模板出错：“question”在这里是文本：请写 question|int * 3。" in page


def test_commands_and_errors_themselves_stay_english(client, config, instance):
    with_language(client, "zh")
    with connected():
        for ask, expected in (
            (lambda: jobs.get(7), "There is no job 7."),
            (lambda: configs.get("x"), "There is no connection 'x'."),
        ):
            with pytest.raises(SimpleBatchError) as wrong:
                ask()
            assert str(wrong.value) == expected
    done = flask(instance, "show-job", "7", SIMPLE_BATCH_LANGUAGE="zh", LANG="zh_CN.UTF-8")
    assert "There is no job 7." in done.stderr


def test_why_a_job_stopped_is_translated_in_a_database_of_an_earlier_version(
    client, add_config, make_job
):
    """The words of 0.1.0, as its database holds them."""
    add_config("http://127.0.0.1:9/v1")
    job_id = make_job(1)
    remedy = "Correct the model or the base URL in the API config, then resume."
    stored = json.dumps(["%(some)s\n%(text)s", {"some": "HTTP 404", "text": [remedy, {}]}])
    with connected():
        database.execute_sql(
            "UPDATE job SET status = 'paused', status_detail = ? WHERE id = ?",
            ("\x1e" + stored, job_id),
        )
    assert "Correct the connection&#39;s model" in client.get(f"/jobs/{job_id}?lang=en").text
    assert "请更正连接的模型或接口地址" in client.get(f"/jobs/{job_id}?lang=zh").text


def test_why_a_job_stopped_follows_the_language(app, client, add_config, make_job, wait_for):
    app.extensions["simple_batch"].start()
    with MisbehavingEndpoint(e.error(401, "no such key")) as endpoint:
        add_config(endpoint.base_url)
        job_id = make_job(3)
        wait_for(job_id, "paused")
    for page in (f"/jobs/{job_id}", f"/jobs/{job_id}/events"):
        english = client.get(f"{page}?lang=en").text
        assert "HTTP 401: no such key (t). Correct the connection" in english
        assert "no such key (t)。请更正连接的密钥" in client.get(f"{page}?lang=zh").text
    with connected():
        assert jobs.get(job_id).status_detail.startswith(
            "HTTP 401: no such key (t). Correct the connection's key"
        )


def test_what_is_stored_for_people_follows_the_language(client, config, make_job):
    """A failed upload shows its complaint and its faults."""
    fault = translatable("line %(line)s: %(message)s", line=3, message=translatable("not JSON"))
    job_id = make_job(1, config="one", hold=True)
    with connected():
        detail = lines([translatable("The file is empty."), fault, "\x1eas it came"])
        transition(job_id, JobStatus.CANCELLED, (JobStatus.PAUSED,), "invalid_upload", detail)
        assert (
            jobs.get(job_id).status_detail == "The file is empty.\nline 3: not JSON\n\x1eas it came"
        )
    page = client.get(f"/jobs/{job_id}?lang=zh").text
    assert "文件为空。\n第 3 行：不是 JSON\n" in page
    with connected():
        transition(job_id, JobStatus.QUEUED, (JobStatus.CANCELLED,), "retry", "\x1e[1]")
        assert jobs.get(job_id).status_detail == "[1]"


NAMED = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
FAILURES = [
    (e.slow(30), {"timeout_s": 3.0}, "no whole answer within 3 s", "3 秒内未收到完整响应"),
    (e.reset, {}, "Connection reset by peer", "连接被对方重置"),
    (e.truncated, {}, "the connection ended in the middle", "响应传输途中连接断开"),
    (e.not_http, {}, "the answer is not HTTP: ", "响应不是 HTTP："),
    (e.bad_gzip(), {}, "the answer's gzip data is damaged", "响应的 gzip 数据已损坏"),
    (e.http(200, b"<html>"), {}, "is an HTML page, not JSON", "响应是 HTML 页面而不是 JSON"),
    (e.http(200, b""), {}, "the answer is empty", "响应为空"),
    (e.http(200, b'{"a": 1}'), {}, "the answer has no “choices”", "响应中没有“choices”"),
    (e.http(200, b'{"error": "busy"}'), {}, "error inside: busy", "响应内容是错误：busy"),
    (
        e.says({"name": 1}),
        {"schema": NAMED},
        'does not fit the schema: the value is not of type "string" (at $.name)',
        '回答不符合 Schema：值的类型不是 "string"（位置 $.name）',
    ),
]


@pytest.mark.parametrize(("behaviour", "choices", "english", "chinese"), FAILURES)
def test_why_a_request_failed_follows_the_language(
    app, client, add_config, make_job, wait_for, behaviour, choices, english, chinese
):
    app.extensions["simple_batch"].start()
    # after an answer, or the job would wait for its endpoint
    with MisbehavingEndpoint(e.says({"name": "Ann"}), behaviour) as endpoint:
        add_config(endpoint.base_url, concurrency=1)
        job_id = make_job(2, max_retries=0, **choices)
        wait_for(job_id, "completed")
    words = re.split(r'[0-9"]', english)[0]  # in the groups what varies is left out

    def shown(page: str, language: str) -> str:
        return html.unescape(client.get(f"/jobs/{job_id}{page}?lang={language}").text)

    for page in ("/requests/1", "/errors"):
        assert english in shown(page, "en")
        assert chinese in shown(page, "zh")
    for page in ("", "/report.html", "/requests/1", "/errors"):
        assert words in shown(page, "en") or not words
        assert not words or words not in shown(page, "zh")
    with connected():
        _answered, row = (json.loads(line) for line in export.export(job_id, "jsonl"))
    assert english in row["error"]["message"]


def test_the_live_feed_has_a_preview_in_each_language():
    row = (0, "failed", None, "timeout", 5, None, None, None, "no whole answer within 5 s", None)
    item = _item(row)
    assert item["preview"] == "no whole answer within 5 s"
    assert item["previews"] == {"zh": "5 秒内未收到完整响应"}
    assert "previews" not in _item((*row[:8], "no such key", 401))


@pytest.mark.parametrize(
    ("reported", "chinese"),
    [
        ("429 rate_limit", "429 限流"),
        ("overloaded", "过载"),
        ("no requests or tokens remaining", "请求数或 token 配额已用完"),
        ("503 unheard_of", "503 unheard_of"),
    ],
)
def test_the_reason_of_a_cooldown_follows_the_language(app, reported, chinese):
    with app.test_request_context("/", headers={"Cookie": "lang=zh"}):
        assert labels.cooldown(reported) == chinese


def test_why_a_webhook_was_not_delivered_follows_the_language(app, client, add_config, make_job):
    add_config("http://127.0.0.1:9/v1")
    job_id = make_job(1, hold=True)
    fields = {"job": job_id, "event_id": "e", "type": "batch.completed", "created_at": 1}
    with connected():
        for message, code in (
            ("the receiver did not answer within 15 s", None),
            ("no mail server is set: SMTP_HOST", None),
            ("the answer is empty", 554),
        ):
            Delivery.create(**fields, attempts=1, message=message, http_status=code)
    page = client.get(f"/jobs/{job_id}/events?lang=zh").text
    assert "接收方在 15 秒内未响应" in page
    assert "未设置邮件服务器：SMTP_HOST" in page
    assert "the answer is empty" in page  # the mail server's own words
    assert "did not answer within" in client.get(f"/jobs/{job_id}/events?lang=en").text


def test_why_a_config_does_not_work_follows_the_language(client, add_config):
    add_config("http://127.0.0.1:9/v1")
    answer = client.post(
        "/configs/test?lang=zh",
        data={**CONFIG, "base_url": "http://127.0.0.1:9/v1", "csrf_token": token(client)},
        headers={"Accept": "application/json"},
    )
    assert answer.json["message"] == "连接被拒绝"


def test_what_was_changed_follows_the_language(client, config, make_job):
    job_id = make_job(1, config="one", hold=True)
    with connected():
        jobs.edit(job_id, jobs.JobOptions(config="one", concurrency=7))
    post(client, "/configs/1", **{**CONFIG, "rpm": "60"})
    for page, english, chinese in (
        (f"/jobs/{job_id}/events", "concurrency: None → 7", "并发数：无 → 7"),
        ("/audit?action=job.edit", "concurrency: None → 7", "并发数：无 → 7"),
        ("/audit?action=config.update", "rpm", "RPM"),
    ):
        assert english in client.get(f"{page}{'&' if '?' in page else '?'}lang=en").text
        assert chinese in client.get(f"{page}{'&' if '?' in page else '?'}lang=zh").text


def test_jobs_beside_each_other_keep_the_words_of_a_provider(client, add_config, make_job):
    add_config("http://127.0.0.1:9/v1")
    first, second = make_job(1, hold=True), make_job(1, hold=True)
    with connected():
        for job_id, code in ((first, 400), (second, 200)):
            results.write([recorded(job_id, 0, [Cause.SERVER_ERROR], False)])
            said = Result.update(http_status=code, message="the answer is empty")
            said.where(Result.job == job_id).execute()
    page = client.get(f"/compare?a={first}&b={second}&lang=zh").text
    assert page.count("the answer is empty") == 1
    assert page.count("响应为空") == 1
