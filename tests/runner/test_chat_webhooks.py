"""Webhooks of chat tools: their formats, signatures and refusals."""

import base64
import hashlib
import hmac
import json
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simple_batch.core.domain import WebhookFormat
from simple_batch.core.errors import InvalidInput
from simple_batch.runner import chat_webhooks
from simple_batch.services import webhooks
from simple_batch.store.database import connected
from simple_batch.store.models import Delivery, Job, Webhook

from .. import endpoint as e
from ..conftest import wait_until
from ..endpoint import MisbehavingEndpoint

NOW = 1_599_360_473.25
BOTS = {
    "https://hooks.slack.com/services/T0/B0/abcdWXYZ": "slack",
    "https://open.feishu.cn/open-apis/bot/v2/hook/abcdWXYZ": "feishu",
    "https://open.larksuite.com/open-apis/bot/v2/hook/abcdWXYZ": "feishu",
    "https://oapi.dingtalk.com/robot/send?access_token=abcdWXYZ": "dingtalk",
    "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=abcdWXYZ": "wecom",
    "https://example.com/hooks": "standard",
    "https://hooks.slack.com.example.com/x": "standard",
}
CHAT = [kind for kind in WebhookFormat if kind is not WebhookFormat.STANDARD]


@pytest.mark.parametrize(("url", "kind"), BOTS.items())
def test_the_host_tells_the_format(url, kind):
    assert chat_webhooks.format_of(url) == kind


def body(kind: WebhookFormat, text: str, secret: str = "") -> dict:
    return json.loads(chat_webhooks.call(kind, "https://bot/x", secret, text, NOW)[1])


def test_each_tool_gets_its_own_form():
    assert body(WebhookFormat.SLACK, "a <b> & c") == {"text": "a &lt;b&gt; &amp; c"}
    assert body(WebhookFormat.FEISHU, "a<b") == {"msg_type": "text", "content": {"text": "a<b"}}
    for kind in (WebhookFormat.DINGTALK, WebhookFormat.WECOM):
        assert body(kind, "a<b") == {"msgtype": "text", "text": {"content": "a<b"}}


def test_feishu_signs_in_the_body():
    sent = body(WebhookFormat.FEISHU, "x", "demo")
    digest = hmac.new(b"1599360473\ndemo", b"", hashlib.sha256).digest()
    assert (sent["timestamp"], sent["sign"]) == ("1599360473", base64.b64encode(digest).decode())


def test_dingtalk_signs_in_the_address():
    url = "https://oapi.dingtalk.com/robot/send?access_token=a"
    signed, _ = chat_webhooks.call(WebhookFormat.DINGTALK, url, "SEC1", "x", NOW)
    query = parse_qs(urlsplit(signed).query)
    digest = hmac.new(b"SEC1", b"1599360473250\nSEC1", hashlib.sha256).digest()
    assert query == {
        "access_token": ["a"],
        "timestamp": ["1599360473250"],
        "sign": [base64.b64encode(digest).decode()],
    }


@given(st.text(max_size=3_000), st.sampled_from(CHAT))
def test_a_text_is_never_longer_than_a_bot_takes(text, kind):
    sent = json.dumps(body(kind, text.replace("<", "").replace("&", "").replace(">", "")))
    found = json.loads(sent)
    inner = found.get("content", found.get("text", found))
    inner = inner if isinstance(inner, str) else inner.get("text", inner.get("content"))
    assert len(inner.encode("utf-8", "surrogatepass")) <= 2_048


@pytest.mark.parametrize(
    ("answer", "refused"),
    [
        (b'{"errcode":0,"errmsg":"ok"}', ""),
        (b'{"code":0,"msg":"success","data":{}}', ""),
        (b'{"StatusCode":0,"StatusMessage":"success"}', ""),
        (b'{"errcode":310000,"errmsg":"sign not match"}', "310000: sign not match"),
        (b'{"code":19024,"msg":"Key Words Not Found"}', "19024: Key Words Not Found"),
        (b'{"errcode":93000}', "93000"),
        (b"", "?"),
        (b"<html>proxy</html>", "<html>proxy</html>"),
        (b"[1]", "[1]"),
        (b"{}", "None"),
    ],
)
def test_a_bot_says_in_the_body_whether_it_took_the_message(answer, refused):
    assert chat_webhooks.refusal(WebhookFormat.WECOM, answer) == refused
    assert chat_webhooks.refusal(WebhookFormat.SLACK, answer) == ""


@pytest.fixture
def bot():
    refusal = e.http(200, {"errcode": 310000, "errmsg": "sign not match"})
    with MisbehavingEndpoint(refusal, e.http(200, {"errcode": 0, "errmsg": "ok"})) as served:
        yield served


@pytest.fixture
def overrides(overrides):
    return {**overrides, "PUBLIC_URL": "https://batch.example.com", "LANGUAGE": "zh"}


def test_the_end_of_a_job_reaches_a_bot(start, bot, add_config, make_job, wait_for, monkeypatch):
    monkeypatch.setattr("simple_batch.runner.notifier.WAITS_S", (0,) * 9)
    url = f"{bot.base_url}/robot/send?access_token=secretWXYZ"
    with connected():
        hook, secret = webhooks.create(url, format="dingtalk", signing_secret="SEC1")
        assert (secret, hook.url) == ("", "http://127.0.0.1/…WXYZ")
    with MisbehavingEndpoint(e.ok(), e.error(400, "bad")) as endpoint:
        add_config(endpoint.base_url, concurrency=1)
        job_id = make_job(2, name="night")
        wait_for(job_id, "completed")
        wait_until(lambda: bot.calls == 2)
    texts = {sent["text"]["content"] for sent in bot.bodies}
    (text,) = texts
    assert text.splitlines()[0] == "night：已完成，1 个失败"
    assert f"https://batch.example.com/jobs/{job_id}" in text
    assert "access_token=secretWXYZ&timestamp=" in bot.heads[0].splitlines()[0]
    delivery = wait_until(lambda: delivered(job_id))
    assert (delivery.attempts, delivery.http_status, delivery.message) == (2, 200, "")


def delivered(job_id: int) -> Delivery | None:
    with connected():
        return Delivery.get_or_none((Delivery.job == job_id) & Delivery.delivered_at.is_null(False))


def test_the_words_of_a_refusal_are_kept(start, add_config, make_job, wait_for, client):
    refusal = e.http(
        200, {"code": 19021, "msg": "sign match fail or timestamp is not within one hour"}
    )
    with MisbehavingEndpoint(refusal) as bot, MisbehavingEndpoint(e.ok()) as endpoint:
        with connected():
            webhooks.create(f"{bot.base_url}/hook/secretWXYZ", format="feishu")
        add_config(endpoint.base_url)
        job_id = make_job(1)
        wait_for(job_id, "completed")
        wait_until(lambda: tried(job_id))
    page = client.get(f"/jobs/{job_id}/events").text
    assert "19021: sign match fail" in page
    assert "secretWXYZ" not in page


def tried(job_id: int) -> bool:
    with connected():
        return Delivery.select().where((Delivery.job == job_id) & (Delivery.attempts > 0)).exists()


def test_the_address_of_a_bot_is_nowhere_to_be_read(app, client):
    page = client.get("/access").text
    form = {"csrf_token": page.split('name="csrf-token" content="')[1].split('"')[0], "token": "0"}
    url = "https://hooks.slack.com/services/T0/B0/secretWXYZ"
    made = client.post("/access/webhooks", data={**form, "url": url, "format": ""})
    assert made.status_code == 303
    page = client.get("/access").text
    assert "https://hooks.slack.com/…WXYZ" in page
    assert "secretW" not in page
    with connected():
        (hook,) = Webhook.select()
        assert "secretW" not in hook.url
        assert b"secretW" not in bytes(hook.secret_encrypted)
        assert Job.select().count() == 0


@pytest.mark.parametrize("kind", ["standard", "slack", "wecom"])
def test_a_signing_secret_that_is_of_no_use_is_refused(app, kind):
    with connected(), pytest.raises(InvalidInput) as refused:
        webhooks.create("https://example.com/x", format=kind, signing_secret="SEC1")
    assert refused.value.field == "signing_secret"
