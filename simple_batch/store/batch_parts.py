"""Parts of a job that go through a provider's batch API: their rows, and which requests are in them.

A change of state is a compare-and-set: of two processes that believe to lead a job only one succeeds.
"""

from collections.abc import Collection, Sequence
from itertools import chain

import msgspec
from peewee import SQL, fn

from ..core.clock import now_ms
from ..core.domain import PartState, Request
from .models import ApiConfig, BatchLine, BatchPart, Job, database, lock_config, lock_job

BEFORE_CREATE = (PartState.PLANNED, PartState.UPLOADING, PartState.UPLOADED)
UNSENT = (*BEFORE_CREATE, PartState.CREATING)
OPEN = (PartState.OPEN, PartState.CANCELLING)
UNDER_WAY = (*UNSENT, *OPEN, PartState.ENDED)
AT_PROVIDER = (PartState.CREATING, *OPEN)  # the provider counts their tokens, or may do so
CHUNK = 5_000
LEARNED_FOR_MS = 86_400_000  # a limit of enqueued tokens that was learned holds for a day

_ADD_ALL = """
INSERT INTO batch_line (job_id, idx, part_id)
SELECT p.job_id, v.value, p.id FROM batch_part p, (SELECT value FROM json_each(?)) v WHERE p.id = ?
"""
_ADD_FREE = (
    _ADD_ALL
    + """
  AND NOT EXISTS (SELECT 1 FROM result x WHERE x.job_id = p.job_id AND x.idx = v.value)
  AND NOT EXISTS (SELECT 1 FROM batch_line b WHERE b.job_id = p.job_id AND b.idx = v.value)
RETURNING idx
"""
)
_ANY_AMONG = (
    "SELECT 1 WHERE EXISTS (SELECT 1 FROM result WHERE job_id = ?1 AND idx >= ?2 AND idx <= ?3) "
    "OR EXISTS (SELECT 1 FROM batch_line WHERE job_id = ?1 AND idx >= ?2 AND idx <= ?3)"
)
_GREW = "UPDATE batch_part SET requests = requests + ?, bytes = bytes + ?, tokens = tokens + ? WHERE id = ?"
_LINES = """
SELECT r.idx, r.custom_id, coalesce(o.body, r.body), r.url, r.line, o.max_tokens FROM batch_line b
JOIN request r ON r.job_id = b.job_id AND r.idx = b.idx
LEFT JOIN override o ON o.job_id = r.job_id AND o.idx = r.idx
WHERE b.part_id = ? AND b.idx > ? ORDER BY b.idx LIMIT ?
"""
_RELEASE = (
    "DELETE FROM batch_line WHERE part_id = ? AND idx IN "
    "(SELECT idx FROM batch_line WHERE part_id = ? LIMIT ?)"
)
_LEAVE = "DELETE FROM batch_line WHERE part_id = ? AND idx IN (SELECT value FROM json_each(?))"
_SUMS = """
SELECT count(*), coalesce(sum(requests), 0), coalesce(sum(succeeded), 0), coalesce(sum(failed), 0),
  coalesce(sum(sent_again), 0), coalesce(sum(cost_nano), 0), coalesce(sum(unpriced), 0),
  coalesce(sum(reserved_nano), 0), min(CASE WHEN state IN ('open', 'cancelling') THEN sent_at END)
FROM batch_part WHERE job_id = ?
"""


class Sums(msgspec.Struct, frozen=True):
    """All parts of a job together. ``oldest_open`` (epoch ms) is when the oldest batch that has not
    ended was sent; money in nano-units of the job's currency."""

    parts: int
    requests: int
    succeeded: int
    failed: int
    sent_again: int
    cost_nano: int
    unpriced: int
    reserved_nano: int
    oldest_open: int | None


def begin(job_id: int, config_id: int, url: str, model: str, marker: str) -> BatchPart:
    """A part without requests; ``add_step`` gives it some."""
    return BatchPart.create(
        job=job_id,
        config=config_id,
        url=url,
        model=model,
        marker=marker,
        state=PartState.PLANNED,
        requests=0,
        bytes=0,
        tokens=0,
        created_at=now_ms(),
    )


def add_step(part: BatchPart, sizes: dict[int, tuple[int, int]]) -> set[int]:
    """Put requests, given as {index: (bytes, tokens)}, into a planned part; returns those that are in it
    now. Requests that have a result, or are in a part, are left where they are."""
    listed = msgspec.json.encode(list(sizes)).decode()
    with database.atomic():
        lock_job(part.job_id)
        among = part.job_id, min(sizes), max(sizes)
        if database.execute_sql(_ANY_AMONG, among).fetchone():
            added = set(chain.from_iterable(database.execute_sql(_ADD_FREE, (listed, part.id))))
        else:  # most parts are of requests that were never sent: all are free
            one = database.execute_sql(_ADD_ALL, (listed, part.id)).rowcount > 0
            added = set(sizes) if one else set()
        if added:
            all_of_them = len(added) == len(sizes)
            of_added = sizes.values() if all_of_them else map(sizes.__getitem__, added)
            grew = map(sum, zip(*of_added, strict=True))
            database.execute_sql(_GREW, (len(added), *grew, part.id))
    return added


def get(part_id: int) -> BatchPart | None:
    return BatchPart.get_or_none(BatchPart.id == part_id)


def move(part_id: int, to: PartState, former: Collection[PartState], **values) -> bool:
    """Change the state, and further columns, of a part that is in one of the ``former`` states. False:
    it is in another, or gone."""
    changed = BatchPart.update(state=to, **values).where(
        (BatchPart.id == part_id) & BatchPart.state.in_(list(former))
    )
    return changed.execute() > 0


def note(part_id: int, **values) -> None:
    """Change columns of a part, but not its state."""
    BatchPart.update(**values).where(BatchPart.id == part_id).execute()


def without_known(batch_ids: list[str]) -> list[str]:
    """Those of a provider's batches that are no part's here, of whatever job and config."""
    same = BatchPart.select(BatchPart.provider_id).where(BatchPart.provider_id.in_(batch_ids))
    known = {part.provider_id for part in same}
    return [batch_id for batch_id in batch_ids if batch_id not in known]


def of_job(job_id: int, states: Sequence[PartState] = UNDER_WAY) -> list[BatchPart]:
    """Parts of a job in these states, the oldest first."""
    mine = (BatchPart.job == job_id) & BatchPart.state.in_(list(states))
    return list(BatchPart.select().where(mine).order_by(BatchPart.id))


def waits(job_id: int, states: Sequence[PartState]) -> dict[int, int | None]:
    """Until when (epoch ms) parts of a job in these states wait, by id, the oldest first; None: they do not."""
    mine = (BatchPart.job == job_id) & BatchPart.state.in_(list(states))
    rows = BatchPart.select(BatchPart.id, BatchPart.not_before).where(mine).order_by(BatchPart.id)
    return dict(rows.tuples())


def in_states(part_ids: Sequence[int], states: Sequence[PartState]) -> list[BatchPart]:
    """Those of the parts that are in these states, the oldest first."""
    found = BatchPart.id.in_(list(part_ids)) & BatchPart.state.in_(list(states))
    return list(BatchPart.select().where(found).order_by(BatchPart.id))


def counts(job_id: int) -> dict[PartState, int]:
    """How many parts of a job are in each state."""
    rows = (
        BatchPart.select(BatchPart.state, fn.COUNT(SQL("*")))
        .where(BatchPart.job == job_id)
        .group_by(BatchPart.state)
        .tuples()
    )
    return {PartState(state): count for state, count in rows}


def any_under_way(job_id: int) -> bool:
    """Whether a part of the job is not over."""
    mine = (BatchPart.job == job_id) & BatchPart.state.in_(UNDER_WAY)
    return BatchPart.select(BatchPart.id).where(mine).exists()


def of_jobs(states: Sequence[PartState] = UNDER_WAY) -> set[int]:
    """Ids of the jobs that have parts in these states."""
    rows = BatchPart.select(BatchPart.job).where(BatchPart.state.in_(list(states))).distinct()
    return {job_id for (job_id,) in rows.tuples()}


def page(job_id: int, before: int | None = None, limit: int = 50) -> list[BatchPart]:
    """Parts of a job, the newest first, from below an id on; without those that have no request yet."""
    mine = (BatchPart.job == job_id) & (BatchPart.requests > 0)
    if before is not None:
        mine &= BatchPart.id < before
    return list(BatchPart.select().where(mine).order_by(BatchPart.id.desc()).limit(limit))


def sums(job_id: int) -> Sums:
    return Sums(*database.execute_sql(_SUMS, (job_id,)).fetchone())


def in_parts(job_id: int) -> int:
    """The number of a job's requests that are in parts."""
    return BatchLine.select().where(BatchLine.job == job_id).count()


def enqueued_tokens(config_id: int, model: str) -> int:
    """The estimated tokens of all parts that wait or run at a config's provider, of any job."""
    theirs = (BatchPart.config == config_id) & BatchPart.state.in_(AT_PROVIDER)
    total = BatchPart.select(fn.SUM(BatchPart.tokens)).where(theirs & (BatchPart.model == model))
    return total.scalar() or 0


def lacks_room(part: BatchPart) -> bool:
    """Whether a part would exceed the learned limit of enqueued tokens beside those at the provider. Call it in the
    transaction that announces its batch: no other job's can be announced meanwhile."""
    lock_config(part.config_id)
    limit = token_limit(part.config_id, part.model)
    if limit is None:
        return False
    enqueued = enqueued_tokens(part.config_id, part.model)
    return bool(enqueued) and enqueued + part.tokens > limit


def others_wait(part: BatchPart) -> bool:
    """Whether parts of other jobs wait for the same config and model."""
    theirs = (BatchPart.config == part.config_id) & (BatchPart.model == part.model)
    waiting = BatchPart.state.in_(BEFORE_CREATE) & (BatchPart.detail != "")
    found = BatchPart.select(BatchPart.id).where(theirs & waiting & (BatchPart.job != part.job_id))
    return found.exists()


def wake_waiting(config_id: int) -> None:
    """A part of the config has ended: those that wait for its room are tried again now."""
    waiting = (BatchPart.config == config_id) & BatchPart.state.in_(UNSENT)
    BatchPart.update(not_before=None).where(waiting & BatchPart.not_before.is_null(False)).execute()


# --- requests in a part ---------------------------------------------------------------------


def lines(part_id: int, after: int = -1, count: int = 500) -> list[Request]:
    """The next requests of a part behind an index, with their edits, in their order."""
    rows = database.execute_sql(_LINES, (part_id, after, count))
    return [
        Request(idx, custom_id, bytes(body), url, line, max_tokens=limit)
        for idx, custom_id, body, url, line, limit in rows
    ]


def leave(part_id: int, indices: Collection[int]) -> int:
    """Let requests leave a part: they are pending again, unless they have a result. Call it in the
    transaction that writes what they got."""
    listed = msgspec.json.encode(list(indices)).decode()
    return database.execute_sql(_LEAVE, (part_id, listed)).rowcount


def release_step(part_id: int, count: int) -> int:
    """Let up to ``count`` requests leave a part; returns how many did."""
    return database.execute_sql(_RELEASE, (part_id, part_id, count)).rowcount


def discard(part_id: int) -> None:
    """Remove the row of a released part, of which the provider has never seen anything."""
    mine = (BatchPart.id == part_id) & (BatchPart.state == PartState.RELEASED)
    BatchPart.delete().where(mine).execute()


def over_with_requests(job_id: int) -> list[int]:
    """Ids of parts that are over, though requests are still in them: they were not let go to the end."""
    rows = database.execute_sql(
        "SELECT p.id FROM batch_part p WHERE p.job_id = ? AND p.state IN ('merged', 'released') "
        "AND EXISTS (SELECT 1 FROM batch_line b WHERE b.part_id = p.id)",
        (job_id,),
    )
    return [part_id for (part_id,) in rows]


def index_at(part_id: int, line: int) -> int | None:
    """The index of the request in a line of a part's input, counted from 1."""
    row = database.execute_sql(
        "SELECT idx FROM batch_line WHERE part_id = ? ORDER BY idx LIMIT 1 OFFSET ?",
        (part_id, line - 1),
    ).fetchone()
    return None if row is None else row[0]


def delete_step(job_id: int, chunk: int = CHUNK) -> bool:
    """Remove up to ``chunk`` requests of a job from their parts; True when none are left and the parts
    are removed too."""
    with database.atomic():
        gone = database.execute_sql(
            "DELETE FROM batch_line WHERE job_id = ? AND idx IN "
            "(SELECT idx FROM batch_line WHERE job_id = ? LIMIT ?)",
            (job_id, job_id, chunk),
        ).rowcount
        if gone:
            return False
        BatchPart.delete().where(BatchPart.job == job_id).execute()
    return True


# --- limits of enqueued tokens ----------------------------------------------------------------

_decode_learned = msgspec.json.Decoder(dict[str, tuple[int, int]]).decode


def token_limit(config_id: int, model: str) -> int | None:
    """How many tokens may be enqueued for a model of a config, as far as refusals have shown."""
    text = ApiConfig.select(ApiConfig.batch_tokens).where(ApiConfig.id == config_id).scalar()
    limit, at = _decode_learned(text or "{}").get(model, (None, 0))
    return limit if abs(now_ms() - at) < LEARNED_FOR_MS else None  # the clock may have been set


def learn_token_limit(config_id: int, model: str, limit: int) -> None:
    """Remember a limit that a refusal has shown."""
    with database.atomic():
        lock_config(config_id)
        text = ApiConfig.select(ApiConfig.batch_tokens).where(ApiConfig.id == config_id).scalar()
        learned = _decode_learned(text or "{}")
        learned[model] = (limit, now_ms())
        encoded = msgspec.json.encode(learned).decode()
        ApiConfig.update(batch_tokens=encoded).where(ApiConfig.id == config_id).execute()


def service_of(job_id: int) -> str | None:
    return Job.select(Job.service).where(Job.id == job_id).scalar()
