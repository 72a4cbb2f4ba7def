"""The text of an answer, and the JSON in it."""

import msgspec

from ..stored_messages import (
    NO_JSON,
    NO_TEXT,
    TOO_DEEP_FOR_JSON,
    TOO_LONG_FOR_JSON,
    TOO_MANY_VALUES,
)

FENCE = "```"
LONGEST = 4_000_000  # characters of an answer that are read as JSON: a million tokens
MAX_VALUES = 500_000  # commas and brackets of such an answer: decoding takes 0.15 s


class Given(msgspec.Struct, frozen=True):
    """What the first choice of an answer says. ``ended`` is why it ended, where the provider says
    so: length, content_filter, …"""

    text: str = ""
    refusal: str = ""
    ended: str = ""


class NoJson(ValueError):
    """There is no JSON in a text; the message says why."""


class JsonText(msgspec.Struct, frozen=True):
    """JSON as it was written, and what it says."""

    text: str
    value: object


class _Part(msgspec.Struct):
    text: str | None = None
    refusal: str | None = None


class _Message(msgspec.Struct):
    content: str | list[_Part] | None = None
    refusal: str | None = None


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
_any = msgspec.json.Decoder().decode


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
        "".join(part.text or "" for part in parts),
        " ".join(part.refusal for part in parts if part.refusal),
        "length" if ended == "max_output_tokens" else ended or "",
    )


def _parts(message: _Message) -> list[_Part]:
    content = message.content
    parts = [_Part(content)] if isinstance(content, str) else list(content or ())
    return [*parts, _Part(refusal=message.refusal)]


def json_of(text: str) -> JsonText:
    """The JSON that a text is, or that stands in its only fenced block. Raises NoJson."""
    if len(text) > LONGEST:
        raise NoJson(TOO_LONG_FOR_JSON(characters=f"{LONGEST:,}"))
    if len(text) > MAX_VALUES and sum(map(text.count, ",[{")) > MAX_VALUES:
        raise NoJson(TOO_MANY_VALUES(values=f"{MAX_VALUES:,}"))
    try:
        return JsonText(text, _any(text))
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        fenced = _fenced(text)
        if fenced is None:
            raise NoJson(_why(text, error)) from None
    try:
        return JsonText(fenced, _any(fenced))
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise NoJson(_why(fenced, error)) from None


def parsed(body: bytes | None) -> JsonText | None:
    """The JSON in an answer; None where there is none."""
    if not body:
        return None
    try:
        return json_of(given(bytes(body)).text)
    except NoJson:
        return None


def _fenced(text: str) -> str | None:
    """What stands between two fences, in any of Markdown's languages; None where there are more."""
    pieces = text.split(FENCE, 4)
    if len(pieces) != 3:
        return None
    language, line_end, block = pieces[1].partition("\n")
    return block if line_end and len(language) < 20 else pieces[1]


def _why(text: str, error: Exception) -> str:
    if not text.strip():
        return NO_TEXT()
    if isinstance(error, RecursionError):
        return TOO_DEEP_FOR_JSON()
    return NO_JSON(error=str(error).removeprefix("JSON is malformed: "))
