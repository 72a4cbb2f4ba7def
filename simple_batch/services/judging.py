"""Users rate answers: a score, labels and a note each. docs/results.md describes it."""

import itertools

from msgspec import UNSET, UnsetType

from ..core import identity
from ..core.clock import give_way
from ..core.domain import SCORES, RatingScale
from ..core.errors import Conflict, InvalidInput
from ..core.messages import translatable
from ..export.rows import rows as exported_rows
from ..store import ratings
from ..store.models import Job, Result
from ..store.ratings import Change
from ..store.request_filter import RequestFilter
from ..store.row_selection import MAX_ROWS, Selection
from . import jobs

LONGEST_LABEL, LONGEST_NOTE = 50, 2_000  # characters
MOST_LABELS = 20  # that a job offers, or that an answer has of one user
NO_SCORE = "none"


def rater() -> str:
    """The name that the caller's ratings are kept under; empty without a login."""
    caller = identity.current()
    return caller.name if caller.user is not None else ""


def change(
    job: Job,
    score: str | None = None,
    add: list[str] | None = None,
    remove: list[str] | None = None,
    note: str | None = None,
) -> Change:
    """A change as forms give it: ``score`` of the job's scale, or NO_SCORE; None leaves a value as it
    is. Raises InvalidInput."""
    return Change(
        score=_score(job, score),
        add=tuple(filter(None, map(label, add or ()))),
        remove=tuple(remove or ()),
        note=UNSET if note is None else _note(note),
    )


def _score(job: Job, text: str | None) -> int | UnsetType | None:
    if not text:
        return UNSET
    if text == NO_SCORE:
        return None
    allowed = SCORES[RatingScale(job.rating_scale)]
    if text not in map(str, allowed):
        raise InvalidInput(
            translatable(
                "score=%(score)r: use one of %(allowed)s.",
                score=text[:60],
                allowed=", ".join([*map(str, allowed), NO_SCORE]),
            ),
            "score",
        )
    return int(text)


def label(text: str) -> str:
    """A label as it is kept: on one line, without commas. Raises InvalidInput for a long one."""
    text = " ".join(text.replace(",", " ").split())
    if len(text) > LONGEST_LABEL:
        raise InvalidInput(
            translatable("Use labels of up to %(most)s characters.", most=LONGEST_LABEL), "label"
        )
    return text


def _note(text: str) -> str:
    text = text.replace("\r\n", "\n").strip()
    if len(text) > LONGEST_NOTE:
        raise InvalidInput(
            translatable("Use notes of up to %(most)s characters.", most=LONGEST_NOTE), "note"
        )
    return text


def rate(job_id: int, index: int, change: Change, answered_at: int | None = None) -> None:
    """Change the caller's rating of one answer. Raises Conflict where there is no answer, or where it is
    not the one that ended at ``answered_at``."""
    result = Result.get_or_none((Result.job == job_id) & (Result.idx == index))
    if answered_at is not None and (result is None or result.finished_at != answered_at):
        raise Conflict(translatable("The answer has changed. Read it again, then rate it."))
    before = ratings.of_answers(job_id, [index]).get(index, [])
    own = next((one.labels for one in before if one.rater == rater()), ())
    if len({*own, *change.add} - {*change.remove}) > MOST_LABELS:
        raise InvalidInput(translatable("Use at most %(most)s labels.", most=MOST_LABELS), "label")
    if not ratings.write(job_id, [index], rater(), change):
        raise Conflict(translatable("There is no answer to rate yet."))


def rate_all(job_id: int, wanted: RequestFilter, selection: Selection, change: Change) -> int:
    """Change the caller's ratings of all answers that match. Returns how many there are. Raises
    InvalidInput where they are more than can be selected, Conflict where there is none."""
    if change == Change():
        raise InvalidInput(translatable("Choose a score or a label first."), "score")
    found = exported_rows(jobs.get(job_id), "all", wanted, selection)
    answered = (row.index for row in found if row.status == "succeeded" or row.outcome)
    indices = list(itertools.islice(answered, MAX_ROWS + 1))
    if len(indices) > MAX_ROWS:
        raise InvalidInput(
            translatable(
                "More than %(most)s answers match. Add a filter, for example an outcome.",
                most=f"{MAX_ROWS:,}",
            ),
            "outcome",
        )
    count = 0
    for begin in range(0, len(indices), ratings.CHUNK):
        part = indices[begin : begin + ratings.CHUNK]
        count += ratings.write(job_id, part, rater(), change)
        give_way()
    if not count:
        raise Conflict(translatable("None of these requests has an answer. Nothing was rated."))
    return count


def set_up(job_id: int, scale: str, labels: list[str]) -> None:
    """Choose the scale and the labels of a job. Raises InvalidInput, and Conflict where answers have
    scores of the other scale."""
    if scale not in set(RatingScale):
        raise InvalidInput(
            translatable(
                "scale=%(scale)r: use one of %(allowed)s.",
                scale=scale[:60],
                allowed=", ".join(RatingScale),
            ),
            "scale",
        )
    kept = tuple(dict.fromkeys(filter(None, map(label, labels))))
    if len(kept) > MOST_LABELS:
        raise InvalidInput(translatable("Use at most %(most)s labels.", most=MOST_LABELS), "label")
    if not ratings.set_up(job_id, scale, kept):
        raise Conflict(
            translatable(
                "Answers of this job have scores of the other scale. First select the rated rows "
                "and choose “No score”. Each user can remove only their own scores."
            )
        )
