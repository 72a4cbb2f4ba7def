"""Health and figures of the runner of a process, for /readyz and /metrics."""

import msgspec

from ..core.domain import GovernorState


class Health(msgspec.Struct, frozen=True):
    """``dead`` names the greenlets that should work and do not; ``silent_s`` is how long ago the
    scheduler last looked at the jobs, None where another process runs them."""

    state: str  # here, elsewhere
    dead: list[str]
    silent_s: float | None
    storage_fault: str | None


class RunnerStats(msgspec.Struct, frozen=True):
    """Figures of an active runner. ``lag_s`` is how long the oldest uncommitted result has waited
    for its commit."""

    governors: dict[str, GovernorState]  # by the alias of their API config
    job_runs: int
    queue: int  # results that wait for their commit
    lag_s: float
    commits: int
    commit_s: float  # all of them together
    longest_commit_s: float
    answers_bytes: int  # in memory, of all answers; and how many are paused for lack of memory
    answers_waiting: int


def figures_of(providers, job_runs: int, recorder) -> RunnerStats:
    """The figures of a process that makes calls."""
    return RunnerStats(
        governors=providers.governors(),
        job_runs=job_runs,
        queue=recorder.waiting,
        lag_s=recorder.lag_s,
        commits=recorder.commits,
        commit_s=recorder.commit_s,
        longest_commit_s=recorder.longest_commit_s,
        answers_bytes=providers.answers.used,
        answers_waiting=providers.answers.waiting,
    )
