"""Part: cutting a job into parts of a provider's batch API and merging their results, beside bare loops over
the same files, and the memory that this takes."""

import json
import subprocess
import sys
import tempfile

from .processes import ROOT


def batches(sizes: list[int]) -> dict:
    """CPU seconds at the last size, and how much memory grew at every size."""
    runs = {size: _run(size) for size in sizes}
    grew = {str(size): run["grew_mb"] for size, run in runs.items()}
    return {**runs[sizes[-1]], "grew_mb": grew}


def _run(size: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "bench.cut_and_merge", folder, str(size)]
        done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        return json.loads(done.stdout.splitlines()[-1])
