"""Ratings in figures: of one job, how far users agree, and which of two jobs is rated better."""

from collections import Counter
from typing import TypedDict

from ..store import ratings, slow_reads
from ..store.models import Job

_MOST_PAIRS = 10
_SUMS = "SELECT count(*), count(score), avg(score) FROM rated_answer WHERE job_id = ?"
_RATERS = (
    "SELECT rater, count(*) FROM rating WHERE job_id = ? AND replaced = FALSE "
    "GROUP BY rater ORDER BY 2 DESC, 1"
)
_SCORES = (
    "SELECT score, count(*) FROM rating WHERE job_id = ? AND replaced = FALSE "
    "AND score IS NOT NULL GROUP BY score ORDER BY score"
)
_PAIRS = (
    "SELECT a.rater, b.rater, a.score, b.score, count(*) FROM rated_answer g "
    "JOIN rating a ON a.job_id = g.job_id AND a.idx = g.idx "
    "JOIN rating b ON b.job_id = g.job_id AND b.idx = g.idx AND b.rater > a.rater "
    "WHERE g.job_id = ? AND g.raters > 1 AND a.score IS NOT NULL AND b.score IS NOT NULL "
    "AND a.replaced = FALSE AND b.replaced = FALSE GROUP BY 1, 2, 3, 4"
)
_BETTER = (
    "SELECT sum(CASE WHEN a.score > b.score THEN 1 ELSE 0 END), "
    "sum(CASE WHEN a.score < b.score THEN 1 ELSE 0 END), count(*) FROM rated_answer a "
    "JOIN request r ON r.job_id = a.job_id AND r.idx = a.idx "
    "JOIN request s ON s.job_id = ? AND s.custom_id = r.custom_id "
    "JOIN rated_answer b ON b.job_id = s.job_id AND b.idx = s.idx "
    "WHERE a.job_id = ? AND a.score IS NOT NULL AND b.score IS NOT NULL"
)


class Agreement(TypedDict):
    """How far two users agree on the answers that both have scored."""

    users: list[str | None]  # None: without a login
    answers: int
    same: float  # share with the same score
    kappa: float | None  # Cohen's; None where one score alone was given


class RatingFigures(TypedDict):
    """The ratings of a job; those of answers that were replaced since are not counted."""

    scale: str  # of RatingScale
    rated: int  # answers
    scored: int  # answers
    mean: float | None  # of their scores: on the scale thumbs the share of 👍
    scores: list[dict]  # {score, count}: of all users
    labels: list[dict]  # {label, count}: answers
    users: list[dict]  # {user, count}: answers
    agreement: list[Agreement]  # of each two users, the most answers first


class Better(TypedDict):
    """Requests whose answers are scored in both jobs."""

    first: int  # better in the first job
    second: int
    same: int
    both: int


def rating_figures(job: Job) -> RatingFigures | None:
    """None for a job without ratings."""
    if not ratings.exist(job.id):
        return None
    [(rated, scored, mean)] = slow_reads.rows(_SUMS, (job.id,))
    users = slow_reads.rows(_RATERS, (job.id,))
    return {
        "scale": job.rating_scale,
        "rated": rated,
        "scored": scored,
        "mean": None if mean is None else round(float(mean) / 100, 4),
        "scores": [
            {"score": score, "count": count} for score, count in slow_reads.rows(_SCORES, (job.id,))
        ],
        "labels": [
            {"label": label, "count": count}
            for label, count in ratings.counted_labels(job.id).items()
        ],
        "users": [{"user": name or None, "count": count} for name, count in users],
        "agreement": _agreement(job.id) if len(users) > 1 else [],
    }


def _agreement(job_id: int) -> list[Agreement]:
    pairs: dict[tuple[str, str], Counter] = {}
    for first, second, one, other, count in slow_reads.rows(_PAIRS, (job_id,)):
        pairs.setdefault((first, second), Counter())[one, other] += count
    found: list[Agreement] = [
        {
            "users": [name or None for name in names],
            "answers": counts.total(),
            "same": round(_same(counts), 4),
            "kappa": kappa(counts),
        }
        for names, counts in sorted(pairs.items())
    ]
    return sorted(found, key=lambda one: -one["answers"])[:_MOST_PAIRS]


def _same(counts: Counter) -> float:
    return sum(count for (one, other), count in counts.items() if one == other) / counts.total()


def kappa(counts: Counter) -> float | None:
    """Cohen's kappa (1960) of two users, from how often each pair of scores was given: the agreement
    beyond what chance would give, (po - pe) / (1 - pe). None where it is not defined."""
    total = counts.total()
    first: Counter = Counter()
    second: Counter = Counter()
    for (one, other), count in counts.items():
        first[one] += count
        second[other] += count
    by_chance = sum(first[score] * second[score] for score in first) / total**2
    if by_chance == 1:
        return None
    return round((_same(counts) - by_chance) / (1 - by_chance), 4)


def better(first: Job, second: Job) -> Better | None:
    """In how many requests which of two jobs is rated better; None where no request is scored in both,
    or the scales differ."""
    if first.rating_scale != second.rating_scale:
        return None
    [(one, other, both)] = slow_reads.rows(_BETTER, (second.id, first.id))
    if not both:
        return None
    return {"first": one, "second": other, "same": both - one - other, "both": both}
