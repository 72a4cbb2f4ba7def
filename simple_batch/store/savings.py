"""What a job cost and what it saved, for everything that shows a cost (docs/money.md)."""

from decimal import Decimal
from typing import NamedTuple, TypedDict

from ..core.call_prices import NANO
from ..core.saving_words import SAVED_BY
from .jobs import SAVED_BY as _COUNTED
from .models import Job


class Cost(TypedDict):
    amount: float | None  # in units of the currency; None where it is not known
    currency: str


class SavingJson(TypedDict):
    """What one way saved, as ``Saving`` has it."""

    by: str
    calls: int
    amount: float | None  # in units of the currency; None where the cost of the job is not known
    currency: str


class Saving(NamedTuple):
    """What one way saved: ``duplicates`` (identical requests of the job), ``reuse`` (answers of other
    jobs), ``cache`` (the provider's prompt cache; negative where writing cost more than reading saved),
    ``tier``, ``hours`` and ``batch`` (the provider's batch API). ``nano`` is in nano-units of the
    currency, None where the cost of the job is not known."""

    by: str
    calls: int
    nano: int | None
    currency: str

    def to_json(self) -> SavingJson:
        return {
            "by": self.by,
            "calls": self.calls,
            "amount": None if self.nano is None else float(Decimal(self.nano) / NANO),
            "currency": self.currency,
        }


def cost_nano(job: Job) -> int | None:
    """What was spent, in nano-units; None where any part of it is unknown."""
    if job.unpriced:
        return None
    config = job.config
    if not job.attempts and (config.input_price is None or config.output_price is None):
        return None
    return job.cost_nano


def cost(job: Job) -> Cost:
    """The same in units."""
    nano = cost_nano(job)
    amount = None if nano is None else float(Decimal(nano) / NANO)
    return {"amount": amount, "currency": job.currency}


def saved(job: Job) -> list[Saving]:
    """What the job saved, in the order of SAVED_BY; nothing that saved no call and no money."""
    found = {by: _counted(job, by) for by in _COUNTED}
    calls, nano = found["reuse"]
    found["duplicates"] = job.saved_calls - calls, job.saved_nano - nano
    known = cost_nano(job) is not None
    return [
        Saving(by, calls, nano if known else None, job.currency)
        for by, (calls, nano) in ((by, found[by]) for by in SAVED_BY)
        if calls or nano
    ]


def _counted(job: Job, by: str) -> tuple[int, int]:
    return getattr(job, f"saved_{by}_calls"), getattr(job, f"saved_{by}_nano")
