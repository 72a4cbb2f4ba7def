"""Divides the limits of API configs and jobs among all workers, through Redis.

The worker's own governor still admits every call, within its share. Shares are exchanged a few times a
second, all those of a worker in one command (limit_coordinator.lua, docs/engine.md). While Redis is
unreachable, workers continue with their last share; a worker without one waits.
"""

import logging
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

import gevent
import redis

from ..core import redis_client
from ..core.periodic_task import PeriodicTask
from ..engine.governor import Governor
from ..engine.semaphore import ResizableSemaphore
from .limit_leases import ConfigLimitLease, JobLimitLease, LimitLease
from .limit_protocol import decode_reply, encode_requests
from .shared_governor import SharedGovernor

log = logging.getLogger(__name__)

PREFIX = "simple-batch:budget:{database}:"  # channels are one for all databases of a Redis
LOST_S = 5.0  # a worker that is silent for this long has lost its share
GATHER_S = 3.0  # how long no share grows after Redis was emptied: workers first report their shares
TURN_S = 10.0  # a remainder that cannot be divided evenly rotates among the workers
LOOK_S = 0.03  # between two looks whether an exchange is due
RETRY_S = 0.3
LISTEN_S = 10.0
TIMEOUT_S = 2.0
_SCRIPT = (Path(__file__).parent / "limit_coordinator.lua").read_text("utf-8")


class LimitCoordinator:
    """``commands`` counts what was sent to Redis. ``clock`` counts seconds monotonically;
    ``server_clock`` stands for that of Redis in tests."""

    def __init__(
        self,
        redis_url: str,
        worker_id: str,
        clock: Callable[[], float] = time.monotonic,
        server_clock: Callable[[], float] | None = None,
    ):
        self.worker_id = worker_id
        self.commands = 0
        self._clock = clock
        self._server_clock = server_clock
        self._redis = redis_client.client(redis_url, TIMEOUT_S)
        database = self._redis.get_connection_kwargs().get("db", 0)
        self._prefix = PREFIX.format(database=database)
        self._news = self._redis.pubsub(ignore_subscribe_messages=True)
        self._script_hash = ""
        self._leases: dict[str, LimitLease] = {}
        self._away = False
        self._offset = 0.0  # of Redis's clock over ours …
        self._offset_error_s = math.inf  # … and the duration of the exchange that measured it
        self._exchange_task = PeriodicTask(
            self._exchange_if_due,
            lambda: LOOK_S if self._watched else None,
            self._exchange_failed,
            rest_s=RETRY_S,
        )
        self._listen_task = PeriodicTask(
            lambda: self.listen(LISTEN_S), 0.0, self._listen_failed, rest_s=RETRY_S
        )

    def start(self) -> None:
        """Start the exchanges. Redis may be unreachable."""
        self._exchange_task.start()
        self._listen_task.start()

    def stop(self) -> None:
        """Give all shares back."""
        self._exchange_task.stop()
        self._listen_task.stop()
        for lease in self._leases.values():
            lease.leaving = True
        if not self._away:
            self.exchange()
        self._news.close()
        self._redis.close()

    def new_governor(self, **limits) -> SharedGovernor:
        return SharedGovernor(**limits)

    def attach(self, config_id: int, governor: Governor) -> None:
        """From now on the governor (one of ``new_governor``) starts calls on a share only."""
        if not isinstance(governor, SharedGovernor):
            raise TypeError("this governor cannot be shared")
        self._attach(ConfigLimitLease(f"config:{config_id}", governor, self._exchange_task.wake))

    def attach_job(self, job_id: int, slots: ResizableSemaphore) -> None:
        """From now on the job's ceiling holds for the calls of all workers."""
        self._attach(JobLimitLease(f"job:{job_id}", slots, self._exchange_task.wake))

    def detach(self, config_id: int) -> None:
        """No more calls are made here on the config."""
        self._detach(f"config:{config_id}")

    def detach_job(self, job_id: int) -> None:
        self._detach(f"job:{job_id}")

    def _attach(self, lease: LimitLease) -> None:
        self._leases[lease.name] = lease

    def _detach(self, name: str) -> None:
        lease = self._leases.get(name)
        if lease is not None:
            lease.leaving = True
            self._exchange_task.wake()

    def _exchange_if_due(self) -> None:
        if self._away:
            gevent.sleep(RETRY_S)
        # the first one, with no limits yet, loads the script early
        if self._away or self.due or self._offset_error_s == math.inf:
            self.exchange()

    def _exchange_failed(self) -> None:
        log.error("the shares of the limits could not be exchanged", exc_info=True)

    def _listen_failed(self) -> None:
        if not isinstance(sys.exception(), redis.RedisError):  # of these, the exchange tells
            log.error("messages of other workers could not be read", exc_info=True)
        self._news.reset()
        self._nudge_all()  # if Redis was emptied, all workers must report their shares soon

    def listen(self, seconds: float) -> None:
        """Wait up to ``seconds`` for messages of other workers, and exchange if there are any."""
        if not self._news.subscribed:
            self.commands += 1
            self._news.subscribe(f"{self._prefix}news")
        message = self._news.get_message(timeout=seconds)
        if message is None:
            return
        name, worker = message["data"].decode().split()
        lease = self._leases.get(name)
        if lease is not None and worker != self.worker_id:
            lease.nudge(self._clock())
            self._exchange_task.wake()

    def _nudge_all(self) -> None:
        for lease in self._leases.values():
            lease.nudge(self._clock())
        self._exchange_task.wake()

    @property
    def _watched(self) -> bool:
        """Whether a limit lease is in use, or wants to be."""
        return self._away or any(
            lease.joined or lease.leaving or lease.due_at() < math.inf
            for lease in self._leases.values()
        )

    @property
    def due(self) -> bool:
        """Whether a limit lease is due for an exchange."""
        now = self._clock()
        return any(lease.leaving or lease.due_at() <= now for lease in self._leases.values())

    def exchange(self) -> None:
        """Report all limit leases in use and apply the shares that Redis returns. Never raises for
        errors of Redis."""
        began = self._clock()
        leases = [
            lease
            for lease in self._leases.values()
            if lease.joined or lease.leaving or lease.due_at() < began
        ]
        requests = [lease.request(self.worker_id, began, self._away) for lease in leases]
        try:
            found = decode_reply(self._call(encode_requests(requests)))
        except redis.RedisError as error:
            self._note_away(error)
            for lease in leases:
                lease.lost(self._clock())
            return
        self._note_back()
        now = self._clock()
        server_now = float(found.now)
        self._set_clock(server_now - (began + now) / 2, now - began)
        replies = found.replies if isinstance(found.replies, list) else []
        for lease, request, reply in zip(leases, requests, replies, strict=True):
            lease.apply(request, reply, server_now, now, self._offset)
            if lease.leaving and self._leases.get(lease.name) is lease:
                del self._leases[lease.name]

    def _call(self, requests: bytes) -> bytes:
        """Run the script; its arguments are documented at its head."""
        args: list[str | bytes | float] = [
            self._prefix,
            self.worker_id,
            requests,
            LOST_S,
            GATHER_S,
            TURN_S,
        ]
        if self._server_clock is not None:
            args.append(self._server_clock())
        try:
            self.commands += 1
            return self._redis.evalsha(self._script_hash, 1, *args)
        except redis.exceptions.NoScriptError:
            self.commands += 2
            self._script_hash = self._redis.script_load(_SCRIPT)
            return self._redis.evalsha(self._script_hash, 1, *args)

    def _set_clock(self, offset: float, round_trip_s: float) -> None:
        """Update the clock offset. A faster exchange gives a more precise offset; an old offset becomes
        less certain with each exchange, because clocks drift."""
        self._offset_error_s *= 1.02
        if round_trip_s <= self._offset_error_s:
            self._offset, self._offset_error_s = offset, max(round_trip_s, 1e-4)

    def _note_away(self, error: redis.RedisError) -> None:
        if not self._away:
            self._away = True
            log.warning(
                "Redis cannot be reached (%s): each worker goes on with its share of the limits",
                type(error).__name__,
            )

    def _note_back(self) -> None:
        if self._away:
            self._away = False
            log.warning("Redis can be reached again: the workers share the limits out again")
