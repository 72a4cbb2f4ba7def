"""make demo-cluster: several machines on this one. Starts a PostgreSQL, a Redis, two web processes and
two separate workers, runs the demo over them, and shows who did what.

    python -m tools.demo_cluster [--leave]
"""

import argparse
import contextlib
import os
import shutil
import signal
import socket
import subprocess  # nosec B404
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import psycopg

from .local_servers import PostgreSQL, Redis, postgresql_programs, redis_program

ROOT = Path(__file__).parent.parent
PORTS = (7861, 7871)
WORKERS = ("one", "two")
CALLS_EACH = 40  # the most calls in flight per worker, so that both take part
READY_S = 60.0
_INSTALL = {
    "PostgreSQL": "apt install postgresql    (macOS: brew install postgresql)",
    "Redis": "apt install redis-server    (macOS: brew install redis)",
}
_WHO = """
SELECT name, succeeded + failed, attempts FROM job_worker WHERE job_id = 1 ORDER BY name
"""


def main() -> int:
    """Returns the exit code: 1 where a program is missing or one of ours ended too soon."""
    parser = argparse.ArgumentParser(prog="demo-cluster")
    parser.add_argument("--leave", action="store_true", help="end when the job has ended")
    options = parser.parse_args()
    there = {"PostgreSQL": postgresql_programs(), "Redis": redis_program()}
    missing = [name for name, program in there.items() if program is None]
    for name in missing:
        print(f"{name} is not installed: {_INSTALL[name]}", file=sys.stderr)
    if missing:
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.ExitStack() as stack, contextlib.suppress(KeyboardInterrupt):
        cluster = Cluster(stack)
        cluster.start()
        cluster.follow()
        cluster.tell()
        while not options.leave:
            print("Stop with Ctrl-C.", flush=True)
            signal.pause()
    return 0


class Cluster:
    """Everything is stopped, and the folder removed, when ``stack`` closes."""

    def __init__(self, stack: contextlib.ExitStack):
        self._stack = stack
        self._folder = Path(tempfile.mkdtemp(prefix="simple-batch-cluster-"))
        stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
        self._ports = [_port(preferred) for preferred in PORTS]
        self._processes: dict[str, subprocess.Popen] = {}
        print("Starting PostgreSQL and Redis …", flush=True)
        self._database_url = PostgreSQL().url("postgres")
        self._environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "SIMPLE_BATCH_ENGINE": "celery",
            "SIMPLE_BATCH_DATABASE_URL": self._database_url,
            "SIMPLE_BATCH_REDIS_URL": Redis().url(),
            "SIMPLE_BATCH_INSTANCE_PATH": str(self._folder / "instance"),
            "SIMPLE_BATCH_LOG_DIR": "",
            "SIMPLE_BATCH_WORKER_CONCURRENCY": str(CALLS_EACH),
        }

    def start(self) -> None:
        """Start the second web process and the workers, then the process that runs the demo."""
        print("Starting two web processes and two workers …", flush=True)
        self._process("web-2", sys.executable, "run.py", "--port", str(self._ports[1]))
        self._wait_until_served()
        for name in WORKERS:
            command = ("-m", "celery", "-A", "simple_batch.worker", "worker", "-P", "gevent")
            self._process(f"worker-{name}", sys.executable, *command, "-n", f"{name}@%h")
        demo = ("run.py", "--demo", "--port", str(self._ports[0]))
        self._process("web-1", sys.executable, *demo, shown=True)

    def follow(self) -> None:
        """Show the output of the demo; returns when its job has ended."""
        for line in self._processes["web-1"].stdout:
            if line.startswith("Stop with"):
                return
            print(line, end="", flush=True)
        sys.exit("web-1 has ended")

    def tell(self) -> None:
        """Print what each process did."""
        with psycopg.connect(self._database_url) as connection:
            rows = connection.execute(_WHO).fetchall()
        print(f"\n{'who':12}{'requests':>10}{'calls':>8}")
        for name, requests, calls in rows:
            print(f"{name.partition('@')[0]:12}{requests:10,}{calls:8,}")
        for port in self._ports:
            url = f"http://127.0.0.1:{port}/jobs/1"
            with urllib.request.urlopen(url, timeout=10) as page:  # nosec B310
                print(f"{url}: {page.status}, {len(page.read()):,} bytes")

    def _process(self, name: str, *command: str, shown: bool = False) -> None:
        """Start a process whose output goes to a file of its name, or to us and this terminal."""
        with (self._folder / f"{name}.log").open("ab") as log:
            out, err = (subprocess.PIPE, None) if shown else (log, log)
            process = subprocess.Popen(  # noqa: S603 # nosec B603
                command, cwd=ROOT, env=self._environment, stdout=out, stderr=err, text=True
            )
        self._processes[name] = process
        self._stack.callback(process.wait)
        self._stack.callback(process.terminate)

    def _wait_until_served(self) -> None:
        """Wait until the database is ready. Raises SystemExit if the second web process ends."""
        process, end = self._processes["web-2"], time.monotonic() + READY_S
        while process.poll() is None and time.monotonic() < end:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self._ports[1]), 1).close()
                return
            time.sleep(0.1)
        sys.exit(f"web-2 does not serve:\n{self._said('web-2')}")

    def _said(self, name: str) -> str:
        return "\n".join((self._folder / f"{name}.log").read_text("utf-8").splitlines()[-20:])


def _port(preferred: int) -> int:
    """The preferred port if it is free, otherwise any."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", preferred))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    sys.exit(main())
