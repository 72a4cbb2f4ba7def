"""Messages to the custom bots of chat tools, which take a text in a format of their tool and say in the
body whether they took it.

Sources (read 2026-11-29): docs.slack.dev/messaging/sending-messages-using-incoming-webhooks (Slack);
open.feishu.cn/document/client-docs/bot-v3/add-custom-bot (Feishu, Lark);
open.dingtalk.com/document/orgapp/custom-robot-access and …/customize-robot-security-settings (DingTalk);
developer.work.weixin.qq.com/document/path/91770 (WeCom).
"""

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus, urlsplit

import msgspec

from ..core.domain import WebhookFormat
from ..core.redaction import redact

MOST_BYTES = 2_000  # of a text; WeCom takes 2,048
_HOSTS = {
    "hooks.slack.com": WebhookFormat.SLACK,
    "open.feishu.cn": WebhookFormat.FEISHU,
    "open.larksuite.com": WebhookFormat.FEISHU,
    "oapi.dingtalk.com": WebhookFormat.DINGTALK,
    "qyapi.weixin.qq.com": WebhookFormat.WECOM,
}
# that sign with a secret which the tool gives the user
SIGNING = frozenset({WebhookFormat.FEISHU, WebhookFormat.DINGTALK})
_ACCEPTED = ("errcode", "code", "StatusCode")  # 0 in the answer of a bot that took the message
_WORDS = ("errmsg", "msg", "StatusMessage")
_encode = msgspec.json.Encoder().encode


def format_of(url: str) -> WebhookFormat:
    """The format that a bot at this URL takes; the standard one at any other host."""
    return _HOSTS.get((urlsplit(url).hostname or "").lower(), WebhookFormat.STANDARD)


def call(format: WebhookFormat, url: str, secret: str, text: str, now: float) -> tuple[str, bytes]:
    """The URL to post to and the body. ``secret`` is empty where the bot checks no signature; ``now``
    is epoch seconds."""
    body = _BODIES[format](_cut(text))
    if secret and format is WebhookFormat.FEISHU:
        moment = str(int(now))
        key = f"{moment}\n{secret}".encode()
        body = {"timestamp": moment, "sign": _mark(key, b""), **body}
    elif secret and format is WebhookFormat.DINGTALK:
        moment = str(round(now * 1000))
        sign = _mark(secret.encode(), f"{moment}\n{secret}".encode())
        url += f"{'&' if '?' in url else '?'}timestamp={moment}&sign={quote_plus(sign)}"
    return url, _encode(body)


def refusal(format: WebhookFormat, body: bytes) -> str:
    """Why a bot did not take the message, in its words; empty where it did. Slack says so by the HTTP
    status alone."""
    if format is WebhookFormat.SLACK:
        return ""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        return redact(body.decode("utf-8", "replace").strip()) or "?"
    code = next((answer[name] for name in _ACCEPTED if name in answer), None)
    if code == 0:
        return ""
    words = next((answer[name] for name in _WORDS if isinstance(answer.get(name), str)), "")
    return redact(f"{code}: {words}" if words else f"{code}")


def _mark(key: bytes, text: bytes) -> str:
    return base64.b64encode(hmac.digest(key, text, hashlib.sha256)).decode()


def _cut(text: str) -> str:
    whole = text.encode()
    if len(whole) <= MOST_BYTES:
        return text
    return whole[:MOST_BYTES].decode("utf-8", "ignore") + "…"


def _slack(text: str) -> dict[str, Any]:
    # its three control characters
    return {"text": text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}


def _feishu(text: str) -> dict[str, Any]:
    return {"msg_type": "text", "content": {"text": text}}


def _content(text: str) -> dict[str, Any]:
    return {"msgtype": "text", "text": {"content": text}}


_BODIES: dict[WebhookFormat, Callable[[str], dict[str, Any]]] = {
    WebhookFormat.SLACK: _slack,
    WebhookFormat.FEISHU: _feishu,
    WebhookFormat.DINGTALK: _content,
    WebhookFormat.WECOM: _content,
}
