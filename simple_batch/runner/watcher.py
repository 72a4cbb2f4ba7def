"""Turns changes in the database into signals, whichever process made them.

The same watcher serves the process that runs the jobs, and one that only shows
what another process runs.
"""

import logging
import time

import msgspec

from ..core.domain import ACTIVE_STATUSES
from ..core.languages import LANGUAGES, catalogue, translated
from ..core.messages import Message
from ..core.schema import given
from ..core.stored_messages import recognised
from ..store.binned_jobs import DELETED, RESTORED
from ..store.jobs import SHARED
from ..store.models import database
from . import signals

log = logging.getLogger(__name__)

_LISTED = (DELETED, RESTORED, SHARED)  # what changes the lists, and nothing else of an ended job
_ACTIVE = ",".join(f"'{status}'" for status in sorted(ACTIVE_STATUSES))
_ROWS = (
    "SELECT id, status, status_reason, total, succeeded, failed, cancelled, attempts, name, live "
    f"FROM job WHERE deleted_at IS NULL AND (status IN ({_ACTIVE}) OR id IN (%s) OR id > ?)"
)
_EVENTS = (
    "SELECT id, job_id, from_status, to_status, reason FROM job_event WHERE id > ? ORDER BY id"
)
_NEWEST = (
    "SELECT idx, finished_at FROM result WHERE job_id = ? AND finished_at > ? "
    "ORDER BY finished_at DESC, idx DESC LIMIT 50"
)
_TAIL = (
    "SELECT idx, status, outcome, cause, latency_ms, input_tokens, output_tokens, "
    "CASE WHEN length(response) < 200000 THEN response END, message, http_status "
    "FROM result WHERE job_id = ? AND idx IN (SELECT value FROM json_each(?)) "
    "AND status <> 'cancelled' "  # nothing came back for these
    "ORDER BY finished_at, idx"
)
TAILS_EVERY_S = 0.5  # the interval at which the feed sends them
_OTHERS = [language for language in LANGUAGES if language != "en"]
_LATE_MS = 2_000  # a result may be committed this long after a newer one


class Watcher:
    """Call ``look`` often; it compares the jobs with what they were at the last look."""

    def __init__(self):
        self._known: dict[int, tuple] | None = None
        self._highest = 0
        self._last_event = 0
        self._tails_at = 0.0  # when they were last looked at
        self._tails_known: dict[
            int, list[tuple[int, int]]
        ] = {}  # (index, finished at), newest first

    def look(self) -> None:
        """Send the signals for everything that changed since the last look."""
        before, first = self._known or {}, self._known is None
        now = self._read(before)
        self._known = {job_id: row for job_id, row in now.items() if row[0] in ACTIVE_STATUSES}
        self._highest = max([self._highest, *now])
        events = self._events()
        if first:
            return
        for job_id, row in now.items():
            if before.get(job_id) != row:
                signals.job_changed.send(None, job_id=job_id)
                signals.jobs_changed.send(None, job_id=job_id)
        for job_id in before.keys() - now.keys():  # deleted
            signals.jobs_changed.send(None, job_id=job_id)
        for job_id, former, status, reason in events:
            if reason in _LISTED:
                signals.jobs_changed.send(None, job_id=job_id)
            signals.job_status.send(
                None, job_id=job_id, from_status=former, to_status=status, reason=reason
            )
        self._tails()

    def _events(self) -> list[tuple]:
        rows = database.execute_sql(_EVENTS, (self._last_event,)).fetchall()
        if rows:
            self._last_event = rows[-1][0]
        return [row[1:] for row in rows]

    def _read(self, before) -> dict[int, tuple]:
        marks = ",".join("?" * len(before)) or "NULL"
        rows = database.execute_sql(_ROWS % marks, (*before, self._highest))
        return {row[0]: row[1:] for row in rows}

    def _tails(self) -> None:
        due = time.monotonic() - self._tails_at >= TAILS_EVERY_S
        if due:
            self._tails_at = time.monotonic()
        for job_id in list(self._tails_known.keys() - signals.tail_wanted.keys()):
            del self._tails_known[job_id]
        for job_id, listeners in list(signals.tail_wanted.items()):
            # a new listener must learn the existing requests at once
            if listeners > 0 and (due or job_id not in self._tails_known):
                self._tail(job_id)

    def _tail(self, job_id: int) -> None:
        known = self._tails_known.get(job_id)
        since = known[0][1] - _LATE_MS if known else 0
        newest = [tuple(row) for row in database.execute_sql(_NEWEST, (job_id, since))]
        if newest or known is None:
            self._tails_known[job_id] = newest
        if known is None:
            return
        fresh = [index for index, at in newest if (index, at) not in known]
        if fresh:
            rows = database.execute_sql(_TAIL, (job_id, msgspec.json.encode(fresh).decode()))
            items = [_item(row) for row in rows]
            if items:
                signals.requests_finished.send(None, job_id=job_id, items=items)


def _item(row) -> dict:
    index, status, outcome, cause, latency_ms, tokens_in, tokens_out, response, message, code = row
    item = {
        "index": index,
        "status": status,
        "outcome": outcome,
        "cause": cause,
        "latency_ms": latency_ms,
        "tokens": (tokens_in or 0) + (tokens_out or 0),
        "preview": _preview(response, message),
    }
    known = recognised(message, code)
    if isinstance(known, Message):
        item["previews"] = {
            language: _cut(translated(known, catalogue(language))) for language in _OTHERS
        }
    return item


def _preview(response, message: str) -> str:
    """The beginning of the answer's text without reasoning, else of the error's message."""
    if response and not message:
        answer = given(bytes(response))
        return _cut(answer.text or answer.refusal)
    return _cut(message)


def _cut(text: str) -> str:
    """The beginning of a text on one line."""
    return " ".join(text[: signals.PREVIEW_LENGTH * 2].split())[: signals.PREVIEW_LENGTH]
