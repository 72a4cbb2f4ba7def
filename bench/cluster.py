"""Runs the same job on one, two and four workers, and measures the cost per request."""

import tempfile
import time
from pathlib import Path

import psutil
import redis

from simple_batch.cluster.limit_coordinator import GATHER_S
from simple_batch.services import jobs
from tests.cluster.processes import MISSING, Cluster, wait_until

from .processes import endpoint, run_simple_batch

WIDE = 200  # the most calls in flight per worker
_LOG = "SELECT (pg_current_wal_lsn() - '0/0')::bigint"
_TOOK = "SELECT finished_at - started_at, succeeded FROM job WHERE id = %s"
_STATISTICS_S = 1.5  # PostgreSQL backends report their counters once a second


def cluster(count: int, workers: list[int], delay_s: float) -> dict:
    """Send ``count`` requests to an endpoint that takes ``delay_s``: first by the single process on
    SQLite, then by workers."""
    found = {"count": count, "delay_s": delay_s, "wide": WIDE, "rows": {}}
    if MISSING:
        return found
    with endpoint("--delay", str(delay_s)) as base_url:
        alone = run_simple_batch(base_url, count, WIDE)
        found["alone"] = {"seconds": alone["seconds"], "cpu_ms": 1000 * alone["cpu_s"] / count}
        for number in workers:
            found["rows"][str(number)] = _run(base_url, count, number)
    return found


def _run(base_url: str, count: int, number: int) -> dict:
    with (
        tempfile.TemporaryDirectory() as folder,
        Cluster(Path(folder), WORKER_CONCURRENCY=str(WIDE)) as machines,
    ):
        machines.start(*(f"worker{n}" for n in range(number)))
        machines.add_config(base_url, concurrency=WIDE * number)
        job_id = machines.make_job(_questions(count), hold=True)
        time.sleep(GATHER_S)  # workers that find an empty Redis wait this long for others, once
        before = _counters(machines)
        machines.do(jobs.resume, job_id)
        wait_until(lambda: machines.status(job_id) == "completed", 600.0, every_s=2.0)
        cpu_s = sum(worker.cpu_s() for worker in machines.workers) - before["cpu_s"]
        time.sleep(_STATISTICS_S)
        after = _counters(machines)
        took_ms, succeeded = machines.ask(_TOOK, job_id)
        assert succeeded == count, f"{succeeded} of {count} succeeded"
        return {
            "seconds": took_ms / 1000,
            "cpu_ms": 1000 * cpu_s / count,
            "transactions": (after["transactions"] - before["transactions"]) / count,
            "commands": (after["commands"] - before["commands"]) / count,
            "log_bytes": (after["log_bytes"] - before["log_bytes"]) / count,
            "database_cpu_ms": 1000 * (after["database_cpu_s"] - before["database_cpu_s"]) / count,
        }


def _counters(machines: Cluster) -> dict:
    with redis.Redis.from_url(machines.settings["SIMPLE_BATCH_REDIS_URL"]) as client:
        # includes the commands that scripts call
        commands = client.info("stats")["total_commands_processed"]
    return {
        "cpu_s": sum(worker.cpu_s() for worker in machines.workers),
        "transactions": machines.transactions(),
        "log_bytes": machines.ask(_LOG)[0],
        "commands": commands,
        "database_cpu_s": _database_cpu_s(machines),
    }


def _database_cpu_s(machines: Cluster) -> float:
    """CPU of the running server processes and of the children that have ended."""
    pid = int((machines.postgres.folder / "data" / "postmaster.pid").read_text().split()[0])
    server = psutil.Process(pid)
    while True:
        try:
            times = [one.cpu_times() for one in (server, *server.children(recursive=True))]
            break
        except psutil.NoSuchProcess:
            continue  # one has ended meanwhile, and counts with the server's children
    ended = times[0].children_user + times[0].children_system
    return ended + sum(each.user + each.system for each in times)


def _questions(count: int) -> list[dict]:
    return [{"messages": [{"role": "user", "content": f"question {n}"}]} for n in range(count)]
