"""Whether an error says that one request alone exceeds a limit.

A provider says it with two amounts: what the limit is, and what the request needs ("Limit 30000,
Requested 41000"). Each amount is attributed by the words around it, or by the name of the field that
holds it. What was used before this request proves nothing, and neither do numbers of requests.
"""

import re
from collections.abc import Iterator
from enum import Enum, auto

from ..core.lazy_pattern import lazy_pattern
from .error_text import ErrorBody

_AMOUNT = lazy_pattern(
    r"(?<![\w.\-/])(?P<n>\d{1,3}(?:[,_' ]\d{3})+|\d+(?:\.\d+)?)\s?(?P<k>[kKM]\b)?(?![\w]|[-/:.]\d)"
)
_SCALE = {"k": 1_000, "K": 1_000, "M": 1_000_000}
_LIMIT = lazy_pattern(
    r"(?<![a-z])(?:"
    r"limit(?:ed)?|max(?:imum)?|most|more than|allow\w*|quota|cap(?:acity|ped)?|"
    r"ceiling|budget|bucket|holds?|threshold|up to|permitted|exceeds?|over|above|larger than|at least|"
    r"(?:less|fewer|smaller|lower|shorter) than|must be|<=?|supports?|can (?:take|handle|process|accept)|"
    r"greater than|under|below|(?:only|just) \w+ up to|per[ -]minute|tpm"
    r")|上限|限制|最多|最大|不超过|超过|超出|配额",
    re.IGNORECASE,
)
_NEEDED = lazy_pattern(
    r"(?<![a-z])(?:"
    r"request(?:ed|s|ing)?(?! limit)|need(?:s|ed)?|requires|required|got|given|"
    r"received|sent|asks?|asked|contains?|has|have|size|estimated|actual|costs?|wants?|"
    r"would (?:use|take|cost)|prompt|input|this (?:call|message)|yours?"
    r")|请求|需要|实际|本次|输入",
    re.IGNORECASE,
)
_USED = lazy_pattern(
    r"(?<![a-z])(?:"
    r"used|usage|current(?:ly)?|consumed|so far|already|remaining|left|available|spent"
    r")|已用|已使用|当前|剩余",
    re.IGNORECASE,
)
_CALLS = lazy_pattern(r"\s*(?:requests?|calls?|rp[msd]|connections?|queries|times|次)\b", re.I)
_TIME = lazy_pattern(r"\s*(?:ms|s|sec\w*|min\w*|h|hours?|days?|秒|分钟|小时|天)\b", re.IGNORECASE)
_NAMES_CALLS = lazy_pattern(
    r"(?:requests?|calls?)[ -](?:per|/)|\brp[msd]\b|requests? limit|concurren", re.IGNORECASE
)
_NAMES_SIZE = lazy_pattern(
    r"token|\btp[msd]\b|character|byte|\b[kmg]i?b\b|size|large|long|字符|长度", re.IGNORECASE
)
_NO_AMOUNT = lazy_pattern(
    r"\b(?:(?:id|number|code|error|line|version|trace|model)\W*|(?<![<>]\s)request\s#?)$",
    re.IGNORECASE,
)
_TOKENS = lazy_pattern(r"\s?(?:tok|tpm)", re.IGNORECASE)
_MOST = 1e9  # tokens; a larger number is an id
_MORE = r"(?:(?:tokens?|tpm|characters|bytes)\s*)?(?:\w+ )?(?:(?:more|larger|greater|higher|bigger) than|>|exceeds|超过)"
_LESS = r"(?:(?:tokens?|tpm|characters|bytes)\s*)?(?:\w+ )?(?:(?:less|smaller|lower|fewer) than|<)"
_COMPARED = (
    ("needed", lazy_pattern(rf"\s*{_MORE}", re.I)),
    ("limit", lazy_pattern(rf"\s*{_LESS}", re.I)),
)
_REACH = 40  # characters before an amount that tell what it is
_CUES = (("limit", _LIMIT), ("needed", _NEEDED), ("used", _USED))
_PARTS = r"(?:request|prompt|input|message|body|payload|entity|content|text|string|image|file)s?"
_WORDS = lazy_pattern(
    rf"{_PARTS}(?: (?:body|payload|size|length))? (?:is |are |was )?too (?:large|big|long)|"
    r"(?:larger|bigger) than the (?:limit|maximum)|请求(?:过大|太大)",
    re.IGNORECASE,
)
# of a client error, which says more than a refusal by a rate: what is too large, and in what unit
_NAMES_PART = lazy_pattern(
    rf"\b{_PARTS}\b|\btokens?\b|\bbytes?\b|\b[kmg]i?b\b|字符|长度", re.IGNORECASE
)
_UNIT = lazy_pattern(
    r"token|character|byte|\b[kmg]i?b\b|\blength|\bsize|\blong\b|\blarge\b|字符|长度", re.IGNORECASE
)
_EXCEEDS = lazy_pattern(
    r"\b(?:size|length|tokens)\b.{0,20}\bexceed|\bexceed\w*.{0,30}\b(?:size|length|tokens)\b"
    r"|\bat most \d+ (?:characters|bytes|tokens)",
    re.IGNORECASE,
)
_OF_RATE = lazy_pattern(r"quota|\brate\b|\bper \w|usage|credit|\bdaily|monthly", re.IGNORECASE)
_OF_CONTENT = lazy_pattern(
    r"messages?|input|prompt|contents?|text|body|image\w*|query", re.IGNORECASE
)
_OTHER_PARAMS = lazy_pattern(
    r"\b(?:max|budget)_\w*tokens\b|maxOutputTokens|\btools?\b|\bfunctions?\b|\bmetadata\b|\bstop\b|\bschema\b"
    r"|\bdimensions?\b|\bnames?\b|\btop_\w+|\bheaders?\b|\bbatch size of\b",
    re.IGNORECASE,
)
# how many tokens of output a request asks for, and what the context of the model holds
_OUTPUT = lazy_pattern(
    r"(\d+)(?: tokens)? (?:in|for|from) the (?:completion|output)|max_\w*tokens\W.{0,40}?too large: (\d+)"
    r"|\+ (\d+) >",
    re.IGNORECASE,
)
_CONTEXT = lazy_pattern(r"context (?:length|window|size|limit)\D{0,20}?(\d+)", re.IGNORECASE)


class Size(Enum):
    """What a client error says is too large: the request in tokens or in bytes, or the output that it
    asks for."""

    TOKENS = auto()
    BYTES = auto()
    OUTPUT = auto()


def exceeded_size(error: ErrorBody) -> Size | None:
    """What exceeds a limit that is none of a rate, if anything does."""
    asked = next((int(n) for n in _groups(_OUTPUT, error.words)), 0)
    context = next((int(n) for n in _groups(_CONTEXT, error.words)), 0)
    if asked >= context > 0:
        return Size.OUTPUT
    params = (param.removeprefix("body.") for param in error.params if param != "None")
    if any(not _OF_CONTENT.match(param) for param in params):
        return None
    names_part = _NAMES_PART.search(error.words) and _UNIT.search(error.words)
    if not names_part or _OTHER_PARAMS.search(error.words):
        return None
    exceeds = _EXCEEDS.search(error.words) and not _OF_RATE.search(error.words)
    if not (exceeds or is_too_large(error)):
        return None
    return Size.TOKENS if re.search("token", error.words, re.IGNORECASE) else Size.BYTES


def _groups(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    for found in pattern.finditer(text):
        yield from (group for group in found.groups() if group and len(group) < 16)


def is_too_large(error: ErrorBody) -> bool:
    """Whether the request needs more than the limit by what the error says."""
    if _NAMES_CALLS.search(error.words) and not _NAMES_SIZE.search(error.words):
        return False
    amounts = [*_amounts(error.words), *_field_amounts(error)]
    if re.search(r"[<>]", error.words) and not _NAMES_SIZE.search(error.words):
        return False
    limits = [amount for kind, amount in amounts if kind == "limit"]
    needed = [amount for kind, amount in amounts if kind == "needed"]
    if limits and needed:
        return max(needed) > max(limits) > 0
    return bool(_WORDS.search(error.words))


def _amounts(text: str) -> Iterator[tuple[str, float]]:
    end = 0
    for found in _AMOUNT.finditer(text):
        before, behind = text[max(end, found.start() - _REACH) : found.start()], text[found.end() :]
        end = found.end()
        if _CALLS.match(behind) or _TIME.match(behind) or _value(found) > _MOST:
            continue
        if _NO_AMOUNT.search(before) and not _TOKENS.match(behind):
            continue
        kind = _compared(before, behind) or _kind(before) or _kind_behind(behind)
        if kind is not None:
            yield kind, _value(found)


def _compared(before: str, behind: str) -> str | None:
    """What an amount is by a comparison beside it: “45000 > 30000”."""
    if re.search(r"[<>]\s*$", before):
        return "limit" if before.rstrip().endswith(">") else "needed"
    return next((kind for kind, words in _COMPARED if words.match(behind)), None)


def _kind(before: str) -> str | None:
    """What an amount is by the words before it: the last of them counts."""
    last = {
        kind: max((found.end() for found in cue.finditer(before)), default=-1)
        for kind, cue in _CUES
    }
    kind = max(last, key=lambda name: last[name])
    return kind if last[kind] >= 0 else None


def _kind_behind(behind: str) -> str | None:
    """The same by the words behind it, where those before it say nothing."""
    clause = re.split(r"[.,;:!?()]|\d", behind[:_REACH], maxsplit=1)[0]
    first = {
        kind: min((found.start() for found in cue.finditer(clause)), default=_REACH)
        for kind, cue in _CUES
    }
    kind = min(first, key=lambda name: first[name])
    return kind if first[kind] < _REACH else None


def _value(found: re.Match[str]) -> float:
    return float(re.sub(r"[,_' ]", "", found["n"])) * _SCALE.get(found["k"] or "", 1)


def _field_amounts(error: ErrorBody) -> Iterator[tuple[str, float]]:
    for name, value in error.fields:
        words = re.sub(r"(?<=[a-z])(?=[A-Z])|[_-]", " ", name)
        number = str(value)
        if isinstance(value, bool) or not re.fullmatch(r"\d{1,15}(?:\.\d+)?", number):
            continue
        if _CALLS.search(words) and not re.search(r"token|requested|size", words, re.IGNORECASE):
            continue
        kind = "used" if _USED.search(words) else "limit" if _LIMIT.search(words) else None
        kind = kind or ("needed" if _NEEDED.search(words) else None)
        if kind is not None:
            yield kind, float(number)
