"""Faults of the storage: full, locked, torn, read-only, damaged."""

import contextlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import gevent
import psutil
import requests

from tests import endpoint as e
from tests.endpoint import MisbehavingEndpoint
from tests.process import ROOT, environment, free_port

from . import moved
from .endpoints import Result
from .network import may_mount
from .program import Program, lines, until

TOTAL = 1500
LONG = "x" * 4000
LOCKED_S = 7.0  # longer than anybody waits for a lock
SLOWEST_S = 1.0  # a page that only reads


def throw(seed: int) -> dict:
    scenes = [_full, _locked, _torn_off, _read_only, _made_read_only, _damaged, moved.throw]
    results = []
    for scene in scenes:
        results += scene(random.Random(seed))
    return {
        "thrown": len(results),
        "unexpected": [f"{r.name}: {r.detail}" for r in results if not r.expected],
        "scenes": [r.name for r in results],
    }


@contextlib.contextmanager
def _disk(megabytes: int):
    """A small separate disk; returns its folder and a function that sets its mount options."""
    with tempfile.TemporaryDirectory() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "torture", folder]
        subprocess.run(mount, check=True)

        def remount(options: str) -> None:
            subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)

        try:
            yield Path(folder), remount
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


def _full(_chance) -> list[Result]:
    """A full disk (tmpfs), then with space again. Where nothing may be mounted, the files of the
    process may not grow (RLIMIT_FSIZE), which fails in the same place."""
    if may_mount():
        with _disk(9) as (folder, remount):
            return _held("a full disk", folder, None, lambda _p: remount("size=100m"))
    with tempfile.TemporaryDirectory() as folder:
        return _held("a full disk (RLIMIT_FSIZE)", Path(folder), _shrink, _grow)


def _shrink(process) -> None:
    process.rlimit(psutil.RLIMIT_FSIZE, (4096, psutil.RLIM_INFINITY))


def _grow(process) -> None:
    process.rlimit(psutil.RLIMIT_FSIZE, (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY))


def _read_only(chance) -> list[Result]:
    """A start on a folder without write permission."""
    name = "a start on a read-only folder"
    if not may_mount():
        return [Result(f"{name} (left out: needs root)", 0, True)]
    results = []
    for filled in (False, True):
        with _disk(50) as (folder, remount):
            if filled:
                with Program(folder):
                    pass
            remount("ro")
            started = _refused(folder)
            remount("rw")
            refused = started.returncode in (1, 4) and "Traceback" not in started.stderr
            refused = refused and str(folder) in started.stderr
            results.append(
                Result(name, 1, refused, f"{started.returncode} {started.stderr[-900:]}")
            )
    return results


def _made_read_only(_chance) -> list[Result]:
    """Folder, database and log become unchangeable under the running program, then changeable again.
    (What is open for writing no mount makes read-only; the attribute does. The index of the log is
    memory that SQLite's processes share: where a file system fails beneath it, the kernel ends them.)"""
    name = "a folder made read-only under a running job"
    with tempfile.TemporaryDirectory() as folder:
        if not _attribute("+i", Path(folder)):
            return [Result(f"{name} (left out: chattr needs root and such a file system)", 0, True)]
        _attribute("-i", Path(folder))
        try:
            return _held(
                name,
                Path(folder),
                lambda _process: _attribute("+i", Path(folder)),
                lambda _process: _attribute("-i", Path(folder)),
            )
        finally:
            _attribute("-i", Path(folder))


def _attribute(change: str, folder: Path) -> bool:
    """Returns whether the attribute of the folder and its files could be changed."""
    files = [path for path in folder.iterdir() if path.is_file() and path.suffix != ".db-shm"]
    try:
        done = subprocess.run(
            ["chattr", change, str(folder), *map(str, files)], capture_output=True
        )
    except FileNotFoundError:
        return False
    return not done.returncode


def _held(name: str, folder: Path, close, open_again) -> list[Result]:
    """A job whose results cannot be saved for a while: it waits, says so, and loses nothing."""
    with MisbehavingEndpoint(e.says(LONG)) as endpoint:
        endpoint.script = [lambda c: (gevent.sleep(0.01), c.sendall(e.says(LONG)))]
        with Program(folder, LOG_DIR="") as program:
            program.config("test", endpoint.base_url, concurrency=5)
            job_id = program.job(lines(TOTAL), "test")
            server = program.start()
            until(lambda: endpoint.calls > 100, 20)
            if close is not None:
                close(program.process)
            url = f"{server.url}/jobs/{job_id}"
            held = until(lambda: "results cannot be saved" in _page(url), 40)
            gevent.sleep(0.5)
            calls = endpoint.calls
            ready = _status(f"{server.url}/readyz")
            gevent.sleep(1.5)
            still, unfinished = endpoint.calls == calls, calls < TOTAL
            if held:
                open_again(program.process)
            status = program.wait(job_id, timeout_s=60)
            counts = program.rows("SELECT count(*), count(DISTINCT idx) FROM result")[0]
            good = bool(held) and ready == 503
            whole = status == "completed" and counts == (TOTAL, TOTAL) and endpoint.calls == TOTAL
            return [
                Result(f"{name}: no call while nothing can be kept", 1, bool(held and still and unfinished),
                       f"held {held}, calls {calls}"),
                Result(f"{name}: the page and /readyz say so", 1, good, f"held {held}, /readyz {ready}"),
                Result(f"{name}: nothing lost, nothing asked twice", 1, whole,
                       f"{status} {counts} after {endpoint.calls} calls"),
            ]  # fmt: skip


def _status(url: str) -> int | None:
    try:
        return requests.get(url, timeout=10).status_code
    except requests.RequestException:
        return None


def _page(url: str) -> str:
    try:
        return requests.get(url, timeout=10).text
    except requests.RequestException:
        return ""


def _locked(_chance) -> list[Result]:
    """Another process locks the database for longer than any timeout."""
    with (
        tempfile.TemporaryDirectory() as folder,
        MisbehavingEndpoint(e.slow(0.01)) as endpoint,
        Program(folder) as program,
    ):
        program.config("test", endpoint.base_url, concurrency=5)
        job_id = program.job(lines(TOTAL), "test")
        server = program.start()
        until(lambda: endpoint.calls > 100, 20)
        hold = (
            "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
            "c.execute('PRAGMA busy_timeout=20000'); c.execute('BEGIN EXCLUSIVE');"
            f"time.sleep({LOCKED_S}); c.execute('ROLLBACK')"
        )
        slowest, ended = 0.0, time.monotonic() + LOCKED_S
        holder = subprocess.Popen([sys.executable, "-c", hold, str(program.database)])
        while time.monotonic() < ended:
            began = time.monotonic()
            _status(f"{server.url}/jobs/{job_id}")
            slowest = max(slowest, time.monotonic() - began)
            gevent.sleep(0.1)
        holder.wait()
        status = program.wait(job_id, timeout_s=60)
        counts = program.rows("SELECT count(*), count(DISTINCT idx) FROM result")[0]
        whole = status == "completed" and counts == (TOTAL, TOTAL) and endpoint.calls == TOTAL
        detail = f"{status} {counts} after {endpoint.calls} calls"
        return [
            Result("locked by another process: nothing lost", 1, whole, detail),
            Result("locked: pages answer", 1, slowest < SLOWEST_S, f"slowest {slowest:.1f} s"),
        ]


def _torn_off(chance) -> list[Result]:
    """Killed, and the write-ahead log removed: requests whose results were only there are sent
    again."""
    with (
        tempfile.TemporaryDirectory() as folder,
        MisbehavingEndpoint(e.slow(0.005)) as endpoint,
        Program(folder) as program,
    ):
        program.config("test", endpoint.base_url, concurrency=5)
        job_id = program.job(lines(TOTAL), "test")
        program.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        program.start()
        until(lambda: endpoint.calls > TOTAL * chance.uniform(0.2, 0.8), 30)
        program.server.kill()
        from simple_batch.store.database import close_database

        close_database()
        for suffix in ("-wal", "-shm"):
            Path(f"{program.database}{suffix}").unlink(missing_ok=True)
        program.start()
        status = program.wait(job_id, timeout_s=60)
        counts = program.rows("SELECT count(*), count(DISTINCT idx) FROM result")[0]
        sound = program.rows("PRAGMA integrity_check") == [("ok",)]
        whole = status == "completed" and counts == (TOTAL, TOTAL) and sound
        detail = f"{status} {counts}, sound {sound}, after {endpoint.calls} calls"
        return [Result("WAL removed after a kill: all answered once", 1, whole, detail)]


def _damaged(chance) -> list[Result]:
    """A damaged database: the start is refused, and the file stays as it is."""
    results = []
    with tempfile.TemporaryDirectory() as folder:
        good = Path(folder) / "good"
        with MisbehavingEndpoint(e.says(LONG)) as endpoint, Program(good) as program:
            program.config("test", endpoint.base_url)
            job_id = program.job(lines(300), "test")
            program.start()
            program.wait(job_id)
            program.stop()
            program.rows("PRAGMA wal_checkpoint(TRUNCATE)")
            whole = program.database.read_bytes()
        for name, data in _damages(whole, chance):
            instance = Path(folder) / name.replace(" ", "-")
            shutil.copytree(good, instance)
            path = instance / "simple_batch.db"
            for suffix in ("-wal", "-shm"):
                Path(f"{path}{suffix}").unlink(missing_ok=True)
            path.write_bytes(data)
            started = _refused(instance)
            refused = started.returncode in (1, 4) and "Traceback" not in started.stderr
            refused = (
                refused and str(path) in started.stderr and "docs/deployment.md" in started.stderr
            )
            kept = path.read_bytes() == data
            copy = instance / "simple_batch.db.damaged"
            copied = copy.exists() and copy.read_bytes() == data
            detail = f"kept {kept}, copied {copied}: {started.returncode} {started.stderr[-500:]}"
            results.append(Result(f"damage: {name}", 1, refused and kept and copied, detail))
    return results


def _damages(whole: bytes, chance) -> list[tuple[str, bytes]]:
    def overwritten(at: int, size: int) -> bytes:
        return whole[:at] + chance.randbytes(size) + whole[at + size :]

    middle = len(whole) // 8192 // 2 * 8192
    return [
        ("no database at all", b"this is no database " * 2000),
        ("the header overwritten", overwritten(0, 100)),
        ("the first page overwritten", overwritten(100, 8000)),
        ("pages in the middle overwritten", overwritten(middle, 40_000)),
        ("cut off in the middle", whole[:middle]),
        ("zeros from the middle on", whole[:middle] + bytes(len(whole) - middle)),
    ]


def _refused(instance: Path) -> subprocess.CompletedProcess:
    """A start that should end by itself."""
    command = [sys.executable, "run.py", "--port", str(free_port())]
    env = environment(instance, SIMPLE_BATCH_LOG_DIR="")
    try:
        return subprocess.run(
            command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=15
        )
    except subprocess.TimeoutExpired as ran_on:
        output = (ran_on.stderr or b"").decode()
        return subprocess.CompletedProcess(command, -1, "", f"it ran on: {output}")
