"""Cuts a job into parts of a provider's batch API and merges their results, in a separate process.

python -m bench.cut_and_merge FOLDER REQUESTS [alone]    prints the CPU seconds, and how much memory grew, as JSON

``alone``: without the bare loops that the others are compared with, which take memory too.
"""

from gevent import monkey

monkey.patch_all()

import json
import resource
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import TypeVar

import msgspec

from simple_batch import create_app
from simple_batch.core import context
from simple_batch.core.clock import now_ms
from simple_batch.core.domain import PartState, Request
from simple_batch.engine.failure_guard import GuardPolicy
from simple_batch.engine.retry import Policy
from simple_batch.runner.body_encoder import BodyEncoder
from simple_batch.runner.part_files import PartFiles
from simple_batch.runner.part_lines import LineMaker
from simple_batch.runner.part_merger import GROUP, PartMerger
from simple_batch.runner.part_planner import PartPlanner
from simple_batch.runner.providers import Providers
from simple_batch.runner.recorder import Recorder
from simple_batch.services import configs
from simple_batch.store import batch_parts, models
from simple_batch.store import requests as request_rows
from simple_batch.store.database import connected
from simple_batch.store.models import ApiConfig, BatchPart, Job

T = TypeVar("T")
CHUNK = 5_000
QUESTION = "a sentence of some words. " * 10
ANSWER = "an answer of some words. " * 40


def main(folder: Path, count: int, alone: bool) -> dict:
    size = max(500, min(50_000, count // 20))
    create_app(
        INSTANCE_PATH=str(folder), LOG_DIR="", LOG_LEVEL="ERROR", BATCH_PART_MAX_REQUESTS=size
    )
    with connected():
        _make_job(count)
    providers = Providers(context.settings(), context.vault())
    before = _peak_mb()
    cut = _cut(providers, folder, alone)
    files = PartFiles(context.settings().batches)
    for part in _parts():
        _write_results(files.input(part.id), files.folder(part.id) / "results-0.jsonl")
    merged = _merge(providers, files, folder, alone)
    return {"requests": count, **cut, **merged, "grew_mb": _peak_mb() - before}


def _make_job(count: int) -> None:
    fields = {"model": "m", "key": "sk-0123456789", "provider": "openai", "batch_discount": 0.5}
    fields |= {"input_price": Decimal(1), "output_price": Decimal(2)}
    config = configs.create(
        configs.ConfigFields(alias="a", base_url="http://127.0.0.1:9/v1", **fields)
    )
    job = Job.create(
        name="many",
        config=config.id,
        status="running",
        max_retries=3,
        created_at=now_ms(),
        service="batch",
    )
    for low in range(0, count, CHUNK):
        request_rows.insert(
            job.id, [_request(index) for index in range(low, min(count, low + CHUNK))]
        )


def _request(index: int) -> Request:
    body = {"messages": [{"role": "user", "content": f"question {index}: {QUESTION}"}]}
    return Request(index, f"q-{index}", msgspec.json.encode(body), line=index + 1)


def _parts() -> list[BatchPart]:
    with connected():
        return list(BatchPart.select().order_by(BatchPart.id))


def _cut(providers: Providers, folder: Path, alone: bool) -> dict[str, float]:
    """CPU seconds; each part is cut, then the bare loops do the same, because other work on the machine makes all
    of them slower at times."""
    files = PartFiles(context.settings().batches)
    with connected():
        job, config = Job.get(), ApiConfig.get()
        maker = LineMaker(
            BodyEncoder(job, providers.get(config)), providers.batch_client(config.id)
        )
    planner = PartPlanner(job, context.settings(), files, lambda config_id: maker, lambda *_: None)
    kept = _bare_cut_kept(folder)
    next(kept)
    took: Counter[str] = Counter()
    while (part := _timed(took, "cut_s", planner.next_part)) is not None:
        if alone:
            continue
        _timed(took, "cut_kept_s", kept.send, part.requests)
        _timed(took, "cut_bare_s", _bare_loop, files.input(part.id), folder / "bare.jsonl")
    kept.close()
    return dict(took)


def _timed(took: Counter[str], name: str, call: Callable[..., T], *values: object) -> T:
    began = time.process_time()
    done = call(*values)
    took[name] += time.process_time() - began
    return done


def _write_results(source: Path, target: Path) -> None:
    answer = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": ANSWER},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 70, "completion_tokens": 250, "total_tokens": 320},
    }
    with source.open("rb") as lines, target.open("wb") as out:
        for number, line in enumerate(lines):
            custom_id = msgspec.json.decode(line)["custom_id"]
            response = {"status_code": 200, "request_id": f"req_{number}", "body": answer}
            row = {"id": f"b_{number}", "custom_id": custom_id, "response": response, "error": None}
            out.write(msgspec.json.encode(row) + b"\n")


def _merge(providers: Providers, files: PartFiles, folder: Path, alone: bool) -> dict[str, float]:
    """The same for merging."""
    with connected():
        job, config = Job.get(), ApiConfig.get()
        provider, client = providers.get(config), providers.batch_client(config.id)
        BatchPart.update(state=PartState.ENDED, sent_at=now_ms(), ended_at=now_ms()).execute()
    recorder = Recorder(100, 0.2, lambda complaint: None)
    recorder.start()
    merger = PartMerger(job, provider, recorder, Policy(), GuardPolicy())
    kept = _bare_kept(folder / "bare.db", 0 if alone else job.total)
    next(kept)
    took: Counter[str] = Counter()
    for part in _parts():
        path = files.folder(part.id) / "results-0.jsonl"
        merged = _timed(took, "merge_s", merger.merge, part, client, [path], print)
        assert merged.missing == 0, merged
        if alone:
            continue
        _timed(took, "merge_kept_s", kept.send, path)
        _timed(took, "merge_bare_s", _bare_loop, path, folder / "bare.jsonl")
    kept.close()
    with connected():
        assert Job.get().succeeded == Job.get().total and not batch_parts.in_parts(job.id)
    return dict(took)


def _bare_loop(source: Path, target: Path) -> None:
    """Decode, encode and write every line."""
    decode, encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode
    with source.open("rb") as lines, target.open("wb") as out:
        for line in lines:
            out.write(encode(decode(line)) + b"\n")


def _bare_cut_kept(folder: Path) -> Generator[None, int, None]:
    """Reads as many requests as it is sent from the job's database, writes their lines and notes their part in a
    table of the same shape."""
    decode, encode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode, msgspec.json.encode
    database = _same_tables(folder / "bare-cut.db")
    with connected():
        source = models.database.connection()
    first = 0
    with (folder / "bare-cut.jsonl").open("wb") as out:
        count = yield
        while True:
            for low in range(first, first + count, GROUP):
                page = source.execute(_READ, (low, min(low + GROUP, first + count))).fetchall()
                for index, body in page:
                    line = b'{"custom_id":"r%d","method":"POST","url":"%s","body":%s}\n'
                    body = encode({**decode(body), "model": "m"})
                    out.write(line % (index, b"/v1/chat/completions", body))
                database.execute("BEGIN")
                database.executemany(_NOTE, [(index,) for index, _body in page])
                database.execute("COMMIT")
            first += count
            count = yield


def _bare_kept(target: Path, total: int) -> Generator[None, Path, None]:
    """Decodes every line of the files that it is sent and keeps what the merger keeps of it: the row with its
    answer, in a table with the same columns and indexes, whose request leaves the table of requests in parts."""
    decode = msgspec.json.Decoder().decode
    database = _same_tables(target)
    database.executemany(_NOTE, ((index,) for index in range(total)))
    source = yield
    while True:
        for page in _pages(_lines(source)):
            rows = [_row(decode(line)) for line in page]
            database.execute("BEGIN")
            gone = msgspec.json.encode([row[1] for row in rows]).decode()
            database.execute(_GONE, (gone,))
            database.executemany(_KEEP, rows)
            database.execute("COMMIT")
        source = yield


_COLUMNS = (
    "job_id, idx, status, message, response, model, config, attempts, started_at, finished_at, http_status, "
    "input_tokens, output_tokens, cached_tokens, reasoning_tokens, cache_write_tokens, "
    "cache_write_1h_tokens, estimated, cost_nano, outcome, finish_reason, service_tier"
)
_KEEP = f"INSERT INTO result ({_COLUMNS}) VALUES ({', '.join('?' * len(_COLUMNS.split(',')))})"
_READ = "SELECT idx, body FROM request WHERE job_id = 1 AND idx >= ? AND idx < ? ORDER BY idx"
_NOTE = "INSERT INTO batch_line (job_id, idx, part_id) VALUES (1, ?, 1)"
_GONE = "DELETE FROM batch_line WHERE part_id = 1 AND idx IN (SELECT value FROM json_each(?))"


def _row(line: dict) -> tuple:
    """Of the table of results."""
    response = line["response"]
    answer, now = response["body"], now_ms()
    usage, ended = answer["usage"], answer["choices"][0]["finish_reason"]
    into, out = usage["prompt_tokens"], usage["completion_tokens"]
    found = 1, int(line["custom_id"][1:]), "succeeded", "", msgspec.json.encode(answer)
    found += answer["model"], "a", 1, now, now, response["status_code"]
    return (*found, into, out, 0, 0, 0, 0, 0, None, "ok", ended, "batch")


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as lines:
        yield from lines


def _pages(rows: Iterable) -> Iterator[list]:
    rows = iter(rows)
    while page := list(islice(rows, GROUP)):
        yield page


def _same_tables(target: Path) -> sqlite3.Connection:
    """A database with empty tables of results and of requests in parts, with their indexes, set up as the
    program's own."""
    database = sqlite3.connect(target, isolation_level=None)
    with connected():
        own = models.database.connection()
        size, cache, synchronous = (
            own.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_size", "cache_size", "synchronous")
        )
        tables = own.execute(
            "SELECT sql FROM sqlite_master WHERE tbl_name IN ('result', 'batch_line') "
            "AND sql IS NOT NULL ORDER BY type DESC"
        ).fetchall()
    for setting in (f"page_size = {size}", "journal_mode = WAL", f"cache_size = {cache}"):
        database.execute(f"PRAGMA {setting}")
    database.execute(f"PRAGMA synchronous = {synchronous}")
    for (sql,) in tables:
        database.execute(sql)
    return database


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), "alone" in sys.argv[3:])))
