"""How a job ended, in the words of e-mails and of chat tools."""

from collections.abc import Callable, Iterator

from ..core.call_prices import in_units
from ..core.domain import Outcome
from ..core.languages import translated
from ..core.messages import Message, listed, translatable
from ..core.saving_words import SAVED_BY
from ..core.settings import Settings
from ..store import outcome_counts, savings
from ..store.models import Job
from ..store.outcome_status import FLAWED, OutcomeStatus, outcome_status

_OUTCOMES = {
    Outcome.OK: translatable("OK"),
    Outcome.CUT_OFF: translatable("cut off"),
    Outcome.REFUSED: translatable("refused"),
    Outcome.EMPTY: translatable("empty"),
    Outcome.TOOL_CALL: translatable("tool call"),
    Outcome.SCHEMA: translatable("doesn't match schema"),
}


def title(job: Job, _: Callable[[str], str]) -> str:
    """The job's name and how it ended, in the language of the catalogue ``_``."""
    status = translated(status_words(job), _)
    return _("%(name)s is %(status)s") % {"name": job.name, "status": status}


def lines(settings: Settings, job: Job, _: Callable[[str], str]) -> list[str]:
    """Figures of the end, why it ended, and the job's address where the server knows its own."""
    found = [
        _("%(ok)s succeeded, %(bad)s failed, %(left)s remaining of %(all)s")
        % {
            "ok": f"{job.succeeded:,}",
            "bad": f"{job.failed:,}",
            "left": f"{job.total - job.succeeded - job.failed:,}",
            "all": f"{job.total:,}",
        }
    ]
    if answers := answers_line(job):
        found.append(translated(answers, _))
    if money := [translated(line, _) for line in money_lines(job)]:
        found.append("\n".join(money))
    if job.status_detail:
        found.append(translated(job.status_detail, _))
    if settings.PUBLIC_URL:
        page = "/results" if job.succeeded else ""
        found.append(f"{settings.PUBLIC_URL.rstrip('/')}/jobs/{job.id}{page}")
    return found


def status_words(job: Job) -> Message:
    """The status, with what is not good in it."""
    status = outcome_status(job)
    if status == OutcomeStatus.COMPLETED_WITH_FAILURES and job.failed:
        return translatable("completed, %(n)s failed", n=f"{job.failed:,}")
    if status == OutcomeStatus.CANCELLED:
        return translatable("cancelled at %(percent)s", percent=_answered(job))
    if status == OutcomeStatus.EXPIRED:
        return translatable("expired at %(percent)s", percent=_answered(job))
    if status != OutcomeStatus.COMPLETED:
        return translatable(str(status if status == OutcomeStatus.FAILED else job.status))
    flawed = {
        name: count for name, count in outcome_counts.of(job).items() if name in FLAWED and count
    }
    if len(flawed) > 1:
        return translatable("completed, %(n)s answers not OK", n=f"{sum(flawed.values()):,}")
    for name, count in flawed.items():
        return translatable("completed, %(n)s %(outcome)s", n=f"{count:,}", outcome=_OUTCOMES[name])
    return translatable("completed")


def _answered(job: Job) -> str:
    """The share of answers, rounded down."""
    return f"{100 * (job.succeeded + job.failed) // job.total if job.total else 0}%"


def answers_line(job: Job) -> Message | None:
    """What the answers are worth; None where all of them are OK."""
    counts = {outcome: count for outcome, count in outcome_counts.of(job).items() if count}
    if not counts.keys() - {Outcome.OK}:
        return None
    parts = [
        translatable("%(count)s %(outcome)s", count=f"{count:,}", outcome=_OUTCOMES[outcome])
        for outcome, count in counts.items()
    ]
    return translatable("Answers: %(outcome)s", outcome=listed(parts))


def money_lines(job: Job) -> Iterator[Message]:
    """What it cost and saved; nothing where no call was made or saved."""
    saved = savings.saved(job)
    if job.attempts or saved:
        yield translatable("Cost: %(cost)s", cost=_money(savings.cost_nano(job), job.currency))
    for saving in saved:
        yield translatable(
            "%(saved_by)s: %(amount)s, calls: %(calls)s",
            saved_by=SAVED_BY[saving.by],
            amount=_money(saving.nano, saving.currency),
            calls=f"{saving.calls:,}",
        )


def _money(nano: int | None, currency: str) -> str:
    return translatable("unknown") if nano is None else in_units(nano, currency)
