"""Which API config the next part of a job goes to, where the job is spread over several.

As with calls (engine/load_balancer.py), a config that takes nothing is passed over: one that refuses batches,
until the job is resumed or the config is edited, and one without room, for a while. Spread.ORDER means the
first of the others, Spread.WEIGHT all of them in proportion, Spread.FAST all of them evenly.
"""

import time
from collections.abc import Iterable, Iterator

from ..core.domain import Request, Spread
from ..core.messages import Message, translatable
from ..engine.breaker import PauseReason
from ..store import jobs as job_rows
from ..store import requests as request_rows
from ..store.database import retry_while_unavailable
from ..store.models import ApiConfig, Job
from ..store.requests import RouteKey
from .spend_caps import SPEND_CAP, UNKNOWN

# so long a config without room is passed over, unless one of its batches ends before; at first, doubles
FULL_S = (60.0, 600.0)


class BatchConfigs:
    """Of one job. Requests that name their config go there, whatever is known of it."""

    def __init__(self, job: Job):
        shares = request_rows.shares(job.id) if job.spread else []
        self._job_id = job.id
        self._in_order = job.spread == Spread.ORDER
        even = job.spread == Spread.FAST
        self._weights = {share.config_id: 1.0 if even else share.weight or 1.0 for share in shares}
        self._given = dict.fromkeys(self._weights, 0.0)
        self._closed: dict[int, int] = {}  # when the config was last edited, by config
        self._full_until: dict[int, float] = {}  # monotonic clock, by config
        self._full_times: dict[int, int] = {}  # in a row, by config
        self.changes = 0  # how often a config was passed over from then on

    @property
    def count(self) -> int:
        """How many configs the job is spread over; one that is not, goes to one."""
        return max(1, len(self._weights))

    def divided(
        self, way: RouteKey, page: list[Request]
    ) -> Iterator[tuple[int | None, list[Request]]]:
        """(config id, requests); None: the job's own."""
        if way.config_id is not None or not self._weights:
            yield way.config_id, page
            return
        able = self._able()
        if self._in_order:
            yield able[0], page
            return
        parts: dict[int | None, list[Request]] = {}
        for request in page:
            config_id = min(able, key=self._cost_of)
            self._given[config_id] += 1
            parts.setdefault(config_id, []).append(request)
        yield from parts.items()

    def close(self, config_id: int, stop: PauseReason) -> bool:
        """Pass over a config that takes no batches. False: the job must pause, because no other config can
        take its place."""
        if not _concerns_config(stop) or config_id in self._closed:
            return False
        others = [other for other in self._weights if other not in (config_id, *self._closed)]
        if config_id not in self._weights or not others:
            return False
        self._closed[config_id] = _edited_at([config_id]).get(config_id, 0)
        self._changed()
        self._note(
            translatable(
                "%(config)s takes no batches: the other connections take its requests (%(reason)s)",
                config=_alias(config_id),
                reason=stop.detail,
            )
        )
        return True

    def is_closed(self, config_id: int) -> bool:
        return config_id in self._closed

    def fill(self, config_id: int) -> bool:
        """Pass over a config without room for a while. False: the part must wait there."""
        now = time.monotonic()
        if config_id not in self._weights or self._full_until.get(config_id, 0.0) > now:
            return False
        if not [other for other in self._weights if other != config_id and self._has_room(other)]:
            return False
        times = self._full_times[config_id] = self._full_times.get(config_id, 0) + 1
        self._full_until[config_id] = now + min(FULL_S[1], FULL_S[0] * 2 ** min(times - 1, 9))
        self._changed()
        if times == 1:
            self._note(
                translatable(
                    "%(config)s has no room for a batch: the other connections take its requests",
                    config=_alias(config_id),
                )
            )
        return True

    def ended(self, config_id: int) -> None:
        """A batch of the config has ended: it has room."""
        self._full_until.pop(config_id, None)
        self._full_times.pop(config_id, None)

    # ------------------------------------------------------------------------------------------

    def _able(self) -> list[int]:
        """Those that take a part now; where none has room, those that would."""
        self._reopen_edited()
        taking = [one for one in self._weights if one not in self._closed]
        return [one for one in taking if self._has_room(one)] or taking or list(self._weights)

    def _has_room(self, config_id: int) -> bool:
        full = self._full_until.get(config_id, 0.0) > time.monotonic()
        return not full and config_id not in self._closed

    def _reopen_edited(self) -> None:
        if self._closed:
            edited = _edited_at(self._closed)
            self._closed = {
                id_: at for id_, at in self._closed.items() if edited.get(id_, at) == at
            }

    def _cost_of(self, config_id: int) -> float:
        return (self._given[config_id] + 1) / self._weights[config_id]

    def _changed(self) -> None:
        self.changes += 1
        self._given = dict.fromkeys(self._weights, 0.0)  # what was given comes back in part

    def _note(self, detail: Message) -> None:
        retry_while_unavailable(job_rows.note, self._job_id, job_rows.PARTS, detail)


def _concerns_config(stop: PauseReason) -> bool:
    """Whether another config may do what this one does not: not where the job's own money is spent."""
    return stop.reason != UNKNOWN and (stop.reason != SPEND_CAP or stop.config_id is not None)


def _edited_at(config_ids: Iterable[int]) -> dict[int, int]:
    wanted = ApiConfig.id.in_(list(config_ids))
    query = ApiConfig.select(ApiConfig.id, ApiConfig.updated_at).where(wanted)
    return dict(retry_while_unavailable(lambda: list(query.tuples())))


def _alias(config_id: int) -> str:
    query = ApiConfig.select(ApiConfig.alias).where(ApiConfig.id == config_id)
    return retry_while_unavailable(query.scalar) or ""
