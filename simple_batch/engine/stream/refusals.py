"""What errors say about streams: only with them, not with them, or not with their options.

An error to a request without ``stream`` that speaks of streams can hardly mean anything but that they are
needed. Wordings that were seen (read 2026-11-28): DashScope "This model only support stream mode, please
enable the stream parameter …" (infiniflow/ragflow#5912), "parameter.enable_thinking must be set to false
for non-streaming calls" (langchain4j/langchain4j#3974), "parameter.enable_thinking only support stream
call" (help.aliyun.com/zh/model-studio/deep-thinking); ModelScope "enable thinking can not be support when
`stream=False`" (musistudio/claude-code-router#948); ChatGPT's backend "Stream must be set to true"
(leookun/cursor-byok#14). Refusals: OpenAI "Unsupported value: 'stream' does not support true with this
model" (simonw in github/gh-models#31), "Streaming completion is not support yet, please remove 'stream'"
(langgenius/dify#2897). Options: "Unknown parameter: 'stream_options'" (QuantumNous/new-api#418),
"extraneous key [include_usage] is not permitted" (BerriAI/litellm#9916).
"""

import re

from ...core.lazy_pattern import lazy_pattern
from ..error_text import ErrorBody

_OTHER_STREAMS = lazy_pattern(
    r"\b(?:audio|video|image|byte|bit|input|output|file|data)[ -]streams?\b|stream_options\S*", re.I
)
_STREAM = r"(?<![a-z])stream(?:s|ing|ed)?\b"
_FEW_WORDS = r"\W+(?:[\w.]+\W+){0,4}?"
_NEEDED = lazy_pattern(
    rf"\bonly{_FEW_WORDS}{_STREAM}|{_STREAM}(?:\W+[\w.]+){{0,3}}?\W+only\b"
    r"|\bnon[- ]?stream"
    rf"|{_STREAM}{_FEW_WORDS}(?:must|required|needs?|should|false|enabled)\b"
    rf"|\b(?:must|required?|requires|needs?|enable|use|set){_FEW_WORDS}{_STREAM}"
    r"|非流式|(?:仅|只|必须|需要?|请)[^。]{0,12}流式|流式[^。]{0,6}(?:必须|才)",
    re.I,
)
_REFUSED = lazy_pattern(
    rf"{_STREAM}{_FEW_WORDS}(?:not?|cannot|isn't|doesn't|unsupported|disabled|true)\b"
    rf"|\b(?:not?|cannot|isn't|doesn't|unsupported|remove|disable|verified){_FEW_WORDS}{_STREAM}"
    r"|不支持[^。]{0,6}流式|流式[^。]{0,6}不支持",
    re.I,
)
_NEEDED_STATUSES = frozenset({0, 400, 403, 405, 406, 415, 422, 500, 501})
_REFUSED_STATUSES = frozenset({400, 403, 405, 415, 422, 501})
_OPTIONS = ("stream_options", "include_usage")


def needs_stream(status: int, error: ErrorBody) -> bool:
    """Whether an error to a request without a stream says that it needs one. ``status`` 0: the error is
    inside an answer."""
    if status not in _NEEDED_STATUSES:
        return False
    if "stream" in error.params:
        return True
    return bool(_NEEDED.search(_OTHER_STREAMS.sub(" ", error.words)))


def refuses_stream(status: int, error: ErrorBody) -> bool:
    """Whether an error to a request with a stream says that there is none."""
    if status not in _REFUSED_STATUSES:
        return False
    if "stream" in error.params:
        return True
    return bool(_REFUSED.search(_OTHER_STREAMS.sub(" ", error.words)))


def refuses_options(error: ErrorBody) -> bool:
    """Whether an error names the options of a stream."""
    named = " ".join((error.words, *error.params))
    return any(name in named for name in _OPTIONS)
