"""The counters of a job by outcome: changes of them, for the transaction of the results that move them."""

from collections.abc import Iterable, Mapping
from typing import Any

from ..core.domain import Outcome
from .models import Job

_COUNTERS = {outcome.value: getattr(Job, f"outcome_{outcome}") for outcome in Outcome}


def of(job: Job) -> dict[Outcome, int]:
    """Results of a job by what their answers are worth."""
    return {outcome: getattr(job, f"outcome_{outcome}") for outcome in Outcome}


def added(counts: Mapping[str, int]) -> dict[Any, Any]:
    """Columns for ``Job.update`` where results are added, counted by outcome."""
    return {_COUNTERS[one]: _COUNTERS[one] + count for one, count in counts.items() if count}


def removed(outcomes: Iterable[str | None]) -> dict[Any, Any]:
    """The same where results with these outcomes are gone; None is that of a result without one."""
    counts: dict[str, int] = {}
    for one in outcomes:
        if one is not None:
            counts[one] = counts.get(one, 0) - 1
    return added(counts)


def not_ok(job: Job) -> int:
    """How many results of the job have an answer that is not OK."""
    return sum(getattr(job, f"outcome_{one}") for one in Outcome if one is not Outcome.OK)


def zero() -> dict[Any, int]:
    """The same where no result is left."""
    return dict.fromkeys(_COUNTERS.values(), 0)
