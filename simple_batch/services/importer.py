"""Uploads → requests of their jobs.

An import is guarded by a lock on a file, or on the database server, so that the process that
creates a job and the one that runs jobs never read the same upload at once; the lock of an
importer that is killed is freed, and the runner then begins again.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from .. import intake
from ..core import context
from ..core.clock import give_way, now_ms
from ..core.domain import ApiFormat, Fault, JobStatus, Request
from ..core.errors import SimpleBatchError, UploadRejected
from ..core.messages import Message, lines, translatable
from ..core.stored_messages import NEEDS_MESSAGES_API, OTHER_ENDPOINT
from ..engine.anthropic.translation import ANSWERED, MESSAGES
from ..engine.structured_output import URLS
from ..intake import Reading
from ..store import duplicates, locks
from ..store import jobs as job_rows
from ..store import requests as request_rows
from ..store.database import connected, is_server
from ..store.models import Job, Upload, database, lock_job
from . import configs, images, readings, table_choices

log = logging.getLogger(__name__)

IMPORT_CHUNK = 2_000
SHOWN_FAULTS = 20
_IMPORTS, _LOCKS = 0x51C00000, 0x10000  # advisory locks: the base key, and the number of keys
KEPT_FAULTS = 100  # of a file of the Batch API: a program reads them


def import_upload(job_id: int, on_progress: Callable[[int], None] | None = None) -> None:
    """Read a validating job's upload into requests, then queue the job (or hold it).

    Where the upload is faulty and faulty lines are not to be skipped, the job becomes ``failed``,
    its requests are removed and UploadRejected is raised with the first faults. Does nothing where
    another process is importing the same job. ``on_progress`` is called with the bytes of requests read.
    """
    if not _is_validating(job_id):
        return
    with _alone(job_id) as alone:
        if not alone:
            time.sleep(0.5)
        elif _is_validating(job_id):  # still: another may have finished before the lock was ours
            with connected():
                job = Job.get_by_id(job_id)
                upload = job.upload
            _import(job, upload, on_progress)


def _is_validating(job_id: int) -> bool:
    with connected():
        status = Job.select(Job.status).where(Job.id == job_id).scalar()
    return status == JobStatus.VALIDATING


@contextlib.contextmanager
def _alone(job_id: int) -> Iterator[bool]:
    """Whether no other process imports this job while the block lasts."""
    settings = context.settings()
    if is_server(settings.database_url):
        connection = locks.acquire_on_server(settings.database_url, _IMPORTS + job_id % _LOCKS)
        with connection or contextlib.nullcontext():
            yield connection is not None
        return
    path = settings.uploads / f"job-{job_id}.lock"
    lock = locks.acquire(path)
    try:
        yield lock is not None
    finally:
        if lock is not None:
            locks.release(lock)
            path.unlink(missing_ok=True)


def import_quietly(job_id: int) -> None:
    """``import_upload`` for the runner: a faulty upload is the job's failure, not the runner's."""
    try:
        import_upload(job_id)
    except UploadRejected as error:
        log.warning("job %s: %s", job_id, error)


def _import(job: Job, upload: Upload | None, on_progress) -> None:
    try:
        _clear(job.id)
        if upload is None or not Path(upload.path).exists():
            raise UploadRejected(translatable("The uploaded file is gone: create the job again."))
        found, notes = _fill(job, Path(upload.path), on_progress)
    except UploadRejected as error:
        _clear(job.id)
        _fail(job.id, error)
        raise
    with connected():
        Job.update(found).where(Job.id == job.id).execute()
        table_choices.keep_notes(job.id, notes)
        to, reason = JobStatus.QUEUED, ""
        if job.hold:
            to, reason = JobStatus.PAUSED, job_rows.HELD
        elif job.start_at is not None and job.start_at > now_ms():
            to = JobStatus.SCHEDULED
        job_rows.transition(job.id, to, (JobStatus.VALIDATING,), reason)


def _fill(job: Job, path: Path, on_progress) -> tuple[dict, list[Message]]:
    """Insert the requests in chunks; returns what the job's row is to say of the file, and what its
    events are to. Raises UploadRejected.

    At first without looking for repeated ids: the table refuses them. Only where it does, or where
    all faults have to be reported, the file is read again with that check.
    """
    try:
        return _Reading(job, on_progress, unique=False).run(path)
    except (request_rows.RepeatedId, UploadRejected):
        _clear(job.id)
        return _Reading(job, on_progress, unique=True).run(path)


class _Reading:
    """One reading of a job's upload: requests are inserted in chunks, faults collected."""

    def __init__(self, job: Job, on_progress: Callable[[int], None] | None, unique: bool):
        self._job = job
        self._on_progress = on_progress
        self._unique = unique
        self._rules = _rules(job)
        self._home = _Home(job) if self._rules is not None else None
        self._pairing = duplicates.Deduplicator() if job.ask_once else None
        self._chunk: list[Request] = []
        self._faults: list[Fault] = []
        self._good = self._bad = self._size = 0
        self._url = job.endpoint
        self._speak_messages = _of_messages_api() if not job.spread else frozenset()

    def run(self, path: Path) -> tuple[dict, list[Message]]:
        """The job's columns that the file says, and notes on how it was read. Raises
        UploadRejected, RepeatedId."""
        template = intake.template_of(self._job.template) if self._job.template else None
        with connected():
            upload = self._job.upload
            self._how = (readings.of(upload), upload.filename) if upload else (Reading(), "")
            find_image = images.finder(upload) if template is not None else None
        # one connection for all images that are looked up, where there are any
        with connected() if find_image is not None else contextlib.nullcontext():
            return self._read(path, template, find_image)

    def _read(self, path: Path, template, find_image) -> tuple[dict, list[Message]]:
        reader = intake.Reader(
            path,
            context.settings(),
            self._unique,
            self._rules,
            template,
            find_image=find_image,
            reading=self._how[0],
            filename=self._how[1],
        )
        try:
            for item in reader:
                if self._job.schema and not isinstance(item, Fault):
                    item = _shaped(item)
                if not isinstance(item, Fault):
                    item = self._answerable(item)
                if isinstance(item, Fault):
                    self._note(item)
                elif not self._take(item):
                    break
            self._conclude()
            if reader.blank and self._job.upload_id is not None:
                with connected():
                    readings.keep_blank(self._job.upload, reader.blank)
        finally:
            reader.close()
            if self._pairing is not None:
                self._pairing.close()
        found = {
            "source_format": reader.format,
            "endpoint": self._url,
            "header": msgspec.json.encode(reader.header).decode() if reader.header else None,
        }
        return found, reader.notes

    def _answerable(self, request: Request) -> Request | Fault:
        """A request whose endpoint the API of its config has."""
        home = request.config_id or self._job.config_id
        if home in self._speak_messages:
            wrong = OTHER_ENDPOINT if request.url not in ANSWERED else None
        else:
            wrong = NEEDS_MESSAGES_API if request.url == MESSAGES and not self._job.spread else None
        if wrong is None:
            return request
        return Fault(request.line, "url_mismatch", wrong(url=request.url), "url")

    def _note(self, fault: Fault) -> None:
        self._bad += 1
        if len(self._faults) < (SHOWN_FAULTS if self._rules is None else KEPT_FAULTS):
            self._faults.append(fault)

    def _take(self, request: Request) -> bool:
        """Add a request. False where reading on is useless."""
        self._good += 1
        if self._bad and not self._job.skip_faulty:
            return self._unique  # else the next reading reports all faults
        self._url = request.url
        self._size += len(request.body)
        self._chunk.append(request if self._home is None else self._home.placed(request))
        if len(self._chunk) < IMPORT_CHUNK:
            return True
        if not self._write():
            return False
        if self._on_progress is not None:
            self._on_progress(self._size)
        return True

    def _write(self) -> bool:
        """Insert what was collected; False where the job was cancelled or deleted meanwhile."""
        chunk, self._chunk = self._chunk, []
        return _insert(
            self._job.id, chunk if self._pairing is None else self._pairing.paired(chunk)
        )

    def _conclude(self) -> None:
        if self._bad and not self._job.skip_faulty:
            raise UploadRejected(
                translatable(
                    "Faulty lines: %(bad)s of %(count)s. Correct them, or skip them.",
                    bad=self._bad,
                    count=self._good + self._bad,
                ),
                self._faults,
                self._bad,
                self._good,
            )
        if not self._good:
            raise UploadRejected(
                translatable("No request in the file is valid."), self._faults, self._bad, 0
            )
        self._write()
        if self._home is not None:
            self._home.note()


def _of_messages_api() -> frozenset[int]:
    """The ids of the configs whose endpoints speak Anthropic's Messages API."""
    with connected():
        found = configs.list_all()
    return frozenset(one.id for one in found if one.api_format == ApiFormat.ANTHROPIC)


def _shaped(request: Request) -> Request | Fault:
    """A request of a job with a schema: one whose answer is a text."""
    if request.url in URLS:
        return request
    return Fault(
        request.line,
        "url_mismatch",
        translatable(
            "the job has a schema, and an answer of %(url)s is no text that could fit it",
            url=request.url,
        ),
        "url",
    )


def _rules(job: Job) -> intake.Rules | None:
    """What the lines of a job from the Batch API must keep to; None for another job."""
    if not job.completion_window:
        return None

    def config_of(model: str) -> int | None:
        with connected():
            config = configs.by_model(model)
        return None if config is None else config.id

    return intake.Rules(job.endpoint, config_of, context.settings().BATCH_MAX_REQUESTS)


class _Home:
    """The config of a job whose requests pick theirs themselves: that of the first one. Only what
    goes elsewhere says so in its row."""

    def __init__(self, job: Job):
        self._job = job
        self._home: int | None = None
        self._others: set[int] = set()

    def placed(self, request: Request) -> Request:
        if self._home is None:
            self._home = request.config_id
        if request.config_id == self._home:
            return msgspec.structs.replace(request, config_id=None)
        if request.config_id is not None:
            self._others.add(request.config_id)
        return request

    def note(self) -> None:
        """Write down what was found."""
        assert self._home is not None  # a batch without a request is refused before
        with connected():
            currency = configs.get(self._home).currency
            Job.update(config=self._home, currency=currency).where(Job.id == self._job.id).execute()
            request_rows.note_configs(self._job.id, self._home, self._others)


def _insert(job_id: int, chunk: list[Request]) -> bool:
    """Write a chunk; False where the job was cancelled or deleted meanwhile."""
    with connected(), database.atomic():
        lock_job(job_id)
        status = Job.select(Job.status).where(Job.id == job_id, Job.deleted_at.is_null()).scalar()
        if status != JobStatus.VALIDATING:
            return False
        request_rows.insert(job_id, chunk)
    give_way()  # lets other greenlets work between two chunks
    return True


def _clear(job_id: int) -> None:
    empty = False
    while not empty:
        with connected():
            empty = request_rows.clear_step(job_id)
        give_way()


def _fail(job_id: int, error: SimpleBatchError) -> None:
    faults = getattr(error, "faults", ())
    shown = [fault.placed for fault in faults[:SHOWN_FAULTS]]
    with connected():
        kept = msgspec.json.encode(faults).decode()
        Job.update(faults=kept).where(Job.id == job_id).execute()
        job_rows.transition(
            job_id,
            JobStatus.FAILED,
            (JobStatus.VALIDATING,),
            "invalid_upload",
            lines([error.text, *shown]),
        )
