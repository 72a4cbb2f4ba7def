"""Waits of parts: for room at the provider, after refusals, and while it does not answer.

The row of a part says until when it waits, by the clock of the machine, which may be set while it does. So the
process that leads the part measures the wait by the monotonic clock.
"""

import random
import time

from ..core.clock import now_ms
from ..core.messages import Message, translatable
from ..core.settings import Settings
from ..engine.batch_api.batch_client import BatchCallFailed
from ..engine.breaker import PauseReason, no_answer
from ..engine.transport import TransportFailure
from ..store import batch_parts
from ..store.database import retry_while_unavailable
from ..store.models import BatchPart

_ROOM_FIRST_S = 30.0  # at first; doubles
_ROOM_MAX_S = 600.0
_JITTER = 0.2
_LEFT_MAX_S = 900.0  # of a wait that another process began: it may have had another time of day
_AGE = 0.05  # of a batch: so long after the last look comes the next
_FOR_ROOM = translatable("waits until the provider has room for its tokens")


class PartWaits:
    """Of one job."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self._silent_since: dict[int, float] = {}  # by part; monotonic clock
        self._for_room: dict[int, int] = {}  # waits in a row, by part
        self._sent: dict[int, float] = {}  # when its batch was created, by part; monotonic clock
        # by part: until when it waits, as in its row, and by the monotonic clock
        self._ends: dict[int, tuple[int, float]] = {}

    def are_over(self, part_id: int, until: int | None) -> bool:
        """Whether a part has waited for long enough that is to wait until then (epoch ms)."""
        if until is None:
            self._ends.pop(part_id, None)
            return True
        known = self._ends.get(part_id)
        if known is None or known[0] != until:
            left_s = min(_LEFT_MAX_S, (until - now_ms()) / 1000)
            known = self._ends[part_id] = until, time.monotonic() + left_s
        return time.monotonic() >= known[1]

    def begin(self, part_id: int, wait_s: float) -> int:
        """Let a part wait so long from now on; returns until when (epoch ms), for its row."""
        until = now_ms() + round(1000 * wait_s)
        self._ends[part_id] = until, time.monotonic() + wait_s
        return until

    def for_room(self, part: BatchPart, limit: int | None, asked_s: float | None = None) -> None:
        """The limit of enqueued tokens is reached; the provider may have ``asked`` for a wait. A part that ends
        ends the wait (wake_waiting)."""
        count = self._for_room[part.id] = self._for_room.get(part.id, -1) + 1
        first = min(_ROOM_FIRST_S, 60 * self._settings.BATCH_POLL_FIRST)
        wait_s = min(_ROOM_MAX_S, first * 2 ** min(count, 10))
        detail = _FOR_ROOM
        if limit is not None:
            detail = translatable(
                "waits until the provider has room: at most %(limit)s tokens are enqueued",
                limit=f"{limit:,}",
            )
        self._until(part, asked_s or wait_s, detail)

    def for_others(self, part: BatchPart, wait_s: float) -> None:
        """Parts of other jobs have waited for the room that there is now."""
        self._until(part, wait_s, _FOR_ROOM)

    def for_money(self, part: BatchPart) -> None:
        """The spend caps have room when other batches have ended, and end the wait."""
        detail = translatable("waits until other batches have ended: the spend caps leave no room")
        self._until(part, min(_ROOM_MAX_S, 60 * self._settings.BATCH_POLL_FIRST), detail)

    def for_certainty(self, part: BatchPart, batch_id: str) -> None:
        """A batch may be the part's, which shows when it has ended."""
        detail = translatable(
            "waits until batch %(batch)s has ended: it may be the one of this part, whose creation was "
            "not answered",
            batch=batch_id,
        )
        self._until(part, self._settings.BATCH_POLL_MAX, detail)

    def unanswered(self, part: BatchPart, failure: TransportFailure) -> PauseReason | None:
        """No whole answer came."""
        return self._failed(part, failure.message, None)

    def refused(self, part: BatchPart, failed: BatchCallFailed) -> PauseReason | None:
        """A refusal that passes."""
        return self._failed(part, failed.finding.message, failed.finding.retry_after_s)

    def answered(self, part: BatchPart) -> None:
        """The provider has answered."""
        self._silent_since.pop(part.id, None)
        self._for_room.pop(part.id, None)
        if part.poll_failures or part.detail:
            part.poll_failures = 0
            retry_while_unavailable(lambda: batch_parts.note(part.id, poll_failures=0, detail=""))

    def sent(self, part: BatchPart) -> None:
        """Its batch was created now."""
        self._sent[part.id] = time.monotonic()

    def next_look_s(self, part: BatchPart, at: int) -> float:
        """Seconds until an open batch is asked about again, by its age."""
        first, most = self._settings.BATCH_POLL_FIRST, self._settings.BATCH_POLL_MAX
        known_s = max(0, at - (part.sent_at or at)) / 1000
        sent = self._sent.setdefault(part.id, time.monotonic() - known_s)
        age_s = time.monotonic() - sent
        return _jittered(min(most, max(first, _AGE * age_s)))

    def poll_failed(self, part: BatchPart, message: str, asked_s: float | None) -> None:
        """An open batch could not be asked about: it is asked again, however often that happens."""
        self._again(part, message, asked_s, self._settings.BATCH_POLL_FIRST)

    def _failed(self, part: BatchPart, message: str, asked_s: float | None) -> PauseReason | None:
        self._again(part, message, asked_s, self._settings.BACKOFF_BASE)
        since = self._silent_since.setdefault(part.id, time.monotonic())
        silent_s, most_s = time.monotonic() - since, self._settings.ENDPOINT_WAIT_MAX
        if most_s and silent_s > most_s and asked_s is None:
            self._silent_since.clear()
            return no_answer(silent_s, message)
        return None

    def _again(self, part: BatchPart, message: str, asked_s: float | None, first_s: float) -> None:
        part.poll_failures += 1
        wait_s = min(self._settings.BATCH_POLL_MAX, first_s * 2 ** min(part.poll_failures - 1, 20))
        self._until(part, max(_jittered(wait_s), asked_s or 0.0), message)

    def _until(self, part: BatchPart, wait_s: float, detail: str | Message) -> None:
        part.not_before = self.begin(part.id, wait_s)
        retry_while_unavailable(
            lambda: batch_parts.note(
                part.id,
                not_before=part.not_before,
                detail=detail,
                poll_failures=part.poll_failures,
            )
        )


def _jittered(wait_s: float) -> float:
    return wait_s * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - jitter, not a secret # nosec B311
