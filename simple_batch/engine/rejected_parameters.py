"""Recognises an error that rejects a parameter of the request, and the names in it.

Codes and fields decide first: OpenAI and Azure name ``param`` beside ``unsupported_parameter``,
``unsupported_value`` or ``unknown_parameter``; FastAPI and pydantic name ``loc`` beside
``extra_forbidden``. Where an error has neither, the sentence that rejects something is read for names.
A name counts only if the body that was sent has it (parameter_adjuster.py).

A value out of its range is no rejected parameter, and neither is anything within the user's messages.
The wordings are those of tests/engine/rejections.py, each with its source.
"""

import re
from collections.abc import Iterator

import msgspec

from ..core.lazy_pattern import lazy_pattern
from .error_text import ErrorBody

CONTENT = frozenset(  # what the user asks: never a parameter
    {"model", "messages", "message", "input", "prompt", "contents", "stream", "stream_options"}
)
ROLE = "role"
_STATUSES = frozenset({400, 404, 422, 500, 501})
_CODES = lazy_pattern(
    r"(?:unsupported|unknown|unrecogni[sz]ed|extra|forbidden)[_ ](?:request_)?"
    r"(?:parameter|param|value|field|argument|key|property|forbidden)s?|extra_forbidden"
    r"|unsupportedparamserror|unsupported_?parameters?",
    re.I,
)
_SENTENCES = lazy_pattern(r"(?<=[.;!?])\s+|\n+")
_REJECTS = lazy_pattern(
    r"\b(?:un-?supported|not (?:currently |yet )?(?:be )?(?:supported|permitted|allowed|accepted|recogni[sz]ed"
    r"|available|valid for)|(?:does ?n[o']t|do ?n[o']t|does not|do not|cannot|can't) (?:currently )?"
    r"(?:support|accept|allow|recogni[sz]e|take)\w*|un(?:known|recogni[sz]ed|expected) "
    r"(?:\w+ )?(?:name|parameter|param|field|argument|keyword|key|property|option)s?"
    r"|unsupported (?:parameter|value|field|argument|option)|extra (?:inputs?|fields?) (?:are|is)? ?not permitted"
    r"|additional propert\w+ .{0,40}not allowed|cannot find field|no longer supported|is deprecated for"
    r"|(?:has|have) been removed|cannot both be|mutually exclusive)"
    r"|不支持|未知参数|不允许",
    re.I,
)
# of a value that is wrong in itself; with a code of _CODES it is not asked for
_VALUE = lazy_pattern(
    r"\bmust\b|\bshould (?:be|have)\b|\bat (?:most|least)\b|\b(?:less|greater|larger|smaller|more) than\b"
    r"|\bexceed|\btoo (?:large|long|small|high|low|many)\b|\bout of range\b|\binvalid (?:value|type)\b"
    r"|\bone of the allowed\b|\bbetween\b|\bmaximum\b|\bminimum\b|必须|超过|范围",
    re.I,
)
_TOKEN = lazy_pattern(
    r"(?P<quote>['\"`“‘])?(?P<name>[A-Za-z_][A-Za-z0-9_]*(?:[.\-][A-Za-z0-9_]+|\[\d*\])*)(?P<end>['\"`”’])?"
)
_BEFORE = lazy_pattern(
    r"(?:\b(?:parameter|param|argument|field|property|name|keyword|option|specifying|setting|supplied|output"
    r"|参数)s?(?:\(s\))?\s*[:：]?\s*|[:：,，]\s*|[\[{(]\s*|不支持\s*)['\"`“‘]?$",
    re.I,
)
_LIST = lazy_pattern(
    r"(?:supplied|parameters?|arguments?|fields?|properties|supported[^:.]{0,60})\s*[:：]\s*[^:.]*$",
    re.I,
)
_AFTER = lazy_pattern(
    r"['\"`”’]?\s*(?:=|:?\s*extra (?:inputs?|fields?)\b|(?:parameter |argument |option )?"
    r"(?:is|are|was) (?:not|un|no longer|deprecated|forbidden)|[:：]\s*(?:not|un|is )|参数|不支持)",
    re.I,
)
_LAST = lazy_pattern(r"(?:support|accept|allow)\w*\s+(?:the )?$", re.I)
_CONDITION = lazy_pattern(
    r"\b(?:when|if|unless|while|because|once|alongside|together with)\b", re.I
)
_ONE_OF = lazy_pattern(
    r"cannot both|can't both|\bboth\b.{0,60}(?:not|cannot)|at the same time|mutually exclusive|use only one"
    r"|only one of",
    re.I,
)
_MODEL = lazy_pattern(r"validation errors? for (\w+)", re.I)
_REQUEST = lazy_pattern(r"request|body|param|completion|create|payload|input$", re.I)
_ROLE_PLACE = lazy_pattern(r"\brole\b", re.I)
_ROLES = lazy_pattern(r"['\"`“‘]?\b(system|developer)\b['\"`”’]?", re.I)
_ROLE_WORDS = lazy_pattern(
    r"unknown variant|does not match any|not one of|unexpected role|invalid role|\brole\b.{0,40}(?:not|un)"
    r"|should be|messages?[.\[].{0,20}role",
    re.I,
)
_IN_DATA = lazy_pattern(r"\[\d*\]|\.\d+(?:\.|$)")
_PREFIXES = ("body.", "request.", "params.", "parameters.", "parameter.", "extra_body.", "query.")
_MOST_NAMES = 12


class Rejection(msgspec.Struct, frozen=True):
    """``names`` are paths as the error writes them, those of parameters and perhaps others. ``one_of``:
    only the combination is rejected. ``role`` is the role of messages that is rejected, then without
    names."""

    names: tuple[str, ...] = ()
    one_of: bool = False
    role: str | None = None


def rejection_of(status: int, error: ErrorBody) -> Rejection | None:
    """What an error rejects of the request's parameters; None if it is another error. ``status`` is
    the HTTP status; below 300: the error is inside an answer."""
    if status not in _STATUSES and status >= 300:
        return None
    coded = any(_CODES.fullmatch(code) or _CODES.search(code) for code in error.codes)
    role = _role_of(error, coded)
    if role is not None:
        return Rejection(role=role)
    names = list(_named(error, coded))
    if not names:
        return None
    return Rejection(tuple(dict.fromkeys(names))[:_MOST_NAMES], bool(_ONE_OF.search(error.words)))


def _named(error: ErrorBody, coded: bool) -> Iterator[str]:
    if coded:
        given = [plain(param) for param in error.params]
        if given:
            yield from (name for name in given if not is_data(name))
            return
    sentences = _SENTENCES.split(error.words)
    rejecting = [one for one in sentences if _REJECTS.search(one)]
    for sentence in rejecting or (sentences if coded else ()):
        if coded or not _VALUE.search(sentence) or _ONE_OF.search(error.words):
            yield from _names_in(sentence)
    if any(_LIST_ELSEWHERE.search(one.strip()) for one in rejecting):
        yield from (plain(name) for name, _value in error.fields if not is_data(plain(name)))


# LiteLLM: "… does not support parameters: {'top_k': 5}", whose braces error_text.py reads as fields
_LIST_ELSEWHERE = lazy_pattern(r"support(?:ed)? param\w*\s*:?\s*$", re.I)


def _names_in(sentence: str) -> Iterator[str]:
    """The names in a sentence that rejects something: before its condition, if any stand there."""
    of_model = _MODEL.search(sentence)
    if of_model and not _REQUEST.search(of_model[1]):
        return
    tokens = list(_tokens(sentence))
    if any(_IN_DATA.search(token["name"]) or _is_content_path(token["name"]) for token in tokens):
        return
    condition = _CONDITION.search(sentence)
    end = condition.start() if condition else len(sentence)
    early = [token for token in tokens if token.start() < end]
    for token in early or tokens:
        yield plain(token["name"])


def _tokens(sentence: str) -> Iterator[re.Match[str]]:
    """What is written as a name: quoted, with an underscore or a capital inside, or beside a word like
    “parameter”."""
    for token in _TOKEN.finditer(sentence):
        name = token["name"]
        before, after = sentence[: token.start("name")], sentence[token.end("name") :]
        if (
            (token["quote"] and token["end"])
            or "_" in name
            or re.search("[a-z][A-Z]", name)
            or _IN_DATA.search(name)
            or _BEFORE.search(before[-40:])
            or _LIST.search(before[-120:])
            or _AFTER.match(after[:60])
            or (_LAST.search(before[-40:]) and not after.strip(" .!'\"`"))
        ):
            yield token


def _role_of(error: ErrorBody, coded: bool) -> str | None:
    """The rejected role of messages, “system” or “developer”. The one that stands first is rejected: those
    that are accepted follow."""
    placed = any(param.endswith(("role", "role']")) for param in error.params)
    if not placed and not _ROLE_PLACE.search(error.words):
        return None
    if not (coded and placed) and not _ROLE_WORDS.search(error.words):
        return None
    for sentence in _SENTENCES.split(error.words):
        found = _ROLES.search(sentence)
        if found and _rejected_first(sentence, found):
            return found[1].lower()
    return None


_EXPECTED = lazy_pattern(r"should be|expected (?:one of|tags)|must be|one of\b", re.I)


def _rejected_first(sentence: str, found: re.Match[str]) -> bool:
    """Whether a role stands before the list of those that are accepted."""
    accepted = _EXPECTED.search(sentence)
    return accepted is None or found.start() < accepted.start()


def plain(name: str) -> str:
    """A path without what only says that it is of the body, in snake case."""
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda found: "_" + found[1].lower(), name)


def is_data(name: str) -> bool:
    """Whether a path leads into what the user asks, or into a list."""
    return bool(_IN_DATA.search(name)) or name.split(".")[0].split("[")[0] in CONTENT


def _is_content_path(name: str) -> bool:
    """Whether a path leads into the messages, not only to them."""
    root, dot, _rest = plain(name).partition(".")
    return bool(dot) and root in CONTENT
