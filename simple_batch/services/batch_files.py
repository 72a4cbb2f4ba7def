"""Files of the Batch API: uploads that batches are made from, and results of jobs.

Results are not written anywhere a second time: their file is a row that names the
job, and its lines are made when they are asked for. Deleting such a file erases the answers
in it; the job and its figures stay.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from .. import export
from ..auth import audit_log, job_rights
from ..auth.job_rights import Right
from ..core import context
from ..core.clock import give_way, now_ms
from ..core.domain import FINAL_STATUSES, JobStatus, batch_id
from ..core.errors import Conflict, InvalidInput, NotFound
from ..core.identity import Scope
from ..core.messages import translatable
from ..store import api_files, idempotency, response_cache
from ..store import jobs as job_rows
from ..store.database import connected
from ..store.models import ApiFile, Job, Token, database
from . import uploads

PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
RESULTS = "batch_output"
MIN_KEEP_S, MAX_KEEP_S = 3_600, 2_592_000
DAY_MS = 86_400_000
_JSONL = (".jsonl", ".jsonl.gz")
_EXTENSION = re.compile(r"\.([^\W_]{1,10})$")
_BLOCK = 1 << 18
_IDEMPOTENT_MS = DAY_MS


def add_once(
    stream: BinaryIO,
    filename: str,
    purpose: str,
    token: Token | None = None,
    keep_s: int | None = None,
    key: str | None = None,
) -> ApiFile:
    """``add``; a second one with the same idempotency ``key`` returns the file of the first. Raises
    Conflict where something else was asked for then."""
    if key is None:
        return add(stream, filename, purpose, token, keep_s)
    token_id = token.id if token is not None else 0
    asked = idempotency.fingerprint("file", filename, purpose, keep_s)
    earlier = idempotency.made_before(token_id, key, asked)
    if earlier is not None:
        return get(earlier)
    made = add(stream, filename, purpose, token, keep_s)
    if idempotency.note(token_id, key, asked, made.id):
        return get(made.id)
    delete(made.id)  # the same was sent twice at once
    first = idempotency.made_before(token_id, key, asked)
    assert first is not None  # a note is not removed so soon
    return get(first)


def add(
    stream: BinaryIO,
    filename: str,
    purpose: str,
    token: Token | None = None,
    keep_s: int | None = None,
) -> ApiFile:
    """Keep a file; ``keep_s`` is how long, None as the settings say. Raises InvalidInput naming the
    field, UploadTooLarge, and UploadRejected where the disk cannot take it or a batch file is not
    UTF-8."""
    check(filename, purpose, keep_s)
    settings = context.settings()
    limit = settings.BATCH_MAX_FILE_BYTES or None
    upload = uploads.stage(stream, filename, scan=False, max_bytes=limit, utf8=purpose == "batch")
    if keep_s is None and purpose == "batch" and settings.BATCH_FILE_KEEP_DAYS:
        keep_s = round(settings.BATCH_FILE_KEEP_DAYS * 86_400)
    now = now_ms()
    file = ApiFile.create(
        token=token,
        purpose=purpose,
        filename=upload.filename,
        bytes=upload.bytes,
        created_at=now,
        expires_at=None if keep_s is None else now + keep_s * 1000,
        upload=upload,
    )
    audit_log.note("file.create", f"file-{file.id}", file.filename)
    return file


def check(filename: str, purpose: str, keep_s: int | None) -> None:
    """Raises InvalidInput naming the field for what ``add`` would not take."""
    if purpose not in PURPOSES:
        raise InvalidInput(
            translatable(
                "%(purpose)r is not one of %(purposes)r.", purpose=purpose, purposes=list(PURPOSES)
            ),
            "purpose",
        )
    if purpose == "batch" and not _may_be_jsonl(filename):
        raise InvalidInput(
            translatable(
                "Invalid file format for purpose batch: %(filename)r must end in .jsonl or "
                ".jsonl.gz, or have no extension.",
                filename=filename[:100],
            ),
            "file",
        )
    check_keep(keep_s, "expires_after")


def _may_be_jsonl(filename: str) -> bool:
    """Whether a name has the extension of a batch file or none, as those that clients give to bytes
    (upload, unknown_file). An extension is up to ten letters and digits behind the last dot, not
    digits alone: ``v1.2`` has none."""
    name = uploads.bare_name(filename).lower()
    extension = _EXTENSION.search(name)
    return name.endswith(_JSONL) or extension is None or extension[1].isdecimal()


def check_keep(keep_s: int | None, field: str) -> None:
    """Raises InvalidInput for a time to keep a file that the API does not know."""
    if keep_s is not None and not MIN_KEEP_S <= keep_s <= MAX_KEEP_S:
        raise InvalidInput(
            translatable(
                "%(field)s.seconds must be from %(low)s to %(high)s, not %(given)s.",
                field=field,
                low=MIN_KEEP_S,
                high=MAX_KEEP_S,
                given=keep_s,
            ),
            field,
        )


def get(file_id: int, viewer: Scope | None = None) -> ApiFile:
    """The file, if the viewer (None: sees all) may see it. Raises NotFound."""
    file = api_files.find(file_id, viewer, now_ms())
    if file is None:
        raise NotFound(translatable("No such File object: file-%(file_id)s", file_id=file_id))
    return file


def page(
    viewer: Scope | None,
    purpose: str | None = None,
    after: int | None = None,
    limit: int = 10_000,
    newest_first: bool = True,
) -> tuple[list[ApiFile], bool]:
    """Files behind the id ``after``, and whether there are more."""
    rows = api_files.page(viewer, now_ms(), purpose, after, limit + 1, newest_first)
    return rows[:limit], len(rows) > limit


def size(file: ApiFile) -> int:
    """Its bytes; those of results are counted once and then known. Those of a job that has not ended
    are counted each time: there may be more of them soon."""
    if file.bytes is not None:
        return file.bytes
    return _counted(file) if _grows(file) else _count(file)


def _counted(file: ApiFile) -> int:
    return sum(len(piece) for piece in _lines(file))


def _count(file: ApiFile) -> int:
    """Count its bytes for good."""
    file.bytes = _counted(file)
    ApiFile.update(bytes=file.bytes).where(ApiFile.id == file.id).execute()
    return file.bytes


def _grows(file: ApiFile) -> bool:
    """Whether it is of a job that has not ended, so that results may still be added."""
    ended = Job.status.in_(FINAL_STATUSES)
    return (
        file.job_id is not None and not Job.select().where((Job.id == file.job_id) & ended).exists()
    )


def content(file: ApiFile) -> Iterator[bytes]:
    """What is in it, in pieces. Raises NotFound where an upload is gone from the disk."""
    if file.job_id is not None:
        return _lines(file)
    path = Path(file.upload.path) if file.upload is not None else None
    if path is None or not path.exists():
        raise NotFound(
            translatable("The content of file-%(file_id)s is no longer kept.", file_id=file.id)
        )
    return _blocks(path)


def _lines(file: ApiFile) -> Iterator[bytes]:
    only = "succeeded" if file.part == "output" else export.UNANSWERED
    return export.export(file.job_id, "openai", only)


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as opened:
        while block := opened.read(_BLOCK):
            yield block


def delete(file_id: int, viewer: Scope | None = None) -> None:
    """Hide the file at once; what it holds is removed by ``sweep``. Raises NotFound, Forbidden for the results
    of another's job, and Conflict for results of a job that has not ended: its last result files would lack
    them."""
    file = get(file_id, viewer)
    if file.job_id is not None:
        job_rights.need(file.job_id, Right.OWN)
    if _grows(file):
        raise Conflict(
            translatable(
                "file-%(file_id)s holds what %(batch)s has finished so far: delete it when the batch "
                "has ended (cancelling ends it).",
                file_id=file.id,
                batch=batch_id(file.job_id),
            )
        )
    ApiFile.update(deleted_at=now_ms()).where(ApiFile.id == file.id).execute()
    audit_log.note("file.delete", f"file-{file.id}", file.filename)


# --- results ----------------------------------------------------------------------------------


def make_results(job_id: int) -> None:
    """The files of a job whose requests all have a result: one of the answers, one of the rest, if
    there are any. May be called again."""
    with connected():
        job = Job.get_by_id(job_id)
        now, parts = now_ms(), _parts(job)
        api_files.drop_others(job, parts)  # begun before a retry left nothing in it
        for part in parts:
            file = api_files.result(job, part, _name(job, part), RESULTS, now, job.output_keep_s)
            if job.completion_window:  # the client that made the batch will ask for the size
                _count(file)


def offer_so_far(stopped: Sequence[Job]) -> None:
    """Let what these jobs, which have not ended, have finished so far be read: by the files that
    will be theirs at the end."""
    there = results_of([job.id for job in stopped])
    for job in stopped:
        for part in _parts(job):
            if part not in there.get(job.id, {}):
                api_files.begun(job, part, _name(job, part), RESULTS, now_ms())


def _parts(job: Job) -> list[str]:
    """The result files in which there is anything."""
    counts = {"output": job.succeeded, "error": job.failed + job.cancelled}
    return [part for part, count in counts.items() if count]


def _name(job: Job, part: str) -> str:
    return f"{batch_id(job.id)}_{part}.jsonl"


def forget_results(job_id: int) -> None:
    """Drop the result files of a finished job that goes on; new ones will be made. Deleted answers are
    erased first."""
    for file in ApiFile.select().where((ApiFile.job == job_id) & ApiFile.deleted_at.is_null(False)):
        _erase_answers(file)
    ApiFile.delete().where(ApiFile.job == job_id).execute()


def expire_result(file_id: int) -> None:
    """Hide a result file as ``delete`` does, if it is still there."""
    there = (ApiFile.id == file_id) & ApiFile.job.is_null(False) & ApiFile.deleted_at.is_null()
    ApiFile.update(deleted_at=now_ms()).where(there).execute()


def results_of(job_ids: list[int]) -> dict[int, dict[str, int]]:
    """{job: {part: file id}} of the result files that there are."""
    return api_files.results_of(job_ids, now_ms())


# --- what goes --------------------------------------------------------------------------------


def sweep() -> None:
    """Remove what was deleted or has expired, including answers kept for other jobs, and uploads
    that are not needed any more. May be interrupted."""
    with connected():
        uploads.discard_unlaunched()
        idempotency.forget(now_ms() - _IDEMPOTENT_MS)
        audit_log.forget_old()
        going = api_files.going(now_ms())
    for file in going:
        _remove(file)
    settings = context.settings()
    before = now_ms() - int(settings.REUSE_KEEP_HOURS * 3_600_000)
    more = True
    while more:
        with connected():
            more = response_cache.sweep_step(settings.REUSE_MAX_BYTES, before)
        give_way()


def _remove(file: ApiFile) -> None:
    if file.job_id is not None:
        _erase_answers(file)
    with connected(), database.atomic():
        upload = file.upload
        if upload is not None:
            waiting = (Job.status == JobStatus.VALIDATING) & Job.deleted_at.is_null()
            waiting = (Job.upload == upload.id) & (waiting | Job.binned_at.is_null(False))
            if Job.select().where(waiting).exists():
                ApiFile.update(deleted_at=now_ms()).where(ApiFile.id == file.id).execute()
                return  # it is still being read, or will be when it is restored
            Job.update(upload=None).where(Job.upload == upload.id).execute()
        ApiFile.delete().where(ApiFile.id == file.id).execute()
        if upload is not None:
            uploads.discard_unused(upload)


def _erase_answers(file: ApiFile) -> None:
    """Remove the bodies of the results in the file, in small steps."""
    after: int | None = -1
    while after is not None:
        with connected():
            after = api_files.erase_step(file.job_id, file.part, after)
        give_way()
    with connected():
        job = Job.get_or_none(Job.id == file.job_id)
        if job is not None:
            job_rows.add_event(
                job.id, job.status, job.status, "erased", file.filename, actor="runner"
            )
