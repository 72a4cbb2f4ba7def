"""What a delivered answer is worth: its outcome, from its finish reason and its content.

Read by structure, for chat completions, completions and responses, whatever names a gateway gives to the
finish reason (OpenAI's, Anthropic's, Gemini's, Cohere's, Mistral's, Zhipu's, …). Answers of another kind
(embeddings, images, moderations) are ok. What applies first counts:

1. error: the finish reason says that the generation failed. That is no answer, but a failed attempt.
2. refused: a refusal in the message, or a finish reason of a content filter.
3. cut_off: a finish reason of a limit, also where no text came before it: more tokens are the remedy.
4. tool_call: the answer asks its client to call a tool.
5. empty: no text (reasoning is none) and no content of another kind.
6. ok.

Of several choices the worst one counts, in this order: one that is not ok would else be taken for a good
one.
"""

import re
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from ..core import reasoning
from ..core.domain import EMBEDDINGS, Outcome
from ..core.lazy_pattern import lazy_pattern

_WITHOUT_TEXT = frozenset({EMBEDDINGS, "/v1/images/generations", "/v1/moderations"})
# of the parts of an answer, and of several choices
_FIRST = (Outcome.REFUSED, Outcome.CUT_OFF, Outcome.TOOL_CALL, Outcome.OK, Outcome.EMPTY)
_WORST = (Outcome.REFUSED, Outcome.CUT_OFF, Outcome.EMPTY, Outcome.TOOL_CALL, Outcome.OK)
_LONGEST_REASON = 100  # characters
_LEVELS = 5  # of nested content
_LONGEST_REASONING = 2_000_000  # characters: no model reasons longer, and looking takes 50 ms
_ABSENT = (b"", b"null", b'""', b"[]", b"{}", b"false")
_NONE = msgspec.Raw()

# Words of finish reasons: of a generation that failed (Gemini's "function_call_filter:
# MALFORMED_FUNCTION_CALL"), of a filter, of a rate, of a limit, of other failures.
_GENERATION = lazy_pattern("_(?:malformed|unexpected)_")
_FILTER = lazy_pattern(
    "_(?:filter(?:s|ed)?|safety|unsafe|sensitive|refus(?:al|ed?)|prohibited|block(?:list|ed)|recitation|"
    "spii|moderat(?:ion|ed)|guardrails?|intervened|policy|violation|censored|toxic(?:ity)?|harmful|"
    "inappropriate|copyright|language)_"
)
_RATE = lazy_pattern("_(?:rate|quota|time|timeout)_")
_LIMIT = lazy_pattern(
    "_(?:length|max|maximum|limit|context|window|truncated|truncation|incomplete|repetition|paused?)_"
)
_FAILURE = lazy_pattern(
    "_(?:malformed|unexpected|rate|quota|time|timeout|errors?|fail|failed|failure|abort(?:ed)?|cancel(?:l?ed)?|"
    "insufficient|unavailable|overloaded|exception|crash(?:ed)?|interrupted|network|disconnected)_"
)
_WORD = lazy_pattern("[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

# Items of a responses output that end with "_call" and are made by the service itself; all other calls are
# the client's (platform.openai.com/docs/api-reference/responses/object).
_SERVED_CALLS = {
    "web_search_call": Outcome.EMPTY,
    "file_search_call": Outcome.EMPTY,
    "code_interpreter_call": Outcome.EMPTY,
    "mcp_call": Outcome.EMPTY,
    "image_generation_call": Outcome.OK,
}
_CLIENT_CALLS = frozenset(
    {"tool_use", "tool_call", "function_call", "mcp_approval_request", "toolUse", "functionCall"}
)
_MEDIA = lazy_pattern("image|audio|video|file")
_FAILED_STATUSES = frozenset({"failed", "cancelled"})
_TEXTS = ("text", "content", "parts", "value")  # of a part of the content, in this order
_TEXT_KINDS = frozenset({"text", "output_text", "input_text", "message", "refusal"})
_BLANK = " \t\r\n\f\v\u00a0\u200b\u200c\u200d\u2060\u3000\ufeff"
# the first byte of a text that may be blank, or begin with a tag of reasoning
_UNSURE = frozenset(b' \t\\<["\xc2\xe2\xef')
_LETTER = re.compile(rb"\\u(?!3000)[3-9a-dA-D]")  # an escape of Asian scripts
_END = 60  # bytes of a text that are looked at for a closing tag
_ESCAPED_BLANK = b' \\nrt"'


class _Meaning(NamedTuple):
    """What a finish reason says; without an outcome the content decides."""

    outcome: Outcome | None = None
    failed: bool = False


_OPEN, _FAILED = _Meaning(), _Meaning(failed=True)


class AnswerOutcome(NamedTuple):
    """``finish_reason`` is the provider's word, None where there is none. With ``failed`` it says that
    the answer ended in an error; the outcome is that of what there is of it."""

    outcome: Outcome
    finish_reason: str | None = None
    failed: bool = False


class _Answer(msgspec.Struct):
    choices: msgspec.Raw = _NONE
    output: msgspec.Raw = _NONE
    status: msgspec.Raw = _NONE
    incomplete_details: msgspec.Raw = _NONE
    stop_reason: msgspec.Raw = _NONE


class _Choice(msgspec.Struct):
    """Large parts, such as logprobs, are skipped."""

    message: msgspec.Raw = _NONE
    delta: msgspec.Raw = _NONE
    text: msgspec.Raw = _NONE
    finish_reason: msgspec.Raw = _NONE
    finishReason: msgspec.Raw = _NONE
    native_finish_reason: msgspec.Raw = _NONE
    stop_reason: msgspec.Raw = _NONE
    stopReason: msgspec.Raw = _NONE
    done_reason: msgspec.Raw = _NONE


class _Message(msgspec.Struct):
    content: msgspec.Raw = _NONE
    refusal: msgspec.Raw = _NONE
    tool_calls: msgspec.Raw = _NONE
    function_call: msgspec.Raw = _NONE
    audio: msgspec.Raw = _NONE
    images: msgspec.Raw = _NONE
    stop_reason: msgspec.Raw = _NONE


class _Item(msgspec.Struct):
    """Of a responses output."""

    type: str | None = None
    status: str | None = None
    content: msgspec.Raw = _NONE
    text: msgspec.Raw = _NONE


class _Why(msgspec.Struct):
    reason: str | None = None


_answer = msgspec.json.Decoder(_Answer).decode
_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_choice = msgspec.json.Decoder(_Choice).decode
_message = msgspec.json.Decoder(_Message).decode
_item = msgspec.json.Decoder(_Item).decode
_why = msgspec.json.Decoder(_Why).decode
_any = msgspec.json.Decoder().decode
_FAULTS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def outcome_of(url: str, body: bytes) -> AnswerOutcome:
    """The outcome of an answer to a request for ``url``, as JSON."""
    if url in _WITHOUT_TEXT:
        return AnswerOutcome(Outcome.OK)
    try:
        answer = _answer(body)
        if is_given(answer.choices):
            return _of_choices(answer)
        if is_given(answer.output) or is_given(answer.incomplete_details):
            return _of_output(answer)
        return AnswerOutcome(Outcome.OK)
    except _FAULTS:
        return AnswerOutcome(Outcome.EMPTY)


def is_given(raw: msgspec.Raw) -> bool:
    """Whether a field says anything."""
    return bytes(raw) not in _ABSENT


# --- chat completions and completions ----------------------------------------------------------


def _of_choices(answer: _Answer) -> AnswerOutcome:
    found = [_of_choice(choice, answer.stop_reason) for choice in _list(answer.choices)]
    return found[0] if len(found) == 1 else min(found, key=_badness)


def _badness(one: AnswerOutcome) -> int:
    return -1 if one.failed else _WORST.index(one.outcome)


def _of_choice(raw: msgspec.Raw, stop_reason: msgspec.Raw) -> AnswerOutcome:
    try:
        choice = _choice(raw)
    except msgspec.ValidationError:  # not an object
        return AnswerOutcome(_of_content(raw))
    message = _message_of(choice)
    reason, meaning = _ended(choice, message.stop_reason or stop_reason)
    if meaning.failed:
        return AnswerOutcome(Outcome.CUT_OFF, reason, failed=True)
    return AnswerOutcome(_of_message(message, meaning.outcome), reason)


def _message_of(choice: _Choice) -> _Message:
    said = choice.message if is_given(choice.message) else choice.delta
    if not is_given(said):
        return _Message(choice.text)
    try:
        return _message(said)
    except msgspec.ValidationError:  # a text in place of an object
        return _Message(said)


def _of_message(message: _Message, meaning: Outcome | None) -> Outcome:
    if meaning is Outcome.REFUSED or _says_something(message.refusal):
        return Outcome.REFUSED
    content = _of_content(message.content)
    if content is Outcome.REFUSED:
        return content
    if meaning is not None:
        return meaning
    if is_given(message.tool_calls) or _is_call(message.function_call):
        return Outcome.TOOL_CALL
    if content is Outcome.EMPTY and (is_given(message.audio) or is_given(message.images)):
        return Outcome.OK
    return content


def _is_call(raw: msgspec.Raw) -> bool:
    """Whether a function is named; some gateways always send the fields, empty."""
    if not is_given(raw):
        return False
    value = _any(raw)
    return any(value.values()) if isinstance(value, dict) else bool(value)


def _says_something(raw: msgspec.Raw) -> bool:
    """Whether a refusal is given: a text that is not blank, or anything else that is not false."""
    if not is_given(raw):
        return False
    value = _any(raw)
    return bool(value.strip() if isinstance(value, str) else value)


# --- finish reasons ----------------------------------------------------------------------------


def _ended(choice: _Choice, of_message: msgspec.Raw) -> tuple[str | None, _Meaning]:
    """The finish reason, and what it means. A reason by another name counts where there is no
    ``finish_reason``; beside one it may be the user's own stop sequence (vLLM). The provider's own
    word beside that of a gateway (OpenRouter) counts where the gateway's says nothing."""
    reason = _word(choice.finish_reason) or _word(choice.finishReason)
    if reason is None:
        others = choice.stop_reason, choice.stopReason, choice.done_reason, of_message
        reason = next(filter(None, map(_word, others)), None)
    meaning = _meaning(reason)
    if meaning == _OPEN and (native := _word(choice.native_finish_reason)) is not None:
        meaning = _meaning(native)
        if meaning != _OPEN or reason is None:
            reason = native
    return reason, meaning


def _word(raw: msgspec.Raw) -> str | None:
    """A finish reason as text; that of an object (SGLang: {"type": "length"}) stands in it."""
    if not is_given(raw):
        return None
    value = _any(raw)
    if isinstance(value, dict):
        value = value.get("type") or value.get("reason")
    return value[:_LONGEST_REASON] if isinstance(value, str) and value else None


@lru_cache(maxsize=256)
def _meaning(reason: str | None) -> _Meaning:
    words = f"_{'__'.join(_WORD.findall(reason or ''))}_".lower()
    if _FILTER.search(words) and not _GENERATION.search(words):
        return _Meaning(Outcome.REFUSED)
    if _LIMIT.search(words) and not _RATE.search(words):
        return _Meaning(Outcome.CUT_OFF)
    return _FAILED if _FAILURE.search(words) else _OPEN


# --- responses ---------------------------------------------------------------------------------


def _of_output(answer: _Answer) -> AnswerOutcome:
    status, meaning = _word(answer.status), None
    reason = _incomplete_reason(answer.incomplete_details)
    if status in _FAILED_STATUSES:
        return AnswerOutcome(Outcome.CUT_OFF, status, failed=True)
    if reason or status == "incomplete":
        refused = _meaning(reason).outcome is Outcome.REFUSED
        meaning = Outcome.REFUSED if refused else Outcome.CUT_OFF
    try:
        items = _list(answer.output) if is_given(answer.output) else []
        found = set(map(_of_item, items))
    except msgspec.ValidationError:  # no list
        found = {_of_content(answer.output)}
    if meaning is not None:
        found.add(meaning)
    outcome = next((one for one in _FIRST if one in found), Outcome.EMPTY)
    return AnswerOutcome(outcome, reason or status or _word(answer.stop_reason))


def _incomplete_reason(raw: msgspec.Raw) -> str | None:
    if not is_given(raw):
        return None
    try:
        return (_why(raw).reason or "")[:_LONGEST_REASON] or None
    except msgspec.ValidationError:
        return None


def _of_item(raw: msgspec.Raw) -> Outcome:
    try:
        item = _item(raw)
    except msgspec.ValidationError:
        return _of_content(raw)
    kind = item.type or ""
    if reasoning.names_reasoning(kind):
        return Outcome.EMPTY
    if kind.endswith("_call") or kind in _CLIENT_CALLS:
        return _SERVED_CALLS.get(kind, Outcome.TOOL_CALL)
    if item.status == "incomplete":
        return Outcome.CUT_OFF
    said = item.content if is_given(item.content) else item.text
    if is_given(said) or not kind or _MEDIA.search(kind):
        return _of_content(said if is_given(said) else raw)
    return Outcome.EMPTY  # a list of tools, a note, …


# --- content -----------------------------------------------------------------------------------


def _of_content(raw: msgspec.Raw) -> Outcome:
    """Of a message's content: refused, tool_call, ok or empty."""
    text = bytes(raw)
    if text in _ABSENT:
        return Outcome.EMPTY
    if text[:1] == b'"' and is_plain(text):
        return Outcome.OK
    found = _Content()
    found.add(_any(text), 0)
    return found.outcome


def is_plain(text: bytes) -> bool:
    """Whether a JSON string, by its bytes, is surely neither blank nor reasoning alone, as nearly all: it
    begins with a character, and does not end with a closing tag."""
    begins = text[1] not in _UNSURE or _LETTER.match(text, 1)
    if not begins or text.startswith(b"\xe3\x80\x80", 1):
        return False
    end = text[-_END:]
    return b"/" not in end and bool(end.strip(_ESCAPED_BLANK))


class _Content:
    """What is found in decoded content."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._found: set[Outcome] = set()

    @property
    def outcome(self) -> Outcome:
        if self._found:
            return next(one for one in _FIRST if one in self._found)
        text = "".join(self._texts)
        if len(text) <= _LONGEST_REASONING:
            text = reasoning.divide(text).answer
        return Outcome.OK if text.strip(_BLANK) else Outcome.EMPTY

    def add(self, value: Any, level: int) -> None:
        if isinstance(value, str):
            self._texts.append(value)
        elif level > _LEVELS:
            self._found.add(Outcome.OK)
        elif isinstance(value, list):
            for part in value:
                self.add(part, level + 1)
        elif isinstance(value, dict):
            self._add_part(value, level)
        elif value is not None:
            self._found.add(Outcome.OK)

    def _add_part(self, part: dict[str, Any], level: int) -> None:
        kind = part.get("type")
        kind = kind if isinstance(kind, str) else ""
        if reasoning.names_reasoning(kind, part.get("thought")):
            return
        if part.get("refusal"):
            self._found.add(Outcome.REFUSED)
        elif kind in _CLIENT_CALLS or any(name in part for name in _CLIENT_CALLS):
            self._found.add(Outcome.TOOL_CALL)
        elif (said := next((part[name] for name in _TEXTS if name in part), None)) is not None:
            self.add(said, level + 1)
        elif part and kind not in _TEXT_KINDS:
            self._found.add(Outcome.OK)  # an image, audio, a file, …
