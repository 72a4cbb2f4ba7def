"""Answers that a job treats as failed: those that are cut off, refused or empty, as its options say.

Such an answer is a failed attempt, retried like others. Its tokens and its cost count; the last one
is kept with the request that has failed.
"""

from collections.abc import Collection

from ..core import schema
from ..core.domain import Cause, Outcome, RequestResult, RequestStatus, Verdict
from ..core.stored_messages import ANSWER_CUT_OFF, ANSWER_EMPTY, ANSWER_REFUSED, MODEL_REFUSES
from .classify import Classification, disqualified

CAUSES = {
    Outcome.CUT_OFF: Cause.BAD_RESPONSE,
    Outcome.EMPTY: Cause.BAD_RESPONSE,
    Outcome.REFUSED: Cause.CONTENT_FILTER,
}
_LONGEST = 400  # characters of a refusal


def treated(finding: Classification, as_failed: Collection[Outcome]) -> Classification:
    """An answer; as a failed attempt if its outcome is one of these."""
    outcome = finding.outcome
    if outcome is None or outcome not in as_failed:
        return finding
    return disqualified(finding, CAUSES[outcome], _message(finding), Verdict.RETRY, outcome)


def is_unwanted(result: RequestResult, as_failed: Collection[Outcome]) -> bool:
    """Whether a request has failed because its answer has one of these outcomes."""
    return result.status is RequestStatus.FAILED and result.outcome in as_failed


def _message(finding: Classification) -> str:
    reason = finding.finish_reason or "-"
    if finding.outcome is Outcome.CUT_OFF:
        return ANSWER_CUT_OFF(reason=reason)
    if finding.outcome is Outcome.EMPTY:
        return ANSWER_EMPTY(reason=reason)
    refusal = schema.given(finding.response or b"").refusal[:_LONGEST]
    return MODEL_REFUSES(answer=refusal) if refusal else ANSWER_REFUSED(reason=reason)
