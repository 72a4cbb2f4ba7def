"""An endpoint on a real socket that speaks OpenAI's API the way one provider does.

What differs between providers is a ``Manner``; ``manners.py`` has one for each, with its sources. What it
answers follows from the request (provider_answers.py), so that one serves whole jobs. The model ``BUSY`` is
always over its rate limit, ``STREAM_ONLY`` answers streams only. By words in the last text of the user:
"limited once" is over the rate limit the first time, "forbidden" is refused for its content.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from gevent.pywsgi import WSGIServer

from . import provider_answers as answers
from .batch_answers import last_text

KEY = "sk-emulated-0123456789"
BUSY, STREAM_ONLY = "busy-model", "stream-only-model"
WAIT_S, SHORT_WAIT_S = 20.0, 0.3  # that a refusal by a limit asks for
Shape = Callable[[int, str, str | None, str | None], Any]
Refusal = tuple[int, Any, dict[str, str]]  # status, body, headers


def openai_error(status: int, message: str, code: str | None, param: str | None) -> Any:
    """OpenAI's form (https://platform.openai.com/docs/guides/error-codes, read 2026-11-28)."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


@dataclass
class Manner:
    """How a provider answers. ``rejected`` maps parameters to the message of their 400; ``limit`` gives the
    answer to one request too many, for the seconds that it asks to wait: message, code, headers (None: the
    provider does not say how long). ``forbidden`` is the answer to a request refused for its content: a
    status and a body, or with 200 a finish reason. ``schema`` says whether response_format may be a JSON
    Schema; ``stream_only`` is what a model says that answers with streams only."""

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
    limit: Callable[[float], tuple[str, str | None, dict[str, str]]] = lambda wait_s: (
        "Rate limit reached",
        "rate_limit",
        {},
    )
    error_waits: Callable[[Any, float], Any] | None = None  # puts the wait into the body
    says_wait: bool = True  # the refusal says how long
    forbidden: tuple[int, Any] = (200, "content_filter")
    # https://help.aliyun.com/zh/model-studio/error-code, read 2026-11-27
    stream_only: str = "This model only support stream mode, please enable the stream parameter to access the model."
    stream: answers.StreamManner = field(default_factory=answers.StreamManner)
    beside: bool = False  # its reasoning is no part of the output
    wrong_key: tuple[int, str] = (401, "Incorrect API key provided.")


class Emulator:
    """A running endpoint. ``bodies`` are the requests that it received, ``heads`` their headers."""

    def __init__(self, manner: Manner, key: str = KEY):
        self.manner, self._key = manner, key
        self.bodies: list[dict] = []
        self.heads: list[dict[str, str]] = []
        self._met: set[str] = set()  # texts that have failed once
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
            "/chat/completions": manner.chat and self._chat,
            "/responses": manner.responses and self._response,
            "/embeddings": manner.embeddings and _embeddings,
        }
        answer = offered.get(tail)
        if not answer or (manner.deployments and not body.get("model")):
            return self._refuse(404, f"Invalid URL (POST {tail})", "not_found")
        words = last_text(body)
        if body.get("model") == BUSY:
            return self._over_limit(WAIT_S)
        if "limited once" in words and self._first(words):
            return self._over_limit(SHORT_WAIT_S)
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
            return self._refuse(400, manner.stream_only, "invalid_parameter_error")
        if "forbidden" in words and manner.forbidden[0] != 200 and not body.get("stream"):
            return *manner.forbidden, {}
        return 200, answer(body), {}

    def _first(self, words: str) -> bool:
        """Whether a text comes for the first time."""
        known = words in self._met
        self._met.add(words)
        return not known

    def _over_limit(self, wait_s: float) -> tuple[int, Any, dict[str, str]]:
        manner = self.manner
        message, code, headers = manner.limit(wait_s)
        body = manner.error(429, message, code, None)
        if manner.error_waits is not None:
            body = manner.error_waits(body, wait_s)
        return 429, body, headers

    def _fault(self, words: str) -> str:
        """The fault of a stream, the first time."""
        fault = next((name for name in ("fail", "break off") if f"{name} once" in words), "")
        return fault if fault and self._first(words) else ""

    def _chat(self, body: dict) -> dict | bytes:
        manner, words = self.manner, last_text(body)
        whole = answers.chat(body, manner.stream, manner.beside)
        streams = bool(body.get("stream"))
        if "forbidden" in words:
            reason = manner.stream.filtered if streams else manner.forbidden[1]
            message = {"role": "assistant", "content": ""}
            whole["choices"][0] = {"index": 0, "message": message, "finish_reason": reason}
        if not streams:
            return whole
        asked = (body.get("stream_options") or {}).get("include_usage", False)
        return answers.chunks(whole, manner.stream, asked, self._fault(words))

    def _response(self, body: dict) -> dict | bytes:
        whole = answers.response(body)
        if not body.get("stream"):
            return whole
        return answers.response_events(whole, self.manner.stream, self._fault(last_text(body)))


def _headers(environ) -> dict[str, str]:
    return {
        name.removeprefix("HTTP_").replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
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
