"""The demo endpoint: OpenAI's API without a model.

For the demo, so that a batch can be run without a key, and for tests. It
answers chat completions, responses, completions, embeddings, moderations, image
generations and the list of models, at a chosen speed and with a chosen share of
faults. Texts come as a stream, or as JSON that fits a schema, where the request
asks for it.
"""

import base64
import hashlib
import itertools
import json
import random
import re
import time
from array import array
from collections import Counter
from collections.abc import Iterator

import gevent
from gevent.pywsgi import WSGIServer

from . import demo_stream, demo_structured

MODEL = "demo-model"
DIMENSIONS = 16  # of an embedding where the request names none
MOST_DIMENSIONS = 4_096
MOST_INPUTS = 2_048
_PAUSE = 0.01  # between two events of a stream, as a share of the latency
BACKLOG = 1024  # connections: one that finds no place is tried again by TCP after a second
_HARMFUL = {"violence": r"\b(kill|attack|bomb)\b|杀|炸", "hate": r"\bhate\b|仇恨"}
# A picture of one pixel.
_PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8Dwn4EIAAAk6AH7rPvO1gAAAABJRU5E"
    "rkJggg=="
)

_OPENINGS = {
    "en": ("In short:", "The usual answer is this:", "It depends, but mostly:", "Put simply:"),
    "zh": ("简单来说：", "通常的回答是：", "这要看情况，不过大体上：", "一句话："),
}
_MIDDLES = {
    "en": (
        "start from what can be measured and change one thing at a time",
        "the simplest explanation that fits all the observations is the one to keep",
        "most of the effect comes from a few causes, so look for those first",
        "it follows from the definitions once they are written down carefully",
    ),
    "zh": (
        "先从能测量的东西开始，每次只改变一件事",
        "能解释全部现象的最简单的说法，就是该保留的说法",
        "大部分效果来自少数几个原因，先去找它们",
        "把定义仔细写下来，结论就自然得出了",
    ),
}


class DemoEndpoint:
    """A running endpoint. ``calls`` counts the calls by path, ``stats`` the answers by status,
    ``bodies`` keeps the last requests received. Start it with ``start``."""

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        latency: float = 0.6,
        jitter: float = 0.5,
        fail: float = 0.05,
        key: str = "",
        rpm: int | None = None,
        concurrency: int | None = None,
        seed: int = 7,
    ):
        self._latency, self._jitter, self._fail = latency, jitter, fail
        self._key = key
        self._rpm, self._concurrency = rpm, concurrency
        self._random = random.Random(seed)  # noqa: S311 - chance, not a secret # nosec B311
        self._numbers = itertools.count(1)
        self._starts: list[float] = []
        self.in_flight = 0
        self.calls: Counter[str] = Counter()
        self.stats: Counter[int] = Counter()
        self.bodies: list[dict] = []
        self._server = WSGIServer(
            (host, port), self._serve, backlog=BACKLOG, log=None, error_log=None
        )
        self._server.start()
        self.host, self.port = host, self._server.server_port

    @property
    def base_url(self) -> str:
        return f"http://{self.host}:{self.port}/v1"

    def stop(self) -> None:
        self._server.stop(timeout=0.5)

    # --- HTTP -------------------------------------------------------------------------------

    def _serve(self, environ, start_response):
        path = environ["PATH_INFO"].rstrip("/")
        self.calls[path] += 1
        self.in_flight += 1
        try:
            status, body, headers = self._answer(environ, path)
            self.stats[status] += 1
            if isinstance(body, Iterator):
                return self._send_stream(body, start_response)
        finally:
            self.in_flight -= 1
        payload = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(payload))),
            *headers,
        ]
        start_response(f"{status} {'OK' if status == 200 else 'Error'}", headers)
        return [payload]

    def _send_stream(self, events: Iterator[bytes], start_response) -> list[bytes]:
        """Send events one by one; the first one has waited as long as a whole answer does."""
        write = start_response("200 OK", [("Content-Type", "text/event-stream; charset=utf-8")])
        for event in events:
            write(event)
            gevent.sleep(self._latency * _PAUSE)
        return []

    def _answer(self, environ, path: str):
        if self._key and environ.get("HTTP_AUTHORIZATION") != f"Bearer {self._key}":
            return _error(401, "Incorrect API key provided.", "invalid_api_key")
        if path == "/v1/models":
            models = [{"id": MODEL, "object": "model", "created": 0, "owned_by": "simple-batch"}]
            return 200, {"object": "list", "data": models}, []
        handler = _HANDLERS.get(path)
        if handler is None:
            return _error(404, f"There is no {path} here.", "not_found")
        try:
            body = json.loads(environ["wsgi.input"].read())
            if not isinstance(body, dict):
                raise ValueError
        except ValueError:
            return _error(400, "The body is not a JSON object.", "invalid_json")
        self.bodies.append(body)
        del self.bodies[:-1000]
        refused = self._refusal() or self._fault(body)
        if refused:
            return refused
        try:
            demo_stream.check_options(body)
            answer = handler(self, body)
            as_events = demo_stream.EVENTS.get(path) if body.get("stream") is True else None
            return 200, as_events(answer, body) if as_events else answer, []
        except ValueError as error:
            return _error(400, str(error), "invalid_request_error")

    def _refusal(self):
        """A 429 if the limits of the endpoint are reached."""
        if self._concurrency is not None and self.in_flight > self._concurrency:
            return _error(429, "Too many requests at once.", "rate_limit_exceeded")
        if self._rpm is not None:
            now = time.monotonic()
            self._starts = [start for start in self._starts if start > now - 60]
            if len(self._starts) >= self._rpm:
                wait = 60 - (now - self._starts[0])
                headers = [("Retry-After", f"{wait:.3f}")]
                return _error(429, f"Limit {self._rpm} per minute.", "rate_limit_exceeded", headers)
            self._starts.append(now)
        return None

    def _fault(self, body: dict):
        """Wait as long as an answer takes, then return a random fault, or None."""
        chance = self._random.random()
        if self._latency:
            spread = self._random.lognormvariate(0, self._jitter)
            gevent.sleep(self._latency * min(spread, 8.0))
        if chance >= self._fail:
            return None
        kind = chance / self._fail
        if kind < 0.5:
            return _error(500, "The server had an error while processing your request.", None)
        if kind < 0.6:
            return _error(503, "The engine is currently overloaded, please try again later.", None)
        if kind < 0.68:
            headers = [("Retry-After", "0.5")]
            return _error(429, "Rate limit reached for demo-model.", "rate_limit_exceeded", headers)
        if kind < 0.84:
            return 200, b"<html><body>502 Bad Gateway</body></html>", []
        message = "The response was filtered due to the prompt triggering content management."
        return _error(400, message, "content_filter")

    # --- answers ----------------------------------------------------------------------------

    def chat(self, body: dict) -> dict:
        text = _said(body.get("messages") or [])
        answer = _reply_to(text, body)
        message = {"role": "assistant", "content": answer}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        return self._completion("chat.completion", "chatcmpl", body, choice, text, answer)

    def complete(self, body: dict) -> dict:
        text = str(body.get("prompt", ""))
        answer = _reply_to(text, {})
        choice = {"index": 0, "text": answer, "logprobs": None, "finish_reason": "stop"}
        return self._completion("text_completion", "cmpl", body, choice, text, answer)

    def embed(self, body: dict) -> dict:
        inputs = _inputs(body)
        dimensions = body.get("dimensions", DIMENSIONS)
        if not isinstance(dimensions, int) or not 1 <= dimensions <= MOST_DIMENSIONS:
            raise ValueError(f"dimensions must be from 1 to {MOST_DIMENSIONS}.")
        packed = body.get("encoding_format") == "base64"
        data = [
            {"object": "embedding", "index": index, "embedding": _vector(given, dimensions, packed)}
            for index, given in enumerate(inputs)
        ]
        tokens = sum(
            _tokens(given) if isinstance(given, str) else len(given or ()) for given in inputs
        )
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"object": "list", "data": data, "model": _model(body), "usage": usage}

    def respond(self, body: dict) -> dict:
        given = body.get("input") or ""
        text = given if isinstance(given, str) else _said(given)
        answer = _reply_to(text, body)
        content = [{"type": "output_text", "text": answer, "annotations": []}]
        message = {"type": "message", "role": "assistant", "status": "completed"}
        spent_in, spent_out = (
            _tokens(f"{body.get('instructions') or ''}{text}") + 8,
            _tokens(answer),
        )
        return {
            "id": f"resp_demo{next(self._numbers)}",
            "object": "response",
            "created_at": int(time.time()),
            "status": "completed",
            "model": _model(body),
            "output": [{"id": "msg_1", **message, "content": content}],
            "usage": {
                "input_tokens": spent_in,
                "output_tokens": spent_out,
                "total_tokens": spent_in + spent_out,
            },
        }

    def moderate(self, body: dict) -> dict:
        results = []
        for given in _inputs(body):
            found = {
                name: re.search(pattern, str(given), re.I) is not None
                for name, pattern in _HARMFUL.items()
            }
            scores = {name: 0.98 if found[name] else 0.01 for name in found}
            results.append(
                {"flagged": any(found.values()), "categories": found, "category_scores": scores}
            )
        return {
            "id": f"modr-demo{next(self._numbers)}",
            "model": _model(body),
            "results": results,
        }

    def draw(self, body: dict) -> dict:
        if not body.get("prompt"):
            raise ValueError("prompt is missing.")
        number = next(self._numbers)
        if body.get("response_format") == "b64_json":
            picture = {"b64_json": _PNG}
        else:
            picture = {"url": f"http://{self.host}:{self.port}/pictures/{number}.png"}
        return {"created": int(time.time()), "data": [picture]}

    def _completion(self, kind, prefix, body, choice, text, answer) -> dict:
        spent_in, spent_out = _tokens(text) + 8, _tokens(answer)
        return {
            "id": f"{prefix}-demo{next(self._numbers)}",
            "object": kind,
            "created": int(time.time()),
            "model": _model(body),
            "choices": [choice],
            "usage": {
                "prompt_tokens": spent_in,
                "completion_tokens": spent_out,
                "total_tokens": spent_in + spent_out,
            },
        }


_HANDLERS = {
    "/v1/chat/completions": DemoEndpoint.chat,
    "/v1/completions": DemoEndpoint.complete,
    "/v1/embeddings": DemoEndpoint.embed,
    "/v1/responses": DemoEndpoint.respond,
    "/v1/moderations": DemoEndpoint.moderate,
    "/v1/images/generations": DemoEndpoint.draw,
}


def start(host: str = "127.0.0.1", port: int = 0, **behaviour) -> DemoEndpoint:
    """Start an endpoint in this process (patched by gevent); port 0 takes a free one.

    ``latency`` (seconds, median), ``jitter`` (spread), ``fail`` (share of faulty answers),
    ``key`` (required), ``rpm``, ``concurrency`` (enforced), ``seed``. Raises OSError where the
    port is taken.
    """
    return DemoEndpoint(host, port, **behaviour)


def _error(status: int, message: str, code: str | None, headers=()):
    error = {"message": message, "type": "demo_error", "param": None, "code": code}
    return status, {"error": error}, list(headers)


def _model(body: dict) -> str:
    return str(body.get("model") or MODEL)


def _inputs(body: dict) -> list:
    """The inputs of a call: texts, or arrays of tokens."""
    given = body.get("input")
    if isinstance(given, list) and given and not isinstance(given[0], int):
        if len(given) > MOST_INPUTS:
            raise ValueError(f"input must have {MOST_INPUTS} elements at most.")
        inputs = given
    else:
        inputs = [given]
    if not all(inputs):
        raise ValueError("input must not be empty.")
    return inputs


def _vector(given, dimensions: int, packed: bool) -> list[float] | str:
    """The same vector for the same input; ``packed`` as base64 of float32."""
    seed = (given if isinstance(given, str) else json.dumps(given)).encode("utf-8", "replace")
    digest = hashlib.shake_128(seed).digest(dimensions)
    vector = [round(byte / 127.5 - 1, 6) for byte in digest]
    return base64.b64encode(array("f", vector).tobytes()).decode() if packed else vector


def _said(messages) -> str:
    parts = []
    for message in messages if isinstance(messages, list) else []:
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, str):
            parts.append(content)
        elif isinstance(content, list):
            parts += [str(part.get("text", "")) for part in content if isinstance(part, dict)]
    return "\n".join(parts)


def _reply_to(text: str, body: dict) -> str:
    """The same answer to the same question, in the question's language and the shape that is asked for."""
    language = "zh" if re.search(r"[\u4e00-\u9fff]", text) else "en"
    seed = int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:4], "big")
    chooser = random.Random(seed)  # noqa: S311 - chance, not a secret # nosec B311
    topic = " ".join(text.split())[-60:]
    middle = chooser.sample(_MIDDLES[language], k=chooser.randint(1, 3))
    if language == "zh":
        answer = f"{chooser.choice(_OPENINGS['zh'])}{'；'.join(middle)}。（关于：{topic}）"
    else:
        answer = f"{chooser.choice(_OPENINGS['en'])} {'; '.join(middle)}. (About: {topic})"
    return demo_structured.shaped(body, answer, chooser) or answer


def _tokens(text: str) -> int:
    """A rough count of tokens: one per Chinese character, else one per four characters."""
    wide = len(re.findall(r"[\u2e80-\uffff]", text))
    return wide + (len(text) - wide + 3) // 4
