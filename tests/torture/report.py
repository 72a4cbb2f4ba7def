"""The table: faults injected, what was lost, and whether that is expected."""

from collections.abc import Iterator

KEPT = 0.8  # of a job's speed beside those who look at it
ROWS_PER_S = 50_000  # of a job that is cancelled
LATE_S = 0.25  # of the loop: the step above 0.2 of those that the program counts in

Row = tuple[str, str, str, bool]  # what, thrown, found, as expected


def show(name: str, found: dict, quick: bool = False) -> int:
    """Print the rows of a part; returns how many are not as expected."""
    rows = list(_ROWS[name](found, quick))
    print(f"\n{name} ({found['took_s']:.0f} s)")
    for what, thrown, expected, good in rows:
        print(f"  {'ok' if good else 'NO':3}{what:46}{thrown:>16}  {expected}")
    return sum(not good for *_, good in rows)


def _kills(found: dict, _quick: bool) -> Iterator[Row]:
    part = found["running"]
    output = (
        f"lost {part['lost']}, twice {part['twice']}, sent again {part['resent']} "
        f"(in flight {part['in_flight']}, just answered {part['just_answered']})"
    )
    yield (
        f"running job of {found['requests']:,}",
        f"{part['kills']} kills",
        output,
        part["expected"],
    )
    for name in ("importing", "migrating"):
        part = found[name]
        output = f"lost {part['lost']}, " + (
            f"twice {part['twice']}" if "twice" in part else f"damaged {part['damaged']}"
        )
        yield (
            name,
            f"{part['kills']} kills",
            f"{output}; {part['met_in_it']} in its midst",
            part["expected"],
        )


def _batches(found: dict, _quick: bool) -> Iterator[Row]:
    output = (
        f"{found['status']}, lost {found['lost']}, twice {found['twice']}, {found['parts']} parts; created "
        f"twice {found['created_twice']}, billed {found['billed']:,}, twice {found['billed_twice']}, "
        f"counters off by {found['counters_off']}, sent again {found['sent_again']}, files left "
        f"{found['files_left']}; killed in {', '.join(found['met_in'])}"
    )
    yield (
        f"batches of {found['requests']:,} requests",
        f"{found['kills']} kills",
        output,
        found["expected"],
    )


def _cancelling(found: dict, quick: bool) -> Iterator[Row]:
    for name, what in (("whole", "cancelled"), ("killed", "cancelled, killed in its midst")):
        part = found[name]
        output = (
            f"{part['status_at_once']} after {part['told_s']} s, last call {part['last_call_s']} s "
            f"after; {part['rows_per_s']:,} rows/s; longest page {part['longest_page_s']} s, loop "
            f"late by {part['late_s']} s at most; {part['succeeded']:,} + {part['cancelled']:,}, "
            f"lost {part['lost']}, twice {part['twice']}, counters off by {part['counters_off']}"
        )
        good = part["expected"]
        if name == "whole" and not quick:
            good &= part["rows_per_s"] >= ROWS_PER_S and part["late_s"] <= LATE_S
        yield what, f"{part['requests']:,} requests", output, good


def _listed(found: dict, _quick: bool) -> Iterator[Row]:
    output = "; ".join(found["unexpected"]) or "all as expected"
    if "grew_mb" in found:
        output += f"; memory grew by {found['grew_mb']} MB"
    kinds = found.get("faults") or len(found["scenes"])
    yield f"{kinds} faults", f"{found['thrown']} times", output, not found["unexpected"]


def _uploads(found: dict, _quick: bool) -> Iterator[Row]:
    statuses = ", ".join(f"{n} × {status}" for status, n in found["statuses"].items())
    good = not found["unexpected"] and found["alive"]
    yield "mutated files over HTTP", f"{found['thrown']:,} files", statuses, good
    made = found["jobs"]
    output = f"{made['half']} half, {made['whole']} whole, {made['failed']} failed and empty"
    yield "jobs of those taken", f"{made['made']} jobs", output, not made["half"]
    if guided := found.get("guided"):
        output = guided.get("left_out") or ("a crash" if guided["crashed"] else "no crash")
        yield (
            "guided by coverage",
            f"{guided.get('runs', 0):,} files",
            output,
            not guided.get("crashed"),
        )


def _browsers(found: dict, quick: bool) -> Iterator[Row]:
    for phase in found["phases"]:
        if "kept" not in phase:
            continue
        pages, sockets = phase.get("visitors"), phase.get("watchers")
        thrown, output, good = [], [f"{phase['kept']:.0%} of its speed kept"], True
        if not phase["alone"]:
            output = ["its speed says nothing: others used the machine"]
        if pages:
            thrown.append(f"{found['rate']} pages/s")
            output.append(
                f"{pages['errors']} errors of {pages['asked']:,}, median {pages['p50_ms']} ms"
            )
            good &= pages["errors"] == 0
        if sockets:
            faults = sum(sockets["faults"].values())
            thrown.append(f"{sockets['watching']} sockets")
            output.append(f"{faults} errors, {sockets['reconnects']:,} reconnects")
            good &= faults == 0
        judged = not quick and phase["alone"] and phase["name"] in ("pages", "watchers")
        good &= not judged or phase["kept"] >= KEPT
        yield phase["name"], ", ".join(thrown), "; ".join(output), good


def _cluster(found: dict, _quick: bool) -> Iterator[Row]:
    if why := found.get("left_out"):
        yield "workers without a share", "", f"left out: {why}", True
    for name, scene in found["scenes"].items():
        output = f"lost {scene['lost']}, twice {scene['twice']}, sent again {scene['sent_again']}"
        yield name, "", output, scene["expected"]


def _soak(found: dict, _quick: bool) -> Iterator[Row]:
    for name, slope in found["per_minute"].items():
        output = f"{found['first'][name]} → {found['last'][name]}, {slope:+} a minute"
        yield name, f"{found['minutes']:g} min", output, found["expected"]
    output = f"{found['jobs']} jobs, {found['calls']:,} calls, {found['page_errors']} page errors"
    yield "meanwhile", "", output, found["expected"]


_ROWS = {
    "kills": _kills,
    "batches": _batches,
    "cancelling": _cancelling,
    "storage": _listed,
    "endpoint": _listed,
    "network": _listed,
    "uploads": _uploads,
    "browsers": _browsers,
    "cluster": _cluster,
    "soak": _soak,
}
