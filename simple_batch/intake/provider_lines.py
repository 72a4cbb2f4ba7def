"""Lines of other providers' batch files: their paths, and their bodies as chat completions.

Sources: the batch documentation of Azure OpenAI (url ``/chat/completions``), Zhipu (``/v4/chat/completions``),
DashScope, Mistral and Ark (custom_id and body alone), Anthropic (``custom_id`` and ``params``: Message
Batches) and Gemini (``key`` and ``request``). What has no counterpart is refused by name, never left out.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from ..core.json_faults import Path, kind_of_value
from ..core.json_pieces import exceeds
from ..core.messages import translatable
from .request_checks import Bad, fields_of, text_in

CHAT_URL = "/v1/chat/completions"
MOST_VALUES = 300_000  # of a line that is rewritten: decoding them takes about 0.1 s
_ENDPOINT = re.compile(
    r"(?:https?://[^/?#\s]+)?"
    r"(?:/(?:api|openai|compatible-mode|paas|inference|v\d+(?:beta\d*|alpha\d*)?|deployments/[^/\s]+))*+"
    r"/(chat/completions|completions|embeddings|responses|moderations|images/generations|messages)/?"
    r"(?:\?\S*)?"
)
_BY_FIELD = {"messages": CHAT_URL, "prompt": "/v1/completions"}
_ANTHROPIC_KEPT = frozenset(
    {"model", "max_tokens", "temperature", "top_p", "top_k", "stream", "metadata"}
)
_GEMINI_CONFIG = {
    "temperature": "temperature",
    "topP": "top_p",
    "topK": "top_k",
    "maxOutputTokens": "max_tokens",
    "stopSequences": "stop",
    "candidateCount": "n",
    "seed": "seed",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
}
_GEMINI_CONFIG |= {
    re.sub("[A-Z]", lambda found: "_" + found[0].lower(), name): ours
    for name, ours in _GEMINI_CONFIG.items()
}
_encode = msgspec.json.Encoder().encode


def endpoint_of(url: str) -> str | None:
    """OpenAI's path of the endpoint that a provider's path, or address, names; None for another."""
    found = _ENDPOINT.fullmatch(url.strip())
    return None if found is None else "/v1/" + found[1]


def endpoint_of_body(body: Mapping[str, msgspec.Raw]) -> str | None:
    """The endpoint that a body without a url can only be for."""
    found = {url for name, url in _BY_FIELD.items() if name in body}
    return found.pop() if len(found) == 1 else None


def is_foreign(fields: Mapping[str, msgspec.Raw]) -> bool:
    """Whether it is a line of Anthropic's or Gemini's kind."""
    return "body" not in fields and any(
        bytes(fields.get(name, b""))[:1] == b"{" for name in ("params", "request")
    )


def rewritten(fields: Mapping[str, msgspec.Raw]) -> tuple[str, bytes]:
    """(custom_id, the body of a chat completion) of a line of Anthropic's or Gemini's kind. Raises
    Bad."""
    is_gemini = "request" in fields
    name, place = ("key", "request") if is_gemini else ("custom_id", "params")
    if name not in fields:
        raise Bad(
            "missing_required_parameter",
            translatable('"%(name)s" is missing in this batch line.', name=name),
            name,
            (),
        )
    raw = bytes(fields[place])
    if exceeds(raw, MOST_VALUES):
        raise Bad(
            "invalid_request",
            translatable(
                "more than %(most)s values: write the line as one of OpenAI's.",
                most=f"{MOST_VALUES:,}",
            ),
            place,
        )
    inside = fields_of(raw, f'"{place}"', (place,))
    body = _gemini(inside) if is_gemini else _anthropic(inside)
    return text_in(fields[name], name), _encode(body)


# --- Anthropic ------------------------------------------------------------------------------------


def _anthropic(params: Mapping[str, msgspec.Raw]) -> dict[str, Any]:
    body: dict[str, Any] = {}
    messages: list[Any] = []
    for name, raw in params.items():
        path: Path = ("params", name)
        if name in _ANTHROPIC_KEPT:
            body[name] = raw
        elif name == "stop_sequences":
            body["stop"] = raw
        elif name == "system":
            content = _anthropic_content(_value(raw), path)
            messages.insert(0, {"role": "system", "content": content})
        elif name == "messages":
            messages += _anthropic_messages(raw, path)
        else:
            raise _of_messages_api(name, path)
    if "messages" not in params:
        raise _missing("messages", ("params",))
    return {**body, "messages": messages}


def _anthropic_messages(raw: msgspec.Raw, path: Path) -> list[Any]:
    return [
        {
            **message,
            "content": _anthropic_content(message.get("content"), (*path, number, "content")),
        }
        for number, message in enumerate(_objects(raw, path))
    ]


def _anthropic_content(content: Any, path: Path) -> Any:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise _no_counterpart("content", path)
    return [_anthropic_part(part, (*path, number)) for number, part in enumerate(content)]


def _anthropic_part(part: Any, path: Path) -> Any:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text":
        return part
    source = part.get("source") if kind == "image" else None
    if isinstance(source, dict) and source.get("type") == "base64":
        url = f"data:{source.get('media_type')};base64,{source.get('data')}"
        return {"type": "image_url", "image_url": {"url": url}}
    if isinstance(source, dict) and source.get("type") == "url":
        return {"type": "image_url", "image_url": {"url": source.get("url")}}
    raise _of_messages_api(str(kind), path)


# --- Gemini ---------------------------------------------------------------------------------------


def _gemini(request: Mapping[str, msgspec.Raw]) -> dict[str, Any]:
    body: dict[str, Any] = {}
    messages: list[Any] = []
    for name, raw in request.items():
        path: Path = ("request", name)
        if name == "model":
            body["model"] = raw
        elif name in ("systemInstruction", "system_instruction"):
            messages.insert(0, {"role": "system", "content": _gemini_parts(_value(raw), path)})
        elif name == "contents":
            messages += _gemini_messages(raw, path)
        elif name in ("generationConfig", "generation_config"):
            body |= _gemini_config(raw, path)
        else:
            raise _no_counterpart(name, path)
    if "contents" not in request:
        raise _missing("contents", ("request",))
    return {**body, "messages": messages}


def _gemini_messages(raw: msgspec.Raw, path: Path) -> list[Any]:
    roles = {"model": "assistant", "user": "user", None: "user"}
    made = []
    for number, content in enumerate(_objects(raw, path)):
        role = content.get("role")
        if role is not None and role not in roles:
            raise _no_counterpart(str(role), (*path, number, "role"))
        made.append({"role": roles[role], "content": _gemini_parts(content, (*path, number))})
    return made


def _gemini_parts(content: Any, path: Path) -> Any:
    parts = content.get("parts") if isinstance(content, dict) else None
    if isinstance(parts, dict):
        parts = [parts]
    if not isinstance(parts, list) or not parts:
        raise _missing("parts", path)
    made = [_gemini_part(part, (*path, "parts", number)) for number, part in enumerate(parts)]
    return made[0]["text"] if len(made) == 1 and "text" in made[0] else made


def _gemini_part(part: Any, path: Path) -> dict[str, Any]:
    if isinstance(part, dict) and isinstance(part.get("text"), str) and len(part) == 1:
        return {"type": "text", "text": part["text"]}
    data = part.get("inlineData", part.get("inline_data")) if isinstance(part, dict) else None
    if isinstance(data, dict):
        kind = data.get("mimeType", data.get("mime_type"))
        url = f"data:{kind};base64,{data.get('data')}"
        return {"type": "image_url", "image_url": {"url": url}}
    raise _no_counterpart(next(iter(part), "") if isinstance(part, dict) else "part", path)


def _gemini_config(raw: msgspec.Raw, path: Path) -> dict[str, Any]:
    found = {}
    for name, value in fields_of(bytes(raw), f'"{path[-1]}"', path).items():
        if name not in _GEMINI_CONFIG:
            raise _no_counterpart(name, (*path, name))
        found[_GEMINI_CONFIG[name]] = value
    return found


# --- both -----------------------------------------------------------------------------------------


def _value(raw: msgspec.Raw) -> Any:
    return msgspec.json.decode(raw)


def _objects(raw: msgspec.Raw, path: Path) -> list[dict[str, Any]]:
    """A list of objects. Raises Bad for anything else."""
    if bytes(raw)[:1] != b"[":
        raise Bad(
            "invalid_request",
            translatable(
                "“%(name)s” %(what)s.",
                name=path[-1],
                what=translatable(
                    "must be %(wanted)s; here it is %(here)s",
                    wanted=translatable("a list"),
                    here=kind_of_value(bytes(raw)),
                ),
            ),
            path=path,
        )
    found = _value(raw)
    for number, item in enumerate(found):
        if not isinstance(item, dict):
            text = translatable("message %(number)s must be an object.", number=number + 1)
            raise Bad("invalid_request", text, path=(*path, number))
    return found


def _missing(name: str, path: Path) -> Bad:
    return Bad(
        "invalid_request",
        translatable('"%(name)s" is missing in "%(place)s".', name=name, place=path[0]),
        path=path,
    )


def _of_messages_api(name: str, path: Path) -> Bad:
    return Bad(
        "invalid_request",
        translatable(
            "“%(name)s” has no counterpart in a chat completion. Give the line “method”: “POST”, “url”: "
            "“/v1/messages” and “body” in place of “params”, and it is sent as it is.",
            name=name[:80],
        ),
        path=path,
    )


def _no_counterpart(name: str, path: Path) -> Bad:
    return Bad(
        "invalid_request",
        translatable(
            "“%(name)s” has no counterpart in a chat completion: remove it, or write the line as one "
            "of OpenAI's.",
            name=name[:80],
        ),
        path=path,
    )
