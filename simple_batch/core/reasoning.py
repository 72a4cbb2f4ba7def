"""The reasoning of a model, separated from its answer.

Providers deliver it in three ways: in fields of the message (``reasoning_content``: DeepSeek, vLLM;
``reasoning`` and ``reasoning_details``: OpenRouter, Groq; ``thinking``: Ollama; ``thinking_blocks``:
LiteLLM), as parts of the content or items of the output (``thinking``: Mistral, Anthropic;
``reasoning``: OpenAI's /v1/responses), or as text between tags at the beginning of the answer
(``<think>``: DeepSeek R1, Qwen; ``[THINK]``: Magistral; ``<seed:think>``: Seed; ``<thought>``: Gemini).
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from .json_pieces import with_breaks

_FIELDS = (
    "reasoning_content",
    "reasoning",
    "thinking",
    "reasoning_text",
    "reasoning_details",
    "thinking_blocks",
)
_TEXTS = ("thinking", "reasoning", "summary", "content", "text")  # of a part, in this order
_KIND = re.compile(r"(?:redacted_)?(?:think|reason|thought)", re.IGNORECASE)
_MAX_LEVELS = 5
_MAX_BLOCKS = 100
_NAME = r"(?:think|thinking|thoughts?|reasoning|seed:think|antthinking)"
_OPENED = re.compile(
    rf"[\s\ufeff]*(?:<(?P<name>{_NAME})(?:\s[^<>\n]{{0,200}})?>|\[THINK\]|◁think▷)", re.IGNORECASE
)
_ANY_OPENED = re.compile(rf"<{_NAME}(?:\s[^<>\n]{{0,200}})?>|\[THINK\]|◁think▷", re.IGNORECASE)
_CLOSED = re.compile(
    rf"(?P<fence>`{{3,}}|~{{3,}})|</{_NAME}\s*>|\[/THINK\]|◁/think▷", re.IGNORECASE
)
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "「": "」", "«": "»"}
_APOSTROPHE = re.compile(r"(?<=\w)'(?=\w)")
_LINE = 500  # characters before and after a tag that are looked at
_raw = msgspec.json.Decoder(msgspec.Raw).decode


class Divided(NamedTuple):
    """The text of an answer, without what the model reasoned before it."""

    reasoning: str
    answer: str


def divide(text: str) -> Divided:
    """Separate the reasoning at the beginning of a text. Several blocks in succession are one. A block
    that is not closed goes to the end, because the answer was cut off in it. A closing tag without an
    opening one ends the reasoning too: chat templates of many models open it in the prompt. Tags in
    code, in quotes or further on in an answer are part of it."""
    found: list[str] = []
    position = 0
    begun = None if _OPENED.match(text) else _begun_in_the_prompt(text)
    if begun is not None:
        found.append(text[: begun.start()])
        position = begun.end()
    while len(found) < _MAX_BLOCKS and (opened := _OPENED.match(text, position)):
        closed = _end_of(text, opened)
        found.append(text[opened.end() : closed.start() if closed else len(text)])
        position = closed.end() if closed else len(text)
    if not found:
        return Divided("", text)
    return Divided(joined(found), text[position:].lstrip("\ufeff \t\r\n"))


def _end_of(text: str, opened: re.Match[str]) -> re.Match[str] | None:
    """The closing tag of a block; of those in code only where there is no other."""
    first_in_code = None
    for closed, in_code in with_breaks(_closing_tags(text, opened.end())):
        if _belongs(closed[0], opened) and not _quoted(text, closed):
            if not in_code:
                return closed
            first_in_code = first_in_code or closed
    return first_in_code


def _closing_tags(text: str, start: int) -> Iterator[tuple[re.Match[str], bool]]:
    """The closing tags from ``start`` on, and whether a code block that began there is still open."""
    fence = ""
    for mark in _CLOSED.finditer(text, start):
        found = mark["fence"]
        if not found:
            yield mark, bool(fence)
        elif not fence:
            fence = found
        elif found.startswith(fence):
            fence = ""


def _belongs(closed: str, opened: re.Match[str]) -> bool:
    name: str | None = opened["name"]
    if name:
        return closed[2:-1].strip().lower() == name.lower()
    return closed[0] == opened[0].strip()[0]


def _begun_in_the_prompt(text: str) -> re.Match[str] | None:
    """The closing tag of reasoning whose opening tag is not part of the text."""
    if "</" not in text and "[/" not in text and "◁/" not in text:
        return None
    closed, in_code = next(_closing_tags(text, 0), (None, False))
    if closed is None or in_code or _ANY_OPENED.search(text, 0, closed.start()):
        return None
    if _quoted(text, closed) or _in_sentence(text, closed) or _is_json(text):
        return None
    return closed


def _quoted(text: str, tag: re.Match[str]) -> bool:
    """Whether a tag is quoted within its line, as code or between quotes."""
    before = text[max(0, tag.start() - _LINE) : tag.start()].rpartition("\n")[2]
    behind = text[tag.end() : tag.end() + _LINE].partition("\n")[0]
    if before.count("`") % 2 and "`" in behind:
        return True
    mark = before[-1:]
    if not behind.startswith(_QUOTES.get(mark, "\n")):
        return False
    return mark != _QUOTES[mark] or _APOSTROPHE.sub("", before).count(mark) % 2 == 1


def _in_sentence(text: str, tag: re.Match[str]) -> bool:
    """Whether the sentence around a tag goes on behind it: text that speaks about the tag."""
    before = text[max(0, tag.start() - 2) : tag.start()]
    behind = text[tag.end() : tag.end() + 2]
    if not (len(before) == 2 and before[0].isalnum() and before[1] == " "):
        return False
    if behind[:1] == " ":
        return behind[1:].isalpha() and not behind[1:].isupper()
    return behind[:1] in tuple(".,;:)!?")


def _is_json(text: str) -> bool:
    """Whether the whole text is JSON, in which a tag can only be quoted."""
    if text.lstrip("\ufeff \t\r\n")[:1] not in ("{", "[", '"'):
        return False
    try:
        _raw(text.lstrip("\ufeff"))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True


def is_reasoning(part: object) -> bool:
    """Whether a part of a content, or an item of an output, is reasoning (decoded JSON)."""
    return isinstance(part, dict) and names_reasoning(part.get("type"), part.get("thought"))


def mentions_reasoning(response: bytes) -> bool:
    """Whether an answer may hold reasoning: a quick look at the bytes, to decode few of them."""
    response = response.lower()
    if b"think" in response or b"thought" in response:
        return True
    return response.count(b"reasoning") > response.count(b"reasoning_tokens")


def names_reasoning(kind: object, thought: object = None) -> bool:
    """Whether the ``type`` of a part is one of reasoning, or it is marked as a ``thought``."""
    return thought is True or (isinstance(kind, str) and _KIND.match(kind) is not None)


def of_message(message: object) -> list[str]:
    """The reasoning in the fields and the parts of a message (decoded JSON)."""
    if not isinstance(message, dict):
        return []
    content = message.get("content")
    parts = filter(is_reasoning, with_breaks(content)) if isinstance(content, list) else ()
    return [*(text_of(message.get(name)) for name in _FIELDS), *map(text_of, parts)]


def joined(texts: Iterable[str]) -> str:
    """The texts together; what is repeated in another form is there once."""
    found: list[str] = []
    seen = ""
    for text in filter(None, map(str.strip, texts)):
        condensed = "".join(text.split())
        if condensed not in seen:
            found.append(text)
            seen += condensed
    return "\n\n".join(found)


def text_of(value: object, level: int = 0) -> str:
    """The readable text in reasoning, however it is nested; what is encrypted has none."""
    if isinstance(value, str):
        return value
    if level == _MAX_LEVELS:
        return ""
    if isinstance(value, list):
        pieces = [text_of(one, level + 1) for one in with_breaks(value)]
        return _together(value, pieces)
    if isinstance(value, dict):
        return "\n\n".join(filter(None, (text_of(value.get(name), level + 1) for name in _TEXTS)))
    return ""


def _together(parts: list[object], pieces: list[str]) -> str:
    """Summaries are paragraphs; other parts are pieces of one text."""
    kinds = {part.get("type") for part in parts if isinstance(part, dict)}
    summary = any(isinstance(kind, str) and "summary" in kind for kind in kinds)
    return ("\n\n" if summary else "").join(filter(None, pieces))
