"""Ratings of answers: each user's, and what all users together say of an answer.

Both change in one transaction, so that pages, filters and exports never add up ratings. An answer that is
replaced takes its ratings out of the sum; they are kept as ratings of an earlier answer.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from ..core.clock import now_ms
from . import slow_reads
from .models import Job, RatedAnswer, Rating, database, lock_job
from .sort_key import folded

CHUNK = 500  # answers that are rated in one transaction
_LISTED = "(SELECT value FROM json_each(?))"
# what can be rated: a result ``x`` with an answer
HAS_ANSWER = "(x.status = 'succeeded' OR x.outcome IS NOT NULL)"
_ANSWERED = f"SELECT x.idx FROM result x WHERE x.job_id = ? AND x.idx IN {_LISTED} AND {HAS_ANSWER}"
_OWN = (
    "SELECT idx, score, labels, note FROM rating "
    f"WHERE job_id = ? AND idx IN {_LISTED} AND rater = ? AND replaced = FALSE"
)
_PUT = (
    "INSERT INTO rating (job_id, idx, rater, score, labels, note, at, replaced) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, FALSE) ON CONFLICT (job_id, idx, rater) DO UPDATE SET "
    "score = excluded.score, labels = excluded.labels, note = excluded.note, at = excluded.at, "
    "replaced = FALSE"
)
_REMOVE = f"DELETE FROM rating WHERE job_id = ? AND idx IN {_LISTED} AND rater = ?"
_OF_ANSWERS = (
    "SELECT idx, rater, score, labels, note, at FROM rating "
    f"WHERE job_id = ? AND idx IN {_LISTED} AND replaced = FALSE ORDER BY idx, rater"
)
_PUT_SUM = (
    "INSERT INTO rated_answer (job_id, idx, raters, score, labels, note) VALUES (?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (job_id, idx) DO UPDATE SET raters = excluded.raters, score = excluded.score, "
    "labels = excluded.labels, note = excluded.note"
)
_REMOVE_SUM = f"DELETE FROM rated_answer WHERE job_id = ? AND idx IN {_LISTED}"
_REPLACED = f"UPDATE rating SET replaced = TRUE WHERE job_id = ? AND idx IN {_LISTED}"
# by column: that an answer has a value there
HAS = {"rating": "g.score IS NOT NULL", "labels": "g.labels <> ''", "note": "g.note <> ''"}
_NOTHING: tuple = (None, (), "")  # score, labels, note
_labels = msgspec.json.Decoder(tuple[str, ...]).decode


class UserRating(NamedTuple):
    """What one user says of an answer; ``rater`` is empty for one without a login."""

    rater: str
    score: int | None
    labels: tuple[str, ...]
    note: str
    at: int  # epoch ms


class Change(msgspec.Struct, frozen=True):
    """A change of one user's ratings. What is not set stays: ``score`` (None takes it back), labels that
    are added and removed, ``note``."""

    score: int | UnsetType | None = UNSET
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    note: str | UnsetType = UNSET

    def of(self, score: int | None, labels: Sequence[str], note: str) -> tuple:
        """The changed score, labels and note."""
        kept = [label for label in labels if label not in self.remove]
        return (
            score if self.score is UNSET else self.score,
            tuple(dict.fromkeys((*kept, *self.add))),
            note if self.note is UNSET else self.note,
        )


def write(job_id: int, indices: Iterable[int], rater: str, change: Change) -> int:
    """Change a user's ratings of up to CHUNK answers; requests without an answer are left out. Returns
    how many answers there were."""
    with database.atomic():
        lock_job(job_id)
        rows = database.execute_sql(_ANSWERED, (job_id, _json(indices)))
        found = [index for (index,) in rows.fetchall()]
        own = {
            index: (score, _labels(labels), note)
            for index, score, labels, note in database.execute_sql(
                _OWN, (job_id, _json(found), rater)
            )
        }
        changed = {index: change.of(*own.get(index, _NOTHING)) for index in found}
        empty = [index for index, values in changed.items() if values == _NOTHING]
        database.execute_sql(_REMOVE, (job_id, _json(empty), rater))
        at = now_ms()
        put = [
            (job_id, index, rater, score, _json(labels), note, at)
            for index, (score, labels, note) in changed.items()
            if (score, labels, note) != _NOTHING
        ]
        if put:
            database.executemany(_PUT, put)
        _sum_up(job_id, found)
    return len(found)


def _json(values: Iterable) -> str:
    return msgspec.json.encode(list(values)).decode()


def _sum_up(job_id: int, indices: Sequence[int]) -> None:
    """Compute what all users say of these answers."""
    found = of_answers(job_id, indices)
    gone = [index for index in indices if index not in found]
    database.execute_sql(_REMOVE_SUM, (job_id, _json(gone)))
    sums = [(job_id, index, *_sum_of(given)) for index, given in found.items()]
    if sums:
        database.executemany(_PUT_SUM, sums)


def _sum_of(given: Sequence[UserRating]) -> tuple[int, int | None, str, str]:
    scores = [one.score for one in given if one.score is not None]
    labels = dict.fromkeys(label for one in given for label in one.labels)
    notes = [one for one in given if one.note]
    alone = len(given) == 1
    return (
        len(given),
        round(100 * sum(scores) / len(scores)) if scores else None,
        ", ".join(labels),
        "\n".join(one.note if alone else f"{one.rater or '–'}: {one.note}" for one in notes),
    )


def of_answers(job_id: int, indices: Sequence[int]) -> dict[int, list[UserRating]]:
    """The ratings that count, by the index of the request, in the order of the users' names."""
    if not indices:
        return {}
    rows = database.execute_sql(_OF_ANSWERS, (job_id, _json(indices))).fetchall()
    return {
        index: [
            UserRating(rater, score, _labels(labels), note, at)
            for _index, rater, score, labels, note, at in group
        ]
        for index, group in groupby(rows, key=lambda row: row[0])
    }


def sums(job_id: int, indices: Sequence[int]) -> dict[int, tuple[int | None, str, str]]:
    """What all users say of answers, by the index of the request: the mean score in hundredths, labels,
    note."""
    rows = database.execute_sql(
        f"SELECT idx, score, labels, note FROM rated_answer WHERE job_id = ? AND idx IN {_LISTED}",
        (job_id, _json(indices)),
    )
    return {index: (score, labels, note) for index, score, labels, note in rows}


def of_earlier_answers(job_id: int, index: int) -> list[UserRating]:
    """The ratings of one request that an answer had which was replaced since."""
    rows = Rating.select().where(
        (Rating.job == job_id) & (Rating.idx == index) & (Rating.replaced == True)  # noqa: E712 - SQL
    )
    return [
        UserRating(row.rater, row.score, _labels(row.labels), row.note, row.at)
        for row in rows.order_by(Rating.rater)
    ]


def scored_by(job_id: int, rater: str, indices: Sequence[int]) -> set[int]:
    """Those of the requests whose answers a user has given a score."""
    rows = database.execute_sql(_OWN, (job_id, _json(indices), rater)).fetchall()
    return {index for index, score, _labels, _note in rows if score is not None}


def exist(job_id: int) -> bool:
    """Whether an answer of the job has a rating that counts."""
    return RatedAnswer.select().where(RatedAnswer.job == job_id).exists()


def replaced(job_id: int, indices: Sequence[int]) -> None:
    """The answers of these requests were removed: their ratings count no more. Call it in the
    transaction that removes them."""
    if not indices:
        return
    listed = _json(indices)
    if database.execute_sql(_REPLACED, (job_id, listed)).rowcount:
        database.execute_sql(_REMOVE_SUM, (job_id, listed))


def labels_of(job: Job) -> tuple[str, ...]:
    """The labels that the job offers."""
    return _labels(job.rating_labels)


def set_up(job_id: int, scale: str, labels: Sequence[str]) -> bool:
    """Set the scale and the labels of a job; False where answers have scores of another scale."""
    with database.atomic():
        lock_job(job_id)
        job = Job.get_by_id(job_id)
        if job.rating_scale != scale:
            if count(job_id, "rating"):
                return False
            Rating.update(score=None).where(Rating.job == job_id).execute()
        Job.update(rating_scale=scale, rating_labels=_json(labels)).where(
            Job.id == job_id
        ).execute()
    return True


def shown_score(hundredths: int | None) -> int | float | None:
    """A mean as a number: whole where it is."""
    if hundredths is None:
        return None
    return hundredths // 100 if hundredths % 100 == 0 else hundredths / 100


def counted_label_sets(job_id: int) -> dict[str, int]:
    """How many answers have the same labels, by these as they are written, in the order of the file."""
    return dict(
        slow_reads.rows(
            "SELECT labels, count(*) FROM rated_answer WHERE job_id = ? AND labels <> '' "
            "GROUP BY labels ORDER BY min(idx)",
            (job_id,),
        )
    )


def count(job_id: int, column: str) -> int:
    """How many answers have a value in a column of ratings."""
    query = f"SELECT count(*) FROM rated_answer g WHERE g.job_id = ? AND {HAS[column]}"
    return slow_reads.rows(query, (job_id,))[0][0]


def counted_labels(job_id: int) -> dict[str, int]:
    """In how many answers each label is, as the first of them writes it: conditions find it in any case.
    The most frequent first."""
    counts: dict[str, int] = {}
    written: dict[str, str] = {}
    for labels, count in counted_label_sets(job_id).items():
        spellings: dict[str, str] = {}
        for label in labels.split(", "):
            spellings.setdefault(folded(label), label)
        for key, label in spellings.items():
            written.setdefault(key, label)
            counts[key] = counts.get(key, 0) + count
    found = {written[key]: count for key, count in counts.items()}
    return dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))


def counted_scores(job_id: int) -> dict[Any, int]:
    """How many answers have each score; the lowest first."""
    rows = slow_reads.rows(
        "SELECT score, count(*) FROM rated_answer WHERE job_id = ? AND score IS NOT NULL "
        "GROUP BY score ORDER BY score",
        (job_id,),
    )
    return {shown_score(score): count for score, count in rows}
