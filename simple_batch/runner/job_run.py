"""Runs one job: sends pages of pending requests through its routes, and results to the recorder."""

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterator

import gevent
import msgspec

from ..core.clock import give_way, now_ms
from ..core.domain import (
    Cause,
    GovernorState,
    LimitedBy,
    Outcome,
    Request,
    RequestResult,
    Spread,
    Waiting,
)
from ..core.errors import ConfigurationError
from ..core.settings import Settings
from ..engine.breaker import PauseReason
from ..engine.failure_guard import SAME_FAILURE, GuardPolicy
from ..engine.governor import Flow
from ..engine.limiters import Limiters
from ..engine.outage import OutagePolicy
from ..engine.prefix_window import RequestWindow
from ..engine.retry import Policy
from ..engine.semaphore import ResizableSemaphore
from ..store import jobs as job_rows
from ..store import requests as request_rows
from ..store.database import retry_while_unavailable
from ..store.models import Job
from ..store.requests import OWN_WAY, RouteKey
from ..store.results import Recorded
from . import finalize
from .live_state import SHOWN_INDICES, ConfigLive, LiveState
from .multi_provider import Share, Shares
from .prompt_caches import PromptCaches
from .providers import Provider
from .recorder import ResultSink
from .request_source import RequestSource
from .response_reuse import ResponseReuse
from .route import Route, inputs_per_call
from .spend_caps import JobSpendGuard, SpendLimits
from .stopped_config import named

log = logging.getLogger(__name__)

RATE_WINDOW_S = 10
HELD_WITHOUT_SHARE_S = 1.0  # then what a way holds is given back, if no call of it can be made
_SEEN_S = 3.0
_MOMENTARY = frozenset({LimitedBy.COOLDOWN, LimitedBy.WINDOW})  # they end when their time is over
MEMORY = "memory"  # why no call starts: the answers in memory use up the space for them


class JobRun:
    """One run of a job, from its first pending request to its last or to a stop. Most jobs have
    one route; requests retried with another config or time-out go beside it on their own.

    ``provider_of(config_id)`` may raise ConfigurationError. ``source`` supplies the requests, ``sink``
    takes the results, ``spend_limits`` caps the cost; ``worker_slots`` limits the concurrent calls
    of this process."""

    counts = True  # it uses up one of MAX_RUNNING_JOBS

    def __init__(
        self,
        settings: Settings,
        job: Job,
        provider_of: Callable[[int], Provider],
        sink: ResultSink,
        source: RequestSource,
        spend_limits: SpendLimits,
        worker_slots: ResizableSemaphore | None = None,
    ):
        self.job_id = job.id
        self._settings = settings
        self._provider_of = provider_of
        self._sink = sink
        self._source = source
        self._stopping = False
        self._settling = True  # no other route is started: it does not run yet, or ends
        self._currency = job.currency
        self._ask_once = job.ask_once
        self._reuse = ResponseReuse(job, self.record_reused) if job.reuse_hours else None
        # a client program waits for a batch: a model that is not found, or a parameter of a line that
        # the model rejects, fails each line, not the job
        self._of_client = bool(job.completion_window)
        self._own_causes = frozenset({Cause.NOT_FOUND} if self._of_client else ())
        self._chosen = job.concurrency, job.max_retries
        self._overrides = job.overrides
        self._finished: deque[tuple[int, int]] = deque()  # (second, requests finished in it)
        self._runs: dict[RouteKey, gevent.Greenlet] = {}
        self._unready_since: dict[RouteKey, float] = {}  # by route key, while it can make no call
        self._withdrawn: set[RouteKey] = set()  # route keys whose requests are being given back
        self._waited = False
        self._routes: dict[RouteKey | tuple[RouteKey, int], Route] = {}
        self._stop: PauseReason | None = None
        # when, and what; by connection, and of the job
        self._limit_seen: dict[str, tuple[float, GovernorState | None]] = {}
        self.slots = ResizableSemaphore(job.concurrency)
        self._worker_slots = worker_slots
        self._flow = Flow(job.priority, job.concurrency)
        self._inputs = inputs_per_call(job, settings.EMBEDDINGS_PER_CALL)
        self.spend_limit = spend_limits.job_limit(job, self._inputs)
        self._shares = self._shared(job) if job.spread else None
        self._own_route = self._shares.all[0].route if self._shares else self._route(OWN_WAY, job)

    def adjust(self, job: Job) -> None:
        """Apply what was edited while the job runs."""
        self._flow.priority = job.priority
        self.spend_limit.set_limits(job=job.spend_cap)
        chosen = job.concurrency, job.max_retries
        if chosen != self._chosen:
            self._chosen = chosen
            self.slots.resize(job.concurrency)
            self._flow.concurrency = job.concurrency
            for route in self._routes.values():
                route.pool.adjust(self.policy(job))
        if job.overrides != self._overrides and not self._stopping:
            self._overrides = job.overrides
            self._source.note(job)
            self._start_other_routes()

    @property
    def width(self) -> int:
        """The number of calls that this run may make at a time."""
        limit = sum(route.provider.governor.limit for route in self._routes.values())
        return min(limit, self._chosen[0] or limit)

    @property
    def calls(self) -> int:
        """Calls in flight."""
        return sum(route.calls for route in self._routes.values())

    def ready(self, key: RouteKey) -> bool:
        """Whether a call of a way may be made, as far as several workers share what it needs
        (Pool.ready)."""
        return self._sender_of(key).ready()

    @property
    def waits(self) -> bool:
        """Whether no call could be made for a moment, because a resource shared by workers is lacking."""
        return all(self._lacks_long(key) for key in (OWN_WAY, *self._runs))

    @property
    def waiting(self) -> Waiting | None:
        """The outage for which the job waits: no route makes calls beside it."""
        routes = self._routes.values()
        if any(route.waiting is None and route.calls for route in routes):
            return None
        waiting = [route.waiting for route in routes if route.waiting is not None]
        return min(waiting, key=lambda one: one.since, default=None)

    def _lacks_long(self, key: RouteKey) -> bool:
        since = self._unready_since.get(key, math.inf)
        return time.monotonic() - since >= HELD_WITHOUT_SHARE_S

    def _sender_of(self, key: RouteKey) -> Route | Shares:
        if self._shares is not None and key == OWN_WAY:
            return self._shares
        return self._routes.get(key, self._own_route)

    def give_back_unused(self) -> None:
        """Give back the requests of a route that makes no call and can make none. Called about once a
        second where workers share requests out."""
        now = time.monotonic()
        for key in (OWN_WAY, *self._runs):
            sender = self._sender_of(key)
            if sender.calls or sender.ready():
                self._unready_since.pop(key, None)
                continue
            self._unready_since.setdefault(key, now)
            if self._lacks_long(key) and self._source.holds(key):
                self._withdrawn.add(key)
                sender.withdraw()
        self._log_waiting()

    def _log_waiting(self) -> None:
        waited, self._waited = self._waited, self.waits
        if self._waited and not waited:
            log.warning(
                "job %s waits here: this worker has no share of the limits, or holds no money under "
                "a spend cap. It claims no requests until it does (docs/scale-out.md)",
                self.job_id,
            )
        elif waited and not self._waited:
            log.info("job %s goes on here", self.job_id)

    def start_new_routes(self) -> None:
        """The same for what the source has learned of since."""
        if not self._stopping:
            self._start_other_routes()

    def policy(self, job: Job) -> Policy:
        settings = self._settings
        return Policy(
            max_retries=job.max_retries,
            backoff_base_s=settings.BACKOFF_BASE,
            backoff_max_s=settings.BACKOFF_MAX,
            patience_s=settings.RATE_LIMIT_PATIENCE,
            deadline_s=settings.REQUEST_DEADLINE,
            own=self._own_causes,
            own_parameters=self._of_client,
            as_failed=frozenset(map(Outcome, filter(None, job.as_failed.split(",")))),
        )

    def guard_policy(self, job: Job) -> GuardPolicy:
        if job.completion_window:
            return GuardPolicy(0, 0)
        first, later = self._settings.SAME_FAILURE_FIRST, self._settings.SAME_FAILURE_LATER
        # resumed although nothing was changed for the better: each time ten times as many may fail
        resumed = job_rows.last_pause(job.id) == SAME_FAILURE
        excused = 10 * (job.failed + first) if resumed else 0
        return GuardPolicy(first, later, excused)

    def run(self) -> None:
        """Run the job to its end, or until ``stop``; changes its status accordingly."""
        while True:
            self._settling = False
            retry_while_unavailable(self._start_other_routes)
            self._run_route(OWN_WAY)
            while self._runs:
                gevent.joinall(list(self._runs.values()), raise_error=True)
            self._settling = True  # else what is taken now is given back while it is asked
            self._sink.flush()
            self._source.settle()
            if self._stop is not None:
                retry_while_unavailable(
                    job_rows.stopped, self.job_id, *msgspec.structs.astuple(self._stop)
                )
                return
            if self._stopping:
                return
            if self._ask_once:
                finalize.fan_out(self.job_id)
            if retry_while_unavailable(self._complete) or not self._source.starts_over():
                return

    def _route(self, key: RouteKey, job: Job, config_id: int | None = None) -> Route:
        """A route for a way; ``config_id`` where it is one of several for the job's own."""
        provider = self._provider_of(config_id or key.config_id or job.config_id)
        spend = JobSpendGuard(
            self.spend_limit, provider, self._currency, self._sink.wait_until_writable
        )
        limiters = Limiters(
            provider.governor,
            self._flow,
            self.slots,
            self._worker_slots,
            spend,
            provider.answers,
        )
        policy = self.policy(job)
        guard = self.guard_policy(job)
        settings = self._settings
        caches = PromptCaches.of(job, provider, self._inputs, self._source.part, settings)
        route = Route(
            key,
            job,
            provider,
            policy,
            limiters,
            self.record,
            self._inputs,
            guard,
            caches,
            spend.affords,
        )
        outages = OutagePolicy(
            settings.ENDPOINT_PROBE_FIRST, settings.ENDPOINT_PROBE_MAX, settings.ENDPOINT_WAIT_MAX
        )
        route.pool.watch_outages(outages, route, job.succeeded > 0)
        self._routes[key if config_id is None else (key, config_id)] = route
        return route

    def _shared(self, job: Job) -> Shares:
        shares = [
            Share(self._route(OWN_WAY, job, share.config_id), share.weight)
            for share in request_rows.shares(job.id)
        ]
        return Shares(Spread(job.spread), shares)

    def _start_other_routes(self) -> None:
        """Open the routes that other requests need and that are not open yet. Two greenlets may do
        this at once."""
        if not self._overrides:
            return
        job = Job.get_by_id(self.job_id)
        for key in self._source.route_keys():
            if key in self._runs:
                continue
            try:
                if key not in self._routes:
                    self._route(key, job)
            except ConfigurationError as error:
                self._end(PauseReason("auth", error.text))
                return
            if self._settling:
                return
            if key not in self._runs:
                self._runs[key] = gevent.spawn(self._run_other_route, key)

    def _run_other_route(self, key: RouteKey) -> None:
        try:
            self._run_route(key)
        finally:
            self._runs.pop(key, None)
            self._unready_since.pop(key, None)

    def _run_route(self, key: RouteKey) -> None:
        """Run one route until none of its requests is left here, or until the job run must stop."""
        sender = self._sender_of(key)
        withdrawn = True
        while withdrawn:
            stop = self._send(key)
            if stop is not None:
                self._end(self._named(stop, sender))
            withdrawn = key in self._withdrawn and not self._stopping
            self._withdrawn.discard(key)
            if withdrawn:
                self._sink.flush()
                self._source.give_back(key)

    def _named(self, stop: PauseReason, sender: Route | Shares) -> PauseReason:
        """With the config that stopped, where the job uses several."""
        used = {route.provider.config_id for route in self._routes.values()}
        if len(used) == 1 or isinstance(sender, Shares):  # shares name theirs themselves
            return stop
        return named(stop, sender.provider)

    def _end(self, stop: PauseReason) -> None:
        """A reason that stops one route stops the job: the user must decide."""
        if self._stop is None:
            self._stop = stop
        self.stop()

    def _complete(self) -> bool:
        """Let the job be finished if every request has a result; False where some were given back
        meanwhile (retried by the user) and another pass is due."""
        job = finalize.complete(self.job_id)
        if job is not None:
            self._overrides = job.overrides
            self._source.note(job)
        return job is None

    def stop(self) -> None:
        """No new calls; ``run`` returns when those in flight have ended."""
        if not self._stopping:
            self._stopping = True
            for route in self._routes.values():
                gevent.spawn(route.pool.stop)

    def kill(self) -> None:
        """Like ``stop``, but calls still in flight after CANCEL_GRACE are cut."""
        self._stopping = True
        for route in self._routes.values():
            route.pool.kill(self._settings.CANCEL_GRACE)

    def live(self) -> LiveState:
        """How it stands now."""
        in_flight = self._indices("in_flight")
        retrying = self._indices("retrying")
        return LiveState(
            at=now_ms(),
            in_flight=len(in_flight),
            retrying=len(retrying),
            rate=round(self.rate(), 3),
            in_flight_idx=in_flight[:SHOWN_INDICES],
            retrying_idx=retrying[:SHOWN_INDICES],
            governor=self._governor(),
            calls=self.calls,
            waits=self.waits,
            waiting=self.waiting,
            configs=self._live_configs(),
        )

    def _live_configs(self) -> dict[str, ConfigLive] | None:
        if self._shares is None:
            return None
        providers = [(share, share.route.provider) for share in self._shares.all]
        return {
            provider.alias: ConfigLive(
                share.state, self._steady(provider.alias, provider.governor.state())
            )
            for share, provider in providers
        }

    def _governor(self) -> GovernorState:
        return self._steady("", self._limited())

    def _steady(self, of: str, state: GovernorState) -> GovernorState:
        """What limits the calls (of a connection, or of the job: ``of`` is empty) stays for a moment: it must
        not flicker on the pages."""
        now = time.monotonic()
        if state.limited_by:
            self._limit_seen[of] = now, state
            return state
        seen_at, seen = self._limit_seen.get(of, (0.0, None))
        if seen is None or now - seen_at > _SEEN_S or seen.limited_by in _MOMENTARY:
            return state
        return msgspec.structs.replace(
            state, limited_by=seen.limited_by, limited_to=seen.limited_to
        )

    def _limited(self) -> GovernorState:
        """With what limits the calls, where that is not in the governor."""
        state = self._own_route.provider.governor.state()
        if self._own_route.provider.answers.waiting and not state.reason:
            return msgspec.structs.replace(
                state, reason=MEMORY, limited_by=LimitedBy.MEMORY, limited_to=None
            )
        if state.limited_by:
            return state
        places = ((LimitedBy.JOB, self.slots), (LimitedBy.PROCESS, self._worker_slots))
        for limited_by, slots in places:
            if slots is not None and slots.waiting:
                return msgspec.structs.replace(state, limited_by=limited_by, limited_to=slots.limit)
        return state

    def _indices(self, kind: str) -> list[int]:
        return sorted(i for route in self._routes.values() for i in getattr(route.pool, kind))

    def rate(self) -> float:
        """Requests finished per second over the last seconds."""
        now = time.monotonic()
        while self._finished and self._finished[0][0] < now - RATE_WINDOW_S:
            self._finished.popleft()
        if not self._finished:
            return 0.0
        span = max(1.0, now - self._finished[0][0])
        return sum(count for _, count in self._finished) / span

    def _pending(self, key: RouteKey) -> Iterator[Request]:
        for page in self._pages(key):
            for request in page:
                self._sink.wait_until_writable()
                yield request

    def _pages(self, key: RouteKey) -> Iterator[list[Request]]:
        for page in self._source.pages(key):
            if self._reuse is not None:
                page = self._reuse.unanswered(self._routes.get(key, self._own_route), page)
            yield page
            if self._stopping:
                return
            if not page:
                give_way()  # a long finished stretch must not hold up the others

    def _send(self, key: RouteKey) -> PauseReason | None:
        """Run a route, with requests of one prefix one behind the other where caches are in mind."""
        sender = self._sender_of(key)
        if not sender.gates:
            return sender.run(lambda: self._pending(key))

        def window() -> RequestWindow:
            writable = self._sink.wait_until_writable
            return RequestWindow(self._pages(key), writable, sender.marks, self._source.max_held)

        if isinstance(sender, Shares):
            return sender.run(window)
        return sender.run(lambda: window().draw(sender.gates[0]))

    def record_reused(self, provider: Provider, index: int, result: RequestResult) -> None:
        self.record(provider, index, (), result, reused=True)

    def record(self, provider: Provider, index, attempts, result, reused=False) -> None:
        if result is not None:
            second = int(time.monotonic())
            if self._finished and self._finished[-1][0] == second:
                self._finished[-1] = second, self._finished[-1][1] + 1
            else:
                self._finished.append((second, 1))
        self._sink.record(
            Recorded(
                job_id=self.job_id,
                alias=provider.alias,
                prices=provider.prices,
                index=index,
                attempts=attempts,
                result=result,
                config_id=provider.config_id,
                foreign=provider.prices.currency != self._currency,
                key=self._reuse.key_of(index) if self._reuse and not reused else None,
                reused=reused,
            )
        )
