"""make bench: prints its figures and appends them to bench/results/.

python -m bench [--quick] [--only TEXT] [PART ...]
    parts: overhead tls streams databases embeddings width finding faults limits caches cluster_limits growth
           pages grid scrolling workbench files batches batch_api cluster startup

With --only (repeatable) the parts faults and limits measure the rows whose names contain the text.
"""

from gevent import monkey

monkey.patch_all()

import argparse
import json
import os
import platform
import resource
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from . import report
from .batch_api import batch_api
from .batches import batches
from .caches import caches
from .cluster import cluster
from .faults import faults
from .files import files
from .grid import grid
from .limited_jobs import limits
from .pages import pages
from .processes import ROOT
from .scrolling import scrolling
from .shared_limits import cluster_limits
from .speed import databases, embeddings, growth, overhead, overhead_tls, streams, width
from .startup import startup
from .unknown_limit import finding
from .workbench import workbench

VERSIONS = ("gevent", "geventhttpclient", "requests", "peewee", "Flask", "aiohttp", "openai")
FULL = {
    "overhead": lambda: overhead(20_000),
    "tls": lambda: overhead_tls(20_000),
    "streams": lambda: streams(20_000, 3),
    "embeddings": lambda: embeddings(20_000),
    "databases": lambda: databases(20_000, 2),
    "width": lambda: width(20_000, 2_000, 5_000, 1.0),
    "finding": lambda: finding(240.0),
    "faults": lambda only=(): faults(12_000, 300, only),
    "limits": lambda only=(): limits(240.0, only=only),
    "caches": lambda: caches(3_000, 2.0),
    "cluster_limits": lambda: cluster_limits(120.0),
    "growth": lambda: growth([1_000, 10_000, 100_000, 1_000_000], 1_000_000),
    "pages": lambda: pages(1_000_000, 300_000),
    "grid": lambda: grid(1_000_000, 300_000),
    "scrolling": lambda: scrolling(1_000_000, 300_000, 12.0, 3),
    "workbench": lambda: workbench(300_000, 60),
    "files": lambda: files([100_000, 1_000_000]),
    "batches": lambda: batches([10_000, 1_000_000], 200_000),
    "batch_api": lambda: batch_api(200_000_000, 1_000, 200_000),
    "cluster": lambda: cluster(16_000, [1, 2, 4], 1.0),
    "startup": lambda: startup(9, installed=True),
}
ROWS_BY_NAME = {"faults", "limits"}  # parts whose rows can be chosen
QUICK = {
    "overhead": lambda: overhead(300),
    "tls": lambda: overhead_tls(300),
    "streams": lambda: streams(300, 1),
    "embeddings": lambda: embeddings(200),
    "databases": lambda: databases(200, 1),
    "width": lambda: width(200, 50, 100, 0.1),
    "finding": lambda: finding(11.0),
    "faults": lambda only=(): faults(300, 30, only),
    "limits": lambda only=(): limits(11.0, True, only),
    "caches": lambda: caches(200, 0.2),
    "cluster_limits": lambda: cluster_limits(11.0),
    "growth": lambda: growth([100, 300], 2_000),
    "pages": lambda: pages(2_000, 2_000),
    "grid": lambda: grid(2_000, 4_000),
    "scrolling": lambda: scrolling(2_000, 60_000, 4.0, 1),
    "workbench": lambda: workbench(20_000, 5),
    "files": lambda: files([2_000]),
    "batches": lambda: batches([500, 2_000], 2_000),
    "batch_api": lambda: batch_api(2_000_000, 30, 500),
    "cluster": lambda: cluster(300, [1], 0.1),
    "startup": lambda: startup(1, installed=False),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("parts", nargs="*", metavar="PART", help=" ".join(FULL))
    parser.add_argument("--quick", action="store_true", help="small numbers, to see that it works")
    parser.add_argument("--only", action="append", metavar="TEXT", help="rows of faults and limits")
    options = parser.parse_args()
    unknown = set(options.parts) - set(FULL)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    if options.only and not (options.parts and set(options.parts) <= ROWS_BY_NAME):
        parser.error("--only is for the parts faults and limits: name them")
    # thousands of connections, here and in every process started from here
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    parts = QUICK if options.quick else FULL
    found = {"machine": machine()}
    for name in options.parts or parts:
        found[name] = parts[name](options.only) if options.only else parts[name]()
        getattr(report, name)(found[name])
    if not options.quick:
        folder = ROOT / "bench" / "results"
        folder.mkdir(exist_ok=True)
        with (folder / "results.jsonl").open("a") as file:
            file.write(json.dumps(found) + "\n")


def machine() -> dict:
    versions = {}
    for name in VERSIONS:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    found = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "versions": versions,
    }
    print(f"Python {found['python']}, {found['system']}, {found['cores']} cores, {versions}")
    return found


if __name__ == "__main__":
    main()
