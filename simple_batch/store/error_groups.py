"""Error groups of a job: failed attempts of the same kind, whose messages differ in ids, numbers and
quoted text only. A group counts its attempts, the requests that failed with it at the end, and the attempts
whose request succeeded later."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import msgspec

from ..core.domain import Attempt, Cause
from .models import database

_ADD = (
    "INSERT INTO error_group (job_id, group_key, cause, http_status, message, attempts, first_at, "
    "last_at) VALUES (?,?,?,?,?,?,?,?) ON CONFLICT (job_id, group_key) DO UPDATE SET "
    "attempts = error_group.attempts + excluded.attempts, "
    "last_at = CASE WHEN error_group.last_at > excluded.last_at THEN error_group.last_at "
    "ELSE excluded.last_at END"
)
_COUNT_RESULTS = (
    "UPDATE error_group SET failed = failed + ?, recovered = recovered + ? "
    "WHERE job_id = ? AND group_key = ?"
)
_ANY = "SELECT 1 FROM error_group WHERE job_id = ? LIMIT 1"
# An attempt without a cause is an answer that was replaced (requeue.py).
_ATTEMPTS = (
    "SELECT idx, group_key FROM attempt WHERE job_id = ? "
    "AND idx IN (SELECT value FROM json_each(?)) AND cause <> '' ORDER BY id"
)
_KNOWN = "SELECT group_key FROM error_group WHERE job_id = ?"
MAX_GROUPS = 200
OTHER_GROUP = "other"

# What differs between two messages of the same kind: ids, numbers, quoted text, times.
_VARYING = re.compile(
    r"(?:\b(?:req|chatcmpl|batch|org|proj|file|resp)[-_][\w-]+)|(?:\b[0-9a-f]{8,}(?:-[0-9a-f]+)*\b)"
    r"|(?:\d+(?:[.:,-]\d+)*)|(?:\"[^\"]{1,200}\")|(?:'[^']{1,200}')|(?:`[^`]{1,200}`)",
    re.IGNORECASE,
)


@dataclass(slots=True)
class _Group:
    """Attempts that one commit adds to a group; times are epoch ms."""

    cause: Cause
    http_status: int | None
    message: str
    attempts: int
    first_at: int
    last_at: int


class ErrorGroups:
    """What one commit adds to the error groups of a job."""

    def __init__(self, job_id: int):
        self._job_id = job_id
        self._groups: dict[str, _Group] = {}
        self._ended: dict[int, bool] = {}

    @cached_property
    def _known(self) -> set[str]:
        """Keys of the groups that the job has."""
        return {key for (key,) in database.execute_sql(_KNOWN, (self._job_id,))}

    def add(self, attempt: Attempt, cause: Cause) -> str:
        """Count an attempt that failed for this cause; returns the key of its group."""
        http_status, message = attempt.http_status, normalised(attempt.message)
        name = f"{cause}|{http_status or ''}|{message}"
        key = hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=8).hexdigest()
        if key not in self._known and len(self._known) >= MAX_GROUPS:
            # a provider whose messages never repeat must not fill the page
            key, cause, http_status, message = OTHER_GROUP, Cause.INTERNAL, None, "…"
        self._known.add(key)
        at = attempt.started_at + attempt.latency_ms
        group = self._groups.get(key)
        if group is None:
            self._groups[key] = _Group(cause, http_status, message, 1, at, at)
        else:
            group.attempts += 1
            group.last_at = max(group.last_at, at)
        return key

    def add_result(self, index: int, succeeded: bool) -> None:
        """Count a request that has succeeded or failed."""
        self._ended[index] = succeeded

    def add_successes(self, indices: Iterable[int]) -> None:
        """The same for requests that have succeeded."""
        self._ended.update(dict.fromkeys(indices, True))

    def write(self) -> None:
        """Write the groups in the caller's transaction, which has written the attempts."""
        rows = [
            (
                self._job_id,
                key,
                group.cause.value,
                group.http_status,
                group.message,
                group.attempts,
                group.first_at,
                group.last_at,
            )
            for key, group in self._groups.items()
        ]
        database.executemany(_ADD, rows)
        count_results(self._job_id, self._ended)


def count_results(job_id: int, ended: Mapping[int, bool], by: int = 1) -> None:
    """Count in their groups how requests ended, by index (True: succeeded); with ``by`` -1 results that are
    removed. A failed request counts in the group of its last attempt, a request that succeeded with each of
    its failed ones."""
    if not ended or not database.execute_sql(_ANY, (job_id,)).fetchone():
        return
    listed = msgspec.json.encode(list(ended)).decode()
    recovered: Counter[str] = Counter()
    last: dict[int, str] = {}
    for index, key in database.execute_sql(_ATTEMPTS, (job_id, listed)):
        if ended[index]:
            recovered[key] += by
        else:
            last[index] = key
    failed = Counter(last.values())
    database.executemany(
        _COUNT_RESULTS,
        [(by * failed[key], recovered[key], job_id, key) for key in sorted({*failed, *recovered})],
    )


def normalised(message: str) -> str:
    """A message with its varying parts (ids, numbers, quoted text) replaced by ``…``."""
    return _VARYING.sub("…", message)[:300]
