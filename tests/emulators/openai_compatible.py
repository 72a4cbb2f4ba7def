"""An endpoint on a real socket that speaks OpenAI's API the way one provider does.

What differs between providers is a ``Manner``; ``manners.py`` has one for each, with its sources. The
endpoint is stateless, so that one serves whole jobs: what it answers follows from the request alone. The
model ``BUSY`` is always over its rate limit, ``STREAM_ONLY`` answers streams only.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from gevent.pywsgi import WSGIServer

KEY = "sk-emulated-0123456789"
BUSY, STREAM_ONLY, REFUSING = "busy-model", "stream-only-model", "refusing-model"
Shape = Callable[[int, str, str | None, str | None], Any]


def openai_error(status: int, message: str, code: str | None, param: str | None) -> Any:
    """OpenAI's form (https://platform.openai.com/docs/guides/error-codes, read 2026-11-28)."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


@dataclass
class Manner:
    """How a provider answers. ``rejected`` maps parameters to the message of their 400; ``limit`` is the
    answer to one request too many: status, message, code, headers. ``schema`` says whether
    response_format may be a JSON Schema."""

    prefix: str = "/v1"
    auth: str = "bearer"
    query: dict[str, str] = field(default_factory=dict)
    models: tuple[str, ...] = ("model-a", "model-b")
    models_shape: Callable[[list], Any] = lambda models: {"object": "list", "data": models}
    models_need_key: bool = True
    owner: str = "provider"
    chat: bool = True
    responses: bool = False
    embeddings: bool = False
    deployments: bool = False
    schema: bool = True
    rejected: dict[str, str] = field(default_factory=dict)
    rejected_status: int = 400
    rejected_code: str | None = "unsupported_parameter"
    error: Shape = openai_error
    limit: tuple[int, str, str | None, dict[str, str]] = (
        429,
        "Rate limit reached",
        "rate_limit",
        {},
    )
    wrong_key: tuple[int, str] = (401, "Incorrect API key provided.")


class Emulator:
    """A running endpoint. ``bodies`` are the requests that it received, ``heads`` their headers."""

    def __init__(self, manner: Manner, key: str = KEY):
        self.manner, self._key = manner, key
        self.bodies: list[dict] = []
        self.heads: list[dict[str, str]] = []
        self._server = WSGIServer(("127.0.0.1", 0), self._serve, log=None, error_log=None)
        self._server.start()

    def __enter__(self) -> "Emulator":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(timeout=0.1)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}{self.manner.prefix}"

    def _serve(self, environ, start_response):
        status, body, headers = self._answer(environ)
        kind = "application/json"
        if isinstance(body, bytes):
            kind, payload = "text/event-stream", body
        else:
            payload = json.dumps(body).encode()
        headers = [("Content-Type", kind), ("Content-Length", str(len(payload))), *headers.items()]
        start_response(f"{status} X", headers)
        return [payload]

    def _answer(self, environ) -> tuple[int, Any, dict[str, str]]:
        path = environ["PATH_INFO"]
        self.heads.append(_headers(environ))
        manner = self.manner
        if not path.startswith(manner.prefix + "/"):
            return self._refuse(404, f"There is no {path} here.", "not_found")
        tail, deployment = self._tail(path.removeprefix(manner.prefix))
        if {
            name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()
        } != manner.query:
            return self._refuse(404, "Resource not found", "404")
        if tail == "/models" and not manner.models_need_key:
            return 200, self._models(), {}
        if not self._has_key(self.heads[-1]):
            return self._refuse(*manner.wrong_key, "invalid_api_key")
        if tail == "/models":
            return 200, self._models(), {}
        try:
            body = json.loads(environ["wsgi.input"].read())
        except ValueError:
            return self._refuse(400, "The body is not JSON.", None)
        self.bodies.append(body)
        return self._called(tail, {**body, **({"model": deployment} if deployment else {})})

    def _tail(self, rest: str) -> tuple[str, str]:
        """The path behind the prefix, and the deployment that it names."""
        if self.manner.deployments and rest.startswith("/deployments/"):
            name, _, tail = rest.removeprefix("/deployments/").partition("/")
            return f"/{tail}", name
        return rest, ""

    def _has_key(self, head: dict[str, str]) -> bool:
        given = {
            "bearer": head.get("authorization", "").removeprefix("Bearer "),
            "api-key": head.get("api-key", ""),
            "none": self._key,
        }
        return given[self.manner.auth] == self._key

    def _models(self) -> Any:
        owner = self.manner.owner
        return self.manner.models_shape(
            [{"id": name, "object": "model", "owned_by": owner} for name in self.manner.models]
        )

    def _refuse(self, status: int, message: str, code: str | None = None, param: str | None = None):
        return status, self.manner.error(status, message, code, param), {}

    def _called(self, tail: str, body: dict) -> tuple[int, Any, dict[str, str]]:
        manner = self.manner
        offered = {
            "/chat/completions": manner.chat and _chat,
            "/responses": manner.responses and _response,
            "/embeddings": manner.embeddings and _embeddings,
        }
        answer = offered.get(tail)
        if not answer or (manner.deployments and not body.get("model")):
            return self._refuse(404, f"Invalid URL (POST {tail})", "not_found")
        if body.get("model") == BUSY:
            status, message, code, headers = manner.limit
            return status, manner.error(status, message, code, None), headers
        for name, message in manner.rejected.items():
            if name in body:
                status = manner.rejected_status
                return self._refuse(status, message, manner.rejected_code, name)
        wanted = (body.get("response_format") or {}).get("type")
        if wanted == "json_schema" and not manner.schema:
            return self._refuse(
                400, "This response_format type is unavailable now", "invalid", None
            )
        if body.get("model") == STREAM_ONLY and not body.get("stream"):
            # https://help.aliyun.com/zh/model-studio/error-code, read 2026-11-27
            return self._refuse(
                400,
                "This model only support stream mode, please enable the stream "
                "parameter to access the model.",
                "invalid_parameter_error",
            )
        found = answer(body)
        if body.get("stream") and tail == "/chat/completions":
            return 200, _as_stream(found, body), {}
        return 200, found, {}


def _headers(environ) -> dict[str, str]:
    return {
        name.removeprefix("HTTP_").replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }


def _usage() -> dict:
    return {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}


def _chat(body: dict) -> dict:
    """The text is valid for the schema that was asked for."""
    message: dict[str, Any] = {"role": "assistant", "content": "OK"}
    if (body.get("response_format") or {}).get("type") in ("json_schema", "json_object"):
        message["content"] = '{"word": "OK"}'
    if body.get("model") == REFUSING:
        message.update(content=None, refusal="I can't help with that.")
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": body.get("model"),
        "choices": [choice],
        "usage": _usage(),
    }


def _as_stream(whole: dict, body: dict) -> bytes:
    """Chunks as OpenAI's reference has them: role, text, finish reason, usage if asked, [DONE]."""
    head = {**whole, "object": "chat.completion.chunk"}
    head.pop("usage")
    message = whole["choices"][0]["message"]
    parts: list[dict] = [
        {"delta": {"role": "assistant", "content": ""}},
        {"delta": {"content": message["content"] or ""}},
        {"delta": {}, "finish_reason": "stop"},
    ]
    chunks = [{**head, "choices": [{"index": 0, "finish_reason": None, **part}]} for part in parts]
    if (body.get("stream_options") or {}).get("include_usage"):
        chunks.append({**head, "choices": [], "usage": whole["usage"]})
    return (
        b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)
        + b"data: [DONE]\n\n"
    )


def _response(body: dict) -> dict:
    text = {"type": "output_text", "text": "OK", "annotations": []}
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [text],
    }
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_790_000_000,
        "status": "completed",
        "model": body.get("model"),
        "output": [message],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 9,
            "output_tokens": 3,
            "total_tokens": 12,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        },
    }


def _embeddings(body: dict) -> dict:
    given = body["input"] if isinstance(body["input"], list) else [body["input"]]
    data = [
        {"object": "embedding", "index": place, "embedding": [0.5, 0.25]}
        for place in range(len(given))
    ]
    return {
        "id": "embd-1",  # Mistral's client requires it
        "object": "list",
        "data": data,
        "model": body.get("model"),
        "usage": {"prompt_tokens": 4, "completion_tokens": 0, "total_tokens": 4},
    }
