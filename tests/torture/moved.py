"""The database file is moved, removed, replaced or written to under a server that runs a job."""

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

import gevent
import msgspec
import requests

from simple_batch.store.database import close_database
from tests import endpoint as e
from tests.endpoint import MisbehavingEndpoint
from tests.process import gunicorn, run_py

from .endpoints import Result
from .program import Program, lines, until

COUNT = 400
NOTICED_S = 30.0  # a hang guard


class Scene(msgspec.Struct):
    """``harm(program, copy)`` runs during the job, and ``mend(program)`` undoes it. It is None
    where another database stays in place: then the server is started again on that one."""

    name: str
    harm: Callable[[Program, Path], object]
    mend: Callable[[Program], object] | None = None
    says: str = "moved or removed"


def _away(program: Program) -> Path:
    return program.database.with_name("away.db")


def _folder_away(program: Program) -> Path:
    return program.folder.with_name("elsewhere")


def _over_and_back(program: Program, copy: Path) -> None:
    program.database.rename(_away(program))
    shutil.copy(copy, program.database)


SCENES = [
    Scene(
        "moved away and back",
        lambda program, _copy: program.database.rename(_away(program)),
        lambda program: _away(program).rename(program.database),
    ),
    Scene(
        "the folder moved away and back",
        lambda program, _copy: program.folder.rename(_folder_away(program)),
        lambda program: _folder_away(program).rename(program.folder),
    ),
    Scene(
        "another file in its place, and back",
        _over_and_back,
        lambda program: _away(program).replace(program.database),
        "replaced by another file",
    ),
    Scene("removed, a backup put there later", lambda program, _copy: program.database.unlink()),
    Scene(
        "a backup moved over it",
        lambda program, copy: Path(shutil.copy(copy, _away(program))).replace(program.database),
        says="replaced by another file",
    ),
    Scene(
        "a backup copied over it (cp)",
        lambda program, copy: shutil.copyfile(copy, program.database),
        says="Another program wrote to",
    ),
]


def throw(_chance) -> list[Result]:
    """Every scene, alternately with run.py and gunicorn."""
    results = []
    for number, scene in enumerate(SCENES):
        results += play(scene, gunicorn if number % 2 else run_py)
    return results


def play(scene: Scene, runner=run_py) -> list[Result]:
    with (
        tempfile.TemporaryDirectory() as folder,
        MisbehavingEndpoint(e.slow(0.02)) as endpoint,
        Program(Path(folder) / "instance", LOG_DIR=f"{folder}/logs", LOG_LEVEL="INFO") as program,
    ):
        program.config("test", endpoint.base_url, concurrency=5)
        job_id = program.job(lines(COUNT), "test")
        close_database()
        copy = _copied(program.database, Path(folder) / "copy.db")
        server = program.start(runner)
        until(lambda: endpoint.calls > 60)
        scene.harm(program, copy)
        noticed = until(lambda: _says(server.url, scene.says), NOTICED_S)
        calls = endpoint.at_rest()
        log = (Path(folder) / "logs" / "simple_batch.log").read_text()
        page = requests.get(f"{server.url}/jobs/{job_id}", timeout=30)
        gevent.sleep(1.5)
        stopped = endpoint.calls == calls < COUNT
        output = noticed and page.status_code == 503 and scene.says in page.text
        once = sum(scene.says in line for line in log.splitlines())
        end = _mended if scene.mend is not None else _started_again
        return [
            Result(f"{scene.name}: no call while it lasts", 1, stopped, f"{calls} calls"),
            Result(
                f"{scene.name}: page, /readyz and log say so",
                1,
                bool(output and once == 1),
                f"page {page.status_code}, /readyz {noticed}, {once} lines",
            ),
            end(scene, program, copy, job_id, endpoint, runner),
        ]


def _says(url: str, text: str) -> bool:
    answer = requests.get(f"{url}/readyz", timeout=30)
    found = answer.json()
    detail = found["checks"]["database"].get("detail", "")
    return answer.status_code == 503 and found.get("reason") == "database" and text in detail


def _mended(scene: Scene, program: Program, _copy, job_id: int, endpoint, _runner) -> Result:
    """The same file is back: the job continues by itself, and nothing is lost."""
    scene.mend(program)
    status = program.wait(job_id)
    counts = program.rows("SELECT count(*), count(DISTINCT idx) FROM result")[0]
    whole = status == "completed" and counts == (COUNT, COUNT) and endpoint.calls == COUNT
    output = f"{status} {counts} after {endpoint.calls} calls"
    return Result(f"{scene.name}: it goes on, nothing lost or asked twice", 1, whole, output)


def _started_again(
    scene: Scene, program: Program, copy: Path, job_id: int, _endpoint, runner
) -> Result:
    """The backup is the database now, intact, and its job ends."""
    server, code = program.server, program.server.stop()
    here = program.database.read_bytes() if program.database.exists() else None
    untouched = here is None or here == copy.read_bytes()
    if here is None:
        shutil.copy(copy, program.database)
    program.start(runner)
    status = program.wait(job_id)
    sound = program.rows("PRAGMA integrity_check") == [("ok",)]
    count = program.rows("SELECT count(*) FROM result")[0][0]
    whole = code == 0 and untouched and sound and status == "completed" and count == COUNT
    output = f"exit {code}, untouched {untouched}, sound {sound}, {status}, {count} results; {server.lines[-5:] if code else ''}"
    return Result(f"{scene.name}: the backup stays whole, and is run on", 1, whole, output)


def _copied(path: Path, copy: Path) -> Path:
    """A backup by SQLite's backup API, which keeps the mode of the write-ahead log."""
    with (
        contextlib.closing(sqlite3.connect(path)) as source,
        contextlib.closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
    return copy
