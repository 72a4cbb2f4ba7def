"""Requests of a job that deserve a look before its prompt is used again, the worst first."""

from ..core.domain import Outcome, RequestStatus
from .models import Request, database

# what a tool call is worth, the prompt does not say
_POOR = (Outcome.SCHEMA, Outcome.REFUSED, Outcome.CUT_OFF, Outcome.EMPTY)
_FAILED = "SELECT idx FROM result WHERE job_id = ? AND status = ? ORDER BY idx LIMIT ?"
_OF_OUTCOME = "SELECT idx FROM result WHERE job_id = ? AND outcome <> 'ok' AND outcome = ? ORDER BY idx LIMIT ?"


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


def lines(job_id: int, indices: list[int]) -> list[int]:
    """The lines of the file that requests came from, in the order of their indices."""
    query = Request.select(Request.idx, Request.line).where(
        (Request.job == job_id) & Request.idx.in_(indices)
    )
    known = dict(query.tuples())
    return [known[index] for index in indices if index in known]


def _indices(sql: str, *values) -> list[int]:
    return [index for (index,) in database.execute_sql(sql, values)]
