"""The demo endpoint answers with streams as OpenAI does."""

import json
import urllib.error
import urllib.request

import pytest

from simple_batch.core.domain import Defaults, Endpoint, StreamMode
from simple_batch.core.settings import Settings
from simple_batch.engine.exchange import Exchange
from simple_batch.engine.stream.use import StreamUse
from simple_batch.store.database import connected
from simple_batch.store.models import ApiConfig, Result

CHAT = "/v1/chat/completions"
CALLS = {
    CHAT: {"messages": [{"role": "user", "content": "为什么天是蓝的？ Why is it so?"}]},
    "/v1/completions": {"prompt": "why is  it\nso?"},
    "/v1/responses": {"input": "why is it so?"},
}


def call(endpoint, path: str, **fields) -> tuple[str, str]:
    """The kind and the text of an answer."""
    body = json.dumps({"model": "m", **CALLS[path], **fields}).encode()
    asked = urllib.request.Request(endpoint.base_url.removesuffix("/v1") + path, body)
    with urllib.request.urlopen(asked) as answer:
        return answer.headers.get_content_type(), answer.read().decode()


def chunks(text: str) -> list:
    *events, last = text.removesuffix("\n\n").split("\n\n")
    assert last == "data: [DONE]"
    return [json.loads(event.removeprefix("data: ")) for event in events]


def test_the_usage_comes_last_where_it_is_asked_for(endpoint):
    kind, plain = call(endpoint, CHAT, stream=True)
    assert kind == "text/event-stream"
    assert len(chunks(plain)) > 5
    assert all("usage" not in chunk and chunk["choices"] for chunk in chunks(plain))
    kind, text = call(endpoint, CHAT, stream=True, stream_options={"include_usage": True})
    *others, last = chunks(text)
    assert all(chunk["usage"] is None for chunk in others)
    assert others[-1]["choices"][0]["finish_reason"] == "stop"
    assert (last["choices"], last["usage"]["prompt_tokens"] > 0) == ([], True)
    assert call(endpoint, CHAT, stream=False)[0] == "application/json"
    with pytest.raises(urllib.error.HTTPError) as refused:
        call(endpoint, CHAT, stream_options={"include_usage": True})
    assert refused.value.code == 400


@pytest.mark.parametrize("path", CALLS)
def test_a_stream_says_what_the_whole_answer_says(endpoint, path):
    whole = json.loads(call(endpoint, path)[1])
    config = Endpoint(1, "a", endpoint.base_url, "", Defaults("m"), stream=StreamMode.ALWAYS)
    streaming = Exchange(config, Settings(), 4, streams=StreamUse(config))
    response = streaming.post(path, json.dumps({"model": "m", **CALLS[path]}).encode(), 5)
    answer = json.loads(response.body)
    assert endpoint.bodies[-1]["stream"] is True
    for read in (whole, answer):
        read.pop("id")
        read.pop("created", None)
        read.pop("created_at", None)
    assert answer == whole


def test_a_job_whose_connection_always_streams(app, add_config, endpoint, make_job, wait_for):
    config = add_config(endpoint.base_url)
    with connected():
        ApiConfig.update(stream="always").where(ApiConfig.id == config.id).execute()
    job_id = make_job(3)
    services = app.extensions["simple_batch"]
    services.start()
    wait_for(job_id, "completed")
    services.stop(2)
    with connected():
        results = list(Result.select())
    assert [result.status for result in results] == ["succeeded"] * 3
    assert all(result.first_token_ms is not None and result.output_tokens for result in results)
