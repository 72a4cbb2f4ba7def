"""What a provider's answer to a call of its batch API means where it is a refusal.

Codes decide first, then words. Seen: OpenAI's ``token_limit_exceeded``, “Enqueued token limit reached for
… Please try again once some in_progress batches have been completed.”
(https://github.com/openai/openai-python/issues/2084, read 2026-11-28).
"""

import re
from codecs import BOM_UTF8
from pathlib import Path
from typing import Any

import msgspec

from ...core.domain import Cause
from ...core.lazy_pattern import lazy_pattern
from ...core.stored_messages import HTML_ANSWER, NO_JSON_ANSWER
from ..adapter import BLOCK
from ..classify import Classification, classify
from ..error_text import ErrorBody, read_error
from ..surrogates import mended
from ..transport import Reply, TransportFailure
from .batch_client import BatchCallFailed

_GONE = (404, 410)
_QUEUED_CODE = lazy_pattern(
    r"enqueued|token_?limit_?exceeded|queue_?(?:full|limit)|(?:batch|job|task)_?(?:count|queue|number|concurrency)"
    r"_?(?:limit|exceeded)|too_?many_?(?:batch|jobs|active|open|pending|concurrent)|concurren",
    re.I,
)
# too much of a kind that ends by itself: what waits or runs at the provider
_FULL = lazy_pattern(
    r"limit|quota|exceed|too many|reached|maximum|more than|at most|full|超|上限|限制|已满|过多",
    re.I,
)
_QUEUED = lazy_pattern(
    r"enqueued?|in (?:the )?queue|queue(?:d|s)?\b|排队|队列|"
    r"\b(?:open|active|running|pending|concurrent|parallel|simultaneous|unfinished|in[ _-]progress|ongoing)"
    r"\b[\w -]{0,40}\b(?:batch(?:es)?|jobs?|tasks?|tokens?)|"
    r"\b(?:batch(?:es)?|jobs?|tasks?)\b[\w -]{0,40}\b(?:in progress|in process(?:ing)?|at (?:once|the same time)|concurrently)|"
    r"(?:并发|同时|进行中|处理中|未完成)[^。；;]{0,20}(?:任务|批)|(?:任务|批)[^。；;]{0,20}(?:并发|同时|进行中|处理中|未完成)",
    re.I,
)
_MOST = 2_000  # characters of a message that are judged
# fields of an error that stands for itself: a result has an id besides
_OF_ERRORS = frozenset(
    [
        "error",
        "code",
        "message",
        "msg",
        "detail",
        "status",
        "success",
        "type",
        "request_id",
        "requestId",
        "data",
        "object",
    ]
)
_SUCCESS = ("0", "200", "20000", "ok", "success")  # 20000: SiliconFlow
_NO_FILE = lazy_pattern(
    r"no such (?:file|batch|object)|(?:file|batch|文件|任务)[^.;。；]{0,80}?(?:not (?:be )?found|not exist|"
    r"(?:has|was|been|is)[\w ]{0,12}(?:expired|deleted|removed)|no longer|不存在|已过期|已删除|已失效)",
    re.I,
)


def refusal_of(reply: Reply, of_file: bool = False) -> BatchCallFailed | None:
    """The refusal that an answer is; None where it is none. ``of_file``: a file was asked for, which may be
    at a storage with errors in another form. Else a 404 without an error of an API says nothing about
    what was asked for: a gateway or a wrong address may have sent it."""
    good = 200 <= reply.status < 300
    error = read_error(reply.body, None if good else reply.status)
    if good and not _says_error(reply.body):
        return None
    finding = classify(reply, "")
    if finding.cause is None:
        return None
    status = reply.status if not good else error.status
    if status in _GONE:
        gone = of_file or (finding.response is not None and error.said)
    else:
        gone = status in (None, 400, 403) and bool(_NO_FILE.search(error.judged[:_MOST]))
    return BatchCallFailed(finding, enqueued=_is_queue_full(error, finding), gone=gone)


def check_is_results(path: Path) -> None:
    """Raises where the file is no file of results: BatchCallFailed for an error in its place, as some
    gateways send with the status of a success, TransportFailure for a page or another text."""
    with path.open("rb") as file:
        first = file.readline(BLOCK).removeprefix(BOM_UTF8)
        alone = not file.read(1)
    if first.strip()[:1] not in (b"{", b""):
        page = first.lstrip()[:1] == b"<"
        raise TransportFailure(Cause.BAD_RESPONSE, HTML_ANSWER() if page else NO_JSON_ANSWER())
    refusal = refusal_of(Reply(200, {}, first), of_file=True) if alone else None
    if refusal is not None and msgspec.json.decode(mended(first)).keys() <= _OF_ERRORS:
        raise refusal


def queue_is_full(code: str, message: str) -> bool:
    """Whether an error of a batch says that too much waits or runs at the provider: it passes."""
    message = message[:_MOST]
    return bool(_QUEUED_CODE.search(code) or (_FULL.search(message) and _QUEUED.search(message)))


def _is_queue_full(error: ErrorBody, finding: Classification) -> bool:
    if (finding.http_status or 0) in (401, 404):
        return False
    return queue_is_full(" ".join(error.codes), error.judged)


def _says_error(body: bytes) -> bool:
    """Whether an answer of a good status is an error: it names one and is no object of the API."""
    try:
        data: Any = msgspec.json.decode(mended(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    if not isinstance(data, dict) or _has_object(data):
        return False
    code = data.get("code")
    return bool(data.get("error")) or (bool(code) and str(code).lower() not in _SUCCESS)


def _has_object(data: dict[str, Any]) -> bool:
    """Whether it is, or wraps, a file, a batch or a list of them, or is a long-running operation
    (https://google.aip.dev/151), which may hold the error that it has ended with."""
    if data.keys() >= {"name", "metadata"}:
        return True
    inner = [data, *(value for value in data.values() if isinstance(value, dict))]
    return any("id" in one or isinstance(one.get("data"), list) for one in inner)
