"""How a finished job ended: the closing line of the commands that follow it, and their exit code."""

from collections.abc import Iterable

from ..core.domain import Outcome, RequestStatus
from ..services.fields import restored
from ..services.job_option_fields import OPTIONS
from ..services.lifecycle import GRACE_S
from ..store import outcome_counts
from ..store.models import Job, Result
from .base import ExitStatus, say

_WORDS = {
    Outcome.OK: "ok",
    Outcome.CUT_OFF: "cut off",
    Outcome.REFUSED: "refused",
    Outcome.EMPTY: "empty",
    Outcome.TOOL_CALL: "tool call",
    Outcome.SCHEMA: "not matching the schema",
}


def end_completed(job: Job, fail_on: Iterable[str] | None = None) -> ExitStatus:
    """Say how a completed job ended. Without ``fail_on`` the outcomes that the job names decide over
    the exit code."""
    say(f"Job {job.id}: {_succeeded(job)}{job.failed:,} failed.")
    names = restored(OPTIONS["fail_on"], job.fail_on) if fail_on is None else fail_on
    counts = outcome_counts.of(job)
    hit = {Outcome(name): counts[Outcome(name)] for name in names if counts[Outcome(name)]}
    if hit:
        say(f"Exit code {ExitStatus.SOME_FAILED:d} by --fail-on: {_counted(hit)}.")
    return ExitStatus.SOME_FAILED if job.failed or hit else ExitStatus.DONE


def _succeeded(job: Job) -> str:
    """“63 succeeded: 48 ok, 12 cut off, 3 empty; ”; only the number where none succeeded, all are ok
    or not all are known."""
    counts = _of_succeeded(job)
    text = f"{job.succeeded:,} succeeded"
    if sum(counts.values()) != job.succeeded or counts.keys() <= {Outcome.OK}:
        return f"{text}, "
    return f"{text}: {_counted(counts)}; "


def _of_succeeded(job: Job) -> dict[Outcome, int]:
    """Requests that succeeded, by outcome. The job's counters hold those that failed for it too."""
    counts = outcome_counts.of(job)
    if sum(counts.values()) > job.succeeded:
        failed = Result.select(Result.idx).where(
            (Result.job == job.id) & (Result.status == RequestStatus.FAILED)
        )
        for outcome in Outcome:
            if outcome is not Outcome.OK and counts[outcome]:
                counts[outcome] -= failed.where(Result.outcome == outcome).count()
    return {outcome: count for outcome, count in counts.items() if count}


def _counted(counts: dict[Outcome, int]) -> str:
    return ", ".join(f"{count:,} {_WORDS[outcome]}" for outcome, count in counts.items())


def stopping_line(continues: str) -> str:
    """What is said when a process is to end; ``continues`` is the command that continues its jobs."""
    return (
        f"Stopping: calls in flight have {GRACE_S:g} s to finish. Ctrl-C again stops now. "
        f"To continue: {continues}"
    )
