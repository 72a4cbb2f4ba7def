"""The short form of `make torture`."""

import subprocess
import sys

import pytest

from tests import postgres
from tests.process import ROOT


@pytest.mark.skipif(postgres.CHOSEN, reason="of a SQLite file")
@pytest.mark.timeout(600)
def test_little_of_everything_is_thrown_and_nothing_is_lost():
    command = [sys.executable, "-m", "tests.torture", "--quick", "--seed", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=590)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert "nothing was lost" in done.stdout
    for part in ("kills", "batches", "endpoint", "network", "uploads"):
        assert f"\n{part} (" in done.stdout
