"""make torture: throws faults at the program and counts what was lost.

python -m tests.torture [--quick] [--seed N] [--minutes M] [PART ...]
parts: kills batches cancelling endpoint network uploads browsers storage cluster soak
"""

from gevent import monkey

monkey.patch_all()

import argparse
import json
import random
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime

from tests.process import ROOT

from . import (
    batches,
    browsers,
    cancelling,
    cluster,
    endpoints,
    kills,
    network,
    report,
    soak,
    storage,
    uploads,
)

LONG = (
    "storage",
    "browsers",
    "cluster",
    "soak",
)  # what they show in little time other tests show too
RESULTS = ROOT / "bench" / "results" / "torture.jsonl"


def _parts(quick: bool, seed: int, minutes: float) -> dict:
    """Each part by its name, as large as wanted."""
    if quick:
        return {
            "kills": lambda: kills.kills(300, 2, seed),
            "batches": lambda: batches.batches(900, 150, 4, seed),
            "cancelling": lambda: cancelling.cancelling(100_000, seed),
            "endpoint": lambda: endpoints.throw(heavy=False),
            "network": lambda: network.throw(clock=False),
            "uploads": lambda: uploads.throw(100, 0, seed),
            "browsers": lambda: browsers.browsers(60_000, 1.0, 50, 40, 5, quick=True),
            "storage": lambda: storage.throw(seed),
            "cluster": cluster.throw,
            "soak": lambda: soak.soak(minutes, seed),
        }
    return {
        "kills": lambda: kills.kills(20_000, 50, seed),
        "batches": lambda: batches.batches(120_000, 12_000, 30, seed),
        "cancelling": lambda: cancelling.cancelling(5_000_000, seed),
        "storage": lambda: storage.throw(seed),
        "endpoint": endpoints.throw,
        "network": network.throw,
        "uploads": lambda: uploads.throw(10_000, 20_000, seed),
        "browsers": lambda: browsers.browsers(1_000_000, 8.0, 200, 500, 50),
        "cluster": cluster.throw,
        "soak": lambda: soak.soak(minutes, seed),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.torture", description=__doc__.split("\n", 1)[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=" ".join(_parts(True, 0, 0)))
    parser.add_argument("--quick", action="store_true", help="small numbers; nothing is kept")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--minutes", type=float, help="of the soak; 30, quick: 0.2")
    options = parser.parse_args()
    minutes = options.minutes or (0.2 if options.quick else 30.0)
    parts = _parts(options.quick, options.seed, minutes)
    if unknown := set(options.parts) - set(parts):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    found = {"machine": _machine(), "seed": options.seed}
    print(f"commit {found['machine']['commit']}, seed {options.seed} (again with: --seed)")
    failed = 0
    for name in options.parts or [name for name in parts if not (options.quick and name in LONG)]:
        began = time.monotonic()
        found[name] = {**parts[name](), "took_s": 0}
        found[name]["took_s"] = round(time.monotonic() - began, 1)
        failed += report.show(name, found[name], options.quick)
    if not options.quick:
        with RESULTS.open("a") as file:
            file.write(json.dumps(found) + "\n")
    print("nothing was lost" if not failed else f"{failed} rows are not as expected")
    return 1 if failed else 0


def _machine() -> dict:
    import os
    import platform

    git = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(git, cwd=ROOT, capture_output=True, text=True).stdout.strip()
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit or None,
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
    }


if __name__ == "__main__":
    sys.exit(main())
