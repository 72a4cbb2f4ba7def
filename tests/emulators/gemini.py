"""Gemini's API on a real socket, as strict as the real one: the native part under /v1beta and /v1 (google-genai
3.6.1 calls /v1 unless told otherwise) and the OpenAI-compatible one under /v1beta/openai.

Sources, read 2026-11-28:
[G] https://ai.google.dev/api/generate-content (fields, finish and block reasons, usageMetadata)
[M] https://ai.google.dev/api/models, …/api/embeddings, …/api/tokens
[O] https://ai.google.dev/gemini-api/docs/openai (fields of the compatible part)
[P] the package google-genai 3.6.1: models.py, errors.py, types.py (paths, enums, what is sent)
[U] unknown fields: https://github.com/zed-industries/zed/issues/44875 and
    https://github.com/gera2ld/ai.nvim/issues/13 (native: the place in snake_case, all of them in one
    message), https://github.com/MinLL/SkyrimNet-GamePlugin/issues/77 and
    https://github.com/Vali-98/ChatterUI/issues/227 (compatible: frequency_penalty, seed, top_k, reasoning;
    the error is an array)
[A] keys: https://github.com/continuedev/continue/issues/10290 (wrong: 400 with API_KEY_INVALID),
    https://github.com/PublicAffairs/openai-gemini/issues/92 (none: 403)
[Q] limits: https://github.com/RooCodeInc/Roo-Code/issues/3883 (QuotaFailure, Help, RetryInfo),
    https://github.com/diegosouzapw/OmniRoute/issues/9504 (a quotaId that says PerDay with a wait of
    seconds), https://github.com/continuedev/continue/issues/9570 (limit: 0)
[F] https://github.com/HKUDS/Vibe-Trading/pull/308 (finish reasons of the compatible part stay as they are)
[B] https://github.com/boldsoftware/sketch/issues/68 ("* GenerateContentRequest.contents…: required oneof …")
Wordings not found in a source: the 404 of an unknown model and the valid roles; they are remembered.

What the model says follows from the last text of the user, so that one endpoint serves whole jobs: see
``said``.
"""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

import gevent
from gevent.pywsgi import WSGIServer

KEY = "AIzaSyEmulated-0123456789abcdef"
# model: (most output tokens, whether it thinks, methods)
GENERATES = ("generateContent", "countTokens", "createCachedContent", "batchGenerateContent")
MODELS: dict[str, tuple[int, bool, tuple[str, ...]]] = {
    "gemini-2.5-flash": (65_536, True, GENERATES),
    "gemini-2.5-pro": (65_536, True, GENERATES),
    "gemini-2.0-flash": (8_192, False, GENERATES),
    "gemini-embedding-001": (
        1,
        False,
        ("embedContent", "countTextTokens", "asyncBatchEmbedContent"),
    ),
}
CACHED_FROM = 1_024  # tokens: https://ai.google.dev/gemini-api/docs/caching
BUSY = "gemini-busy"  # a model that is always over its limit per minute
MODELS[BUSY] = (8_192, False, GENERATES)
STATUS_WORDS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}

# Messages of the API by field [G]: None takes any value, a dict is a message, [dict] a list of messages,
# a text names a message for itself.
_SCHEMA: dict[str, Any] = {
    **dict.fromkeys(
        [
            "type",
            "format",
            "title",
            "description",
            "nullable",
            "enum",
            "max_items",
            "min_items",
            "required",
            "min_properties",
            "max_properties",
            "min_length",
            "max_length",
            "pattern",
            "example",
            "property_ordering",
            "default",
            "minimum",
            "maximum",
        ]
    ),
    "properties": "schemas",
    "any_of": ["schema"],
    "items": "schema",
}
_PART = {
    **dict.fromkeys(
        [
            "text",
            "thought",
            "thought_signature",
            "executable_code",
            "code_execution_result",
            "video_metadata",
            "part_metadata",
            "media_resolution",
        ]
    ),
    "inline_data": {"mime_type": None, "data": None, "display_name": None},
    "file_data": {"mime_type": None, "file_uri": None},
    "function_call": {"id": None, "name": None, "args": None},
    "function_response": dict.fromkeys(
        ["id", "name", "response", "parts", "will_continue", "scheduling"]
    ),
}
_CONTENT = {"role": None, "parts": [_PART]}
_GENERATION = {
    **dict.fromkeys(
        [
            "stop_sequences",
            "response_mime_type",
            "response_json_schema",
            "response_modalities",
            "candidate_count",
            "max_output_tokens",
            "temperature",
            "top_p",
            "top_k",
            "seed",
            "presence_penalty",
            "frequency_penalty",
            "response_logprobs",
            "logprobs",
            "enable_enhanced_civic_answers",
            "speech_config",
            "image_config",
            "media_resolution",
        ]
    ),
    "_response_json_schema": None,
    "response_schema": "schema",
    "thinking_config": {"include_thoughts": None, "thinking_budget": None, "thinking_level": None},
}
_FUNCTION = {
    **dict.fromkeys(
        ["name", "description", "behavior", "parameters_json_schema", "response_json_schema"]
    ),
    "parameters": "schema",
    "response": "schema",
}
_TOOL = {
    **dict.fromkeys(["google_search", "google_search_retrieval", "code_execution", "url_context"]),
    "function_declarations": [_FUNCTION],
}
REQUEST = {
    **dict.fromkeys(["model", "cached_content", "service_tier", "store", "labels"]),
    "system_instruction": _CONTENT,
    "contents": [_CONTENT],
    "tools": [_TOOL],
    "tool_config": None,
    "safety_settings": [{"category": None, "threshold": None, "method": None}],
    "generation_config": _GENERATION,
}
_EMBED = {
    **dict.fromkeys(["model", "task_type", "title", "output_dimensionality"]),
    "content": _CONTENT,
}
_COUNT = {"contents": [_CONTENT], "generate_content_request": REQUEST}
# [O]; the rest of OpenAI's fields is unknown to it [U]
COMPATIBLE = frozenset(
    [
        "model",
        "messages",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "n",
        "stop",
        "stream",
        "stream_options",
        "response_format",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "reasoning_effort",
        "extra_body",
        "user",
    ]
)


class Refused(Exception):
    """An error answer; ``details`` are objects with @type."""

    def __init__(self, status: int, message: str, details: list[dict] | None = None):
        super().__init__(message)
        self.status, self.message, self.details = status, message, details or []

    @property
    def body(self) -> dict:
        error: dict[str, Any] = {"code": self.status, "message": self.message}
        error["status"] = STATUS_WORDS.get(self.status, "UNKNOWN")
        return {"error": {**error, **({"details": self.details} if self.details else {})}}


def typed(kind: str, **fields: Any) -> dict:
    return {"@type": f"type.googleapis.com/google.rpc.{kind}", **fields}


def over_limit(per: str = "Minute", delay: str = "46s") -> Refused:
    """[Q] A limit per Minute or per Day."""
    metric = "generativelanguage.googleapis.com/generate_content_free_tier_requests"
    violation = {
        "quotaMetric": metric,
        "quotaId": f"GenerateRequestsPer{per}PerProjectPerModel-FreeTier",
        "quotaDimensions": {"location": "global", "model": "gemini-2.5-flash"},
        "quotaValue": "10",
    }
    page = "https://ai.google.dev/gemini-api/docs/rate-limits"
    help_link = {"description": "Learn more about Gemini API quotas", "url": page}
    message = (
        "You exceeded your current quota, please check your plan and billing details. For more "
        f"information on this error, head to: {page}.\n* Quota exceeded for metric: {metric}, limit: 10\n"
        f"Please retry in {delay.removesuffix('s')}.1s."
    )
    details = [
        typed("QuotaFailure", violations=[violation]),
        typed("Help", links=[help_link]),
        typed("RetryInfo", retryDelay=delay),
    ]
    return Refused(429, message, details)


class GeminiEmulator:
    """``rpm`` calls are answered, all further ones are refused. ``bodies``, ``headers`` and ``paths`` are
    what came."""

    def __init__(self, rpm: int = 1_000_000):
        self.rpm = rpm
        self.calls = 0
        self.bodies: list[dict] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.answered: dict[str, int] = {}  # by last text
        self._cache: set[str] = set()
        self._server = WSGIServer(("127.0.0.1", 0), self._app, log=None, error_log=None)

    def __enter__(self):
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(timeout=0.1)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def _app(self, environ, start):
        self.calls += 1
        path = environ["PATH_INFO"]
        headers = {
            name[5:].lower().replace("_", "-"): value
            for name, value in environ.items()
            if name.startswith("HTTP_")
        }
        self.headers.append(headers)
        self.paths.append(path)
        compatible = path.startswith("/v1beta/openai/")
        query = dict(parse_qsl(environ["QUERY_STRING"]))
        try:
            check_key(headers, query, compatible)
            raw = environ["wsgi.input"].read()
            route = self._compatible if compatible else self._native
            found = route(environ["REQUEST_METHOD"], path, query, parsed(raw))
        except Refused as refused:
            body = [refused.body] if compatible else refused.body  # [U]
            start(f"{refused.status} X", [("Content-Type", "application/json; charset=UTF-8")])
            return [json.dumps(body).encode()]
        if isinstance(found, dict):
            start("200 OK", [("Content-Type", "application/json; charset=UTF-8")])
            return [json.dumps(found).encode()]
        start("200 OK", [("Content-Type", "text/event-stream")])
        return found

    def _native(self, method: str, path: str, query: dict, body: dict):
        path = re.sub("^/v1(beta)?/", "/", path)
        if (method, path) == ("GET", "/models"):
            return models_page(query)
        found = re.fullmatch(r"/models/([^:/]+)(?::(\w+))?", path)
        if not found or (method == "GET") != (found[2] is None):
            raise Refused(404, f"Requested entity was not found: {path}")
        name, action = found.groups()
        if action is None:
            return described(name) if name in MODELS else unknown_model(name, "generateContent")
        self.bodies.append(body)
        return self._action(name, action, query, body)

    def _action(self, name: str, action: str, query: dict, body: dict):
        if action in ("embedContent", "batchEmbedContents"):
            return embedded(name, body, many=action == "batchEmbedContents")
        if action == "countTokens":
            check_fields(body, _COUNT)
            inner = body.get("generateContentRequest", body)
            return {"totalTokens": tokens(inner), "promptTokensDetails": text_tokens(tokens(inner))}
        if action not in ("generateContent", "streamGenerateContent"):
            unknown_model(name, action)
        check_request(body, name)
        answer = self._generated(body, name)
        if action == "generateContent":
            return answer
        return self._streamed(answer, body, sse=query.get("alt") == "sse")

    def _generated(self, body: dict, model: str) -> dict:
        words = last_text(body)
        self._count(words, model)
        system = json.dumps(body.get("systemInstruction") or body.get("system_instruction") or "")
        size = len(system) // 4
        known = system in self._cache
        self._cache.add(system)
        return said(body, model, cached=size if known and size >= CACHED_FROM else 0)

    def _count(self, words: str, model: str) -> None:
        if model == BUSY or self.rpm <= 0:
            raise over_limit()
        self.rpm -= 1
        nth = self.answered[words] = self.answered.get(words, 0) + 1
        if "day is over" in words:
            raise over_limit("Day", "35640s")
        if "overloaded once" in words and nth == 1:
            raise Refused(503, "The model is overloaded. Please try again later.")

    def _streamed(self, answer: dict, body: dict, sse: bool) -> Iterator[bytes]:
        """Chunks are whole answers with a piece of the text; the last has the finish reason [G]. Without
        alt=sse they are the elements of one JSON array."""
        words = last_text(body)
        first = self.answered.get(words) == 1
        for number, piece in enumerate(in_pieces(answer)):
            if number and first and "break off once" in words:
                return
            if number and first and "fail once" in words:
                refused = Refused(503, "The model is overloaded. Please try again later.")
                yield b"data: " + json.dumps(refused.body).encode() + b"\r\n\r\n"
                return
            text = json.dumps(piece).encode()
            yield b"data: " + text + b"\r\n\r\n" if sse else (b",\r\n" if number else b"[") + text
            gevent.sleep(0)
        if not sse:
            yield b"]"

    # --- the OpenAI-compatible part ------------------------------------------------------------

    def _compatible(self, method: str, path: str, query: dict, body: dict):
        tail = path.removeprefix("/v1beta/openai")
        if (method, tail) == ("GET", "/models"):
            names = [
                {"id": f"models/{name}", "object": "model", "owned_by": "google"} for name in MODELS
            ]
            return {"object": "list", "data": names}
        if method != "POST" or tail not in ("/chat/completions", "/embeddings"):
            raise Refused(404, f"Requested entity was not found: {tail}")
        self.bodies.append(body)
        name = str(body.get("model", "")).removeprefix("models/")
        if tail == "/embeddings":
            return compatible_embeddings(name, body)
        unknown = [("", field) for field in body if field not in COMPATIBLE]
        if unknown:
            raise unknown_fields(unknown)
        native = as_native(body)
        check_request(native, name)
        whole = as_completion(self._generated(native, name), name)
        return compatible_stream(whole, body) if body.get("stream") else whole


# --- what is refused ---------------------------------------------------------------------------


def check_key(headers: dict, query: dict, compatible: bool) -> None:
    """x-goog-api-key or ?key= for the native part, Bearer for the compatible one [A] [O]."""
    bearer = headers.get("authorization", "").removeprefix("Bearer ")
    given = bearer if compatible else headers.get("x-goog-api-key") or query.get("key")
    if given == KEY:
        return
    if not given and not compatible:
        raise Refused(
            403,
            "Method doesn't allow unregistered callers (callers without established identity). Please "
            "use API Key or other form of API consumer identity to call this API.",
        )
    message = "API key not valid. Please pass a valid API key."
    info = typed(
        "ErrorInfo",
        reason="API_KEY_INVALID",
        domain="googleapis.com",
        metadata={"service": "generativelanguage.googleapis.com"},
    )
    raise Refused(400, message, [info, typed("LocalizedMessage", locale="en-US", message=message)])


def parsed(raw: bytes) -> dict:
    try:
        body = json.loads(raw or b"{}")
    except ValueError:
        raise Refused(400, "Invalid JSON payload received. Unexpected token.") from None
    if not isinstance(body, dict):
        raise Refused(400, "Invalid JSON payload received.")
    return body


def snake(name: str) -> str:
    return re.sub("(?<!^)([A-Z])", lambda found: "_" + found[1].lower(), name)


def unknown_in(value: Any, spec: Any, place: str) -> Iterator[tuple[str, str]]:
    """(place, name) of the fields that a message does not have; names in camelCase or snake_case."""
    if isinstance(spec, list):
        for number, item in enumerate(value if isinstance(value, list) else [value]):
            yield from unknown_in(item, spec[0], f"{place}[{number}]")
        return
    if spec == "schemas" and isinstance(value, dict):
        for number, item in enumerate(value.values()):  # a map is a list of key and value [U]
            yield from unknown_in(item, "schema", f"{place}[{number}].value")
        return
    spec = _SCHEMA if spec == "schema" else spec
    if not isinstance(spec, dict) or not isinstance(value, dict):
        return
    for name, inner in value.items():
        if snake(name) in spec:
            yield from unknown_in(inner, spec[snake(name)], f"{place}.{snake(name)}".lstrip("."))
        else:
            yield place, name


def unknown_fields(found: list[tuple[str, str]]) -> Refused:
    """[U]"""
    violations = []
    for place, name in found:
        where = f" at '{place}'" if place else ""
        words = f'Invalid JSON payload received. Unknown name "{name}"{where}: Cannot find field.'
        violations.append({**({"field": place} if place else {}), "description": words})
    message = "\n".join(violation["description"] for violation in violations)
    return Refused(400, message, [typed("BadRequest", fieldViolations=violations)])


def check_fields(body: dict, spec: dict) -> None:
    if found := list(unknown_in(body, spec, "")):
        raise unknown_fields(found)


def unknown_model(name: str, action: str):
    raise Refused(
        404,
        f"models/{name} is not found for API version v1beta, or is not supported for {action}. Call "
        "ListModels to see the list of available models and their supported methods.",
    )


def check_request(body: dict, model: str) -> None:
    if model not in MODELS or "generateContent" not in MODELS[model][2]:
        unknown_model(model, "generateContent")
    check_fields(body, REQUEST)
    contents = body.get("contents")
    if not contents:
        raise Refused(400, "* GenerateContentRequest.contents: contents is not specified\n")
    for number, content in enumerate(contents):
        if content.get("role", "user") not in ("user", "model"):
            raise Refused(400, "Please use a valid role: user, model.")
        parts = content.get("parts") or []
        if not parts:
            raise empty(f"contents[{number}].parts", "contents.parts must not be empty.")
        for place, part in enumerate(parts):
            if not part.keys() - {"thought", "thoughtSignature"}:  # [B]
                raise empty(
                    f"contents[{number}].parts[{place}].data",
                    "required oneof field 'data' must have one initialized field",
                )
    check_generation(config_of(body), MODELS[model])


def empty(place: str, words: str) -> Refused:
    return Refused(400, f"* GenerateContentRequest.{place}: {words}\n")


def config_of(body: dict) -> dict:
    """generationConfig with its names in snake_case."""
    config = body.get("generationConfig") or body.get("generation_config") or {}
    return {snake(name): value for name, value in config.items()}


def check_generation(config: dict, model: tuple) -> None:
    most, thinks, _ = model
    place = "generation_config"
    if not 0 <= config.get("temperature", 1) <= 2:
        raise empty(f"{place}.temperature", "temperature must be in the range [0.0, 2.0].")
    if not 1 <= config.get("max_output_tokens", 1) <= most:
        raise empty(
            f"{place}.max_output_tokens", f"max_output_tokens must be in the range [1, {most}]."
        )
    if "thinking_config" in config and not thinks:
        raise Refused(400, "Thinking is not enabled for this model.")
    schema = config.get("response_schema") or config.get("response_json_schema")
    if schema and config.get("response_mime_type") != "application/json":
        raise Refused(400, "response_mime_type must be application/json when a schema is given.")


# --- what is answered --------------------------------------------------------------------------


def models_page(query: dict) -> dict:
    """[M] 50 a page unless asked otherwise; here at most two, so that a client has to ask again."""
    names, start = list(MODELS), int(query.get("pageToken", 0))
    stop = start + min(int(query.get("pageSize", 50)), 2)
    page = {"models": [described(name) for name in names[start:stop]]}
    return {**page, **({"nextPageToken": str(stop)} if stop < len(names) else {})}


def described(name: str) -> dict:
    most, thinks, methods = MODELS[name]
    return {
        "name": f"models/{name}",
        "version": "001",
        "displayName": name,
        "inputTokenLimit": 1_048_576,
        "outputTokenLimit": most,
        "supportedGenerationMethods": list(methods),
        "thinking": thinks,
    }


def texts(contents: Any) -> list[str]:
    contents = contents if isinstance(contents, list) else [contents]
    return [
        part["text"]
        for content in contents
        if isinstance(content, dict)
        for part in content.get("parts") or []
        if part.get("text")
    ]


def last_text(body: dict) -> str:
    found = texts(body["contents"][-1:])
    return found[-1] if found else ""


def tokens(body: dict) -> int:
    return max(1, len(json.dumps(body)) // 4)


def text_tokens(count: int) -> list[dict]:
    return [{"modality": "TEXT", "tokenCount": count}]


def said(body: dict, model: str, cached: int = 0) -> dict:
    """The answer to a request, by words in the user's last text:

    "block the prompt" → promptFeedback without candidates; "unsafe", "recite", "be long", "forbidden" → a
    finish reason; "say nothing" → no parts; "call" → a call of each function; a schema → an example; else
    the text repeated. "overloaded once", "day is over", "break off once" and "fail once" (within a stream)
    are failures.
    """
    words, config = last_text(body), config_of(body)
    thinking = config.get("thinking_config") or {}
    thinking = {snake(name): value for name, value in thinking.items()}
    thoughts = 30 if MODELS[model][1] and thinking.get("thinking_budget") != 0 else 0
    usage: dict[str, Any] = {"promptTokenCount": tokens(body)}
    if cached:
        usage["cachedContentTokenCount"] = cached
    whole = {"modelVersion": model, "responseId": "emulated-response"}
    if "block the prompt" in words:
        feedback = {"blockReason": "SAFETY", "safetyRatings": [rating(blocked=True)]}
        usage["totalTokenCount"] = usage["promptTokenCount"]
        return {"promptFeedback": feedback, "usageMetadata": usage, **whole}
    parts, reason = parts_for(body, words, config)
    candidate: dict[str, Any] = {"index": 0, "finishReason": reason}
    if thinking.get("include_thoughts") and thoughts and parts:
        parts = [{"text": "Let me think.", "thought": True}, *parts]
    if parts:
        candidate["content"] = {"parts": parts, "role": "model"}
    elif reason == "STOP":
        candidate["content"] = {"role": "model"}
    if reason == "SAFETY":
        candidate["safetyRatings"] = [rating(blocked=True)]
    spent = 20 if parts else 0
    if spent:
        usage["candidatesTokenCount"] = spent
    if thoughts:
        usage["thoughtsTokenCount"] = thoughts
    usage["totalTokenCount"] = usage["promptTokenCount"] + spent + thoughts
    usage["promptTokensDetails"] = text_tokens(usage["promptTokenCount"])
    return {"candidates": [candidate], "usageMetadata": usage, **whole}


def rating(blocked: bool) -> dict:
    return {
        "category": "HARM_CATEGORY_DANGEROUS_CONTENT",
        "probability": "HIGH",
        **({"blocked": True} if blocked else {}),
    }


def parts_for(body: dict, words: str, config: dict) -> tuple[list[dict], str]:
    """(parts, finishReason)"""
    for part, reason in (
        ("unsafe", "SAFETY"),
        ("recite", "RECITATION"),
        ("forbidden", "PROHIBITED_CONTENT"),
    ):
        if part in words:
            return [], reason
    if "be long" in words:
        return [{"text": "It begins, but"}], "MAX_TOKENS"
    if "say nothing" in words:
        return [], "STOP"
    functions = [
        function
        for tool in body.get("tools") or []
        for function in tool.get("functionDeclarations") or tool.get("function_declarations") or []
    ]
    if functions and "call" in words:
        calls = [{"functionCall": {"name": f["name"], "args": {"a": "word"}}} for f in functions]
        return [{**calls[0], "thoughtSignature": "c2lnbmVk"}, *calls[1:]], "STOP"
    schema = config.get("response_schema") or config.get("response_json_schema")
    if schema:
        return [{"text": json.dumps(example(schema))}], "STOP"
    if config.get("response_mime_type") == "application/json":
        return [{"text": '{"word": "OK"}'}], "STOP"
    return [{"text": f"You said: {words}"}], "STOP"


def example(schema: dict) -> Any:
    """A value that fits a schema; types in either case."""
    if "enum" in schema:
        return schema["enum"][0]
    kind = str(schema.get("type", "string")).lower()
    if kind == "object":
        return {name: example(inner) for name, inner in schema.get("properties", {}).items()}
    if kind == "array":
        return [example(schema.get("items", {}))]
    return {"string": "word", "integer": 7, "number": 1.5, "boolean": True}.get(kind)


def in_pieces(answer: dict) -> Iterator[dict]:
    """An answer as chunks: usage stands in each, the finish reason in the last."""
    candidates = answer.get("candidates") or []
    parts = candidates[0].get("content", {}).get("parts", []) if candidates else []
    for part in parts:
        piece = {"index": 0, "content": {"parts": [part], "role": "model"}}
        yield {**answer, "candidates": [piece]}
    if candidates:
        last = {"index": 0, "content": {"parts": [{"text": ""}], "role": "model"}, **candidates[0]}
        last["content"] = {"parts": [{"text": ""}], "role": "model"}
        yield {**answer, "candidates": [last]}
    else:
        yield answer


def embedded(name: str, body: dict, many: bool) -> dict:
    if name not in MODELS or "embedContent" not in MODELS[name][2]:
        unknown_model(name, "embedContent")
    asked = body.get("requests") if many else [body]
    check_fields(body, {"requests": [_EMBED]} if many else _EMBED)
    if not asked:
        raise Refused(400, "* BatchEmbedContentsRequest.requests: requests is not specified\n")
    found = [{"values": vector(inner)} for inner in asked]
    return {"embeddings": found} if many else {"embedding": found[0]}


def vector(asked: dict) -> list[float]:
    size = asked.get("outputDimensionality") or asked.get("output_dimensionality") or 2
    return [0.5] * int(size)


# --- the OpenAI-compatible part ----------------------------------------------------------------


def as_native(body: dict) -> dict:
    """A chat request as the native one that the emulator answers."""
    contents, system = [], []
    for message in body.get("messages") or []:
        content = message.get("content") or ""
        text = content if isinstance(content, str) else " ".join(p.get("text", "") for p in content)
        if message["role"] in ("system", "developer"):
            system.append({"text": text})
        elif message["role"] in ("user", "assistant", "tool"):
            role = "model" if message["role"] == "assistant" else "user"
            contents.append({"role": role, "parts": [{"text": text or " "}]})
        else:
            raise Refused(400, "Invalid role. Valid roles are: system, user, assistant, tool.")
    native: dict[str, Any] = {"contents": contents}
    if system:
        native["systemInstruction"] = {"parts": system}
    if body.get("tools"):
        functions = [{"name": tool["function"]["name"]} for tool in body["tools"]]
        native["tools"] = [{"functionDeclarations": functions}]
    native["generationConfig"] = compatible_config(body)
    return native


def compatible_config(body: dict) -> dict:
    names = {
        "max_tokens": "maxOutputTokens",
        "max_completion_tokens": "maxOutputTokens",
        "temperature": "temperature",
    }
    config = {names[name]: body[name] for name in names if body.get(name) is not None}
    form = body.get("response_format") or {}
    if form.get("type") in ("json_schema", "json_object"):
        config["responseMimeType"] = "application/json"
    if form.get("type") == "json_schema":
        config["responseJsonSchema"] = form["json_schema"]["schema"]
    if body.get("reasoning_effort") == "none":
        config["thinkingConfig"] = {"thinkingBudget": 0}
    return config


def as_completion(answer: dict, model: str) -> dict:
    """Thoughts are in total_tokens and not in completion_tokens; reasons that OpenAI has no word for [F]."""
    candidates = answer.get("candidates") or [{"finishReason": "PROMPT"}]
    parts = candidates[0].get("content", {}).get("parts") or []
    text = "".join(part["text"] for part in parts if part.get("text") and not part.get("thought"))
    calls = [part["functionCall"] for part in parts if "functionCall" in part]
    message: dict[str, Any] = {"role": "assistant"}
    if text:
        message["content"] = text
    if calls:
        message["tool_calls"] = [
            {
                "id": f"function-call-{number}",
                "type": "function",
                "function": {"name": call["name"], "arguments": json.dumps(call["args"])},
            }
            for number, call in enumerate(calls)
        ]
    reason = candidates[0]["finishReason"]
    known = {"STOP": "tool_calls" if calls else "stop", "MAX_TOKENS": "length"}
    choice = {"index": 0, "message": message, "finish_reason": known.get(reason, reason)}
    usage = answer["usageMetadata"]
    return {
        "id": "emulated-response",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": model,
        "choices": [choice],
        "usage": {
            "prompt_tokens": usage["promptTokenCount"],
            "completion_tokens": usage.get("candidatesTokenCount", 0),
            "total_tokens": usage["totalTokenCount"],
        },
    }


def compatible_stream(whole: dict, body: dict) -> Iterator[bytes]:
    head = {**whole, "object": "chat.completion.chunk"}
    usage = head.pop("usage")
    choice = whole["choices"][0]
    delta = {"role": "assistant", **choice["message"]}
    for number, call in enumerate(delta.get("tool_calls", [])):
        call["index"] = number
    last = {"index": 0, "delta": delta, "finish_reason": choice["finish_reason"]}
    chunk: dict[str, Any] = {**head, "choices": [last]}
    if (body.get("stream_options") or {}).get("include_usage"):
        chunk["usage"] = usage
    yield b"data: " + json.dumps(chunk).encode() + b"\n\n"
    yield b"data: [DONE]\n\n"


def compatible_embeddings(name: str, body: dict) -> dict:
    unknown = body.keys() - {"model", "input", "encoding_format", "dimensions", "user"}
    if unknown:
        raise unknown_fields([("", field) for field in sorted(unknown)])
    given = body["input"] if isinstance(body["input"], list) else [body["input"]]
    made = embedded(name, {"requests": [{} for _ in given]}, many=True)["embeddings"]
    data = [
        {"object": "embedding", "index": place, "embedding": vector["values"]}
        for place, vector in enumerate(made)
    ]
    return {
        "object": "list",
        "data": data,
        "model": name,
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
    }
