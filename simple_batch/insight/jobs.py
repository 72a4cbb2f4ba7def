"""The list of jobs."""

from typing import NamedTuple

from peewee import SQL, Expression, Value, fn

from ..core.clock import now_ms
from ..core.errors import InvalidInput
from ..core.identity import Scope
from ..core.messages import translatable
from ..store import visibility
from ..store.models import TIMELINE_WIDTHS, ApiConfig, Job, Timeline, User
from ..store.outcome_status import SHOWN, outcome_status, shown_as
from ..store.savings import cost_nano
from .page import Page
from .summary import (
    Counts,
    Outcomes,
    WaitingState,
    counts,
    eta_s,
    live_of,
    outcomes,
    rate_now,
    split_tags,
    waiting,
)

SORTS = {
    "created": Job.created_at,
    "name": Job.name,
    "status": Job.status,
    "total": Job.total,
    "failed": Job.failed,
    "cost": Job.cost_nano,
}
SPARK_POINTS = 60
# What rows need. Naming a hundred columns takes longer than the query, and some hold whole templates.
_ROW_COLUMNS = (
    *(Job.id, Job.name, Job.tags, Job.status, Job.status_reason, Job.config, Job.user, Job.sharing),
    *(Job.total, Job.succeeded, Job.failed, Job.cancelled, Job.attempts, Job.live),
    *(Job.outcome_ok, Job.outcome_cut_off, Job.outcome_refused, Job.outcome_empty),
    *(Job.outcome_tool_call, Job.outcome_schema, Job.currency, Job.cost_nano, Job.unpriced),
    *(Job.created_at, Job.started_at, Job.resumed_at, Job.finished_at, Job.active_ms),
    *(ApiConfig.id, ApiConfig.alias, ApiConfig.input_price, ApiConfig.output_price),
    *(User.id, User.name),
)
MINE, SHARED = "mine", "shared"  # lists of jobs


class Whose(NamedTuple):
    """A list of jobs: those of a user, or those that others share with everybody."""

    user: int | None
    list: str  # MINE, SHARED


class JobRow(Counts):
    """A row of the list of jobs; moments are epoch ms."""

    id: int
    name: str
    tags: list[str]
    status: str  # of JobStatus
    status_reason: str
    outcome_status: str | None  # of OutcomeStatus; None while it is not final
    outcomes: Outcomes
    waiting: WaitingState | None
    config: str  # alias
    owner: str | None  # user name
    sharing: str  # of Sharing
    rate: float  # requests finished per second; 0 while it makes no calls
    throughput: list[int]  # requests finished in each of at most SPARK_POINTS stretches of its life
    eta_s: int | None
    cost_nano: int | None  # nano-units of the currency; None where it is not known
    currency: str
    created_at: int
    started_at: int | None
    finished_at: int | None


def jobs_page(
    status: str | None = None,
    q: str = "",
    config: str | None = None,
    sort: str = "-created",
    page: int = 1,
    per_page: int = 50,
    viewer: Scope | None = None,
    shown: str | None = None,
    whose: Whose | None = None,
    tag: str | None = None,
) -> Page[JobRow]:
    """Jobs that the viewer sees (None: all) by status, by the status that they are shown with
    (outcome_status.py), part of the name or of a tag, config alias, owner, and tag, whatever its case; ``sort`` is a name of SORTS, with ``-``
    before it descending. Raises InvalidInput for another sort."""
    column = SORTS.get(sort.removeprefix("-"))
    if column is None:
        raise InvalidInput(
            translatable(
                "sort=%(sort)r: use one of %(allowed)s.", sort=sort, allowed=", ".join(SORTS)
            ),
            "sort",
        )
    query = Job.select(*_ROW_COLUMNS).join(ApiConfig).switch(Job).left_outer_join(User)
    query = query.where(_listed(viewer, whose, q, config, tag))
    if status:
        query = query.where(Job.status == status)
    if shown:
        query = query.where(shown_as(shown))
    order = column.desc() if sort.startswith("-") else column.asc()
    rows = query.order_by(order, Job.id.desc()).paginate(max(1, page), per_page)
    return Page([_row(job) for job in rows], max(1, page), per_page, query.count())


def _listed(
    viewer: Scope | None, whose: Whose | None, q: str, config: str | None, tag: str | None
) -> Expression:
    """The condition of all filters of the list but the status."""
    found = Job.deleted_at.is_null()
    if viewer is not None:
        found &= visibility.jobs(viewer)
    if whose is not None:
        found &= visibility.whose(*whose)
    if q:
        found &= Job.name.contains(q) | Job.tags.contains(q)
    if tag:
        found &= Value(", ").concat(Job.tags).concat(", ").contains(f", {tag}, ")
    if config:
        found &= ApiConfig.alias == config
    return found


def finished_jobs(condition, limit: int) -> list[JobRow]:
    """The jobs under a condition that ended last."""
    query = Job.select(*_ROW_COLUMNS).join(ApiConfig).switch(Job).left_outer_join(User)
    ended = Job.finished_at.is_null(False) & Job.deleted_at.is_null() & condition
    query = query.where(ended).order_by(Job.finished_at.desc(), Job.id.desc()).limit(limit)
    return [_row(job) for job in query]


def job_tags(viewer: Scope | None = None) -> list[str]:
    """The tags of all jobs that the viewer sees (None: all), by name."""
    query = Job.select(Job.tags).where((Job.tags != "") & Job.deleted_at.is_null())
    if viewer is not None:
        query = query.where(visibility.jobs(viewer))
    found: dict[str, str] = {}
    for (text,) in query.distinct().tuples():
        for tag in split_tags(text):
            found.setdefault(tag.casefold(), tag)
    return [found[key] for key in sorted(found)]


def job_counts(viewer: Scope | None = None) -> dict[str, int]:
    """How many jobs that the viewer sees (None: all) there are in each status."""
    query = Job.select(Job.status, fn.COUNT(Job.id)).where(Job.deleted_at.is_null())
    if viewer is not None:
        query = query.where(visibility.jobs(viewer))
    return dict(query.group_by(Job.status).tuples())


def shown_counts(
    viewer: Scope | None = None,
    whose: Whose | None = None,
    q: str = "",
    config: str | None = None,
    tag: str | None = None,
) -> dict[str, int]:
    """How many jobs are shown with each status, of those that jobs_page lists with these filters."""
    query = Job.select(SHOWN, fn.COUNT(Job.id)).join(ApiConfig)
    query = query.where(_listed(viewer, whose, q, config, tag))
    # by its place: PostgreSQL takes the same expression with other parameters for another one
    return dict(query.group_by(SQL("1")).tuples())


def _row(job: Job) -> JobRow:
    live = live_of(job)
    return {
        "id": job.id,
        "name": job.name,
        "tags": split_tags(job.tags),
        "status": job.status,
        "status_reason": job.status_reason,
        "outcome_status": outcome_status(job),
        "outcomes": outcomes(job),
        "waiting": waiting(job, live),
        "config": job.config.alias,
        "owner": job.user.name if job.user is not None else None,
        "sharing": job.sharing,
        **counts(job, live),
        "rate": rate_now(job),
        "throughput": _throughput(job),
        "eta_s": eta_s(job),
        "cost_nano": cost_nano(job),
        "currency": job.currency,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
    }


def _throughput(job: Job) -> list[int]:
    """Requests finished in each of at most SPARK_POINTS stretches of the job's life."""
    if job.started_at is None:
        return []
    start = job.started_at // 1000
    end = (job.finished_at or now_ms()) // 1000 + 1
    fitting = (width for width in TIMELINE_WIDTHS if (end - start) / width <= SPARK_POINTS)
    width = next(fitting, TIMELINE_WIDTHS[-1])
    rows = (
        Timeline.select(Timeline.t, Timeline.succeeded + Timeline.failed)
        .where((Timeline.job == job.id) & (Timeline.width == width) & (Timeline.t < end))
        .order_by(Timeline.t.desc())
        .limit(SPARK_POINTS)
        .tuples()
    )
    found = dict(rows)
    if not found:
        return []
    last = end - end % width
    first = max(min(found), last - (SPARK_POINTS - 1) * width)
    return [found.get(t, 0) for t in range(first, last + 1, width)]
