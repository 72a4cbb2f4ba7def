"""Jobs that go through providers' batch APIs: makes their runs, and ends their parts where a job ends
first."""

import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ..core.domain import Cause, Request, RequestResult, Service
from ..core.errors import ConfigurationError
from ..core.messages import Message, translatable
from ..core.settings import Settings
from ..engine import service_tier
from ..engine.breaker import PauseReason
from ..engine.structured_output import NOTHING, Structure, structure_of
from ..store import batch_parts, images, response_cache
from ..store import jobs as job_rows
from ..store.database import connected, retry_while_unavailable
from ..store.models import BatchPart, Job
from .batch_configs import BatchConfigs
from .batch_deadline import BatchDeadline, window_s
from .batch_run import BatchRun
from .body_encoder import BodyEncoder
from .job_parts import JobParts
from .job_run import JobRun
from .part_budget import PartBudget
from .part_files import PartFiles
from .part_lines import LineMaker
from .part_log import PartLog
from .part_merger import PartMerger
from .part_planner import PartPlanner
from .part_release import release
from .providers import Provider, Providers
from .recorder import ResultSink
from .request_source import Cursor
from .response_reuse import ResponseReuse
from .schema_corrections import SchemaCorrections

log = logging.getLogger(__name__)

LOOK_S = 0.25
_OF_CONFIG = (Cause.AUTH, Cause.QUOTA)  # another config may do what this one does not
REST_S = 10.0  # after a failure that is not the provider's


class OutsideParts(Cursor):
    """The requests that are in no part. While parts are under way, a run that finds none does not start
    over."""

    def starts_over(self) -> bool:
        return not retry_while_unavailable(batch_parts.any_under_way, self._job_id)


class BatchJobs:
    """``calls_of(job)`` makes the run that makes calls for such a job; ``leads(job_id)``: whether this
    process leads the parts of a job."""

    def __init__(
        self,
        settings: Settings,
        providers: Providers,
        sink: ResultSink,
        calls_of: Callable[[Job], JobRun],
        leads: Callable[[int], bool] = lambda job_id: True,
    ):
        self._settings = settings
        self._providers = providers
        self._sink = sink
        self._calls_of = calls_of
        self._leads = leads
        self._files = PartFiles(settings.batches)

    @staticmethod
    def takes(job: Job) -> bool:
        """Whether a job goes through batch APIs."""
        return Service(job.service) is not Service.NOW

    def run(self, job: Job) -> BatchRun:
        """Raises ConfigurationError where a config cannot be used."""
        calls = self._calls_of(job)
        makers = self._makers(job)
        reuse = ResponseReuse(job, calls.record_reused) if job.reuse_hours else None
        budget = self._budget(job, calls)
        configs = BatchConfigs(job)
        merging = _Merging(job, calls, self._sink, budget, configs)
        parts = self._parts(job, calls, makers, merging, budget, configs)
        planner = PartPlanner(
            job,
            self._settings,
            self._files,
            makers.of,
            calls.record,
            reuse,
            budget.most_requests,
            configs,
            parts.sizes,
        )
        deadline = BatchDeadline(job, self._settings)
        run = BatchRun(job, parts, planner, calls, self._sink, deadline, configs)
        merging.stops = run.end
        return run

    def end(self, job_id: int, keep: bool) -> None:
        """End what is under way of a job that ends before its parts: batches are cancelled, and what they
        have finished is merged, or dropped unless ``keep``. Returns when no part is under way. May be
        interrupted and started again."""
        if not retry_while_unavailable(batch_parts.any_under_way, job_id):
            return
        job = retry_while_unavailable(Job.get_by_id, job_id)
        try:
            with connected():
                parts = self._parts_of(job)
                wait_s = self._settings.BATCH_CANCEL_WAIT
                if keep and not parts.cancels:  # they are paid for, so their answers are awaited
                    wait_s += window_s(job.config)
        except ConfigurationError as error:
            self._give_up(job_id, error.text)
            return
        until = time.monotonic() + wait_s
        while parts.under_way():
            problem = self._end_step(parts, keep)
            if problem is None and time.monotonic() > until:
                problem = translatable(
                    "it has not ended after %(seconds)s s",
                    seconds=f"{wait_s:g}",
                )
            if problem is not None:
                parts.leave_behind(problem)
            time.sleep(LOOK_S)
        self._sink.flush()

    def tend(self, job_id: int) -> None:
        """Poll and merge what is at providers of a job that rests: it sends nothing new. Returns when
        the job does not rest any more, or nothing is there."""
        parts: JobParts | None = None
        while job_id in retry_while_unavailable(job_rows.resting_with_parts):
            job = retry_while_unavailable(Job.get_by_id, job_id)
            try:
                with connected():
                    parts = parts or self._parts_of(job)
                parts.poll()
                while parts.merge_next()[0]:
                    pass
            except ConfigurationError as error:
                log.warning("job %s: its batches cannot be asked about: %s", job_id, error)
                time.sleep(REST_S)
            except OSError as error:
                log.error("the files of parts cannot be written: %s", error)
                time.sleep(REST_S)
            time.sleep(LOOK_S)

    def _parts_of(self, job: Job) -> JobParts:
        calls = self._calls_of(job)
        budget = self._budget(job, calls)
        merging = _Merging(job, calls, self._sink, budget)
        return self._parts(job, calls, self._makers(job), merging, budget)

    def _give_up(self, job_id: int, detail: str) -> None:
        """The config cannot be used: say which batches are left at the provider."""
        part_log = PartLog(job_id, lambda *_: None, self._sink.flush)
        for part in retry_while_unavailable(batch_parts.of_job, job_id):
            part_log.left_behind(part, detail)
            release(self._files, part, batch_parts.UNDER_WAY, detail)

    def _end_step(self, parts: JobParts, keep: bool) -> str | Message | None:
        """Returns why nothing more can be done, if so."""
        try:
            parts.withdraw()
            _over, stop = parts.poll()
            if keep:
                parts.merge_next()
            else:
                parts.drop_ended()
        except ConfigurationError as error:
            return error.text
        except OSError as error:
            log.error("the files of parts cannot be written: %s", error)
            return None
        return stop.detail if stop is not None else None

    # ------------------------------------------------------------------------------------------

    def _makers(self, job: Job) -> "_Makers":
        return _Makers(job, self._providers)

    def _budget(self, job: Job, calls: JobRun) -> PartBudget:
        return PartBudget(job.id, self._providers.by_id, calls.spend_limit, self._files.input)

    def _parts(
        self,
        job: Job,
        calls: JobRun,
        makers: "_Makers",
        merging: "_Merging",
        budget: PartBudget,
        configs: BatchConfigs | None = None,
    ) -> JobParts:
        def record(config_id: int, index: int, result: RequestResult) -> None:
            calls.record(self._providers.by_id(config_id), index, (), result)

        return JobParts(
            job,
            self._settings,
            self._files,
            makers.of,
            PartLog(job.id, record, self._sink.flush),
            merging,
            lambda: self._leads(job.id),
            budget.reserve,
            configs,
        )


class _Makers:
    """Line makers of one job, by config."""

    def __init__(self, job: Job, providers: Providers):
        self._job = job
        self._providers = providers
        self._images_in: Path | None = images.folder_of(job)
        self._bodies: dict[int, BodyEncoder] = {}
        self._makers: dict[int, LineMaker] = {}

    def of(self, config_id: int) -> LineMaker:
        """As the config stands now. Raises ConfigurationError."""
        client = retry_while_unavailable(self._providers.batch_client, config_id)
        maker = self._makers.get(config_id)
        if maker is None or maker.client is not client:
            bodies = self._bodies.get(config_id) or self._body_encoder(config_id)
            structure = bodies.structure
            corrections = None
            if structure is not None and structure.again:
                corrections = SchemaCorrections(self._job.id, structure)
            maker = LineMaker(bodies, client, self._images_in, corrections)
            self._makers[config_id] = maker
        return maker

    def _body_encoder(self, config_id: int) -> BodyEncoder:
        provider = retry_while_unavailable(self._providers.by_id, config_id)
        found = self._bodies[config_id] = BodyEncoder(
            self._job, provider, self._structure(provider)
        )
        return found

    def _structure(self, provider: Provider) -> Structure | None:
        job = self._job

        def fell_back(refused: str, now: str) -> None:
            detail = translatable(
                "%(config)s: refuses %(refused)s, asked with %(now)s from now on",
                config=provider.alias,
                refused=refused,
                now=translatable("nothing") if now == NOTHING else now,
            )
            retry_while_unavailable(job_rows.note, job.id, "eased", detail)

        return structure_of(job.schema, job.schema_mode, job.schema_retry, fell_back)


class _Merging:
    """Merges the results of a job's parts. ``stops`` is called with why the job pauses, if it does, before
    its requests are free for other parts. Where only the config is at fault, others of the job take its
    place."""

    def __init__(
        self,
        job: Job,
        calls: JobRun,
        sink: ResultSink,
        budget: PartBudget,
        configs: BatchConfigs | None = None,
    ):
        self._job = job
        self._calls = calls
        self._sink = sink
        self._budget = budget
        self._configs = configs
        self._mergers: dict[int, PartMerger] = {}
        self.stops: Callable[[PauseReason], None] = lambda stop: None

    def __call__(self, part: BatchPart, maker: LineMaker, paths: list[Path]) -> PauseReason | None:
        bodies = maker.bodies
        merger = self._mergers.get(part.config_id)
        if merger is None:
            merger = self._mergers[part.config_id] = PartMerger(
                self._job,
                bodies.provider,
                self._sink,
                self._calls.policy(self._job),
                retry_while_unavailable(self._calls.guard_policy, self._job),
                bodies.structure,
                partial(self._key_of, bodies) if self._job.reuse_hours else None,
            )
        merged = merger.merge(part, maker.client, paths, partial(self._stop, part.config_id))
        self._budget.merged(part)
        stop = merged.stop
        return None if stop is None or self._passed_over(part.config_id, stop) else stop

    def _stop(self, config_id: int, stop: PauseReason) -> None:
        if self._configs is not None and stop.reason in _OF_CONFIG:
            self._configs.close(config_id, stop)
        if not self._passed_over(config_id, stop):
            self.stops(stop)

    def _passed_over(self, config_id: int, stop: PauseReason) -> bool:
        of_config = stop.reason in _OF_CONFIG
        return of_config and self._configs is not None and self._configs.is_closed(config_id)

    def _key_of(self, bodies: BodyEncoder, request: Request) -> bytes:
        """The key under which an answer is kept for other jobs (response_reuse.py)."""
        body = service_tier.without(bodies.encode(request))
        schema = (self._job.schema or "").encode()
        return response_cache.key_of(bodies.provider.origin, request.url, body, schema)
