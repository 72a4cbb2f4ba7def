"""Requests of a job that deserve a look before its prompt is used again, the worst first."""

from ..core.domain import Outcome, RatingScale, RequestStatus
from .models import Job, Request, database

# what a tool call is worth, the prompt does not say
_POOR = (Outcome.SCHEMA, Outcome.REFUSED, Outcome.CUT_OFF, Outcome.EMPTY)
_FAILED = "SELECT idx FROM result WHERE job_id = ? AND status = ? ORDER BY idx LIMIT ?"
_OF_OUTCOME = "SELECT idx FROM result WHERE job_id = ? AND outcome <> 'ok' AND outcome = ? ORDER BY idx LIMIT ?"
_RATED_BELOW = (
    "SELECT idx FROM rated_answer WHERE job_id = ? AND score < ? ORDER BY score, idx LIMIT ?"
)
_MIDDLE = {RatingScale.THUMBS: 50, RatingScale.POINTS: 300}  # of the mean, in hundredths


def failed(job_id: int, most: int) -> list[int]:
    """Indices of the first requests that failed."""
    return _indices(_FAILED, job_id, str(RequestStatus.FAILED), most)


def flawed(job_id: int, most: int) -> list[int]:
    """Indices of the first requests whose answer does not match the schema, is a refusal, cut off or empty,
    in this order."""
    found: list[int] = []
    for outcome in _POOR:
        if len(found) < most:
            found += _indices(_OF_OUTCOME, job_id, str(outcome), most - len(found))
    return found


def badly_rated(job_id: int, most: int) -> list[int]:
    """Indices of the requests whose answers have a mean below the middle of the scale, the lowest first."""
    scale = Job.select(Job.rating_scale).where(Job.id == job_id).scalar()
    return _indices(_RATED_BELOW, job_id, _MIDDLE[RatingScale(scale)], most)


def lines(job_id: int, indices: list[int]) -> list[int]:
    """The lines of the file that requests came from, in the order of their indices."""
    query = Request.select(Request.idx, Request.line).where(
        (Request.job == job_id) & Request.idx.in_(indices)
    )
    known = dict(query.tuples())
    return [known[index] for index in indices if index in known]


def _indices(sql: str, *values) -> list[int]:
    return [index for (index,) in database.execute_sql(sql, values)]
