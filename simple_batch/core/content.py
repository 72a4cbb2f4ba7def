"""The readable text in requests and answers, as bytes of JSON."""

import json
from typing import Any, NamedTuple, NotRequired, TypedDict

from . import reasoning
from .domain import IMAGE
from .json_indent import indented
from .json_pieces import beginning, decoded
from .json_pieces import with_breaks as with_breaks

PREVIEW = 200
SHOWN = 100_000  # bytes of raw text that a page shows of what is too large for it


class MessageText(TypedDict):
    """A message of a request as one text."""

    role: str
    text: str


class ContentPart(TypedDict):
    """A part of a message. ``kind`` is text, image (its text is the URL), picture (the file of an image
    that was beside the table), call (the function's name with its arguments) or other (JSON)."""

    kind: str
    text: str
    name: NotRequired[str]  # of the function of a call
    arguments: NotRequired[str]  # of a call, mostly JSON


class MessageParts(TypedDict):
    """A message of a request with its parts in order."""

    role: str
    parts: list[ContentPart]


class Readable(NamedTuple):
    """JSON as a page shows it: decoded and indented. Of what has too many values it is the beginning,
    and ``cut`` the bytes of the whole; else None."""

    data: Any
    text: str
    cut: int | None


def loaded(raw: bytes | None) -> Any:
    """JSON as Python values (see json_pieces.decoded); None where there is none or it cannot be read."""
    if not raw:
        return None
    try:
        return decoded(bytes(raw))
    except (ValueError, RecursionError):
        return None


def readable(raw: bytes | None) -> Readable:
    """JSON for a page, whatever its size."""
    raw = bytes(raw or b"")
    head = beginning(raw)
    if head is not None:
        return Readable(loaded(head), raw[:SHOWN].decode("utf-8", "ignore"), len(raw))
    data = _whole(raw)
    if data is None:
        return Readable(None, raw.decode("utf-8", "replace"), None)
    try:
        text = indented(raw.decode())
    except UnicodeDecodeError:
        text = json.dumps(data, ensure_ascii=False, indent=2)
    return Readable(data, text, None)


def _whole(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def too_large(raw: bytes) -> bool:
    """Whether a page shows only the beginning of this JSON."""
    return beginning(raw) is not None


def pretty(raw: bytes | None) -> str:
    """JSON indented for reading; the bytes as they are where they cannot be read, and the first of them
    where there are too many values."""
    return readable(raw).text


def content_text(content: object) -> str:
    """The text of a message's content: a string, or parts of which others than text are named."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = []
    for part in with_breaks(content):
        if isinstance(part, dict):
            kind = part.get("type", "part")
            words = (part.get(name) for name in ("text", "refusal"))
            parts.append(next((text for text in words if isinstance(text, str)), f"[{kind}]"))
    return "\n".join(parts)


def messages_of(body: object) -> list[MessageText]:
    """The messages of a decoded request body, whatever endpoint it is for."""
    if not isinstance(body, dict):
        return []
    messages = _chat_messages(body)
    if messages is not None:
        return [
            {"role": role, "text": _message_text(message)}
            for role, message in with_breaks(messages)
        ]
    given = body.get("input", body.get("prompt"))
    if given is None:
        return []
    before = body.get("instructions")
    text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
    user: MessageText = {"role": "user", "text": text}
    return (
        [{"role": "system", "text": before}, user] if before and isinstance(before, str) else [user]
    )


def _chat_messages(body: object) -> list[tuple[str, dict[str, Any]]] | None:
    """(role, message) of a body for chat completions, or for Anthropic's Messages API, whose system prompt
    stands beside the messages; None of another."""
    messages = body.get("messages") if isinstance(body, dict) else None
    if not isinstance(body, dict) or not isinstance(messages, list):
        return None
    system = body.get("system")
    before = [("system", {"content": system})] if isinstance(system, str | list) and system else []
    return before + [
        (str(message.get("role", "")), message)
        for message in with_breaks(messages)
        if isinstance(message, dict)
    ]


def _first_choice(response: dict[str, Any]) -> dict[str, Any] | None:
    choices = response.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else None


def _message_text(message: dict[str, Any]) -> str:
    text = content_text(message.get("content"))
    calls = message.get("tool_calls")
    return text or (json.dumps(calls, ensure_ascii=False, indent=2) if calls else "")


def parts_of(message: object) -> list[ContentPart]:
    """The parts of one message, or of one item of a responses answer, in order."""
    if not isinstance(message, dict):
        return []
    content = message.get("content")
    parts: list[ContentPart] = (
        [_part(part) for part in content] if isinstance(content, list) else []
    )
    if isinstance(content, str) and content:
        parts.append({"kind": "text", "text": content})
    if message.get("refusal"):
        parts.append({"kind": "text", "text": str(message["refusal"])})
    calls = message.get("tool_calls")
    legacy = message.get("function_call")
    for call in [*(calls if isinstance(calls, list) else ()), *([legacy] if legacy else ())]:
        parts.append(_call(call))
    images = message.get("images")  # OpenRouter: what a model has drawn
    return parts + [_part(image) for image in (images if isinstance(images, list) else ())]


def _part(part: object) -> ContentPart:
    if isinstance(part, dict):
        if isinstance(part.get("text"), str):
            return {"kind": "text", "text": part["text"]}
        image = part.get("image_url")
        url = image.get("url") if isinstance(image, dict) else image
        if isinstance(url, str) and url.startswith(IMAGE):
            return {"kind": "picture", "text": url.removeprefix(IMAGE)}
        if isinstance(url, str):
            return {"kind": "image", "text": url}
        return _block(part)
    return {"kind": "other", "text": json.dumps(part, ensure_ascii=False)}


def _block(block: dict[str, Any]) -> ContentPart:
    """An image or a tool call as the Messages API has them
    (https://platform.claude.com/docs/en/api/messages)."""
    source = block.get("source")
    if block.get("type") == "image" and isinstance(source, dict):
        url = source.get("url")
        if source.get("type") == "base64":
            url = f"data:{source.get('media_type')};base64,{source.get('data')}"
        if isinstance(url, str):
            return {"kind": "image", "text": url}
    if block.get("type") == "tool_use":
        call = {"name": block.get("name"), "arguments": block.get("input")}
        return _call(call)
    return {"kind": "other", "text": json.dumps(block, ensure_ascii=False)}


def _call(call: object) -> ContentPart:
    found = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(found, dict):
        return {"kind": "other", "text": json.dumps(call, ensure_ascii=False)}
    arguments = found.get("arguments", found.get("input", ""))
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    name = str(found.get("name", ""))
    return {"kind": "call", "text": f"{name}({arguments})", "name": name, "arguments": arguments}


def conversation_of(body: object) -> list[MessageParts]:
    """The messages of a decoded request body with their parts."""
    messages = _chat_messages(body)
    if messages is not None:
        return [{"role": role, "parts": parts_of(message)} for role, message in messages]
    return [
        {"role": message["role"], "parts": [{"kind": "text", "text": message["text"]}]}
        for message in messages_of(body)
    ]


def answer_parts(response: object) -> list[ContentPart]:
    """The parts of a decoded answer, of its first choice, without reasoning."""
    if not isinstance(response, dict):
        return []
    choice = _first_choice(response)
    if choice is not None and isinstance(choice.get("message"), dict):
        return _answer_parts(choice["message"])
    output = response.get("output")
    if isinstance(output, list):
        parts: list[ContentPart] = []
        for item in output:
            if isinstance(item, dict) and item.get("type") in ("function_call", "custom_tool_call"):
                parts.append(_call(item))
            elif isinstance(item, dict) and not reasoning.is_reasoning(item):
                parts += _answer_parts(item)
        return parts
    pictures = _pictures(response)
    if pictures:
        return [{"kind": "image", "text": url} for url in pictures]
    text = answer_of(response)
    return [{"kind": "text", "text": text}] if text else []


def _answer_parts(message: dict[str, Any]) -> list[ContentPart]:
    """The parts of a message of an answer, without reasoning."""
    parts = parts_of({**message, "content": _without_reasoning(message.get("content"))})
    text = "\n".join(part["text"] for part in parts if part["kind"] == "text")
    answer = reasoning.divide(text).answer
    if answer == text:
        return parts
    others = [part for part in parts if part["kind"] != "text"]
    return [{"kind": "text", "text": answer}, *others] if answer else others


def _without_reasoning(content: object) -> object:
    if not isinstance(content, list):
        return content
    return [part for part in with_breaks(content) if not reasoning.is_reasoning(part)]


def prompt_of(body: object) -> str:
    """The text of the last message of the user."""
    messages = messages_of(body)
    prompts = [message["text"] for message in messages if message["role"] == "user"]
    return (prompts or [message["text"] for message in messages] or [""])[-1]


def answer_of(response: object) -> str:
    """The text of a decoded answer of any of the endpoints, without reasoning; empty where it has
    none. Without a text it is the refusal, or the calls of tools as JSON."""
    if not isinstance(response, dict):
        return ""
    choice = _first_choice(response)
    if choice is not None:
        message = choice.get("message")
        if isinstance(message, dict):
            return _answer_text(message)
        return reasoning.divide(str(choice.get("text") or "")).answer
    output = response.get("output")
    if isinstance(output, list):
        return _output_text(output)
    results = response.get("results")
    if isinstance(results, list):
        return "\n".join(
            _flagged(result) for result in with_breaks(results) if isinstance(result, dict)
        )
    return "\n".join(url for url in _pictures(response) if not url.startswith("data:"))


def _answer_text(message: dict[str, Any]) -> str:
    text = content_text(_without_reasoning(message.get("content")))
    answer = reasoning.divide(text).answer
    if answer:
        return answer
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal:
        return refusal
    calls = message.get("tool_calls") or message.get("function_call")
    return json.dumps(calls, ensure_ascii=False, indent=2) if calls else ""


def _output_text(output: list[Any]) -> str:
    items = [
        item
        for item in with_breaks(output)
        if isinstance(item, dict) and not reasoning.is_reasoning(item)
    ]
    text = "\n".join(filter(None, map(_answer_text, items)))
    calls = [item for item in items if item.get("type") in ("function_call", "custom_tool_call")]
    return text or (json.dumps(calls, ensure_ascii=False, indent=2) if calls else "")


def _flagged(result: dict[str, Any]) -> str:
    """What a moderation says of one input: the categories that it falls into."""
    if not result.get("flagged"):
        return "not flagged"
    categories = result.get("categories")
    names = (
        [name for name, hit in categories.items() if hit] if isinstance(categories, dict) else []
    )
    return f"flagged: {', '.join(names)}" if names else "flagged"


def _pictures(response: dict[str, Any]) -> list[str]:
    """URLs of the images of an answer, data: URLs of those that are in it."""
    data = response.get("data")
    urls = []
    for item in with_breaks(data) if isinstance(data, list) else ():
        if isinstance(item, dict) and isinstance(item.get("url"), str):
            urls.append(item["url"])
        elif isinstance(item, dict) and isinstance(item.get("b64_json"), str):
            kind = response.get("output_format")
            kind = kind if kind in ("jpeg", "webp") else "png"
            urls.append(f"data:image/{kind};base64,{item['b64_json']}")
    return urls


def reasoning_of(response: object) -> str:
    """All that a model reasoned before its answer, as far as the provider delivers it."""
    if not isinstance(response, dict):
        return ""
    choice = _first_choice(response)
    if choice is not None:
        message = choice.get("message")
        message = (
            message if isinstance(message, dict) else {**choice, "content": choice.get("text")}
        )
        return reasoning.joined(_reasoning_texts(message))
    output = response.get("output")
    items = output if isinstance(output, list) else ()
    texts = (_reasoning_texts(item) for item in with_breaks(items) if isinstance(item, dict))
    return reasoning.joined(text for found in texts for text in found)


def _reasoning_texts(message: dict[str, Any]) -> list[str]:
    if reasoning.is_reasoning(message):
        return [reasoning.text_of(message)]
    text = content_text(_without_reasoning(message.get("content")))
    return [*reasoning.of_message(message), reasoning.divide(text).reasoning]


def shown(value: object) -> str:
    """A decoded JSON value for people: a text without quotes, the rest as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)


def short(text: str, length: int = PREVIEW) -> str:
    """One line of at most ``length`` characters."""
    text = " ".join(text[: length * 3].split())
    return text if len(text) <= length else text[: length - 1] + "…"
