"""``make demo-cluster``, run as a user with PostgreSQL and Redis does."""

import re
import subprocess
import sys

from simple_batch.core.settings import PROJECT_ROOT

from ..process import environment


def test_two_web_processes_and_two_workers_run_the_demo(tmp_path):
    more = {"SIMPLE_BATCH_EXPORT_DIR": str(tmp_path / "exports")}
    done = subprocess.run(
        [sys.executable, "-m", "tools.demo_cluster", "--leave"],
        cwd=PROJECT_ROOT,
        env=environment(tmp_path / "unused", **more),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    did = re.findall(r"^(one|two) +([0-9]+) +([0-9]+)$", done.stdout, re.M)
    assert [name for name, _requests, _calls in did] == ["one", "two"]
    assert sum(int(requests) for _name, requests, _calls in did) == 640
    assert all(int(calls) >= int(requests) > 0 for _name, requests, calls in did)
    assert len(re.findall(r"/jobs/1: 200, ", done.stdout)) == 2
    assert len((tmp_path / "exports" / "demo-1.jsonl").read_text().splitlines()) == 640
