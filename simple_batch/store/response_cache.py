"""Response cache: answers kept for other jobs that send the same request to the same endpoint, if their
owners enabled it."""

import hashlib

import msgspec

from ..core.call_prices import Usage
from ..core.clock import now_ms
from ..core.domain import Outcome, RequestResult, RequestStatus
from .job_change import Recorded
from .models import database

_FIND = (
    "SELECT key, response, http_status, model, input_tokens, output_tokens, cached_tokens, "
    "reasoning_tokens, cache_write_tokens, cache_write_1h_tokens, estimated FROM kept_answer WHERE created_at >= ? AND key IN ({marks})"
)
_KEEP = (
    "INSERT INTO kept_answer (key, response, http_status, model, input_tokens, output_tokens, "
    "cached_tokens, reasoning_tokens, cache_write_tokens, cache_write_1h_tokens, estimated, bytes, created_at) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (key) DO UPDATE SET response = excluded.response, http_status = excluded.http_status, "
    "model = excluded.model, input_tokens = excluded.input_tokens, "
    "output_tokens = excluded.output_tokens, cached_tokens = excluded.cached_tokens, "
    "reasoning_tokens = excluded.reasoning_tokens, "
    "cache_write_tokens = excluded.cache_write_tokens, "
    "cache_write_1h_tokens = excluded.cache_write_1h_tokens, estimated = excluded.estimated, "
    "bytes = excluded.bytes, "
    "created_at = excluded.created_at"
)
_OLDEST = 50  # removed at a time
# the others are not for other jobs: what was cut off, refused or empty may come out well next time
REUSABLE = frozenset({None, Outcome.OK, Outcome.TOOL_CALL})


class KeptAnswer(msgspec.Struct, frozen=True):
    """A cached answer; ``usage`` is what the call used then."""

    response: bytes
    http_status: int | None
    model: str | None
    usage: Usage | None


def key_of(base_url: str, url: str, body: bytes, schema: bytes) -> bytes:
    """The cache key of a request: a digest of the endpoint, its path, the body as it is sent, and the
    schema that the answer is checked by."""
    text = b"\0".join((base_url.encode(), url.encode(), body, schema))
    return hashlib.blake2b(text, digest_size=16).digest()


def find(keys: list[bytes], since: int) -> dict[bytes, KeptAnswer]:
    """The answers kept under these keys that came at ``since`` (epoch ms) or later."""
    query = _FIND.format(marks=",".join("?" * len(keys)))
    found = {}
    for key, response, http_status, model, *tokens in database.execute_sql(query, (since, *keys)):
        usage = None if tokens[0] is None else Usage(*(count or 0 for count in tokens))
        found[bytes(key)] = KeptAnswer(bytes(response), http_status, model, usage)
    return found


def keep(records: list[Recorded]) -> None:
    """Keep the good answers of what has a key, in the transaction of the results."""
    now = now_ms()
    rows = []
    for record in records:
        result = record.result
        if record.key is None or result is None or result.response is None:
            continue
        if result.status == RequestStatus.SUCCEEDED and result.outcome in REUSABLE:
            rows.append(_row(record.key, result, result.response, now))
    database.executemany(_KEEP, rows)


def _row(key: bytes, result: RequestResult, response: bytes, now: int) -> tuple:
    usage = result.usage
    tokens = msgspec.structs.astuple(usage) if usage else (None,) * len(Usage.__struct_fields__)
    return key, response, result.http_status, result.model, *tokens, len(response), now


def sweep_step(max_bytes: int, before: int) -> bool:
    """Remove some of what is older than ``before`` (epoch ms), or, where all of it is larger than
    ``max_bytes``, of the oldest; False where nothing was left to remove."""
    with database.atomic():
        row = database.execute_sql("SELECT coalesce(sum(bytes), 0) FROM kept_answer").fetchone()
        old = "" if row[0] > max_bytes else f"WHERE created_at < {int(before)} "
        return bool(
            database.execute_sql(
                "DELETE FROM kept_answer WHERE id IN (SELECT id FROM kept_answer "
                f"{old}ORDER BY created_at, id LIMIT {_OLDEST})"
            ).rowcount
        )
