"""Why a batch makes no progress until something is done about it, as OpenAI's ``errors`` say it.

OpenAI's batches know no such state: their status stays ``in_progress``. The codes are those of
OpenAI's API errors where it has one; another reason is its own code.
"""

from ..core.command_names import in_words_of_program
from ..core.domain import Cause, JobStatus
from ..store.models import Job

_CODES = {
    str(Cause.AUTH): "invalid_api_key",
    str(Cause.QUOTA): "insufficient_quota",
    str(Cause.NOT_FOUND): "model_not_found",
    str(Cause.RATE_LIMIT): "rate_limit_exceeded",
    str(Cause.OVERLOADED): "server_overloaded",
    "spend_cap": "billing_hard_limit_reached",
    "internal": "server_error",
}
# their detail says when the job goes on by itself, or what makes it do so
_BY_ITSELF = (Cause.RATE_LIMIT, Cause.OVERLOADED, "spend_cap")
_ASKED_FOR = ("user", "held")  # paused on purpose: nothing is wrong
_SO_FAR = "What has finished so far can be read already; cancelling ends the batch with that."


def is_stopped(job: Job) -> bool:
    """Whether a failed call or a spend cap paused it, and not a user."""
    return job.status == JobStatus.PAUSED and job.status_reason not in _ASKED_FOR


def error(job: Job) -> dict:
    """One entry of ``errors.data`` for a job that is stopped."""
    detail = str(job.status_detail) or f"The batch is paused ({job.status_reason})."
    if job.status_reason not in _BY_ITSELF:
        detail += in_words_of_program(
            f" To resume it: the page of job {job.id}, or flask resume-job {job.id}."
        )
    code = _CODES.get(job.status_reason, job.status_reason)
    return {"code": code, "message": f"{detail} {_SO_FAR}", "param": None, "line": None}
