"""Conditions on ratings as SQL on ``rated_answer``, of which an index finds the rows.

The SQL may find a few rows too many (texts in another case); the conditions themselves are checked on the
rows that it finds.
"""

from collections.abc import Sequence

from .column_condition import CONTAINS, EQUAL, IS_EMPTY, LEAST, Condition
from .grid_columns import RATED
from .ratings import HAS
from .sort_key import number_of

_LARGEST = 10**9  # of a score that is asked for


def split(conditions: Sequence[Condition]) -> tuple[list[Condition], list[Condition]]:
    """The conditions on ratings, and the others."""
    on_ratings = [one for one in conditions if one.column in RATED]
    return on_ratings, [one for one in conditions if one.column not in RATED]


def want_rated(conditions: Sequence[Condition]) -> bool:
    """Whether only answers with a rating fulfil all."""
    return any(one.column in RATED and one.sign != IS_EMPTY for one in conditions)


def on_rated(conditions: Sequence[Condition]) -> tuple[str, list]:
    """The conditions on ratings as SQL on a row ``g`` of rated_answer, each with its AND before it."""
    parts, values = [], []
    for one in conditions:
        sql, more = _on_rated(one)
        parts.append(f" AND {sql}")
        values += more
    return "".join(parts), values


def _on_rated(one: Condition) -> tuple[str, list]:
    if one.sign == IS_EMPTY:
        return f"NOT ({HAS[one.column]})", []
    if one.column != "rating" or one.sign == CONTAINS:
        return f"({HAS[one.column]})", []
    numbers = [_hundredths(text) for text in one.texts]
    if one.sign == EQUAL:
        return f"g.score IN ({','.join('?' * len(numbers))})", numbers
    return f"g.score {'>=' if one.sign == LEAST else '<='} ?", numbers


def _hundredths(text: str) -> int:
    number = number_of(text)
    if number is None:
        return -1  # no score
    return round(100 * max(-_LARGEST, min(_LARGEST, number)))


def on_requests(conditions: Sequence[Condition], job_id: int, table: str) -> tuple[str, list]:
    """The conditions as SQL on a ``table`` with an ``idx``, each with its AND before it."""
    parts: list[str] = []
    values: list = []
    for one in conditions:
        empty = one.sign == IS_EMPTY
        sql, more = (f"({HAS[one.column]})", []) if empty else _on_rated(one)
        found = f"SELECT 1 FROM rated_answer g WHERE g.job_id = ? AND g.idx = {table}.idx AND {sql}"
        parts.append(f" AND {'NOT ' if empty else ''}EXISTS ({found})")
        values += [job_id, *more]
    return "".join(parts), values
