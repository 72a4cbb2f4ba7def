"""Anthropic's Messages API on a real socket, as strict as the real one.

Sources, read 2026-11-28:
[E] https://platform.claude.com/docs/en/api/errors (types, statuses, common validation errors)
[V] https://platform.claude.com/docs/en/api/versioning (the header; 2026-10-21 has no sampling parameters)
[L] https://platform.claude.com/docs/en/api/rate-limits (429, retry-after, anthropic-ratelimit-*)
[S] https://platform.claude.com/docs/en/build-with-claude/streaming (events and their order)
[C] https://platform.claude.com/docs/en/build-with-claude/prompt-caching (counts of usage)
[O] https://platform.claude.com/docs/en/build-with-claude/structured-outputs
[T] https://platform.claude.com/docs/en/build-with-claude/thinking-troubleshooting, …/effort
[N] https://platform.claude.com/docs/en/models/opus-5-5/whats-new-opus-5-5 (no forced tool, its wordings)
[R] https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons
[P] the package anthropic 2.14.0: types/*.py, pagination.py
[W] wordings as users quote them: github.com/anthropics/claude-code/issues/12186 (prompt is too long),
    …/issues/66314 (credit balance), github.com/MinusPod/releases v2.101.10 (Extra inputs are not
    permitted), github.com/sipeed/picoclaw/issues/2939 (temperature is deprecated for this model),
    github.com/veryfront/veryfront-code/issues/3918 (additionalProperties)

What the model says follows from the last text of the user, so that one endpoint serves whole jobs: see
``_Turn``.
"""

import base64
import binascii
import json
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

import gevent
from gevent.pywsgi import WSGIServer

KEY = "sk-ant-test-0123456789abcdef"
VERSIONS = ("2023-06-01", "2026-10-21")  # [V]
SAMPLING = ("temperature", "top_p", "top_k")
IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")  # [P] base64_image_source_param
# [P] message_create_params
FIELDS = frozenset(
    [
        "model",
        "messages",
        "max_tokens",
        "cache_control",
        "container",
        "diagnostics",
        "inference_geo",
        "metadata",
        "output_config",
        "service_tier",
        "speed",
        "stop_sequences",
        "stream",
        "system",
        "thinking",
        "tool_choice",
        "tools",
        "user_profile_id",
    ]
)
# model: (most output tokens, context, thinking types that it takes, efforts, structured outputs, sampling,
# forced tools) [T] [O] [N]
MODELS = {
    "claude-opus-5-5": (128_000, 1_000_000, ("adaptive",), "low medium high xhigh max", True, False, False),
    "claude-opus-4-6": (
        128_000, 200_000, ("adaptive", "enabled", "disabled"), "low medium high max", True, True, True,
    ),
    "claude-sonnet-4-5": (64_000, 200_000, ("enabled", "disabled"), "", True, True, True),
    "claude-haiku-4-5": (64_000, 200_000, ("enabled", "disabled"), "", True, True, True),
    "claude-3-5-haiku-20241022": (8_192, 200_000, ("disabled",), "", False, True, True),
}  # fmt: skip
CACHED_FROM = 1_024  # tokens [C]


class Refused(Exception):
    """An error answer."""

    def __init__(self, status: int, kind: str, message: str, *headers: tuple[str, str]):
        super().__init__(message)
        self.status, self.kind, self.message, self.headers = status, kind, message, headers

    @property
    def body(self) -> dict:
        return {
            "type": "error",
            "error": {"type": self.kind, "message": self.message},
            "request_id": "req_emulated",
        }


def invalid(message: str) -> Refused:
    return Refused(400, "invalid_request_error", message)


class AnthropicEmulator:
    """``rpm`` calls are answered, all further ones are refused for ``retry_after`` s. ``bodies`` and
    ``headers`` are what came."""

    def __init__(self, rpm: int = 1_000, retry_after: str = "1"):
        self.rpm, self.retry_after = rpm, retry_after
        self.calls = 0
        self.bodies: list[dict] = []
        self.headers: list[dict] = []
        self.answered: dict[str, int] = {}  # by last text
        self._cache: set[str] = set()
        self._server = WSGIServer(("127.0.0.1", 0), self._app, log=None, error_log=None)

    def __enter__(self):
        self._server.start()
        return self

    def __exit__(self, *_):
        self._server.stop(timeout=0.1)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def _app(self, environ, start):
        self.calls += 1
        headers = {
            name[5:].lower().replace("_", "-"): value
            for name, value in environ.items()
            if name.startswith("HTTP_")
        }
        self.headers.append(headers)
        try:
            check_headers(headers)
            route = environ["REQUEST_METHOD"], environ["PATH_INFO"]
            if route == ("GET", "/v1/models"):
                return self._plain(start, models_page(parse_qs(environ["QUERY_STRING"])))
            if route != ("POST", "/v1/messages"):
                raise Refused(404, "not_found_error", "Not Found")
            body = json.loads(environ["wsgi.input"].read())
            self.bodies.append(body)
            message = self._message(body, headers["anthropic-version"])
            if body.get("stream"):
                start(
                    "200 OK",
                    [("Content-Type", "text/event-stream; charset=utf-8"), *self._limits()],
                )
                return self._streamed(message, body)
            return self._plain(start, message)
        except Refused as refused:
            given = [("Content-Type", "application/json"), *refused.headers]
            start(f"{refused.status} X", given)
            return [json.dumps(refused.body).encode()]

    def _plain(self, start, body: dict):
        start("200 OK", [("Content-Type", "application/json"), *self._limits()])
        return [json.dumps(body).encode()]

    def _limits(self) -> list[tuple[str, str]]:
        soon = (datetime.now(UTC) + timedelta(seconds=0.2)).isoformat()  # RFC 3339
        return [
            ("request-id", "req_emulated"),
            ("anthropic-ratelimit-requests-limit", str(self.rpm)),
            ("anthropic-ratelimit-requests-remaining", str(max(0, self.rpm))),
            ("anthropic-ratelimit-requests-reset", soon),
            ("anthropic-ratelimit-tokens-limit", "2000000"),
            ("anthropic-ratelimit-tokens-remaining", "1999000"),
            ("anthropic-ratelimit-tokens-reset", soon),
        ]

    def _message(self, body: dict, version: str) -> dict:
        check_body(body, version)
        turn = _Turn(body)
        if self.rpm <= 0:
            self.rpm += 1  # the wait has passed when the client calls again
            message = "This request would exceed your organization's rate limit of 30,000 input tokens per minute."
            raise Refused(429, "rate_limit_error", message, ("retry-after", self.retry_after))
        self.rpm -= 1
        nth = self.answered[turn.text] = self.answered.get(turn.text, 0) + 1
        if "overloaded once" in turn.text and nth == 1:
            raise Refused(529, "overloaded_error", "Overloaded")
        return turn.message(*self._cached(body, turn.tokens))

    def _cached(self, body: dict, tokens: int) -> tuple[int, int, int]:
        """(input, read, written): the counts exclude each other [C]."""
        system = body.get("system")
        marked = [b for b in system if "cache_control" in b] if isinstance(system, list) else []
        size = sum(len(block["text"]) // 4 for block in marked)
        if size < CACHED_FROM:
            return tokens, 0, 0
        prefix = json.dumps(marked)
        known = prefix in self._cache
        self._cache.add(prefix)
        return tokens - size, size if known else 0, 0 if known else size

    def _streamed(self, message: dict, body: dict):
        """The events of [S], each text in two pieces."""
        blocks, usage = message["content"], message["usage"]
        begun = {**message, "content": [], "stop_reason": None, "stop_sequence": None}
        first = {**usage, "output_tokens": 1}
        words = _Turn(body).text
        first_time = self.answered.get(words) == 1
        yield event("message_start", message={**begun, "usage": first})
        yield event("ping")
        for index, block in enumerate(blocks):
            empty, deltas = pieces(block)
            yield event("content_block_start", index=index, content_block=empty)
            for delta in deltas:
                yield event("content_block_delta", index=index, delta=delta)
                gevent.sleep(0)
            if first_time and "break off once" in words:
                return
            if first_time and "fail once" in words:
                error = {"type": "overloaded_error", "message": "Overloaded"}
                yield event("error", error=error)
                return
            yield event("content_block_stop", index=index)
        ended = {name: message[name] for name in ("stop_reason", "stop_sequence")}
        yield event("message_delta", delta=ended, usage={"output_tokens": usage["output_tokens"]})
        yield event("a_new_event", anything=1)  # new kinds may come [V]
        yield event("message_stop")


def event(kind: str, **data) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()


def pieces(block: dict) -> tuple[dict, list[dict]]:
    """A block as it begins, and its deltas [S]."""
    if block["type"] == "text":
        text = block["text"]
        halves = text[: len(text) // 2], text[len(text) // 2 :]
        return {**block, "text": ""}, [{"type": "text_delta", "text": half} for half in halves]
    if block["type"] == "thinking":
        deltas = [
            {"type": "thinking_delta", "thinking": block["thinking"]},
            {"type": "signature_delta", "signature": block["signature"]},
        ]
        return {**block, "thinking": "", "signature": ""}, deltas
    if block["type"] == "tool_use":
        text = json.dumps(block["input"])
        parts = ("", text[:3], text[3:])
        return {**block, "input": {}}, [
            {"type": "input_json_delta", "partial_json": part} for part in parts
        ]
    return block, []


def models_page(query: dict) -> dict:
    """[P] pagination.py, model_list_params.py: 20 a page unless asked otherwise, at most 1,000."""
    names, limit = list(MODELS), int(query.get("limit", ["20"])[0])
    if "after_id" in query:
        names = names[names.index(query["after_id"][0]) + 1 :]
    page = names[: min(limit, 3)]  # small pages: a client has to ask again
    data = [
        {
            "type": "model",
            "id": name,
            "display_name": name,
            "created_at": "2026-01-01T00:00:00Z",
            "lifecycle": "active",
        }
        for name in page
    ]
    ends = (
        {"first_id": page[0], "last_id": page[-1]} if page else {"first_id": None, "last_id": None}
    )
    return {"data": data, "has_more": len(names) > len(page), **ends}


# --- what is refused ---------------------------------------------------------------------------


def check_headers(headers: dict) -> None:
    given = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
    if not given:
        raise Refused(401, "authentication_error", "x-api-key header is required")
    if given != KEY:
        raise Refused(401, "authentication_error", "invalid x-api-key")
    version = headers.get("anthropic-version")
    if version is None:
        raise invalid("anthropic-version: header is required")
    if version not in VERSIONS:
        raise invalid(f'anthropic-version: "{version}" is not a valid version')


def check_body(body: dict, version: str) -> None:
    for name in ("model", "messages", "max_tokens"):
        if name not in body:
            raise invalid(f"{name}: Field required")
    allowed = FIELDS | set(SAMPLING if version == "2023-06-01" else ())
    for name in body:
        if name not in allowed:
            raise invalid(f"{name}: Extra inputs are not permitted")
    model = body["model"]
    if model not in MODELS:
        raise Refused(404, "not_found_error", f"model: {model}")
    most, context, thinking, efforts, formats, sampling, forces = MODELS[model]
    for name in SAMPLING:
        if name in body and not sampling:
            raise invalid(f"`{name}` is deprecated for this model.")
    if not 0 <= body.get("temperature", 0) <= 1:
        raise invalid("temperature: range: 0..1")
    if body["max_tokens"] > most:
        raise invalid(
            f"max_tokens: {body['max_tokens']} > {most}, which is the maximum allowed number of output "
            f"tokens for {model}"
        )
    check_system(body.get("system"))
    check_messages(body["messages"], prefill=most < 128_000)
    check_thinking(body, thinking, forces)
    check_output(body.get("output_config", {}), efforts.split(), formats)
    for number, tool in enumerate(body.get("tools", [])):
        check_tool(tool, f"tools.{number}")
    for name in body.get("metadata", {}):
        if name != "user_id":
            raise invalid(f"metadata.{name}: Extra inputs are not permitted")
    if body.get("service_tier", "auto") not in ("auto", "standard_only"):
        raise invalid("service_tier: Input should be 'auto' or 'standard_only'")
    tokens = _Turn(body).tokens
    if tokens > context:
        raise invalid(f"prompt is too long: {tokens} tokens > {context} maximum")


def check_system(system) -> None:
    for number, block in enumerate(system if isinstance(system, list) else []):
        if block.get("type") != "text":
            raise invalid(f"system.{number}.type: Input should be 'text'")
        check_text(block, f"system.{number}")


def check_messages(messages: list, prefill: bool) -> None:
    """Turns alternate, as Claude is trained on them: the API joins two of one role, other endpoints of
    this API refuse them. [P] message_create_params"""
    if not messages:
        raise invalid("messages: at least one message is required")
    calls: list[str] = []
    before = None
    for number, message in enumerate(messages):
        place = f"messages.{number}"
        for name in message.keys() - {"role", "content"}:
            raise invalid(f"{place}.{name}: Extra inputs are not permitted")
        role, content = message["role"], message["content"]
        if role not in ("user", "assistant"):
            raise invalid(f"{place}: role '{role}' is not supported on this model")
        if role == before:
            raise invalid(
                'messages: roles must alternate between "user" and "assistant", but found multiple '
                f'"{role}" roles in a row'
            )
        if number == 0 and role != "user":
            raise invalid('messages: first message must use the "user" role')
        if not content:
            raise invalid(f"{place}: user messages must have non-empty content")
        blocks = content if isinstance(content, list) else []
        for index, block in enumerate(blocks):
            check_block(block, f"{place}.content.{index}", role)
        results = [b["tool_use_id"] for b in blocks if b["type"] == "tool_result"]
        if results != calls:
            raise invalid(
                f"{place}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                f"{', '.join(calls) or results}"
            )
        calls = [b["id"] for b in blocks if b["type"] == "tool_use"]
        before = role
    if before == "assistant" and not prefill:  # [P] message_create_params, “Prefill not supported”
        raise invalid(
            "This model does not support assistant message prefill. The conversation must end with a "
            "user message."
        )


_BLOCKS = {
    "text": {"text", "cache_control", "citations"},
    "image": {"source", "cache_control"},
    "document": {"source", "title", "context", "citations", "cache_control"},
    "tool_use": {"id", "name", "input", "cache_control"},
    "tool_result": {"tool_use_id", "content", "is_error", "cache_control"},
    "thinking": {"thinking", "signature"},
    "redacted_thinking": {"data"},
}


def check_block(block: dict, place: str, role: str) -> None:
    kind = block.get("type")
    if kind not in _BLOCKS:
        raise invalid(
            f"{place}: Input tag '{kind}' found using 'type' does not match any of the expected tags"
        )
    for name in block.keys() - {"type"} - _BLOCKS[kind]:
        raise invalid(f"{place}.{kind}.{name}: Extra inputs are not permitted")
    if kind == "text":
        check_text(block, place)
    elif kind in ("image", "document"):
        check_source(block["source"], f"{place}.{kind}.source", kind)
    elif kind == "tool_use" and not isinstance(block["input"], dict):
        raise invalid(f"{place}.tool_use.input: Input should be a valid dictionary")
    elif kind == "tool_result" and isinstance(block.get("content"), list):
        for index, inner in enumerate(block["content"]):
            check_block(inner, f"{place}.tool_result.content.{index}", role)
    if kind in ("tool_use", "thinking") and role != "assistant":
        raise invalid(f"{place}: `{kind}` blocks can only be in `assistant` messages")


def check_text(block: dict, place: str) -> None:
    if not isinstance(block.get("text"), str):
        raise invalid(f"{place}.text: Input should be a valid string")
    if not block["text"]:
        raise invalid("messages: text content blocks must be non-empty")


def check_source(source: dict, place: str, kind: str) -> None:
    if source["type"] == "url":
        if not source["url"].startswith(("http://", "https://")):
            raise invalid(f"{place}.url: Only HTTPS URLs are supported")
    elif source["type"] == "base64":
        allowed = IMAGES if kind == "image" else ("application/pdf",)
        if source["media_type"] not in allowed:
            raise invalid(f"{place}.base64.media_type: Input should be {' or '.join(allowed)}")
        try:
            base64.b64decode(source["data"], validate=True)
        except binascii.Error:
            raise invalid(f"{place}.base64: invalid base64 data") from None


def check_thinking(body: dict, types: tuple[str, ...], forces: bool) -> None:
    thinking = body.get("thinking", {"type": "disabled"})
    kind = thinking["type"]
    if "thinking" in body and kind not in types:  # [N]
        raise invalid(
            f'"thinking.type.{kind}" is not supported for this model. Use "thinking.type.adaptive" and '
            '"output_config.effort" to control thinking behavior.'
        )
    if kind == "enabled":
        if thinking["budget_tokens"] < 1_024:
            raise invalid(
                "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024"
            )
        if thinking["budget_tokens"] >= body["max_tokens"]:
            raise invalid("`max_tokens` must be greater than `thinking.budget_tokens`.")
    if body.get("tool_choice", {}).get("type") in ("any", "tool"):
        if not forces:
            raise invalid("tool_choice: forced tool use is not supported for this model.")
        if kind in ("enabled", "adaptive"):
            raise invalid("Thinking may not be enabled when tool_choice forces tool use.")
    if kind in ("enabled", "adaptive") and body.get("temperature", 1) != 1:
        raise invalid("`temperature` may only be set to 1 when thinking is enabled.")


def check_output(config: dict, efforts: list[str], formats: bool) -> None:
    for name in config.keys() - {"effort", "format"}:
        raise invalid(f"output_config.{name}: Extra inputs are not permitted")
    if "effort" in config and config["effort"] not in efforts:
        raise invalid("output_config.effort: This model does not support this effort level.")
    if "format" in config:
        if not formats:
            raise invalid("output_config.format: Extra inputs are not permitted")
        check_schema(config["format"]["schema"], "output_config.format.schema")


# [O] with [P] lib/_parse/_transform.py
_UNSUPPORTED = frozenset(
    [
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "maxItems",
        "uniqueItems",
        "patternProperties",
        "oneOf",
        "not",
        "if",
        "minProperties",
        "maxProperties",
    ]
)


def check_schema(schema: dict, place: str) -> None:
    kinds = schema.get("type", [])
    kinds = kinds if isinstance(kinds, list) else [kinds]
    for name in sorted(_UNSUPPORTED & schema.keys()):
        raise invalid(
            f"{place}: For '{kinds[0] if kinds else ''}' type, property '{name}' is not supported"
        )
    if "object" in kinds and schema.get("additionalProperties") is not False:
        raise invalid(
            f"{place}: For 'object' type, 'additionalProperties' must be explicitly set to false"
        )
    if schema.get("minItems", 0) > 1:
        raise invalid(
            f"{place}: For 'array' type, 'minItems' values other than 0 or 1 are not supported"
        )
    for inner in (*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()):
        check_schema(inner, place)
    for inner in schema.get("anyOf", []):
        check_schema(inner, place)
    if "items" in schema:
        check_schema(schema["items"], place)


def check_tool(tool: dict, place: str) -> None:
    if tool.get("type", "custom") != "custom":
        return
    allowed = {"type", "name", "description", "input_schema", "strict", "cache_control"}
    for name in tool.keys() - allowed:
        raise invalid(f"{place}.custom.{name}: Extra inputs are not permitted")
    if not re.fullmatch("[a-zA-Z0-9_-]{1,128}", str(tool.get("name"))):
        raise invalid(
            f"{place}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'"
        )
    if tool.get("input_schema", {}).get("type") != "object":
        raise invalid(f"{place}.custom.input_schema.type: Field required")
    if tool.get("strict"):
        check_schema(tool["input_schema"], f"{place}.custom.input_schema")


# --- what is answered --------------------------------------------------------------------------


class _Turn:
    """The answer to a request, by words in the user's last text:

    "decline" → a refusal, "be long" → cut off at max_tokens, "fill the window" → the context window is
    full, "call" → a call of each tool, "search" → a paused turn, "say nothing" → an empty answer,
    "stop at" → a stop sequence, else the text repeated. "overloaded once", "fail once" (within a stream)
    and "break off once" (before the end of a stream) fail the first time.
    """

    def __init__(self, body: dict):
        self._body = body
        self.text = last_text(body["messages"])
        said = json.dumps([body.get("system"), body["messages"], body.get("tools")])
        self.tokens = max(1, len(re.sub(r'"data": "[^"]*"', "", said)) // 4)

    def message(self, sent: int, read: int, written: int) -> dict:
        content, reason, sequence, details = self._answer()
        thinking = [block for block in content if block["type"] == "thinking"]
        return {
            "id": "msg_01EmulatedMessage",
            "type": "message",
            "role": "assistant",
            "model": self._body["model"],
            "content": content,
            "stop_reason": reason,
            "stop_sequence": sequence,
            "stop_details": details,
            "usage": {
                "input_tokens": sent,
                "cache_creation_input_tokens": written,
                "cache_read_input_tokens": read,
                "cache_creation": {
                    "ephemeral_5m_input_tokens": written,
                    "ephemeral_1h_input_tokens": 0,
                },
                "output_tokens": 20 + 30 * len(thinking),
                "output_tokens_details": {"thinking_tokens": 30 * len(thinking)},
                "service_tier": "standard",  # without a commitment to priority capacity
            },
        }

    def _answer(self) -> tuple[list[dict], str, str | None, dict | None]:
        """(content, stop_reason, stop_sequence, stop_details) [R]"""
        thought = self._thought()
        choice = self._body.get("tool_choice", {"type": "auto"})
        if "decline" in self.text:
            details = {
                "type": "refusal",
                "category": "cyber",
                "explanation": "This request could enable cyber harm.",
            }
            return [], "refusal", None, details
        if choice["type"] in ("any", "tool"):
            tools = self._body["tools"]
            named = [tool for tool in tools if tool["name"] == choice.get("name")]
            return [tool_use(0, (named or tools)[0])], "tool_use", None, None
        if "call" in self.text and self._body.get("tools") and choice["type"] == "auto":
            alone = choice.get("disable_parallel_tool_use")
            tools = self._body["tools"][:1] if alone else self._body["tools"]
            calls = [tool_use(number, tool) for number, tool in enumerate(tools)]
            return [*thought, *calls], "tool_use", None, None
        for words, reason in (
            ("be long", "max_tokens"),
            ("fill the window", "model_context_window_exceeded"),
            ("search", "pause_turn"),
        ):
            if words in self.text:
                return [*thought, text("It begins, but")], reason, None, None
        if "say nothing" in self.text:
            return thought, "end_turn", None, None
        if "stop at" in self.text:
            return [text("up to here")], "stop_sequence", self._body["stop_sequences"][0], None
        form = self._body.get("output_config", {}).get("format")
        if form is not None:
            return [*thought, text(json.dumps(example(form["schema"])))], "end_turn", None, None
        if "nothing but" in json.dumps(self._body.get("system")):
            return [*thought, text('```json\n{"answer": "told"}\n```')], "end_turn", None, None
        return [*thought, text(f"You said: {self.text}")], "end_turn", None, None

    def _thought(self) -> list[dict]:
        if self._body.get("thinking", {}).get("type") not in ("adaptive", "enabled"):
            return []
        return [{"type": "thinking", "thinking": "Let me think.", "signature": "c2lnbmVk"}]


def said(body: dict) -> dict:
    """The message that answers a request, without a cache."""
    turn = _Turn(body)
    return turn.message(turn.tokens, 0, 0)


def text(value: str) -> dict:
    return {"type": "text", "text": value}


def tool_use(number: int, tool: dict) -> dict:
    return {
        "type": "tool_use",
        "id": f"toolu_0{number}",
        "name": tool["name"],
        "input": example(tool["input_schema"]),
    }


def example(schema: dict):
    """A value that fits a schema."""
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return example(schema["anyOf"][0])
    kind = schema.get("type", "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        return {name: example(inner) for name, inner in schema.get("properties", {}).items()}
    if kind == "array":
        return [example(schema.get("items", {}))]
    return {"string": "word", "integer": 7, "number": 1.5, "boolean": True, "null": None}[kind]


def last_text(messages: list) -> str:
    content = messages[-1]["content"]
    if isinstance(content, str):
        return content
    return " ".join(block["text"] for block in content if block["type"] == "text")
