"""A route of a job's requests: a provider, called with the job's own parameters."""

import logging
from collections.abc import Callable, Iterable
from pathlib import Path

import gevent

from ..core.domain import (
    EMBEDDINGS,
    Adjustment,
    ApiFormat,
    Attempt,
    Cause,
    Request,
    RequestResult,
    Waiting,
)
from ..core.messages import listed, translatable
from ..core.stored_messages import UNREADABLE_IMAGE
from ..engine.anthropic import no_counterpart
from ..engine.breaker import PauseReason
from ..engine.cache_gate import PrefixGate
from ..engine.failure_guard import GuardPolicy
from ..engine.limiters import Limiters
from ..engine.load_balancer import LoadBalancer, Upstream
from ..engine.packing import RequestPacker
from ..engine.parameter_adjuster import ParameterAdjuster
from ..engine.pool import Pool
from ..engine.retry import Policy
from ..engine.service_tier import FLEX, FLEX_TIMEOUT_S, TierFallback, asked
from ..engine.stream.use import StreamState
from ..engine.structured_output import NOTHING, structure_of
from ..engine.transport import Reply, TransportFailure
from ..engine.unwanted_answer import is_unwanted
from ..store import images
from ..store import jobs as job_rows
from ..store.database import retry_while_unavailable
from ..store.models import Job
from ..store.requests import RouteKey
from .adjustment_notes import learned
from .body_encoder import BodyEncoder
from .prompt_caches import PromptCaches
from .providers import Provider

log = logging.getLogger(__name__)


def inputs_per_call(job: Job, usual: int) -> int:
    """How many inputs of a job go in a call; ``usual`` where it does not say."""
    if job.endpoint != EMBEDDINGS or job.schema:
        return 1
    return job.inputs_per_call or usual


class Failover:
    """Connects a route to the load balancer that spreads a job's requests over several configs."""

    def __init__(self, balancer: LoadBalancer, upstream: Upstream, alias: str):
        self._balancer = balancer
        self._upstream = upstream
        self._alias = alias

    def ended(self, result: RequestResult, delivered: bool) -> bool:
        """Returns False if the request goes to another config instead of failing here. ``delivered``:
        an answer came, but the job takes it for a failure."""
        cause = result.cause
        final = self._balancer.ended(self._upstream, result.index, cause, delivered)
        well = final or delivered or cause is Cause.TOO_LARGE
        if not well and self._upstream.failed():
            log.warning("%s fails again and again: left alone", self._alias)
        return final

    def abandoned(self, index: int) -> None:
        self._balancer.abandoned(index)


class Route:
    """``record(provider, index, attempts, result)`` is called with the result of each request; the
    result is None if it stays pending. ``affords()``: the spend caps allow a call at the standard service
    tier."""

    def __init__(
        self,
        key: RouteKey,
        job: Job,
        provider: Provider,
        policy: Policy,
        limiters: Limiters,
        record: Callable,
        inputs_per_call: int = 1,
        guard: GuardPolicy | None = None,
        caches: PromptCaches | None = None,
        affords: Callable[[], bool] = lambda: True,
    ):
        self.key = key
        self.provider = provider
        self._timeout_s = key.timeout_s or job.timeout_s
        self._longer_s: float | None = None  # time-out raised because every call exceeded it
        self._job_id = job.id
        self._structure = structure_of(
            job.schema, job.schema_mode, job.schema_retry, self._note_fallback
        )
        self._bodies = BodyEncoder(job, provider, self._structure)
        self._streaming = provider.streams.on  # when this route last looked
        self._record = record
        self._as_failed = policy.as_failed
        self.failover: Failover | None = None  # of a job that is spread over several configs
        self.inputs_per_call = inputs_per_call
        self.caches = caches
        where = images.folder_of(job)
        self.pool = Pool(
            encode=self._bodies.encode if caches is None else self._encode_for_caches,
            transport=self if where is None else _WithImages(self, where),
            limiters=limiters,
            policy=policy,
            record_attempts=self._record_attempts,
            structure=self._structure,
            packer=RequestPacker(inputs_per_call, self._note_packs)
            if inputs_per_call > 1
            else None,
            guard=guard,
            tier_fallback=TierFallback(
                self._flex_timeout_s, job.deadline_at, affords, self._note_tier
            ),
            adjuster=ParameterAdjuster(self._bodies.defaults, self._learn),
        )
        if caches is not None:
            self.pool.on_called = caches.gate.called

    @property
    def gate(self) -> PrefixGate | None:
        return None if self.caches is None else self.caches.gate

    @property
    def gates(self) -> list[PrefixGate]:
        """As Shares.gates."""
        return [] if self.gate is None else [self.gate]

    @property
    def marks(self) -> bool:
        """Whether requests say what the prompt cache is to hold."""
        return self.caches is not None and self.provider.caching.takes_marks

    def _encode_for_caches(self, request: Request) -> bytes:
        assert self.caches is not None
        return self.caches.noted(request, self.encode(request))

    def encode(self, request: Request) -> bytes:
        """The body as it would be sent now."""
        return self._bodies.encode(request)

    def run(self, pending: Callable[[], Iterable[Request | None]]) -> PauseReason | None:
        """Run all that are pending; see Pool.run."""
        self._note_left_out()
        return self.pool.run(pending(), self._record_result)

    def ready(self) -> bool:
        """See Pool.ready."""
        return self.pool.ready()

    def withdraw(self) -> None:
        """See Pool.withdraw."""
        self.pool.withdraw()

    @property
    def calls(self) -> int:
        """Calls in flight."""
        return self.pool.calls

    def post(self, path: str, body: bytes, timeout_s: float) -> Reply:
        own_s = self._flex_timeout_s() if asked(body) == FLEX else self.timeout_s()
        try:
            return self.provider.post(path, body, timeout_s, own_s)
        finally:
            state = self.provider.streams
            if state.on != self._streaming:
                self._streaming = state.on
                if state.here:
                    gevent.spawn(self._note_streams, state)

    def timeout_s(self) -> float:
        """Time limit of a call, as it stands now."""
        usual = self.provider.timeout_s
        if self._longer_s is not None and self.provider.has_usual_timeout:
            usual = self._longer_s
        return self._timeout_s or usual

    def _flex_timeout_s(self) -> float:
        """Time limit of a flex call: a longer one, unless a user has set one."""
        if self._timeout_s or not self.provider.has_usual_timeout:
            return self.timeout_s()
        return max(self.timeout_s(), FLEX_TIMEOUT_S)

    # --- outages (engine/outage.py) ---------------------------------------------------------

    @property
    def waiting(self) -> Waiting | None:
        """Why no calls are made but probes; None if the endpoint is not away."""
        return self.pool.outages.waiting if self.pool.outages is not None else None

    def outage_began(self, reason: str) -> None:
        log.warning("job %s waits for %s: %s", self._job_id, self.provider.alias, reason)
        detail = translatable("%(config)s: %(reason)s", config=self.provider.alias, reason=reason)
        retry_while_unavailable(job_rows.note_waiting, self._job_id, detail)

    def outage_ended(self, seconds: float) -> None:
        log.info("job %s goes on: %s answers again", self._job_id, self.provider.alias)
        detail = translatable(
            "%(config)s answers after %(seconds)s s",
            config=self.provider.alias,
            seconds=round(seconds),
        )
        retry_while_unavailable(job_rows.note_waited, self._job_id, detail)

    def longer_timeout(self) -> bool:
        """Every call exceeds the time-out: double it once, if no user has set it."""
        if self._timeout_s or self._longer_s or not self.provider.has_usual_timeout:
            return False
        usual = self.provider.timeout_s
        self._longer_s = 2 * usual
        detail = translatable(
            "%(config)s: every call exceeds the time-out of %(usual)s s. This job now uses %(longer)s s.",
            config=self.provider.alias,
            usual=f"{usual:g}",
            longer=f"{self._longer_s:g}",
        )
        gevent.spawn(
            retry_while_unavailable, job_rows.note, self._job_id, job_rows.LONGER_TIMEOUT, detail
        )
        return True

    def _learn(self, adjustment: Adjustment, origin: str) -> None:
        """A parameter is rejected: from now on it is sent in another way, or no longer."""
        if self.provider.learn(adjustment):
            detail = learned(self.provider.alias, adjustment, origin)
            log.info("job %s: %s", self._job_id, detail)
            retry_while_unavailable(job_rows.note, self._job_id, job_rows.ADJUSTED, detail)

    def _note_fallback(self, refused: str, now: str) -> None:
        self._note(
            translatable(
                "%(config)s: refuses %(refused)s, asked with %(now)s from now on",
                config=self.provider.alias,
                refused=refused,
                now=translatable("nothing") if now == NOTHING else now,
            )
        )

    def _note_tier(self, refusals: int) -> None:
        alias = self.provider.alias
        self._note(
            translatable(
                "%(config)s: no room in the service tier for a request after 1 refusal. Requests like this "
                "are sent at the standard tier.",
                config=alias,
            )
            if refusals == 1
            else translatable(
                "%(config)s: no room in the service tier for a request after %(count)s refusals. Requests "
                "like this are sent at the standard tier.",
                config=alias,
                count=refusals,
            )
        )

    def _note_left_out(self) -> None:
        """Parameters of the config and of the job that its API has nothing like are not sent."""
        defaults = self._bodies.defaults()
        if defaults.api_format is not ApiFormat.ANTHROPIC:
            return
        names = no_counterpart.left_out(defaults.params | defaults.own)
        if names:
            detail = translatable(
                "%(config)s: Anthropic's Messages API has nothing like %(names)s",
                config=self.provider.alias,
                names=listed(names),
            )
            retry_while_unavailable(job_rows.note_left_out, self._job_id, detail)

    def _note_packs(self, refused: int, now: int) -> None:
        self._note(
            translatable(
                "%(config)s: refuses %(refused)s inputs a call, gets %(now)s from now on",
                config=self.provider.alias,
                refused=refused,
                now=now,
            )
        )

    def _note_streams(self, state: StreamState) -> None:
        values = {"config": self.provider.alias, "reason": state.reason}
        if state.on:
            detail = translatable(
                "%(config)s: answers come as streams from now on: %(reason)s", **values
            )
        else:
            detail = translatable("%(config)s: no more streams: %(reason)s", **values)
        retry_while_unavailable(job_rows.note, self._job_id, job_rows.STREAMS, detail)

    def _note(self, detail: str) -> None:
        retry_while_unavailable(job_rows.note, self._job_id, "eased", detail)

    def _record_result(self, result: RequestResult) -> None:
        if self.gate is not None:
            self.gate.left(result.index)
        final = self.failover is None or self.failover.ended(
            result, is_unwanted(result, self._as_failed)
        )
        self._record(self.provider, result.index, result.attempts, result if final else None)

    def _record_attempts(self, index: int, attempts: tuple[Attempt, ...]) -> None:
        if self.gate is not None:
            self.gate.left(index)
        if attempts:
            self._record(self.provider, index, attempts, None)
        if self.failover is not None:
            self.failover.abandoned(index)


class _WithImages:
    """A route whose requests name images: they are read when a call is made, not before, so that no
    more of them are in memory than calls in flight."""

    def __init__(self, route: Route, where: Path):
        self._route = route
        self._where = where

    def post(self, path: str, body: bytes, timeout_s: float) -> Reply:
        try:
            body = images.filled(body, self._where)
        except OSError as error:
            name = Path(error.filename or "").name
            message = UNREADABLE_IMAGE(error=error.strerror, file=name)
            raise TransportFailure(Cause.INTERNAL, message) from error
        return self._route.post(path, body, timeout_s)
