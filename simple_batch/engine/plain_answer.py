"""Reads the most frequent answer in one pass: a chat completion with one choice that ended with “stop”, whose
message is a text and nothing else.

Everything that would make another answer of it must be absent or null, which the decoder checks. All others are
read by classify.py, which comes to the same result for these too, by more steps.
"""

from typing import Literal

import msgspec

from .answer_outcome import is_given, is_plain
from .surrogates import mended

STOP = "stop"
_NONE = msgspec.Raw()


class _Message(msgspec.Struct):
    content: msgspec.Raw
    error: None = None
    refusal: None = None
    tool_calls: msgspec.Raw = _NONE
    function_call: None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: Literal["stop"]
    error: None = None
    native_finish_reason: None = None


class PlainAnswer(msgspec.Struct):
    """What such an answer says besides its text."""

    choices: tuple[_Choice]
    usage: msgspec.Raw = _NONE
    model: str | None = None
    service_tier: msgspec.Raw = _NONE
    error: None = None
    base_resp: None = None
    data: None = None
    results: None = None


_decode = msgspec.json.Decoder(PlainAnswer).decode


def plain_answer(body: bytes) -> PlainAnswer | None:
    """None: the answer is of another kind, or cannot be read."""
    try:
        if not body.isascii():
            body.decode()
        answer = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    message = answer.choices[0].message
    content = bytes(message.content)
    if content[:1] != b'"' or not is_plain(content) or is_given(message.tool_calls):
        return None
    return answer if mended(body) is body else None
