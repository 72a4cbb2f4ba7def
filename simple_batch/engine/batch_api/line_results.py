"""What a line of a batch's results is for its request: what a live answer would be (retry.py).

Differences follow from the way it came. A line that the provider never ran costs the request nothing. The
next try is not made here: the request leaves its part, and is sent with the next one. How often it was
tried before is what its stored attempts say, because a batch outlives the process.
"""

import re
from collections.abc import Callable
from enum import StrEnum

import msgspec

from ...core.clock import now_ms
from ...core.domain import (
    BATCH_TIER,
    Attempt,
    BatchAnswer,
    Outcome,
    Request,
    RequestResult,
    Tried,
    Verdict,
)
from ..call_result import attempt_of, is_delivered, judged, result_of
from ..classify import Classification, classify
from ..endpoint_parameters import CHAT
from ..parameter_adjuster import ParameterAdjuster
from ..plain_answer import STOP, plain_answer
from ..retry import Policy, stops
from ..structured_output import Structure
from ..transport import Reply
from ..usage import usage_of
from ..usage_estimate import with_estimate
from .batch_client import LineResult

_NOT_RUN = re.compile(r"expire|cancel|abort|timeout_exceeded|not_(?:run|sent|started)", re.I)
_LEAST_STATUS = 100  # of HTTP; providers give 0 to lines that they did not send
_EARLIER = Attempt(0, 0, 0)  # stands for one that is stored


class Action(StrEnum):
    """What becomes of a request when the line of its results is read."""

    SUCCEED = "succeed"
    FAIL = "fail"
    LEAVE = "leave"  # it leaves its part and is sent again
    STOP = "stop"  # every further line may fail alike: the whole part decides (part_failures.py)


class Sent(msgspec.Struct, frozen=True):
    """How a part was sent: from ``began_at`` to ``ended_at`` (epoch ms), at a ``level`` of the schema
    (structured_output.py)."""

    began_at: int
    ended_at: int
    level: int = 0


class JudgedLine(msgspec.Struct, frozen=True, gc=False):
    """``finding`` is None where the line was never sent. ``parameter`` is the one of the user's own line
    that the model rejects, if that is why to stop."""

    action: Action
    finding: Classification | None = None
    parameter: str | None = None


_NEVER_SENT = JudgedLine(Action.LEAVE)


def finding_of(line: LineResult, url: str) -> Classification | None:
    """What a line says of a request to ``url``; None where it was never sent."""
    reply = line.reply
    if reply is not None and reply.status >= _LEAST_STATUS:
        finding = classify(reply, url)
    elif reply is not None or not line.code or _NOT_RUN.search(line.code):
        return None
    else:
        finding = classify(_error_reply(line), url)
        msgspec.structs.force_setattr(finding, "http_status", None)
    # the answer may name none, or that of the deployment; the price is that of batches
    msgspec.structs.force_setattr(finding, "service_tier", BATCH_TIER)
    return finding


def _error_reply(line: LineResult) -> Reply:
    """The provider's own word for a line without an answer, as the error that it stands for."""
    error = {"code": line.code, "message": line.message or line.code}
    return Reply(500, {}, msgspec.json.encode({"error": error}))


class LineJudge:
    """Judges the lines of one part, for requests to ``url``. ``encode(request)`` gives the body as it
    would be sent now, ``encoded_then(request)`` as it was in the part."""

    def __init__(
        self,
        url: str,
        sent: Sent,
        policy: Policy,
        encode: Callable[[Request], bytes],
        encoded_then: Callable[[Request], bytes],
        structure: Structure | None = None,
        adjuster: ParameterAdjuster | None = None,
    ):
        self._url = url
        self.sent = sent
        self._policy = policy
        self._encode = encode
        self._encoded_then = encoded_then
        self._structure = structure
        self._adjuster = adjuster
        self._any_fits = structure is None and Outcome.OK not in policy.as_failed

    def answer(self, line: LineResult) -> BatchAnswer | None:
        """The answer of a line whose request succeeds with it, whatever else is known of the request: of nearly all
        lines. None: ``judge`` decides."""
        reply = line.reply
        if reply is None or reply.status != 200 or not self._any_fits or self._url != CHAT:
            return None
        plain = plain_answer(reply.body)
        if plain is None:
            return None
        usage = usage_of(plain.usage, CHAT)
        if usage is None:
            return None
        return BatchAnswer(reply.body, 200, usage, plain.model, Outcome.OK, STOP)

    def answer_of(self, finding: Classification | None) -> BatchAnswer | None:
        """The same for what a line says."""
        if finding is None or finding.cause is not None or not self._any_fits:
            return None
        usage, response, status = finding.usage, finding.response, finding.http_status
        if usage is None or response is None or status is None:
            return None
        if finding.outcome in self._policy.as_failed:
            return None
        return BatchAnswer(
            response, status, usage, finding.model, finding.outcome, finding.finish_reason
        )

    def finding(self, line: LineResult) -> Classification | None:
        """As finding_of."""
        return finding_of(line, self._url)

    def needs_request(self, finding: Classification | None) -> bool:
        """Whether ``judge`` needs the request itself."""
        if finding is None:
            return False
        if finding.cause is None:
            return finding.usage is None
        return finding.rejected is not None or self._structure is not None

    def judge(
        self, finding: Classification | None, request: Request | None, tried: Tried
    ) -> JudgedLine:
        """Decide what becomes of a request. ``request`` may be None where it is not needed."""
        if finding is None:
            return _NEVER_SENT
        if finding.cause is None:
            if finding.usage is None and request is not None:
                finding = with_estimate(finding, request, self._encoded_then(request))
            finding = judged(finding, self._policy.as_failed, self._structure)
            if finding.cause is None:
                return JudgedLine(Action.SUCCEED, finding)
        return self._failed(finding, request, tried)

    def _failed(self, finding: Classification, request: Request | None, tried: Tried) -> JudgedLine:
        if request is not None and not is_delivered(finding):
            asked_otherwise = self._asked_otherwise(finding, request)
            if asked_otherwise is not None:
                return asked_otherwise
        if stops(self._policy, finding):
            return JudgedLine(Action.STOP, finding)
        again = finding.verdict in (Verdict.RETRY, Verdict.WAIT)
        if again and tried.charged < self._policy.max_retries:
            return JudgedLine(Action.LEAVE, finding)
        return JudgedLine(Action.FAIL, finding)

    def _asked_otherwise(self, finding: Classification, request: Request) -> JudgedLine | None:
        """Where the endpoint rejects how it was asked: the request is sent again in another way, which
        costs no retry. None where there is none."""
        structure = self._structure
        if structure is not None and structure.falls_back(request, self.sent.level, finding):
            return JudgedLine(Action.LEAVE, finding)
        if self._adjuster is None or finding.rejected is None:
            return None
        sent = self._encoded_then(request)
        asked = structure.fields(self._url) if structure is not None else {}
        found = self._adjuster.treat(request, sent, finding, frozenset(asked))
        if found is None:
            return None
        if found.own is not None:
            stop = not self._policy.own_parameters
            return JudgedLine(Action.STOP, finding, found.own) if stop else None
        return JudgedLine(Action.LEAVE, finding) if self._encode(request) != sent else None

    def attempt(self, line: JudgedLine, tried: Tried) -> Attempt | None:
        """The attempt that a line was; None where it was never sent. Its time is that of the part."""
        if line.finding is None:
            return None
        began, ended = self.sent.began_at, self.sent.ended_at
        return attempt_of(line.finding, tried.attempts + 1, began, max(0, ended - began))

    def result(self, line: JudgedLine, index: int, tried: Tried) -> RequestResult:
        """The result of a request that has succeeded or failed. It has no latency: how long the provider
        took for one line of a batch is not known."""
        attempt = self.attempt(line, tried)
        if line.finding is None or attempt is None:
            raise ValueError("a line that was never sent is no result")
        attempts = (_EARLIER,) * tried.attempts + (attempt,) if tried.attempts else (attempt,)
        return result_of(line.finding, index, attempts, self.sent.began_at, now_ms(), None)
