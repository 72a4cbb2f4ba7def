"""What one commit of results changes for parts of jobs: which requests leave them, and their counters.

A record of a request that is in no part any more is left out. So results that are read again, after a kill
or because a batch has a line twice, are recorded once.
"""

from collections import defaultdict
from collections.abc import Iterable
from itertools import chain

import msgspec

from ..core.domain import RequestStatus
from .answer_group import AnswerGroup
from .job_change import Recorded, call_of_attempt
from .models import database

_REMOVE = "DELETE FROM batch_line WHERE part_id = ? AND idx IN (SELECT value FROM json_each(?))"
_TAKE = f"{_REMOVE} RETURNING idx"
_COUNT = (
    "UPDATE batch_part SET succeeded = succeeded + ?, failed = failed + ?, "
    "sent_again = sent_again + ?, cost_nano = cost_nano + ?, unpriced = unpriced + ? WHERE id = ?"
)


class _Change(msgspec.Struct):
    succeeded: int = 0
    failed: int = 0
    sent_again: int = 0
    cost_nano: int = 0
    unpriced: int = 0


class PartChanges:
    """Created in the transaction, when the jobs are locked: it takes the requests out of their parts."""

    def __init__(self, records: Iterable[Recorded]):
        indices: dict[int, list[int]] = defaultdict(list)
        for record in records:
            if record.part_id is not None:
                indices[record.part_id].append(record.index)
        self._taken: set[tuple[int, int]] = set()
        for part_id, wanted in indices.items():
            values = part_id, msgspec.json.encode(wanted).decode()
            rows = database.execute_sql(_TAKE, values).fetchall()
            self._taken.update((part_id, index) for (index,) in rows)
        self._changes: dict[int, _Change] = defaultdict(_Change)

    def there(self, records: list[Recorded]) -> list[Recorded]:
        """Those whose requests were in their parts until now, each once, and those of no part."""
        left = set(self._taken)
        found = []
        for record in records:
            if record.part_id is not None:
                key = record.part_id, record.index
                if key not in left:
                    continue
                left.remove(key)
            found.append(record)
        return found

    def take(self, group: AnswerGroup) -> set[int]:
        """Take the requests of a group out of their part; returns those that were in it until now."""
        indices = [index for index, *_ in group.answers]
        values = group.part_id, msgspec.json.encode(indices).decode()
        with database.atomic() as step:
            if database.execute_sql(_REMOVE, values).rowcount == len(indices):
                return set(indices)  # nearly always
            step.rollback()
        return set(chain.from_iterable(database.execute_sql(_TAKE, values)))

    def add_answers(self, part_id: int, costs: list[int | None]) -> None:
        """Count requests of a part that have succeeded, at these costs."""
        change = self._changes[part_id]
        change.succeeded += len(costs)
        change.unpriced += costs.count(None)
        change.cost_nano += sum(cost for cost in costs if cost is not None)

    def add(self, record: Recorded, cost: int | None) -> None:
        """Count a request that was in a part; ``cost`` is that of the call that its result came from."""
        assert record.part_id is not None
        change, result = self._changes[record.part_id], record.result
        if result is None:
            change.sent_again += 1
        elif result.status is RequestStatus.SUCCEEDED:
            change.succeeded += 1
            self._spend(change, cost)
        else:
            change.failed += 1
        for attempt in record.attempts:
            if attempt.cause is not None and attempt.usage is not None:
                self._spend(change, record.cost(call_of_attempt(attempt)))

    def _spend(self, change: _Change, cost: int | None) -> None:
        if cost is None:
            change.unpriced += 1
        else:
            change.cost_nano += cost

    def write(self) -> None:
        """Add it to the rows of the parts."""
        for part_id, change in sorted(self._changes.items()):
            database.execute_sql(_COUNT, (*msgspec.structs.astuple(change), part_id))
