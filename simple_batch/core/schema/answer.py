"""What an answer says, without the reasoning before it."""

from typing import Any

import msgspec

from .. import reasoning


class Given(msgspec.Struct, frozen=True):
    """What the first choice of an answer says. ``ended`` is why it ended, where the provider says
    so: length, content_filter, …"""

    text: str = ""
    refusal: str = ""
    ended: str = ""


class _Part(msgspec.Struct):
    text: str | None = None
    refusal: str | None = None
    type: Any = None
    thought: Any = None


class _Message(msgspec.Struct):
    content: str | list[_Part] | None = None
    refusal: str | None = None
    type: Any = None


class _Choice(msgspec.Struct):
    message: _Message | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Why(msgspec.Struct):
    reason: str | None = None


class _Answer(msgspec.Struct):
    """Of chat completions, completions and responses alike."""

    choices: list[_Choice] | None = None
    output: list[_Message] | None = None
    incomplete_details: _Why | None = None


_answer = msgspec.json.Decoder(_Answer).decode


def given(body: bytes) -> Given:
    """What an answer says; empty where it has not the form of one."""
    try:
        answer = _answer(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Given()
    if answer.choices:
        choice = answer.choices[0]
        messages = [choice.message or _Message(choice.text)]
        ended = choice.finish_reason
    else:
        messages = answer.output or []
        ended = answer.incomplete_details.reason if answer.incomplete_details else None
    parts = [part for message in messages for part in _parts(message)]
    return Given(
        reasoning.divide("".join(part.text or "" for part in parts)).answer,
        " ".join(part.refusal for part in parts if part.refusal),
        "length" if ended == "max_output_tokens" else ended or "",
    )


def _parts(message: _Message) -> list[_Part]:
    if reasoning.names_reasoning(message.type):
        return []
    content = message.content
    parts = [_Part(content)] if isinstance(content, str) else list(content or ())
    parts = [part for part in parts if not reasoning.names_reasoning(part.type, part.thought)]
    return [*parts, _Part(refusal=message.refusal)]
