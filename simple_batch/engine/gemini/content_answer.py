"""Gemini's GenerateContentResponse as a chat completion.

Sources, read 2026-11-28: https://ai.google.dev/api/generate-content (Candidate, FinishReason, PromptFeedback,
UsageMetadata: candidatesTokenCount is without thoughtsTokenCount, promptTokenCount with
cachedContentTokenCount); numbers that are 0 are left out.
"""

from typing import Any

import msgspec

from ...core.clock import now_ms
from ..surrogates import mended

_FILTERED = frozenset(
    [
        "SAFETY",
        "RECITATION",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
        "MODEL_ARMOR",
        "LANGUAGE",
    ]
)
_FINISH_REASONS = {"STOP": "stop", "MAX_TOKENS": "length"}
# numbers stay as they are written
_decode = msgspec.json.Decoder(float_hook=lambda text: msgspec.Raw(text.encode())).decode
_encode = msgspec.json.Encoder().encode

Fields = dict[str, Any]


def chat_completion(body: bytes) -> bytes:
    """An answer as a chat completion; anything else as it is."""
    try:
        answer = _decode(mended(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body
    if not isinstance(answer, dict) or answer.get("error"):
        return body
    return _encode(_completion(answer))


def _completion(answer: Fields) -> Fields:
    candidates = answer.get("candidates")
    given = [one for one in candidates or [] if isinstance(one, dict)]
    choices = [_choice(one, number) for number, one in enumerate(given)]
    feedback = answer.get("promptFeedback")
    if not choices and isinstance(feedback, dict) and feedback.get("blockReason"):
        choices = [_blocked(feedback)]
    return {
        "id": answer.get("responseId"),
        "object": "chat.completion",
        "created": now_ms() // 1000,
        "model": answer.get("modelVersion"),
        "choices": choices,
        "usage": _usage(answer.get("usageMetadata")),
    }


def _blocked(feedback: Fields) -> Fields:
    """The prompt was not let through to the model."""
    told = feedback.get("blockReasonMessage") or feedback["blockReason"]
    message = {"role": "assistant", "content": "", "refusal": str(told)}
    return {"index": 0, "message": message, "logprobs": None, "finish_reason": "content_filter"}


def _choice(candidate: Fields, number: int) -> Fields:
    message = _message(candidate)
    reason = str(candidate.get("finishReason") or "").upper()
    finished = "content_filter" if reason in _FILTERED else _FINISH_REASONS.get(reason)
    if finished == "stop" and "tool_calls" in message:
        finished = "tool_calls"
    return {
        "index": candidate.get("index", number),
        "message": message,
        "logprobs": _logprobs(candidate.get("logprobsResult")),
        "finish_reason": finished or reason.lower() or None,
    }


def _message(candidate: Fields) -> Fields:
    content = candidate.get("content")
    parts = content.get("parts") if isinstance(content, dict) else None
    given = [part for part in parts or [] if isinstance(part, dict)]
    said = [part for part in given if not part.get("thought")]
    text = "".join(str(part.get("text") or "") for part in said)
    thoughts = "".join(str(part.get("text") or "") for part in given if part.get("thought"))
    calls = [_call(part, number) for number, part in enumerate(said) if "functionCall" in part]
    message: Fields = {
        "role": "assistant",
        "content": text or (None if calls else ""),
        "refusal": None,
    }
    if thoughts:
        message["reasoning_content"] = thoughts
    if calls:
        message["tool_calls"] = calls
    images = [
        _image(part["inlineData"]) for part in said if isinstance(part.get("inlineData"), dict)
    ]
    if images:
        message["images"] = images
    return message


def _call(part: Fields, number: int) -> Fields:
    call = part["functionCall"] if isinstance(part["functionCall"], dict) else {}
    arguments = _encode(call.get("args") or {}).decode()
    made: Fields = {
        "id": call.get("id") or f"call_{number}",
        "type": "function",
        "function": {"name": call.get("name"), "arguments": arguments},
    }
    if part.get("thoughtSignature"):  # has to be sent back with the result
        made["extra_content"] = {"google": {"thought_signature": part["thoughtSignature"]}}
    return made


def _image(data: Fields) -> Fields:
    url = f"data:{data.get('mimeType')};base64,{data.get('data')}"
    return {"type": "image_url", "image_url": {"url": url}}


def _logprobs(result: Any) -> Fields | None:
    if not isinstance(result, dict):
        return None
    top = [one.get("candidates") or [] for one in result.get("topCandidates") or []]
    chosen = [_token(one) for one in result.get("chosenCandidates") or []]
    for number, token in enumerate(chosen):
        token["top_logprobs"] = [_token(one) for one in top[number]] if number < len(top) else []
    return {"content": chosen}


def _token(candidate: Fields) -> Fields:
    return {"token": candidate.get("token"), "logprob": candidate.get("logProbability", 0)}


def _usage(usage: Any) -> Fields | None:
    """None where nothing is counted: then the tokens are estimated."""
    if not isinstance(usage, dict) or not _count(usage, "promptTokenCount"):
        return None
    sent = _count(usage, "promptTokenCount") + _count(usage, "toolUsePromptTokenCount")
    thought = _count(usage, "thoughtsTokenCount")
    got = _count(usage, "candidatesTokenCount") + thought
    return {
        "prompt_tokens": sent,
        "completion_tokens": got,
        "total_tokens": sent + got,
        "prompt_tokens_details": {"cached_tokens": _count(usage, "cachedContentTokenCount")},
        "completion_tokens_details": {"reasoning_tokens": thought},
    }


def _count(usage: Fields, name: str) -> int:
    value = usage.get(name, 0)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
