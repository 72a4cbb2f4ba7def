"""Batch lines as Azure, Zhipu, DashScope, Mistral, Ark, Anthropic and Gemini document them."""

import json

import pytest

from simple_batch import intake
from simple_batch.core.errors import UploadRejected

from .workbooks import SETTINGS

MESSAGES = [{"role": "user", "content": "hi"}]
BODY = {"model": "m", "messages": MESSAGES}
CHAT = "/v1/chat/completions"


def scanned(tmp_path, *lines: dict) -> intake.Preview:
    path = tmp_path / "upload"
    path.write_text("\n".join(map(json.dumps, lines)))
    return intake.scan(path, SETTINGS)


def line(**fields) -> dict:
    return {"custom_id": "a", "body": BODY, **fields}


@pytest.mark.parametrize(
    "written",
    [
        line(method="POST", url="/chat/completions"),  # Azure
        line(method="POST", url="/v4/chat/completions"),  # Zhipu
        line(method="POST", url="/api/paas/v4/chat/completions"),
        line(method="POST", url="/compatible-mode/v1/chat/completions"),  # DashScope
        line(method="POST", url="https://x.openai.azure.com/openai/deployments/d/chat/completions"),
        line(),  # Mistral, Ark
    ],
)
def test_lines_with_the_paths_of_other_providers_and_without_any(tmp_path, written):
    found = scanned(tmp_path, written, {**written, "custom_id": "b"})
    assert (found.good, found.fault_count) == (2, 0)
    assert (found.first[0].custom_id, found.first[0].url) == ("a", CHAT)
    assert json.loads(found.first[0].body) == BODY


@pytest.mark.parametrize(
    ("written", "messages"),
    [
        (
            {
                "custom_id": "a",
                "params": {"model": "m", "system": "S", "max_tokens": 5, "messages": MESSAGES},
            },
            [{"role": "system", "content": "S"}, *MESSAGES],
        ),
        (
            {
                "key": "a",
                "request": {
                    "contents": [{"parts": [{"text": "hi"}]}],
                    "generationConfig": {"maxOutputTokens": 5},
                },
            },
            MESSAGES,
        ),
    ],
)
def test_lines_of_other_apis_become_chat_completions(tmp_path, written, messages):
    found = scanned(tmp_path, written)
    assert (found.good, found.first[0].custom_id) == (1, "a")
    body = json.loads(found.first[0].body)
    assert (body["messages"], body["max_tokens"]) == (messages, 5)


@pytest.mark.parametrize("url", ["/v1/messages", "https://api.anthropic.com/v1/messages"])
def test_lines_in_the_form_of_the_messages_api_stay_as_they_are(tmp_path, url):
    body = {"max_tokens": 5, "system": "be brief", "thinking": {"type": "adaptive"}, **BODY}
    found = scanned(tmp_path, line(method="POST", url=url, body=body))
    assert (found.good, found.first[0].url) == (1, "/v1/messages")
    assert json.loads(found.first[0].body) == body


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (line(url="/v1/audio/speech", method="POST"), "must be one of /v1/chat"),
        (line(body={"model": "m", "input": "x"}), "its body does not tell the endpoint"),
        (line(body={"model": "m", "messages": "x"}), "must be a list; here it is text."),
        (
            {"custom_id": "a", "params": {"messages": MESSAGES, "tools": []}},
            "“url”: “/v1/messages”",
        ),
        ({"key": "a", "request": {"contents": [], "cachedContent": "c"}}, "“cachedContent” has no"),
    ],
)
def test_what_has_no_counterpart_is_named(tmp_path, written, expected):
    with pytest.raises(UploadRejected) as rejected:
        scanned(tmp_path, written)
    assert expected in str(rejected.value.faults[0])
