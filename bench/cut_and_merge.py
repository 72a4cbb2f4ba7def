"""Cuts a job into parts of a provider's batch API and merges their results, in a separate process.

python -m bench.cut_and_merge FOLDER REQUESTS    prints the CPU seconds and the peak memory as JSON
"""

from gevent import monkey

monkey.patch_all()

import json
import resource
import sqlite3
import sys
import time
from pathlib import Path

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
from simple_batch.runner.part_merger import PartMerger
from simple_batch.runner.part_planner import PartPlanner
from simple_batch.runner.providers import Providers
from simple_batch.runner.recorder import Recorder
from simple_batch.services import configs
from simple_batch.store import batch_parts
from simple_batch.store import requests as request_rows
from simple_batch.store.database import connected
from simple_batch.store.models import ApiConfig, BatchPart, Job

CHUNK = 5_000
QUESTION = "a sentence of some words. " * 10
ANSWER = "an answer of some words. " * 40


def main(folder: Path, count: int) -> dict:
    create_app(
        INSTANCE_PATH=str(folder), LOG_DIR="", LOG_LEVEL="ERROR", BATCH_PART_MAX_REQUESTS=50_000
    )
    with connected():
        _make_job(count)
    providers = Providers(context.settings(), context.vault())
    before = _peak_mb()
    cut_s, files = _cut(providers)
    inputs = [files.input(part.id) for part in _parts()]
    bare_cut_s = sum(_bare_loop(path, folder / "bare.jsonl") for path in inputs)
    for part in _parts():
        _write_results(files.input(part.id), files.folder(part.id) / "results-0.jsonl")
    merge_s, results = _merge(providers, files)
    peak = _peak_mb()
    return {
        "requests": count,
        "cut_s": cut_s,
        "cut_bare_s": bare_cut_s,
        "merge_s": merge_s,
        "merge_bare_s": sum(_bare_loop(path, folder / "bare.jsonl") for path in results),
        "merge_kept_s": _bare_kept(results, folder / "bare.db"),
        "grew_mb": peak - before,
    }


def _make_job(count: int) -> None:
    fields = {"model": "m", "key": "sk-0123456789", "provider": "openai", "batch_discount": 0.5}
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


def _cut(providers: Providers) -> tuple[float, PartFiles]:
    files = PartFiles(context.settings().batches)
    with connected():
        job, config = Job.get(), ApiConfig.get()
        maker = LineMaker(
            BodyEncoder(job, providers.get(config)), providers.batch_client(config.id)
        )
    planner = PartPlanner(job, context.settings(), files, lambda config_id: maker, lambda *_: None)
    began = time.process_time()
    while planner.next_part() is not None:
        pass
    return time.process_time() - began, files


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


def _merge(providers: Providers, files: PartFiles) -> tuple[float, list[Path]]:
    with connected():
        job, config = Job.get(), ApiConfig.get()
        provider, client = providers.get(config), providers.batch_client(config.id)
        BatchPart.update(state=PartState.ENDED, sent_at=now_ms(), ended_at=now_ms()).execute()
    recorder = Recorder(100, 0.2, lambda complaint: None)
    recorder.start()
    merger = PartMerger(job, provider, recorder, Policy(), GuardPolicy())
    began, paths = time.process_time(), []
    for part in _parts():
        paths.append(files.folder(part.id) / "results-0.jsonl")
        merged = merger.merge(part, client, paths[-1:], print)
        assert merged.missing == 0, merged
    took = time.process_time() - began
    with connected():
        assert Job.get().succeeded == Job.get().total and not batch_parts.in_parts(job.id)
    return took, paths


def _bare_loop(source: Path, target: Path) -> float:
    """CPU seconds to decode, encode and write every line."""
    decode, encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode
    began = time.process_time()
    with source.open("rb") as lines, target.open("wb") as out:
        for line in lines:
            out.write(encode(decode(line)) + b"\n")
    return time.process_time() - began


def _bare_kept(sources: list[Path], target: Path) -> float:
    """CPU seconds to decode every line and to keep its answer in a table of SQLite."""
    decode, encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode
    database = sqlite3.connect(target, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("CREATE TABLE answer (id TEXT PRIMARY KEY, status INTEGER, body BLOB)")
    began, rows = time.process_time(), []
    for source in sources:
        with source.open("rb") as lines:
            for line in lines:
                found = decode(line)
                response = found["response"]
                rows.append((found["custom_id"], response["status_code"], encode(response["body"])))
                if len(rows) == 500:
                    _keep(database, rows)
    _keep(database, rows)
    database.close()
    return time.process_time() - began


def _keep(database: sqlite3.Connection, rows: list[tuple]) -> None:
    database.execute("BEGIN")
    database.executemany("INSERT INTO answer VALUES (?, ?, ?)", rows)
    database.execute("COMMIT")
    rows.clear()


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]))))
