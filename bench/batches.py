"""Part: cutting a job into parts of a provider's batch API and merging their results, beside bare loops over
the same files, and the memory that this takes."""

import json
import subprocess
import sys
import tempfile

from .processes import ROOT


def batches(sizes: list[int], timed: int) -> dict:
    """CPU seconds for ``timed`` requests, and how much memory grew at every size."""
    grew = {str(size): _run(size, "alone")["grew_mb"] for size in sizes}
    return {**_run(timed), "grew_mb": grew}


def _run(size: int, *how: str) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "bench.cut_and_merge", folder, str(size), *how]
        done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        return json.loads(done.stdout.splitlines()[-1])
